/*
 * The runner carries tasks through their lives: it feeds the rules with what happens (commands,
 * reports of monitors, datagrams, timers) and does what they say. It is the only module that joins
 * tasks, store, events and spawner.
 *
 * A turn of the event loop: things happen and change tasks in memory; runner_settle() then commits
 * them in one transaction, and only after that carries out what cannot be undone (starts, signals)
 * and ends what has ended. Within a turn, what tasks said comes before their exits, exits before
 * commands, commands before timers: runner_poll() at the beginning of a command or timer sees to it.
 *
 * A command is refused through its verdict (rules.h); nothing has changed then.
 */
#ifndef TASKCTL_RUNNER_H
#define TASKCTL_RUNNER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "rules.h"
#include "task.h"
#include "timers.h"

struct event_base;
struct config;
struct store;
struct events;
struct outlog_dir;
struct runner;

struct runner_opts {
	struct event_base *base;
	const struct config *config; /* borrowed; may change its limits and defaults */
	struct store *store;
	struct events *events;
	struct outlog_dir *outputs;
	const char *spawnd;   /* path of taskspawnd, or NULL: a service of its own */
	const char *socket;   /* of the daemon, for TASKCTL_SOCKET */
	char *const *environ; /* the daemon's own, to be filtered for tasks */
};

/*
 * Makes the runner, connects to (or starts) taskspawnd and recovers: adopts what runs, learns how
 * the others ended, delivers what was promised, runs the hooks that are owed. 0 or -errno with
 * *why a sentence (the caller's to free).
 */
int runner_new(const struct runner_opts *opts, struct runner **ret, char **why);
void runner_free(struct runner *r); /* tasks run on */

const struct task_set *runner_tasks(const struct runner *r);
const char *runner_containment(const struct runner *r); /* "cgroup" or "subreaper" */
/* Is taskspawnd there? */
bool runner_is_connected(const struct runner *r);
/* Tasks that are alive: all that are not terminal. */
uint32_t runner_live(const struct runner *r);

/* True if nothing is left to be committed, done or answered. */
bool runner_is_quiet(const struct runner *r);

/* -- the turn -- */

/* Take in what tasks have said and how they ended, up to now. Once a turn does. */
void runner_poll(struct runner *r);
/* Has the clock struck? Then run the timers that are due, after the commands of this turn. */
bool runner_timers_due(struct runner *r);
void runner_timers(struct runner *r);
/*
 * The end of the turn: commit, then act. 0, or -errno of the commit: then tasks that were started
 * in this turn do not exist, other commands but cancel and kill were undone; signals go out all
 * the same.
 */
int runner_settle(struct runner *r);
/* Did the last commit fail, and does a trial one still fail? 0 if the store takes writes. */
int runner_storage(struct runner *r);

/* -- looking -- */

struct task *runner_find(struct runner *r, uint64_t id); /* a live one, or NULL */
/*
 * The task, live or ended; NULL with *error -errno. Give it back with runner_put(), at latest at
 * the end of the turn.
 */
struct task *runner_get(struct runner *r, uint64_t id, int *error);
void runner_put(struct runner *r, struct task *t);
/* Look at the output files now, so that output.bytes is of this moment. */
void runner_look_at_output(struct runner *r, struct task *t);

/* The full task object of a live task as text; kept until the task changes, borrowed. */
const char *runner_object_text(struct task *t);
/* Have fn called when a live task's output has grown; one listener. */
void runner_listen_to_output(struct runner *r, void (*fn)(void *ctx, struct task *t), void *ctx);

/* -- commands -- */

/* Who asks: kept with the request, and what a shield's holder is called if nothing else is said. */
struct runner_caller {
	uint32_t uid;
	const char *by; /* "uid:1000" */
};

struct runner_start {
	json_t *spec; /* the accepted members of start; borrowed */
	const char *name, *key, *cwd;
	bool held;
	struct runner_caller caller;
};

/*
 * Makes a task; it is started at the end of the turn, unless held. 0; -EEXIST: the key is in use,
 * *ret is the task that has it (compare with runner_same_command()); -ENOSPC and the like: storage;
 * -EMFILE, -ENOMEM: overloaded. Give *ret back with runner_put().
 */
int runner_start(struct runner *r, const struct runner_start *start, struct task **ret);
bool runner_same_command(const struct task *t, const json_t *spec);

struct runner_cancel {
	enum cancel_origin origin;
	const json_t *msg; /* borrowed; NULL: none */
	const char *by;
	bool has_grace, pierce;
	int64_t grace;
};

struct rules_verdict runner_cancel(struct runner *r, struct task *t, const struct runner_cancel *c);
struct rules_verdict runner_kill(struct runner *r, struct task *t, const struct runner_cancel *c);
struct rules_verdict runner_uncancel(struct runner *r, struct task *t);
/* For `span` ns from now, or RULES_NEVER. -ENOSPC in *error: too many holders. */
struct rules_verdict runner_shield(struct runner *r, struct task *t, const char *holder,
    int64_t span, const json_t *msg, int *error);
struct rules_verdict runner_unshield(struct runner *r, struct task *t, const char *holder);
struct rules_verdict runner_deadline(struct runner *r, struct task *t, int64_t when);
/* *error: as runner_start() where the verdict says nothing */
struct rules_verdict runner_release(struct runner *r, struct task *t, int *error);
/* 0, -ESRCH if the task has no leader (now), or another -errno */
int runner_signal(struct runner *r, struct task *t, int signo);
int runner_freeze(struct runner *r, struct task *t, bool freeze);
/* Forget an ended task and its output. */
int runner_remove(struct runner *r, uint64_t id);

/* -- shutdown -- */

/* From now on starts are refused by the caller; every live task gets a cancel. */
void runner_cancel_all(
    struct runner *r, enum cancel_origin origin, const json_t *msg, const char *by);
/* Pierce shields: SIGKILL to all, hooks too. */
void runner_kill_all(struct runner *r, const json_t *msg, const char *by);

/* -- waits -- */

enum wait_mode { WAIT_SHIELD, WAIT_OWN, WAIT_WATCH };

enum wait_result {
	WAIT_TASK_ENDED, /* result is the task's state; of: "task" */
	WAIT_TIMED_OUT,  /* of: "wait" */
	WAIT_CANCELLED,  /* of: "wait", by cancel_wait */
};

/*
 * Somebody waits for a task. Embedded by the caller, who sets the members of the first group and
 * calls wait_open(). `answer` comes once, from runner_settle() or runner_timers(), never from inside
 * a function that the caller is in; the wait is closed then.
 */
struct wait {
	uint64_t task;
	enum wait_mode mode;
	int64_t timeout; /* ns from now, or RULES_NEVER */
	const char *by;  /* borrowed: outlives the wait */
	void *user;      /* for answer */
	void (*answer)(struct wait *w, enum wait_result result, struct task *t);

	/* The runner's. */
	TAILQ_ENTRY(wait) link;
	struct timer timer;
	struct runner *runner;
	bool open, answering, timed_out;
	enum wait_result due;
	json_t *msg; /* owned: what cancel_wait said */
};

/* t as given by runner_get(). If the task has ended, the answer comes at the end of this turn. */
void wait_open(struct runner *r, struct wait *w, struct task *t);
/* cancel_wait: ends the wait, or (own) passes the cancel on to the task. */
struct rules_verdict wait_cancel(struct wait *w, const json_t *msg);
/* Nobody waits any more; an own wait cancels the task if `lost` (its connection was). */
void wait_close(struct wait *w, bool lost);

/* The connection of a task that was started with lifetime "connection" has ended. */
void runner_owner_lost(struct runner *r, uint64_t id);

#endif

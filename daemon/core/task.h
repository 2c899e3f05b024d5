/*
 * A task: what was asked for, the facts that the rules go by, and what is known beside them.
 *
 * A struct task is plain data. task_set_state() is the only place where a state changes; the rules
 * call it through rules_step(). The runner (runner.h) is the only one that changes the rest.
 * Live tasks stay in memory in a struct task_set; an ended one is loaded from the store when
 * somebody asks for it.
 *
 * Times: *_ms are wall clock for people, deadlines are CLOCK_BOOTTIME ns as in rules.h.
 */
#ifndef TASKCTL_TASK_H
#define TASKCTL_TASK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proto.h"
#include "rules.h"
#include "spawner.h"

#define TASK_HOLDERS_MAX   64 /* holders of a task's shield */
#define TASK_HOOKS_MAX     16 /* hooks of one kind */
#define TASK_RULE_REQUESTS 5  /* requests that the facts can name at once */

/* A cancel request that the facts still name: who made it, and what it said. */
struct task_request {
	uint32_t ordinal; /* 0: the place is free */
	enum cancel_origin origin;
	json_t *msg; /* owned; NULL: none, which is not the same as "" */
	char *by;    /* owned */
	int64_t at_ms;
};

struct task_holder {
	TAILQ_ENTRY(task_holder) link;
	char *name;       /* owned */
	int64_t until;    /* or RULES_NEVER */
	int64_t until_ms; /* the same for people, 0: never */
	json_t *msg;      /* owned; NULL: none */
};

enum task_hook_state {
	HOOK_OWED,
	HOOK_RUNS,
	HOOK_DONE,
	HOOK_FAILED,
	HOOK_TIMEOUT,
	HOOK_WAS_KILLED
};

/* A hook that was begun, or is owed by the outcome. */
struct task_hook {
	enum hook_kind kind;
	unsigned index;
	enum task_hook_state state;
	unsigned attempts;
	bool has_exit;
	struct run_exit exit;
	enum run_stage stage; /* it could not be executed: where, and the errno */
	int error;
};

enum task_exit_kind { EXIT_UNKNOWN, EXIT_ENDED, EXIT_UNSTARTED };

/* One output stream: a file of outlog.h. */
struct task_output {
	uint64_t file; /* number of the file, 0: none */
	uint64_t bytes, dropped;
};

struct task_set;
struct run;
TAILQ_HEAD(task_list, task);

struct task {
	uint64_t id;
	struct rules_facts facts; /* facts.state: see task_set_state() */

	/* Fixed; owned. */
	json_t *spec;     /* the accepted start: argv|shell, labels, env, hooks, … as sent */
	char *name, *key; /* key may be NULL */
	char *cwd;
	uint32_t uid; /* of the caller */
	char *by;     /* who started it: "uid:1000" */
	int64_t created_ms;
	bool separate; /* stdout and stderr apart */
	bool to_tree;  /* signal_to */

	/* The run. */
	int64_t started_ms, ended_ms; /* 0: not yet */
	int64_t deadline_wall_ms;     /* the deadline as people see it, 0: none */
	pid_t pid;
	uint64_t pid_start;
	uint32_t runs;   /* number of the last run that was begun: 0 is the task's own */
	bool spawn_sent; /* the order to execute was or is about to be sent (in this boot) */
	bool
	    signal_sent; /* false while a delivery is committed and its signal not yet known sent */
	bool connection; /* lifetime: of the connection that started it */
	bool frozen;
	struct task_output out, err; /* err only if separate */

	/* Requests, shield. */
	struct task_request request[TASK_RULE_REQUESTS];
	json_t *declared_msg; /* owned: MSG= of CANCELLED=1 */
	TAILQ_HEAD(, task_holder) holders;

	/* What it said of itself; owned. */
	json_t *result;
	char *error, *status;
	double progress; /* negative: none */

	/* The end. */
	enum task_exit_kind exit_kind;
	struct run_exit exit;
	enum run_stage stage;
	int exit_errno;
	char *lost_why;                          /* owned; what is not known, of a lost task */
	struct run_procs *leftover, *unkillable; /* owned; NULL: none */
	bool has_usage;
	double user_s, system_s;
	int64_t max_rss;
	struct task_hook *hook; /* owned, in the order they run */
	unsigned nhooks;

	/* Book-keeping of task_set and runner; never stored. */
	TAILQ_ENTRY(task) by_state;
	TAILQ_ENTRY(task) dirty_link;
	struct task_set *set; /* borrowed; NULL: in none */
	bool dirty, fresh;    /* fresh: not in the store yet */
	struct run *run;      /* owned by the runner; NULL for a copy out of the store */
};

struct task *task_new(uint64_t id);
void task_free(struct task *t);

/*
 * The one place where a state changes. ctx is the task (the shape is that of rules_set_state).
 * Moves it between the lists of its set.
 */
void task_set_state(void *ctx, enum task_state state);
/* The same, as a function to be told of each change (for the log and timers). */
typedef void task_observer(struct task *t, enum task_state from, enum task_state to);

/* Request records: add one, find one, and forget those that the facts no longer name. */
struct task_request *task_add_request(struct task *t, uint32_t ordinal, enum cancel_origin origin,
    const json_t *msg, const char *by, int64_t at_ms);
const struct task_request *task_request(const struct task *t, uint32_t ordinal); /* NULL: none */
void task_prune_requests(struct task *t);

struct task_holder *task_holder(struct task *t, const char *name); /* NULL: none */
struct task_holder *task_add_holder(struct task *t, const char *name);
void task_drop_holder(struct task *t, struct task_holder *h); /* frees it */
unsigned task_holders(const struct task *t);

/* The request (start) says: the commands of a hook, an array; NULL: none of that kind. */
const json_t *task_hook_spec(const struct task *t, enum hook_kind kind, unsigned index);

/* The signals, names and so on of the spec, put into the facts: after spec was set. */
void task_apply_spec(struct task *t, int64_t default_grace);

const char *task_origin_name(enum cancel_origin o);
const char *task_hook_name(enum hook_kind k);
const char *task_hook_state_name(enum task_hook_state s);
const char *task_effect_name(enum cancel_effect e);
const char *task_error_name(enum proto_error e);
const char *task_event_name(enum event_kind e);

/* -- the set of live tasks -- */

struct task_set {
	struct task_list by_state[TASK_NSTATES];
	uint32_t count[TASK_NSTATES];
	struct task **bucket; /* open hash by id; owned */
	size_t nbuckets, n;
	task_observer *observer; /* may be NULL */
};

void task_set_init(struct task_set *s, task_observer *observer);
void task_set_release(struct task_set *s); /* frees the tasks */
void task_set_add_take(struct task_set *s, struct task *t);
struct task *task_set_find(const struct task_set *s, uint64_t id);
void task_set_remove(struct task_set *s, struct task *t); /* does not free it */

/* -- task_json.c: the task object of protocol.md section 4 -- */

json_t *task_object(const struct task *t, bool full); /* full: with argv and env */
json_t *task_exit_object(const struct task *t);       /* the member `exit` */
json_t *task_run_exit_object(const struct run_exit *e);
json_t *task_holders_object(const struct task *t);
json_t *task_procs_array(const struct run_procs *p);
json_t *task_cancel_object(const struct task *t);
json_t *task_time(int64_t wall_ms);                /* RFC 3339, or null for 0 */
json_t *task_boot_time(int64_t boot_ns);           /* the wall clock time of it, or null */
json_t *task_hook_exit(const struct task_hook *h); /* or null */

/* -- task_facts.c: as the store keeps it -- */

/* Everything but spec, id, name, key and state, as one JSON object. */
json_t *task_save(const struct task *t);
/*
 * Fills t from what task_save() made. `same_boot`: boot times are still true; else deadlines are set
 * from the wall clock. 0 or -EINVAL.
 */
int task_load(struct task *t, const json_t *saved, bool same_boot);

#endif

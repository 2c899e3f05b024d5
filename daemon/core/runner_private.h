/*
 * Inside the runner: what its files share, and nobody else sees.
 */
#ifndef TASKCTL_RUNNER_PRIVATE_H
#define TASKCTL_RUNNER_PRIVATE_H

#include <signal.h>

#include "config.h"
#include "events.h"
#include "outlog.h"
#include "runner.h"
#include "spawner.h"
#include "store.h"
#include "timers.h"
#include "value.h"

struct event;
struct boot_timer;

/* What has to be done for a task at the end of the turn. */
enum due {
	DUE_SPAWN = 1 << 0,
	DUE_SIGNAL = 1 << 1,
	DUE_KILL = 1 << 2,
	DUE_HOOK = 1 << 3,
	DUE_HOOK_TERM = 1 << 4,
	DUE_HOOK_KILL = 1 << 5,
	DUE_ANSWER = 1 << 6, /* waits */
	DUE_END = 1 << 7,
};

/* The state of a task before this turn's commands, should the commit fail. */
struct undo {
	struct rules_facts facts;
	int64_t deadline_wall_ms;
	bool signal_sent;
	uint64_t events; /* how many there had been */
	TAILQ_HEAD(, task_holder) holders;
	bool pointless; /* a cancel or kill came, too: that is not undone */
};

/* The runner's part of a live task. */
struct run {
	struct runner *r;
	struct task *t;
	struct timer timer;
	unsigned due;       /* at the end of the turn */
	unsigned committed; /* of those, what was made durable and is to be done now */
	TAILQ_ENTRY(run) due_link;
	bool in_due;
	int out_fd, err_fd; /* taken for the start, until it is made */
	struct event *notify_event;
	int notify_fd;
	struct outlog_watch *out, *err;
	uint64_t empty_out, empty_err; /* files that nothing was written to, to be given back */
	char *text;                    /* owned; the task object, NULL: to be made anew */
	uint64_t looked_at;            /* the turn in which its output was looked at last */
	bool told_end;                 /* task.ended was emitted */
	bool deadline_only;            /* the delivery under way is a deadline's */
	uint32_t delivers,
	    delivers_before; /* orders to deliver, of this daemon and of earlier ones */
	bool draining;       /* its datagrams are being read */
	TAILQ_HEAD(, wait) waits;
	struct undo *undo; /* owned; NULL: nothing to undo */
	TAILQ_ENTRY(run) undo_link;
};

TAILQ_HEAD(run_list, run);

/* A run whose record may be forgotten once the commit is through. */
struct forgotten {
	TAILQ_ENTRY(forgotten) link;
	struct run_key key;
};

/* Descriptors of BARRIER=1, closed when all that was said before has taken effect. */
struct barrier {
	TAILQ_ENTRY(barrier) link;
	uint64_t task;
	int fd;
};

struct runner {
	struct runner_opts opts;
	struct task_set tasks;
	struct spawner *spawner;
	struct timers timers;
	struct boot_timer *clock;
	struct run_list due, undo;
	TAILQ_HEAD(, wait) answers; /* waits to be answered at the end of the turn */
	TAILQ_HEAD(, forgotten) forgotten;
	TAILQ_HEAD(, barrier) barriers;
	TAILQ_HEAD(, task) dirty;
	uint64_t next_id;
	uint64_t *removed; /* owned: output files to be removed after the commit */
	size_t nremoved;
	int storage; /* -errno of the last commit, 0: it went well */
	struct timer storage_timer;
	uint64_t turn; /* counts; 0 is the recovery */
	bool urgent;   /* something must be committed at the end of this turn */
	bool soon;     /* something is to be committed, at latest at soon_at */
	int64_t soon_at;
	bool timers_due; /* the clock has struck, timers are run at the end of the turn */
	bool was_away;   /* the connection to taskspawnd was lost */
	void (*on_output)(void *ctx, struct task *t); /* output has grown */
	void *on_output_ctx;
	char **env; /* filtered: what every task gets */
};

/* runner.c */
void runner_dirty(struct runner *r, struct task *t);
void runner_clean(struct runner *r, struct task *t);
void runner_forget_undo(struct runner *r, struct run *run);
/* A live task leaves memory: it has ended and that is in the store, or it never came to be. */
void runner_let_go(struct runner *r, struct task *t);
void runner_dirty_later(struct runner *r, struct task *t); /* with the next commit, no hurry */
void runner_due(struct runner *r, struct task *t, unsigned due);
void runner_forget_text(struct task *t); /* it has changed */
struct rules_verdict runner_step(
    struct runner *r, struct task *t, enum rules_event event, const struct rules_input *in);
void runner_task_timer(struct runner *r, struct task *t, int64_t now);
void runner_rearm(struct runner *r, struct task *t);
struct run *run_new(struct runner *r, struct task *t);
void run_free(struct run *run);
void runner_emit(struct runner *r, enum event_kind kind, const struct task *t, json_t *members);
/* Take in what this task said, then: has its leader ended without our being told yet? */
bool runner_touch(struct runner *r, struct task *t);

/* runner_settle.c */
void runner_close_barriers(struct runner *r, bool all);

/* runner_exec.c: building and sending what is to be executed */
/* New output files for a task that has its run; 0 or -errno, then none are taken. */
int runner_take_outputs(struct runner *r, struct task *t);
/* Descriptors of its files, new ones if it has none yet. */
int runner_open_outputs(struct runner *r, struct task *t);
void runner_send_start(struct runner *r, struct task *t);
void runner_begin_hook(struct runner *r, struct task *t); /* before the commit */
void runner_send_hook(struct runner *r, struct task *t);  /* after it */
void runner_send_cancel(struct runner *r, struct task *t);
char **runner_filter_env(const struct config *c, char *const *from);

/* runner_report.c: what spawner and outlog tell */
extern const struct spawner_callbacks runner_spawner_callbacks;
void runner_take_report(struct runner *r, struct task *t, const struct run_report *report);
void runner_adopt_outputs(struct runner *r, struct task *t); /* of before: look how long they are */
void runner_watch_outputs(struct runner *r, struct task *t);
/* The record of a run is not needed after the commit; with that of the task goes its directory. */
void runner_forget_run(struct runner *r, struct run_key key);
void runner_lost(struct runner *r, struct task *t, const char *why);
void runner_hook_ended(
    struct runner *r, struct task *t, enum run_stage stage, int error, const struct run_exit *exit);
void runner_list_hooks(struct task *t); /* when the outcome is decided */

/* runner_notify.c: what tasks say */
void runner_notify_attach(struct runner *r, struct task *t, int fd);
void runner_notify_detach(struct run *run);
void runner_notify_drain(struct runner *r, struct task *t);

/* runner_wait.c */
void runner_answer_waits(struct runner *r, struct task *t);
void runner_send_answers(struct runner *r);

/* runner_recover.c */
void runner_resume_all(struct runner *r);
int runner_recover(struct runner *r, char **why);

#endif

/*
 * The rules: what each event does to a task in each state. Pure: no I/O, no clock, no allocation.
 *
 * The rules are asyncio's cancellation contract for processes. A cancel is a request that the task
 * may obey, answer with a value, or refuse; a shield defers it; a deadline is a cancel without a
 * message; after the grace period comes SIGKILL; how the leader ends decides the outcome. They are
 * written down in include/protocol.md, sections 4 to 6.
 *
 * A task's facts are plain data that the store keeps. rules_step() looks up one cell of a table of
 * state x event, changes the facts and says in the verdict what has to be done about it (effects)
 * and what is answered. Recovery after a crash feeds stored facts and new events to the same table.
 *
 * Requests are known here by their ordinal only (1 is the first accepted cancel of the task); who
 * made them and what they said is kept beside (task.h). An ordinal of 0 means "none".
 *
 * Times are CLOCK_BOOTTIME nanoseconds; RULES_NEVER is "no such time", RULES_UNLIMITED a grace
 * period without end.
 */
#ifndef TASKCTL_RULES_H
#define TASKCTL_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "proto.h"

#define RULES_NEVER     INT64_MAX
#define RULES_UNLIMITED INT64_MAX

/* A hook that does not end on SIGTERM at its timeout is killed this much later. */
#define RULES_HOOK_TERM_NS INT64_C(2000000000)

/* How the leader of a task ended. */
struct rules_exit {
	bool signalled; /* code is a signal number, else an exit code */
	int code;
};

/* The hook that runs, or is next: its kind and its place among those of its kind. */
struct rules_hook {
	enum hook_kind kind;
	unsigned index;
};

enum rules_hook_stage { HOOK_IDLE, HOOK_RUNNING, HOOK_TERMED, HOOK_KILLED_AT_TIMEOUT, HOOK_KILLED };

/* What the rules know of a task. The store keeps every member. */
struct rules_facts {
	enum task_state state; /* written by task_set_state() only, see task.h */

	/* Fixed when the task is made. */
	int64_t grace;              /* from the first delivery to SIGKILL, or RULES_UNLIMITED */
	int64_t timeout;            /* of the run, from the start of the process, or RULES_NEVER */
	int signo;                  /* what a cancel sends */
	bool keep;                  /* on_refuse: keep */
	bool hooks_warn;            /* hook_errors: warn */
	unsigned hooks[HOOK_KINDS]; /* how many there are of each kind */
	bool held;                  /* stays pending until released */

	/* Requests. */
	uint32_t requests; /* accepted in all */
	uint32_t count;    /* after uncancels: asyncio's cancelling() */
	uint32_t first;    /* the first request there was */
	uint32_t deferred; /* the first one that a shield holds back */
	uint32_t
	    sending; /* to be delivered with the signal that goes out at the end of this turn */
	uint32_t delivered;     /* the last one delivered */
	uint32_t killer;        /* the last kill that had a message */
	bool deferred_deadline; /* a shield holds back an expired deadline */
	bool sending_deadline;  /* the signal that goes out is a deadline's */
	bool cancel_out;        /* a delivered request is outstanding */
	bool deadline_out;      /* a delivered deadline is */
	bool declared;          /* the task said CANCELLED=1 */
	bool killed;            /* our SIGKILL was ordered */
	bool dropped;           /* it ended while a shield still held a request back */
	bool kill_at_start;     /* a kill came while the start was not yet confirmed */

	uint32_t shields; /* holders */

	int64_t deadline;  /* or RULES_NEVER */
	bool deadline_set; /* by a command: the timeout of the start no longer counts */
	bool expired;      /* a deadline has passed */
	int64_t kill_at;   /* end of the grace period, or RULES_NEVER */
	int64_t
	    grace_left; /* what was left of it when a shield stopped the clock, or RULES_NEVER */

	/* The end. */
	enum task_state outcome; /* decided in cleanup; TASK_PENDING before */
	enum task_state
	    context;    /* the first outcome, where a failed hook replaced it, else TASK_PENDING */
	bool forced;    /* our SIGKILL ended it */
	bool spawned;   /* it was executed, or may have been */
	bool tree_gone; /* no process is left, hooks may run */
	unsigned hook_at; /* place of the hook that runs or is next, see rules_hook_next() */
	enum rules_hook_stage hook_stage;
	int64_t hook_at_limit; /* when the running hook's time is up, or RULES_NEVER */
};

enum rules_event {
	EV_RELEASE,   /* command: a held task may start */
	EV_SPAWN,     /* the order to execute is about to go out (it is committed first) */
	EV_STARTED,   /* the command runs */
	EV_UNSTARTED, /* it could not be executed */
	EV_CANCEL,    /* an explicit request: a client, the task itself, a forwarded cancel_wait */
	EV_PASS_ON,   /* a request of the daemon's own: wait timeout, disconnect, shutdown */
	EV_KILL,      /* command */
	EV_UNCANCEL,  /* command, or UNCANCEL=1 (by_task) */
	EV_SHIELD,    /* one more holder */
	EV_SHIELD_MOVED, /* a holder renewed its hold */
	EV_UNSHIELD,     /* one holder less */
	EV_DEADLINE_SET, /* command: the deadline moves to `when` */
	EV_DEADLINE,     /* timer: the deadline has passed */
	EV_GRACE_OVER,   /* timer */
	EV_SIGNALLED,    /* the delivery that was due is made */
	EV_EXTEND,       /* EXTEND_TIMEOUT_USEC: at least `span` from now */
	EV_DECLARE,      /* CANCELLED=1 */
	EV_EXITED,       /* the leader has ended */
	EV_TREE_GONE,    /* no process of the task is left */
	EV_MONITOR_LOST, /* nobody can know how it ended; no process of it is left */
	EV_HOOK_BEGUN,   /* the hook that was due runs, for `span` at most */
	EV_HOOK_LIMIT,   /* timer: its time is up */
	EV_HOOK_ENDED,   /* its processes are gone; `ok` */
	EV_HOOK_AGAIN,   /* its monitor died or the daemon cannot know: it is owed again */
	RULES_NEVENTS
};

/* An event and its details; unused members are 0. */
struct rules_input {
	int64_t now;
	bool gone;      /* late reap check: the leader has ended, though its end was not yet told */
	bool pierce;    /* EV_KILL */
	bool has_msg;   /* EV_KILL */
	bool by_task;   /* EV_UNCANCEL */
	bool has_grace; /* EV_CANCEL, EV_PASS_ON: `grace` shortens the grace period */
	int64_t grace;
	int64_t when;           /* EV_DEADLINE_SET: absolute, or RULES_NEVER */
	int64_t span;           /* EV_EXTEND, EV_HOOK_BEGUN */
	bool ok;                /* EV_HOOK_ENDED */
	struct rules_exit exit; /* EV_EXITED */
};

/* What has to be done; the runner carries it out. */
enum rules_effect {
	FX_SIGNAL = 1 << 0,       /* a delivery is due at the end of the turn */
	FX_KILL = 1 << 1,         /* SIGKILL to the tree until it is empty */
	FX_HOOK = 1 << 2,         /* start the hook that rules_hook_next() names */
	FX_HOOK_TERM = 1 << 3,    /* SIGTERM to the hook's tree */
	FX_HOOK_KILL = 1 << 4,    /* SIGKILL to the hook's tree */
	FX_END = 1 << 5,          /* the task has reached its terminal state */
	FX_REQUESTED = 1 << 6,    /* tell: a cancel was accepted */
	FX_DEFERRED = 1 << 7,     /* tell: it is held back */
	FX_REFUSED = 1 << 8,      /* tell: the task did not obey, and may go on */
	FX_KILLED = 1 << 9,       /* tell: SIGKILL was ordered */
	FX_UNCANCELLED = 1 << 10, /* tell */
	FX_EXPIRED = 1 << 11,     /* tell: a deadline has passed */
	FX_DEADLINE = 1 << 12,    /* tell: the deadline has moved */
	FX_SPAWN = 1 << 13,       /* the task is due to be started at the end of the turn */
};

/* The answer to an event. */
struct rules_verdict {
	enum proto_error error; /* not ERR_NONE: refused, nothing has changed */
	bool accepted;
	enum cancel_effect effect;
	uint32_t request;   /* the ordinal that this request was given, 0 if it was not counted */
	uint32_t remaining; /* EV_UNCANCEL */
	bool revoked;       /* EV_UNCANCEL: a deferred request was taken back */
	bool delivered;     /* EV_UNSHIELD: what was deferred was delivered */
	unsigned fx;
};

/* A state changes through this callback, so that there is one place that does it. */
typedef void (*rules_set_state)(void *ctx, enum task_state state);

/* Facts of a task that was just made: pending, without requests, deadline or hooks. */
void rules_facts_init(struct rules_facts *f);

/*
 * Put an event to a task's facts: changes them and says what is to be done and answered. A refusal
 * (verdict.error) changes nothing. set_state(ctx, …) is called for a change of state.
 */
struct rules_verdict rules_step(struct rules_facts *f, enum rules_event event,
    const struct rules_input *in, rules_set_state set_state, void *ctx);

/* The earliest time at which a timer event is due, or RULES_NEVER, and which event that is. */
int64_t rules_next_timer(const struct rules_facts *f, enum rules_event *event);

/* The hook that runs or is next; false if no hook is left for the outcome. */
bool rules_hook_next(const struct rules_facts *f, struct rules_hook *ret);
/* The hook at a place of the order in which this outcome's hooks run; false if there is none. */
bool rules_hook_at(const struct rules_facts *f, unsigned place, struct rules_hook *ret);

/* The request whose message the task object shows: what protocol.md calls cancel.msg. 0: none. */
uint32_t rules_shown_request(const struct rules_facts *f);
/* True if the task ended done though a delivered request was outstanding. */
bool rules_absorbed(const struct rules_facts *f);

bool rules_is_terminal(enum task_state s);
/* True from the order to execute until the leader's end. */
bool rules_has_leader(enum task_state s);

const char *rules_state_name(enum task_state s);
const char *rules_event_name(enum rules_event e);

#endif

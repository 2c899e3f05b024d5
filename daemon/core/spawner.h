/*
 * taskctld's end of taskspawnd: orders go out, reports of runs come back.
 *
 * A run is one execution of a command in a process tree of its own, watched by a monitor: the task
 * itself (number 0) or one attempt of a hook (1 and up, never reused within the task). taskspawnd
 * and the monitors outlive taskctld; what they know of each run is a record in the status file,
 * which is the truth. Every callback below is only "look at the record again".
 *
 * All callbacks come from the event loop, never from inside a function of this module that the
 * caller is in. Functions return 0 or -errno; an order for a run that is gone is no error.
 */
#ifndef TASKCTL_SPAWNER_H
#define TASKCTL_SPAWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct spawner;

/* Names a run for ever: the task's id and the number of the run within it. */
struct run_key {
	uint64_t task;
	uint32_t run;
};

enum run_phase {
	RUN_ABSENT,       /* no record: never begun, not yet heard of, or forgotten */
	RUN_STARTING,     /* claimed by taskspawnd, exec not yet confirmed */
	RUN_RUNNING,      /* the leader runs the command */
	RUN_LEADER_ENDED, /* the leader has ended, `exit` is final; its tree is being ended */
	RUN_OVER,         /* the tree is empty; `exit`, `leftover` and `usage` are final */
	RUN_UNSTARTED,    /* could not be executed: `stage` and `error`; nothing is left of it */
	RUN_LOST, /* the monitor died before it could tell; what could be found was killed */
};

/* Where an execution failed; the names on the wire are run_stage_name(). */
enum run_stage {
	STAGE_NONE,
	STAGE_FORK,
	STAGE_CGROUP,
	STAGE_STDIO,
	STAGE_LIMITS,
	STAGE_CHDIR,
	STAGE_EXEC
};
const char *run_stage_name(enum run_stage stage); /* "fork", "exec", ... */

#define RUN_PROCS_MAX 16 /* processes named in a record; the count may be larger */

struct run_proc {
	pid_t pid;
	char comm[16];
};

struct run_procs {
	uint32_t total; /* how many there were; the first RUN_PROCS_MAX are named */
	struct run_proc proc[RUN_PROCS_MAX];
};

struct run_exit {
	bool signalled; /* code is a signal number, else an exit code */
	bool core;
	int code;
};

/* A consistent copy of a run's record. Times: CLOCK_BOOTTIME ns, and wall clock ms for people. */
struct run_report {
	struct run_key key;
	enum run_phase phase;
	pid_t leader;
	uint64_t
	    leader_start; /* start time of the pid, as in /proc/PID/stat; with boot id: identity */
	int64_t started_ns, started_wall_ms;
	int64_t ended_ns, ended_wall_ms; /* of the leader */
	struct run_exit exit;
	enum run_stage stage;
	int error;   /* positive errno of the stage */
	bool killed; /* the monitor carried out an order to kill while the leader lived */
	struct run_procs leftover;   /* what lived on when the leader had ended, and was ended */
	struct run_procs unkillable; /* still there though SIGKILLed; total 0 when they are gone */
	double user_s, system_s;     /* usage of everything that was reaped */
	int64_t max_rss;             /* bytes */
};

/* What to execute. All pointers are borrowed for the call only. */
struct run_spec {
	struct run_key key;
	const char *const *argv; /* NULL-terminated; argv[0] is searched in the PATH of env */
	const char *const *env;  /* NULL-terminated, complete; taskspawnd adds what it alone knows:
				    TASKCTL_DIR, TASKCTL_CANCEL_FILE, NOTIFY_SOCKET (absolute paths) */
	const char *cwd;         /* absolute */
	int umask;
	int stdin_fd, stdout_fd,
	    stderr_fd; /* opened by taskctld, duplicated by sending; -1: /dev/null */
	bool no_new_privs;
	const char *title; /* for the monitor's process name */
};

struct spawner_opts {
	const char
	    *runtime_dir;    /* socket, status file, wake-up FIFO, private directories of tasks */
	const char *program; /* path of taskspawnd; NULL: somebody else (systemd) starts it */
	bool use_cgroups;    /* false: never, even where it could */
};

struct spawner_callbacks {
	/*
	 * The record of a run has changed; read it with spawner_report(). May come without a change. After
	 * every connect (the first, too) it comes once for each run that has a record, when all that the run
	 * said on its notify socket can be read: recovery need not judge a run before that.
	 */
	void (*changed)(void *ctx, struct run_key key);
	/*
	 * The notify socket of a run (a bound datagram socket with SO_PASSCRED, not blocking). Taken by the
	 * callee. Comes before any `changed` of the run; after every connect once for each run that
	 * lives, or is over and has said something that nobody has read. (Only where a monitor was
	 * stopped by somebody for seconds does it come later.)
	 */
	void (*notify_fd)(void *ctx, struct run_key key, int fd);
	/* taskspawnd refused or failed to begin a run: nothing was executed. error: positive errno. A
	   second start of a run that has a record is answered by `changed` instead. */
	void (*refused)(void *ctx, struct run_key key, enum run_stage stage, int error);
	/* Connection to taskspawnd came up (ready) or was lost. Until it is up again orders answer
	   -EAGAIN; when it comes up all records are up to date and every older order has been seen,
	   or was lost with a taskspawnd that died: what the records do not show has to be ordered again.
	   Not called for the first connection, which spawner_new() returns with. */
	void (*connection)(void *ctx, bool ready);
};

/*
 * Connect to the taskspawnd of the runtime directory, starting it first where opts->program says
 * so; waits up to 5 s for it, so that recovery can read all records when this returns.
 */
int spawner_new(struct event_base *base, const struct spawner_opts *opts,
    const struct spawner_callbacks *cb, void *ctx, struct spawner **ret);
void spawner_free(struct spawner *sp); /* taskspawnd lives on as long as there are runs */

bool spawner_ready(const struct spawner *sp);
const char *spawner_containment(const struct spawner *sp); /* "cgroup" or "subreaper" */

/*
 * Read everything that has arrived (socket and FIFO) now, calling the callbacks. For the loop's
 * turn: before a command or timer is carried out, so that an exit that came first counts first.
 */
void spawner_poll(struct spawner *sp);

/* A copy of the record; phase RUN_ABSENT where there is none. Cheap: reads shared memory. */
void spawner_report(const struct spawner *sp, struct run_key key, struct run_report *ret);
/* Calls fn for every record in the status file; for recovery. */
void spawner_each(
    const struct spawner *sp, void (*fn)(void *ctx, const struct run_report *r), void *ctx);

/*
 * True if the leader of a run has ended, even where its monitor has not yet recorded it (the
 * leader is a zombie or its pid belongs to another start time).
 */
bool spawner_leader_gone(const struct spawner *sp, struct run_key key);

/* -E2BIG: more than 4 MiB of arguments and environment; -EAGAIN: not connected. */
int spawner_start(struct spawner *sp, const struct run_spec *spec);

/*
 * Deliver a cancel: taskspawnd replaces TASKCTL_CANCEL_FILE by `json` and cancel.msg beside it by `text`
 * atomically (either may be NULL: not touched), thaws the tree, then signo and SIGCONT go to the
 * leader or to the whole tree (leader first).
 */
int spawner_deliver(struct spawner *sp, struct run_key key, const char *json, size_t json_len,
    const char *text, size_t text_len, int signo, bool tree);
/*
 * How many orders to deliver were taken by taskspawnd (of this and earlier taskctlds), and how many
 * of them its monitor has carried out; `changed` comes when one is.
 */
uint32_t spawner_delivers_asked(const struct spawner *sp, struct run_key key);
uint32_t spawner_delivered(const struct spawner *sp, struct run_key key);
int spawner_signal(struct spawner *sp, struct run_key key, int signo); /* to the leader only */
int spawner_kill(
    struct spawner *sp, struct run_key key); /* SIGKILL to the tree until it is empty */
int spawner_freeze(struct spawner *sp, struct run_key key, bool freeze);
/* The end of this run is in the store: its record may be reused, its private directory removed. */
int spawner_forget(struct spawner *sp, struct run_key key);

#endif

/*
 * taskspawnd's own state and the parts that it is made of. One process, one thread, one epoll;
 * nothing here is shared with taskctld or the monitors, who know only the status file and the wire.
 */
#ifndef TASKCTL_SPAWND_H
#define TASKCTL_SPAWND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup.h"
#include "monitor.h"
#include "spawnwire.h"
#include "statfile.h"

#define POOL_MAX     4   /* cgroups kept ready */
#define OUT_MAX      256 /* replies queued before no more orders are read */
#define HELPERS_MAX  32
#define RUNDIR_NAMES 40 /* "task-run", both in decimal */

struct spawnd_options {
	const char *runtime_dir; /* absolute */
	bool use_cgroups;
	bool stay;
	uid_t client_uid; /* let in besides root and our own; (uid_t)-1: nobody */
	char *title;      /* memory of argv for the names of monitors */
	size_t title_len;
};

struct run {
	pid_t keeper;   /* 0: none any more */
	int pidfd;      /* of a keeper that is no child of ours; else -1 */
	bool used;      /* there is a record */
	bool announced; /* this client knows the run, and the notify socket if it lives */
	bool asked;     /* the keeper was asked to show the notify socket */
	bool given;     /* this client has it */
};

struct out_msg {
	struct out_msg *next;
	struct wire_msg msg;
	int fd; /* owned; -1: none */
};

struct client {
	int fd; /* -1: none */
	bool welcome;
	struct out_msg *out, **out_tail;
	unsigned out_count;
	/* the round through all runs after hello */
	bool announcing;
	uint32_t cursor;
	unsigned asked;     /* and not yet answered */
	int64_t give_up_at; /* on those; CLOCK_BOOTTIME ns */
};

struct pool_cgroup {
	char dir[CGROUP_PATH_MAX], path[CGROUP_PATH_MAX];
};

/* Lives in a mapping of its own that forks leave behind, so that monitors stay small. */
struct spawnd {
	const struct spawnd_options *opts;
	int lock_fd, epoll_fd, signal_fd, listen_fd, greet_fd, wake_fd, null_fd, tasks_fd;
	int status_fd;  /* read-only, for clients */
	bool listening; /* listen_fd is in the epoll set: there is no client */
	bool stopping;
	bool reset_oom, hide;
	bool fresh;           /* nobody has connected yet */
	bool orphans;         /* children that are no keepers may be there */
	bool undertake_again; /* there was no process for an undertaker */
	struct statfile sf;
	struct stat_index index;
	struct run run[STATFILE_SLOTS];
	uint32_t free_hint; /* no free slot is lower */
	uint32_t used, live;
	struct client client;
	struct tree_scratch *scratch;
	bool cgroups;
	struct cgroup_base base;
	struct pool_cgroup pool[POOL_MAX];
	unsigned pool_count;
	uint64_t cgroup_seq;
	pid_t helper[HELPERS_MAX]; /* children that remove directories */
	char *in; /* the message being read; apart, since a monitor reads its command from it */
};

/* setup.c: everything that is opened at start. 0, or -errno with a line on stderr. */
int setup_open(struct spawnd *sd, const struct spawnd_options *opts);
void setup_close(struct spawnd *sd);   /* orderly end: takes the sockets away */
int setup_pool_one(struct spawnd *sd); /* one more cgroup that is kept ready; 0 or -errno */

/* slots.c */
/* Claims a free slot for the key: an empty record, a cgroup from the pool. Slot or -errno. */
int slot_claim(struct spawnd *sd, struct stat_key key, uint64_t *claim);
void slot_release(struct spawnd *sd, uint32_t slot); /* and removes the private directory */
/* pid 0: none any more. A keeper that is no child of ours comes with a pidfd, which is taken. */
void slot_set_keeper(struct spawnd *sd, uint32_t slot, pid_t pid, int pidfd);
int slot_of_keeper(const struct spawnd *sd, pid_t pid); /* slot or -1 */
void slot_keeper_fill(struct spawnd *sd, uint32_t slot, uint64_t before, struct keeper *k);

/* spawn.c: begins a run, or refuses it */
void spawn_handle(struct spawnd *sd, struct wire_in *in);

/* orders.c */
void order_handle(struct spawnd *sd, const struct wire_in *in);
void order_kill_all(struct spawnd *sd);
void order_bell(struct spawnd *sd, uint32_t slot); /* have the keeper look at its orders */

/* runs.c */
void runs_adopt(struct spawnd *sd); /* what the status file had when we started */
void runs_reap(struct spawnd *sd);  /* after SIGCHLD */
void runs_keeper_gone(struct spawnd *sd, uint32_t slot);
void runs_undertake_again(struct spawnd *sd);

/* client.c: the connection to taskctld */
void client_accept(struct spawnd *sd);
void client_read(struct spawnd *sd);
void client_flush(struct spawnd *sd);
/* Queues or sends a message; takes the descriptor (-1: none). No client: drops both. */
void client_send_take(struct spawnd *sd, struct wire_msg *msg, int fd);
void client_notify_take(struct spawnd *sd, uint32_t slot, bool known_before, int fd);
/* A keeper that was asked for its notify socket has ended. */
void client_no_answer(struct spawnd *sd, uint32_t slot);
/* Goes on with the round through all runs. */
void client_announce(struct spawnd *sd);
/* Milliseconds until client_announce() has to be called again; -1: not by time. */
int client_timeout(const struct spawnd *sd);
/* Monitors that show their notify sockets; the descriptor is closed. */
void greeting_accept(struct spawnd *sd);
void greeting_read(struct spawnd *sd, int fd);

/* rundir.c: private directories of runs */
void rundir_name(char name[RUNDIR_NAMES], struct stat_key key);
/* Makes the directory with a bound notify socket in it; returns the socket or -errno. */
/* Whose directory a run is told of: its task's own run's, or, after a reboot, its own. */
struct stat_key rundir_of_task(const char *runtime_dir, struct stat_key key);
int rundir_open(struct spawnd *sd, struct stat_key key); /* descriptor, or -1 with errno */
int rundir_make(struct spawnd *sd, struct stat_key key);
/* Replaces a file in it; both names are fixed. -errno where that failed. */
int rundir_write(int dir, const char *name, const char *data, size_t size);
void rundir_remove(struct spawnd *sd, struct stat_key key);
void rundir_sweep(struct spawnd *sd); /* directories without a record */
bool rundir_is_helper(struct spawnd *sd, pid_t pid, bool ended);

/* spawnd.c */
enum { TAG_SIGNAL, TAG_LISTEN, TAG_GREET, TAG_GREETING, TAG_CLIENT, TAG_KEEPER };
/* Adds a descriptor to the epoll set; `which` is a slot or a descriptor. 0 or -errno. */
int spawnd_watch(struct spawnd *sd, int fd, uint32_t events, uint32_t tag, uint32_t which);
int spawnd_run(const struct spawnd_options *opts, void (*ready)(void *ctx), void *ctx);
void spawnd_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif

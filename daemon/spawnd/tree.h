/*
 * All processes of a run, wherever they have hidden: found by cgroup, as descendants of the
 * monitor, or by what is in their environment. Allocates nothing.
 */
#ifndef TASKCTL_TREE_H
#define TASKCTL_TREE_H

#include <stdbool.h>
#include <sys/types.h>

#include "proc.h"
#include "statfile.h"

struct tree_scratch {
	struct pidset found, seen;
};

struct tree {
	pid_t root;         /* its descendants; 0: not by descent */
	int cgfd;           /* -1: no cgroup */
	const char *cgpath; /* as in /proc/PID/cgroup */
	const char *env[2]; /* entries that only this run's processes have */
	bool by_env;        /* look for them */
	bool dying_too;     /* visit also what was killed and is not gone */
	/* fresh anonymous memory, given back to the kernel after use */
	struct tree_scratch *scratch;
};

enum tree_reach {
	TREE_QUICK, /* with a cgroup what is in it, and no look at all of /proc */
	TREE_ALL,   /* also what has left the cgroup */
};

typedef void tree_fn(void *ctx, int procfd, const struct proc_stat *st);

/* Calls fn for each process that is not dead or dying, held by a descriptor. */
void tree_each(struct tree *t, enum tree_reach reach, tree_fn *fn, void *ctx);

/* Sends signo (0: none), and then SIGCONT if asked to, to every process but `except`. */
void tree_signal(struct tree *t, enum tree_reach reach, int signo, bool cont, pid_t except);
/* SIGKILL to all that is found; true if something was found. */
bool tree_kill(struct tree *t, enum tree_reach reach);
void tree_freeze(struct tree *t, bool freeze);
/* Names what is alive, with or without what is dying but not dead; true if that is another list than
   the one that was there. */
bool tree_list(struct tree *t, bool dying_too, struct stat_procs *ret);

#endif

/*
 * Control groups, version 2: one directory a run below a base of ours. Needs nothing but libc,
 * allocates nothing.
 *
 * A directory is used for one run and then removed, never used again: what a task wrote into it
 * would pass to the next, and newer kernels kill what joins a group that was killed as a whole.
 */
#ifndef TASKCTL_CGROUP_H
#define TASKCTL_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CGROUP_PATH_MAX 224

struct cgroup_base {
	char dir[CGROUP_PATH_MAX];  /* in the file system */
	char path[CGROUP_PATH_MAX]; /* as /proc/PID/cgroup names it */
};

/*
 * Finds or makes `name` below our own cgroup. -ENOENT: no version 2 hierarchy; -EOPNOTSUPP: the
 * kernel is too old (cgroup.kill, Linux 5.14); else why it is not ours to write.
 */
int cgroup_base_init(struct cgroup_base *base, const char *name);

/* Makes a new directory, named by the caller, with its two names; both hold CGROUP_PATH_MAX. */
int cgroup_make(const struct cgroup_base *base, const char *name, char *dir, char *path);
int cgroup_open(const char *dir); /* O_DIRECTORY descriptor or -errno */
/* Removes a directory and all below it, which must be empty of processes. 0 if it is gone. */
int cgroup_remove(const char *dir);

/* All take cgroup_open()'s descriptor and answer 0 or -errno. */
int cgroup_open_procs(int cgfd); /* for writing "0": what the process that joins does itself */
int cgroup_kill(int cgfd);       /* SIGKILL to all in it and below, atomically */
int cgroup_freeze(int cgfd, bool freeze);
bool cgroup_populated(int cgfd); /* a directory that is gone is not populated */
/* Calls fn for each process in it and below it. */
void cgroup_each(int cgfd, void (*fn)(void *ctx, pid_t pid), void *ctx);

#endif

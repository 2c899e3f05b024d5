/*
 * What the kernel tells about processes, without allocating. Shared by taskctld, taskspawnd and
 * the monitors; needs nothing but libc.
 *
 * A process is held by a descriptor before it is looked at: proc_open() gives its directory in
 * /proc, which stays bound to that one process and which the kernel accepts as a pidfd. Whatever
 * is read through it and the signal sent through it concern the same process, however fast pids
 * are reused.
 */
#ifndef TASKCTL_PROC_H
#define TASKCTL_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_BOOT_ID_LEN 37 /* with the NUL */

struct proc_stat {
	pid_t pid;
	pid_t ppid;
	char comm[16];
	char state;
	bool dying;     /* a zombie, exiting, or killed by a signal that it has yet to act on */
	int threads;    /* the leading thread counts for as long as the process is there */
	uint64_t start; /* clock ticks since boot */
};

/* The id of this boot of the machine; empty where the kernel does not say. */
int proc_boot_id(char id[PROC_BOOT_ID_LEN]);

/* A descriptor for /proc/PID, or -errno; -ESRCH where there is no such process. */
int proc_open(pid_t pid);
/* Reads a process's stat through proc_open()'s descriptor; -ESRCH once it was reaped. */
int proc_stat_at(int procfd, struct proc_stat *ret);
int proc_stat(pid_t pid, struct proc_stat *ret);
/* It has ended, for certain: not if we cannot look. */
bool proc_gone(pid_t pid, uint64_t start);
/* True if the process is there, is no zombie and started at that time. */
bool proc_is(pid_t pid, uint64_t start);
/* A pidfd for a process that started at that time, else -errno. */
int proc_pidfd(pid_t pid, uint64_t start);
/* Sends by a pidfd or proc_open()'s descriptor. */
int proc_signal(int fd, int signo);
/* True if the environment of the process holds every one of these "NAME=value" strings. */
bool proc_has_env(int procfd, const char *const want[], size_t nwant);
/* True if the process is in this cgroup (a path as in /proc/PID/cgroup) or one below it. */
bool proc_in_cgroup(int procfd, const char *path);

/* Calls fn for each name in a directory, "." and ".." excepted, until it returns false. */
int proc_each_name(int dirfd, bool (*fn)(void *ctx, const char *name), void *ctx);
/* Calls fn for each pid in /proc until it returns false. */
int proc_each(bool (*fn)(void *ctx, pid_t pid), void *ctx);

/*
 * A set of pids in memory that the caller provides, all zero at first. When it is full further
 * pids are left out: whoever kills by it goes round again.
 */
#define PIDSET_SLOTS 16384
#define PIDSET_MAX   12288
struct pidset {
	uint32_t count;
	pid_t slot[PIDSET_SLOTS];
};
bool pidset_has(const struct pidset *set, pid_t pid);
bool pidset_add(struct pidset *set, pid_t pid); /* false if it was in already, or did not fit */

/*
 * Adds all descendants of root, by the kernel's lists of children where it has them, else by
 * looking through /proc until nothing new turns up.
 */
void proc_descendants(pid_t root, struct pidset *set);
bool proc_lists_children(void); /* the kernel has such lists: descendants cost little */

/* Closes every descriptor from low on. */
void proc_close_from(int low);

int64_t proc_boottime_ns(void); /* counts the time asleep */
int64_t proc_wall_ms(void);

#endif

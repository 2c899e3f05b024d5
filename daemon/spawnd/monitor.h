/*
 * The keepers of runs, both forked by taskspawnd and independent of it from then on: the monitor,
 * which executes the command and sees its tree to the end, and the undertaker, which clears up after a
 * monitor that was killed.
 */
#ifndef TASKCTL_MONITOR_H
#define TASKCTL_MONITOR_H

#include <sys/un.h>

#include "leader.h"
#include "statfile.h"
#include "tree.h"

/* What a keeper needs to find its run and to be found. Copied out of taskspawnd's memory, which is
   not there any more after the fork. */
struct keeper {
	struct stat_header *header;
	struct stat_slot *slot;
	uint32_t slot_no;
	uint64_t before; /* the word `keeper` of the slot that we take over from */
	int wake_fd;
	struct tree_scratch *scratch;
	char *title; /* memory that ps shows, with its length; NULL: none */
	size_t title_len;
	bool hide; /* be not dumpable */
};

struct monitor_spec {
	struct keeper keeper;
	struct leader_spec leader; /* cgroup_procs is found by the monitor */
	int stdio[3];              /* -1: null_fd */
	int null_fd;
	int notify_fd;
	struct sockaddr_un greetings;
	void *message; /* mapped memory that argv and all other strings are in */
	size_t message_len;
	const char *title;
};

/* In the child after a fork. Slot claimed, all signals blocked. */
_Noreturn void monitor_run(const struct monitor_spec *spec);

/*
 * In the child after a fork: kills what is left of the run, by cgroup or by these two entries of the
 * environment, and then records that it is lost (over, if its leader's end is on record).
 */
_Noreturn void undertaker_run(const struct keeper *keeper, const char *env_id, const char *env_dir);

/* Shared by both. Takes the slot; false: it is not as it was before. */
bool keeper_take_slot(const struct keeper *k);
/* In the child after a fork: closes all descriptors above 2 but this one, which is returned under its
   new number. The lock of taskspawnd above all must not live on in its children. */
int keeper_keep_only(int fd);
/* Wakes taskctld. False: the FIFO is full, nobody was told. */
bool keeper_wake(const struct keeper *k);
/* Publishes the record and wakes taskctld. */
void keeper_publish(const struct keeper *k, const struct stat_record *rec);
void keeper_title(const struct keeper *k, const char *text);

#endif

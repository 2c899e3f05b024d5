/*
 * The status file: what is known of every run, in fixed slots of one mapped file. Shared by
 * taskspawnd and the monitors, who write it, and taskctld, who maps it read-only. libc only.
 *
 * Who writes what of a slot:
 *   taskspawnd: `used`, the claim (key, cgroup), the orders to the monitor, `forgotten`
 *   the keeper: its own identity and the record. A keeper is the process in charge of the run: its
 *	monitor, or after the monitor's death the undertaker. There is one at a time.
 *	And `delivered`.
 *
 * A record is kept twice. The writer fills in the copy that is not current and then makes it so
 * by raising `seq`; a writer killed at any instruction leaves the older copy whole.
 *
 * The layout is part of the contract between programs of different versions: change it only
 * together with STATFILE_VERSION.
 */
#ifndef TASKCTL_STATFILE_H
#define TASKCTL_STATFILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup.h"
#include "proc.h"

#define STATFILE_MAGIC   0x74736b73u
#define STATFILE_VERSION 1
#define STATFILE_SLOTS   16384
#define STAT_PROCS_MAX   16

/* In the order of a run's life; taskctld's enum run_phase has the same values. */
enum stat_phase {
	STAT_ABSENT,
	STAT_STARTING,
	STAT_RUNNING,
	STAT_LEADER_ENDED,
	STAT_OVER,
	STAT_UNSTARTED,
	STAT_LOST,
};

/* Where an execution failed; as enum run_stage. */
enum stat_stage {
	STAT_STAGE_NONE,
	STAT_STAGE_FORK,
	STAT_STAGE_CGROUP,
	STAT_STAGE_STDIO,
	STAT_STAGE_LIMITS,
	STAT_STAGE_CHDIR,
	STAT_STAGE_EXEC,
};

enum stat_flag {
	STAT_SIGNALLED = 1, /* `code` is a signal */
	STAT_CORE = 2,
	STAT_KILLED = 4, /* an order to kill was carried out while the leader lived */
};

struct stat_key {
	uint64_t task;
	uint32_t run;
};

struct stat_procs {
	uint32_t total;
	uint32_t spare;
	struct stat_proc {
		int32_t pid;
		char comm[16];
	} proc[STAT_PROCS_MAX];
};

/* Times: CLOCK_BOOTTIME ns and wall clock ms. */
struct stat_record {
	uint64_t task;
	uint32_t run;
	uint32_t phase;
	int32_t leader;
	uint32_t flags;
	uint64_t leader_start;
	int64_t started_ns, started_wall_ms;
	int64_t ended_ns, ended_wall_ms;
	int32_t code;
	int32_t stage;
	int32_t error;
	uint32_t spare;
	int64_t user_us, system_us;
	int64_t max_rss; /* bytes */
	struct stat_procs leftover, unkillable;
};

#define STAT_RECORD_WORDS (sizeof(struct stat_record) / 8)

/*
 * The word `keeper` of a slot: the keeper's pid and start time in one, so that it changes hands
 * atomically. Without a pid it is a claim that no monitor has taken yet; its number keeps a monitor
 * that was stopped at birth from taking a later one.
 */
#define STAT_PID_BITS 22
static inline uint64_t
stat_keeper(pid_t pid, uint64_t start)
{
	return start << STAT_PID_BITS | (uint64_t)pid;
}
static inline pid_t
stat_keeper_pid(uint64_t keeper)
{
	return (pid_t)(keeper & ((1u << STAT_PID_BITS) - 1));
}
static inline uint64_t
stat_keeper_start(uint64_t keeper)
{
	return keeper >> STAT_PID_BITS;
}

/*
 * Orders are levels and sets, not a queue: a monitor that looks late sees all that is wanted, and
 * nothing can overflow. Signals of one kind that are sent faster than the monitor runs coalesce, as signals do.
 */
struct stat_orders {
	_Atomic uint64_t deliver_leader; /* bit signo - 1: send it and SIGCONT, thaw before */
	_Atomic uint64_t deliver_tree;
	_Atomic uint64_t plain; /* to the leader, nothing else */
	_Atomic uint32_t kill;
	_Atomic uint32_t freeze;   /* the wanted state */
	_Atomic uint32_t greet;    /* counts up: show the notify socket to taskspawnd */
	_Atomic uint32_t delivers; /* counts up with every order to deliver */
};

struct stat_slot {
	_Alignas(64) _Atomic uint32_t used; /* the claim below is valid */
	_Atomic uint32_t forgotten; /* nobody wants the record: free it when the keeper ends */
	_Atomic uint32_t seq;       /* the current copy is record[seq % 2] */
	_Atomic uint32_t delivered; /* of orders.delivers, how many the keeper has carried out */
	_Atomic uint64_t keeper;
	struct stat_orders orders;
	char cgroup_dir[CGROUP_PATH_MAX]; /* empty: none */
	char cgroup_path[CGROUP_PATH_MAX];
	_Atomic uint64_t record[2][STAT_RECORD_WORDS];
};

struct stat_header {
	uint32_t magic;
	uint32_t version;
	uint32_t slot_size;
	uint32_t slots;
	char boot_id[40];
	_Atomic uint32_t high;     /* slots at and above this number were never used */
	_Atomic uint32_t overflow; /* counts wake-ups that did not fit into the FIFO */
	_Atomic uint32_t claims;   /* counts claims, for `keeper` */
};

struct statfile {
	int fd;
	struct stat_header *header;
	struct stat_slot *slots;
};

/*
 * taskspawnd: opens the file, for reading and writing. A file of this boot and version is kept
 * with its records (*kept is true), any other is replaced by a new one.
 */
int statfile_open(struct statfile *sf, const char *path, bool *kept);
/* taskctld: maps a descriptor of the file read-only; the descriptor stays the caller's. */
int statfile_map(struct statfile *sf, int fd);
void statfile_release(struct statfile *sf);

/*
 * Makes sure that the slot lies on the disk, so that no store to it can fail later; raises `high`.
 * -ENOSPC and the like otherwise.
 */
int statfile_reserve(struct statfile *sf, uint32_t slot);

/* The keeper's side, and taskspawnd's before there is one. */
void stat_write(struct stat_slot *slot, const struct stat_record *rec);
/* A consistent copy of the record of a slot in use; false where there is none or it is forgotten. */
bool stat_read(const struct stat_slot *slot, struct stat_record *rec);
bool stat_read_any(const struct stat_slot *slot, struct stat_record *rec); /* forgotten or not */
/* True for phases after which a keeper writes nothing more. */
bool stat_final(uint32_t phase);

/* Where the record of a key is. Keeps a copy of the keys; not in shared memory. */
struct stat_index {
	uint16_t head[STATFILE_SLOTS]; /* slot + 1, 0 at the end of a chain */
	uint16_t next[STATFILE_SLOTS];
	struct stat_key key[STATFILE_SLOTS];
};
int stat_index_find(const struct stat_index *ix, struct stat_key key); /* slot, or -1 */
void stat_index_add(struct stat_index *ix, struct stat_key key, uint32_t slot);
void stat_index_remove(struct stat_index *ix, uint32_t slot);

#endif

/*
 * The store: tasks and events on disk, in one SQLite database (WAL, synchronous=FULL).
 *
 * Writes gather in one transaction, which the first of them opens and store_commit() ends; the
 * server commits once a loop turn, before replies and irreversible effects. After a failed write
 * or commit the whole transaction is gone: the caller decides, nothing is tried again here.
 * Checkpoints of the WAL run in a thread of their own, since they would stall the loop.
 *
 * Functions return 0 or -errno: -ENOSPC, -EIO, -EROFS, -ENOMEM, -EUCLEAN (not our database, or
 * damaged), -ENOENT where a row is not there.
 */
#ifndef TASKCTL_STORE_H
#define TASKCTL_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "task.h"

struct store;

/*
 * Opens DIR/taskctl.db, making it where there is none, and checks its version. On failure *why is
 * a sentence that says what to do (the caller's to free).
 */
int store_open(const char *dir, struct store **ret, char **why);
void store_close(struct store *st);

/* False if the machine was rebooted since the database was last used. */
bool store_same_boot(const struct store *st);
/* From the next commit on the database belongs to this boot. */
int store_claim_boot(struct store *st);

uint64_t store_last_id(const struct store *st);  /* the highest id ever used */
uint64_t store_last_seq(const struct store *st); /* of the newest event, 0: none */

/* Writes a task: all of it if it is fresh, else its facts. */
int store_put_task(struct store *st, const struct task *t);
int store_remove_task(struct store *st, uint64_t id);
int store_put_event(struct store *st, uint64_t seq, uint64_t task, const char *body);
/* Drops the oldest events, at most a few hundred a call, so that about `keep` are left. */
int store_prune_events(struct store *st, uint64_t newest, uint64_t keep);
uint64_t store_first_seq(struct store *st); /* of the oldest event kept, 0: none */

/* 0 also if nothing was written. After a failure everything since the last commit is undone. */
int store_commit(struct store *st);
void store_rollback(struct store *st);
bool store_is_dirty(const struct store *st);
/* Commits a row of its own: does the disk take writes again, after a failure? */
int store_probe(struct store *st);

/* A new task from its row; NULL and -errno in *error. The caller's to free. */
struct task *store_get(struct store *st, uint64_t id, int *error);

/* Every task that has not ended, oldest first; fn takes the task. A row that cannot be read is told as NULL. */
int store_each_live(
    struct store *st, void (*fn)(void *ctx, uint64_t id, struct task *t), void *ctx);

int store_find_name(struct store *st, const char *name, uint64_t *id); /* the newest of the name */
int store_find_key(struct store *st, const char *key, uint64_t *id);

/* Which tasks; members that are unset do not restrict. */
struct store_query {
	unsigned states; /* bit per state, 0: any */
	const char *name;
	const json_t *labels; /* object of strings */
	uint64_t after;       /* ids beyond this one, in the order asked for; 0: from the start */
	bool descending;
	unsigned limit;
};

/* The ids that match, at most query->limit, into ids. Returns how many, or -errno. */
int store_query_ids(struct store *st, const struct store_query *query, uint64_t *ids);

/* Counts of ended tasks by state (indexes are enum task_state). Kept in memory: cheap. */
void store_counts(const struct store *st, uint64_t count[TASK_NSTATES]);

/*
 * Events with a seq above `after`, oldest first, at most `limit`, and only as long as fn returns true.
 * Returns how many were given, or -errno.
 */
int store_each_event(struct store *st, uint64_t after, unsigned limit,
    bool (*fn)(void *ctx, uint64_t seq, uint64_t task, const char *body), void *ctx);

/*
 * The numbers of all output files that tasks own, ascending; the array is the caller's to free.
 * Returns how many, or -errno.
 */
ssize_t store_outputs(struct store *st, uint64_t **numbers);

#endif

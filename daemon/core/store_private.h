/*
 * Inside the store: what its two files share.
 */
#ifndef TASKCTL_STORE_PRIVATE_H
#define TASKCTL_STORE_PRIVATE_H

#include <sqlite3.h>

#include "store.h"

#define STORE_BOOT_ID_LEN 36

enum statement {
	PUT_SPEC,
	PUT_LABEL,
	PUT_TASK,
	SET_TASK,
	DEL_SPEC,
	DEL_TASK,
	DEL_LABELS,
	PUT_EVENT,
	DEL_EVENTS,
	FIRST_EVENT,
	GET_TASK,
	EACH_LIVE,
	FIND_NAME,
	FIND_KEY,
	EACH_EVENT,
	PUT_META,
	EACH_OUTPUT,
	NSTATEMENTS
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *st[NSTATEMENTS]; /* prepared when first used */
	struct checkpointer *checkpointer;
	bool in_transaction;
	int failed; /* -errno of the first write of this transaction that failed */
	bool same_boot;
	char boot_id[STORE_BOOT_ID_LEN + 1];
	uint64_t last_id, last_seq;
	uint64_t count[TASK_NSTATES], uncommitted[TASK_NSTATES];
	uint64_t gone[TASK_NSTATES]; /* removed in this transaction */
};

int store_errno(struct store *st, int rc); /* 0 or -errno of a result code of SQLite */
/* Prepared when first used; NULL on failure (sqlite3_errcode()). */
sqlite3_stmt *store_statement(struct store *st, enum statement which);
void store_bind_text(sqlite3_stmt *s, int at, const char *text); /* NULL: null */
/* Runs a statement that gives no rows, and makes it ready for its next use. */
int store_run(struct store *st, sqlite3_stmt *s);
int store_delete(struct store *st, enum statement which, uint64_t id);
int store_begin(struct store *st);           /* the transaction, if there is none */
int store_fail(struct store *st, int error); /* notes a failed write; returns error */

#endif

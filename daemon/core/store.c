/*
 * Tasks and events in SQLite: the schema, one transaction a loop turn, and the few queries that
 * the daemon needs.
 */
#include "store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "json.h"
#include "store_checkpoint.h"
#include "util.h"

#define SCHEMA_VERSION 1
#define APPLICATION_ID 0x7461736b /* "task" */
#define LOG_BYTES      4194304    /* of the write-ahead log, about what a checkpoint waits for */

/*
 * A task is two rows: what never changes (spec) and what does (task). Both partial indexes are
 * by what the daemon asks: which tasks are alive, and which ended ones have a state.
 */
static const char schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE spec(id INTEGER PRIMARY KEY, name TEXT NOT NULL, key TEXT, body TEXT NOT NULL);"
    "CREATE TABLE task(id INTEGER PRIMARY KEY, state INTEGER NOT NULL, output INTEGER NOT NULL,"
    " errors INTEGER NOT NULL, facts TEXT NOT NULL);"
    "CREATE TABLE label(key TEXT, value TEXT, task INTEGER, PRIMARY KEY(key, value, task))"
    " WITHOUT ROWID;"
    "CREATE TABLE event(seq INTEGER PRIMARY KEY, task INTEGER NOT NULL, body TEXT NOT NULL);"
    "CREATE INDEX spec_name ON spec(name, id);"
    "CREATE UNIQUE INDEX spec_key ON spec(key) WHERE key IS NOT NULL;"
    "CREATE INDEX task_live ON task(id) WHERE state < 6;"
    "CREATE INDEX task_ended ON task(state, id) WHERE state >= 6;"
    "CREATE INDEX label_task ON label(task);";
_Static_assert(TASK_DONE == 6, "the schema knows where the ended states begin");

#define TASK_COLUMNS "t.id, t.state, s.name, s.key, s.body, t.facts"

#define EACH_OUTPUT_SQL                                   \
	"SELECT output FROM task WHERE output > 0 UNION " \
	"SELECT errors FROM task WHERE errors > 0 ORDER BY 1"

static const char *const statements[NSTATEMENTS] = {
    [PUT_SPEC] = "INSERT INTO spec(id, name, key, body) VALUES(?1, ?2, ?3, ?4)",
    [PUT_LABEL] = "INSERT INTO label(task, key, value) VALUES(?1, ?2, ?3)",
    [PUT_TASK] = "INSERT INTO task(id, state, output, errors, facts) VALUES(?1, ?2, ?3, ?4, ?5)",
    [SET_TASK] = "UPDATE task SET state = ?2, output = ?3, errors = ?4, facts = ?5 WHERE id = ?1",
    [DEL_SPEC] = "DELETE FROM spec WHERE id = ?1",
    [DEL_TASK] = "DELETE FROM task WHERE id = ?1",
    [DEL_LABELS] = "DELETE FROM label WHERE task = ?1",
    [PUT_EVENT] = "INSERT INTO event(seq, task, body) VALUES(?1, ?2, ?3)",
    [DEL_EVENTS] = "DELETE FROM event WHERE seq <= ?1",
    [FIRST_EVENT] = "SELECT min(seq) FROM event",
    [GET_TASK] = "SELECT " TASK_COLUMNS " FROM task t JOIN spec s USING(id) WHERE t.id = ?1",
    [EACH_LIVE] =
	"SELECT " TASK_COLUMNS " FROM task t JOIN spec s USING(id) WHERE t.state < 6 ORDER BY t.id",
    [FIND_NAME] = "SELECT id FROM spec WHERE name = ?1 ORDER BY id DESC LIMIT 1",
    [FIND_KEY] = "SELECT id FROM spec WHERE key = ?1",
    [EACH_EVENT] = "SELECT seq, task, body FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    [PUT_META] = "INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)",
    [EACH_OUTPUT] = EACH_OUTPUT_SQL,
};

/* -- errors -- */

int
store_errno(struct store *st, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW: return 0;
	case SQLITE_FULL: return -ENOSPC;
	case SQLITE_READONLY: return -EROFS;
	case SQLITE_NOMEM: return -ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return -EUCLEAN;
	case SQLITE_IOERR:
		if (st->db != NULL && sqlite3_system_errno(st->db) == ENOSPC)
			return -ENOSPC;
		return -EIO;
	case SQLITE_CANTOPEN: return -ENOENT;
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return -EBUSY;
	default: return -EIO;
	}
}

/* -- statements -- */

sqlite3_stmt *
store_statement(struct store *st, enum statement which)
{
	if (st->st[which] == NULL)
		sqlite3_prepare_v3(
		    st->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT, &st->st[which], NULL);
	return st->st[which];
}

void
store_bind_text(sqlite3_stmt *s, int at, const char *text)
{
	if (text == NULL)
		sqlite3_bind_null(s, at);
	else
		sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
}

/* Runs a statement that gives no rows, and makes it ready for its next use. */
int
store_run(struct store *st, sqlite3_stmt *s)
{
	int rc;

	if (s == NULL)
		return store_errno(st, sqlite3_errcode(st->db));
	rc = sqlite3_step(s);
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return store_errno(st, rc);
}

static int
execute(struct store *st, const char *sql)
{
	return store_errno(st, sqlite3_exec(st->db, sql, NULL, NULL, NULL));
}

static int
scalar(struct store *st, const char *sql, int64_t *ret)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(st->db, sql, -1, &s, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	*ret = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
	sqlite3_finalize(s);
	return store_errno(st, rc);
}

/* -- opening -- */

/* Without it nobody could tell a restart of the daemon from one of the machine. */
static int
read_boot_id(char id[STORE_BOOT_ID_LEN + 1])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, id, STORE_BOOT_ID_LEN) : 0;

	id[STORE_BOOT_ID_LEN] = '\0';
	close_fd(&fd);
	return n == STORE_BOOT_ID_LEN ? 0 : -ENODEV;
}

static int
log_hook(void *ctx, sqlite3 *db, const char *name, int pages)
{
	struct store *st = ctx;

	(void)db;
	(void)name;
	checkpointer_log_grew(st->checkpointer, pages);
	return SQLITE_OK;
}

/* Of a database that is new. */
static int
make_schema(struct store *st)
{
	int64_t tables = 0;
	char *sql;
	int r = scalar(st, "SELECT count(*) FROM sqlite_master", &tables);

	if (r < 0 || tables > 0)
		return r;
	sql = xasprintf("BEGIN IMMEDIATE;%s PRAGMA application_id=%d;"
			"PRAGMA user_version=%d; COMMIT",
	    schema, APPLICATION_ID, SCHEMA_VERSION);
	r = execute(st, sql);
	free(sql);
	return r;
}

/* Before anything is written: the file may be another program's. */
static int
check_version(struct store *st, char **why)
{
	int64_t version = 0, application = 0, tables = 0;
	int r;

	if ((r = scalar(st, "PRAGMA user_version", &version)) < 0 ||
	    (r = scalar(st, "PRAGMA application_id", &application)) < 0 ||
	    (r = scalar(st, "SELECT count(*) FROM sqlite_master", &tables)) < 0)
		return r;
	if (tables == 0 && version == 0)
		return 0;
	if (application != APPLICATION_ID) {
		*why = xstrdup("it is a database of another program; choose another state "
			       "directory, or move the file away");
		return -EUCLEAN;
	}
	if (version != SCHEMA_VERSION) {
		*why = xasprintf("it has version %lld, and this taskctld knows version %d; use a "
				 "taskctld that fits, or move the file away",
		    (long long)version, SCHEMA_VERSION);
		return -EUCLEAN;
	}
	return 0;
}

static int
read_boot(struct store *st, char **why)
{
	sqlite3_stmt *s = NULL;
	int rc;

	if (read_boot_id(st->boot_id) < 0) {
		*why = xstrdup(
		    "the kernel's boot id (/proc/sys/kernel/random/boot_id) cannot be read, "
		    "and without it running tasks could not be told from those of before "
		    "a reboot; let taskctld read it (ProcSubset=all)");
		return -ENODEV;
	}
	rc = sqlite3_prepare_v2(
	    st->db, "SELECT value FROM meta WHERE key = 'boot_id'", -1, &s, NULL);
	if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		const char *id = (const char *)sqlite3_column_text(s, 0);

		st->same_boot = id != NULL && strcmp(id, st->boot_id) == 0;
	}
	sqlite3_finalize(s);
	return store_errno(st, rc);
}

static int
read_counters(struct store *st)
{
	int64_t id = 0, kept = 0, seq = 0;
	sqlite3_stmt *s = NULL;
	int r;

	if ((r = scalar(st, "SELECT max(id) FROM spec", &id)) < 0 ||
	    (r = scalar(st, "SELECT value FROM meta WHERE key = 'last_id'", &kept)) < 0 ||
	    (r = scalar(st, "SELECT max(seq) FROM event", &seq)) < 0)
		return r;
	st->last_id = (uint64_t)MAX(id, kept);
	st->last_seq = (uint64_t)seq;
	r = sqlite3_prepare_v2(st->db,
	    "SELECT state, count(*) FROM task WHERE state >= 6 GROUP BY state", -1, &s, NULL);
	while (r == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) {
		int state = sqlite3_column_int(s, 0);

		if (state >= 0 && state < TASK_NSTATES)
			st->count[state] = (uint64_t)sqlite3_column_int64(s, 1);
	}
	sqlite3_finalize(s);
	return store_errno(st, r);
}

/*
 * A commit into a log that grows costs the file system a second write, of the file's new size: more
 * than twice the time. So the log is made as long as it usually gets, with zeros, which SQLite takes
 * for its end; and it is kept when we close. Without room for that it grows as it must.
 */
static void
lengthen_log(struct store *st, const char *path)
{
	static const char zeros[64 * 1024];
	char *log = xasprintf("%s-wal", path);
	int fd = open(log, O_WRONLY | O_CLOEXEC | O_NOFOLLOW), keep = 1;
	struct stat s;
	off_t at;

	free(log);
	sqlite3_file_control(st->db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
	if (fd < 0 || fstat(fd, &s) < 0) {
		close_fd(&fd);
		return;
	}
	for (at = s.st_size; at < LOG_BYTES; at += (off_t)sizeof(zeros))
		if (pwrite(fd, zeros, sizeof(zeros), at) != (ssize_t)sizeof(zeros))
			break;
	if (at < LOG_BYTES && ftruncate(fd, s.st_size) < 0)
		at = LOG_BYTES; /* then it stays as it is */
	fdatasync(fd);
	close_fd(&fd);
}

static int
set_up(struct store *st, const char *path, char **why)
{
	int rc = sqlite3_open_v2(
	    path, &st->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	int r;

	if (rc != SQLITE_OK)
		return store_errno(st, rc);
	sqlite3_extended_result_codes(st->db, 1);
	sqlite3_busy_timeout(st->db, 5000);
	if ((r = check_version(st, why)) < 0 ||
	    (r = execute(st, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
			     "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8192")) < 0 ||
	    (r = make_schema(st)) < 0 || (r = read_boot(st, why)) < 0 ||
	    (r = read_counters(st)) < 0)
		return r;
	lengthen_log(st, path);
	if ((st->checkpointer = checkpointer_new(path)) != NULL) {
		sqlite3_wal_autocheckpoint(st->db, 0);
		sqlite3_wal_hook(st->db, log_hook, st);
	}
	return 0;
}

int
store_open(const char *dir, struct store **ret, char **why)
{
	struct store *st = xcalloc(1, sizeof(*st));
	char *path = xasprintf("%s/taskctl.db", dir), *detail = NULL;
	int r = set_up(st, path, &detail);

	if (r == 0) {
		*ret = st;
	} else {
		*why = xasprintf("The database %s cannot be used: %s", path,
		    detail != NULL  ? detail
		    : r == -EUCLEAN ? "it is damaged; restore it from a copy, or move it away "
				      "(its tasks are then forgotten, running ones go on)"
				    : strerror(-r));
		store_close(st);
	}
	free(detail);
	free(path);
	return r;
}

void
store_close(struct store *st)
{
	if (st == NULL)
		return;
	store_rollback(st);
	checkpointer_free(st->checkpointer);
	for (size_t i = 0; i < NSTATEMENTS; i++)
		sqlite3_finalize(st->st[i]);
	sqlite3_close(st->db);
	free(st);
}

bool
store_same_boot(const struct store *st)
{
	return st->same_boot;
}

uint64_t
store_last_id(const struct store *st)
{
	return st->last_id;
}

uint64_t
store_last_seq(const struct store *st)
{
	return st->last_seq;
}

/* -- the transaction -- */

int
store_fail(struct store *st, int error)
{
	if (error < 0 && st->failed == 0)
		st->failed = error;
	return error;
}

int
store_begin(struct store *st)
{
	if (st->failed != 0)
		return st->failed;
	if (st->in_transaction)
		return 0;
	st->in_transaction = true;
	return store_fail(st, execute(st, "BEGIN IMMEDIATE"));
}

bool
store_is_dirty(const struct store *st)
{
	return st->in_transaction;
}

void
store_rollback(struct store *st)
{
	if (st->in_transaction && st->db != NULL && !sqlite3_get_autocommit(st->db))
		execute(st, "ROLLBACK");
	st->in_transaction = false;
	st->failed = 0;
	memset(st->uncommitted, 0, sizeof(st->uncommitted));
	memset(st->gone, 0, sizeof(st->gone));
}

int
store_commit(struct store *st)
{
	int r = st->failed;

	if (!st->in_transaction)
		return 0;
	if (r == 0)
		r = -FAULT("store.commit");
	if (r == 0)
		r = execute(st, "COMMIT");
	if (r == 0) {
		for (size_t i = 0; i < TASK_NSTATES; i++)
			st->count[i] += st->uncommitted[i] - st->gone[i];
	}
	store_rollback(st); /* resets; nothing is left to undo after a success */
	return r;
}

static int
put_meta(struct store *st, const char *key, const char *value)
{
	sqlite3_stmt *s;
	int r;

	if ((r = store_begin(st)) < 0)
		return r;
	if ((s = store_statement(st, PUT_META)) != NULL) {
		store_bind_text(s, 1, key);
		store_bind_text(s, 2, value);
	}
	return store_fail(st, store_run(st, s));
}

int
store_claim_boot(struct store *st)
{
	return put_meta(st, "boot_id", st->boot_id);
}

int
store_probe(struct store *st)
{
	int r = put_meta(st, "probe", "");

	if (r < 0) {
		store_rollback(st);
		return r;
	}
	return store_commit(st);
}

/* -- tasks -- */

static int
put_labels(struct store *st, const struct task *t)
{
	json_t *labels = json_object_get(t->spec, "labels"), *value;
	const char *key;
	int r = 0;

	json_object_foreach (labels, key, value) {
		sqlite3_stmt *s = store_statement(st, PUT_LABEL);

		if (s != NULL) {
			sqlite3_bind_int64(s, 1, (int64_t)t->id);
			store_bind_text(s, 2, key);
			store_bind_text(s, 3, json_string_value(value));
		}
		if ((r = store_run(st, s)) < 0)
			break;
	}
	return r;
}

static int
put_spec(struct store *st, const struct task *t)
{
	struct strbuf body = STRBUF_INIT;
	sqlite3_stmt *s = store_statement(st, PUT_SPEC);
	int r;

	json_dump_utf8(t->spec, &body);
	if (s != NULL) {
		sqlite3_bind_int64(s, 1, (int64_t)t->id);
		store_bind_text(s, 2, t->name);
		store_bind_text(s, 3, t->key);
		store_bind_text(s, 4, strbuf_str(&body));
	}
	r = store_run(st, s);
	strbuf_release(&body);
	return r < 0 ? r : put_labels(st, t);
}

static int
put_facts(struct store *st, const struct task *t)
{
	struct strbuf facts = STRBUF_INIT;
	json_t *saved = task_save(t);
	sqlite3_stmt *s = store_statement(st, t->fresh ? PUT_TASK : SET_TASK);
	int r;

	json_dump_utf8(saved, &facts);
	json_decref(saved);
	if (s != NULL) {
		sqlite3_bind_int64(s, 1, (int64_t)t->id);
		sqlite3_bind_int(s, 2, t->facts.state);
		sqlite3_bind_int64(s, 3, (int64_t)t->out.file);
		sqlite3_bind_int64(s, 4, (int64_t)t->err.file);
		store_bind_text(s, 5, strbuf_str(&facts));
	}
	r = store_run(st, s);
	strbuf_release(&facts);
	return r;
}

int
store_put_task(struct store *st, const struct task *t)
{
	int r = store_begin(st);

	if (r == 0)
		r = -FAULT("store.put_task");
	if (r == 0 && t->fresh)
		r = put_spec(st, t);
	if (r == 0)
		r = put_facts(st, t);
	if (r < 0)
		return store_fail(st, r);
	st->last_id = MAX(st->last_id, t->id);
	if (rules_is_terminal(t->facts.state) && t->set != NULL)
		st->uncommitted[t->facts.state]++;
	return 0;
}

int
store_delete(struct store *st, enum statement which, uint64_t id)
{
	sqlite3_stmt *s = store_statement(st, which);

	if (s != NULL)
		sqlite3_bind_int64(s, 1, (int64_t)id);
	return store_run(st, s);
}

int
store_remove_task(struct store *st, uint64_t id)
{
	char last[32];
	int error, r;
	struct task *t = store_get(st, id, &error);

	if (t == NULL)
		return error;
	snprintf(last, sizeof(last), "%llu", (unsigned long long)st->last_id);
	if ((r = put_meta(st, "last_id", last)) == 0 &&
	    (r = store_delete(st, DEL_LABELS, id)) == 0 &&
	    (r = store_delete(st, DEL_SPEC, id)) == 0)
		r = store_delete(st, DEL_TASK, id);
	if (r == 0)
		st->gone[t->facts.state]++;
	task_free(t);
	return store_fail(st, r);
}

/* A task from a row of TASK_COLUMNS; NULL if it cannot be understood. */
static struct task *
from_row(const struct store *st, sqlite3_stmt *s)
{
	struct task *t = task_new((uint64_t)sqlite3_column_int64(s, 0));
	int state = sqlite3_column_int(s, 1);
	const char *name = (const char *)sqlite3_column_text(s, 2);
	const char *key = (const char *)sqlite3_column_text(s, 3);
	const char *body = (const char *)sqlite3_column_text(s, 4);
	const char *facts = (const char *)sqlite3_column_text(s, 5);
	json_t *saved = facts != NULL ? json_loads(facts, JSON_ALLOW_NUL, NULL) : NULL;

	t->spec = body != NULL ? json_loads(body, JSON_ALLOW_NUL, NULL) : NULL;
	t->name = xstrdup(name != NULL ? name : "");
	t->key = key != NULL ? xstrdup(key) : NULL;
	if (state < 0 || state >= TASK_NSTATES || !json_is_object(t->spec) ||
	    !json_is_object(saved) || task_load(t, saved, st->same_boot) != 0) {
		task_free(t);
		t = NULL;
	} else {
		task_set_state(t, (enum task_state)state);
	}
	json_decref(saved);
	return t;
}

struct task *
store_get(struct store *st, uint64_t id, int *error)
{
	sqlite3_stmt *s = store_statement(st, GET_TASK);
	struct task *t = NULL;
	int rc = SQLITE_ERROR;

	if (s != NULL) {
		sqlite3_bind_int64(s, 1, (int64_t)id);
		if ((rc = sqlite3_step(s)) == SQLITE_ROW)
			t = from_row(st, s);
		sqlite3_reset(s);
	}
	*error = rc == SQLITE_DONE ? -ENOENT : rc == SQLITE_ROW ? -EUCLEAN : store_errno(st, rc);
	return t;
}

int
store_each_live(struct store *st, void (*fn)(void *ctx, uint64_t id, struct task *t), void *ctx)
{
	sqlite3_stmt *s = store_statement(st, EACH_LIVE);
	int rc = SQLITE_ERROR;

	while (s != NULL && (rc = sqlite3_step(s)) == SQLITE_ROW)
		fn(ctx, (uint64_t)sqlite3_column_int64(s, 0), from_row(st, s));
	sqlite3_reset(s);
	return store_errno(st, rc);
}

static int
find(struct store *st, enum statement which, const char *text, uint64_t *id)
{
	sqlite3_stmt *s = store_statement(st, which);
	int rc = SQLITE_ERROR;

	if (s != NULL) {
		store_bind_text(s, 1, text);
		if ((rc = sqlite3_step(s)) == SQLITE_ROW)
			*id = (uint64_t)sqlite3_column_int64(s, 0);
		sqlite3_reset(s);
	}
	return rc == SQLITE_DONE ? -ENOENT : store_errno(st, rc);
}

int
store_find_name(struct store *st, const char *name, uint64_t *id)
{
	return find(st, FIND_NAME, name, id);
}

int
store_find_key(struct store *st, const char *key, uint64_t *id)
{
	return find(st, FIND_KEY, key, id);
}

void
store_counts(const struct store *st, uint64_t count[TASK_NSTATES])
{
	memcpy(count, st->count, sizeof(st->count));
}

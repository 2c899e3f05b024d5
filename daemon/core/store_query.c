/*
 * Questions to the store that have many answers: which tasks, and which events.
 */
#include "store_private.h"

#include "util.h"

/* -- queries -- */

static void
add_states(struct strbuf *sql, unsigned states)
{
	const char *sep = "";

	if (states == 0)
		return;
	strbuf_adds(sql, " AND t.state IN (");
	for (unsigned i = 0; i < TASK_NSTATES; i++) {
		if ((states & (1U << i)) == 0)
			continue;
		strbuf_addf(sql, "%s%u", sep, i);
		sep = ",";
	}
	strbuf_adds(sql, ")");
}

static void
build_query(const struct store_query *q, struct strbuf *sql)
{
	strbuf_adds(sql, "SELECT t.id FROM task t JOIN spec s USING(id) WHERE 1");
	add_states(sql, q->states);
	if (q->name != NULL)
		strbuf_adds(sql, " AND s.name = ?1");
	for (size_t i = 0; i < json_object_size(q->labels); i++)
		strbuf_addf(sql,
		    " AND EXISTS(SELECT 1 FROM label l WHERE l.key = ?%zu AND l.value = ?%zu"
		    " AND l.task = t.id)",
		    3 + 2 * i, 4 + 2 * i);
	if (q->after != 0)
		strbuf_adds(sql, q->descending ? " AND t.id < ?2" : " AND t.id > ?2");
	strbuf_addf(sql, " ORDER BY t.id %s LIMIT %u", q->descending ? "DESC" : "ASC", q->limit);
}

static void
bind_query(sqlite3_stmt *s, const struct store_query *q)
{
	const char *key;
	json_t *value;
	int at = 3;

	if (q->name != NULL)
		store_bind_text(s, 1, q->name);
	if (q->after != 0)
		sqlite3_bind_int64(s, 2, (int64_t)q->after);
	json_object_foreach ((json_t *)(uintptr_t)q->labels, key, value) {
		store_bind_text(s, at++, key);
		store_bind_text(s, at++, json_string_value(value));
	}
}

int
store_query_ids(struct store *st, const struct store_query *q, uint64_t *ids)
{
	struct strbuf sql = STRBUF_INIT;
	sqlite3_stmt *s = NULL;
	int rc, n = 0;

	build_query(q, &sql);
	rc = sqlite3_prepare_v2(st->db, strbuf_str(&sql), -1, &s, NULL);
	strbuf_release(&sql);
	if (rc != SQLITE_OK)
		return store_errno(st, rc);
	bind_query(s, q);
	while ((unsigned)n < q->limit && (rc = sqlite3_step(s)) == SQLITE_ROW)
		ids[n++] = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	rc = store_errno(st, rc);
	return rc < 0 ? rc : n;
}

/* -- outputs -- */

ssize_t
store_outputs(struct store *st, uint64_t **numbers)
{
	sqlite3_stmt *s = store_statement(st, EACH_OUTPUT);
	size_t n = 0, cap = 0;
	int rc = SQLITE_ERROR;

	*numbers = NULL;
	while (s != NULL && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		if (n == cap) {
			cap = cap == 0 ? 256 : 2 * cap;
			*numbers = xrealloc(*numbers, cap * sizeof(**numbers));
		}
		(*numbers)[n++] = (uint64_t)sqlite3_column_int64(s, 0);
	}
	sqlite3_reset(s);
	rc = store_errno(st, rc);
	return rc < 0 ? rc : (ssize_t)n;
}

/* -- events -- */

int
store_put_event(struct store *st, uint64_t seq, uint64_t task, const char *body)
{
	sqlite3_stmt *s;
	int r;

	if ((r = store_begin(st)) < 0)
		return r;
	if ((s = store_statement(st, PUT_EVENT)) != NULL) {
		sqlite3_bind_int64(s, 1, (int64_t)seq);
		sqlite3_bind_int64(s, 2, (int64_t)task);
		store_bind_text(s, 3, body);
	}
	if ((r = store_run(st, s)) == 0)
		st->last_seq = seq;
	return store_fail(st, r);
}

uint64_t
store_first_seq(struct store *st)
{
	sqlite3_stmt *s = store_statement(st, FIRST_EVENT);
	uint64_t seq = 0;

	if (s != NULL) {
		if (sqlite3_step(s) == SQLITE_ROW)
			seq = (uint64_t)sqlite3_column_int64(s, 0);
		sqlite3_reset(s);
	}
	return seq;
}

int
store_prune_events(struct store *st, uint64_t newest, uint64_t keep)
{
	const uint64_t at_once = 512;
	uint64_t first;
	int r;

	if (newest <= keep || (first = store_first_seq(st)) == 0 || first + keep > newest)
		return 0;
	if ((r = store_begin(st)) < 0)
		return r;
	return store_fail(st, store_delete(st, DEL_EVENTS, MIN(newest - keep, first + at_once)));
}

int
store_each_event(struct store *st, uint64_t after, unsigned limit,
    bool (*fn)(void *ctx, uint64_t seq, uint64_t task, const char *body), void *ctx)
{
	sqlite3_stmt *s = store_statement(st, EACH_EVENT);
	int rc = SQLITE_ERROR, n = 0;

	if (s == NULL)
		return store_errno(st, sqlite3_errcode(st->db));
	sqlite3_bind_int64(s, 1, (int64_t)after);
	sqlite3_bind_int64(s, 2, limit);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		n++;
		if (!fn(ctx, (uint64_t)sqlite3_column_int64(s, 0),
			(uint64_t)sqlite3_column_int64(s, 1),
			(const char *)sqlite3_column_text(s, 2)))
			break;
	}
	sqlite3_reset(s);
	rc = store_errno(st, rc);
	return rc < 0 ? rc : n;
}

/* Events: their numbers, what a commit that fails does to them, and who is told. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check_run.h"
#include "events.h"
#include "json.h"
#include "task.h"
#include "util.h"

static char dir[] = "/tmp/check-events-XXXXXX";
static struct store *store;
static struct events *ev;

static void
open_it(uint64_t keep)
{
	char *why = NULL;

	ck_assert_int_eq(store_open(dir, &store, &why), 0);
	ev = events_new(store, keep);
}

static void
close_it(void)
{
	events_free(ev);
	store_close(store);
}

static void
begin(uint64_t keep)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	open_it(keep);
}

static void
end(void)
{
	char *command = xasprintf("rm -rf %s", dir);

	close_it();
	ck_assert_int_eq(system(command), 0);
	free(command);
}

static int
commit(void)
{
	int r = events_write(ev);

	if (r == 0)
		r = store_commit(store);
	else
		store_rollback(store);
	if (r == 0)
		events_committed(ev);
	return r;
}

/* -- a reader that remembers -- */

struct reader {
	struct subscriber s;
	unsigned n;
	uint64_t seq[2000];
	uint64_t task[2000];
	char last[512];
	struct reader *leaves; /* unsubscribed when this one is told */
};

static void
remember(struct subscriber *s, uint64_t seq, uint64_t task, const char *text)
{
	struct reader *r = (struct reader *)s;

	ck_assert_ptr_null(strchr(text, '\n'));
	r->seq[r->n] = seq;
	r->task[r->n++] = task;
	snprintf(r->last, sizeof(r->last), "%s", text);
	if (r->leaves != NULL)
		events_unsubscribe(ev, &r->leaves->s);
	r->leaves = NULL;
}

static struct reader *
reader_new(void)
{
	struct reader *r = xcalloc(1, sizeof(*r));

	r->s.publish = remember;
	events_subscribe(ev, &r->s);
	return r;
}

/* -- what the store has -- */

static uint64_t kept_first, kept_last;
static unsigned kept;

static bool
on_kept(void *ctx, uint64_t seq, uint64_t task, const char *body)
{
	const char *why;
	json_t *o = json_parse_object(body, strlen(body), &why);

	(void)ctx;
	if (o == NULL || (uint64_t)json_get_int(o, "seq", 0) != seq ||
	    (uint64_t)json_get_int(o, "id", 0) != task)
		ck_abort_msg("event %llu: %s", (unsigned long long)seq, body);
	if (kept > 0 && seq != kept_last + 1)
		ck_abort_msg("after %llu comes %llu", (unsigned long long)kept_last,
		    (unsigned long long)seq);
	if (kept++ == 0)
		kept_first = seq;
	kept_last = seq;
	json_decref(o);
	return true;
}

static void
look_into_store(void)
{
	kept = 0;
	ck_assert_int_ge(store_each_event(store, 0, 1000000, on_kept, NULL), 0);
}

START_TEST(numbered_and_told_when_committed)
{
	struct reader *r;
	const char *why;
	json_t *o, *members;

	begin(100);
	r = reader_new();
	ck_assert_uint_eq(events_newest(ev), 0);
	members = json_object();
	json_set_str(members, "name", "caf\xc3\xa9");
	events_emit_take(ev, EVENT_CREATED, 7, members);
	events_emit_take(ev, EVENT_ENDED, 8, NULL);
	ck_assert_uint_eq(events_total(ev), 2);
	ck_assert_int_eq(events_write(ev), 0);
	ck_assert_uint_eq(r->n, 0); /* not before the commit */
	ck_assert_uint_eq(events_newest(ev), 0);
	ck_assert_int_eq(store_commit(store), 0);
	events_committed(ev);
	ck_assert_uint_eq(r->n, 2);
	ck_assert(r->seq[0] == 1 && r->task[0] == 7 && r->seq[1] == 2 && r->task[1] == 8);
	ck_assert_uint_eq(events_newest(ev), 2);
	o = json_parse_object(r->last, strlen(r->last), &why);
	ck_assert_str_eq(json_get_str(o, "event"), "task.ended");
	ck_assert_int_eq(json_get_int(o, "seq", 0), 2);
	ck_assert_int_eq(json_get_int(o, "id", 0), 8);
	ck_assert_uint_eq(strlen(json_get_str(o, "at")), strlen("2026-11-22T13:40:02.118Z"));
	json_decref(o);
	look_into_store();
	ck_assert(kept == 2 && kept_first == 1);
	events_committed(ev); /* nothing is told twice */
	ck_assert_uint_eq(r->n, 2);
	events_unsubscribe(ev, &r->s);
	free(r);
	end();
}
END_TEST

/* A commit that failed: the same events get the same numbers with the next one. */
START_TEST(numbers_after_a_rollback)
{
	struct reader *r;

	begin(100);
	r = reader_new();
	events_emit_take(ev, EVENT_CREATED, 1, NULL);
	ck_assert_int_eq(commit(), 0);
	events_emit_take(ev, EVENT_STARTED, 1, NULL);
	ck_assert_int_eq(events_write(ev), 0);
	store_rollback(store);
	events_emit_take(ev, EVENT_ENDED, 1, NULL);
	ck_assert_int_eq(events_write(ev), 0);
	store_rollback(store);
	ck_assert_uint_eq(r->n, 1);
	ck_assert_int_eq(commit(), 0);
	ck_assert_uint_eq(r->n, 3);
	ck_assert(r->seq[1] == 2 && r->seq[2] == 3);
	ck_assert_ptr_nonnull(strstr(r->last, "task.ended"));
	look_into_store();
	ck_assert(kept == 3 && kept_first == 1 && kept_last == 3);
	events_unsubscribe(ev, &r->s);
	free(r);
	end();
}
END_TEST

START_TEST(forgotten_with_their_task)
{
	struct reader *r;

	begin(100);
	r = reader_new();
	events_emit_take(ev, EVENT_CREATED, 1, NULL);
	events_emit_take(ev, EVENT_CREATED, 2, NULL);
	events_emit_take(ev, EVENT_CANCEL_REQUESTED, 1, NULL);
	events_emit_take(ev, EVENT_ENDED, 2, NULL);
	ck_assert_int_eq(events_write(ev), 0);
	store_rollback(store);
	events_forget(ev, 1, 0); /* it never came to be */
	events_forget(ev, 99, 0);
	ck_assert_int_eq(commit(), 0);
	ck_assert_uint_eq(r->n, 2);
	ck_assert(r->seq[0] == 1 && r->seq[1] == 2); /* no gap where the others were */
	ck_assert(r->task[0] == 2 && r->task[1] == 2);
	events_unsubscribe(ev, &r->s);
	free(r);
	end();
}
END_TEST

START_TEST(numbers_go_on_after_a_restart)
{
	begin(100);
	for (int i = 0; i < 5; i++)
		events_emit_take(ev, EVENT_CREATED, 1, NULL);
	ck_assert_int_eq(commit(), 0);
	events_emit_take(ev, EVENT_CREATED, 1, NULL); /* never committed */
	close_it();
	open_it(100);
	ck_assert_uint_eq(events_newest(ev), 5);
	ck_assert_uint_eq(events_total(ev), 0);
	events_emit_take(ev, EVENT_CREATED, 2, NULL);
	ck_assert_int_eq(commit(), 0);
	ck_assert_uint_eq(events_newest(ev), 6);
	look_into_store();
	ck_assert(kept == 6 && kept_last == 6);
	end();
}
END_TEST

/* However few are kept, the newest is among them: numbers are never given twice. */
static void
prune(uint64_t keep)
{
	begin(keep);
	for (unsigned i = 0; i < 4000; i++) {
		events_emit_take(ev, EVENT_STATUS, 1, NULL);
		if (i % 10 == 0)
			ck_assert_int_eq(commit(), 0);
	}
	ck_assert_int_eq(commit(), 0);
	look_into_store();
	ck_assert_uint_eq(kept_last, 4000);
	ck_assert_uint_ge(kept, keep);
	ck_assert_msg(
	    kept <= keep + 600, "%u are kept, not about %llu", kept, (unsigned long long)keep);
	ck_assert_uint_eq(store_first_seq(store), kept_first);
	close_it();
	open_it(keep);
	ck_assert_uint_eq(events_newest(ev), 4000);
	end();
}

START_TEST(pruned)
{
	prune(1000);
}
END_TEST
START_TEST(pruned_to_one)
{
	prune(1);
}
END_TEST

START_TEST(leaving_inside_publish)
{
	struct reader *a, *b, *c;

	begin(100);
	a = reader_new();
	b = reader_new();
	c = reader_new();
	b->leaves = b; /* itself, as the last one told, in the middle and first */
	events_emit_take(ev, EVENT_CREATED, 1, NULL);
	events_emit_take(ev, EVENT_ENDED, 1, NULL);
	ck_assert_int_eq(commit(), 0);
	ck_assert(a->n == 2 && b->n == 1 && c->n == 2);
	c->leaves = c;
	events_emit_take(ev, EVENT_CREATED, 2, NULL);
	events_emit_take(ev, EVENT_ENDED, 2, NULL);
	ck_assert_int_eq(commit(), 0);
	ck_assert(a->n == 4 && b->n == 1 && c->n == 3);
	a->leaves = a;
	events_emit_take(ev, EVENT_CREATED, 3, NULL);
	events_emit_take(ev, EVENT_ENDED, 3, NULL);
	ck_assert_int_eq(commit(), 0);
	ck_assert(a->n == 5 && b->n == 1 && c->n == 3);
	free(a);
	free(b);
	free(c);
	end();
}
END_TEST

/* One that was told before, or is told later, leaves. */
START_TEST(another_leaves_inside_publish)
{
	struct reader *a, *b, *c;

	begin(100);
	a = reader_new();
	b = reader_new();
	c = reader_new();
	b->leaves = a;
	events_emit_take(ev, EVENT_CREATED, 1, NULL);
	ck_assert_int_eq(commit(), 0);
	ck_assert(a->n == 1 && b->n == 1 && c->n == 1);
	b->leaves = c; /* the very next one: it must not be told any more */
	events_emit_take(ev, EVENT_CREATED, 2, NULL);
	events_emit_take(ev, EVENT_ENDED, 2, NULL);
	ck_assert_int_eq(commit(), 0);
	ck_assert(a->n == 1 && b->n == 3);
	ck_assert_msg(c->n == 1, "it was told %u events after it had left", c->n - 1);
	events_unsubscribe(ev, &b->s);
	free(a);
	free(b);
	free(c);
	end();
}
END_TEST

CHECK_MAIN("events", numbered_and_told_when_committed, numbers_after_a_rollback,
    forgotten_with_their_task, numbers_go_on_after_a_restart, pruned, pruned_to_one,
    leaving_inside_publish, another_leaves_inside_publish)

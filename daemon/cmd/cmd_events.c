/*
 * events: what happened, from a number on, and what happens. A reader that is slow is caught up
 * from the store; what that no longer has is told by an overrun event.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cmd_private.h"
#include "events.h"
#include "json.h"
#include "log.h"
#include "store.h"
#include "task.h"
#include "util.h"

#define EVENTS_A_TURN 256
#define FOUND_MAX     (256 * 1024) /* bytes of them, or one */

struct watching {
	struct stream stream;
	struct subscriber subscriber;
	const struct cmd_world *world;
	uint64_t cursor;  /* number of the last event that was dealt with */
	bool catching_up; /* from the store; the connection owes it until it is through */
	bool has_select;
	json_t *select; /* owned: what the query borrows from */
	struct store_query query;
	struct {
		uint64_t task;
		char *text;
	} found[EVENTS_A_TURN]; /* of one look into the store */
	unsigned nfound;
	size_t found_bytes;
};

static void
watching_free(struct watching *w)
{
	events_unsubscribe(w->world->events, &w->subscriber);
	json_decref(w->select);
	free(w);
}

static void
gone(struct stream *st)
{
	watching_free((struct watching *)st);
}

static bool
is_wanted(const struct watching *w, uint64_t id)
{
	struct task *t;
	bool wanted;
	int error;

	if (!w->has_select)
		return true;
	if ((t = runner_get(w->world->runner, id, &error)) == NULL)
		return false;
	wanted = cmd_selects(&w->query, t);
	runner_put(w->world->runner, t);
	return wanted;
}

static void
set_catching_up(struct watching *w, bool on)
{
	if (w->catching_up == on)
		return;
	w->catching_up = on;
	if (on)
		conn_owe(w->stream.session->conn);
	else
		conn_paid(w->stream.session->conn);
}

static void
tell_overrun(struct watching *w)
{
	uint64_t first = store_first_seq(w->world->store);
	json_t *o;

	if (first == 0)
		first = events_newest(w->world->events) + 1;
	if (first <= w->cursor + 1)
		return;
	o = jx_object();
	json_set_str(o, "event", "overrun");
	json_set_int(o, "from", (int64_t)w->cursor + 1);
	json_set_int(o, "to", (int64_t)first - 1);
	stream_event_take(&w->stream, o);
	w->cursor = first - 1;
}

/* As many as there is room for, so that a slow reader costs no memory. */
static bool
tell_kept(void *ctx, uint64_t seq, uint64_t task, const char *text)
{
	struct watching *w = ctx;

	w->cursor = seq;
	w->found[w->nfound].task = task;
	w->found[w->nfound++].text = xstrdup(text);
	w->found_bytes += strlen(text);
	return w->found_bytes < FOUND_MAX;
}

static void
pump(struct stream *st)
{
	struct watching *w = (struct watching *)st;
	int n;

	if (!w->catching_up || !stream_has_room(st))
		return;
	tell_overrun(w);
	w->nfound = 0;
	w->found_bytes = 0;
	n = store_each_event(w->world->store, w->cursor, EVENTS_A_TURN, tell_kept, w);
	/* Selecting asks the store again, so not while it gives rows. */
	for (unsigned i = 0; i < w->nfound; i++) {
		if (is_wanted(w, w->found[i].task))
			stream_text(st, w->found[i].text);
		free(w->found[i].text);
	}
	if (n < 0)
		log_warn("Kept events cannot be read; a reader waits for the next one.");
	if (n == EVENTS_A_TURN || w->found_bytes >= FOUND_MAX)
		stream_again(st);
	else
		set_catching_up(w, false);
}

static void
publish(struct subscriber *s, uint64_t seq, uint64_t task, const char *text)
{
	struct watching *w = (struct watching *)((char *)s - offsetof(struct watching, subscriber));

	if (w->catching_up)
		return; /* it is in the store by now, and will be found there */
	if (!stream_has_room(&w->stream)) {
		set_catching_up(w, true); /* goes on when there is room */
		return;
	}
	if (is_wanted(w, task))
		stream_text(&w->stream, text);
	w->cursor = seq;
}

static void
exec(struct request *rq)
{
	struct watching *w = xcalloc(1, sizeof(*w));
	uint64_t newest = events_newest(rq->world->events);
	json_t *o = jx_object();

	w->world = rq->world;
	w->stream.pump = pump;
	w->stream.gone = gone;
	w->subscriber.publish = publish;
	w->has_select = args_has(rq->args, "select");
	w->select = json_incref(json_object_get(rq->args, "select"));
	w->query = cmd_query(w->select);
	w->cursor = MIN((uint64_t)json_get_int(rq->args, "since", (int64_t)newest), newest);
	json_set_int(o, "seq", (int64_t)newest);
	request_reply_take(rq, o);
	stream_open(&w->stream, rq);
	events_subscribe(rq->world->events, &w->subscriber);
	if (w->cursor < newest) {
		set_catching_up(w, true);
		stream_again(&w->stream);
	}
}

static const struct field fields[] = {
    {.name = "since", .check = args_integer, .min = 0, .max = INT64_MAX},
    {.name = "select", .check = args_select},
    FIELD_END,
};

const struct cmd_entry cmd_events = {.name = "events", .fields = fields, .exec = exec};

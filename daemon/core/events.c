/*
 * Numbers, keeps and publishes events.
 */
#include "events.h"

#include <stdlib.h>

#include "clock.h"
#include "json.h"
#include "task.h"
#include "util.h"

#define PRUNE_EVERY 256 /* events between two looks at how many are kept */

struct pending {
	TAILQ_ENTRY(pending) link;
	uint64_t seq, task;
	uint64_t number; /* of all that were emitted */
	json_t *body;    /* owned, without its number */
	char *text;      /* owned; NULL before it is written */
};

struct events {
	struct store *store; /* borrowed */
	TAILQ_HEAD(, pending) pending;
	TAILQ_HEAD(, subscriber) subscribers;
	struct subscriber *next; /* to be told, while one is told */
	uint64_t newest;         /* committed */
	uint64_t keep, total, pruned_at;
};

struct events *
events_new(struct store *store, uint64_t keep)
{
	struct events *ev = xcalloc(1, sizeof(*ev));

	ev->store = store;
	ev->keep = keep;
	ev->newest = store_last_seq(store);
	TAILQ_INIT(&ev->pending);
	TAILQ_INIT(&ev->subscribers);
	return ev;
}

static void
drop(struct events *ev, struct pending *p)
{
	TAILQ_REMOVE(&ev->pending, p, link);
	json_decref(p->body);
	free(p->text);
	free(p);
}

void
events_free(struct events *ev)
{
	struct pending *p;

	if (ev == NULL)
		return;
	while ((p = TAILQ_FIRST(&ev->pending)) != NULL)
		drop(ev, p);
	free(ev);
}

void
events_emit_take(struct events *ev, enum event_kind kind, uint64_t task, json_t *members)
{
	struct pending *p = xcalloc(1, sizeof(*p));

	p->task = task;
	p->body = jx_object();
	json_set_str(p->body, "event", task_event_name(kind));
	json_set_int(p->body, "id", (int64_t)task);
	jx_set(p->body, "at", task_time(clock_wall_ms()));
	if (members != NULL && json_object_update_new(p->body, members) != 0)
		die_oom();
	TAILQ_INSERT_TAIL(&ev->pending, p, link);
	p->number = ++ev->total;
}

static int
write_one(struct events *ev, struct pending *p, uint64_t seq)
{
	struct strbuf line = STRBUF_INIT;

	p->seq = seq;
	json_set_int(p->body, "seq", (int64_t)seq);
	json_dump_line(p->body, &line);
	free(p->text);
	p->text = strbuf_detach(&line);
	return store_put_event(ev->store, seq, p->task, p->text);
}

int
events_write(struct events *ev)
{
	uint64_t seq = ev->newest;
	struct pending *p;
	int r = 0;

	TAILQ_FOREACH (p, &ev->pending, link)
		if ((r = write_one(ev, p, ++seq)) < 0)
			return r;
	if (seq > ev->pruned_at + PRUNE_EVERY) {
		ev->pruned_at = seq;
		r = store_prune_events(ev->store, seq, ev->keep);
	}
	return r;
}

static void
publish(struct events *ev, const struct pending *p)
{
	struct subscriber *s;

	for (s = TAILQ_FIRST(&ev->subscribers); s != NULL; s = ev->next) {
		ev->next = TAILQ_NEXT(s, link);
		s->publish(s, p->seq, p->task, p->text);
	}
}

void
events_committed(struct events *ev)
{
	struct pending *p;

	while ((p = TAILQ_FIRST(&ev->pending)) != NULL) {
		ev->newest = p->seq;
		publish(ev, p);
		drop(ev, p);
	}
}

void
events_forget(struct events *ev, uint64_t task, uint64_t since)
{
	struct pending *p, *next;

	for (p = TAILQ_FIRST(&ev->pending); p != NULL; p = next) {
		next = TAILQ_NEXT(p, link);
		if (p->task == task && p->number > since)
			drop(ev, p);
	}
}

void
events_subscribe(struct events *ev, struct subscriber *s)
{
	TAILQ_INSERT_TAIL(&ev->subscribers, s, link);
}

void
events_unsubscribe(struct events *ev, struct subscriber *s)
{
	if (ev->next == s)
		ev->next = TAILQ_NEXT(s, link);
	TAILQ_REMOVE(&ev->subscribers, s, link);
}

uint64_t
events_newest(const struct events *ev)
{
	return ev->newest;
}

uint64_t
events_total(const struct events *ev)
{
	return ev->total;
}

/*
 * Events: what happened to tasks, numbered without a gap, kept in the store, told to subscribers.
 *
 * An event is emitted when it happens, gets its number when it is written to the store, and is
 * published when that is committed. If the commit fails it waits for the next one.
 */
#ifndef TASKCTL_EVENTS_H
#define TASKCTL_EVENTS_H

#include <jansson.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proto.h"
#include "store.h"

struct events;

/* Somebody who wants to be told. text is one line of JSON without its line end. */
struct subscriber {
	TAILQ_ENTRY(subscriber) link;
	void (*publish)(struct subscriber *s, uint64_t seq, uint64_t task, const char *text);
};

struct events *events_new(struct store *store, uint64_t keep);
void events_free(struct events *ev);

/* It happened now. Takes `members` (an object, or NULL): what protocol.md lists for the event. */
void events_emit_take(struct events *ev, enum event_kind kind, uint64_t task, json_t *members);

/* Put what was emitted into the store's transaction; 0 or -errno. */
int events_write(struct events *ev);
/* The transaction was committed: publish. */
void events_committed(struct events *ev);
/* (If it was not, they are numbered and written anew with the next one.) */
/*
 * Forget what was emitted, but not committed, about a task, since events_total() was `since`: it did not
 * come to be.
 */
void events_forget(struct events *ev, uint64_t task, uint64_t since);

/* From the next event on; the subscriber stays the caller's, and must leave before it is freed. */
void events_subscribe(struct events *ev, struct subscriber *s);
/* May be called from inside a publish callback, for any subscriber. */
void events_unsubscribe(struct events *ev, struct subscriber *s);

uint64_t events_newest(const struct events *ev); /* number of the newest published event */
uint64_t events_total(const struct events *ev);  /* emitted since this process started */

#endif

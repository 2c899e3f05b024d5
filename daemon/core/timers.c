/*
 * A binary heap of timers by time; each timer knows its place, so it can be moved.
 */
#include "timers.h"

#include <stdlib.h>

#include "clock.h"
#include "util.h"

void
timers_init(struct timers *ts)
{
	*ts = (struct timers){.running = CLOCK_NONE};
}

void
timers_release(struct timers *ts)
{
	free(ts->heap);
	timers_init(ts);
}

static void
put(struct timers *ts, size_t place, struct timer *t)
{
	ts->heap[place] = t;
	t->place = place;
}

static void
sift_up(struct timers *ts, struct timer *t, size_t i)
{
	while (i > 1 && ts->heap[i / 2]->at > t->at) {
		put(ts, i, ts->heap[i / 2]);
		i /= 2;
	}
	put(ts, i, t);
}

static void
sift_down(struct timers *ts, struct timer *t, size_t i)
{
	for (size_t child; (child = 2 * i) <= ts->n; i = child) {
		if (child < ts->n && ts->heap[child + 1]->at < ts->heap[child]->at)
			child++;
		if (ts->heap[child]->at >= t->at)
			break;
		put(ts, i, ts->heap[child]);
	}
	put(ts, i, t);
}

static void
take_off(struct timers *ts, struct timer *t)
{
	size_t i = t->place;
	struct timer *last = ts->heap[ts->n--];

	t->place = 0;
	if (last == t)
		return;
	if (i > 1 && ts->heap[i / 2]->at > last->at)
		sift_up(ts, last, i);
	else
		sift_down(ts, last, i);
}

void
timers_set(struct timers *ts, struct timer *t, int64_t at)
{
	if (ts->running != CLOCK_NONE && at <= ts->running)
		at = ts->running + 1; /* not in circles: it is due with the next call */
	if (t->place != 0 && t->at == at)
		return;
	if (t->place != 0)
		take_off(ts, t);
	t->at = at;
	if (at == CLOCK_NONE)
		return;
	if (ts->n + 1 >= ts->cap) {
		ts->cap = ts->cap == 0 ? 64 : ts->cap * 2;
		ts->heap = xrealloc(ts->heap, ts->cap * sizeof(struct timer *));
	}
	sift_up(ts, t, ++ts->n);
}

int64_t
timers_next(const struct timers *ts)
{
	return ts->n > 0 ? ts->heap[1]->at : CLOCK_NONE;
}

void
timers_run(struct timers *ts, int64_t now)
{
	ts->running = now;
	while (ts->n > 0 && ts->heap[1]->at <= now) {
		struct timer *t = ts->heap[1];

		take_off(ts, t);
		t->cb(t, now);
	}
	ts->running = CLOCK_NONE;
}

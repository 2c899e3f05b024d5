/*
 * Deadlines of all kinds in one heap: of tasks, shields and waits. The owner sets one timer of the
 * loop to timers_next() and calls timers_run() when it fires. Times are CLOCK_BOOTTIME ns.
 */
#ifndef TASKCTL_TIMERS_H
#define TASKCTL_TIMERS_H

#include <stddef.h>
#include <stdint.h>

struct timer;
typedef void timer_cb(struct timer *t, int64_t now);

/* Embedded in what it belongs to; all bytes zero plus a callback is a timer that is not set. */
struct timer {
	int64_t at;
	size_t place; /* in the heap, 1 and up; 0: not in it */
	timer_cb *cb;
	void *owner; /* for the callback */
};

struct timers {
	struct timer **heap; /* owned array of borrowed timers; heap[0] is not used */
	size_t n, cap;
	int64_t running; /* timers_run() runs as of this time; CLOCK_NONE: it does not */
};

void timers_init(struct timers *ts);
void timers_release(struct timers *ts);

/* Sets, moves or (CLOCK_NONE) takes off. The timer must be taken off before it is freed. */
void timers_set(struct timers *ts, struct timer *t, int64_t at);

int64_t timers_next(const struct timers *ts); /* CLOCK_NONE: no timer is set */

/*
 * Calls back every timer that is due at `now`, earliest first. A callback may set, move and take
 * off any timer; one that it sets to a time that is due waits for the next call.
 */
void timers_run(struct timers *ts, int64_t now);

#endif

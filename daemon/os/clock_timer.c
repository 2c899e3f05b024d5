/* The one timer of all deadlines: a timerfd on the boot clock, watched by the event loop. */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "clock.h"
#include "clock_timer.h"
#include "util.h"

struct boot_timer {
	int fd;          /* owned */
	struct event ev; /* added as long as the timer lives */
	int64_t at;      /* when it fires; CLOCK_NONE: it is not set */
	boot_timer_cb *cb;
	void *ctx;
};

static void
arm(struct boot_timer *t, int64_t at)
{
	struct itimerspec when = {.it_value = {0}};

	t->at = at;
	if (at != CLOCK_NONE) {
		at = MAX(at, 1); /* all zero would disarm it */
		when.it_value.tv_sec = (time_t)(at / NS_PER_SEC);
		when.it_value.tv_nsec = (long)(at % NS_PER_SEC);
	}
	timerfd_settime(t->fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct boot_timer *t = arg;
	uint64_t count;

	(void)what;
	/* nothing to read: it was set anew after it had fired */
	if (read(fd, &count, sizeof(count)) != sizeof(count) || t->at == CLOCK_NONE)
		return;
	if (clock_boot_ns() < t->at) {
		arm(t, t->at);
		return;
	}
	t->at = CLOCK_NONE;
	t->cb(t->ctx);
}

struct boot_timer *
boot_timer_new(struct event_base *base, int priority, boot_timer_cb *cb, void *ctx)
{
	int fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	struct boot_timer *t;

	if (fd < 0)
		return NULL;
	t = xcalloc(1, sizeof(*t));
	t->fd = fd;
	t->at = CLOCK_NONE;
	t->cb = cb;
	t->ctx = ctx;
	event_assign(&t->ev, base, fd, EV_READ | EV_PERSIST, on_readable, t);
	if (event_priority_set(&t->ev, priority) < 0 || event_add(&t->ev, NULL) < 0) {
		close_fd(&t->fd);
		free(t);
		errno = EINVAL;
		return NULL;
	}
	return t;
}

void
boot_timer_free(struct boot_timer *t)
{
	if (!t)
		return;
	event_del(&t->ev);
	close_fd(&t->fd);
	free(t);
}

void
boot_timer_set(struct boot_timer *t, int64_t boot_ns)
{
	if (boot_ns != t->at)
		arm(t, boot_ns);
}

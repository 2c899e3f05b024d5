/*
 * Framing and flow of connections, over libevent's bufferevents.
 */
#include "conn.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "line.h"
#include "util.h"

#define READ_AT_ONCE (64 * 1024)

struct conn {
	TAILQ_ENTRY(conn) link;
	TAILQ_ENTRY(conn) ready_link, flush_link, half_link;
	struct conns *cs;
	struct bufferevent *bev; /* owned */
	struct line_reader reader;
	struct caller caller;
	void *user;
	unsigned owed;
	bool began;      /* its first byte was a { */
	bool eof;        /* there will be no more input */
	bool finishing;  /* takes no more lines */
	bool hanging_up; /* does not wait for answers */
	bool deaf;       /* what still comes is thrown away */
	bool paused;     /* reading is, until lines have been taken */
	bool mute;       /* nobody reads any more: what is sent is thrown away */
	bool lingering;  /* all is sent, our end is shut */
	bool closed;     /* waits to be freed */
	bool in_ready, in_flush, in_half, was_full;
};

TAILQ_HEAD(conn_list, conn);

struct conns {
	struct event_base *base;
	struct conn_limits limits;
	struct conn_callbacks cb;
	void *ctx;
	struct conn_list all, ready, flush, dead;
	struct conn_list half; /* their input has ended, answers are owed */
	struct event *look;    /* owned: at those, once a second */
	unsigned n;
};

static bool
is_gone(const struct conn *c)
{
	const struct conn_callbacks *cb = &c->cs->cb;

	return cb->gone != NULL && cb->gone(cb->gone_ctx, bufferevent_getfd(c->bev));
}

/* Look at it once a second, from the next on. */
static void
look_later(struct conn *c)
{
	const struct timeval second = {.tv_sec = 1};

	if (c->in_half)
		return;
	c->in_half = true;
	TAILQ_INSERT_TAIL(&c->cs->half, c, half_link);
	if (!evtimer_pending(c->cs->look, NULL))
		evtimer_add(c->cs->look, &second);
}

/* Nobody reads what half-closed connections are owed any more? */
static void
on_look(evutil_socket_t fd, short what, void *ctx)
{
	const struct timeval second = {.tv_sec = 1};
	struct conns *cs = ctx;
	struct conn *c, *next;

	(void)fd;
	(void)what;
	for (c = TAILQ_FIRST(&cs->half); c != NULL; c = next) {
		next = TAILQ_NEXT(c, half_link);
		if (c->lingering || is_gone(c))
			conn_close(c);
	}
	if (!TAILQ_EMPTY(&cs->half))
		evtimer_add(cs->look, &second);
}

/* The input has ended and is used up. */
static void
half_closed(struct conn *c)
{
	if (c->mute || c->lingering || is_gone(c)) {
		conn_close(c);
		return;
	}
	conn_finish(c);
	if (c->owed > 0 && !c->closed)
		look_later(c);
}

struct conns *
conns_new(struct event_base *base, const struct conn_limits *limits,
    const struct conn_callbacks *cb, void *ctx)
{
	struct conns *cs = xcalloc(1, sizeof(*cs));

	cs->base = base;
	cs->limits = *limits;
	cs->cb = *cb;
	cs->ctx = ctx;
	TAILQ_INIT(&cs->all);
	TAILQ_INIT(&cs->ready);
	TAILQ_INIT(&cs->flush);
	TAILQ_INIT(&cs->dead);
	TAILQ_INIT(&cs->half);
	if ((cs->look = evtimer_new(base, on_look, cs)) == NULL)
		die_oom();
	return cs;
}

void
conns_free(struct conns *cs)
{
	struct conn *c;

	if (cs == NULL)
		return;
	while ((c = TAILQ_FIRST(&cs->all)) != NULL)
		conn_close(c);
	conns_reap(cs);
	event_free(cs->look);
	free(cs);
}

static size_t
unsent(const struct conn *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->bev));
}

static void
make_ready(struct conn *c)
{
	if (c->in_ready || c->closed)
		return;
	c->in_ready = true;
	TAILQ_INSERT_TAIL(&c->cs->ready, c, ready_link);
}

/* -- callbacks of libevent: only notes -- */

/*
 * Reading stops when more is there than a line can need. (Not by a high-water mark: with one,
 * libevent calls back again and again for as long as the input is not emptied.)
 */
static void
on_read(struct bufferevent *bev, void *ctx)
{
	struct conn *c = ctx;

	if (evbuffer_get_length(bufferevent_get_input(bev)) > c->reader.limit + READ_AT_ONCE) {
		c->paused = true;
		bufferevent_disable(bev, EV_READ);
	}
	make_ready(c);
}

static void
read_on(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);

	if (!c->paused || evbuffer_get_length(in) > c->reader.limit)
		return;
	c->paused = false;
	bufferevent_enable(c->bev, EV_READ);
}

/*
 * All is answered and sent. If the other end may still be sending, closing now would make the kernel
 * take back what it has not read yet: our end is shut, and what comes is thrown away for a while.
 */
static void
sent_all(struct conn *c)
{
	if (c->eof || c->mute || !c->hanging_up) {
		conn_close(c);
		return;
	}
	if (c->lingering)
		return;
	c->lingering = true;
	c->deaf = true;
	shutdown(bufferevent_getfd(c->bev), SHUT_WR);
	bufferevent_enable(c->bev, EV_READ);
	look_later(c);
}

/* The output has fallen to its low-water mark. */
static void
on_write(struct bufferevent *bev, void *ctx)
{
	struct conn *c = ctx;

	(void)bev;
	if (c->closed)
		return;
	if (c->finishing && (c->owed == 0 || c->hanging_up) && unsent(c) == 0) {
		sent_all(c);
		return;
	}
	if (c->was_full && unsent(c) <= c->cs->limits.output_high / 2) {
		c->was_full = false;
		c->cs->cb.drained(c->cs->ctx, c);
		make_ready(c);
	}
}

static void
on_event(struct bufferevent *bev, short what, void *ctx)
{
	struct conn *c = ctx;

	(void)bev;
	/* What was sent before the other end went away is carried out all the same. */
	if (what & BEV_EVENT_READING)
		c->eof = true;
	if (what & BEV_EVENT_ERROR) {
		c->mute = true;
		evbuffer_drain(bufferevent_get_output(c->bev), unsent(c));
		bufferevent_disable(c->bev, EV_WRITE);
	}
	make_ready(c);
}

struct conn *
conn_new_take(struct conns *cs, int fd, const struct caller *caller)
{
	size_t limit = caller->known ? cs->limits.line_max : cs->limits.line_max_anon;
	struct conn *c;

	if (cs->n >= cs->limits.connections) {
		close(fd);
		return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	c->cs = cs;
	c->caller = *caller;
	c->bev = bufferevent_socket_new(cs->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (c->bev == NULL)
		die_oom();
	line_reader_init(&c->reader, limit);
	bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
	bufferevent_set_max_single_read(c->bev, READ_AT_ONCE);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	TAILQ_INSERT_TAIL(&cs->all, c, link);
	cs->n++;
	return c;
}

/* -- input -- */

/* A browser, TLS or anything else that has lost its way is not answered. */
static bool
begins_well(struct conn *c, struct evbuffer *in)
{
	int first;

	if (c->began)
		return true;
	if ((first = line_first_byte(&c->reader, in)) < 0)
		return true;
	c->began = first == '{';
	if (!c->began)
		conn_close(c);
	return c->began;
}

static bool
takes_lines(const struct conn *c)
{
	return !c->closed && !c->finishing && !c->deaf && c->owed < c->cs->limits.unanswered &&
	       unsent(c) < c->cs->limits.output_high;
}

/* One line to the user. False if there is none, or none may be taken now. */
static bool
run_line(struct conn *c, struct evbuffer *in)
{
	const char *line;
	size_t len;
	enum line_status status;

	if (!takes_lines(c) || !begins_well(c, in))
		return false;
	status = line_next(&c->reader, in, &line, &len);
	if (status == LINE_NONE && c->eof)
		status = line_rest(&c->reader, in, &line, &len);
	if (status == LINE_NONE)
		return false;
	if (status == LINE_TOO_LONG) {
		c->cs->cb.too_large(c->cs->ctx, c);
		conn_hang_up(c);
		return false;
	}
	if (!line_blank(line, len))
		c->cs->cb.line(c->cs->ctx, c, line, len);
	return !c->closed;
}

/* True if lines are left that may be taken in the next turn. */
static bool
run_conn(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);

	for (int i = 0; i < CONN_LINES_A_TURN; i++)
		if (!run_line(c, in))
			break;
	if (c->closed)
		return false;
	line_done(&c->reader, in);
	if (c->deaf || (c->finishing && !c->eof))
		evbuffer_drain(in, evbuffer_get_length(in));
	read_on(c);
	if (c->eof && (!c->finishing || c->lingering || c->mute) &&
	    line_pending(&c->reader, in) == 0)
		half_closed(c);
	return takes_lines(c) && line_pending(&c->reader, in) > 0 &&
	       evbuffer_get_length(in) > c->reader.scanned;
}

void
conns_run(struct conns *cs)
{
	struct conn_list now = TAILQ_HEAD_INITIALIZER(now);
	struct conn *c;

	TAILQ_CONCAT(&now, &cs->ready, ready_link);
	while ((c = TAILQ_FIRST(&now)) != NULL) {
		TAILQ_REMOVE(&now, c, ready_link);
		c->in_ready = false;
		if (!c->closed && run_conn(c))
			make_ready(c);
	}
}

bool
conns_busy(const struct conns *cs)
{
	return !TAILQ_EMPTY(&cs->ready);
}

void
conns_stop_reading(struct conns *cs)
{
	struct conn *c;

	TAILQ_FOREACH (c, &cs->all, link)
		bufferevent_disable(c->bev, EV_READ);
}

/* -- output -- */

static void
want_flush(struct conn *c)
{
	if (c->in_flush || c->closed)
		return;
	c->in_flush = true;
	TAILQ_INSERT_TAIL(&c->cs->flush, c, flush_link);
}

void
conn_send(struct conn *c, const void *data, size_t len)
{
	if (c->closed || c->mute)
		return;
	if (evbuffer_add(bufferevent_get_output(c->bev), data, len) != 0)
		die_oom();
	if (unsent(c) >= c->cs->limits.output_high)
		c->was_full = true;
	if (unsent(c) > c->cs->limits.output_close)
		conn_close(c);
	want_flush(c);
}

bool
conn_has_room(const struct conn *c, size_t held)
{
	return !c->closed && unsent(c) + held < c->cs->limits.output_high;
}

/*
 * Write at once: waiting for the loop to say that the socket is writable costs a round of polling.
 * (The front of a bufferevent's output is frozen against everybody but the bufferevent.)
 */
static void
write_now(struct conn *c)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	if (unsent(c) > 0) {
		evbuffer_unfreeze(out, 1);
		evbuffer_write(out, bufferevent_getfd(c->bev));
		evbuffer_freeze(out, 1);
	}
	if (unsent(c) == 0)
		on_write(c->bev, c);
}

void
conns_flush(struct conns *cs)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&cs->flush)) != NULL) {
		TAILQ_REMOVE(&cs->flush, c, flush_link);
		c->in_flush = false;
		if (!c->closed)
			write_now(c);
	}
}

bool
conns_flushed(const struct conns *cs)
{
	const struct conn *c;

	TAILQ_FOREACH (c, &cs->all, link)
		if (unsent(c) > 0)
			return false;
	return true;
}

void
conn_owe(struct conn *c)
{
	c->owed++;
}

void
conn_paid(struct conn *c)
{
	bool was_at_limit = c->owed >= c->cs->limits.unanswered;

	c->owed--;
	if (c->closed)
		return;
	if (c->finishing)
		want_flush(c);
	else if (was_at_limit || c->eof)
		make_ready(c);
}

/* -- the end -- */

void
conn_finish(struct conn *c)
{
	if (c->closed)
		return;
	c->finishing = true;
	want_flush(c);
}

void
conn_stop_lines(struct conn *c)
{
	c->deaf = true;
	make_ready(c);
}

void
conn_hang_up(struct conn *c)
{
	c->hanging_up = true;
	conn_finish(c);
}

void
conn_close(struct conn *c)
{
	struct conns *cs = c->cs;

	if (c->closed)
		return;
	c->closed = true;
	bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	bufferevent_setcb(c->bev, NULL, NULL, NULL, NULL);
	TAILQ_REMOVE(&cs->all, c, link);
	TAILQ_INSERT_TAIL(&cs->dead, c, link);
	if (c->in_half)
		TAILQ_REMOVE(&cs->half, c, half_link);
	cs->n--;
	cs->cb.closed(cs->ctx, c);
}

void
conns_reap(struct conns *cs)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&cs->dead)) != NULL) {
		TAILQ_REMOVE(&cs->dead, c, link);
		if (c->in_ready)
			TAILQ_REMOVE(&cs->ready, c, ready_link);
		if (c->in_flush)
			TAILQ_REMOVE(&cs->flush, c, flush_link);
		bufferevent_free(c->bev);
		free(c);
	}
}

void
conns_set_limits(struct conns *cs, const struct conn_limits *limits)
{
	cs->limits = *limits;
}

unsigned
conns_count(const struct conns *cs)
{
	return cs->n;
}

const struct caller *
conn_caller(const struct conn *c)
{
	return &c->caller;
}

void
conn_set_user(struct conn *c, void *user)
{
	c->user = user;
}

void *
conn_user(const struct conn *c)
{
	return c->user;
}

bool
conn_is_closed(const struct conn *c)
{
	return c->closed;
}

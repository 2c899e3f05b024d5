/*
 * Connections: lines in, lines out, bounded both ways.
 *
 * Input is only taken note of while the event loop runs; conns_run() hands the lines over
 * afterwards, at most CONN_LINES_A_TURN of a connection, so that no client can keep the others, or
 * the end of the turn, waiting. A connection whose output is not read is not listened to either.
 *
 * When its input ends, everything that is owed is still answered, unless the other end is gone
 * altogether; as long as answers are owed, that is looked at once a second.
 *
 * A connection is never freed under its user: conn_close() marks it, `closed` tells, and
 * conns_reap() frees it at the end of the turn.
 */
#ifndef TASKCTL_CONN_H
#define TASKCTL_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CONN_LINES_A_TURN 32

struct event_base;
struct conn;
struct conns;

/* Who is at the other end; `by` is what requests are recorded with. */
struct caller {
	bool known;
	uid_t uid;
	char by[32]; /* "uid:1000" */
};

struct conn_limits {
	size_t line_max, line_max_anon; /* bytes of a line; before the caller is known */
	size_t output_high;             /* bytes to be sent: no more lines are taken */
	size_t output_close;            /* ... the connection is given up */
	unsigned unanswered;            /* requests without a reply: no more lines are taken */
	unsigned connections;
};

struct conn_callbacks {
	/* One line, not NUL-terminated, valid for the call. */
	void (*line)(void *ctx, struct conn *c, const char *line, size_t len);
	/* A line was longer than the limit; the connection takes no more lines. */
	void (*too_large)(void *ctx, struct conn *c);
	/* Much of what was to be sent is sent: streams may go on. */
	void (*drained)(void *ctx, struct conn *c);
	/* Has the other end of a connection whose input has ended gone away altogether? */
	bool (*gone)(void *ctx, int fd);
	void *gone_ctx;
	/* The connection is over; its user lets go of it. */
	void (*closed)(void *ctx, struct conn *c);
};

struct conns *conns_new(struct event_base *base, const struct conn_limits *limits,
    const struct conn_callbacks *cb, void *ctx);
/* Holds for what comes; lines of connections that are there keep their length. */
void conns_set_limits(struct conns *cs, const struct conn_limits *limits);
void conns_free(struct conns *cs); /* closes all, with callbacks */

/* A new connection on fd, which it takes. NULL if there are too many (fd is closed). */
struct conn *conn_new_take(struct conns *cs, int fd, const struct caller *caller);

void conns_run(struct conns *cs);        /* hand lines over */
bool conns_busy(const struct conns *cs); /* lines are left for the next turn: do not wait */
void conns_flush(struct conns *cs);      /* write what was queued */
void conns_reap(struct conns *cs);       /* free what is closed */
void conns_stop_reading(struct conns *cs);
unsigned conns_count(const struct conns *cs);
/* True if nothing waits to be sent anywhere. */
bool conns_flushed(const struct conns *cs);

/* Who was found at the other end; and what the user of the connection keeps with it. */
const struct caller *conn_caller(const struct conn *c);
void conn_set_user(struct conn *c, void *user);
void *conn_user(const struct conn *c);

/* Queue bytes; sent with the next conns_flush(). Nothing happens on a closed connection. */
void conn_send(struct conn *c, const void *data, size_t len);
/*
 * Room for more output of a stream, beside `held` bytes that are about to be sent? If not, `drained`
 * comes when there is.
 */
bool conn_has_room(const struct conn *c, size_t held);

/* One more, one less request that waits for its reply. */
void conn_owe(struct conn *c);
void conn_paid(struct conn *c);

void conn_finish(struct conn *c);     /* close when all is answered and sent; takes no more lines */
void conn_stop_lines(struct conn *c); /* takes no more lines; its end is still noticed */
void conn_hang_up(struct conn *c);    /* the same, without waiting for what is not answered yet */
void conn_close(struct conn *c);      /* now */
bool conn_is_closed(const struct conn *c);

#endif

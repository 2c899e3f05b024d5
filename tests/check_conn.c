/* Connections over socket pairs: framing, limits both ways, ends of all kinds. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check_run.h"
#include "conn.h"
#include "util.h"

#define LINE_MAX_KNOWN 2000
#define LINE_MAX_ANON  100

static struct event_base *base;
static struct conns *conns;
static struct conn *conn; /* NULL once it is closed */
static int peer;
static struct strbuf got; /* the lines, each ended by | */
static unsigned nlines, ntoo_large, ndrained, nclosed;
static bool echo; /* answer every line with itself */
static bool owes; /* every line is owed a reply */
static struct conn_limits limits = {.line_max = LINE_MAX_KNOWN,
    .line_max_anon = LINE_MAX_ANON,
    .output_high = 4096,
    .output_close = 4 * 1024 * 1024,
    .unanswered = 8,
    .connections = 3};
static const struct caller known = {.known = true, .uid = 5, .by = "uid:5"};

static void
on_line(void *ctx, struct conn *c, const char *line, size_t len)
{
	(void)ctx;
	nlines++;
	if (got.len < 1024 * 1024) {
		strbuf_add(&got, line, len);
		strbuf_addch(&got, '|');
	}
	if (owes)
		conn_owe(c);
	if (echo) {
		conn_send(c, line, len);
		conn_send(c, "\n", 1);
	}
}

static void
on_too_large(void *ctx, struct conn *c)
{
	(void)ctx;
	ntoo_large++;
	conn_send(c, "long\n", 5);
}

static void
on_drained(void *ctx, struct conn *c)
{
	(void)ctx;
	ck_assert(conn_has_room(c, 0));
	ndrained++;
}

static void
on_closed(void *ctx, struct conn *c)
{
	(void)ctx;
	ck_assert(conn_is_closed(c));
	nclosed++;
	if (c == conn)
		conn = NULL;
}

static bool peer_is_gone;

static bool
on_gone(void *ctx, int fd)
{
	(void)ctx;
	ck_assert_int_ge(fd, 0);
	return peer_is_gone;
}

static const struct conn_callbacks callbacks = {.line = on_line,
    .too_large = on_too_large,
    .drained = on_drained,
    .closed = on_closed,
    .gone = on_gone};

static struct conn *
connect_as(const struct caller *caller, int *other)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	*other = fd[1];
	return conn_new_take(conns, fd[0], caller);
}

static void
begin(const struct caller *caller)
{
	signal(SIGPIPE, SIG_IGN); /* as the server does */
	base = event_base_new();
	conns = conns_new(base, &limits, &callbacks, NULL);
	conn = connect_as(caller, &peer);
	ck_assert_ptr_nonnull(conn);
}

static void
end(void)
{
	if (peer >= 0)
		close(peer);
	conns_free(conns);
	event_base_free(base);
	strbuf_release(&got);
	conn = NULL;
}

/* A turn as the server's, without waiting. */
static void
turn(void)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	conns_run(conns);
	conns_flush(conns);
	conns_reap(conns);
}

static void
turns(int n)
{
	while (n-- > 0)
		turn();
}

static void
say(const char *text)
{
	ck_assert_int_eq(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void
lines(const char *want)
{
	turns(3);
	ck_assert_str_eq(strbuf_str(&got), want);
}

/* All that can be read now, appended to b; true at the end of the connection. */
static bool
hear(struct strbuf *b)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(peer, buf, sizeof(buf))) > 0)
		strbuf_add(b, buf, (size_t)n);
	return n == 0 || errno == ECONNRESET;
}

static void
hears(const char *want, bool eof)
{
	struct strbuf b = STRBUF_INIT;

	turns(3);
	ck_assert_int_eq(hear(&b), eof);
	ck_assert_str_eq(strbuf_str(&b), want);
	strbuf_release(&b);
}

/* -- framing -- */

START_TEST(lines_in_pieces)
{
	begin(&known);
	say("{\"a\":");
	lines("");
	say("1}");
	lines("");
	say("\n{}\r\n{\"b\"");
	lines("{\"a\":1}|{}|");
	say("\r");
	lines("{\"a\":1}|{}|");
	say("\n\n \t\r\n\r\nx\n");
	lines("{\"a\":1}|{}|{\"b\"|x|"); /* blank ones are nothing */
	ck_assert_uint_eq(conns_count(conns), 1);
	ck_assert(!conns_busy(conns));
	end();
}
END_TEST

/* A stream cut at every pair of places gives the same lines. */
START_TEST(every_split)
{
	static const char stream[] = "\n {\"a\":\"\xc3\xa4\"}\r\n\r\n{}\n  \n{\"b\":\r}\r\n{}";
	static const char want[] = " {\"a\":\"\xc3\xa4\"}|{}|{\"b\":\r}|{}|";
	size_t len = sizeof(stream) - 1;

	for (size_t i = 0; i <= len; i++) {
		for (size_t k = i; k <= len; k++) {
			begin(&known);
			if (write(peer, stream, i) < 0)
				ck_abort();
			turn();
			if (write(peer, stream + i, k - i) < 0)
				ck_abort();
			turn();
			if (write(peer, stream + k, len - k) < 0)
				ck_abort();
			shutdown(peer, SHUT_WR);
			turns(3);
			if (strcmp(strbuf_str(&got), want) != 0)
				ck_abort_msg("cut at %zu and %zu: %s", i, k, strbuf_str(&got));
			if (nclosed != 1 || conns_count(conns) != 0)
				ck_abort_msg("cut at %zu and %zu: not closed", i, k);
			nclosed = 0;
			end();
		}
	}
}
END_TEST

START_TEST(byte_by_byte)
{
	begin(&known);
	echo = true;
	for (int i = 0; i < 50; i++) {
		const char *p = "{\"cmd\":\"x\"}\r\n";

		for (; *p != '\0'; p++) {
			ck_assert_int_eq(write(peer, p, 1), 1);
			turn();
		}
	}
	turns(3);
	ck_assert_uint_eq(nlines, 50);
	end();
}
END_TEST

START_TEST(first_byte)
{
	static const char *const lost[] = {"GET / HTTP/1.1\r\n", "\x16\x03\x01\x02", "[1]\n",
	    "  \r\n\t\"x\"\n", "\n\n}", "\xef\xbb\xbf{}\n", "\xff"};
	static const char *const good[] = {"{", " {", "\r\n\t {", "\n\n\n\n\n\n\n\n{"};

	for (size_t i = 0; i < ARRAY_SIZE(lost); i++) {
		begin(&known);
		say(lost[i]);
		hears("", true); /* closed without a word */
		ck_assert_uint_eq(nlines, 0);
		ck_assert_uint_eq(nclosed, i + 1);
		end();
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		begin(&known);
		say(good[i]);
		hears("", false);
		ck_assert_ptr_nonnull(conn);
		nclosed = 0;
		end();
	}
	begin(&known); /* only the very first counts */
	say("{}\n[1]\nx\n");
	lines("{}|[1]|x|");
	end();
}
END_TEST

/* -- limits of input -- */

static void
say_long(size_t len, const char *line_end)
{
	char *text = xmalloc(len + 1);

	memset(text, 'x', len);
	text[0] = '{';
	text[len] = '\0';
	say(text);
	say(line_end);
	free(text);
}

/* The other end goes: then the connection, which has waited for that, is closed. */
static void
leaves(void)
{
	close(peer);
	peer = -1;
	turns(2);
	ck_assert_uint_eq(nclosed, 1);
}

START_TEST(length_of_a_line)
{
	begin(&known);
	say_long(LINE_MAX_KNOWN, "\n");
	say_long(LINE_MAX_KNOWN, "\r\n"); /* the line end does not count */
	turns(3);
	ck_assert(nlines == 2 && ntoo_large == 0);
	say_long(LINE_MAX_KNOWN + 1, "\n{}\n");
	hears("long\n", true); /* told, then closed; what is behind it is not looked at */
	ck_assert(nlines == 2 && ntoo_large == 1);
	leaves();
	end();
}
END_TEST

START_TEST(line_without_an_end)
{
	begin(&known);
	say_long(LINE_MAX_KNOWN + 1, "");
	hears("long\n", true);
	ck_assert(nlines == 0 && ntoo_large == 1);
	leaves();
	end();
}
END_TEST

START_TEST(last_line_too_long)
{
	begin(&known);
	say_long(LINE_MAX_KNOWN + 1, "");
	shutdown(peer, SHUT_WR);
	hears("long\n", true);
	ck_assert(nlines == 0 && ntoo_large == 1);
	leaves();
	end();
}
END_TEST

START_TEST(callers_that_are_not_known)
{
	static const struct caller nobody = {.known = false, .by = "?"};

	begin(&nobody);
	ck_assert(!conn_caller(conn)->known);
	say_long(LINE_MAX_ANON, "\n");
	turns(3);
	ck_assert(nlines == 1 && ntoo_large == 0);
	say_long(LINE_MAX_ANON + 1, "\n");
	hears("long\n", true);
	ck_assert(nlines == 1 && ntoo_large == 1);
	end();
}
END_TEST

static void
say_many(int n)
{
	struct strbuf b = STRBUF_INIT;

	while (n-- > 0)
		strbuf_adds(&b, "{}\n");
	say(strbuf_str(&b));
	strbuf_release(&b);
}

START_TEST(lines_a_turn)
{
	begin(&known);
	for (int i = 0; i < 100; i++)
		say("{}\n");
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	for (unsigned n = 1; n <= 3; n++) {
		conns_run(conns);
		ck_assert_uint_eq(nlines, n * CONN_LINES_A_TURN);
		ck_assert(conns_busy(conns)); /* the loop must not wait */
	}
	conns_run(conns);
	ck_assert_uint_eq(nlines, 100);
	ck_assert(!conns_busy(conns));
	end();
}
END_TEST

/* One that sends without end does not keep another waiting. */
START_TEST(fair)
{
	struct conn *second;
	int other;

	begin(&known);
	say_many(1000);
	second = connect_as(&known, &other);
	ck_assert_int_eq(write(other, "{2}\n", 4), 4);
	turn();
	ck_assert_uint_eq(nlines, CONN_LINES_A_TURN + 1);
	ck_assert_ptr_nonnull(strstr(strbuf_str(&got), "{2}|"));
	ck_assert(!conn_is_closed(second));
	close(other);
	end();
}
END_TEST

START_TEST(unanswered)
{
	begin(&known);
	owes = true;
	for (int i = 0; i < 20; i++)
		say("{}\n");
	turns(5);
	ck_assert_uint_eq(nlines, limits.unanswered);
	ck_assert(!conns_busy(conns)); /* no spinning while it waits */
	conn_paid(conn);
	turns(3);
	ck_assert_uint_eq(nlines, limits.unanswered + 1);
	for (int i = 0; i < 19; i++) {
		conn_paid(conn);
		turn();
	}
	turns(3);
	ck_assert_uint_eq(nlines, 20);
	end();
}
END_TEST

/* Input of a connection that takes no lines is not read into memory without end. */
START_TEST(input_is_bounded)
{
	char block[3000];
	size_t taken = 0;
	ssize_t n;

	for (size_t i = 0; i < sizeof(block); i += 3)
		memcpy(block + i, "{}\n", 3);
	begin(&known);
	owes = true;
	for (int i = 0; i < 400; i++) {
		if ((n = write(peer, block, sizeof(block))) > 0)
			taken += (size_t)n;
		turn();
	}
	ck_assert_uint_eq(nlines, limits.unanswered);
	ck_assert_msg(taken < 2 * 1024 * 1024, "%zu bytes were taken", taken);
	end();
}
END_TEST

START_TEST(as_many_as_are_allowed)
{
	int fd[4];

	begin(&known);
	ck_assert_ptr_nonnull(connect_as(&known, &fd[0]));
	ck_assert_ptr_nonnull(connect_as(&known, &fd[1]));
	ck_assert_ptr_null(connect_as(&known, &fd[2]));
	ck_assert_uint_eq(conns_count(conns), 3);
	ck_assert_int_eq(read(fd[2], &fd[3], 1), 0); /* its descriptor is closed */
	close(fd[0]);
	turns(3);
	ck_assert_uint_eq(conns_count(conns), 2);
	ck_assert_ptr_nonnull(connect_as(&known, &fd[0]));
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	end();
}
END_TEST

/* -- output -- */

START_TEST(output_fills_up_and_drains)
{
	static char block[2048];
	struct strbuf b = STRBUF_INIT;
	size_t sent = 0;

	memset(block, 'o', sizeof(block));
	begin(&known);
	while (conn_has_room(conn, 0) && sent < 64 * 1024 * 1024) { /* the kernel takes some, too */
		conn_send(conn, block, sizeof(block));
		sent += sizeof(block);
		conns_flush(conns);
	}
	ck_assert_uint_lt(sent, 8 * 1024 * 1024);
	ck_assert(!conns_flushed(conns));
	say("{}\n");
	turns(3);
	ck_assert_uint_eq(nlines, 0); /* who does not read is not listened to */
	ck_assert(!conns_busy(conns));
	for (int i = 0; i < 1000 && b.len < sent; i++) {
		hear(&b);
		turn();
	}
	ck_assert_uint_eq(b.len, sent);
	turns(3);
	ck_assert_uint_ge(ndrained, 1);
	ck_assert_uint_eq(nlines, 1);
	ck_assert(conns_flushed(conns));
	strbuf_release(&b);
	end();
}
END_TEST

START_TEST(output_that_nobody_reads)
{
	static char block[65536];

	begin(&known);
	for (int i = 0; i < 200 && conn != NULL; i++) {
		conn_send(conn, block, sizeof(block));
		conns_flush(conns);
	}
	ck_assert_ptr_null(conn); /* given up */
	ck_assert_uint_eq(nclosed, 1);
	turns(3);
	ck_assert_uint_eq(conns_count(conns), 0);
	end();
}
END_TEST

START_TEST(send_on_a_closed_connection)
{
	struct conn *c;

	begin(&known);
	c = conn;
	conn_close(c);
	conn_close(c);
	ck_assert_uint_eq(nclosed, 1);
	ck_assert(conn_is_closed(c) && !conn_has_room(c, 0));
	conn_send(c, "x", 1); /* it is there until conns_reap() */
	conn_finish(c);
	conn_hang_up(c);
	ck_assert_uint_eq(nclosed, 1);
	turn();
	hears("", true);
	end();
}
END_TEST

/* -- the end -- */

START_TEST(half_close)
{
	begin(&known);
	echo = true;
	say("{1}\n{2}");
	shutdown(peer, SHUT_WR);
	hears("{1}\n{2}\n", true); /* a last line without an end is one */
	ck_assert_uint_eq(nclosed, 1);
	end();
}
END_TEST

START_TEST(half_close_waits_for_what_is_owed)
{
	begin(&known);
	owes = true;
	say("{1}\n{2}\n");
	shutdown(peer, SHUT_WR);
	hears("", false);
	ck_assert_uint_eq(nlines, 2);
	conn_send(conn, "one\n", 4);
	conn_paid(conn);
	hears("one\n", false);
	conn_send(conn, "two\n", 4);
	conn_paid(conn);
	hears("two\n", true);
	ck_assert_uint_eq(nclosed, 1);
	end();
}
END_TEST

/* Many lines, then the end, with each reply awaited before the next line is taken. */
START_TEST(half_close_beyond_the_limits)
{
	begin(&known);
	owes = true;
	for (int i = 0; i < 100; i++)
		say("{}\n");
	say("{last}");
	shutdown(peer, SHUT_WR);
	for (unsigned n = 0; n < 500 && conn != NULL; n++) {
		turn();
		if (conn != NULL && nlines > n) {
			conn_send(conn, "r\n", 2);
			conn_paid(conn);
		}
	}
	turns(3);
	ck_assert_uint_eq(nlines, 101);
	ck_assert_uint_eq(nclosed, 1);
	end();
}
END_TEST

START_TEST(close_with_nothing_said)
{
	begin(&known);
	close(peer);
	peer = -1;
	turns(3);
	ck_assert(nclosed == 1 && nlines == 0);
	end();
}
END_TEST

/* A request whose reply cannot be delivered is carried out all the same: all of them. */
static void
leave_after(int n)
{
	begin(&known);
	echo = true;
	for (int i = 0; i < n; i++)
		say("{}\n");
	close(peer);
	peer = -1;
	for (int i = 0; i < 50; i++)
		turn();
	ck_assert_msg(nlines == (unsigned)n, "%u of %d lines were carried out", nlines, n);
	ck_assert_uint_eq(nclosed, 1);
	end();
}

START_TEST(left_after_one_turn_of_lines)
{
	leave_after(CONN_LINES_A_TURN);
}
END_TEST
START_TEST(left_after_many_lines)
{
	leave_after(3 * CONN_LINES_A_TURN);
}
END_TEST

/* A connection that is lost ends, though a reply is owed (an own wait depends on it). */
START_TEST(gone_while_a_reply_is_owed)
{
	begin(&known);
	owes = peer_is_gone = true;
	say("{}\n");
	turns(3);
	ck_assert_uint_eq(nclosed, 0); /* nobody asks before the input has ended */
	close(peer);
	peer = -1;
	turns(5);
	ck_assert(nlines == 1 && nclosed == 1);
	end();
}
END_TEST

/* First half-closed, then gone: noticed within a second or so. */
START_TEST(gone_after_a_half_close)
{
	begin(&known);
	owes = true;
	say("{}\n");
	shutdown(peer, SHUT_WR);
	turns(5);
	ck_assert(nlines == 1 && nclosed == 0);
	peer_is_gone = true;
	event_base_loop(base, EVLOOP_ONCE); /* there is nothing to wait for but the look */
	turns(2);
	ck_assert_uint_eq(nclosed, 1);
	end();
}
END_TEST

START_TEST(finish)
{
	begin(&known);
	owes = true;
	say("{1}\n");
	turns(2);
	conn_finish(conn);
	say("{2}\n"); /* not taken any more */
	turns(3);
	ck_assert(nlines == 1 && nclosed == 0);
	conn_send(conn, "one\n", 4);
	conn_paid(conn);
	hears("one\n", true);
	ck_assert(nlines == 1 && nclosed == 1);
	end();
}
END_TEST

/* "close":true: after this reply, whatever else is owed. */
START_TEST(hang_up)
{
	begin(&known);
	owes = true;
	say("{1}\n{2}\n");
	turns(2);
	ck_assert_uint_eq(nlines, 2);
	conn_send(conn, "two\n", 4);
	conn_hang_up(conn);
	conn_paid(conn);
	hears("two\n", true);
	ck_assert_uint_eq(nclosed, 0); /* it might still be sending: that is waited for */
	leaves();
	end();
}
END_TEST

/* What was sent before is not lost, however much it is and however slowly it is read. */
START_TEST(hang_up_flushes)
{
	static char block[1024 * 1024];
	struct strbuf b = STRBUF_INIT;
	bool eof = false;

	memset(block, 'f', sizeof(block));
	begin(&known);
	conn_send(conn, block, sizeof(block));
	conn_hang_up(conn);
	for (int i = 0; i < 1000 && !eof; i++) {
		turn();
		eof = hear(&b);
	}
	ck_assert(eof);
	ck_assert_uint_eq(b.len, sizeof(block));
	leaves();
	strbuf_release(&b);
	end();
}
END_TEST

START_TEST(stop_reading)
{
	begin(&known);
	conns_stop_reading(conns);
	say("{}\n");
	turns(3);
	ck_assert_uint_eq(nlines, 0);
	conn_send(conn, "bye\n", 4);
	hears("bye\n", false);
	end();
}
END_TEST

static unsigned
open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Whatever the end was, no descriptor is left. */
START_TEST(descriptors)
{
	unsigned before = open_descriptors();

	for (int i = 0; i < 30; i++) {
		begin(&known);
		echo = true;
		say(i % 3 ? "{}\n{" : "GET\n");
		turns(i % 2 ? 3 : 0);
		if (i % 5 == 0)
			shutdown(peer, SHUT_WR);
		turns(i % 7);
		end();
	}
	ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

CHECK_MAIN("conn", lines_in_pieces, every_split, byte_by_byte, first_byte, length_of_a_line,
    line_without_an_end, last_line_too_long, callers_that_are_not_known, lines_a_turn, fair,
    unanswered, input_is_bounded, as_many_as_are_allowed, output_fills_up_and_drains,
    output_that_nobody_reads, send_on_a_closed_connection, half_close,
    half_close_waits_for_what_is_owed, half_close_beyond_the_limits, close_with_nothing_said,
    left_after_one_turn_of_lines, left_after_many_lines, gone_while_a_reply_is_owed,
    gone_after_a_half_close, finish, hang_up, hang_up_flushes, stop_reading, descriptors)

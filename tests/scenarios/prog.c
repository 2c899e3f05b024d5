/*
 * prog: the task of the scenarios. It plays a small program given as JSON, the way a process that
 * knows taskctl would, and writes down what it saw.
 *
 *   prog PROGRAM TICK_MS LEDGER
 *
 * PROGRAM is the scenario's `prog` (README.md in this folder explains it), a tick lasts TICK_MS
 * milliseconds, and each thing seen becomes one JSON line at the end of LEDGER, with the time of
 * the monotonic clock. SIGTERM stays blocked from the first line of main and is read from a
 * signalfd wherever the program sleeps: a cancel cannot come between two of its steps.
 *
 * Values are never freed: the process ends with _exit as soon as its program does.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS 1000000LL
#define NS_PER_S  1000000000LL
#define FOREVER   INT64_MAX
/* Longest reply of the daemon that `await` reads: the longest line of the protocol. */
#define REPLY_MAX (256 * 1024)

/* How a step of the program ended. */
enum how {
	ON,       /* go on with the next */
	SIGNALED, /* cancelled: value is the message */
	RETURNED, /* value is the result */
	FAILED,   /* value is the error */
	EXITED,   /* exit(code), past every cleanup */
};

struct end {
	enum how how;
	json_t *value;
	int code;
	bool declared; /* the cancellation of somebody it waited for, to be passed on */
};

/* What ended a rest. */
enum woke {
	RESTED,  /* its time is over */
	RANG,    /* SIGTERM */
	SPOKE,   /* the descriptor has something to read, or was closed */
	EXPIRED, /* the program's own, inner deadline */
};

struct prog {
	json_t *spec;
	int64_t tick;  /* ns */
	int64_t start; /* ns, monotonic */
	int64_t now;   /* where the program is on its own time line: the end of the last segment */
	int64_t inner; /* when its inner deadline passes, or FOREVER */
	int sigfd;
	int ledger;
	int notify; /* connected to NOTIFY_SOCKET */
	size_t cancels;
};

static const struct end go_on = {.how = ON};

/* ---- small tools */

__attribute__((noreturn)) static void
die(const char *what)
{
	fprintf(stderr, "prog: %s: %s\n", what, strerror(errno));
	_exit(99);
}

static int64_t
clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* Steals `extra` (object or NULL), whose members are added to the line. */
static void
note(struct prog *p, const char *what, json_t *extra)
{
	json_t *line = json_pack("{s:s, s:f}", "ev", what, "t", (double)clock_ns() / 1e9);
	char *text;
	size_t len;

	if (extra != NULL)
		json_object_update(line, extra);
	text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(15));
	if (text == NULL)
		die("json");
	/* one write a line: a SIGKILL cannot leave half of one */
	len = strlen(text);
	text[len] = '\n';
	if (write(p->ledger, text, len + 1) != (ssize_t)len + 1)
		die("ledger");
	free(text);
	json_decref(extra);
	json_decref(line);
}

static json_t *
value_or_null(json_t *v)
{
	return v != NULL ? v : json_null();
}

static int64_t
ticks(const struct prog *p, const json_t *n)
{
	return (int64_t)(json_number_value(n) * (double)p->tick);
}

/* ---- what the daemon said: the cancel file */

static json_t *
cancel_msg(void)
{
	const char *path = getenv("TASKCTL_CANCEL_FILE");
	json_t *file = path != NULL ? json_load_file(path, 0, NULL) : NULL;

	return value_or_null(json_object_get(file, "msg"));
}

/* ---- what it says to the daemon: datagrams */

/*
 * Connects `fd` to the path; '@' stands for the abstract namespace, as in sd_notify(3).
 */
static void
connect_to(int fd, const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	if (len >= sizeof(sun.sun_path))
		die(path);
	memcpy(sun.sun_path, path, len);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	if (connect(fd, (struct sockaddr *)&sun,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
			    (path[0] == '@' ? 0 : 1))) == -1)
		die(path);
}

static void
say_text(struct prog *p, const char *text)
{
	if (send(p->notify, text, strlen(text), MSG_NOSIGNAL) == -1)
		die("notify");
}

/* Says head and, unless it is null, KEY=value: as text where a line can hold it, else as JSON. */
static void
say_value(struct prog *p, const char *head, const char *key, const json_t *value)
{
	const char *text = json_string_value(value);
	char *dump = NULL;
	char *all = NULL;

	if (json_is_null(value)) {
		if (head[0] != '\0')
			say_text(p, head);
		return;
	}
	if (text == NULL || strchr(text, '\n') != NULL)
		text = dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	if (text == NULL ||
	    asprintf(&all, "%s%s%s=%s\n", head, key, dump ? "_JSON" : "", text) == -1)
		die("memory");
	say_text(p, all);
	free(all);
	free(dump);
}

/* Asks for an acknowledgement of all that was said; returns the end that is closed by it. */
static int
say_barrier(struct prog *p)
{
	char text[] = "BARRIER=1";
	struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.buf,
	    .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) == -1)
		die("pipe");
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fds[1], sizeof(int));
	if (sendmsg(p->notify, &msg, MSG_NOSIGNAL) == -1)
		die("barrier");
	close(fds[1]);
	return fds[0];
}

/* ---- sleeping */

static void
note_late(struct prog *p, int64_t until)
{
	int64_t late = clock_ns() - until;

	if (late > p->tick / 5)
		note(p, "late", json_pack("{s:f}", "by", (double)late / 1e9));
}

/* Takes the signal, if there is one. */
static bool
take_signal(struct prog *p)
{
	struct signalfd_siginfo info;

	return read(p->sigfd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

static struct timespec
left_until(int64_t until)
{
	int64_t left = until == FOREVER ? 3600 * NS_PER_S : until - clock_ns();

	if (left < 0)
		left = 0;
	return (struct timespec){.tv_sec = left / NS_PER_S, .tv_nsec = left % NS_PER_S};
}

/* Sleeps until a time or the first event; a signal comes before all else. fd may be -1. */
static enum woke
rest(struct prog *p, int64_t until, int fd)
{
	for (;;) {
		int64_t next = p->inner < until ? p->inner : until;
		struct timespec left = left_until(next);
		struct pollfd fds[2] = {
		    {.fd = p->sigfd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};

		if (ppoll(fds, 2, &left, NULL) == -1)
			die("ppoll");
		if (fds[0].revents != 0 && take_signal(p))
			return RANG;
		if (fds[1].revents != 0)
			return SPOKE;
		if (clock_ns() < next)
			continue;
		if (next != until) {
			p->inner = FOREVER;
			note(p, "expired", NULL);
			return EXPIRED;
		}
		note_late(p, until);
		return RESTED;
	}
}

static struct end
signaled(struct prog *p, enum woke woke)
{
	p->now = clock_ns();
	return (struct end){.how = SIGNALED, .value = woke == RANG ? cancel_msg() : json_null()};
}

/* Sleeps to the end of a segment. */
static struct end
work_until(struct prog *p, int64_t until)
{
	enum woke woke = rest(p, until, -1);

	if (woke != RESTED)
		return signaled(p, woke);
	p->now = until;
	return go_on;
}

/* Says something and waits until it has taken effect, or a signal came. */
static struct end
say_and_wait(struct prog *p, const char *head, const char *key, const json_t *value)
{
	enum woke woke;
	int fd;

	say_value(p, head, key, value);
	fd = say_barrier(p);
	woke = rest(p, FOREVER, fd);
	close(fd);
	if (woke != SPOKE)
		return signaled(p, woke);
	/* a signal that the daemon sent before it acknowledged is here by now */
	if (take_signal(p))
		return signaled(p, RANG);
	return go_on;
}

static struct end
set_shield(struct prog *p, bool on)
{
	return say_and_wait(p, on ? "X_SHIELD=1\n" : "X_SHIELD=0\n", "", json_null());
}

/* ---- segments of the body */

static struct end
seg_critical(struct prog *p, const json_t *arg)
{
	struct end e = set_shield(p, true);

	if (e.how == ON)
		e = work_until(p, p->now + ticks(p, arg));
	if (e.how == ON)
		e = set_shield(p, false);
	return e;
}

/* Deaf to the signal, as with sigprocmask: it is looked for afterwards only. */
static struct end
seg_deaf(struct prog *p, const json_t *arg)
{
	int64_t until = p->now + ticks(p, arg);
	struct timespec at = {.tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S};

	if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
		die("sleep");
	note_late(p, until);
	p->now = until;
	return take_signal(p) ? signaled(p, RANG) : go_on;
}

/* ---- await: the program as a client of the daemon */

static void
send_line(int fd, json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t len;

	if (text == NULL)
		die("json");
	len = strlen(text);
	text[len] = '\n';
	if (send(fd, text, len + 1, MSG_NOSIGNAL) != (ssize_t)len + 1)
		die("request");
	free(text);
	json_decref(request);
}

/* Reads what is there; returns the reply to the wait once its line is complete, else NULL. */
static json_t *
take_reply(int fd, char *buf, size_t *len)
{
	ssize_t n = read(fd, buf + *len, REPLY_MAX - *len);
	char *end;

	if (n <= 0)
		die("the daemon closed the connection");
	*len += (size_t)n;
	while ((end = memchr(buf, '\n', *len)) != NULL) {
		json_t *reply = json_loadb(buf, (size_t)(end - buf), 0, NULL);
		const char *rid = json_string_value(json_object_get(reply, "rid"));

		*len -= (size_t)(end + 1 - buf);
		memmove(buf, end + 1, *len);
		if (rid != NULL && strcmp(rid, "wait") == 0)
			return reply;
		json_decref(reply);
	}
	return NULL;
}

/* The answer to the wait decides how the await ends, as an exception would in asyncio. */
static struct end
judge_reply(const json_t *reply)
{
	const char *result = json_string_value(json_object_get(reply, "result"));
	const json_t *task = json_object_get(reply, "task");
	json_t *msg = json_object_get(reply, "msg");

	if (result == NULL)
		return (struct end){.how = FAILED, .value = json_string("the wait was refused")};
	if (msg == NULL)
		msg = json_object_get(json_object_get(task, "cancel"), "msg");
	if (strcmp(result, "cancelled") == 0)
		return (struct end){.how = SIGNALED, .value = value_or_null(msg), .declared = true};
	if (strcmp(result, "failed") == 0)
		return (struct end){
		    .how = FAILED, .value = value_or_null(json_object_get(task, "error"))};
	return go_on;
}

/* A cancel that reaches the waiter goes to the wait; there its answer decides. */
static json_t *
forwarded_cancel(void)
{
	json_t *request = json_pack("{s:s, s:s}", "cmd", "cancel_wait", "wait", "wait");
	json_t *msg = cancel_msg();

	if (!json_is_null(msg))
		json_object_set(request, "msg", msg);
	return request;
}

static struct end
seg_await(struct prog *p, const json_t *name, const json_t *mode)
{
	const char *path = getenv("TASKCTL_SOCKET");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *buf = malloc(REPLY_MAX);
	json_t *reply = NULL;
	size_t len = 0;

	if (fd == -1 || buf == NULL || path == NULL)
		die("await");
	connect_to(fd, path);
	send_line(fd, json_pack("{s:s, s:s, s:s, s:s}", "cmd", "wait", "rid", "wait", "name",
			  json_string_value(name), "mode", mode ? json_string_value(mode) : "own"));
	while (reply == NULL) {
		switch (rest(p, FOREVER, fd)) {
		case SPOKE: reply = take_reply(fd, buf, &len); break;
		case RANG: send_line(fd, forwarded_cancel()); break;
		default: die("await: an inner deadline is not played here");
		}
	}
	close(fd);
	free(buf);
	p->now = clock_ns();
	return judge_reply(reply);
}

/* ---- the program */

/*
 * Runs one segment from where the program is. `until` is the end of a `work`, which an ignored
 * cancel does not move.
 */
static struct end
run_segment(struct prog *p, const json_t *seg, int64_t until)
{
	json_t *arg;

	if (json_object_get(seg, "work") != NULL)
		return work_until(p, until);
	if ((arg = json_object_get(seg, "critical")) != NULL)
		return seg_critical(p, arg);
	if ((arg = json_object_get(seg, "deaf")) != NULL)
		return seg_deaf(p, arg);
	if ((arg = json_object_get(seg, "return")) != NULL)
		return (struct end){.how = RETURNED, .value = arg};
	if ((arg = json_object_get(seg, "fail")) != NULL)
		return (struct end){.how = FAILED, .value = arg};
	if ((arg = json_object_get(seg, "exit")) != NULL)
		return (struct end){.how = EXITED, .code = (int)json_integer_value(arg)};
	if ((arg = json_object_get(seg, "self_cancel")) != NULL)
		return say_and_wait(p, "X_CANCEL=1\n", "X_MSG", arg);
	if ((arg = json_object_get(seg, "await")) != NULL)
		return seg_await(p, arg, json_object_get(seg, "mode"));
	if (json_object_get(seg, "raise_cancelled") != NULL)
		return (struct end){.how = SIGNALED, .value = json_null()};
	fprintf(stderr, "prog: this segment is not known\n");
	_exit(99);
}

static void
note_cancel(struct prog *p, json_t *msg)
{
	note(p, "cancel", json_pack("{s:O}", "msg", msg));
}

static void
note_cleanup(struct prog *p, const char *kind, const char *what)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_%s", kind, what);
	note(p, name, NULL);
}

/* Runs a cleanup; a cancel that gets through interrupts it and is what it ends with. */
static struct end
cleanup(struct prog *p, const char *kind, const json_t *c)
{
	json_t *fail = json_object_get(c, "fail");
	struct end e = go_on;

	note_cleanup(p, kind, "begin");
	/* a shield is kept until the end: what it held back dies with the process */
	if (json_is_true(json_object_get(c, "shielded")))
		e = set_shield(p, true);
	if (e.how == ON)
		e = work_until(p, p->now + ticks(p, json_object_get(c, "ticks")));
	if (e.how == SIGNALED) {
		note_cancel(p, e.value);
		note_cleanup(p, kind, "interrupted");
	} else if (fail != NULL) {
		note_cleanup(p, kind, "failed");
		e = (struct end){.how = FAILED, .value = fail};
	} else {
		note_cleanup(p, kind, "end");
	}
	return e;
}

/* The reaction to this cancel; the last one of the list repeats, none is to give in. */
static const json_t *
next_reaction(struct prog *p)
{
	const json_t *list = json_object_get(p->spec, "on_cancel");
	size_t n = json_array_size(list);
	size_t i = p->cancels++;

	return n == 0 ? NULL : json_array_get(list, i < n ? i : n - 1);
}

/*
 * Reacts to a cancel. Ends ON to go on with the program: `again` then says whether with the rest
 * of this segment (else with the next).
 */
static struct end
react(struct prog *p, struct end cancelled, bool *again)
{
	const json_t *r;
	const json_t *c;
	const char *what;
	struct end e = go_on;

	note_cancel(p, cancelled.value);
	r = next_reaction(p);
	what = r != NULL ? json_string_value(json_object_get(r, "do")) : "reraise";
	*again = strcmp(what, "ignore") == 0;
	if (json_is_true(json_object_get(r, "uncancel")))
		e = say_and_wait(p, "X_UNCANCEL=1\n", "", json_null());
	if (e.how != ON || *again || strcmp(what, "skip") == 0)
		return e;
	if ((c = json_object_get(r, "cleanup")) != NULL)
		e = cleanup(p, "cleanup", c);
	if (e.how != ON)
		return e;
	if (strcmp(what, "return") == 0)
		return (struct end){
		    .how = RETURNED, .value = value_or_null(json_object_get(r, "value"))};
	if (strcmp(what, "fail") == 0)
		return (struct end){.how = FAILED, .value = json_object_get(r, "error")};
	if (strcmp(what, "exit") == 0)
		return (struct end){
		    .how = EXITED, .code = (int)json_integer_value(json_object_get(r, "code"))};
	return cancelled;
}

static struct end
run_body(struct prog *p)
{
	json_t *seg;
	size_t i;

	json_array_foreach (json_object_get(p->spec, "body"), i, seg) {
		const json_t *work = json_object_get(seg, "work");
		int64_t until = p->now + (work != NULL ? ticks(p, work) : 0);
		bool again = true;

		while (again) {
			struct end e = run_segment(p, seg, until);

			again = false;
			if (e.how == SIGNALED && json_object_get(seg, "raise_cancelled") == NULL)
				e = react(p, e, &again);
			if (e.how != ON)
				return e;
			again = again && work != NULL;
		}
	}
	return (struct end){.how = RETURNED, .value = json_null()};
}

static struct end
run(struct prog *p)
{
	const json_t *finally = json_object_get(p->spec, "finally");
	struct end e = run_body(p);
	struct end f;

	if (finally == NULL || e.how == EXITED)
		return e;
	f = cleanup(p, "finally", finally);
	return f.how == ON ? e : f;
}

/* Gives in: dies of SIGTERM, as if it had never been caught. */
__attribute__((noreturn)) static void
raise_sigterm(struct prog *p, const struct end *e)
{
	sigset_t set;

	if (e->declared)
		say_value(p, "X_CANCELLED=1\n", "X_MSG", e->value);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	signal(SIGTERM, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	kill(getpid(), SIGTERM);
	die("SIGTERM did not end it");
}

__attribute__((noreturn)) static void
leave(struct prog *p, const struct end *e)
{
	switch (e->how) {
	case SIGNALED: raise_sigterm(p, e);
	case FAILED: say_value(p, "", "X_ERROR", e->value); _exit(1);
	case EXITED: _exit(e->code);
	default: say_value(p, "", "X_RESULT", e->value); _exit(0);
	}
}

/* The first deadline is taskctl's `timeout`; at most one more is the program's own. */
static int64_t
inner_deadline(const struct prog *p)
{
	const json_t *d = json_array_get(json_object_get(p->spec, "deadlines"), 1);
	const json_t *after = json_object_get(d, "after");

	return json_is_number(after) ? p->start + ticks(p, after) : FOREVER;
}

static void
block_sigterm(struct prog *p)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	p->sigfd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (p->sigfd == -1)
		die("signalfd");
}

int
main(int argc, char **argv)
{
	struct prog p = {.start = clock_ns()};
	const char *notify = getenv("NOTIFY_SOCKET");
	struct end e;

	block_sigterm(&p);
	if (argc != 4 || notify == NULL) {
		fprintf(stderr, "usage: prog PROGRAM TICK_MS LEDGER, as a task of taskctl\n");
		return 2;
	}
	p.tick = strtoll(argv[2], NULL, 10) * NS_PER_MS;
	p.spec = json_loads(argv[1], 0, NULL);
	p.ledger = open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	p.notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (p.spec == NULL || p.tick <= 0 || p.ledger == -1 || p.notify == -1)
		die("setup");
	connect_to(p.notify, notify);
	p.now = p.start;
	p.inner = inner_deadline(&p);
	note(&p, "begin", json_pack("{s:f}", "start", (double)p.start / 1e9));
	e = run(&p);
	leave(&p, &e);
}

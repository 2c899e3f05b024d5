/*
 * taskctl run: start, follow the output and wait, all on one connection. The three requests go out
 * at once, the latter two naming the task by its key. The key also makes the connection expendable:
 * when it is lost, asking again starts nothing twice.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "again.h"
#include "client.h"
#include "clock.h"
#include "jv.h"
#include "outcome.h"
#include "proto.h"
#include "start.h"
#include "stream.h"

#define STREAMS 2

struct run {
	struct call *call;
	struct req start;
	char *key; /* JSON text */
	struct link link;
	int sigfd;
	int interrupts; /* signals so far */
	struct stream out[STREAMS];
	bool open[STREAMS]; /* its end has not come yet */
	int nstreams;
	int64_t id;
	struct strbuf name; /* for people: "flaky.sh (48)" */
	struct strbuf last; /* what is said at the end, if anything */
	bool answered;      /* the wait was */
	bool finished;
	bool gone_said; /* the task was cancelled because nobody reads its output */
	int code;
};

/* The caller's own key, or one that nobody else has. */
static void
make_key(struct run *run)
{
	uint64_t random[2] = {0, 0};

	for (int i = 0; i < run->start.n; i++) {
		if (strcmp(run->start.v[i].key, "key") == 0) {
			run->key = xstrdup(run->start.v[i].text);
			return;
		}
	}
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		random[0] = (uint64_t)clock_boot_ns() ^ (uint64_t)getpid() << 40;
	run->key = xasprintf(
	    "\"run-%016llx%016llx\"", (unsigned long long)random[0], (unsigned long long)random[1]);
	req_raw(&run->start, "key", run->key);
}

/* The task has no id yet when the first requests go out. */
static void
by_key(const struct run *run, struct req *r, const char *cmd, const char *rid)
{
	req_str(r, "cmd", cmd);
	req_raw(r, "key", run->key);
	req_str(r, "rid", rid);
}

/* "out0", "out1": the rid tells whose output an event is. */
static void
logs_request(const struct run *run, int i, struct req *r)
{
	static const char *const rids[STREAMS] = {"out0", "out1"};
	static const char *const names[STREAMS] = {"stdout", "stderr"};

	by_key(run, r, "logs", rids[i]);
	if (run->nstreams > 1)
		req_str(r, "stream", names[i]);
	req_bool(r, "follow", true);
	req_str(r, "encoding", "base64");
	if (run->out[i].offset > 0)
		req_int(r, "offset", run->out[i].offset);
}

/* Adds a request to what goes out in one write, or prints it. */
static void
add_request(struct run *run, struct req *r, struct strbuf *b)
{
	if (run->call->wire) {
		client_wire(r);
	} else {
		req_print(r, b);
		strbuf_addch(b, '\n');
	}
	req_release(r);
}

/* Everything that is asked at the beginning, and again after a lost connection. */
static int
ask(struct run *run)
{
	struct strbuf b = STRBUF_INIT;
	struct req r = {0};
	int rc = EXIT_OK;

	req_merge(&r, &run->start);
	add_request(run, &r, &b);
	if (b.len > PROTO_LINE_MAX) {
		rc = client_send(run->call, &run->link, &run->start); /* says that it is too long */
		strbuf_release(&b);
		return rc;
	}
	for (int i = 0; i < run->nstreams; i++) {
		if (!run->open[i])
			continue;
		logs_request(run, i, &r);
		add_request(run, &r, &b);
	}
	by_key(run, &r, "wait", "wait");
	add_request(run, &r, &b);
	if (!run->call->wire)
		(void)link_send(&run->link, b.s, b.len); /* an error shows when we read */
	strbuf_release(&b);
	return rc;
}

/* A cancel or a kill; its answer is told when it comes. */
static void
send_msg(struct run *run, const char *cmd, const char *msg)
{
	struct req r = {0};

	by_key(run, &r, cmd, cmd);
	req_str(&r, "msg", msg);
	(void)client_send(run->call, &run->link, &r);
	req_release(&r);
}

/* The first and second signal cancel, all later ones kill. */
static void
on_signal(struct run *run, int signo)
{
	static const struct {
		int signo;
		const char *msg;
	} names[] = {{SIGINT, "interrupted"}, {SIGTERM, "SIGTERM"}, {SIGHUP, "SIGHUP"}};
	const char *msg = "interrupted";

	if (signo == SIGHUP && run->call->detach_on_hup) {
		client_say(run->call, "%s runs on; 'taskctl wait %lld' waits for it.",
		    strbuf_str(&run->name), (long long)run->id);
		run->finished = true;
		run->code = 128 + SIGHUP;
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (names[i].signo == signo)
			msg = names[i].msg;
	}
	run->interrupts++;
	send_msg(run, run->interrupts < 3 ? "cancel" : "kill", msg);
}

/* The signals that end us are taken as messages, unless they were ignored when we were started. */
static int
open_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction old;
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaddset(&set, signals[i]);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* As many as there are. */
static void
read_signals(struct run *run)
{
	struct signalfd_siginfo si;

	while (!run->finished && read(run->sigfd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		on_signal(run, (int)si.ssi_signo);
}

/* From here on we can say which task it is. */
static void
on_started(struct run *run, const struct jv *reply)
{
	if (!jv_bool(reply, "ok")) {
		(void)outcome_say_error(run->call, NULL, reply);
		run->finished = true;
		run->code = EXIT_TROUBLE;
		return;
	}
	run->id = jv_int(reply, "id", 0);
	strbuf_reset(&run->name);
	strbuf_addf(&run->name, "task %lld", (long long)run->id);
}

/* What a failed task's own exit code says already needs no words. */
static bool
is_plain_exit(const struct jv *task)
{
	const char *state = jv_str(task, "state");

	if (state == NULL || strcmp(state, "done") == 0)
		return true;
	return strcmp(state, "failed") == 0 && jv_int(jv_get(task, "exit"), "code", 0) > 0 &&
	       !jv_has(task, "error");
}

/* The task has ended. Its last output may still be on its way. */
static void
on_answer(struct run *run, const struct jv *reply)
{
	const struct jv *task = jv_get(reply, "task");

	run->answered = true;
	if (!jv_bool(reply, "ok")) {
		(void)outcome_say_error(run->call, strbuf_str(&run->name), reply);
		run->code = EXIT_TROUBLE;
		run->finished = true;
		return;
	}
	run->code = outcome_code(reply);
	if (is_plain_exit(task))
		return;
	outcome_label(task, "task", &run->last);
	strbuf_adds(&run->last, ": ");
	outcome_sentence(task, &run->last);
}

/* Only what the user has to know: that nothing will happen yet, or that it was refused. */
static void
on_control(struct run *run, const struct jv *reply)
{
	const char *effect = jv_str(reply, "effect");

	if (!jv_bool(reply, "ok"))
		(void)outcome_say_error(run->call, strbuf_str(&run->name), reply);
	else if (effect != NULL &&
		 (strcmp(effect, "deferred") == 0 || strcmp(effect, "coalesced") == 0))
		client_say(run->call,
		    "%s is shielded: the cancel is delivered when the shield ends. 'taskctl kill "
		    "%lld --pierce' does not wait for that.",
		    strbuf_str(&run->name), (long long)run->id);
}

/* The index in run->out, or -1. */
static int
stream_of(const char *rid)
{
	return rid != NULL && strncmp(rid, "out", 3) == 0 && (rid[3] == '0' || rid[3] == '1')
		   ? rid[3] - '0'
		   : -1;
}

/* The rid tells what a line answers. */
static void
on_line(struct run *run, const char *line, size_t len)
{
	struct jv_doc doc = {0};
	const struct jv *v = jv_parse(&doc, line, len);
	const char *rid = jv_str(v, "rid");
	int stream = stream_of(rid);

	if (run->call->json)
		printf("%s\n", line);
	if (stream >= 0 && jv_has(v, "event")) {
		if (!run->call->json)
			stream_event(&run->out[stream], v);
	} else if (stream >= 0) {
		run->open[stream] = false;
	} else if (rid != NULL && strcmp(rid, "start") == 0) {
		on_started(run, v);
	} else if (rid != NULL && strcmp(rid, "wait") == 0) {
		on_answer(run, v);
	} else if (rid != NULL) {
		on_control(run, v);
	} else if (!jv_bool(v, "ok")) {
		(void)outcome_say_error(run->call, NULL, v);
		run->code = EXIT_TROUBLE;
		run->finished = true;
	}
	jv_release(&doc);
	if (run->answered && !run->open[0] && !run->open[1])
		run->finished = true;
}

/* Like a pipe whose reader has gone: what is written for nobody should not go on for ever. */
static void
check_reader(struct run *run)
{
	if (run->gone_said || run->answered || !(run->out[0].broken || run->out[1].broken))
		return;
	run->gone_said = true;
	send_msg(run, "cancel", "output closed");
}

/* The daemon has gone: its next one is asked everything again. */
static void
reconnect(struct run *run)
{
	if (run->id != 0 && again_connect(run->call, &run->link, run->sigfd) == 0 &&
	    ask(run) == EXIT_OK)
		return;
	if (run->id == 0)
		client_say(run->call,
		    "The daemon closed the connection before it answered. Its log says why.");
	else
		client_say(run->call,
		    "The daemon has gone. The task is not lost by that: when the daemon is back, "
		    "'taskctl wait %lld' waits for it.",
		    (long long)run->id);
	run->finished = true;
	run->code = EXIT_TROUBLE;
}

/* Lines and signals, until all is answered. */
static void
loop(struct run *run)
{
	char *line;
	size_t len;

	while (!run->finished) {
		struct pollfd p[] = {
		    {.fd = run->link.fd, .events = POLLIN},
		    {.fd = run->sigfd, .events = POLLIN},
		};

		if (run->call->json)
			fflush(stdout);
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents != 0)
			read_signals(run);
		if (p[0].revents == 0 || run->finished)
			continue;
		if (link_fill(&run->link) <= 0) {
			reconnect(run);
			continue;
		}
		while (!run->finished && link_next(&run->link, &line, &len) > 0)
			on_line(run, line, len);
		check_reader(run);
	}
}

static int
follow(struct run *run)
{
	int rc = client_connect(run->call, &run->link);

	if (rc != EXIT_OK)
		return rc;
	run->sigfd = open_signals();
	rc = ask(run);
	if (rc == EXIT_OK) {
		run->code = EXIT_TROUBLE;
		loop(run);
		rc = run->code;
	}
	for (int i = 0; i < run->nstreams; i++)
		stream_end(&run->out[i]);
	if (run->last.len > 0)
		client_say(run->call, "%s", run->last.s);
	close(run->sigfd);
	return rc;
}

int
run_run(struct call *call)
{
	struct run run = {.call = call, .sigfd = -1, .nstreams = call->separate ? 2 : 1};
	int rc = start_request(call, &run.start);

	link_init(&run.link, -1);
	for (int i = 0; i < run.nstreams; i++) {
		run.out[i].call = call;
		run.out[i].fd = STDOUT_FILENO + i;
		run.open[i] = true;
	}
	if (rc == EXIT_OK) {
		req_str(&run.start, "rid", "start");
		make_key(&run);
		rc = call->wire ? ask(&run) : follow(&run);
	}
	for (int i = 0; i < STREAMS; i++)
		stream_release(&run.out[i]);
	strbuf_release(&run.name);
	strbuf_release(&run.last);
	link_release(&run.link);
	req_release(&run.start);
	free(run.key);
	return rc;
}

/* taskctl logs: the output of tasks, all of it, its end, or as it is written. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "jv.h"
#include "outcome.h"
#include "stream.h"

#define TAIL_FIRST (64 * 1024)         /* bytes read for -n at first; then four times as many ... */
#define TAIL_MAX   (256 * 1024 * 1024) /* ... up to this */

/* One task whose output is read. */
struct log {
	const char *task;
	struct stream out;
	int64_t from;    /* offset that was asked for */
	bool asked_from; /* an offset is to be asked for */
	struct strbuf tail;
	int64_t begin; /* -n: offset of the first byte of `tail` */
	bool ended;
};

static void
logs_request(const struct call *call, const struct log *log, int rid, bool follow, struct req *r)
{
	req_str(r, "cmd", "logs");
	req_task(r, log->task);
	if (call->from_stderr)
		req_str(r, "stream", "stderr");
	if (log->asked_from)
		req_int(r, "offset", log->from);
	if (follow)
		req_bool(r, "follow", true);
	req_str(r, "encoding", "base64");
	if (rid >= 0)
		req_int(r, "rid", rid);
}

static int
send_request(const struct call *call, struct link *l, const struct log *log, int rid, bool follow)
{
	struct req r = {0};
	int rc;

	logs_request(call, log, rid, follow, &r);
	rc = client_send(call, l, &r);
	req_release(&r);
	return rc;
}

/* An event's bytes are written, or with -n collected until it is known which lines are the last. */
static void
take_event(struct log *log, const struct jv *v, bool collect)
{
	const struct jv *data = jv_get(v, "data");

	if (!collect) {
		stream_event(&log->out, v);
		return;
	}
	if (log->begin < 0)
		log->begin = jv_int(v, "offset", 0);
	if (data != NULL && data->type == JV_STRING)
		(void)stream_base64(data->str, data->len, &log->tail);
}

/* Reads one line for the logs. *reply tells whether it was the end of one. */
static int
read_line(
    const struct call *call, struct link *l, struct log *logs, int n, bool collect, bool *reply)
{
	struct jv_doc doc = {0};
	const struct jv *v;
	size_t len = 0;
	char *line = NULL;
	int64_t which;
	int rc;

	*reply = false;
	rc = client_read(call, l, &line, &len);
	if (rc != EXIT_OK)
		return rc;
	v = jv_parse(&doc, line, len);
	which = jv_int(v, "rid", 0);
	if (call->json && (!collect || !jv_has(v, "event")))
		printf("%s\n", line);
	if (which < 0 || which >= n)
		which = 0;
	if (jv_has(v, "event")) {
		if (!call->json || collect)
			take_event(&logs[which], v, collect);
	} else if (!jv_bool(v, "ok")) {
		*reply = true;
		rc = outcome_say_error(call, logs[which].task, v);
	} else {
		*reply = true;
		/* Where nothing new came, there is no more for now. */
		logs[which].ended = jv_bool(v, "eof") || jv_int(v, "offset", 0) == logs[which].from;
		logs[which].from = jv_int(v, "offset", 0);
		logs[which].asked_from = true;
	}
	jv_release(&doc);
	return rc;
}

/* All there is now, as many requests as it takes. */
static int
read_all(const struct call *call, struct link *l, struct log *log, bool collect)
{
	bool reply = false;
	int rc = EXIT_OK;

	log->ended = false;
	while (rc == EXIT_OK && !log->ended && !log->out.broken) {
		rc = send_request(call, l, log, -1, false);
		do {
			if (rc == EXIT_OK)
				rc = read_line(call, l, log, 1, collect, &reply);
		} while (rc == EXIT_OK && !reply);
	}
	return rc;
}

/* Where the last n lines begin; 0 if there are not that many. */
static size_t
last_lines(const struct strbuf *b, int64_t n)
{
	size_t at = b->len;

	if (n == 0)
		return b->len;
	if (at > 0 && b->s[at - 1] == '\n')
		at--;
	while (at > 0) {
		if (b->s[at - 1] == '\n' && --n == 0)
			return at;
		at--;
	}
	return 0;
}

/* -n: reads from near the end, and from further away if that was not enough. */
static int
read_tail(const struct call *call, struct link *l, struct log *log)
{
	int64_t n = 0, size = TAIL_FIRST;
	size_t at;
	int rc;

	(void)str_to_int64(call->lines, &n);
	for (;; size *= 4) {
		log->from = -size;
		log->asked_from = true;
		log->begin = -1;
		strbuf_reset(&log->tail);
		rc = read_all(call, l, log, true);
		if (rc != EXIT_OK)
			return rc;
		at = last_lines(&log->tail, n);
		if (at > 0 || log->begin <= 0 || (int64_t)log->tail.len < size || size >= TAIL_MAX)
			break;
	}
	stream_write(&log->out, strbuf_str(&log->tail) + at, log->tail.len - at);
	return EXIT_OK;
}

/* All of them at once on one connection; the rid of an event tells whose it is. */
static int
follow_all(const struct call *call, struct link *l, struct log *logs, int n)
{
	bool reply, broken = false;
	int rc = EXIT_OK, ended = 0, code;

	for (int i = 0; i < n && rc == EXIT_OK; i++)
		rc = send_request(call, l, &logs[i], i, true);
	while (rc != EXIT_TROUBLE && ended < n && !broken) {
		fflush(stdout);
		code = read_line(call, l, logs, n, false, &reply);
		if (code != EXIT_OK)
			rc = outcome_merge(rc, code, n == 1);
		if (code != EXIT_OK && !reply)
			return code;
		ended += reply;
		for (int i = 0; i < n; i++)
			broken = broken || logs[i].out.broken;
	}
	return rc;
}

static int
print_wire(const struct call *call, struct log *logs)
{
	for (int i = 0; i < call->nargs; i++) {
		struct req r = {0};

		logs_request(
		    call, &logs[i], call->nargs > 1 && call->follow ? i : -1, call->follow, &r);
		client_wire(&r);
		req_release(&r);
	}
	return EXIT_OK;
}

/* One after the other, so that they do not mix; only what is followed is read at once. */
static int
read_each(const struct call *call, struct link *l, struct log *logs)
{
	int rc = EXIT_OK;

	for (int i = 0; i < call->nargs; i++) {
		int code = EXIT_OK;

		if (call->lines != NULL && !call->json)
			code = read_tail(call, l, &logs[i]);
		else if (!call->follow || call->lines != NULL)
			code = read_all(call, l, &logs[i], false);
		rc = outcome_merge(rc, code, i == 0);
		if (!call->follow)
			stream_end(&logs[i].out);
	}
	if (call->follow && rc == EXIT_OK) {
		rc = follow_all(call, l, logs, call->nargs);
		for (int i = 0; i < call->nargs; i++)
			stream_end(&logs[i].out);
	}
	return rc;
}

int
logs_run(struct call *call)
{
	struct log *logs;
	struct link l;
	int rc;

	if (call->nargs == 0)
		return client_usage(call, "Name a task by its id or name.");
	logs = xcalloc((size_t)call->nargs, sizeof(*logs));
	for (int i = 0; i < call->nargs; i++) {
		logs[i].task = call->args[i];
		logs[i].from = -1;
		if (call->lines != NULL) {
			logs[i].from = -TAIL_FIRST;
			logs[i].asked_from = true;
		}
		logs[i].out.call = call;
		logs[i].out.fd = STDOUT_FILENO;
		if (call->nargs > 1)
			logs[i].out.prefix = xasprintf("%s: ", call->args[i]);
	}
	if (call->wire) {
		rc = print_wire(call, logs);
	} else {
		rc = client_connect(call, &l);
		if (rc == EXIT_OK)
			rc = read_each(call, &l, logs);
		link_release(&l);
	}
	for (int i = 0; i < call->nargs; i++) {
		free((char *)(uintptr_t)logs[i].out.prefix);
		strbuf_release(&logs[i].tail);
		stream_release(&logs[i].out);
	}
	free(logs);
	return rc;
}

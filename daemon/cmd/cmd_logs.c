/*
 * logs: the output of a task, from an offset on, to its end or as it grows.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "cmd_private.h"
#include "json.h"
#include "outlog.h"
#include "task.h"
#include "utf8.h"
#include "util.h"

#define CHUNK         (32 * 1024)
#define CHUNKS_A_TURN 8

struct following {
	struct stream stream;
	struct request *rq;
	struct wait wait;          /* for the task's end, as long as it is alive */
	uint64_t id, offset, left; /* left: bytes still wanted */
	bool follow, base64, err;
	const char *name; /* static: of the stream on the wire */
	uint64_t gap;     /* dropped bytes to be told with the next data */
};

static void
following_free(struct following *f)
{
	TAILQ_REMOVE(&f->rq->cmds->followers, &f->stream, topic_link);
	wait_close(&f->wait, false);
	f->rq->state = NULL;
	free(f);
}

/* The connection has ended; the request is freed by its session. */
static void
gone(struct stream *st)
{
	following_free((struct following *)st);
}

static void
reply(struct following *f, bool eof)
{
	struct request *rq = f->rq;
	json_t *o = jx_object();

	json_set_int(o, "id", (int64_t)f->id);
	json_set_int(o, "offset", (int64_t)f->offset);
	json_set_bool(o, "eof", eof);
	stream_close(&f->stream);
	following_free(f);
	request_reply_take(rq, o);
}

static const struct task_output *
output_of(const struct following *f, const struct task *t)
{
	return f->err ? &t->err : &t->out;
}

/* What is dropped cannot be read: go to what is left, and tell. */
static void
skip_dropped(struct following *f, uint64_t dropped)
{
	if (f->offset >= dropped)
		return;
	f->gap += dropped - f->offset;
	f->offset = dropped;
}

/* NUL is a character as good as others; what is no UTF-8 becomes U+FFFD. */
static json_t *
text_of(const char *buf, size_t len)
{
	struct strbuf text = STRBUF_INIT;
	json_t *v;

	for (;;) {
		const char *nul = memchr(buf, 0, len);
		size_t n = nul != NULL ? (size_t)(nul - buf) : len;

		utf8_repair(&text, buf, n);
		if (nul == NULL)
			break;
		strbuf_addch(&text, 0);
		buf = nul + 1;
		len -= n + 1;
	}
	if ((v = json_stringn_nocheck(strbuf_str(&text), text.len)) == NULL)
		die_oom();
	strbuf_release(&text);
	return v;
}

static void
send_chunk(struct following *f, const char *buf, size_t len)
{
	json_t *o = jx_object();
	char *text;

	json_set_str(o, "event", "output");
	json_set_int(o, "id", (int64_t)f->id);
	json_set_str(o, "stream", f->name);
	json_set_int(o, "offset", (int64_t)f->offset);
	if (f->gap > 0)
		json_set_int(o, "gap", (int64_t)f->gap);
	f->gap = 0;
	if (f->base64) {
		text = base64_encode(buf, len);
		json_set_str(o, "data", text);
		free(text);
	} else {
		jx_set(o, "data", text_of(buf, len));
	}
	stream_event_take(&f->stream, o);
	f->offset += len;
	f->left -= len;
}

/* A chunk must not end inside a character, unless nothing can follow. */
static size_t
whole_characters(const struct following *f, const char *buf, size_t len, bool last)
{
	size_t tail = f->base64 || last ? 0 : utf8_incomplete_tail(buf, len);

	return len - tail;
}

/* True if there was something to send. */
static bool
send_some(struct following *f, const struct task *t)
{
	const struct task_output *out = output_of(f, t);
	char buf[CHUNK];
	bool ended = rules_is_terminal(t->facts.state);
	size_t want = (size_t)MIN(f->left, (uint64_t)sizeof(buf));
	ssize_t n;

	skip_dropped(f, out->dropped);
	if (out->file == 0 || want == 0 || f->offset >= out->bytes)
		return false;
	n = outlog_read(f->rq->world->outputs, out->file, f->offset, buf,
	    (size_t)MIN((uint64_t)want, out->bytes - f->offset));
	if (n <= 0)
		return false;
	n = (ssize_t)whole_characters(f, buf, (size_t)n,
	    (uint64_t)n == f->left || (ended && f->offset + (uint64_t)n >= out->bytes));
	if (n == 0)
		return false;
	send_chunk(f, buf, (size_t)n);
	return true;
}

static void
pump(struct stream *st)
{
	struct following *f = (struct following *)st;
	struct runner *r = f->rq->world->runner;
	bool more = true, ended, eof;
	int error;
	struct task *t = runner_get(r, f->id, &error);

	if (t == NULL) { /* removed while it was read */
		reply(f, true);
		return;
	}
	runner_look_at_output(r, t);
	for (int i = 0; more && i < CHUNKS_A_TURN && stream_has_room(st); i++)
		more = send_some(f, t);
	ended = rules_is_terminal(t->facts.state) && !f->wait.open;
	eof = ended && f->offset >= output_of(f, t)->bytes;
	runner_put(r, t);
	if (more && stream_has_room(st))
		stream_again(st);
	else if (!more && (!f->follow || ended || f->left == 0))
		reply(f, eof);
}

static void
on_end(struct wait *w, enum wait_result result, struct task *t)
{
	struct following *f = w->user;

	(void)result;
	(void)t;
	stream_again(&f->stream);
}

static bool
choose_stream(struct following *f, const struct task *t)
{
	const char *name = json_get_str(f->rq->args, "stream");

	if (name == NULL)
		name = t->separate ? "stdout" : "output";
	if (t->separate == (strcmp(name, "output") == 0)) {
		request_fail(f->rq, ERR_BAD_REQUEST, "stream",
		    t->separate ? "This task's output is separate: stream must be stdout or stderr."
				: "This task's output is merged: stream must be output.");
		return false;
	}
	f->err = strcmp(name, "stderr") == 0;
	f->name = f->err ? "stderr" : strcmp(name, "stdout") == 0 ? "stdout" : "output";
	return true;
}

static uint64_t
first_offset(const struct following *f, const struct task *t)
{
	int64_t offset = json_get_int(f->rq->args, "offset", 0);
	uint64_t bytes = output_of(f, t)->bytes;

	if (offset >= 0)
		return (uint64_t)offset;
	return (uint64_t)-offset >= bytes ? 0 : bytes - (uint64_t)-offset;
}

static void
follow(struct following *f, struct task *t)
{
	const char *encoding = json_get_str(f->rq->args, "encoding");
	struct request *rq = f->rq;

	f->follow = json_get_bool(rq->args, "follow", false);
	f->base64 = encoding != NULL && strcmp(encoding, "base64") == 0;
	f->left = (uint64_t)json_get_int(rq->args, "limit", INT64_MAX);
	f->offset = first_offset(f, t);
	f->stream.pump = pump;
	f->stream.gone = gone;
	rq->state = f;
	stream_open(&f->stream, rq);
	TAILQ_INSERT_TAIL(&rq->cmds->followers, &f->stream, topic_link);
	if (!rules_is_terminal(t->facts.state)) {
		f->wait.task = t->id;
		f->wait.mode = WAIT_WATCH;
		f->wait.timeout = RULES_NEVER;
		f->wait.by = request_by(rq);
		f->wait.answer = on_end;
		f->wait.user = f;
		wait_open(rq->world->runner, &f->wait, t);
	}
	pump(&f->stream);
}

static void
exec(struct request *rq)
{
	struct task *t = request_task(rq);
	struct following *f;

	if (t == NULL)
		return;
	f = xcalloc(1, sizeof(*f));
	f->rq = rq;
	f->id = t->id;
	runner_look_at_output(rq->world->runner, t);
	if (choose_stream(f, t))
		follow(f, t);
	else
		free(f);
	runner_put(rq->world->runner, t);
}

/* Output of a task has grown: whoever follows it goes on. */
void
cmds_output_grew(void *ctx, struct task *t)
{
	struct cmds *cs = ctx;
	struct stream *st;

	TAILQ_FOREACH (st, &cs->followers, topic_link)
		if (((struct following *)st)->id == t->id)
			stream_again(st);
}

static const char *const streams[] = {"output", "stdout", "stderr", NULL};
static const char *const encodings[] = {"utf8", "base64", NULL};

static const struct field fields[] = {
    FIELD_TASK,
    {.name = "stream", .check = args_choice, .choices = streams},
    {.name = "offset", .check = args_integer, .min = -INT64_MAX, .max = INT64_MAX},
    {.name = "limit", .check = args_integer, .min = 0, .max = INT64_MAX},
    {.name = "follow", .check = args_bool},
    {.name = "encoding", .check = args_choice, .choices = encodings},
    FIELD_END,
};

const struct cmd_entry cmd_logs = {.name = "logs", .fields = fields, .exec = exec};

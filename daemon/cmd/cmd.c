/*
 * The way of a request: parsed, its caller and members checked, carried out, answered.
 */
#include "cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cmd_private.h"
#include "config.h"
#include "json.h"
#include "log.h"
#include "store.h"
#include "task.h"
#include "util.h"

#define ANSWERED_MAX 128 /* rids of answered waits that a connection remembers */

struct cmds *
cmds_new(const struct cmd_world *world)
{
	struct cmds *cs = xcalloc(1, sizeof(*cs));

	cs->world = *world;
	TAILQ_INIT(&cs->turn);
	TAILQ_INIT(&cs->out);
	TAILQ_INIT(&cs->again);
	TAILQ_INIT(&cs->followers);
	TAILQ_INIT(&cs->stopping);
	return cs;
}

void
cmds_free(struct cmds *cs)
{
	free(cs);
}

void
cmds_set_conns(struct cmds *cs, struct conns *conns)
{
	cs->world.conns = conns;
}

uint64_t
cmds_served(const struct cmds *cs)
{
	return cs->served;
}

/* -- sessions -- */

static struct session *
session_of(struct cmds *cs, struct conn *c)
{
	struct session *s = conn_user(c);

	if (s != NULL)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->cmds = cs;
	s->conn = c;
	TAILQ_INIT(&s->requests);
	TAILQ_INIT(&s->streams);
	conn_set_user(c, s);
	return s;
}

void
session_own_task(struct session *s, uint64_t id)
{
	s->owned = xrealloc(s->owned, (s->nowned + 1) * sizeof(*s->owned));
	s->owned[s->nowned++] = id;
}

struct request *
session_find(struct session *s, const json_t *rid, const struct cmd_entry *entry)
{
	struct request *rq;

	TAILQ_FOREACH (rq, &s->requests, link)
		if (rq->entry == entry && !rq->replied && rq->rid != NULL &&
		    json_equal(rq->rid, rid))
			return rq;
	return NULL;
}

bool
session_was_answered(const struct session *s, const json_t *rid)
{
	for (size_t i = 0; i < json_array_size(s->answered); i++)
		if (json_equal(json_array_get(s->answered, i), rid))
			return true;
	return false;
}

static void
remember_answered(struct session *s, json_t *rid)
{
	if (rid == NULL)
		return;
	if (s->answered == NULL)
		s->answered = jx_array();
	if (json_array_size(s->answered) >= ANSWERED_MAX)
		json_array_remove(s->answered, 0);
	jx_append(s->answered, json_incref(rid));
}

/* -- requests -- */

static void
request_free(struct request *rq)
{
	if (rq->in_turn)
		TAILQ_REMOVE(&rq->cmds->turn, rq, turn_link);
	if (rq->entry == &cmd_shutdown && rq->state != NULL)
		TAILQ_REMOVE(&rq->cmds->stopping, rq, wait_link);
	if (rq->session != NULL)
		TAILQ_REMOVE(&rq->session->requests, rq, link);
	json_decref(rq->args);
	json_decref(rq->rid);
	json_decref(rq->reply);
	free(rq->text);
	free(rq);
}

static struct request *
request_new(struct cmds *cs, struct session *s)
{
	struct request *rq = xcalloc(1, sizeof(*rq));

	rq->cmds = cs;
	rq->session = s;
	rq->world = &cs->world;
	TAILQ_INSERT_TAIL(&s->requests, rq, link);
	TAILQ_INSERT_TAIL(&cs->turn, rq, turn_link);
	rq->in_turn = true;
	conn_owe(s->conn);
	cs->served++;
	return rq;
}

/* What is to be sent to a connection, in order: replies, and lines of events between them. */
static struct outgoing *
outgoing_new(struct cmds *cs, struct session *s)
{
	struct outgoing *o = xcalloc(1, sizeof(*o));

	o->session = s;
	TAILQ_INSERT_TAIL(&cs->out, o, link);
	return o;
}

static void
outgoing_free(struct cmds *cs, struct outgoing *o)
{
	TAILQ_REMOVE(&cs->out, o, link);
	if (o->text != NULL)
		o->session->held -= strlen(o->text);
	free(o->text);
	free(o);
}

static void
hold_reply(struct request *rq, json_t *reply)
{
	struct outgoing *o;

	if (rq->replied) { /* a bug; the first answer counts */
		log_error("A request was answered twice.");
		json_decref(reply);
		return;
	}
	rq->replied = true;
	rq->reply = reply;
	rq->abandon = NULL;
	o = outgoing_new(rq->cmds, rq->session);
	o->request = rq;
	if (rq->entry == &cmd_wait)
		remember_answered(rq->session, rq->rid);
}

void
request_reply_take(struct request *rq, json_t *body)
{
	json_t *reply = jx_object();

	json_set_bool(reply, "ok", true);
	if (body != NULL && json_object_update_new(reply, body) != 0)
		die_oom();
	hold_reply(rq, reply);
}

void
request_reply_text(struct request *rq, const char *member, const char *text)
{
	rq->text = xasprintf("{\"ok\":true,\"%s\":%s", member, text);
	hold_reply(rq, NULL);
}

json_t *
cmd_error_object(enum proto_error code, const char *field, const char *message)
{
	json_t *o = jx_object();

	json_set_str(o, "code", task_error_name(code));
	json_set_str(o, "message", message);
	if (field != NULL)
		json_set_str(o, "field", field);
	return o;
}

static json_t *
failure(enum proto_error code, const char *field, const char *message)
{
	json_t *reply = jx_object();

	json_set_bool(reply, "ok", false);
	jx_set(reply, "error", cmd_error_object(code, field, message));
	return reply;
}

void
request_fail(struct request *rq, enum proto_error code, const char *field, const char *fmt, ...)
{
	char *message;
	va_list ap;

	va_start(ap, fmt);
	message = xvasprintf(fmt, ap);
	va_end(ap);
	hold_reply(rq, failure(code, field, message));
	free(message);
}

const char *
cmd_refusal(enum proto_error code)
{
	switch (code) {
	case ERR_FINISHED: return "The task has ended; nothing can be changed any more.";
	case ERR_FINISHING:
		return "The task's process has ended and its cleanup runs; wait for it.";
	case ERR_KILLING: return "The task is being killed; wait for it.";
	case ERR_EXPIRED: return "The deadline has passed already and cannot be moved.";
	case ERR_SHIELDED:
		return "The task is shielded, or its hooks run; wait, or repeat the kill with "
		       "\"pierce\":true.";
	case ERR_NOT_SHIELDED: return "The task is not shielded by this holder; show lists them.";
	case ERR_LIMIT: return "The task's shield has as many holders as are allowed.";
	default: return "This is not possible now.";
	}
}

void
request_refuse(struct request *rq, enum proto_error code, const struct task *t)
{
	(void)t;
	request_fail(rq, code, NULL, "%s", cmd_refusal(code));
}

void
request_fail_errno(struct request *rq, int error)
{
	switch (-error) {
	case ENOSPC:
	case EDQUOT:
	case EROFS:
	case EIO:
	case EUCLEAN:
	case EBUSY:
	case EACCES:
		request_fail(rq, ERR_STORAGE, NULL,
		    "The state directory cannot be written (%s); nothing was done. Make room, then "
		    "try again.",
		    strerror(-error));
		break;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN:
		request_fail(rq, ERR_OVERLOADED, NULL,
		    "The machine cannot do it now (%s); try again later.", strerror(-error));
		break;
	case ENOENT: request_fail(rq, ERR_NOT_FOUND, NULL, "There is no such task."); break;
	default:
		log_error("A request failed: %s", strerror(-error));
		request_fail(
		    rq, ERR_INTERNAL, NULL, "It failed (%s); the log has more.", strerror(-error));
	}
}

/* -- streams -- */

void
stream_open(struct stream *st, struct request *rq)
{
	st->session = rq->session;
	st->rid = json_incref(rq->rid);
	TAILQ_INSERT_TAIL(&st->session->streams, st, link);
}

void
stream_close(struct stream *st)
{
	if (st->in_again)
		TAILQ_REMOVE(&st->session->cmds->again, st, again_link);
	TAILQ_REMOVE(&st->session->streams, st, link);
	json_decref(st->rid);
}

bool
stream_has_room(const struct stream *st)
{
	return conn_has_room(st->session->conn, st->session->held);
}

void
stream_again(struct stream *st)
{
	if (st->in_again)
		return;
	st->in_again = true;
	TAILQ_INSERT_TAIL(&st->session->cmds->again, st, again_link);
}

bool
cmds_busy(const struct cmds *cs)
{
	return !TAILQ_EMPTY(&cs->again);
}

void
cmds_run(struct cmds *cs)
{
	struct stream *st, *last = TAILQ_LAST(&cs->again, stream_list);

	for (bool more = last != NULL; more;) {
		st = TAILQ_FIRST(&cs->again);
		more = st != last;
		st->in_again = false;
		TAILQ_REMOVE(&cs->again, st, again_link);
		st->pump(st);
	}
}

void
stream_text(struct stream *st, const char *text)
{
	struct strbuf line = STRBUF_INIT;

	if (st->rid != NULL) {
		strbuf_adds(&line, "{\"rid\":");
		json_dump_line(st->rid, &line);
		strbuf_addch(&line, ',');
		text++; /* its { */
	}
	strbuf_adds(&line, text);
	st->session->held += line.len;
	outgoing_new(st->session->cmds, st->session)->text = strbuf_detach(&line);
}

void
stream_event_take(struct stream *st, json_t *event)
{
	struct strbuf line = STRBUF_INIT;

	json_dump_line(event, &line);
	json_decref(event);
	stream_text(st, strbuf_str(&line));
	strbuf_release(&line);
}

const char *
request_by(const struct request *rq)
{
	return conn_caller(rq->session->conn)->by;
}

struct runner_caller
request_caller(const struct request *rq)
{
	const struct caller *c = conn_caller(rq->session->conn);

	return (struct runner_caller){.uid = (uint32_t)c->uid, .by = c->by};
}

/* -- from the line to the command -- */

static const struct cmd_entry *
find_command(const char *name)
{
	for (const struct cmd_entry *const *e = cmd_table; *e != NULL; e++)
		if (strcmp((*e)->name, name) == 0)
			return *e;
	return NULL;
}

/* False: it was answered. */
static bool
find_entry(struct request *rq)
{
	const json_t *cmd = json_object_get(rq->args, "cmd");
	bool known = conn_caller(rq->session->conn)->known;

	if (json_is_string(cmd))
		rq->entry = find_command(json_string_value(cmd));
	if (!known && (rq->entry == NULL || !rq->entry->open)) {
		request_fail(rq, ERR_UNAUTHENTICATED, NULL,
		    "You are not known here: connect as the user that runs taskctld.");
		return false;
	}
	if (cmd == NULL)
		request_fail(
		    rq, ERR_BAD_REQUEST, "cmd", "cmd is missing; hello lists the commands.");
	else if (!json_is_string(cmd))
		request_fail(rq, ERR_BAD_REQUEST, "cmd", "cmd must be a string.");
	else if (rq->entry == NULL)
		request_fail(rq, ERR_UNKNOWN_COMMAND, "cmd",
		    "There is no such command; hello lists the commands.");
	return !rq->replied;
}

static bool
check(struct request *rq)
{
	struct args_error e = {0};

	if (args_check(rq->args, rq->entry->fields, &e) &&
	    (rq->entry->check == NULL || rq->entry->check(rq->args, &e)))
		return true;
	request_fail(rq, ERR_BAD_REQUEST, e.blamed ? e.path : NULL, "%s", e.why);
	return false;
}

/* A token says who the caller is; there are none yet, so none is right. */
static bool
check_token(struct request *rq)
{
	if (!args_has(rq->args, "token") || rq->entry->open)
		return true;
	request_fail(rq, ERR_UNAUTHENTICATED, "token", "This token is not known here.");
	return false;
}

static bool
check_storage(struct request *rq)
{
	int error;

	if (rq->entry->durability != CMD_MUST_KEEP ||
	    (error = runner_storage(rq->world->runner)) == 0)
		return true;
	request_fail_errno(rq, error);
	return false;
}

static void
run_request(struct request *rq)
{
	const json_t *rid = json_object_get(rq->args, "rid");

	rq->close = json_is_true(json_object_get(rq->args, "close"));
	if (rq->close)
		conn_stop_lines(rq->session->conn);
	if (rid != NULL && args_rid_ok(rid))
		rq->rid = json_incref((json_t *)(uintptr_t)rid);
	if (!find_entry(rq) || !check(rq) || !check_token(rq) || !check_storage(rq))
		return;
	if (!rq->cmds->polled) { /* what happened before this turn's commands comes first */
		rq->cmds->polled = true;
		runner_poll(rq->world->runner);
	}
	rq->entry->exec(rq);
}

void
cmds_line(void *ctx, struct conn *c, const char *line, size_t len)
{
	struct cmds *cs = ctx;
	struct request *rq = request_new(cs, session_of(cs, c));
	const char *why;

	rq->args = json_parse_object(line, len, &why);
	if (rq->args == NULL)
		request_fail(rq, ERR_BAD_JSON, NULL, "%s", why);
	else
		run_request(rq);
}

void
cmds_too_large(void *ctx, struct conn *c)
{
	struct cmds *cs = ctx;
	struct request *rq = request_new(cs, session_of(cs, c));

	request_fail(rq, ERR_TOO_LARGE, NULL,
	    "The line is too long: %lld bytes at most (%d before you are known).",
	    (long long)cs->world.config->limits.line_max, PROTO_LINE_MAX_ANON);
}

void
cmds_drained(void *ctx, struct conn *c)
{
	struct session *s = conn_user(c);
	struct stream *st;

	(void)ctx;
	if (s == NULL)
		return;
	TAILQ_FOREACH (st, &s->streams, link)
		stream_again(st);
}

void
cmds_closed(void *ctx, struct conn *c)
{
	struct cmds *cs = ctx;
	struct session *s = conn_user(c);
	struct outgoing *o, *next;
	struct stream *st;
	struct request *rq;

	if (s == NULL)
		return;
	for (o = TAILQ_FIRST(&cs->out); o != NULL; o = next) {
		next = TAILQ_NEXT(o, link);
		if (o->session == s)
			outgoing_free(cs, o);
	}
	while ((st = TAILQ_FIRST(&s->streams)) != NULL) {
		stream_close(st);
		st->gone(st);
	}
	while ((rq = TAILQ_FIRST(&s->requests)) != NULL) {
		if (rq->abandon != NULL)
			rq->abandon(rq, true);
		request_free(rq);
	}
	for (size_t i = 0; i < s->nowned; i++)
		runner_owner_lost(cs->world.runner, s->owned[i]);
	conn_set_user(c, NULL);
	json_decref(s->answered);
	free(s->owned);
	free(s);
}

/* -- after the commit -- */

static void
not_durable(struct request *rq, int error)
{
	if (rq->entry == NULL || rq->entry->durability == CMD_READS)
		return;
	if (rq->entry->durability == CMD_TRIES) {
		rq->not_durable = true;
		return;
	}
	if (!rq->replied) {
		if (rq->abandon != NULL)
			rq->abandon(rq, false);
		request_fail_errno(rq, error);
	} else if (json_is_true(json_object_get(rq->reply, "ok"))) {
		json_decref(rq->reply);
		rq->reply = failure(ERR_STORAGE, NULL,
		    "It could not be made durable; nothing was done. Make room on the disk of the "
		    "state directory, then try again.");
	}
}

static void
dump_reply(struct request *rq, struct strbuf *line)
{
	if (rq->text != NULL) {
		strbuf_adds(line, rq->text);
		if (rq->rid != NULL) {
			strbuf_adds(line, ",\"rid\":");
			json_dump_line(rq->rid, line);
		}
		strbuf_adds(line, "}\n");
		return;
	}
	if (rq->not_durable && json_is_true(json_object_get(rq->reply, "ok")))
		json_set_bool(rq->reply, "durable", false);
	if (rq->rid != NULL)
		jx_set(rq->reply, "rid", json_incref(rq->rid));
	json_dump_line(rq->reply, line);
	strbuf_addch(line, '\n');
}

static void
send_reply(struct request *rq)
{
	struct strbuf line = STRBUF_INIT;

	dump_reply(rq, &line);
	conn_send(rq->session->conn, line.s, line.len);
	strbuf_release(&line);
}

void
cmds_send_replies(struct cmds *cs, int error)
{
	struct outgoing *o;
	struct request *rq;

	cs->polled = false;
	while ((rq = TAILQ_FIRST(&cs->turn)) != NULL) {
		if (error < 0)
			not_durable(rq, error);
		TAILQ_REMOVE(&cs->turn, rq, turn_link);
		rq->in_turn = false;
	}
	while ((o = TAILQ_FIRST(&cs->out)) != NULL) {
		struct conn *c = o->session->conn;

		if ((rq = o->request) != NULL)
			send_reply(rq);
		else
			conn_send(c, o->text, strlen(o->text));
		if (conn_is_closed(c))
			continue; /* it was given up: cmds_closed() has dropped all of it */
		if (rq == NULL) {
			conn_send(c, "\n", 1);
		} else {
			if (rq->close)
				conn_hang_up(c);
			conn_paid(c);
			request_free(rq);
		}
		if (!conn_is_closed(c))
			outgoing_free(cs, o);
	}
}

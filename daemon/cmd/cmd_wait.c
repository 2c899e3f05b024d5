/*
 * wait and cancel_wait: be told how tasks end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd_private.h"
#include "json.h"
#include "task.h"
#include "util.h"

enum wait_for { FOR_ALL, FOR_ANY, FOR_FIRST_FAILURE };

/* One request that waits, for one task or several. */
struct waiting {
	struct request *rq;
	bool several;
	enum wait_mode mode;
	enum wait_for until;
	size_t n, open;
	bool starting;   /* waits are still being opened */
	json_t **result; /* owned: the answers there are */
	struct wait *wait;
};

static void
waiting_free(struct waiting *w)
{
	for (size_t i = 0; i < w->n; i++) {
		wait_close(&w->wait[i], false);
		json_decref(w->result[i]);
	}
	free(w->result);
	free(w->wait);
	free(w);
}

static void
finish(struct waiting *w)
{
	struct request *rq = w->rq;
	json_t *body, *results;

	rq->state = NULL;
	if (!w->several) {
		body = json_incref(w->result[0]);
	} else {
		results = jx_array();
		for (size_t i = 0; i < w->n; i++)
			if (w->result[i] != NULL)
				jx_append(results, json_incref(w->result[i]));
		body = jx_object();
		jx_set(body, "results", results);
	}
	waiting_free(w);
	request_reply_take(rq, body);
}

static const char *
result_name(const struct waiting *w, enum wait_result result, const struct task *t)
{
	if (result == WAIT_TIMED_OUT)
		return "timeout";
	if (result == WAIT_CANCELLED)
		return "cancelled";
	return w->mode == WAIT_WATCH ? "finished" : rules_state_name(t->facts.state);
}

static json_t *
answer_object(
    const struct waiting *w, const struct wait *one, enum wait_result result, const struct task *t)
{
	json_t *o = jx_object();

	json_set_str(o, "result", result_name(w, result, t));
	json_set_str(o, "of", result == WAIT_TASK_ENDED ? "task" : "wait");
	if (result == WAIT_CANCELLED)
		jx_set(o, "msg", one->msg != NULL ? json_incref(one->msg) : NULL);
	json_set_int(o, "id", (int64_t)t->id);
	jx_set(o, "task", task_object(t, true));
	return o;
}

static bool
is_enough(const struct waiting *w, enum wait_result result, const struct task *t)
{
	if (w->open == 0)
		return true;
	if (result != WAIT_TASK_ENDED)
		return false; /* the others time out, or are cancelled, at the same moment */
	return w->until == FOR_ANY ||
	       (w->until == FOR_FIRST_FAILURE &&
		   (t->facts.state == TASK_FAILED || t->facts.state == TASK_TIMED_OUT ||
		       t->facts.state == TASK_LOST));
}

static void
on_answer(struct wait *one, enum wait_result result, struct task *t)
{
	struct waiting *w = one->user;

	w->open--;
	if (t == NULL) { /* it was never made durable */
		w->rq->state = NULL;
		request_fail_errno(w->rq, -EIO);
		waiting_free(w);
		return;
	}
	w->result[one - w->wait] = answer_object(w, one, result, t);
	if (is_enough(w, result, t))
		finish(w);
}

static void
abandon(struct request *rq, bool lost)
{
	struct waiting *w = rq->state;

	rq->state = NULL;
	for (size_t i = 0; i < w->n; i++)
		wait_close(&w->wait[i], lost);
	waiting_free(w);
}

static bool
is(const struct request *rq, const char *key, const char *value)
{
	const char *s = json_get_str(rq->args, key);

	return s != NULL && strcmp(s, value) == 0;
}

static struct waiting *
waiting_new(struct request *rq, size_t n, bool several)
{
	struct waiting *w = xcalloc(1, sizeof(*w));

	w->rq = rq;
	w->n = n;
	w->several = several;
	w->mode = is(rq, "mode", "own")     ? WAIT_OWN
		  : is(rq, "mode", "watch") ? WAIT_WATCH
					    : WAIT_SHIELD;
	w->until = is(rq, "for", "any")             ? FOR_ANY
		   : is(rq, "for", "first_failure") ? FOR_FIRST_FAILURE
						    : FOR_ALL;
	w->result = xcalloc(n + 1, sizeof(json_t *));
	w->wait = xcalloc(n + 1, sizeof(*w->wait));
	rq->state = w;
	rq->abandon = abandon;
	return w;
}

static bool
open_one(struct waiting *w, size_t i, uint64_t id)
{
	struct request *rq = w->rq;
	struct wait *one = &w->wait[i];
	int error;
	struct task *t = runner_get(rq->world->runner, id, &error);

	if (t == NULL) {
		request_fail_errno(rq, error);
		return false;
	}
	one->task = id;
	one->mode = w->mode;
	one->timeout = args_ns(rq->args, "timeout", RULES_NEVER);
	one->by = request_by(rq);
	one->answer = on_answer;
	one->user = w;
	w->open++;
	wait_open(rq->world->runner, one, t);
	runner_put(rq->world->runner, t);
	return true;
}

static void
exec_wait(struct request *rq)
{
	struct waiting *w;
	uint64_t *ids;
	bool several;
	int n;

	if (rq->rid != NULL && session_find(rq->session, rq->rid, &cmd_wait) != rq) {
		request_fail(rq, ERR_BAD_REQUEST, "rid",
		    "A wait with this rid is open on this connection; give it another.");
		return;
	}
	if ((n = request_tasks(rq, &ids, &several)) < 0)
		return;
	w = waiting_new(rq, (size_t)n, several);
	for (size_t i = 0; i < w->n; i++) {
		if (!open_one(w, i, ids[i])) {
			rq->state = NULL;
			waiting_free(w);
			break;
		}
	}
	free(ids);
	if (rq->state != NULL && n == 0)
		finish(w);
}

static bool
check_wait(const json_t *args, struct args_error *e)
{
	if (args_has(args, "for") && !args_has(args, "ids") && !args_has(args, "select"))
		return args_blame(
		    e, "for", "for belongs to several tasks, named by ids or select.");
	return true;
}

/* -- cancel_wait -- */

/* The waits of a request are cancelled as one; the answer is that of the first that took it. */
static void
exec_cancel_wait(struct request *rq)
{
	const json_t *rid = json_object_get(rq->args, "wait");
	struct request *other = session_find(rq->session, rid, &cmd_wait);
	struct rules_verdict v = {.effect = EFFECT_ANSWERED}, one;
	struct waiting *w = other != NULL ? other->state : NULL;
	json_t *o = jx_object();

	if (w == NULL && !session_was_answered(rq->session, rid)) {
		json_decref(o);
		request_fail(rq, ERR_NOT_FOUND, "wait",
		    "There is no wait with this rid on this connection.");
		return;
	}
	for (size_t i = 0; w != NULL && i < w->n; i++) {
		one = wait_cancel(&w->wait[i], json_object_get(rq->args, "msg"));
		if (!v.accepted)
			v = one;
	}
	json_set_bool(o, "accepted", v.accepted);
	json_set_str(o, "effect", task_effect_name(v.effect));
	request_reply_take(rq, o);
}

static bool
check_rid(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	(void)f;
	return args_rid_ok(v) || args_blame(e, path, "%s must be the rid of a wait.", path);
}

static const char *const modes[] = {"own", "shield", "watch", NULL};
static const char *const fors[] = {"all", "any", "first_failure", NULL};

static const struct field wait_fields[] = {
    FIELD_TASKS,
    {.name = "timeout", .check = args_duration},
    {.name = "mode", .check = args_choice, .choices = modes},
    {.name = "for", .check = args_choice, .choices = fors},
    FIELD_END,
};

static const struct field cancel_wait_fields[] = {
    {.name = "wait", .check = check_rid, .required = true},
    FIELD_MSG,
    FIELD_END,
};

const struct cmd_entry cmd_wait = {
    .name = "wait", .fields = wait_fields, .check = check_wait, .exec = exec_wait};

const struct cmd_entry cmd_cancel_wait = {
    .name = "cancel_wait",
    .fields = cancel_wait_fields,
    .durability = CMD_TRIES,
    .exec = exec_cancel_wait,
};

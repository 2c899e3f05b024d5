/*
 * cancel and kill: ask one task or several to end, or end them.
 */
#include <errno.h>
#include <stdlib.h>

#include "cmd_private.h"
#include "json.h"
#include "task.h"
#include "util.h"

/* A cancel that waits for the ends of its tasks. */
struct cancelling {
	struct request *rq;
	bool several;
	size_t n, open;
	json_t **result; /* owned: the answer of each, without its task yet */
	struct wait *wait;
};

static struct rules_verdict
ask(struct request *rq, struct task *t)
{
	struct runner_cancel c = {
	    .origin = rq->entry == &cmd_kill ? ORIGIN_KILL : ORIGIN_CLIENT,
	    .msg = json_object_get(rq->args, "msg"),
	    .by = request_by(rq),
	    .has_grace = args_has(rq->args, "grace"),
	    .grace = args_ns(rq->args, "grace", 0),
	    .pierce = json_get_bool(rq->args, "pierce", false),
	};

	if (rq->entry == &cmd_kill)
		return runner_kill(rq->world->runner, t, &c);
	return runner_cancel(rq->world->runner, t, &c);
}

static json_t *
refusal(const struct rules_verdict *v, const struct task *t)
{
	json_t *o = cmd_task_answer(t);

	jx_set(o, "error", cmd_error_object(v->error, NULL, cmd_refusal(v->error)));
	return o;
}

static void
finish(struct request *rq, struct cancelling *c)
{
	json_t *body;

	rq->state = NULL;
	if (!c->several) {
		body = json_incref(c->result[0]);
	} else {
		json_t *results = jx_array();

		for (size_t i = 0; i < c->n; i++)
			jx_append(results, json_incref(c->result[i]));
		body = jx_object();
		jx_set(body, "results", results);
	}
	request_reply_take(rq, body);
	for (size_t i = 0; i < c->n; i++)
		json_decref(c->result[i]);
	free(c->result);
	free(c->wait);
	free(c);
}

static void
on_answer(struct wait *w, enum wait_result result, struct task *t)
{
	struct cancelling *c = w->user;
	size_t i = (size_t)(w - c->wait);

	(void)result;
	if (t != NULL) {
		json_set_str(c->result[i], "state", rules_state_name(t->facts.state));
		jx_set(c->result[i], "task", task_object(t, true));
	}
	if (--c->open == 0)
		finish(c->rq, c);
}

static void
abandon(struct request *rq, bool lost)
{
	struct cancelling *c = rq->state;

	for (size_t i = 0; i < c->n; i++) {
		wait_close(&c->wait[i], lost);
		json_decref(c->result[i]);
	}
	rq->state = NULL;
	free(c->result);
	free(c->wait);
	free(c);
}

static void
wait_for_end(struct cancelling *c, size_t i, struct task *t)
{
	struct wait *w = &c->wait[i];

	w->task = t->id;
	w->mode = WAIT_SHIELD;
	w->timeout = RULES_NEVER;
	w->by = request_by(c->rq);
	w->answer = on_answer;
	w->user = c;
	c->open++;
	wait_open(c->rq->world->runner, w, t);
}

/* One of the tasks. True if the request goes on to the next. */
static bool
cancel_one(struct request *rq, struct cancelling *c, size_t i, uint64_t id)
{
	int error;
	struct task *t = runner_get(rq->world->runner, id, &error);
	struct rules_verdict v;
	bool go_on = true;

	if (t == NULL) { /* it was there a moment ago; the store fails */
		request_fail_errno(rq, error);
		return false;
	}
	v = ask(rq, t);
	if (v.error == ERR_NONE)
		c->result[i] = cmd_verdict_object(&v, t);
	else if (c->several)
		c->result[i] = refusal(&v, t);
	else
		request_refuse(rq, v.error, t);
	if (v.error != ERR_NONE && !c->several)
		go_on = false;
	else if (v.error == ERR_NONE && json_get_bool(rq->args, "wait", false))
		wait_for_end(c, i, t);
	runner_put(rq->world->runner, t);
	return go_on;
}

static void
exec(struct request *rq)
{
	struct cancelling *c;
	uint64_t *ids;
	bool several;
	int n = request_tasks(rq, &ids, &several);

	if (n < 0)
		return;
	c = xcalloc(1, sizeof(*c));
	c->rq = rq;
	c->several = several;
	c->n = (size_t)n;
	c->result = xcalloc(c->n + 1, sizeof(json_t *));
	c->wait = xcalloc(c->n + 1, sizeof(*c->wait));
	rq->state = c;
	rq->abandon = abandon;
	for (size_t i = 0; i < c->n; i++) {
		if (!cancel_one(rq, c, i, ids[i])) {
			abandon(rq, false);
			break;
		}
	}
	free(ids);
	if (rq->state != NULL && c->open == 0)
		finish(rq, c);
}

static const struct field cancel_fields[] = {
    FIELD_TASKS,
    FIELD_MSG,
    {.name = "grace", .check = args_duration},
    {.name = "wait", .check = args_bool},
    FIELD_END,
};

static const struct field kill_fields[] = {
    FIELD_TASKS,
    FIELD_MSG,
    {.name = "pierce", .check = args_bool},
    {.name = "wait", .check = args_bool},
    FIELD_END,
};

const struct cmd_entry cmd_cancel = {
    .name = "cancel", .fields = cancel_fields, .durability = CMD_TRIES, .exec = exec};

const struct cmd_entry cmd_kill = {
    .name = "kill", .fields = kill_fields, .durability = CMD_TRIES, .exec = exec};

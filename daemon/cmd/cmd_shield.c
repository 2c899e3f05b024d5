/*
 * shield and unshield: hold cancels back from a task, and let them through again.
 */
#include "cmd_private.h"
#include "json.h"
#include "task.h"

static const char *
holder_of(const struct request *rq)
{
	const char *holder = json_get_str(rq->args, "holder");

	return holder != NULL ? holder : request_by(rq);
}

static void
exec_shield(struct request *rq)
{
	struct task *t = request_task(rq);
	struct rules_verdict v;
	int error;
	json_t *o;

	if (t == NULL)
		return;
	v = runner_shield(rq->world->runner, t, holder_of(rq),
	    args_ns(rq->args, "for", RULES_NEVER), json_object_get(rq->args, "msg"), &error);
	if (v.error != ERR_NONE) {
		request_refuse(rq, v.error, t);
	} else {
		o = cmd_task_answer(t);
		json_set_int(o, "holders", task_holders(t));
		jx_set(o, "until", task_time(task_holder(t, holder_of(rq))->until_ms));
		request_reply_take(rq, o);
	}
	runner_put(rq->world->runner, t);
}

static void
exec_unshield(struct request *rq)
{
	struct task *t = request_task(rq);
	struct rules_verdict v;
	json_t *o;

	if (t == NULL)
		return;
	v = runner_unshield(rq->world->runner, t, holder_of(rq));
	if (v.error != ERR_NONE) {
		request_refuse(rq, v.error, t);
	} else {
		o = cmd_task_answer(t);
		json_set_int(o, "holders", task_holders(t));
		json_set_bool(o, "delivered", v.delivered);
		request_reply_take(rq, o);
	}
	runner_put(rq->world->runner, t);
}

#define FIELD_HOLDER                                                          \
	{                                                                     \
		.name = "holder", .check = args_string, .max = PROTO_NAME_MAX \
	}

static const struct field shield_fields[] = {
    FIELD_TASK,
    FIELD_HOLDER,
    {.name = "for", .check = args_duration, .min = 1},
    FIELD_MSG,
    FIELD_END,
};

static const struct field unshield_fields[] = {FIELD_TASK, FIELD_HOLDER, FIELD_END};

const struct cmd_entry cmd_shield = {
    .name = "shield", .fields = shield_fields, .durability = CMD_MUST_KEEP, .exec = exec_shield};

const struct cmd_entry cmd_unshield = {
    .name = "unshield",
    .fields = unshield_fields,
    .durability = CMD_MUST_KEEP,
    .exec = exec_unshield,
};

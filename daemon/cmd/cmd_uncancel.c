/*
 * uncancel: take one request back.
 */
#include "cmd_private.h"
#include "json.h"
#include "task.h"

static void
exec(struct request *rq)
{
	struct task *t = request_task(rq);
	struct rules_verdict v;
	json_t *o;

	if (t == NULL)
		return;
	v = runner_uncancel(rq->world->runner, t);
	if (v.error != ERR_NONE) {
		request_refuse(rq, v.error, t);
	} else {
		o = cmd_task_answer(t);
		json_set_int(o, "remaining", v.remaining);
		json_set_bool(o, "revoked", v.revoked);
		request_reply_take(rq, o);
	}
	runner_put(rq->world->runner, t);
}

static const struct field fields[] = {FIELD_TASK, FIELD_END};

const struct cmd_entry cmd_uncancel = {
    .name = "uncancel", .fields = fields, .durability = CMD_MUST_KEEP, .exec = exec};

/*
 * release: a task that was started with hold may run.
 */
#include "cmd_private.h"
#include "task.h"

static void
exec(struct request *rq)
{
	struct task *t = request_task(rq);
	struct rules_verdict v;
	int error;

	if (t == NULL)
		return;
	v = runner_release(rq->world->runner, t, &error);
	if (error < 0)
		request_fail_errno(rq, error);
	else if (v.error != ERR_NONE)
		request_refuse(rq, v.error, t);
	else
		request_reply_take(rq, cmd_task_answer(t));
	runner_put(rq->world->runner, t);
}

static const struct field fields[] = {FIELD_TASK, FIELD_END};

const struct cmd_entry cmd_release = {
    .name = "release", .fields = fields, .durability = CMD_MUST_KEEP, .exec = exec};

/*
 * show: all that is known of a task.
 */
#include "cmd_private.h"
#include "json.h"
#include "task.h"

static void
exec(struct request *rq)
{
	struct task *t = request_task(rq);
	json_t *o;

	if (t == NULL)
		return;
	if (t->run != NULL) {
		runner_look_at_output(rq->world->runner, t);
		request_reply_text(rq, "task", runner_object_text(t));
	} else {
		o = jx_object();
		jx_set(o, "task", task_object(t, true));
		request_reply_take(rq, o);
	}
	runner_put(rq->world->runner, t);
}

static const struct field fields[] = {FIELD_TASK, FIELD_END};

const struct cmd_entry cmd_show = {.name = "show", .fields = fields, .exec = exec};

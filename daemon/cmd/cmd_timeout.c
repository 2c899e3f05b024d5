/*
 * timeout: set, move or take off the deadline of a task.
 */
#include "clock.h"
#include "cmd_private.h"
#include "json.h"
#include "task.h"
#include "util.h"
#include "value.h"

static bool
check(const json_t *args, struct args_error *e)
{
	int n = args_has(args, "in") + args_has(args, "extend") + args_has(args, "at");

	if (n == 1)
		return true;
	return args_blame(e, "in",
	    n == 0 ? "Say when: by in (a duration from now, or null for none), extend or at."
		   : "Give only one of in, extend and at.");
}

static int64_t
when_at(const json_t *at)
{
	int64_t wall_ms = 0;

	value_time(at, &wall_ms, NULL);
	return clock_boot_of_wall(wall_ms);
}

/* False: there is no deadline that could be extended. */
static bool
wanted(const struct request *rq, const struct task *t, int64_t *when)
{
	if (args_has(rq->args, "in")) {
		*when = args_is_null(rq->args, "in")
			    ? RULES_NEVER
			    : clock_add(clock_boot_ns(), args_ns(rq->args, "in", 0));
		return true;
	}
	if (args_has(rq->args, "at")) {
		*when = when_at(json_object_get(rq->args, "at"));
		return true;
	}
	*when = clock_add(t->facts.deadline, args_ns(rq->args, "extend", 0));
	return t->facts.deadline != RULES_NEVER;
}

static void
exec(struct request *rq)
{
	struct task *t = request_task(rq);
	struct rules_verdict v = {.error = ERR_NONE};
	int64_t when;
	json_t *o;

	if (t == NULL)
		return;
	if (wanted(rq, t, &when) || rules_is_terminal(t->facts.state) || t->facts.expired)
		v = runner_deadline(rq->world->runner, t, when);
	else
		request_fail(rq, ERR_BAD_REQUEST, "extend",
		    "The task has no deadline to extend; set one with in or at.");
	if (v.error != ERR_NONE) {
		request_refuse(rq, v.error, t);
	} else if (!rq->replied) {
		o = cmd_task_answer(t);
		jx_set(o, "deadline",
		    t->facts.deadline != RULES_NEVER ? task_time(t->deadline_wall_ms) : NULL);
		request_reply_take(rq, o);
	}
	runner_put(rq->world->runner, t);
}

static const struct field fields[] = {
    FIELD_TASK,
    {.name = "in", .check = args_duration, .null_ok = true},
    {.name = "extend", .check = args_duration_number},
    {.name = "at", .check = args_time},
    FIELD_END,
};

const struct cmd_entry cmd_timeout = {
    .name = "timeout",
    .fields = fields,
    .durability = CMD_MUST_KEEP,
    .check = check,
    .exec = exec,
};

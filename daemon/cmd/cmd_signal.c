/*
 * signal, pause, resume: what can be done to the processes of a task without asking it to end.
 */
#include <errno.h>
#include <signal.h>

#include "cmd_private.h"
#include "task.h"

static enum proto_error
why_not(const struct task *t)
{
	return rules_is_terminal(t->facts.state) ? ERR_FINISHED : ERR_FINISHING;
}

/* Before its start a task has no process: it is neither finished nor finishing. */
static void
no_process(struct request *rq, const struct task *t)
{
	if (t->facts.state == TASK_PENDING || t->facts.state == TASK_STARTING)
		request_fail(rq, ERR_BAD_REQUEST, NULL,
		    "The task has no process yet; wait for task.started.");
	else
		request_refuse(rq, why_not(t), t);
}

static void
answer(struct request *rq, struct task *t, int error)
{
	if (error == 0)
		request_reply_take(rq, cmd_task_answer(t));
	else if (error == -ESRCH)
		no_process(rq, t);
	else
		request_fail_errno(rq, error);
	runner_put(rq->world->runner, t);
}

static void
exec_signal(struct request *rq)
{
	struct task *t = request_task(rq);

	if (t != NULL)
		answer(rq, t,
		    runner_signal(rq->world->runner, t, args_signo(rq->args, "signal", SIGTERM)));
}

static void
exec_freeze(struct request *rq)
{
	struct task *t = request_task(rq);

	if (t != NULL)
		answer(rq, t, runner_freeze(rq->world->runner, t, rq->entry == &cmd_pause));
}

static const struct field signal_fields[] = {
    FIELD_TASK,
    {.name = "signal", .check = args_signal, .required = true},
    FIELD_END,
};

static const struct field freeze_fields[] = {FIELD_TASK, FIELD_END};

const struct cmd_entry cmd_signal = {
    .name = "signal", .fields = signal_fields, .exec = exec_signal};

const struct cmd_entry cmd_pause = {.name = "pause", .fields = freeze_fields, .exec = exec_freeze};

const struct cmd_entry cmd_resume = {
    .name = "resume", .fields = freeze_fields, .exec = exec_freeze};

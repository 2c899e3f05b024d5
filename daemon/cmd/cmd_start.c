/*
 * start: a task is made, and executed at the end of the turn unless it is held.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd_private.h"
#include "config.h"
#include "json.h"
#include "store.h"
#include "task.h"
#include "util.h"

/* A start that waits for the end of its task. */
struct starting {
	struct wait wait;
	struct request *rq;
	bool existing;
};

static bool
check(const json_t *args, struct args_error *e)
{
	bool argv = args_has(args, "argv"), shell = args_has(args, "shell");

	if (argv && shell)
		return args_blame(e, "shell", "Give one of argv and shell, not both.");
	if (!argv && !shell)
		return args_blame(e, "argv",
		    "argv is missing: say what to execute, by argv or by "
		    "shell.");
	return true;
}

/* What is kept of the request: everything that the task or its hooks need later. */
static json_t *
spec_of(const json_t *args)
{
	static const char *const not_kept[] = {
	    "cmd", "rid", "close", "token", "name", "key", "cwd", "hold", "wait", "shield"};
	json_t *spec = json_copy((json_t *)(uintptr_t)args);

	if (spec == NULL)
		die_oom();
	for (size_t i = 0; i < ARRAY_SIZE(not_kept); i++)
		json_object_del(spec, not_kept[i]);
	return spec;
}

static json_t *
started_object(const struct task *t, bool existing)
{
	json_t *o = jx_object();

	json_set_int(o, "id", (int64_t)t->id);
	json_set_str(o, "state", rules_state_name(t->facts.state));
	json_set_bool(o, "existing", existing);
	return o;
}

static void
on_answer(struct wait *w, enum wait_result result, struct task *t)
{
	struct starting *s = (struct starting *)w;
	struct request *rq = s->rq;
	json_t *o;

	(void)result;
	rq->state = NULL;
	if (t == NULL) {
		request_fail_errno(rq, -EIO);
	} else {
		o = started_object(t, s->existing);
		jx_set(o, "task", task_object(t, true));
		request_reply_take(rq, o);
	}
	free(s);
}

static void
abandon(struct request *rq, bool lost)
{
	struct starting *s = rq->state;

	wait_close(&s->wait, lost);
	rq->state = NULL;
	free(s);
}

static void
reply_at_end(struct request *rq, struct task *t, bool existing)
{
	struct starting *s = xcalloc(1, sizeof(*s));

	s->rq = rq;
	s->existing = existing;
	s->wait.task = t->id;
	s->wait.mode = WAIT_SHIELD;
	s->wait.timeout = RULES_NEVER;
	s->wait.by = request_by(rq);
	s->wait.answer = on_answer;
	rq->state = s;
	rq->abandon = abandon;
	wait_open(rq->world->runner, &s->wait, t);
}

static void
shield_from_start(struct request *rq, struct task *t)
{
	const json_t *shield = json_object_get(rq->args, "shield");
	const json_t *msg = json_object_get(shield, "msg");
	int error;

	if (shield == NULL || json_is_false(shield))
		return;
	runner_shield(
	    rq->world->runner, t, request_by(rq), args_ns(shield, "for", RULES_NEVER), msg, &error);
}

static bool
within_limits(struct request *rq)
{
	const struct config_limits *l = &rq->world->config->limits;
	uint64_t counts[TASK_NSTATES], stored = runner_live(rq->world->runner);

	store_counts(rq->world->store, counts);
	for (unsigned s = TASK_DONE; s < TASK_NSTATES; s++)
		stored += counts[s];
	if (runner_live(rq->world->runner) >= (uint64_t)l->tasks_running)
		request_fail(rq, ERR_LIMIT, NULL,
		    "%lld tasks are alive, as many as are allowed (tasks_running); wait for some "
		    "to end.",
		    (long long)l->tasks_running);
	else if (stored >= (uint64_t)l->tasks_stored)
		request_fail(rq, ERR_LIMIT, NULL,
		    "%lld tasks are stored, as many as are allowed (tasks_stored); remove some.",
		    (long long)l->tasks_stored);
	return !rq->replied;
}

static void
start(struct request *rq)
{
	json_t *spec = spec_of(rq->args);
	const char *cwd = json_get_str(rq->args, "cwd");
	struct runner_start s = {
	    .spec = spec,
	    .name = json_get_str(rq->args, "name"),
	    .key = json_get_str(rq->args, "key"),
	    .cwd = cwd != NULL ? cwd : rq->world->config->cwd,
	    .held = json_get_bool(rq->args, "hold", false),
	    .caller = request_caller(rq),
	};
	struct task *t = NULL;
	int error = runner_start(rq->world->runner, &s, &t);
	bool existing = error == -EEXIST;

	if (existing && !runner_same_command(t, spec)) {
		request_fail(rq, ERR_EXISTS, "key",
		    "Task %llu was started with this key and another command.",
		    (unsigned long long)t->id);
	} else if (error < 0 && !existing) {
		request_fail_errno(rq, error);
	} else {
		if (!existing)
			shield_from_start(rq, t);
		if (!existing && t->connection)
			session_own_task(rq->session, t->id);
		if (json_is_true(json_object_get(rq->args, "wait")))
			reply_at_end(rq, t, existing);
		else
			request_reply_take(rq, started_object(t, existing));
	}
	runner_put(rq->world->runner, t);
	json_decref(spec);
}

static void
exec(struct request *rq)
{
	const struct cmd_shutdown *sd = rq->world->shutdown;

	if (sd->stopping(sd->ctx))
		request_fail(rq, ERR_STOPPING, NULL, "The daemon is shutting down.");
	else if (within_limits(rq))
		start(rq);
}

static const char *const outputs[] = {"merged", "separate", NULL};
static const char *const signal_tos[] = {"tree", "leader", NULL};
static const char *const on_refuses[] = {"kill", "keep", NULL};
static const char *const hook_errors[] = {"fail", "warn", NULL};
static const char *const lifetimes[] = {"daemon", "connection", NULL};

static const struct field fields[] = {
    {.name = "argv", .check = args_argv},
    {.name = "shell", .check = args_string, .max = PROTO_LINE_MAX},
    {.name = "name", .check = args_string, .max = PROTO_NAME_MAX},
    {.name = "labels", .check = args_labels},
    {.name = "key", .check = args_string, .max = PROTO_NAME_MAX},
    {.name = "cwd", .check = args_path, .max = PROTO_LINE_MAX},
    {.name = "env", .check = args_env},
    {.name = "umask", .check = args_umask},
    {.name = "stdin", .check = args_text, .max = PROTO_LINE_MAX},
    {.name = "output", .check = args_choice, .choices = outputs},
    {.name = "timeout", .check = args_duration},
    {.name = "grace", .check = args_duration, .null_ok = true},
    {.name = "signal", .check = args_signal},
    {.name = "signal_to", .check = args_choice, .choices = signal_tos},
    {.name = "on_refuse", .check = args_choice, .choices = on_refuses},
    {.name = "shield", .check = args_shield},
    {.name = "hooks", .check = args_hooks},
    {.name = "hook_errors", .check = args_choice, .choices = hook_errors},
    {.name = "hold", .check = args_bool},
    {.name = "wait", .check = args_bool},
    {.name = "lifetime", .check = args_choice, .choices = lifetimes},
    FIELD_END,
};

const struct cmd_entry cmd_start = {
    .name = "start",
    .fields = fields,
    .durability = CMD_MUST_KEEP,
    .check = check,
    .exec = exec,
};

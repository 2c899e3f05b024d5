/* The verbs that act on tasks: cancel, kill, uncancel, shield, unshield, release, signal, ... */
#include <stdlib.h>
#include <string.h>

#include "act.h"
#include "client.h"
#include "clock.h"
#include "jv.h"
#include "outcome.h"
#include "rows.h"
#include "select.h"
#include "text.h"

/* What a cancel or kill did, in words that go behind "nightly (41): ". */
static const struct effect {
	const char *effect, *text;
	int code;
} effects[] = {
    {"delivered", "cancel delivered", EXIT_OK},
    {"redelivered", "cancel delivered again", EXIT_OK},
    {"deferred", "deferred: ", EXIT_DEFERRED},
    {"coalesced", "deferred, together with a cancel that waits already: ", EXIT_DEFERRED},
    {"ended", "ended before it had begun", EXIT_OK},
    {"killed", "killed", EXIT_OK},
    {"hook_killed", "the hook that ran was killed", EXIT_OK},
    {"killing", "is being killed already", EXIT_OK},
    {"none", "noted; it is on its way already", EXIT_OK},
    {"finishing", "is ending already", EXIT_OK},
    {"finished", "had ended already: ", EXIT_OK},
};

/* NULL for an effect of a later daemon: then its name is told as it is. */
static const struct effect *
effect_find(const char *name)
{
	for (size_t i = 0; name != NULL && i < ARRAY_SIZE(effects); i++) {
		if (strcmp(effects[i].effect, name) == 0)
			return &effects[i];
	}
	return NULL;
}

/* With --wait: how it ended. A task that caught the cancel and ended as done has absorbed it. */
static int
tell_ended(const struct jv *reply, const struct jv *task, struct strbuf *out)
{
	const char *effect = jv_str(reply, "effect"), *state = jv_str(task, "state");

	if (effect != NULL && strcmp(effect, "finished") == 0)
		strbuf_adds(out, "had ended already: ");
	outcome_sentence(task, out);
	if (!jv_bool(reply, "accepted") || state == NULL)
		return EXIT_OK;
	return strcmp(state, "done") == 0 ? EXIT_REFUSED : EXIT_OK;
}

/* cancel and kill. A deferred one is explained by the shield that holds it back. */
static int
tell_cancel(const struct jv *reply, const struct jv *task, struct strbuf *out)
{
	const char *name = jv_str(reply, "effect");
	const struct effect *e = effect_find(name);

	if (jv_has(reply, "task"))
		return tell_ended(reply, task, out);
	if (e == NULL) {
		strbuf_adds(out, name == NULL ? "done" : name);
		return EXIT_OK;
	}
	strbuf_adds(out, e->text);
	if (e->code == EXIT_DEFERRED) {
		outcome_shield(task, out);
		strbuf_adds(out, jv_has(task, "shield") ? "; " : "");
		strbuf_adds(out, "delivered when the shield ends");
	} else if (strcmp(e->effect, "finished") == 0) {
		if (task != NULL)
			outcome_sentence(task, out);
		else
			strbuf_adds(out, jv_str(reply, "state") ? jv_str(reply, "state") : "?");
	}
	return e->code;
}

/* The count that is left is what the task sees as "cancelling". */
static int
tell_uncancel(const struct jv *reply, const struct jv *task, struct strbuf *out)
{
	(void)task;
	strbuf_adds(
	    out, jv_bool(reply, "revoked") ? "the deferred cancel was taken back" : "uncancelled");
	strbuf_addf(out, ", %lld left", (long long)jv_int(reply, "remaining", 0));
	return EXIT_OK;
}

/* The end of the shield, where it has one. */
static int
tell_shield(const struct jv *reply, const struct jv *task, struct strbuf *out)
{
	char when[TEXT_AGE_LEN];
	int64_t until;

	(void)task;
	strbuf_adds(out, "shielded");
	if (outcome_time(reply, "until", &until)) {
		text_clock(until, clock_wall_ms(), when);
		strbuf_addf(out, " until %s", when);
	}
	if (jv_int(reply, "holders", 1) > 1)
		strbuf_addf(out, ", %lld holders", (long long)jv_int(reply, "holders", 1));
	return EXIT_OK;
}

/* A cancel that had waited for this was delivered by it, which is worth a word. */
static int
tell_unshield(const struct jv *reply, const struct jv *task, struct strbuf *out)
{
	int64_t holders = jv_int(reply, "holders", 0);

	(void)task;
	if (jv_bool(reply, "delivered"))
		strbuf_adds(out, "no longer shielded; the deferred cancel was delivered");
	else if (holders > 0)
		strbuf_addf(out, "still shielded, by %lld others", (long long)holders);
	else
		strbuf_adds(out, "no longer shielded");
	return EXIT_OK;
}

/* Released is not yet running: the state says how far it is. */
static int
tell_release(const struct jv *reply, const struct jv *task, struct strbuf *out)
{
	const char *state = jv_str(reply, "state");

	(void)task;
	strbuf_addf(out, "released, %s", state == NULL ? "on its way" : state);
	return EXIT_OK;
}

static int
tell_signal(const struct jv *reply, const struct jv *task, struct strbuf *out)
{
	(void)reply;
	(void)task;
	strbuf_adds(out, "signal sent");
	return EXIT_OK;
}

static int
tell_pause(const struct jv *reply, const struct jv *task, struct strbuf *out)
{
	(void)reply;
	(void)task;
	strbuf_adds(out, "paused");
	return EXIT_OK;
}

static int
tell_resume(const struct jv *reply, const struct jv *task, struct strbuf *out)
{
	(void)reply;
	(void)task;
	strbuf_adds(out, "resumed");
	return EXIT_OK;
}

static int
tell_remove(const struct jv *reply, const struct jv *task, struct strbuf *out)
{
	(void)reply;
	(void)task;
	strbuf_adds(out, "removed");
	return EXIT_OK;
}

static const struct action {
	const char *verb;
	bool selects; /* the command itself takes a selector; else we ask for the ids first */
	act_tell *tell;
} actions[] = {
    {"cancel", true, tell_cancel},
    {"kill", true, tell_cancel},
    {"uncancel", false, tell_uncancel},
    {"shield", false, tell_shield},
    {"unshield", false, tell_unshield},
    {"release", false, tell_release},
    {"signal", false, tell_signal},
    {"pause", false, tell_pause},
    {"resume", false, tell_resume},
    {"rm", true, tell_remove},
};

static const struct action *
action_find(const char *verb)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (strcmp(actions[i].verb, verb) == 0)
			return &actions[i];
	}
	return NULL;
}

/* The signal is the last operand. */
static int
take_signal(struct call *call)
{
	const char *last, *why;

	if (call->nargs == 0)
		return client_usage(call, "Name the tasks, and last the signal.");
	last = call->args[call->nargs - 1];
	why = opt_signal(&call->members, "signal", last);
	if (why != NULL)
		return client_usage(
		    call, "%s %s. It stands last: 'taskctl signal 41 HUP'.", last, why);
	call->nargs--;
	return EXIT_OK;
}

/* One line for each task, or one for the selector. */
static int
print_wire(const struct call *call)
{
	struct req r = {0};

	for (int i = 0; i < call->nargs; i++) {
		act_request(call, call->args[i], &r);
		client_wire(&r);
		req_release(&r);
	}
	if (select_given(call)) {
		req_str(&r, "cmd", call->verb->cmd);
		select_set(call, &r);
		req_merge(&r, &call->members);
		client_wire(&r);
		req_release(&r);
	}
	return EXIT_OK;
}

/* A selector for a command that takes one task at a time. */
static int
act_on_ids(const struct call *call, struct link *l, const struct action *a)
{
	int64_t *ids = NULL;
	int n = 0, rc = select_ids(call, l, &ids, &n);
	char **tasks = xcalloc((size_t)n + 1, sizeof(*tasks));

	for (int i = 0; i < n; i++)
		tasks[i] = xasprintf("%lld", (long long)ids[i]);
	if (rc == EXIT_OK && n > 0)
		rc = act_each(call, l, tasks, n, a->tell);
	else if (rc == EXIT_OK)
		client_say(call, "No task is selected; 'taskctl ps -a' lists what there is.");
	for (int i = 0; i < n; i++)
		free(tasks[i]);
	free(tasks);
	free(ids);
	return rc;
}

/* A name that cannot be a name is a mistake of usage, found before anything is sent. */
static int
check_names(const struct call *call)
{
	struct strbuf unused = STRBUF_INIT;
	int rc = EXIT_OK;

	for (int i = 0; i < call->nargs && rc == EXIT_OK; i++) {
		if (*call->args[i] == '\0' || !req_quote(call->args[i], &unused))
			rc = client_usage(call, "'%s' is no name of a task.", call->args[i]);
	}
	strbuf_release(&unused);
	return rc;
}

int
control_run(struct call *call)
{
	const struct action *a = action_find(call->verb->name);
	struct link l;
	int rc = strcmp(a->verb, "signal") == 0 ? take_signal(call) : EXIT_OK;

	if (rc == EXIT_OK)
		rc = select_check(call);
	if (rc == EXIT_OK)
		rc = check_names(call);
	if (rc != EXIT_OK)
		return rc;
	if (call->wire)
		return print_wire(call);
	rc = client_connect(call, &l);
	if (rc != EXIT_OK)
		return rc;
	if (call->dry_run)
		rc = rows_dry_run(call, &l);
	else if (!select_given(call))
		rc = act_each(call, &l, call->args, call->nargs, a->tell);
	else if (a->selects)
		rc = act_select(call, &l, a->tell);
	else
		rc = act_on_ids(call, &l, a);
	link_release(&l);
	return rc;
}

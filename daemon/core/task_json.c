/*
 * The task object as clients see it.
 */
#include "task.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "util.h"
#include "value.h"

json_t *
task_time(int64_t wall_ms)
{
	char buf[CLOCK_WALL_LEN];

	if (wall_ms == 0)
		return json_null();
	clock_format_wall(wall_ms, buf);
	return jx_string(buf);
}

json_t *
task_boot_time(int64_t boot_ns)
{
	if (boot_ns == RULES_NEVER)
		return json_null();
	return task_time(clock_wall_of_boot(boot_ns));
}

/* Seconds, as an integer where it is one. */
static json_t *
seconds(int64_t ns)
{
	if (ns == RULES_NEVER)
		return json_null();
	if (ns % NS_PER_SEC == 0)
		return jx_int(ns / NS_PER_SEC);
	return jx_real((double)ns / (double)NS_PER_SEC);
}

/* getpwuid() reads files; callers are few, so the last answer is kept. */
static const char *
user_name(uint32_t uid)
{
	static uint32_t last_uid = UINT32_MAX;
	static char last[64];
	const struct passwd *pw;

	if (uid == last_uid && last[0] != '\0')
		return last;
	pw = getpwuid(uid);
	if (pw != NULL)
		snprintf(last, sizeof(last), "%s", pw->pw_name);
	else
		snprintf(last, sizeof(last), "%u", uid);
	last_uid = uid;
	return last;
}

json_t *
task_run_exit_object(const struct run_exit *e)
{
	char name[VALUE_SIGNAL_LEN];
	json_t *o = jx_object();

	if (!e->signalled) {
		json_set_int(o, "code", e->code);
		return o;
	}
	json_set_str(o, "signal", value_signal_name(e->code, name));
	json_set_bool(o, "core", e->core);
	return o;
}

static json_t *
unstarted_object(enum run_stage stage, int error)
{
	const char *name = strerrorname_np(error);
	json_t *o = jx_object();

	json_set_str(o, "stage", run_stage_name(stage));
	json_set_str(o, "errno", name != NULL ? name : "EIO");
	return o;
}

json_t *
task_exit_object(const struct task *t)
{
	switch (t->exit_kind) {
	case EXIT_ENDED: return task_run_exit_object(&t->exit);
	case EXIT_UNSTARTED: return unstarted_object(t->stage, t->exit_errno);
	default: return json_null();
	}
}

json_t *
task_hook_exit(const struct task_hook *h)
{
	if (h->has_exit)
		return task_run_exit_object(&h->exit);
	if (h->stage != STAGE_NONE)
		return unstarted_object(h->stage, h->error);
	return json_null();
}

json_t *
task_procs_array(const struct run_procs *p)
{
	json_t *a = jx_array();

	for (uint32_t i = 0; p != NULL && i < p->total && i < RUN_PROCS_MAX; i++) {
		json_t *o = jx_object();

		json_set_int(o, "pid", p->proc[i].pid);
		jx_set(o, "comm",
		    jx_stringn(p->proc[i].comm, strnlen(p->proc[i].comm, sizeof(p->proc[i].comm))));
		jx_append(a, o);
	}
	return a;
}

json_t *
task_holders_object(const struct task *t)
{
	const struct task_holder *h;
	json_t *o, *a;

	if (TAILQ_EMPTY(&t->holders) || rules_is_terminal(t->facts.state))
		return json_null();
	a = jx_array();
	TAILQ_FOREACH (h, &t->holders, link) {
		o = jx_object();
		json_set_str(o, "holder", h->name);
		jx_set(o, "until", task_time(h->until_ms));
		jx_set(o, "msg", h->msg != NULL ? json_incref(h->msg) : NULL);
		jx_append(a, o);
	}
	o = jx_object();
	jx_set(o, "holders", a);
	return o;
}

static bool
passed_on_unasked(const struct task *t)
{
	return t->facts.requests == 0 && t->facts.declared &&
	       (t->facts.outcome == TASK_CANCELLED || t->facts.context == TASK_CANCELLED);
}

json_t *
task_cancel_object(const struct task *t)
{
	const struct rules_facts *f = &t->facts;
	const struct task_request *r = task_request(t, rules_shown_request(f));
	json_t *o;

	if (f->requests == 0 && !passed_on_unasked(t))
		return json_null();
	o = jx_object();
	json_set_int(o, "requests", f->requests);
	json_set_int(o, "count", f->count);
	if (r != NULL) {
		jx_set(o, "msg", r->msg != NULL ? json_incref(r->msg) : NULL);
		json_set_str(o, "origin", task_origin_name(r->origin));
		json_set_str(o, "by", r->by);
		jx_set(o, "at", task_time(r->at_ms));
	} else {
		jx_set(o, "msg", t->declared_msg != NULL ? json_incref(t->declared_msg) : NULL);
		json_set_str(o, "origin", task_origin_name(ORIGIN_SELF));
		jx_set(o, "by", NULL);
		jx_set(o, "at", NULL);
	}
	json_set_bool(o, "delivered", f->delivered != 0 || f->sending != 0 || f->killed);
	json_set_bool(o, "deferred", f->deferred != 0 || f->dropped);
	json_set_bool(o, "absorbed", rules_absorbed(f));
	return o;
}

static json_t *
hooks_array(const struct task *t)
{
	json_t *a = jx_array();

	for (unsigned i = 0; i < t->nhooks; i++) {
		const struct task_hook *h = &t->hook[i];
		json_t *o = jx_object();

		json_set_str(o, "hook", task_hook_name(h->kind));
		json_set_str(o, "state", task_hook_state_name(h->state));
		jx_set(o, "exit", task_hook_exit(h));
		json_set_int(o, "attempts", h->attempts);
		jx_append(a, o);
	}
	return a;
}

static bool
has_failed(const struct task_hook *h)
{
	return h->state == HOOK_FAILED || h->state == HOOK_TIMEOUT || h->state == HOOK_WAS_KILLED;
}

/* What a hook that replaced the outcome, or the task itself, or nobody, says of what went wrong. */
static json_t *
error_value(const struct task *t)
{
	json_t *o;

	for (unsigned i = t->nhooks; t->facts.context != TASK_PENDING && i-- > 0;) {
		if (!has_failed(&t->hook[i]))
			continue;
		o = jx_object();
		json_set_str(o, "hook", task_hook_name(t->hook[i].kind));
		jx_set(o, "exit", task_hook_exit(&t->hook[i]));
		return o;
	}
	if (t->error != NULL)
		return jx_string(t->error);
	return jx_string(t->lost_why);
}

static json_t *
context_object(const struct task *t)
{
	const struct task_request *r = task_request(t, rules_shown_request(&t->facts));
	json_t *o;

	if (t->facts.context == TASK_PENDING)
		return json_null();
	o = jx_object();
	json_set_str(o, "state", rules_state_name(t->facts.context));
	jx_set(o, "msg", r != NULL && r->msg != NULL ? json_incref(r->msg) : NULL);
	jx_set(o, "exit", task_exit_object(t));
	return o;
}

static json_t *
usage_object(const struct task *t)
{
	json_t *o;

	if (!t->has_usage)
		return json_null();
	o = jx_object();
	json_set_real(o, "user", t->user_s);
	json_set_real(o, "system", t->system_s);
	json_set_int(o, "max_rss", t->max_rss);
	return o;
}

static json_t *
output_object(const struct task *t)
{
	json_t *o = jx_object();

	json_set_int(o, "bytes", (int64_t)(t->out.bytes + t->err.bytes));
	json_set_int(o, "dropped", (int64_t)(t->out.dropped + t->err.dropped));
	return o;
}

static json_t *
spec_member(const struct task *t, const char *key)
{
	json_t *v = json_object_get(t->spec, key);

	return v != NULL ? json_incref(v) : NULL;
}

/* Who and what. */
static void
add_identity(json_t *o, const struct task *t, bool full)
{
	json_t *labels = spec_member(t, "labels");

	json_set_int(o, "id", (int64_t)t->id);
	json_set_str(o, "name", t->name);
	if (t->key != NULL)
		json_set_str(o, "key", t->key);
	jx_set(o, "labels", labels != NULL ? labels : jx_object());
	json_set_str(o, "state", rules_state_name(t->facts.state));
	if (full && json_object_get(t->spec, "argv") != NULL)
		jx_set(o, "argv", spec_member(t, "argv"));
	if (json_object_get(t->spec, "shell") != NULL)
		jx_set(o, "shell", spec_member(t, "shell"));
	if (full && json_object_get(t->spec, "env") != NULL)
		jx_set(o, "env", spec_member(t, "env"));
	json_set_str(o, "cwd", t->cwd);
	json_set_str(o, "user", user_name(t->uid));
	jx_set(o, "pid", t->pid != 0 ? jx_int(t->pid) : NULL);
}

static void
add_times(json_t *o, const struct task *t)
{
	const struct rules_facts *f = &t->facts;

	jx_set(o, "created", task_time(t->created_ms));
	jx_set(o, "started", task_time(t->started_ms));
	jx_set(o, "ended", task_time(t->ended_ms));
	jx_set(o, "deadline", f->deadline != RULES_NEVER ? task_time(t->deadline_wall_ms) : NULL);
	jx_set(o, "timeout", seconds(f->timeout));
	jx_set(o, "grace", seconds(f->grace));
	json_set_bool(o, "expired", f->expired);
}

json_t *
task_object(const struct task *t, bool full)
{
	json_t *o = jx_object();

	add_identity(o, t, full);
	add_times(o, t);
	jx_set(o, "cancel", task_cancel_object(t));
	jx_set(o, "shield", task_holders_object(t));
	jx_set(o, "exit", task_exit_object(t));
	json_set_bool(o, "forced", t->facts.forced);
	jx_set(o, "result", t->result != NULL ? json_incref(t->result) : NULL);
	jx_set(o, "error", error_value(t));
	jx_set(o, "status", jx_string(t->status));
	jx_set(o, "progress", t->progress >= 0 ? jx_real(t->progress) : NULL);
	jx_set(o, "hooks", hooks_array(t));
	jx_set(o, "context", context_object(t));
	jx_set(o, "output", output_object(t));
	jx_set(o, "leftover", task_procs_array(t->leftover));
	jx_set(o, "unkillable", task_procs_array(t->unkillable));
	jx_set(o, "usage", usage_object(t));
	return o;
}

/*
 * A task's facts as the store keeps them: one JSON object whose members are listed in tables, so
 * that what is written and what is read cannot differ. Members that have their default are left out.
 */
#include "task.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "util.h"

enum kind { K_BOOL, K_U32, K_INT, K_I64, K_U64, K_TIME, K_DOUBLE };

struct member {
	const char *name;
	size_t offset;
	enum kind kind;
};

#define T(kind, name)                                    \
	{                                                \
#name, offsetof(struct task, name), kind \
	}
#define F(kind, name)                                          \
	{                                                      \
#name, offsetof(struct task, facts.name), kind \
	}
#define N(kind, json, member)                             \
	{                                                 \
		json, offsetof(struct task, member), kind \
	}

/* K_TIME is a boot time: it means nothing after a reboot. */
static const struct member members[] = {
    F(K_I64, grace),
    F(K_I64, timeout),
    F(K_INT, signo),
    F(K_BOOL, keep),
    F(K_BOOL, hooks_warn),
    N(K_U32, "hooks_on_cancel", facts.hooks[HOOK_ON_CANCEL]),
    N(K_U32, "hooks_on_timeout", facts.hooks[HOOK_ON_TIMEOUT]),
    N(K_U32, "hooks_on_failure", facts.hooks[HOOK_ON_FAILURE]),
    N(K_U32, "hooks_finally", facts.hooks[HOOK_FINALLY]),
    F(K_BOOL, held),
    F(K_U32, requests),
    F(K_U32, count),
    F(K_U32, first),
    F(K_U32, deferred),
    F(K_U32, sending),
    F(K_U32, delivered),
    F(K_U32, killer),
    F(K_BOOL, deferred_deadline),
    F(K_BOOL, sending_deadline),
    F(K_BOOL, cancel_out),
    F(K_BOOL, deadline_out),
    F(K_BOOL, declared),
    F(K_BOOL, killed),
    F(K_BOOL, dropped),
    F(K_BOOL, kill_at_start),
    F(K_U32, shields),
    F(K_TIME, deadline),
    F(K_BOOL, deadline_set),
    F(K_BOOL, expired),
    F(K_TIME, kill_at),
    F(K_I64, grace_left),
    F(K_INT, outcome),
    F(K_INT, context),
    F(K_BOOL, forced),
    F(K_BOOL, spawned),
    F(K_BOOL, tree_gone),
    F(K_U32, hook_at),
    F(K_INT, hook_stage),
    F(K_TIME, hook_at_limit),
    T(K_U32, uid),
    T(K_I64, created_ms),
    T(K_BOOL, separate),
    T(K_BOOL, to_tree),
    T(K_I64, started_ms),
    T(K_I64, ended_ms),
    T(K_I64, deadline_wall_ms),
    T(K_INT, pid),
    T(K_U64, pid_start),
    T(K_U32, runs),
    T(K_BOOL, spawn_sent),
    T(K_BOOL, signal_sent),
    T(K_BOOL, connection),
    T(K_BOOL, frozen),
    N(K_U64, "out_file", out.file),
    N(K_U64, "out_bytes", out.bytes),
    N(K_U64, "out_dropped", out.dropped),
    N(K_U64, "err_file", err.file),
    N(K_U64, "err_bytes", err.bytes),
    N(K_U64, "err_dropped", err.dropped),
    T(K_DOUBLE, progress),
    T(K_INT, exit_kind),
    N(K_BOOL, "exit_signalled", exit.signalled),
    N(K_BOOL, "exit_core", exit.core),
    N(K_INT, "exit_code", exit.code),
    T(K_INT, stage),
    T(K_INT, exit_errno),
    T(K_BOOL, has_usage),
    T(K_DOUBLE, user_s),
    T(K_DOUBLE, system_s),
    T(K_I64, max_rss),
};

_Static_assert(sizeof(enum task_state) == sizeof(int) && sizeof(pid_t) == sizeof(int) &&
		   sizeof(enum task_exit_kind) == sizeof(int) &&
		   sizeof(enum run_stage) == sizeof(int),
    "K_INT fits");

static void
put(json_t *o, const struct task *t, const struct task *plain, const struct member *m)
{
	const char *at = (const char *)t + m->offset, *def = (const char *)plain + m->offset;

	switch (m->kind) {
	case K_BOOL:
		if (*(const bool *)at != *(const bool *)def)
			json_set_bool(o, m->name, *(const bool *)at);
		break;
	case K_U32:
	case K_INT:
		if (*(const int32_t *)at != *(const int32_t *)def)
			json_set_int(o, m->name, *(const int32_t *)at);
		break;
	case K_DOUBLE:
		if (memcmp(at, def, sizeof(double)) != 0)
			json_set_real(o, m->name, *(const double *)at);
		break;
	case K_I64:
	case K_U64:
	case K_TIME:
		if (*(const int64_t *)at != *(const int64_t *)def)
			json_set_int(o, m->name, *(const int64_t *)at);
		break;
	}
}

static int
get(const json_t *o, struct task *t, const struct member *m)
{
	char *at = (char *)t + m->offset;
	const json_t *v = json_object_get(o, m->name);

	if (v == NULL)
		return 0;
	if (m->kind == K_BOOL     ? !json_is_boolean(v)
	    : m->kind == K_DOUBLE ? !json_is_number(v)
				  : !json_is_integer(v))
		return -EINVAL;
	switch (m->kind) {
	case K_BOOL: *(bool *)at = json_is_true(v); break;
	case K_U32:
	case K_INT: *(int32_t *)at = (int32_t)json_integer_value(v); break;
	case K_DOUBLE: *(double *)at = json_number_value(v); break;
	default: *(int64_t *)at = json_integer_value(v); break;
	}
	return 0;
}

/* -- the parts that are lists -- */

static json_t *
save_requests(const struct task *t)
{
	json_t *a = jx_array();

	for (size_t i = 0; i < ARRAY_SIZE(t->request); i++) {
		const struct task_request *r = &t->request[i];
		json_t *o;

		if (r->ordinal == 0)
			continue;
		o = jx_object();
		json_set_int(o, "n", r->ordinal);
		json_set_int(o, "origin", r->origin);
		json_set_str(o, "by", r->by);
		json_set_int(o, "at", r->at_ms);
		if (r->msg != NULL)
			jx_set(o, "msg", json_incref(r->msg));
		jx_append(a, o);
	}
	return a;
}

static void
load_requests(struct task *t, const json_t *a)
{
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(a) && n < ARRAY_SIZE(t->request); i++) {
		const json_t *o = json_array_get(a, i);
		const char *by = json_get_str(o, "by");
		int64_t origin = json_get_int(o, "origin", 0);
		struct task_request *r = &t->request[n];

		r->ordinal = (uint32_t)json_get_int(o, "n", 0);
		if (r->ordinal == 0)
			continue; /* no request has this number */
		n++;
		r->origin = origin >= 0 && origin < ORIGIN_COUNT ? (enum cancel_origin)origin : 0;
		r->by = xstrdup(by != NULL ? by : "");
		r->at_ms = json_get_int(o, "at", 0);
		r->msg = json_incref(json_object_get(o, "msg"));
	}
}

static json_t *
save_holders(const struct task *t)
{
	const struct task_holder *h;
	json_t *a = jx_array(), *o;

	TAILQ_FOREACH (h, &t->holders, link) {
		o = jx_object();
		json_set_str(o, "holder", h->name);
		json_set_int(o, "until", h->until);
		json_set_int(o, "until_ms", h->until_ms);
		if (h->msg != NULL)
			jx_set(o, "msg", json_incref(h->msg));
		jx_append(a, o);
	}
	return a;
}

static void
load_holders(struct task *t, const json_t *a)
{
	for (size_t i = 0; i < json_array_size(a) && i < TASK_HOLDERS_MAX; i++) {
		const json_t *o = json_array_get(a, i);
		const char *name = json_get_str(o, "holder");
		struct task_holder *h = task_add_holder(t, name != NULL ? name : "");

		h->until = json_get_int(o, "until", RULES_NEVER);
		h->until_ms = json_get_int(o, "until_ms", 0);
		h->msg = json_incref(json_object_get(o, "msg"));
	}
}

static json_t *
save_hooks(const struct task *t)
{
	json_t *a = jx_array(), *o;

	for (unsigned i = 0; i < t->nhooks; i++) {
		const struct task_hook *h = &t->hook[i];

		o = jx_object();
		json_set_int(o, "kind", h->kind);
		json_set_int(o, "index", h->index);
		json_set_int(o, "state", h->state);
		json_set_int(o, "attempts", h->attempts);
		json_set_int(o, "stage", h->stage);
		json_set_int(o, "error", h->error);
		if (h->has_exit) {
			json_set_bool(o, "signalled", h->exit.signalled);
			json_set_bool(o, "core", h->exit.core);
			json_set_int(o, "code", h->exit.code);
		}
		jx_append(a, o);
	}
	return a;
}

static int
load_hooks(struct task *t, const json_t *a)
{
	size_t n = json_array_size(a);

	if (n > 2 * TASK_HOOKS_MAX)
		return -EINVAL;
	if (n > 0)
		t->hook = xcalloc(n, sizeof(*t->hook));
	for (size_t i = 0; i < n; i++) {
		const json_t *o = json_array_get(a, i);
		int64_t kind = json_get_int(o, "kind", -1), state = json_get_int(o, "state", -1);
		int64_t stage = json_get_int(o, "stage", 0);
		struct task_hook *h = &t->hook[t->nhooks++];

		if (kind < 0 || kind >= HOOK_KINDS || state < 0 || state > HOOK_WAS_KILLED ||
		    stage < 0 || stage > STAGE_EXEC)
			return -EINVAL;
		h->kind = (enum hook_kind)kind;
		h->state = (enum task_hook_state)state;
		h->index = (unsigned)json_get_int(o, "index", 0);
		h->attempts = (unsigned)json_get_int(o, "attempts", 0);
		h->stage = (enum run_stage)stage;
		h->error = (int)json_get_int(o, "error", 0);
		h->has_exit = json_object_get(o, "code") != NULL;
		h->exit.code = (int)json_get_int(o, "code", 0);
		h->exit.signalled = json_get_bool(o, "signalled", false);
		h->exit.core = json_get_bool(o, "core", false);
	}
	return 0;
}

static struct run_procs *
load_procs(const json_t *a, int64_t total)
{
	struct run_procs *p;

	if (json_array_size(a) == 0)
		return NULL;
	p = xcalloc(1, sizeof(*p));
	p->total = (uint32_t)total;
	for (size_t i = 0; i < json_array_size(a) && i < RUN_PROCS_MAX; i++) {
		const char *comm = json_get_str(json_array_get(a, i), "comm");

		p->proc[i].pid = (pid_t)json_get_int(json_array_get(a, i), "pid", 0);
		strncpy(p->proc[i].comm, comm != NULL ? comm : "", sizeof(p->proc[i].comm) - 1);
	}
	return p;
}

static void
save_procs(json_t *o, const char *key, const char *total, const struct run_procs *p)
{
	if (p == NULL || p->total == 0)
		return;
	jx_set(o, key, task_procs_array(p));
	json_set_int(o, total, p->total);
}

static void
save_value(json_t *o, const char *key, json_t *v)
{
	if (v != NULL)
		jx_set(o, key, json_incref(v));
}

static void
save_string(json_t *o, const char *key, const char *s)
{
	if (s != NULL)
		json_set_str(o, key, s);
}

json_t *
task_save(const struct task *t)
{
	static struct task *plain; /* the defaults, made once */
	json_t *o = jx_object();

	if (plain == NULL)
		plain = task_new(0);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		put(o, t, plain, &members[i]);
	if (t->facts.requests > 0)
		jx_set(o, "request", save_requests(t));
	if (!TAILQ_EMPTY(&t->holders))
		jx_set(o, "holders", save_holders(t));
	if (t->nhooks > 0)
		jx_set(o, "hooks", save_hooks(t));
	save_procs(o, "leftover", "leftovers", t->leftover);
	save_procs(o, "unkillable", "unkillables", t->unkillable);
	save_value(o, "declared_msg", t->declared_msg);
	save_value(o, "result", t->result);
	save_string(o, "error", t->error);
	save_string(o, "status", t->status);
	save_string(o, "cwd", t->cwd);
	save_string(o, "by", t->by);
	save_string(o, "lost_why", t->lost_why);
	return o;
}

static char *
load_string(const json_t *o, const char *key)
{
	const char *s = json_get_str(o, key);

	return s != NULL ? xstrdup(s) : NULL;
}

/* After a reboot boot times mean nothing: deadlines go by the wall clock, other clocks are over. */
static void
translate_times(struct task *t)
{
	struct rules_facts *f = &t->facts;
	struct task_holder *h;

	if (f->deadline != RULES_NEVER)
		f->deadline = clock_boot_of_wall(t->deadline_wall_ms);
	f->kill_at = RULES_NEVER;
	f->hook_at_limit = RULES_NEVER;
	TAILQ_FOREACH (h, &t->holders, link)
		if (h->until != RULES_NEVER)
			h->until = clock_boot_ns();
}

static bool
state_ok(int s)
{
	return s >= 0 && s < TASK_NSTATES;
}

int
task_load(struct task *t, const json_t *saved, bool same_boot)
{
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (get(saved, t, &members[i]) != 0)
			return -EINVAL;
	if (!state_ok(t->facts.outcome) || !state_ok(t->facts.context) || t->stage > STAGE_EXEC ||
	    t->exit_kind > EXIT_UNSTARTED)
		return -EINVAL;
	load_requests(t, json_object_get(saved, "request"));
	load_holders(t, json_object_get(saved, "holders"));
	if (load_hooks(t, json_object_get(saved, "hooks")) != 0)
		return -EINVAL;
	t->facts.shields = task_holders(t);
	t->leftover =
	    load_procs(json_object_get(saved, "leftover"), json_get_int(saved, "leftovers", 0));
	t->unkillable =
	    load_procs(json_object_get(saved, "unkillable"), json_get_int(saved, "unkillables", 0));
	t->declared_msg = json_incref(json_object_get(saved, "declared_msg"));
	t->result = json_incref(json_object_get(saved, "result"));
	t->error = load_string(saved, "error");
	t->status = load_string(saved, "status");
	t->cwd = load_string(saved, "cwd");
	t->by = load_string(saved, "by");
	t->lost_why = load_string(saved, "lost_why");
	if (!same_boot)
		translate_times(t);
	return 0;
}

/*
 * What clients ask for: each command is one event for the rules, and the words that go with it.
 */
#include "runner_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "util.h"

/* -- undo -- */

static void
copy_holders(struct undo *u, const struct task *t)
{
	const struct task_holder *h;

	TAILQ_INIT(&u->holders);
	TAILQ_FOREACH (h, &t->holders, link) {
		struct task_holder *copy = xcalloc(1, sizeof(*copy));

		copy->name = xstrdup(h->name);
		copy->until = h->until;
		copy->until_ms = h->until_ms;
		copy->msg = json_incref(h->msg);
		TAILQ_INSERT_TAIL(&u->holders, copy, link);
	}
}

/* Remember what the task was before this turn, in case that the commit fails. */
static void
keep_undo(struct runner *r, struct task *t)
{
	struct undo *u;

	if (t->run == NULL || t->run->undo != NULL || t->fresh)
		return;
	u = xcalloc(1, sizeof(*u));
	u->facts = t->facts;
	u->deadline_wall_ms = t->deadline_wall_ms;
	u->signal_sent = t->signal_sent;
	u->events = events_total(r->opts.events);
	copy_holders(u, t);
	t->run->undo = u;
	TAILQ_INSERT_TAIL(&r->undo, t->run, undo_link);
}

static void
cannot_undo(struct runner *r, struct task *t)
{
	keep_undo(r, t);
	if (t->run != NULL && t->run->undo != NULL)
		t->run->undo->pointless = true;
}

/* -- start -- */

bool
runner_same_command(const struct task *t, const json_t *spec)
{
	const json_t *shell = json_object_get(spec, "shell");

	if (shell != NULL)
		return json_equal(shell, json_object_get(t->spec, "shell"));
	return json_equal(json_object_get(spec, "argv"), json_object_get(t->spec, "argv"));
}

static int
find_key(struct runner *r, const char *key, struct task **ret)
{
	uint64_t id;
	int error = -ENOENT;

	/* Tasks of this turn are not in the store yet. */
	for (struct task *t = TAILQ_FIRST(&r->dirty); key != NULL && t != NULL;
	     t = TAILQ_NEXT(t, dirty_link)) {
		if (t->fresh && t->key != NULL && strcmp(t->key, key) == 0) {
			*ret = t;
			return 0;
		}
	}
	if (key == NULL || (error = store_find_key(r->opts.store, key, &id)) < 0)
		return error;
	*ret = runner_get(r, id, &error);
	return *ret != NULL ? 0 : error;
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

/* argv[0]'s last part, or the first word of the shell line; cut between characters, not in one. */
static char *
default_name(const json_t *spec)
{
	const char *argv0 = json_string_value(json_array_get(json_object_get(spec, "argv"), 0));
	const char *line = json_get_str(spec, "shell");
	char *name;
	size_t n;

	if (argv0 != NULL) {
		name = xstrdup(base_name(argv0));
	} else {
		line += strspn(line, " \t\n");
		char *word = xstrndup(line, strcspn(line, " \t\n;|&<>()"));

		name = xstrdup(*word != '\0' ? base_name(word) : "sh");
		free(word);
	}
	if ((n = strlen(name)) > PROTO_NAME_MAX) {
		for (n = PROTO_NAME_MAX; n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80;)
			n--;
		name[n] = '\0';
	}
	return name;
}

static struct task *
make_task(struct runner *r, const struct runner_start *start)
{
	struct task *t = task_new(r->next_id++);

	t->spec = json_incref(start->spec);
	t->name = start->name != NULL ? xstrdup(start->name) : default_name(start->spec);
	t->key = start->key != NULL ? xstrdup(start->key) : NULL;
	t->cwd = xstrdup(start->cwd);
	t->uid = start->caller.uid;
	t->by = xstrdup(start->caller.by);
	t->created_ms = clock_wall_ms();
	t->fresh = true;
	task_apply_spec(t, r->opts.config->grace);
	t->facts.held = start->held;
	return t;
}

int
runner_start(struct runner *r, const struct runner_start *start, struct task **ret)
{
	struct rules_input in = {.now = clock_boot_ns()};
	struct task *t;
	json_t *o;
	int error = find_key(r, start->key, ret);

	if (error == 0)
		return -EEXIST;
	if (error != -ENOENT)
		return error;
	t = make_task(r, start);
	run_new(r, t);
	if ((error = runner_take_outputs(r, t)) < 0) {
		run_free(t->run);
		task_free(t);
		return error;
	}
	task_set_add_take(&r->tasks, t);
	runner_dirty(r, t);
	o = jx_object();
	json_set_str(o, "name", t->name);
	runner_emit(r, EVENT_CREATED, t, o);
	if (!start->held)
		runner_step(r, t, EV_RELEASE, &in);
	*ret = t;
	return 0;
}

struct rules_verdict
runner_release(struct runner *r, struct task *t, int *error)
{
	struct rules_input in = {.now = clock_boot_ns()};

	*error = 0;
	if (t->facts.state == TASK_PENDING && t->run != NULL)
		*error = runner_open_outputs(r, t);
	if (*error < 0)
		return (struct rules_verdict){.error = ERR_OVERLOADED};
	keep_undo(r, t);
	return runner_step(r, t, EV_RELEASE, &in);
}

/* -- cancel and kill -- */

static json_t *
msg_value(const json_t *msg)
{
	return msg != NULL ? json_incref((json_t *)(uintptr_t)msg) : NULL;
}

static json_t *
about_request(const struct runner_cancel *c)
{
	json_t *o = jx_object();

	jx_set(o, "msg", msg_value(c->msg));
	json_set_str(o, "origin", task_origin_name(c->origin));
	return o;
}

static void
tell_request(
    struct runner *r, struct task *t, const struct runner_cancel *c, const struct rules_verdict *v)
{
	json_t *o = about_request(c);

	json_set_str(o, "by", c->by);
	json_set_str(o, "effect", task_effect_name(v->effect));
	runner_emit(r, EVENT_CANCEL_REQUESTED, t, o);
	if (v->fx & FX_DEFERRED)
		runner_emit(r, EVENT_DEFERRED, t, about_request(c));
	if (v->fx & FX_KILLED) {
		o = jx_object();
		jx_set(o, "msg", msg_value(c->msg));
		runner_emit(r, EVENT_KILLED, t, o);
	}
}

/* Ask the rules for a cancel or a kill, and keep what it said where it was counted. */
static struct rules_verdict
request(struct runner *r, struct task *t, enum rules_event event, const struct runner_cancel *c)
{
	struct rules_input in = {
	    .now = clock_boot_ns(),
	    .gone = runner_touch(r, t),
	    .pierce = c->pierce,
	    .has_msg = c->msg != NULL,
	    .has_grace = c->has_grace,
	    .grace = c->grace,
	};
	struct rules_verdict v;

	cannot_undo(r, t);
	v = runner_step(r, t, event, &in);
	if (v.error != ERR_NONE || v.request == 0)
		return v;
	task_add_request(t, v.request, c->origin, c->msg, c->by, clock_wall_ms());
	tell_request(r, t, c, &v);
	return v;
}

static bool
is_explicit(enum cancel_origin o)
{
	return o == ORIGIN_CLIENT || o == ORIGIN_WAIT || o == ORIGIN_SELF || o == ORIGIN_KILL;
}

struct rules_verdict
runner_cancel(struct runner *r, struct task *t, const struct runner_cancel *c)
{
	return request(r, t, is_explicit(c->origin) ? EV_CANCEL : EV_PASS_ON, c);
}

struct rules_verdict
runner_kill(struct runner *r, struct task *t, const struct runner_cancel *c)
{
	return request(r, t, EV_KILL, c);
}

struct rules_verdict
runner_uncancel(struct runner *r, struct task *t)
{
	struct rules_input in = {.now = clock_boot_ns(), .gone = runner_touch(r, t)};

	keep_undo(r, t);
	return runner_step(r, t, EV_UNCANCEL, &in);
}

void
runner_cancel_all(struct runner *r, enum cancel_origin origin, const json_t *msg, const char *by)
{
	struct runner_cancel c = {.origin = origin, .msg = msg, .by = by};

	for (size_t i = 0; i < r->tasks.nbuckets; i++) {
		struct task *t = r->tasks.bucket[i];

		if (t != NULL && !rules_is_terminal(t->facts.state))
			runner_cancel(r, t, &c);
	}
}

void
runner_kill_all(struct runner *r, const json_t *msg, const char *by)
{
	struct runner_cancel c = {.origin = ORIGIN_KILL, .msg = msg, .by = by, .pierce = true};

	for (size_t i = 0; i < r->tasks.nbuckets; i++) {
		struct task *t = r->tasks.bucket[i];

		if (t != NULL && !rules_is_terminal(t->facts.state))
			runner_kill(r, t, &c);
	}
}

void
runner_owner_lost(struct runner *r, uint64_t id)
{
	json_t *msg = jx_string("client disconnected");
	struct task *t = runner_find(r, id);
	struct runner_cancel c = {.origin = ORIGIN_DISCONNECT, .msg = msg};

	if (t != NULL && t->connection && !rules_is_terminal(t->facts.state)) {
		c.by = t->by;
		runner_cancel(r, t, &c);
	}
	json_decref(msg);
}

/* -- shield -- */

static void
tell_shield(struct runner *r, enum event_kind kind, const struct task *t, const char *name,
    const struct task_holder *h)
{
	json_t *o = jx_object();

	json_set_str(o, "holder", name);
	jx_set(o, "until", h != NULL ? task_time(h->until_ms) : NULL);
	runner_emit(r, kind, t, o);
}

struct rules_verdict
runner_shield(struct runner *r, struct task *t, const char *holder, int64_t span, const json_t *msg,
    int *error)
{
	struct rules_input in = {.now = clock_boot_ns(), .gone = runner_touch(r, t)};
	struct task_holder *h = task_holder(t, holder);
	struct rules_verdict v;

	*error = 0;
	if (h == NULL && task_holders(t) >= TASK_HOLDERS_MAX) {
		*error = -ENOSPC;
		return (struct rules_verdict){.error = ERR_LIMIT};
	}
	keep_undo(r, t);
	v = runner_step(r, t, h != NULL ? EV_SHIELD_MOVED : EV_SHIELD, &in);
	if (v.error != ERR_NONE)
		return v;
	if (h == NULL)
		h = task_add_holder(t, holder);
	h->until = clock_add(in.now, MIN(span, r->opts.config->shield_max));
	h->until_ms = h->until != RULES_NEVER ? clock_wall_of_boot(h->until) : 0;
	json_decref(h->msg);
	h->msg = msg_value(msg);
	tell_shield(r, EVENT_SHIELDED, t, holder, h);
	runner_rearm(r, t);
	return v;
}

struct rules_verdict
runner_unshield(struct runner *r, struct task *t, const char *holder)
{
	struct rules_input in = {.now = clock_boot_ns(), .gone = runner_touch(r, t)};
	struct task_holder *h = task_holder(t, holder);
	struct rules_verdict v;

	if (h == NULL || rules_is_terminal(t->facts.state)) {
		v = (struct rules_verdict){
		    .error = rules_is_terminal(t->facts.state) ? ERR_FINISHED : ERR_NOT_SHIELDED};
		return v;
	}
	keep_undo(r, t);
	tell_shield(r, EVENT_UNSHIELDED, t, holder, NULL);
	task_drop_holder(t, h);
	v = runner_step(r, t, EV_UNSHIELD, &in);
	runner_rearm(r, t);
	return v;
}

/* -- the rest -- */

struct rules_verdict
runner_deadline(struct runner *r, struct task *t, int64_t when)
{
	struct rules_input in = {.now = clock_boot_ns(), .gone = runner_touch(r, t), .when = when};

	keep_undo(r, t);
	return runner_step(r, t, EV_DEADLINE_SET, &in);
}

static bool
has_process(const struct runner *r, const struct task *t)
{
	struct run_key key = {.task = t->id};

	return t->run != NULL && t->facts.state != TASK_STARTING &&
	       rules_has_leader(t->facts.state) && !spawner_leader_gone(r->spawner, key);
}

int
runner_signal(struct runner *r, struct task *t, int signo)
{
	struct run_key key = {.task = t->id};

	return has_process(r, t) ? spawner_signal(r->spawner, key, signo) : -ESRCH;
}

int
runner_freeze(struct runner *r, struct task *t, bool freeze)
{
	struct run_key key = {.task = t->id};
	int error;

	if (!has_process(r, t))
		return -ESRCH;
	if ((error = spawner_freeze(r->spawner, key, freeze)) < 0)
		return error;
	t->frozen = freeze;
	runner_dirty(r, t);
	return 0;
}

static void
remove_later(struct runner *r, uint64_t file)
{
	if (file == 0)
		return;
	r->removed = xrealloc(r->removed, (r->nremoved + 1) * sizeof(*r->removed));
	r->removed[r->nremoved++] = file;
}

int
runner_remove(struct runner *r, uint64_t id)
{
	int error;
	struct task *t = store_get(r->opts.store, id, &error);

	if (t == NULL)
		return error;
	if ((error = store_remove_task(r->opts.store, id)) == 0) {
		r->urgent = true;
		remove_later(r, t->out.file);
		remove_later(r, t->err.file);
	}
	task_free(t);
	return error;
}

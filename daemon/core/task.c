/*
 * Tasks as data, and the set of those that are alive.
 */
#include "task.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"
#include "value.h"

#define FIRST_BUCKETS 256

struct task *
task_new(uint64_t id)
{
	struct task *t = xcalloc(1, sizeof(*t));

	t->id = id;
	rules_facts_init(&t->facts);
	t->to_tree = true;
	t->signal_sent = true;
	t->progress = -1;
	TAILQ_INIT(&t->holders);
	return t;
}

static void
request_release(struct task_request *r)
{
	json_decref(r->msg);
	free(r->by);
	memset(r, 0, sizeof(*r));
}

void
task_free(struct task *t)
{
	struct task_holder *h;

	if (t == NULL)
		return;
	while ((h = TAILQ_FIRST(&t->holders)) != NULL)
		task_drop_holder(t, h);
	for (size_t i = 0; i < ARRAY_SIZE(t->request); i++)
		request_release(&t->request[i]);
	json_decref(t->spec);
	json_decref(t->declared_msg);
	json_decref(t->result);
	free(t->name);
	free(t->key);
	free(t->cwd);
	free(t->by);
	free(t->error);
	free(t->status);
	free(t->lost_why);
	free(t->leftover);
	free(t->unkillable);
	free(t->hook);
	free(t);
}

/* -- requests -- */

static bool
is_named(const struct rules_facts *f, uint32_t n)
{
	return n == f->first || n == f->deferred || n == f->sending || n == f->delivered ||
	       n == f->killer;
}

void
task_prune_requests(struct task *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(t->request); i++)
		if (t->request[i].ordinal != 0 && !is_named(&t->facts, t->request[i].ordinal))
			request_release(&t->request[i]);
}

struct task_request *
task_add_request(struct task *t, uint32_t ordinal, enum cancel_origin origin, const json_t *msg,
    const char *by, int64_t at_ms)
{
	task_prune_requests(t);
	if (!is_named(&t->facts, ordinal))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(t->request); i++) {
		struct task_request *r = &t->request[i];

		if (r->ordinal != 0)
			continue;
		r->ordinal = ordinal;
		r->origin = origin;
		r->msg = msg != NULL ? json_incref((json_t *)(uintptr_t)msg) : NULL;
		r->by = xstrdup(by);
		r->at_ms = at_ms;
		return r;
	}
	return NULL; /* not reached: the facts name at most as many as there are places */
}

const struct task_request *
task_request(const struct task *t, uint32_t ordinal)
{
	for (size_t i = 0; ordinal != 0 && i < ARRAY_SIZE(t->request); i++)
		if (t->request[i].ordinal == ordinal)
			return &t->request[i];
	return NULL;
}

/* -- shield -- */

struct task_holder *
task_holder(struct task *t, const char *name)
{
	struct task_holder *h;

	TAILQ_FOREACH (h, &t->holders, link)
		if (strcmp(h->name, name) == 0)
			return h;
	return NULL;
}

struct task_holder *
task_add_holder(struct task *t, const char *name)
{
	struct task_holder *h = xcalloc(1, sizeof(*h));

	h->name = xstrdup(name);
	h->until = RULES_NEVER;
	TAILQ_INSERT_TAIL(&t->holders, h, link);
	return h;
}

void
task_drop_holder(struct task *t, struct task_holder *h)
{
	TAILQ_REMOVE(&t->holders, h, link);
	json_decref(h->msg);
	free(h->name);
	free(h);
}

unsigned
task_holders(const struct task *t)
{
	const struct task_holder *h;
	unsigned n = 0;

	TAILQ_FOREACH (h, &t->holders, link)
		n++;
	return n;
}

/* -- the spec -- */

const json_t *
task_hook_spec(const struct task *t, enum hook_kind kind, unsigned index)
{
	const json_t *hooks = json_object_get(t->spec, "hooks");
	const json_t *h = json_object_get(hooks, task_hook_name(kind));

	if (json_is_array(h))
		return json_array_get(h, index);
	return index == 0 ? h : NULL;
}

static unsigned
count_hooks(const struct task *t, enum hook_kind kind)
{
	const json_t *h = json_object_get(json_object_get(t->spec, "hooks"), task_hook_name(kind));

	if (h == NULL)
		return 0;
	return json_is_array(h) ? (unsigned)json_array_size(h) : 1;
}

static bool
says(const json_t *spec, const char *key, const char *value)
{
	const char *s = json_string_value(json_object_get(spec, key));

	return s != NULL && strcmp(s, value) == 0;
}

void
task_apply_spec(struct task *t, int64_t default_grace)
{
	struct rules_facts *f = &t->facts;
	const json_t *v;

	f->grace = default_grace;
	if ((v = json_object_get(t->spec, "grace")) != NULL) {
		if (json_is_null(v))
			f->grace = RULES_UNLIMITED;
		else
			value_duration(v, &f->grace, NULL);
	}
	if ((v = json_object_get(t->spec, "timeout")) != NULL)
		value_duration(v, &f->timeout, NULL);
	if ((v = json_object_get(t->spec, "signal")) != NULL)
		value_signal(v, &f->signo, NULL);
	f->keep = says(t->spec, "on_refuse", "keep");
	f->hooks_warn = says(t->spec, "hook_errors", "warn");
	for (enum hook_kind k = 0; k < HOOK_KINDS; k++)
		f->hooks[k] = count_hooks(t, k);
	t->to_tree = !says(t->spec, "signal_to", "leader");
	t->separate = says(t->spec, "output", "separate");
	t->connection = says(t->spec, "lifetime", "connection");
}

/* -- names -- */

#define NAME_ENTRY(prefix, c, n) [prefix##c] = n,
#define ORIGIN_NAME(c, n)        NAME_ENTRY(ORIGIN_, c, n)
#define HOOK_NAME(c, n)          NAME_ENTRY(HOOK_, c, n)
#define EFFECT_NAME(c, n)        NAME_ENTRY(EFFECT_, c, n)
#define ERROR_NAME(c, n)         NAME_ENTRY(ERR_, c, n)
#define EVENT_NAME(c, n)         NAME_ENTRY(EVENT_, c, n)

const char *
task_origin_name(enum cancel_origin o)
{
	static const char *const names[] = {PROTO_ORIGINS(ORIGIN_NAME)};

	return names[o];
}

const char *
task_hook_name(enum hook_kind k)
{
	static const char *const names[] = {PROTO_HOOKS(HOOK_NAME)};

	return names[k];
}

const char *
task_effect_name(enum cancel_effect e)
{
	static const char *const names[] = {PROTO_EFFECTS(EFFECT_NAME)};

	return names[e];
}

const char *
task_error_name(enum proto_error e)
{
	static const char *const names[] = {[ERR_NONE] = "", PROTO_ERRORS(ERROR_NAME)};

	return names[e];
}

const char *
task_event_name(enum event_kind e)
{
	static const char *const names[] = {PROTO_EVENTS(EVENT_NAME)};

	return names[e];
}

const char *
task_hook_state_name(enum task_hook_state s)
{
	static const char *const names[] = {
	    "owed", "running", "done", "failed", "timeout", "killed"};

	return names[s];
}

/* -- the set -- */

void
task_set_init(struct task_set *s, task_observer *observer)
{
	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < TASK_NSTATES; i++)
		TAILQ_INIT(&s->by_state[i]);
	s->nbuckets = FIRST_BUCKETS;
	s->bucket = xcalloc(s->nbuckets, sizeof(*s->bucket));
	s->observer = observer;
}

void
task_set_release(struct task_set *s)
{
	for (size_t i = 0; i < s->nbuckets; i++)
		task_free(s->bucket[i]);
	free(s->bucket);
	memset(s, 0, sizeof(*s));
}

/* Ids are handed out in sequence: the id itself spreads well. Linear probing. */
static size_t
slot_of(const struct task_set *s, uint64_t id)
{
	size_t i = id & (s->nbuckets - 1);

	while (s->bucket[i] != NULL && s->bucket[i]->id != id)
		i = (i + 1) & (s->nbuckets - 1);
	return i;
}

static void
grow(struct task_set *s)
{
	struct task **old = s->bucket;
	size_t n = s->nbuckets;

	s->nbuckets = n * 2;
	s->bucket = xcalloc(s->nbuckets, sizeof(*s->bucket));
	for (size_t i = 0; i < n; i++)
		if (old[i] != NULL)
			s->bucket[slot_of(s, old[i]->id)] = old[i];
	free(old);
}

void
task_set_add_take(struct task_set *s, struct task *t)
{
	if (s->n * 2 >= s->nbuckets)
		grow(s);
	s->bucket[slot_of(s, t->id)] = t;
	s->n++;
	TAILQ_INSERT_TAIL(&s->by_state[t->facts.state], t, by_state);
	s->count[t->facts.state]++;
	t->set = s;
}

struct task *
task_set_find(const struct task_set *s, uint64_t id)
{
	return s->bucket[slot_of(s, id)];
}

void
task_set_remove(struct task_set *s, struct task *t)
{
	size_t hole = slot_of(s, t->id), i = hole;

	s->bucket[hole] = NULL;
	s->n--;
	for (;;) { /* close the gap, so that probing finds what lies behind it */
		struct task *moved;

		i = (i + 1) & (s->nbuckets - 1);
		if ((moved = s->bucket[i]) == NULL)
			break;
		s->bucket[i] = NULL;
		s->bucket[slot_of(s, moved->id)] = moved;
	}
	TAILQ_REMOVE(&s->by_state[t->facts.state], t, by_state);
	s->count[t->facts.state]--;
	t->set = NULL;
}

void
task_set_state(void *ctx, enum task_state state)
{
	struct task *t = ctx;
	enum task_state from = t->facts.state;

	if (t->set != NULL) {
		TAILQ_REMOVE(&t->set->by_state[from], t, by_state);
		t->set->count[from]--;
		TAILQ_INSERT_TAIL(&t->set->by_state[state], t, by_state);
		t->set->count[state]++;
	}
	t->facts.state = state;
	if (t->set != NULL && t->set->observer != NULL)
		t->set->observer(t, from, state);
}

/*
 * Which task a request is about, and what cancel, kill and their like answer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd_private.h"
#include "json.h"
#include "store.h"
#include "task.h"
#include "util.h"

static unsigned
count_names(const json_t *args, const char *const *names)
{
	unsigned n = 0;

	for (; *names != NULL; names++)
		n += args_has(args, *names);
	return n;
}

static void
no_such_task(struct request *rq, const char *field)
{
	request_fail(rq, ERR_NOT_FOUND, field, "There is no such task.");
}

/* The newest task of a name that is too young to be in the store. */
static uint64_t
live_by_name(struct request *rq, const char *name)
{
	const struct task_set *s = runner_tasks(rq->world->runner);
	const struct task *t;
	uint64_t id = 0;

	for (unsigned state = 0; state < TASK_NSTATES; state++)
		TAILQ_FOREACH (t, &s->by_state[state], by_state)
			if (t->fresh && t->id > id && strcmp(t->name, name) == 0)
				id = t->id;
	return id;
}

static uint64_t
live_by_key(struct request *rq, const char *key)
{
	const struct task_set *s = runner_tasks(rq->world->runner);
	const struct task *t;

	for (unsigned state = 0; state < TASK_NSTATES; state++)
		TAILQ_FOREACH (t, &s->by_state[state], by_state)
			if (t->fresh && t->key != NULL && strcmp(t->key, key) == 0)
				return t->id;
	return 0;
}

/* The id that the request names; 0: the error was replied. */
static uint64_t
named_id(struct request *rq)
{
	static const char *const names[] = {"id", "name", "key", NULL};
	const char *name = json_get_str(rq->args, "name"), *key = json_get_str(rq->args, "key");
	uint64_t id = (uint64_t)json_get_int(rq->args, "id", 0);
	unsigned n = count_names(rq->args, names);
	int error = 0;

	if (n != 1) {
		request_fail(rq, ERR_BAD_REQUEST, "id",
		    n == 0 ? "Name the task by id, name or key."
			   : "Name the task by one of id, name and key only.");
		return 0;
	}
	if (name != NULL && (id = live_by_name(rq, name)) == 0)
		error = store_find_name(rq->world->store, name, &id);
	if (key != NULL && (id = live_by_key(rq, key)) == 0)
		error = store_find_key(rq->world->store, key, &id);
	if (error == 0)
		return id;
	if (error == -ENOENT)
		no_such_task(rq, name != NULL ? "name" : "key");
	else
		request_fail_errno(rq, error);
	return 0;
}

struct task *
request_task(struct request *rq)
{
	uint64_t id = named_id(rq);
	struct task *t;
	int error;

	if (id == 0)
		return NULL;
	if ((t = runner_get(rq->world->runner, id, &error)) != NULL)
		return t;
	if (error == -ENOENT)
		no_such_task(rq, "id");
	else
		request_fail_errno(rq, error);
	return NULL;
}

/* -- several -- */

struct store_query
cmd_query(const json_t *select)
{
	return (struct store_query){
	    .states = args_states(select),
	    .name = json_get_str(select, "name"),
	    .labels = json_object_get(select, "label"),
	};
}

static int
listed_tasks(struct request *rq, uint64_t **ids)
{
	const json_t *list = json_object_get(rq->args, "ids");
	size_t n = json_array_size(list);

	*ids = xcalloc(n, sizeof(**ids));
	for (size_t i = 0; i < n; i++) {
		char field[32];
		int error;
		struct task *t;

		(*ids)[i] = (uint64_t)json_integer_value(json_array_get(list, i));
		if ((t = runner_get(rq->world->runner, (*ids)[i], &error)) != NULL) {
			runner_put(rq->world->runner, t);
			continue;
		}
		snprintf(field, sizeof(field), "ids[%zu]", i);
		if (error == -ENOENT)
			no_such_task(rq, field);
		else
			request_fail_errno(rq, error);
		free(*ids);
		return -1;
	}
	return (int)n;
}

bool
cmd_selects(const struct store_query *q, const struct task *t)
{
	const json_t *labels = json_object_get(t->spec, "labels");
	const char *key;
	json_t *value;

	if (q->states != 0 && (q->states & (1U << t->facts.state)) == 0)
		return false;
	if (q->name != NULL && strcmp(q->name, t->name) != 0)
		return false;
	json_object_foreach ((json_t *)(uintptr_t)q->labels, key, value)
		if (!json_equal(json_object_get(labels, key), value))
			return false;
	return true;
}

static int
by_id(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Live tasks are asked in memory, which is ahead of the store; ended ones in the store. */
static int
selected_tasks(struct request *rq, uint64_t **ids)
{
	const struct task_set *s = runner_tasks(rq->world->runner);
	struct store_query q = cmd_query(json_object_get(rq->args, "select"));
	unsigned wanted = q.states != 0 ? q.states : (1U << TASK_NSTATES) - 1;
	unsigned ended = wanted & ~((1U << TASK_DONE) - 1);
	int n = 0, more = 0;

	q.limit = PROTO_LIST_MAX;
	*ids = xcalloc(s->n + q.limit, sizeof(**ids));
	for (size_t i = 0; i < s->nbuckets; i++)
		if (s->bucket[i] != NULL && cmd_selects(&q, s->bucket[i]))
			(*ids)[n++] = s->bucket[i]->id;
	q.states = ended;
	if (ended != 0)
		more = store_query_ids(rq->world->store, &q, *ids + n);
	if (more < 0) {
		request_fail_errno(rq, more);
		free(*ids);
		return -1;
	}
	n += more;
	qsort(*ids, (size_t)n, sizeof(**ids), by_id);
	return n;
}

int
request_tasks(struct request *rq, uint64_t **ids, bool *several)
{
	static const char *const names[] = {"id", "name", "key", "ids", "select", NULL};
	unsigned n = count_names(rq->args, names);
	struct task *t;

	*several = args_has(rq->args, "ids") || args_has(rq->args, "select");
	if (*several && n > 1) {
		request_fail(rq, ERR_BAD_REQUEST, args_has(rq->args, "ids") ? "ids" : "select",
		    "Name the tasks in one way only: by id, name, key, ids or select.");
		return -1;
	}
	if (args_has(rq->args, "ids"))
		return listed_tasks(rq, ids);
	if (*several)
		return selected_tasks(rq, ids);
	if ((t = request_task(rq)) == NULL)
		return -1;
	*ids = xcalloc(1, sizeof(**ids));
	(*ids)[0] = t->id;
	runner_put(rq->world->runner, t);
	return 1;
}

/* -- answers -- */

json_t *
cmd_task_answer(const struct task *t)
{
	json_t *o = jx_object();

	json_set_int(o, "id", (int64_t)t->id);
	json_set_str(o, "state", rules_state_name(t->facts.state));
	return o;
}

json_t *
cmd_verdict_object(const struct rules_verdict *v, const struct task *t)
{
	json_t *o = cmd_task_answer(t);

	json_set_bool(o, "accepted", v->accepted);
	json_set_str(o, "effect", task_effect_name(v->effect));
	return o;
}

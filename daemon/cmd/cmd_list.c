/*
 * list: pages of tasks, live and ended ones in one order.
 */
#include <stdlib.h>

#include "cmd_private.h"
#include "json.h"
#include "store.h"
#include "task.h"
#include "util.h"

#define DEFAULT_LIMIT 100

/* The ids of one page: ended tasks from the store and live ones from memory, in order. */
struct page {
	struct store_query q;
	uint64_t *id; /* owned */
	size_t n;
};

static bool
is_beyond(const struct store_query *q, uint64_t id)
{
	if (q->after == 0)
		return true;
	return q->descending ? id < q->after : id > q->after;
}

static int
ascending(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int
descending(const void *a, const void *b)
{
	return -ascending(a, b);
}

/* A task that ended in this turn is both in memory and in the store. */
static void
sort_and_cut(struct page *p)
{
	size_t kept = 0;

	qsort(p->id, p->n, sizeof(*p->id), p->q.descending ? descending : ascending);
	for (size_t i = 0; i < p->n && kept < p->q.limit; i++)
		if (kept == 0 || p->id[kept - 1] != p->id[i])
			p->id[kept++] = p->id[i];
	p->n = kept;
}

/* One more than asked for is looked up: is there a next page? */
static int
fill(struct page *p, struct request *rq)
{
	const struct task_set *s = runner_tasks(rq->world->runner);
	const unsigned live = (1U << TASK_DONE) - 1, all = (1U << TASK_NSTATES) - 1;
	struct store_query ended = p->q;
	int n = 0;

	p->id = xcalloc(s->n + p->q.limit, sizeof(*p->id));
	for (size_t i = 0; i < s->nbuckets; i++)
		if (s->bucket[i] != NULL && is_beyond(&p->q, s->bucket[i]->id) &&
		    cmd_selects(&p->q, s->bucket[i]))
			p->id[p->n++] = s->bucket[i]->id;
	ended.states = (p->q.states != 0 ? p->q.states : all) & ~live;
	if (ended.states == (all & ~live))
		ended.states = 0; /* all that is in the store, cheaper without the condition */
	else if (ended.states == 0)
		return 0;
	n = store_query_ids(rq->world->store, &ended, p->id + p->n);
	if (n > 0)
		p->n += (size_t)n;
	return n < 0 ? n : 0;
}

static void
append(struct request *rq, json_t *tasks, uint64_t id, bool full)
{
	int error;
	struct task *t = runner_get(rq->world->runner, id, &error);

	if (t == NULL)
		return; /* a row that cannot be read; the log has said so */
	jx_append(tasks, task_object(t, full));
	runner_put(rq->world->runner, t);
}

static void
exec(struct request *rq)
{
	const char *order = json_get_str(rq->args, "order");
	unsigned limit = (unsigned)json_get_int(rq->args, "limit", DEFAULT_LIMIT);
	struct page p = {.q = cmd_query(json_object_get(rq->args, "select"))};
	json_t *o, *tasks;
	int error;

	p.q.after = (uint64_t)json_get_int(rq->args, "after", 0);
	p.q.descending = order != NULL && order[0] == '-';
	p.q.limit = limit + 1;
	if ((error = fill(&p, rq)) < 0) {
		free(p.id);
		request_fail_errno(rq, error);
		return;
	}
	sort_and_cut(&p);
	tasks = jx_array();
	for (size_t i = 0; i < p.n && i < limit; i++)
		append(rq, tasks, p.id[i], json_get_bool(rq->args, "full", false));
	o = jx_object();
	jx_set(o, "tasks", tasks);
	jx_set(o, "next", p.n > limit ? jx_int((int64_t)p.id[limit - 1]) : NULL);
	free(p.id);
	request_reply_take(rq, o);
}

static const char *const orders[] = {"id", "-id", NULL};

static const struct field fields[] = {
    {.name = "select", .check = args_select},
    {.name = "limit", .check = args_integer, .min = 1, .max = PROTO_LIST_MAX},
    {.name = "after", .check = args_integer, .min = 1, .max = INT64_MAX},
    {.name = "order", .check = args_choice, .choices = orders},
    {.name = "full", .check = args_bool},
    FIELD_END,
};

const struct cmd_entry cmd_list = {.name = "list", .fields = fields, .exec = exec};

/*
 * Looking at tasks: finding them, live ones in memory and ended ones in the store.
 */
#include "runner_private.h"

#include <stdlib.h>

#include "json.h"
#include "util.h"

void
runner_poll(struct runner *r)
{
	spawner_poll(r->spawner);
	if (r->soon)
		r->urgent = true; /* a command must find kept what it may be told */
}

bool
runner_touch(struct runner *r, struct task *t)
{
	struct run_key key = {.task = t->id};

	if (t->run == NULL || !rules_has_leader(t->facts.state))
		return false;
	runner_notify_drain(r, t);
	return t->facts.state != TASK_STARTING && spawner_leader_gone(r->spawner, key);
}

const struct task_set *
runner_tasks(const struct runner *r)
{
	return &r->tasks;
}

const char *
runner_containment(const struct runner *r)
{
	return spawner_containment(r->spawner);
}

bool
runner_is_connected(const struct runner *r)
{
	return spawner_ready(r->spawner);
}

uint32_t
runner_live(const struct runner *r)
{
	uint32_t n = 0;

	for (unsigned s = 0; s < TASK_DONE; s++)
		n += r->tasks.count[s];
	return n;
}

struct task *
runner_find(struct runner *r, uint64_t id)
{
	return task_set_find(&r->tasks, id);
}

struct task *
runner_get(struct runner *r, uint64_t id, int *error)
{
	struct task *t = task_set_find(&r->tasks, id);

	*error = 0;
	return t != NULL ? t : store_get(r->opts.store, id, error);
}

void
runner_put(struct runner *r, struct task *t)
{
	(void)r;
	if (t != NULL && t->set == NULL)
		task_free(t);
}

void
runner_look_at_output(struct runner *r, struct task *t)
{
	if (t->run == NULL || t->run->looked_at == r->turn)
		return;
	t->run->looked_at = r->turn; /* once a turn is enough */
	if (t->run->out != NULL)
		outlog_watch_sync(t->run->out);
	if (t->run->err != NULL)
		outlog_watch_sync(t->run->err);
}

void
runner_forget_text(struct task *t)
{
	if (t->run == NULL)
		return;
	free(t->run->text);
	t->run->text = NULL;
}

const char *
runner_object_text(struct task *t)
{
	struct strbuf text = STRBUF_INIT;
	json_t *o;

	if (t->run->text != NULL)
		return t->run->text;
	o = task_object(t, true);
	json_dump_line(o, &text);
	json_decref(o);
	t->run->text = strbuf_detach(&text);
	return t->run->text;
}

void
runner_listen_to_output(struct runner *r, void (*fn)(void *ctx, struct task *t), void *ctx)
{
	r->on_output = fn;
	r->on_output_ctx = ctx;
}

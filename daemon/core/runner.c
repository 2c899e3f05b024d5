/*
 * What happens to a task is put to the rules, and what they say is noted, to be done at the end of
 * the turn (runner_settle.c).
 */
#include "runner_private.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "clock_timer.h"
#include "json.h"
#include "log.h"
#include "util.h"

/* -- book-keeping -- */

void
runner_dirty_later(struct runner *r, struct task *t)
{
	runner_forget_text(t);
	if (t->dirty || t->set == NULL)
		return;
	t->dirty = true;
	TAILQ_INSERT_TAIL(&r->dirty, t, dirty_link);
}

void
runner_dirty(struct runner *r, struct task *t)
{
	r->urgent = true;
	runner_dirty_later(r, t);
}

void
runner_clean(struct runner *r, struct task *t)
{
	if (!t->dirty)
		return;
	t->dirty = false;
	TAILQ_REMOVE(&r->dirty, t, dirty_link);
}

void
runner_due(struct runner *r, struct task *t, unsigned due)
{
	struct run *run = t->run;

	if (due == 0 || run == NULL)
		return;
	run->due |= due;
	if (run->in_due)
		return;
	run->in_due = true;
	TAILQ_INSERT_TAIL(&r->due, run, due_link);
}

void
runner_emit(struct runner *r, enum event_kind kind, const struct task *t, json_t *members)
{
	r->urgent = true;
	events_emit_take(r->opts.events, kind, t->id, members);
}

static void
on_timer(struct timer *timer, int64_t now)
{
	struct run *run = timer->owner;

	runner_task_timer(run->r, run->t, now);
}

struct run *
run_new(struct runner *r, struct task *t)
{
	struct run *run = xcalloc(1, sizeof(*run));

	run->r = r;
	run->t = t;
	run->timer.cb = on_timer;
	run->timer.owner = run;
	run->out_fd = run->err_fd = run->notify_fd = -1;
	TAILQ_INIT(&run->waits);
	t->run = run;
	return run;
}

static void
undo_free(struct undo *u)
{
	struct task_holder *h;

	while ((h = TAILQ_FIRST(&u->holders)) != NULL) {
		TAILQ_REMOVE(&u->holders, h, link);
		json_decref(h->msg);
		free(h->name);
		free(h);
	}
	free(u);
}

void
runner_forget_undo(struct runner *r, struct run *run)
{
	if (run->undo == NULL)
		return;
	TAILQ_REMOVE(&r->undo, run, undo_link);
	undo_free(run->undo);
	run->undo = NULL;
}

void
run_free(struct run *run)
{
	struct runner *r = run->r;

	timers_set(&r->timers, &run->timer, CLOCK_NONE);
	runner_forget_undo(r, run);
	if (run->in_due)
		TAILQ_REMOVE(&r->due, run, due_link);
	runner_notify_detach(run);
	outlog_watch_free(run->out);
	outlog_watch_free(run->err);
	close_fd(&run->out_fd);
	close_fd(&run->err_fd);
	free(run->text);
	run->t->run = NULL;
	free(run);
}

/* A live task leaves memory: it has ended and that is in the store, or it never came to be. */
void
runner_let_go(struct runner *r, struct task *t)
{
	runner_clean(r, t);
	task_set_remove(&r->tasks, t);
	run_free(t->run);
	task_free(t);
}

/* -- the rules and what they say -- */

static unsigned
due_of(unsigned fx)
{
	static const struct {
		unsigned fx, due;
	} map[] = {
	    {FX_SIGNAL, DUE_SIGNAL},
	    {FX_KILL, DUE_KILL},
	    {FX_HOOK, DUE_HOOK},
	    {FX_HOOK_TERM, DUE_HOOK_TERM},
	    {FX_HOOK_KILL, DUE_HOOK_KILL},
	    {FX_END, DUE_END},
	    {FX_SPAWN, DUE_SPAWN},
	};
	unsigned due = 0;

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (fx & map[i].fx)
			due |= map[i].due;
	return due;
}

/* Tells what needs no more words than the rules have; the rest is told where they are known. */
static void
announce(struct runner *r, struct task *t, enum rules_event event, unsigned fx)
{
	if (fx & FX_EXPIRED)
		runner_emit(r, EVENT_EXPIRED, t, NULL);
	if ((fx & FX_DEFERRED) && event == EV_DEADLINE) {
		json_t *o = jx_with("msg", NULL);

		json_set_str(o, "origin", "deadline");
		runner_emit(r, EVENT_DEFERRED, t, o);
	}
	if (fx & FX_REFUSED)
		runner_emit(r, EVENT_REFUSED, t, NULL);
	if ((fx & FX_KILLED) && event != EV_KILL)
		runner_emit(r, EVENT_KILLED, t, jx_with("msg", NULL));
	if (fx & FX_UNCANCELLED)
		runner_emit(r, EVENT_UNCANCELLED, t, jx_with("count", jx_int(t->facts.count)));
	if (fx & FX_DEADLINE)
		runner_emit(
		    r, EVENT_DEADLINE, t, jx_with("deadline", task_boot_time(t->facts.deadline)));
}

static void
note_deadline(struct task *t)
{
	t->deadline_wall_ms =
	    t->facts.deadline != RULES_NEVER ? clock_wall_of_boot(t->facts.deadline) : 0;
}

void
runner_rearm(struct runner *r, struct task *t)
{
	const struct task_holder *h;
	enum rules_event event;
	int64_t at = rules_next_timer(&t->facts, &event);

	if (t->run == NULL)
		return;
	TAILQ_FOREACH (h, &t->holders, link)
		at = MIN(at, rules_is_terminal(t->facts.state) ? CLOCK_NONE : h->until);
	timers_set(&r->timers, &t->run->timer, at);
}

/* What a commit that fails can take back: see runner_command.c. */
static bool
is_command(enum rules_event event)
{
	return event == EV_RELEASE || event == EV_UNCANCEL || event == EV_SHIELD ||
	       event == EV_SHIELD_MOVED || event == EV_UNSHIELD || event == EV_DEADLINE_SET ||
	       event == EV_SPAWN || event == EV_SIGNALLED; /* what they lead to in the same turn */
}

struct rules_verdict
runner_step(struct runner *r, struct task *t, enum rules_event event, const struct rules_input *in)
{
	enum task_state before = t->facts.state;
	int64_t deadline = t->facts.deadline;
	struct rules_verdict v = rules_step(&t->facts, event, in, task_set_state, t);

	if (t->run != NULL && t->run->undo != NULL && !is_command(event))
		t->run->undo->pointless = true; /* more than commands has happened to it */
	if (t->set == NULL || v.error != ERR_NONE)
		return v;
	if (t->facts.deadline != deadline)
		note_deadline(t);
	if (t->facts.state == TASK_CLEANUP && before != TASK_CLEANUP)
		runner_list_hooks(t);
	announce(r, t, event, v.fx);
	runner_due(r, t, due_of(v.fx));
	runner_dirty(r, t);
	runner_rearm(r, t);
	return v;
}

/* -- timers -- */

static void
end_shield(struct runner *r, struct task *t, struct task_holder *h, const struct rules_input *in)
{
	json_t *o = jx_with("holder", jx_string(h->name));

	jx_set(o, "until", NULL);
	runner_emit(r, EVENT_UNSHIELDED, t, o);
	task_drop_holder(t, h);
	runner_step(r, t, EV_UNSHIELD, in);
}

void
runner_task_timer(struct runner *r, struct task *t, int64_t now)
{
	struct rules_input in = {.now = now, .gone = runner_touch(r, t)};
	struct task_holder *h, *next;
	enum rules_event event;

	for (h = TAILQ_FIRST(&t->holders); h != NULL; h = next) {
		next = TAILQ_NEXT(h, link);
		if (h->until <= now)
			end_shield(r, t, h, &in);
	}
	if (rules_next_timer(&t->facts, &event) <= now)
		runner_step(r, t, event, &in);
	runner_rearm(r, t);
}

void
runner_timers(struct runner *r)
{
	runner_poll(r);
	timers_run(&r->timers, clock_boot_ns());
}

/* -- life -- */

static void
observe(struct task *t, enum task_state from, enum task_state to)
{
	if (from != to)
		log_debug("task %llu: %s -> %s", (unsigned long long)t->id, rules_state_name(from),
		    rules_state_name(to));
}

static void
on_clock(void *ctx)
{
	struct runner *r = ctx;

	r->timers_due = true;
}

static void
on_storage_timer(struct timer *timer, int64_t now)
{
	struct runner *r = timer->owner;
	struct task *t;

	(void)now;
	r->urgent = true;
	for (unsigned s = TASK_DONE; s < TASK_NSTATES; s++)
		TAILQ_FOREACH (t, &r->tasks.by_state[s], by_state)
			runner_due(r, t, DUE_END);
	TAILQ_FOREACH (t, &r->tasks.by_state[TASK_PENDING], by_state)
		if (!t->facts.held)
			runner_due(r, t, DUE_SPAWN);
}

bool
runner_timers_due(struct runner *r)
{
	bool due = r->timers_due;

	r->timers_due = false;
	return due;
}

static struct runner *
make(const struct runner_opts *opts)
{
	struct runner *r = xcalloc(1, sizeof(*r));

	r->opts = *opts;
	task_set_init(&r->tasks, observe);
	timers_init(&r->timers);
	TAILQ_INIT(&r->due);
	TAILQ_INIT(&r->undo);
	TAILQ_INIT(&r->answers);
	TAILQ_INIT(&r->forgotten);
	TAILQ_INIT(&r->barriers);
	TAILQ_INIT(&r->dirty);
	r->storage_timer.cb = on_storage_timer;
	r->storage_timer.owner = r;
	r->soon_at = CLOCK_NONE;
	r->next_id = store_last_id(opts->store) + 1;
	r->env = runner_filter_env(opts->config, opts->environ);
	return r;
}

int
runner_new(const struct runner_opts *opts, struct runner **ret, char **why)
{
	struct spawner_opts so = {
	    .runtime_dir = opts->config->runtime_dir,
	    .program = opts->spawnd,
	    .use_cgroups = opts->config->containment == CONFIG_CONTAIN_AUTO,
	};
	struct runner *r = make(opts);
	int error;

	if ((r->clock = boot_timer_new(opts->base, 0, on_clock, r)) == NULL) {
		error = -errno;
		*why = xasprintf("No timer could be had: %s.", strerror(errno));
	} else if ((error = spawner_new(
			opts->base, &so, &runner_spawner_callbacks, r, &r->spawner)) < 0) {
		*why = xasprintf("taskspawnd (%s) cannot be reached in %s: %s. See taskspawnd.log "
				 "there.",
		    opts->spawnd != NULL ? opts->spawnd : "a service of its own", so.runtime_dir,
		    strerror(-error));
	} else {
		error = runner_recover(r, why);
	}
	if (error == 0)
		*ret = r;
	else
		runner_free(r);
	return error;
}

void
runner_free(struct runner *r)
{
	struct forgotten *f;

	if (r == NULL)
		return;
	for (size_t i = 0; i < r->tasks.nbuckets; i++)
		if (r->tasks.bucket[i] != NULL && r->tasks.bucket[i]->run != NULL)
			run_free(r->tasks.bucket[i]->run);
	task_set_release(&r->tasks);
	while ((f = TAILQ_FIRST(&r->forgotten)) != NULL) {
		TAILQ_REMOVE(&r->forgotten, f, link);
		free(f);
	}
	runner_close_barriers(r, true);
	spawner_free(r->spawner);
	boot_timer_free(r->clock);
	timers_release(&r->timers);
	free(r->removed);
	for (char **e = r->env; e != NULL && *e != NULL; e++)
		free(*e);
	free(r->env);
	free(r);
}

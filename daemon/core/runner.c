/*
 * The turn: rules are asked, the store commits, then what cannot be undone is done.
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

#define STORAGE_RETRY_NS (1 * NS_PER_SEC)
#define SOON_NS          (2 * NS_PER_MS) /* a commit that nobody waits for may be this late */

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

static void
clean(struct runner *r, struct task *t)
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

static void
forget_undo(struct runner *r, struct run *run)
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
	forget_undo(r, run);
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
static void
let_go(struct runner *r, struct task *t)
{
	clean(r, t);
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

static json_t *
with(const char *key, json_t *value)
{
	json_t *o = jx_object();

	jx_set(o, key, value);
	return o;
}

/* Tells what needs no more words than the rules have; the rest is told where they are known. */
static void
announce(struct runner *r, struct task *t, enum rules_event event, unsigned fx)
{
	if (fx & FX_EXPIRED)
		runner_emit(r, EVENT_EXPIRED, t, NULL);
	if ((fx & FX_DEFERRED) && event == EV_DEADLINE) {
		json_t *o = with("msg", NULL);

		json_set_str(o, "origin", "deadline");
		runner_emit(r, EVENT_DEFERRED, t, o);
	}
	if (fx & FX_REFUSED)
		runner_emit(r, EVENT_REFUSED, t, NULL);
	if ((fx & FX_KILLED) && event != EV_KILL)
		runner_emit(r, EVENT_KILLED, t, with("msg", NULL));
	if (fx & FX_UNCANCELLED)
		runner_emit(r, EVENT_UNCANCELLED, t, with("count", jx_int(t->facts.count)));
	if (fx & FX_DEADLINE)
		runner_emit(
		    r, EVENT_DEADLINE, t, with("deadline", task_boot_time(t->facts.deadline)));
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
	json_t *o = with("holder", jx_string(h->name));

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

/* -- before the commit -- */

static json_t *
shown_msg(const struct task_request *q)
{
	return q != NULL && q->msg != NULL ? json_incref(q->msg) : NULL;
}

/* The delivery that is due becomes a fact, and is told. */
static void
prepare_signal(struct runner *r, struct task *t)
{
	struct rules_input in = {.now = clock_boot_ns()};
	const struct task_request *q = task_request(t, t->facts.sending);
	char name[VALUE_SIGNAL_LEN];
	json_t *o;

	if (t->facts.sending == 0 && !t->facts.sending_deadline)
		return; /* a kill came in between */
	o = with("msg", shown_msg(q));
	json_set_str(o, "origin", q != NULL ? task_origin_name(q->origin) : "deadline");
	json_set_str(o, "signal", value_signal_name(t->facts.signo, name));
	runner_emit(r, EVENT_CANCELLING, t, o);
	t->signal_sent = false;
	t->run->deadline_only = q == NULL;
	runner_step(r, t, EV_SIGNALLED, &in);
}

/* Failures are told in the log, too: nobody may be there to ask. */
static void
log_failure(const struct task *t)
{
	struct strbuf how = STRBUF_INIT;
	json_t *exit = task_exit_object(t);

	json_dump_utf8(exit, &how);
	json_decref(exit);
	log_info("task %llu (%s): failed: %s%s%s", (unsigned long long)t->id, t->name,
	    strbuf_str(&how), t->error != NULL ? " " : "", t->error != NULL ? t->error : "");
	strbuf_release(&how);
}

static void
give_up_empty(struct task_output *o, uint64_t *empty)
{
	if (o->bytes > 0)
		return;
	*empty = o->file;
	o->file = 0;
}

static void
prepare_end(struct runner *r, struct task *t)
{
	json_t *o;

	if (t->run->told_end)
		return;
	t->run->told_end = true;
	if (t->ended_ms == 0)
		t->ended_ms = clock_wall_ms();
	if (t->facts.state == TASK_FAILED)
		log_failure(t);
	give_up_empty(&t->out, &t->run->empty_out);
	give_up_empty(&t->err, &t->run->empty_err);
	o = with("state", jx_string(rules_state_name(t->facts.state)));
	jx_set(o, "exit", task_exit_object(t));
	json_set_bool(o, "forced", t->facts.forced);
	runner_emit(r, EVENT_ENDED, t, o);
	runner_forget_run(r, (struct run_key){.task = t->id});
	runner_dirty(r, t);
}

static void
prepare(struct runner *r, struct run *run)
{
	struct rules_input in = {.now = clock_boot_ns()};
	struct task *t = run->t;
	unsigned due = run->due;

	run->due = 0;
	if ((due & DUE_SPAWN) && t->facts.state == TASK_PENDING) {
		t->spawn_sent = true;
		runner_step(r, t, EV_SPAWN, &in);
	}
	if (due & DUE_SIGNAL)
		prepare_signal(r, t);
	if (due & DUE_HOOK)
		runner_begin_hook(r, t);
	if (due & DUE_END)
		prepare_end(r, t);
	run->committed |= due;
}

/*
 * Signals go out before the commit: a cancel must work without a disk, anyway, and a sync takes ten
 * times as long as a signal. (Whoever asked has no answer yet: if we die in between, he asks again.)
 * Only what a command of this turn brought about that would be undone if the commit fails waits for it.
 */
static void
send_signals(struct runner *r, struct run *run)
{
	struct run_key key = {.task = run->t->id};

	if (run->committed & DUE_SIGNAL)
		runner_send_cancel(r, run->t);
	if (run->committed & DUE_KILL) {
		run->t->frozen = false;
		spawner_kill(r->spawner, key);
	}
	run->committed &= ~(unsigned)(DUE_SIGNAL | DUE_KILL);
}

/* -- the commit -- */

static int
write_all(struct runner *r)
{
	struct task *t;
	int error;

	TAILQ_FOREACH (t, &r->dirty, dirty_link)
		if ((error = store_put_task(r->opts.store, t)) < 0)
			return error;
	return events_write(r->opts.events);
}

static int
commit(struct runner *r)
{
	int error = write_all(r);

	if (error < 0)
		store_rollback(r->opts.store);
	else
		error = store_commit(r->opts.store);
	return error;
}

static void
committed(struct runner *r)
{
	struct task *t;
	struct run *run;

	if (r->storage != 0)
		log_info("The store takes writes again.");
	r->storage = 0;
	timers_set(&r->timers, &r->storage_timer, CLOCK_NONE);
	while ((t = TAILQ_FIRST(&r->dirty)) != NULL) {
		t->fresh = false;
		clean(r, t);
	}
	while ((run = TAILQ_FIRST(&r->undo)) != NULL)
		forget_undo(r, run);
	events_committed(r->opts.events);
}

static void
restore(struct run *run)
{
	struct undo *u = run->undo;
	struct task *t = run->t;
	struct task_holder *h;
	struct rules_facts facts = u->facts;

	while ((h = TAILQ_FIRST(&t->holders)) != NULL)
		task_drop_holder(t, h);
	TAILQ_CONCAT(&t->holders, &u->holders, link);
	task_set_state(t, facts.state);
	t->facts = facts;
	t->deadline_wall_ms = u->deadline_wall_ms;
	t->signal_sent = u->signal_sent;
	run->committed = 0;
	events_forget(run->r->opts.events, t->id, u->events);
	runner_forget_text(t);
	runner_rearm(run->r, t);
}

static void
never_was(struct runner *r, struct task *t)
{
	struct wait *w;

	while ((w = TAILQ_FIRST(&t->run->waits)) != NULL) {
		wait_close(w, false);
		w->answer(w, WAIT_CANCELLED, NULL);
	}
	events_forget(r->opts.events, t->id, 0);
	outlog_remove(r->opts.outputs, t->out.file);
	if (t->separate)
		outlog_remove(r->opts.outputs, t->err.file);
	let_go(r, t);
}

/* Without a trace on the disk nothing is executed: it is tried again when the store is. */
static void
not_started(struct run *run)
{
	if ((run->committed & DUE_SPAWN) == 0)
		return;
	run->committed &= ~(unsigned)DUE_SPAWN;
	if (run->t->facts.state == TASK_STARTING)
		task_set_state(run->t, TASK_PENDING);
}

/* Files of tasks that were removed in this turn. */
static void
drop_removals(struct runner *r)
{
	r->nremoved = 0;
}

static void
remove_files(struct runner *r)
{
	for (size_t i = 0; i < r->nremoved; i++)
		outlog_remove(r->opts.outputs, r->removed[i]);
	r->nremoved = 0;
}

/* The commit failed: what was to be started was not; what cannot wait goes on all the same. */
static void
not_committed(struct runner *r, int error)
{
	struct task *t, *next;
	struct run *run;

	if (r->storage == 0)
		log_error("The store cannot be written (%s): starts are refused, cancel and kill "
			  "work on. Make room on, or repair, the disk of the state directory.",
		    strerror(-error));
	r->storage = error;
	timers_set(&r->timers, &r->storage_timer, clock_boot_ns() + STORAGE_RETRY_NS);
	while ((run = TAILQ_FIRST(&r->undo)) != NULL) {
		if (!run->undo->pointless)
			restore(run);
		forget_undo(r, run);
	}
	for (t = TAILQ_FIRST(&r->dirty); t != NULL; t = next) {
		next = TAILQ_NEXT(t, dirty_link);
		if (t->fresh)
			never_was(r, t);
	}
	TAILQ_FOREACH (run, &r->due, due_link)
		not_started(run);
	drop_removals(r);
}

/* -- after it -- */

/* The file of a task that wrote nothing is not kept: another task will have it. */
static void
recycle(struct runner *r, uint64_t *file, struct outlog_watch **watch)
{
	if (*file == 0)
		return;
	outlog_watch_free(*watch);
	*watch = NULL;
	outlog_remove(r->opts.outputs, *file);
	*file = 0;
}

static void
act_end(struct runner *r, struct run *run)
{
	struct task *t = run->t;

	recycle(r, &run->empty_out, &run->out);
	recycle(r, &run->empty_err, &run->err);
	runner_answer_waits(r, t);
	runner_notify_detach(run);
	if (!t->dirty) /* else it could not be written: stays until it is */
		let_go(r, t);
}

static void
act(struct runner *r, struct run *run)
{
	struct run_key hook = {.task = run->t->id, .run = run->t->runs};
	unsigned due = run->committed;

	run->committed = 0;
	if (due & DUE_SPAWN)
		runner_send_start(r, run->t);
	if (due & DUE_HOOK)
		runner_send_hook(r, run->t);
	if (due & DUE_HOOK_TERM)
		spawner_deliver(r->spawner, hook, NULL, 0, NULL, 0, SIGTERM, true);
	if (due & DUE_HOOK_KILL)
		spawner_kill(r->spawner, hook);
	if (due & DUE_END)
		act_end(r, run);
}

/* A signal that was sent on its way must have arrived before what came after it is acknowledged. */
static bool
is_signal_under_way(const struct runner *r, uint64_t id)
{
	struct run_key key = {.task = id};
	const struct task *t = task_set_find(&r->tasks, id);

	if (t == NULL || !rules_has_leader(t->facts.state) || t->run->delivers == 0)
		return false;
	return spawner_delivered(r->spawner, key) - t->run->delivers_before < t->run->delivers;
}

static void
close_barriers(struct runner *r, bool all)
{
	struct barrier *b, *next;

	for (b = TAILQ_FIRST(&r->barriers); b != NULL; b = next) {
		next = TAILQ_NEXT(b, link);
		if (!all && is_signal_under_way(r, b->task))
			continue; /* its monitor will tell */
		TAILQ_REMOVE(&r->barriers, b, link);
		close(b->fd);
		free(b);
	}
}

static void
forget_runs(struct runner *r)
{
	struct forgotten *f;

	while (r->storage == 0 && (f = TAILQ_FIRST(&r->forgotten)) != NULL) {
		if (spawner_forget(r->spawner, f->key) == -EAGAIN)
			return; /* when the connection is up again */
		TAILQ_REMOVE(&r->forgotten, f, link);
		free(f);
	}
}

static int
commit_turn(struct runner *r)
{
	int error;

	if (!r->urgent)
		return 0; /* nothing that cannot wait: what is dirty stays so */
	error = commit(r);
	r->urgent = r->soon = false;
	r->soon_at = CLOCK_NONE;
	if (error < 0)
		not_committed(r, error);
	else
		committed(r);
	return error;
}

/* One round of prepare, commit, act. */
static int
settle_once(struct runner *r)
{
	struct run_list now = TAILQ_HEAD_INITIALIZER(now);
	struct run *run;
	int error;

	for (run = TAILQ_FIRST(&r->due); run != NULL; run = TAILQ_NEXT(run, due_link)) {
		prepare(r, run);
		if (run->undo == NULL || run->undo->pointless)
			send_signals(r, run);
	}
	error = commit_turn(r);
	TAILQ_CONCAT(&now, &r->due, due_link);
	while ((run = TAILQ_FIRST(&now)) != NULL) {
		TAILQ_REMOVE(&now, run, due_link);
		run->in_due = false;
		runner_due(r, run->t, run->due); /* what became due since, for the next round */
		send_signals(r, run);
		act(r, run);
	}
	forget_runs(r);
	remove_files(r);
	runner_send_answers(r);
	close_barriers(r, false);
	return error;
}

bool
runner_is_quiet(const struct runner *r)
{
	return !r->urgent && TAILQ_EMPTY(&r->due) && TAILQ_EMPTY(&r->answers);
}

int
runner_settle(struct runner *r)
{
	int error = 0;

	r->turn++;
	if (r->soon && clock_boot_ns() >= r->soon_at)
		r->urgent = true;
	if (!runner_is_quiet(r)) {
		error = settle_once(r);
		/* What acting has led to (a start that failed at once) need not wait for the loop. */
		for (int i = 0; i < 4 && error == 0 && !runner_is_quiet(r); i++)
			settle_once(r);
	} else {
		close_barriers(r, false);
	}
	if (r->soon && r->soon_at == CLOCK_NONE)
		r->soon_at = clock_boot_ns() + SOON_NS;
	boot_timer_set(r->clock, runner_is_quiet(r) ? MIN(timers_next(&r->timers), r->soon_at) : 0);
	return error;
}

int
runner_storage(struct runner *r)
{
	int error;

	if (r->storage == 0)
		return 0;
	if (store_is_dirty(r->opts.store))
		return r->storage; /* part of this turn is written already */
	if ((error = store_probe(r->opts.store)) < 0)
		return error;
	log_info("The store takes writes again.");
	r->storage = 0;
	r->urgent = true; /* what could not be written before follows with this turn */
	return 0;
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
	close_barriers(r, true);
	spawner_free(r->spawner);
	boot_timer_free(r->clock);
	timers_release(&r->timers);
	free(r->removed);
	for (char **e = r->env; e != NULL && *e != NULL; e++)
		free(*e);
	free(r->env);
	free(r);
}

/*
 * The end of a turn: what is due becomes a fact, the store commits, then what cannot be undone is
 * done.
 */
#include "runner_private.h"

#include <errno.h>
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
	o = jx_with("msg", shown_msg(q));
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
	o = jx_with("state", jx_string(rules_state_name(t->facts.state)));
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
		runner_clean(r, t);
	}
	while ((run = TAILQ_FIRST(&r->undo)) != NULL)
		runner_forget_undo(r, run);
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
	runner_let_go(r, t);
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
		runner_forget_undo(r, run);
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
		runner_let_go(r, t);
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

void
runner_close_barriers(struct runner *r, bool all)
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
	runner_close_barriers(r, false);
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
		runner_close_barriers(r, false);
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

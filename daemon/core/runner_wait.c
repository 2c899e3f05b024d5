/*
 * Waits: who is answered what when a task ends, when their own time runs out, when they are
 * cancelled.
 */
#include "runner_private.h"

#include "clock.h"
#include "json.h"
#include "util.h"

/* The wait has its answer; it is given at the end of the turn. */
static void
answer_later(struct wait *w, enum wait_result result)
{
	struct runner *r = w->runner;
	struct task *t = runner_find(r, w->task);

	timers_set(&r->timers, &w->timer, CLOCK_NONE);
	if (t != NULL && t->run != NULL && w->open)
		TAILQ_REMOVE(&t->run->waits, w, link);
	w->open = false;
	w->answering = true;
	w->due = result;
	TAILQ_INSERT_TAIL(&r->answers, w, link);
}

static void
on_timeout(struct timer *timer, int64_t now)
{
	struct wait *w = timer->owner;
	struct runner *r = w->runner;
	struct task *t = runner_find(r, w->task);
	struct runner_cancel c = {.origin = ORIGIN_WAIT_TIMEOUT, .by = w->by};

	(void)now;
	if (t == NULL || runner_touch(r, t))
		return; /* its end is about to be told: that is the answer */
	w->timed_out = true;
	if (w->mode != WAIT_OWN)
		answer_later(w, WAIT_TIMED_OUT);
	else
		runner_cancel(r, t, &c);
}

void
wait_open(struct runner *r, struct wait *w, struct task *t)
{
	w->runner = r;
	w->timer = (struct timer){.cb = on_timeout, .owner = w};
	w->timed_out = w->answering = false;
	w->msg = NULL;
	if (rules_is_terminal(t->facts.state) && (t->run == NULL || t->run->told_end)) {
		w->open = false;
		answer_later(w, WAIT_TASK_ENDED);
		return;
	}
	w->open = true;
	TAILQ_INSERT_TAIL(&t->run->waits, w, link);
	if (w->timeout == 0)
		on_timeout(&w->timer, clock_boot_ns()); /* now, before what comes next */
	else if (w->timeout != RULES_NEVER)
		timers_set(&r->timers, &w->timer, clock_add(clock_boot_ns(), w->timeout));
}

struct rules_verdict
wait_cancel(struct wait *w, const json_t *msg)
{
	struct rules_verdict no = {.effect = EFFECT_ANSWERED};
	struct rules_verdict yes = {.accepted = true, .effect = EFFECT_WAIT_ENDED};
	struct runner_cancel c = {.origin = ORIGIN_WAIT, .msg = msg, .by = w->by};
	struct runner *r = w->runner;
	struct task *t = runner_find(r, w->task);

	if (!w->open || t == NULL || rules_is_terminal(t->facts.state))
		return no;
	if (w->mode == WAIT_OWN)
		return runner_cancel(r, t, &c);
	if (runner_touch(r, t))
		return no;
	w->msg = json_incref((json_t *)(uintptr_t)msg);
	answer_later(w, WAIT_CANCELLED);
	return yes;
}

void
wait_close(struct wait *w, bool lost)
{
	struct runner *r = w->runner;
	struct task *t;
	json_t *msg;

	if (!w->open && !w->answering)
		return;
	timers_set(&r->timers, &w->timer, CLOCK_NONE);
	t = runner_find(r, w->task);
	if (w->answering)
		TAILQ_REMOVE(&r->answers, w, link);
	else
		TAILQ_REMOVE(&t->run->waits, w, link);
	json_decref(w->msg);
	w->msg = NULL;
	if (lost && w->open && w->mode == WAIT_OWN && !rules_is_terminal(t->facts.state)) {
		struct runner_cancel c = {.origin = ORIGIN_DISCONNECT, .by = w->by};

		c.msg = msg = jx_string("client disconnected");
		runner_cancel(r, t, &c);
		json_decref(msg);
	}
	w->open = w->answering = false;
}

/* The task has ended, and that is committed (or the disk does not take it, and nobody can wait). */
void
runner_answer_waits(struct runner *r, struct task *t)
{
	struct wait *w;

	(void)r;
	while ((w = TAILQ_FIRST(&t->run->waits)) != NULL) {
		timers_set(&r->timers, &w->timer, CLOCK_NONE);
		TAILQ_REMOVE(&t->run->waits, w, link);
		w->open = false;
		/* An own wait whose timeout was obeyed: Python's TimeoutError. */
		if (w->timed_out && t->facts.state == TASK_CANCELLED)
			w->answer(w, WAIT_TIMED_OUT, t);
		else
			w->answer(w, WAIT_TASK_ENDED, t);
	}
}

void
runner_send_answers(struct runner *r)
{
	struct wait *w;

	while ((w = TAILQ_FIRST(&r->answers)) != NULL) {
		int error;
		struct task *t = runner_get(r, w->task, &error);
		json_t *msg = w->msg;

		TAILQ_REMOVE(&r->answers, w, link);
		w->answering = false;
		w->answer(w, w->due, t);
		json_decref(msg);
		runner_put(r, t);
	}
}

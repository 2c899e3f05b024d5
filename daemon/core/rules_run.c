/*
 * Cells of the rules for a task that is starting or runs: requests and their delivery, shields,
 * the grace clock, deadlines.
 */
#include "rules_cells.h"

/* -- delivery, shields, grace -- */

/* A shield holds a request back (0: an expired deadline). The first one keeps its message. */
static void
defer(struct step *s, uint32_t request)
{
	struct rules_facts *f = s->f;

	s->v->effect = f->deferred != 0 ? EFFECT_COALESCED : EFFECT_DEFERRED;
	s->v->fx |= FX_DEFERRED;
	if (request == 0)
		f->deferred_deadline = true;
	else if (f->deferred == 0)
		f->deferred = request;
}

/* The grace clock starts with the first delivery; later requests may only shorten it. */
static void
run_clock(struct step *s, bool first)
{
	struct rules_facts *f = s->f;
	int64_t grace = first ? f->grace : RULES_UNLIMITED;

	if (s->in->has_grace)
		grace = min_time(min_time(s->in->grace, f->grace), grace);
	if (first && f->grace_left != never) { /* shortened while the start was under way */
		grace = min_time(grace, f->grace_left);
		f->grace_left = never;
	}
	if (grace != RULES_UNLIMITED)
		f->kill_at = min_time(f->kill_at, later(s->in->now, grace));
}

/* Deliver a request (0: a deadline): the signal goes out at the end of the turn, once. */
static void
deliver(struct step *s, uint32_t request)
{
	struct rules_facts *f = s->f;
	bool first = f->state != TASK_CANCELLING;

	if (first)
		enter(s, TASK_CANCELLING);
	if (request != 0)
		f->cancel_out = true;
	else
		f->deadline_out = true;
	if (!is_sending(f)) {
		f->sending = request;
		f->sending_deadline = request == 0;
	} else if (f->sending == 0) {
		f->sending = request; /* a cancel outranks a deadline */
	}
	s->v->fx |= FX_SIGNAL;
	run_clock(s, first);
}

void
cell_running_cancel(struct step *s)
{
	uint32_t n = count_request(s);
	enum cancel_effect effect =
	    s->f->state == TASK_CANCELLING ? EFFECT_REDELIVERED : EFFECT_DELIVERED;

	if (s->f->shields > 0) {
		defer(s, n);
		return;
	}
	if (is_sending(s->f))
		effect = EFFECT_COALESCED;
	deliver(s, n);
	s->v->effect = effect;
}

/* What the daemon passes on is counted only, where a grace clock replaces repetition. */
void
cell_cancelling_pass_on(struct step *s)
{
	if (!has_clock(s->f)) {
		cell_running_cancel(s);
		return;
	}
	count_request(s);
	s->v->effect = EFFECT_NONE;
}

void
cell_killing_cancel(struct step *s)
{
	count_request(s);
	s->v->effect = EFFECT_KILLING;
}

static void
do_kill(struct step *s)
{
	struct rules_facts *f = s->f;

	f->kill_at = f->grace_left = never;
	f->sending = 0;
	f->sending_deadline = false;
	f->killed = true;
	enter(s, TASK_KILLING);
	s->v->fx |= FX_KILL | FX_KILLED;
}

/* Counts a kill, or refuses it for a shield. */
static bool
accept_kill(struct step *s)
{
	uint32_t n;

	if (s->f->shields > 0 && !s->in->pierce) {
		refuse(s, ERR_SHIELDED);
		return false;
	}
	n = count_request(s);
	if (s->in->has_msg)
		s->f->killer = n;
	s->f->cancel_out = true;
	s->f->deferred = 0;
	s->f->deferred_deadline = false;
	s->v->effect = EFFECT_KILLED;
	return true;
}

void
cell_running_kill(struct step *s)
{
	if (accept_kill(s))
		do_kill(s);
}

void
cell_killing_kill(struct step *s)
{
	s->v->effect = EFFECT_NONE;
}

void
cell_uncancel(struct step *s)
{
	struct rules_facts *f = s->f;

	if (f->count > 0)
		f->count--;
	s->v->remaining = f->count;
	s->v->fx |= FX_UNCANCELLED;
	if (f->count > 0)
		return;
	if (s->in->by_task)
		f->cancel_out = false; /* handled: what comes later is not its re-raise */
	s->v->revoked = f->deferred != 0;
	f->deferred = 0;
	if (f->state == TASK_CANCELLING && !f->deadline_out) {
		f->kill_at = f->grace_left = never;
		enter(s, TASK_RUNNING);
	}
}

void
cell_ended_uncancel(struct step *s)
{
	if (s->f->count > 0)
		s->f->count--;
	s->v->remaining = s->f->count;
}

/* The grace clock stands still while a shield is held. */
static void
stop_clock(struct step *s)
{
	struct rules_facts *f = s->f;

	if (f->state == TASK_CANCELLING && f->kill_at != never) {
		f->grace_left = max_time(0, f->kill_at - s->in->now);
		f->kill_at = never;
	}
}

void
cell_shield(struct step *s)
{
	s->f->shields++;
	stop_clock(s);
}

void
cell_shield_moved(struct step *s)
{
	if (s->f->shields > 0)
		stop_clock(s);
}

/* Removes a holder; true if that was the last one. */
static bool
drop_holder(struct step *s)
{
	if (s->f->shields == 0) {
		refuse(s, ERR_NOT_SHIELDED);
		return false;
	}
	return --s->f->shields == 0;
}

static void
deliver_deferred(struct step *s)
{
	struct rules_facts *f = s->f;
	uint32_t request = f->deferred;

	if (request == 0 && !f->deferred_deadline)
		return;
	f->deferred = 0;
	f->deferred_deadline = false;
	deliver(s, request);
	s->v->delivered = true;
}

void
cell_running_unshield(struct step *s)
{
	struct rules_facts *f = s->f;

	if (!drop_holder(s) || s->in->gone)
		return;
	if (f->grace_left != never) {
		f->kill_at = later(s->in->now, f->grace_left);
		f->grace_left = never;
	}
	deliver_deferred(s);
}

void
cell_drop_shield(struct step *s)
{
	drop_holder(s);
}

/* -- deadlines -- */

void
cell_move_deadline(struct step *s)
{
	if (s->f->expired) {
		refuse(s, ERR_EXPIRED);
		return;
	}
	s->f->deadline = s->in->when;
	s->f->deadline_set = true;
	s->v->fx |= FX_DEADLINE;
}

void
cell_note_deadline(struct step *s)
{
	s->f->expired = true;
	s->v->fx |= FX_EXPIRED;
}

void
cell_running_deadline(struct step *s)
{
	if (s->f->expired)
		return;
	cell_note_deadline(s);
	if (s->f->state == TASK_CANCELLING && has_clock(s->f))
		return;
	if (s->f->shields > 0)
		defer(s, 0);
	else
		deliver(s, 0);
}

void
cell_grace_over(struct step *s)
{
	struct rules_facts *f = s->f;

	if (f->shields > 0 || f->kill_at == never)
		return;
	if (!f->keep) {
		do_kill(s);
		return;
	}
	f->kill_at = never;
	enter(s, TASK_RUNNING);
	s->v->fx |= FX_REFUSED;
}

void
cell_signalled(struct step *s)
{
	struct rules_facts *f = s->f;

	if (f->sending != 0)
		f->delivered = f->sending;
	f->sending = 0;
	f->sending_deadline = false;
}

void
cell_running_extend(struct step *s)
{
	struct rules_facts *f = s->f;

	if (f->deadline == never || f->expired)
		return;
	f->deadline = max_time(f->deadline, later(s->in->now, s->in->span));
	s->v->fx |= FX_DEADLINE;
}

void
cell_cancelling_extend(struct step *s)
{
	struct rules_facts *f = s->f;

	if (f->kill_at != never)
		f->kill_at = max_time(f->kill_at, later(s->in->now, s->in->span));
	if (f->grace_left != never)
		f->grace_left = max_time(f->grace_left, s->in->span);
}

void
cell_cleanup_extend(struct step *s)
{
	if (s->f->hook_stage == HOOK_RUNNING)
		s->f->hook_at_limit = max_time(s->f->hook_at_limit, later(s->in->now, s->in->span));
}

void
cell_declare(struct step *s)
{
	s->f->declared = true;
}

/* -- starting: the order to execute is out, whether it could be is not yet known. Whatever is asked
 * meanwhile is delivered as soon as the process is there -- */

void
cell_started(struct step *s)
{
	struct rules_facts *f = s->f;
	uint32_t request = f->sending;
	bool due = is_sending(f);

	f->spawned = true;
	if (!f->deadline_set && f->timeout != RULES_NEVER)
		f->deadline = later(s->in->now, f->timeout);
	enter(s, TASK_RUNNING);
	if (f->kill_at_start) {
		do_kill(s);
		return;
	}
	if (!due)
		return;
	f->sending = 0;
	if (request != 0 && f->sending_deadline)
		f->deadline_out = true;
	f->sending_deadline = false;
	deliver(s, request);
}

void
cell_starting_cancel(struct step *s)
{
	struct rules_facts *f = s->f;
	uint32_t n = count_request(s);

	if (f->shields > 0) {
		defer(s, n);
		return;
	}
	s->v->effect = f->kill_at_start ? EFFECT_KILLING
		       : is_sending(f)  ? EFFECT_COALESCED
					: EFFECT_DELIVERED;
	if (f->sending == 0)
		f->sending = n;
	if (s->in->has_grace)
		f->grace_left = min_time(f->grace_left, s->in->grace);
}

void
cell_starting_kill(struct step *s)
{
	if (accept_kill(s))
		s->f->kill_at_start = true;
}

void
cell_starting_uncancel(struct step *s)
{
	cell_uncancel(s);
	if (s->f->count == 0 && s->f->sending != 0) {
		s->f->sending = 0;
		s->v->revoked = true;
	}
}

void
cell_starting_unshield(struct step *s)
{
	struct rules_facts *f = s->f;

	if (!drop_holder(s) || (f->deferred == 0 && !f->deferred_deadline))
		return;
	if (f->sending == 0)
		f->sending = f->deferred;
	f->sending_deadline |= f->deferred_deadline;
	f->deferred = 0;
	f->deferred_deadline = false;
	s->v->delivered = true;
}

void
cell_starting_deadline(struct step *s)
{
	cell_note_deadline(s);
	if (s->f->shields > 0)
		defer(s, 0);
	else
		s->f->sending_deadline = true;
}

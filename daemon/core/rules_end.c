/*
 * Cells of the rules for how a task ends: at once if it is pending, else by the outcome that its
 * leader's end decides, the end of its tree, and the hooks.
 */
#include "rules_cells.h"

#include <signal.h>

/* -- the end -- */

/* A task that was never executed ends at once; no hook runs for it. */
static void
end_unspawned(struct step *s, enum task_state outcome)
{
	s->f->outcome = outcome;
	s->f->spawned = false;
	s->f->tree_gone = true;
	enter(s, outcome);
	s->v->fx |= FX_END;
}

void
cell_go_on_with_hooks(struct step *s)
{
	struct rules_hook hook;

	s->f->hook_stage = HOOK_IDLE;
	s->f->hook_at_limit = never;
	if (rules_hook_next(s->f, &hook)) {
		s->v->fx |= FX_HOOK;
		return;
	}
	enter(s, s->f->outcome);
	s->v->fx |= FX_END;
}

static void
enter_cleanup(struct step *s, enum task_state outcome)
{
	struct rules_facts *f = s->f;

	f->outcome = outcome;
	f->spawned = true;
	f->sending = 0;
	f->sending_deadline = false;
	f->dropped = f->deferred != 0;
	f->deferred = 0;
	f->deferred_deadline = false;
	f->kill_at = f->grace_left = never;
	f->hook_at = 0;
	enter(s, TASK_CLEANUP);
}

/* It gave in to a request: timed out only if nobody but a deadline asked. */
static enum task_state
gave_in(const struct rules_facts *f)
{
	return f->deadline_out && f->count == 0 ? TASK_TIMED_OUT : TASK_CANCELLED;
}

/* protocol.md 5, the table of outcomes. */
static enum task_state
judge(struct rules_facts *f, struct rules_exit exit)
{
	bool asked = f->cancel_out || f->deadline_out;
	bool by_signal = exit.signalled && (exit.code == SIGTERM || exit.code == f->signo);

	if (exit.signalled && exit.code == SIGKILL && f->killed) {
		f->forced = true;
		return gave_in(f);
	}
	if (asked && f->declared)
		return gave_in(f);
	if (!exit.signalled && asked &&
	    (exit.code == 128 + SIGTERM || exit.code == 128 + SIGINT ||
		exit.code == 128 + f->signo))
		by_signal = true;
	if (by_signal)
		return gave_in(f);
	if (!exit.signalled)
		return exit.code == 0 ? TASK_DONE : TASK_FAILED;
	if (exit.code == SIGKILL && f->killed) {
		f->forced = true;
		return gave_in(f);
	}
	return TASK_FAILED;
}

void
cell_leader_exited(struct step *s)
{
	enter_cleanup(s, judge(s->f, s->in->exit));
}

void
cell_tree_gone(struct step *s)
{
	if (s->f->tree_gone)
		return;
	s->f->tree_gone = true;
	cell_go_on_with_hooks(s);
}

void
cell_monitor_lost(struct step *s)
{
	enter_cleanup(s, TASK_LOST);
	cell_tree_gone(s);
}

/* -- pending: not yet executed, whatever ends it ends it at once -- */

void
cell_pending_release(struct step *s)
{
	struct rules_facts *f = s->f;

	f->held = false;
	if (f->timeout != 0 || f->deadline_set) {
		s->v->fx |= FX_SPAWN;
		return;
	}
	f->expired = true;
	s->v->fx |= FX_EXPIRED;
	end_unspawned(s, TASK_TIMED_OUT);
}

void
cell_release_again(struct step *s)
{
	(void)s; /* a task that runs was released: the wish is fulfilled */
}

void
cell_pending_spawn(struct step *s)
{
	if (s->f->held)
		return;
	enter(s, TASK_STARTING);
}

void
cell_pending_cancel(struct step *s)
{
	count_request(s);
	s->v->effect = EFFECT_ENDED;
	end_unspawned(s, TASK_CANCELLED);
}

void
cell_pending_kill(struct step *s)
{
	uint32_t n = count_request(s);

	if (s->in->has_msg)
		s->f->killer = n;
	s->v->effect = EFFECT_ENDED;
	end_unspawned(s, TASK_CANCELLED);
}

void
cell_pending_deadline(struct step *s)
{
	s->f->expired = true;
	s->v->fx |= FX_EXPIRED;
	end_unspawned(s, TASK_TIMED_OUT);
}

void
cell_not_executed(struct step *s)
{
	end_unspawned(s, TASK_FAILED);
}

/* -- cleanup: the outcome is decided; what is left of the tree ends, then the hooks run -- */

void
cell_cleanup_kill(struct step *s)
{
	struct rules_facts *f = s->f;

	if (!s->in->pierce) {
		refuse(s, ERR_SHIELDED); /* hooks are shielded by nature */
		return;
	}
	s->v->effect = EFFECT_NONE;
	if (f->hook_stage == HOOK_RUNNING || f->hook_stage == HOOK_TERMED) {
		f->hook_stage = HOOK_KILLED;
		f->hook_at_limit = never;
		s->v->effect = EFFECT_HOOK_KILLED;
		s->v->fx |= FX_HOOK_KILL;
	} else if (!f->tree_gone) {
		s->v->fx |= FX_KILL;
	}
}

void
cell_hook_begun(struct step *s)
{
	if (!s->f->tree_gone)
		return;
	s->f->hook_stage = HOOK_RUNNING;
	s->f->hook_at_limit = later(s->in->now, s->in->span);
}

void
cell_hook_limit(struct step *s)
{
	struct rules_facts *f = s->f;

	if (f->hook_stage == HOOK_IDLE)
		return;
	if (f->hook_stage == HOOK_RUNNING) {
		f->hook_stage = HOOK_TERMED;
		f->hook_at_limit = later(s->in->now, RULES_HOOK_TERM_NS);
		s->v->fx |= FX_HOOK_TERM;
	} else {
		f->hook_stage = HOOK_KILLED_AT_TIMEOUT;
		f->hook_at_limit = never;
		s->v->fx |= FX_HOOK_KILL;
	}
}

void
cell_hook_again(struct step *s)
{
	if (s->f->tree_gone)
		cell_go_on_with_hooks(s);
}

/* A hook that fails replaces the outcome, as an exception in an except or finally block does. */
void
cell_hook_ended(struct step *s)
{
	struct rules_facts *f = s->f;
	bool ok = s->in->ok && f->hook_stage == HOOK_RUNNING;

	if (f->hook_stage == HOOK_IDLE)
		return;
	if (!ok && !f->hooks_warn) {
		if (f->context == TASK_PENDING)
			f->context = f->outcome;
		f->outcome = TASK_FAILED;
	}
	f->hook_at++;
	cell_go_on_with_hooks(s);
}

/* -- the table -- */

/* Which hook an outcome calls for before finally; HOOK_FINALLY if there is none. */
static enum hook_kind
first_hook(const struct rules_facts *f)
{
	enum task_state outcome = f->context != TASK_PENDING ? f->context : f->outcome;

	switch (outcome) {
	case TASK_CANCELLED: return HOOK_ON_CANCEL;
	case TASK_TIMED_OUT:
		return f->hooks[HOOK_ON_TIMEOUT] > 0 ? HOOK_ON_TIMEOUT : HOOK_ON_CANCEL;
	case TASK_FAILED:
	case TASK_LOST: return HOOK_ON_FAILURE;
	default: return HOOK_FINALLY;
	}
}

bool
rules_hook_at(const struct rules_facts *f, unsigned place, struct rules_hook *ret)
{
	enum hook_kind kind = first_hook(f);

	if (!f->spawned || f->outcome == TASK_PENDING)
		return false;
	if (kind != HOOK_FINALLY) {
		if (place < f->hooks[kind]) {
			*ret = (struct rules_hook){.kind = kind, .index = place};
			return true;
		}
		place -= f->hooks[kind];
	}
	*ret = (struct rules_hook){.kind = HOOK_FINALLY, .index = place};
	return place < f->hooks[HOOK_FINALLY];
}

bool
rules_hook_next(const struct rules_facts *f, struct rules_hook *ret)
{
	return rules_hook_at(f, f->hook_at, ret);
}

uint32_t
rules_shown_request(const struct rules_facts *f)
{
	if (f->killer != 0)
		return f->killer;
	return f->delivered != 0 ? f->delivered : f->first;
}

bool
rules_absorbed(const struct rules_facts *f)
{
	enum task_state outcome = f->context != TASK_PENDING ? f->context : f->outcome;

	return outcome == TASK_DONE && f->cancel_out && f->count > 0;
}

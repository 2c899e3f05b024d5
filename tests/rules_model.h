/*
 * The rules told a second time, from the specification and without a table, for the simulator to
 * compare with. It keeps what the specification speaks of and nothing else.
 */
#ifndef TASKCTL_TESTS_RULES_MODEL_H
#define TASKCTL_TESTS_RULES_MODEL_H

#include <signal.h>

#include "rules.h"

struct model {
	enum task_state state;
	int64_t grace, timeout, deadline, kill_at, grace_left;
	int signo;
	bool keep, warn, held, deadline_set, expired;
	unsigned hooks[HOOK_KINDS], hook_at;
	enum { NO_HOOK, HOOK_RUNS, HOOK_ASKED, HOOK_SLAIN } hook; /* asked: by SIGTERM */
	uint32_t requests, count, shields;
	uint32_t deferred, signal; /* the request; with a flag each for a deadline */
	bool deferred_deadline, signal_deadline;
	bool cancel_out, deadline_out, declared, killed, kill_at_start;
	bool tree_gone, forced;
	enum task_state outcome, context;
};

struct model_answer {
	enum proto_error error;
	bool accepted, revoked, delivered;
	enum cancel_effect effect;
	uint32_t remaining;
};

static inline int64_t
model_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t
model_max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static inline bool
model_clock(const struct model *m)
{
	return m->kill_at != RULES_NEVER || m->grace_left != RULES_NEVER;
}

static inline void
model_end(struct model *m, enum task_state outcome)
{
	m->outcome = m->state = outcome;
}

static inline void
model_deliver(struct model *m, uint32_t request, const struct rules_input *in, bool graced)
{
	bool first = m->state != TASK_CANCELLING;
	int64_t grace = first ? m->grace : RULES_UNLIMITED;

	m->state = TASK_CANCELLING;
	if (request != 0)
		m->cancel_out = true;
	else
		m->deadline_out = true;
	if (m->signal == 0)
		m->signal = request;
	if (request == 0)
		m->signal_deadline = true;
	if (graced && in->has_grace)
		grace = model_min(model_min(in->grace, m->grace), grace);
	if (grace != RULES_UNLIMITED)
		m->kill_at = model_min(m->kill_at, in->now + grace);
}

static inline void
model_kill_now(struct model *m)
{
	m->state = TASK_KILLING;
	m->killed = true;
	m->kill_at = m->grace_left = RULES_NEVER;
	m->signal = m->deferred = 0;
	m->signal_deadline = m->deferred_deadline = false;
}

static inline bool
model_leader(const struct model *m)
{
	return m->state >= TASK_STARTING && m->state <= TASK_KILLING;
}

static inline void
model_cancel(struct model *m, struct model_answer *a, const struct rules_input *in, bool passed_on)
{
	a->accepted = false;
	a->effect = rules_is_terminal(m->state) ? EFFECT_FINISHED : EFFECT_FINISHING;
	if (rules_is_terminal(m->state) || m->state == TASK_CLEANUP ||
	    (in->gone && model_leader(m)))
		return;
	a->accepted = true;
	m->requests++;
	m->count++;
	if (m->state == TASK_PENDING) {
		a->effect = EFFECT_ENDED;
		model_end(m, TASK_CANCELLED);
	} else if (m->state == TASK_KILLING) {
		a->effect = EFFECT_KILLING;
	} else if (m->state == TASK_CANCELLING && passed_on && model_clock(m)) {
		a->effect = EFFECT_NONE;
	} else if (m->shields > 0 || m->state == TASK_STARTING) {
		a->effect = m->deferred != 0 ? EFFECT_COALESCED : EFFECT_DEFERRED;
		if (m->deferred == 0)
			m->deferred = m->requests;
	} else {
		a->effect = m->state == TASK_CANCELLING ? EFFECT_REDELIVERED : EFFECT_DELIVERED;
		if (m->signal != 0 || m->signal_deadline)
			a->effect = EFFECT_COALESCED;
		model_deliver(m, m->requests, in, true);
	}
}

static inline void
model_kill(struct model *m, struct model_answer *a, const struct rules_input *in)
{
	if (rules_is_terminal(m->state) || m->state == TASK_PENDING ||
	    (in->gone && model_leader(m))) {
		model_cancel(m, a, in, false);
		return;
	}
	a->effect = EFFECT_NONE;
	if (m->state == TASK_KILLING)
		return;
	if ((m->state == TASK_CLEANUP || m->shields > 0) && !in->pierce) {
		a->error = ERR_SHIELDED;
		return;
	}
	if (m->state == TASK_CLEANUP) {
		if (m->hook == HOOK_RUNS || m->hook == HOOK_ASKED) {
			a->effect = EFFECT_HOOK_KILLED;
			m->hook = HOOK_SLAIN;
		}
		return;
	}
	a->effect = EFFECT_KILLED;
	m->requests++;
	m->count++;
	m->cancel_out = true;
	if (m->state == TASK_STARTING)
		m->kill_at_start = true;
	else
		model_kill_now(m);
}

static inline void
model_uncancel(struct model *m, struct model_answer *a, const struct rules_input *in)
{
	if (m->count > 0)
		m->count--;
	a->remaining = m->count;
	if (m->count > 0 || rules_is_terminal(m->state))
		return;
	if (in->by_task)
		m->cancel_out = false;
	a->revoked = m->deferred != 0;
	m->deferred = 0;
	if (m->state != TASK_CANCELLING || m->deadline_out)
		return;
	m->state = TASK_RUNNING;
	m->kill_at = m->grace_left = RULES_NEVER;
}

static inline void
model_stop_clock(struct model *m, const struct rules_input *in)
{
	if (m->state != TASK_CANCELLING || m->kill_at == RULES_NEVER)
		return;
	m->grace_left = model_max(0, m->kill_at - in->now);
	m->kill_at = RULES_NEVER;
}

static inline void
model_deliver_deferred(struct model *m, struct model_answer *a, const struct rules_input *in)
{
	uint32_t request = m->deferred;

	if (request == 0 && !m->deferred_deadline)
		return;
	m->deferred = 0;
	m->deferred_deadline = false;
	model_deliver(m, request, in, false);
	a->delivered = true;
}

static inline void
model_shield(struct model *m, struct model_answer *a, const struct rules_input *in, bool fresh)
{
	if (rules_is_terminal(m->state))
		a->error = ERR_FINISHED;
	else if (m->state == TASK_CLEANUP || (in->gone && model_leader(m)))
		a->error = ERR_FINISHING;
	else if (m->state == TASK_KILLING)
		a->error = ERR_KILLING;
	if (a->error != ERR_NONE)
		return;
	if (fresh)
		m->shields++;
	model_stop_clock(m, in);
}

static inline void
model_unshield(struct model *m, struct model_answer *a, const struct rules_input *in)
{
	if (rules_is_terminal(m->state) || m->shields == 0) {
		a->error = rules_is_terminal(m->state) ? ERR_FINISHED : ERR_NOT_SHIELDED;
		return;
	}
	if (--m->shields > 0 || in->gone ||
	    (m->state != TASK_RUNNING && m->state != TASK_CANCELLING))
		return;
	if (m->grace_left != RULES_NEVER)
		m->kill_at = in->now + m->grace_left;
	m->grace_left = RULES_NEVER;
	model_deliver_deferred(m, a, in);
}

static inline void
model_deadline_set(struct model *m, struct model_answer *a, const struct rules_input *in)
{
	if (rules_is_terminal(m->state))
		a->error = ERR_FINISHED;
	else if (m->state >= TASK_KILLING || (in->gone && model_leader(m)))
		a->error = ERR_FINISHING;
	else if (m->expired)
		a->error = ERR_EXPIRED;
	if (a->error != ERR_NONE)
		return;
	m->deadline = in->when;
	m->deadline_set = true;
}

static inline void
model_deadline(struct model *m, const struct rules_input *in)
{
	if (rules_is_terminal(m->state))
		return;
	if (in->gone && model_leader(m)) {
		m->deadline = RULES_NEVER;
		return;
	}
	m->expired = true;
	if (m->state == TASK_PENDING)
		model_end(m, TASK_TIMED_OUT);
	else if (m->state == TASK_STARTING)
		m->deferred_deadline = true;
	else if (m->state == TASK_RUNNING || (m->state == TASK_CANCELLING && !model_clock(m))) {
		if (m->shields > 0)
			m->deferred_deadline = true;
		else
			model_deliver(m, 0, in, false);
	}
}

static inline void
model_grace_over(struct model *m, const struct rules_input *in)
{
	if (m->state != TASK_CANCELLING)
		return;
	if (in->gone) {
		m->kill_at = RULES_NEVER;
		return;
	}
	if (!m->keep) {
		model_kill_now(m);
		return;
	}
	m->state = TASK_RUNNING;
	m->kill_at = RULES_NEVER;
}

static inline void
model_started(struct model *m, struct model_answer *a, const struct rules_input *in)
{
	m->state = TASK_RUNNING;
	if (!m->deadline_set && m->timeout != RULES_NEVER)
		m->deadline = in->now + m->timeout;
	if (m->kill_at_start)
		model_kill_now(m);
	else if (m->shields == 0)
		model_deliver_deferred(m, a, in);
}

static inline void
model_extend(struct model *m, const struct rules_input *in)
{
	int64_t to = in->now + in->span;

	if (m->state == TASK_RUNNING && m->deadline != RULES_NEVER && !m->expired)
		m->deadline = model_max(m->deadline, to);
	if (m->state == TASK_CANCELLING && m->kill_at != RULES_NEVER)
		m->kill_at = model_max(m->kill_at, to);
	if (m->state == TASK_CANCELLING && m->grace_left != RULES_NEVER)
		m->grace_left = model_max(m->grace_left, in->span);
}

/* How many hooks the first outcome calls for, and the kind of each. */
static inline unsigned
model_hooks(const struct model *m, enum hook_kind *kinds, unsigned *indices)
{
	enum task_state first = m->context != TASK_PENDING ? m->context : m->outcome;
	enum hook_kind kind = HOOK_FINALLY;
	unsigned n = 0;

	if (first == TASK_CANCELLED || (first == TASK_TIMED_OUT && m->hooks[HOOK_ON_TIMEOUT] == 0))
		kind = HOOK_ON_CANCEL;
	else if (first == TASK_TIMED_OUT)
		kind = HOOK_ON_TIMEOUT;
	else if (first == TASK_FAILED || first == TASK_LOST)
		kind = HOOK_ON_FAILURE;
	for (unsigned i = 0; kind != HOOK_FINALLY && i < m->hooks[kind]; i++, n++) {
		kinds[n] = kind;
		indices[n] = i;
	}
	for (unsigned i = 0; i < m->hooks[HOOK_FINALLY]; i++, n++) {
		kinds[n] = HOOK_FINALLY;
		indices[n] = i;
	}
	return n;
}

static inline void
model_go_on(struct model *m)
{
	enum hook_kind kinds[16];
	unsigned indices[16];

	m->hook = NO_HOOK;
	if (m->hook_at >= model_hooks(m, kinds, indices))
		m->state = m->outcome;
}

static inline enum task_state
model_gave_in(const struct model *m)
{
	return m->deadline_out && m->count == 0 ? TASK_TIMED_OUT : TASK_CANCELLED;
}

static inline enum task_state
model_judge(struct model *m, struct rules_exit e)
{
	bool asked = m->cancel_out || m->deadline_out;

	if (e.signalled && e.code == SIGKILL && m->killed) {
		m->forced = true;
		return model_gave_in(m);
	}
	if (asked && m->declared)
		return model_gave_in(m);
	if (e.signalled)
		return e.code == SIGTERM || e.code == m->signo ? model_gave_in(m) : TASK_FAILED;
	if (asked && (e.code == 143 || e.code == 130))
		return model_gave_in(m);
	return e.code == 0 ? TASK_DONE : TASK_FAILED;
}

static inline void
model_exited(struct model *m, enum task_state outcome)
{
	m->outcome = outcome;
	m->state = TASK_CLEANUP;
	m->kill_at = m->grace_left = RULES_NEVER;
	m->deferred = m->signal = 0;
	m->deferred_deadline = m->signal_deadline = false;
}

static inline void
model_hook_ended(struct model *m, const struct rules_input *in)
{
	if ((!in->ok || m->hook != HOOK_RUNS) && !m->warn) {
		if (m->context == TASK_PENDING)
			m->context = m->outcome;
		m->outcome = TASK_FAILED;
	}
	m->hook_at++;
	model_go_on(m);
}

/* What is neither asked nor answered: what happens to the task. */
static inline void
model_happens(
    struct model *m, struct model_answer *a, enum rules_event e, const struct rules_input *in)
{
	switch (e) {
	case EV_RELEASE: m->held = false; break;
	case EV_SPAWN: m->state = TASK_STARTING; break;
	case EV_STARTED: model_started(m, a, in); break;
	case EV_UNSTARTED: model_end(m, TASK_FAILED); break;
	case EV_SIGNALLED:
		m->signal = 0;
		m->signal_deadline = false;
		break;
	case EV_EXTEND: model_extend(m, in); break;
	case EV_DECLARE: m->declared = true; break;
	case EV_EXITED: model_exited(m, model_judge(m, in->exit)); break;
	case EV_MONITOR_LOST:
		model_exited(m, TASK_LOST);
		m->tree_gone = true;
		model_go_on(m);
		break;
	case EV_TREE_GONE:
		m->tree_gone = true;
		model_go_on(m);
		break;
	case EV_HOOK_BEGUN: m->hook = HOOK_RUNS; break;
	case EV_HOOK_LIMIT: m->hook++; break;
	case EV_HOOK_ENDED: model_hook_ended(m, in); break;
	case EV_HOOK_AGAIN: m->hook = NO_HOOK; break;
	default: break;
	}
}

static inline struct model_answer
model_step(struct model *m, enum rules_event e, const struct rules_input *in)
{
	struct model_answer a = {.accepted = true};

	if (e == EV_RELEASE && m->state >= TASK_CLEANUP)
		a.error = rules_is_terminal(m->state) ? ERR_FINISHED : ERR_FINISHING;
	switch (e) {
	case EV_CANCEL: model_cancel(m, &a, in, false); break;
	case EV_PASS_ON: model_cancel(m, &a, in, true); break;
	case EV_KILL: model_kill(m, &a, in); break;
	case EV_UNCANCEL: model_uncancel(m, &a, in); break;
	case EV_SHIELD: model_shield(m, &a, in, true); break;
	case EV_SHIELD_MOVED: model_shield(m, &a, in, false); break;
	case EV_UNSHIELD: model_unshield(m, &a, in); break;
	case EV_DEADLINE_SET: model_deadline_set(m, &a, in); break;
	case EV_DEADLINE: model_deadline(m, in); break;
	case EV_GRACE_OVER: model_grace_over(m, in); break;
	default:
		if (!rules_is_terminal(m->state))
			model_happens(m, &a, e, in);
		break;
	}
	return a;
}

#endif

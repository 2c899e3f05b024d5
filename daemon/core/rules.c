/*
 * The table of state x event, and what is asked of it. The cells are small functions that change
 * the facts (rules_run.c, rules_end.c) or refuse; nothing in the rules does anything but compute.
 */
#include "rules_cells.h"

#include <signal.h>
#include <string.h>

/* -- cells that do nothing -- */

void
cell_ignore(struct step *s)
{
	(void)s;
}

/* Refusals of commands, by what the task is in. */
void
cell_not_finishing(struct step *s)
{
	s->v->accepted = false;
	s->v->effect = EFFECT_FINISHING;
}

void
cell_not_finished(struct step *s)
{
	s->v->accepted = false;
	s->v->effect = EFFECT_FINISHED;
}

void
cell_err_finishing(struct step *s)
{
	refuse(s, ERR_FINISHING);
}

void
cell_err_finished(struct step *s)
{
	refuse(s, ERR_FINISHED);
}

void
cell_err_killing(struct step *s)
{
	refuse(s, ERR_KILLING);
}

/* clang-format off */
#define NO_START                                                                                   \
	[EV_SPAWN] = cell_ignore, [EV_STARTED] = cell_ignore, [EV_UNSTARTED] = cell_ignore

#define NO_HOOKS                                                                                   \
	[EV_HOOK_BEGUN] = cell_ignore, [EV_HOOK_LIMIT] = cell_ignore, [EV_HOOK_ENDED] = cell_ignore,             \
	[EV_HOOK_AGAIN] = cell_ignore

#define TERMINAL_ROW {                                                                             \
	NO_START, NO_HOOKS,                                                                        \
	[EV_RELEASE] = cell_err_finished, [EV_CANCEL] = cell_not_finished, [EV_PASS_ON] = cell_not_finished,      \
	[EV_KILL] = cell_not_finished, [EV_UNCANCEL] = cell_ended_uncancel, [EV_SHIELD] = cell_err_finished,      \
	[EV_SHIELD_MOVED] = cell_err_finished, [EV_UNSHIELD] = cell_err_finished,                            \
	[EV_DEADLINE_SET] = cell_err_finished, [EV_DEADLINE] = cell_ignore, [EV_GRACE_OVER] = cell_ignore,        \
	[EV_SIGNALLED] = cell_ignore, [EV_EXTEND] = cell_ignore, [EV_DECLARE] = cell_ignore,                      \
	[EV_EXITED] = cell_ignore, [EV_TREE_GONE] = cell_ignore, [EV_MONITOR_LOST] = cell_ignore,                 \
}

static const cell table[TASK_NSTATES][RULES_NEVENTS] = {
	[TASK_PENDING] = {
		NO_HOOKS,
		[EV_RELEASE] = cell_pending_release, [EV_SPAWN] = cell_pending_spawn,
		[EV_STARTED] = cell_ignore, [EV_UNSTARTED] = cell_not_executed,
		[EV_CANCEL] = cell_pending_cancel, [EV_PASS_ON] = cell_pending_cancel,
		[EV_KILL] = cell_pending_kill, [EV_UNCANCEL] = cell_uncancel, [EV_SHIELD] = cell_shield,
		[EV_SHIELD_MOVED] = cell_shield_moved, [EV_UNSHIELD] = cell_drop_shield,
		[EV_DEADLINE_SET] = cell_move_deadline, [EV_DEADLINE] = cell_pending_deadline,
		[EV_GRACE_OVER] = cell_ignore, [EV_SIGNALLED] = cell_ignore, [EV_EXTEND] = cell_ignore,
		[EV_DECLARE] = cell_ignore, [EV_EXITED] = cell_ignore, [EV_TREE_GONE] = cell_ignore,
		[EV_MONITOR_LOST] = cell_ignore,
	},
	[TASK_STARTING] = {
		NO_HOOKS,
		[EV_RELEASE] = cell_release_again, [EV_SPAWN] = cell_ignore, [EV_STARTED] = cell_started,
		[EV_UNSTARTED] = cell_not_executed, [EV_CANCEL] = cell_starting_cancel,
		[EV_PASS_ON] = cell_starting_cancel, [EV_KILL] = cell_starting_kill,
		[EV_UNCANCEL] = cell_starting_uncancel, [EV_SHIELD] = cell_shield,
		[EV_SHIELD_MOVED] = cell_shield_moved, [EV_UNSHIELD] = cell_starting_unshield,
		[EV_DEADLINE_SET] = cell_move_deadline, [EV_DEADLINE] = cell_starting_deadline,
		[EV_GRACE_OVER] = cell_ignore, [EV_SIGNALLED] = cell_ignore, [EV_EXTEND] = cell_running_extend,
		[EV_DECLARE] = cell_declare, [EV_EXITED] = cell_leader_exited, [EV_TREE_GONE] = cell_ignore,
		[EV_MONITOR_LOST] = cell_monitor_lost,
	},
	[TASK_RUNNING] = {
		NO_START, NO_HOOKS,
		[EV_RELEASE] = cell_release_again, [EV_CANCEL] = cell_running_cancel,
		[EV_PASS_ON] = cell_running_cancel, [EV_KILL] = cell_running_kill,
		[EV_UNCANCEL] = cell_uncancel, [EV_SHIELD] = cell_shield, [EV_SHIELD_MOVED] = cell_shield_moved,
		[EV_UNSHIELD] = cell_running_unshield, [EV_DEADLINE_SET] = cell_move_deadline,
		[EV_DEADLINE] = cell_running_deadline, [EV_GRACE_OVER] = cell_ignore,
		[EV_SIGNALLED] = cell_signalled, [EV_EXTEND] = cell_running_extend, [EV_DECLARE] = cell_declare,
		[EV_EXITED] = cell_leader_exited, [EV_TREE_GONE] = cell_ignore,
		[EV_MONITOR_LOST] = cell_monitor_lost,
	},
	[TASK_CANCELLING] = {
		NO_START, NO_HOOKS,
		[EV_RELEASE] = cell_release_again, [EV_CANCEL] = cell_running_cancel,
		[EV_PASS_ON] = cell_cancelling_pass_on, [EV_KILL] = cell_running_kill,
		[EV_UNCANCEL] = cell_uncancel, [EV_SHIELD] = cell_shield, [EV_SHIELD_MOVED] = cell_shield_moved,
		[EV_UNSHIELD] = cell_running_unshield, [EV_DEADLINE_SET] = cell_move_deadline,
		[EV_DEADLINE] = cell_running_deadline, [EV_GRACE_OVER] = cell_grace_over,
		[EV_SIGNALLED] = cell_signalled, [EV_EXTEND] = cell_cancelling_extend,
		[EV_DECLARE] = cell_declare, [EV_EXITED] = cell_leader_exited, [EV_TREE_GONE] = cell_ignore,
		[EV_MONITOR_LOST] = cell_monitor_lost,
	},
	[TASK_KILLING] = {
		NO_START, NO_HOOKS,
		[EV_RELEASE] = cell_release_again, [EV_CANCEL] = cell_killing_cancel,
		[EV_PASS_ON] = cell_killing_cancel, [EV_KILL] = cell_killing_kill,
		[EV_UNCANCEL] = cell_uncancel, [EV_SHIELD] = cell_err_killing,
		[EV_SHIELD_MOVED] = cell_err_killing, [EV_UNSHIELD] = cell_drop_shield,
		[EV_DEADLINE_SET] = cell_err_finishing, [EV_DEADLINE] = cell_note_deadline,
		[EV_GRACE_OVER] = cell_ignore, [EV_SIGNALLED] = cell_signalled, [EV_EXTEND] = cell_ignore,
		[EV_DECLARE] = cell_declare, [EV_EXITED] = cell_leader_exited, [EV_TREE_GONE] = cell_ignore,
		[EV_MONITOR_LOST] = cell_monitor_lost,
	},
	[TASK_CLEANUP] = {
		NO_START,
		[EV_RELEASE] = cell_err_finishing, [EV_CANCEL] = cell_not_finishing,
		[EV_PASS_ON] = cell_not_finishing, [EV_KILL] = cell_cleanup_kill, [EV_UNCANCEL] = cell_uncancel,
		[EV_SHIELD] = cell_err_finishing, [EV_SHIELD_MOVED] = cell_err_finishing,
		[EV_UNSHIELD] = cell_drop_shield, [EV_DEADLINE_SET] = cell_err_finishing,
		[EV_DEADLINE] = cell_note_deadline, [EV_GRACE_OVER] = cell_ignore, [EV_SIGNALLED] = cell_ignore,
		[EV_EXTEND] = cell_cleanup_extend, [EV_DECLARE] = cell_ignore, [EV_EXITED] = cell_ignore,
		[EV_TREE_GONE] = cell_tree_gone, [EV_MONITOR_LOST] = cell_tree_gone,
		[EV_HOOK_BEGUN] = cell_hook_begun, [EV_HOOK_LIMIT] = cell_hook_limit,
		[EV_HOOK_ENDED] = cell_hook_ended, [EV_HOOK_AGAIN] = cell_hook_again,
	},
	[TASK_DONE] = TERMINAL_ROW,
	[TASK_FAILED] = TERMINAL_ROW,
	[TASK_CANCELLED] = TERMINAL_ROW,
	[TASK_TIMED_OUT] = TERMINAL_ROW,
	[TASK_LOST] = TERMINAL_ROW,
};
/* clang-format on */

/* -- outside the table -- */

void
rules_facts_init(struct rules_facts *f)
{
	memset(f, 0, sizeof(*f));
	f->state = TASK_PENDING;
	f->grace = RULES_UNLIMITED;
	f->timeout = f->deadline = f->kill_at = f->grace_left = f->hook_at_limit = never;
	f->signo = SIGTERM;
}

/*
 * The leader has ended and its monitor will say so soon: an exit comes before commands and timers
 * of the same turn. What they find is a task that is finishing. True if that was the answer.
 */
static bool
meets_exit(struct step *s, enum rules_event event)
{
	if (!s->in->gone || !rules_has_leader(s->f->state))
		return false;
	switch (event) {
	case EV_CANCEL:
	case EV_PASS_ON:
	case EV_KILL: cell_not_finishing(s); return true;
	case EV_SHIELD:
	case EV_SHIELD_MOVED:
	case EV_DEADLINE_SET: cell_err_finishing(s); return true;
	case EV_DEADLINE: s->f->deadline = never; return true;
	case EV_GRACE_OVER: s->f->kill_at = never; return true;
	default: return false;
	}
}

struct rules_verdict
rules_step(struct rules_facts *f, enum rules_event event, const struct rules_input *in,
    rules_set_state set_state, void *ctx)
{
	struct rules_verdict v = {.accepted = true, .effect = EFFECT_NONE};
	struct step s = {.f = f, .in = in, .v = &v, .set_state = set_state, .ctx = ctx};

	if (!meets_exit(&s, event))
		table[f->state][event](&s);
	return v;
}

int64_t
rules_next_timer(const struct rules_facts *f, enum rules_event *event)
{
	int64_t at = never;

	if (rules_is_terminal(f->state))
		return never;
	if (!f->expired && f->deadline < at) {
		at = f->deadline;
		*event = EV_DEADLINE;
	}
	if (f->state == TASK_CANCELLING && f->kill_at < at) {
		at = f->kill_at;
		*event = EV_GRACE_OVER;
	}
	if (f->state == TASK_CLEANUP && f->hook_at_limit < at) {
		at = f->hook_at_limit;
		*event = EV_HOOK_LIMIT;
	}
	return at;
}

bool
rules_is_terminal(enum task_state s)
{
	return s >= TASK_DONE;
}

bool
rules_has_leader(enum task_state s)
{
	return s == TASK_STARTING || s == TASK_RUNNING || s == TASK_CANCELLING || s == TASK_KILLING;
}

#define STATE_NAME(c, n) [TASK_##c] = n,

const char *
rules_state_name(enum task_state s)
{
	static const char *const names[] = {PROTO_STATES(STATE_NAME)};

	return names[s];
}

const char *
rules_event_name(enum rules_event e)
{
	static const char *const names[] = {"release", "spawn", "started", "unstarted", "cancel",
	    "pass_on", "kill", "uncancel", "shield", "shield_moved", "unshield", "deadline_set",
	    "deadline", "grace_over", "signalled", "extend", "declare", "exited", "tree_gone",
	    "monitor_lost", "hook_begun", "hook_limit", "hook_ended", "hook_again"};
	_Static_assert(sizeof(names) / sizeof(names[0]) == RULES_NEVENTS, "a name for each event");

	return names[e];
}

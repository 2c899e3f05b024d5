/*
 * Inside the rules: the cells of the table, shared by its three files and by nobody else.
 */
#ifndef TASKCTL_RULES_CELLS_H
#define TASKCTL_RULES_CELLS_H

#include "rules.h"

/* One event on its way through the table. */
struct step {
	struct rules_facts *f;
	const struct rules_input *in;
	struct rules_verdict *v;
	rules_set_state set_state;
	void *ctx;
};

typedef void (*cell)(struct step *s);

static const int64_t never = RULES_NEVER;

static inline void
enter(struct step *s, enum task_state state)
{
	s->set_state(s->ctx, state);
}

static inline void
refuse(struct step *s, enum proto_error error)
{
	s->v->error = error;
	s->v->accepted = false;
}

static inline int64_t
later(int64_t now, int64_t span)
{
	return span >= RULES_NEVER - now ? RULES_NEVER : now + span;
}

static inline int64_t
min_time(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t
max_time(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* Is an escalation under way: a grace clock that runs, or one that a shield holds? */
static inline bool
has_clock(const struct rules_facts *f)
{
	return f->kill_at != never || f->grace_left != never;
}

static inline bool
is_sending(const struct rules_facts *f)
{
	return f->sending != 0 || f->sending_deadline;
}

/* Count a request; its ordinal is also the answer's. */
static inline uint32_t
count_request(struct step *s)
{
	struct rules_facts *f = s->f;

	f->requests++;
	f->count++;
	if (f->first == 0)
		f->first = f->requests;
	s->v->request = f->requests;
	s->v->fx |= FX_REQUESTED;
	return f->requests;
}

/* Cells that do nothing, or refuse by what the task is in. */
void cell_ignore(struct step *s);
void cell_not_finishing(struct step *s);
void cell_not_finished(struct step *s);
void cell_err_finishing(struct step *s);
void cell_err_finished(struct step *s);
void cell_err_killing(struct step *s);

/* rules_run.c: a task that is starting or runs. */
void cell_running_cancel(struct step *s);
void cell_cancelling_pass_on(struct step *s);
void cell_killing_cancel(struct step *s);
void cell_running_kill(struct step *s);
void cell_killing_kill(struct step *s);
void cell_uncancel(struct step *s);
void cell_ended_uncancel(struct step *s);
void cell_shield(struct step *s);
void cell_shield_moved(struct step *s);
void cell_running_unshield(struct step *s);
void cell_drop_shield(struct step *s);
void cell_move_deadline(struct step *s);
void cell_note_deadline(struct step *s);
void cell_running_deadline(struct step *s);
void cell_grace_over(struct step *s);
void cell_signalled(struct step *s);
void cell_running_extend(struct step *s);
void cell_cancelling_extend(struct step *s);
void cell_cleanup_extend(struct step *s);
void cell_declare(struct step *s);
void cell_started(struct step *s);
void cell_starting_cancel(struct step *s);
void cell_starting_kill(struct step *s);
void cell_starting_uncancel(struct step *s);
void cell_starting_unshield(struct step *s);
void cell_starting_deadline(struct step *s);

/* rules_end.c: pending tasks, the outcome, the rest of the tree, hooks. */
void cell_go_on_with_hooks(struct step *s);
void cell_leader_exited(struct step *s);
void cell_tree_gone(struct step *s);
void cell_monitor_lost(struct step *s);
void cell_pending_release(struct step *s);
void cell_release_again(struct step *s);
void cell_pending_spawn(struct step *s);
void cell_pending_cancel(struct step *s);
void cell_pending_kill(struct step *s);
void cell_pending_deadline(struct step *s);
void cell_not_executed(struct step *s);
void cell_cleanup_kill(struct step *s);
void cell_hook_begun(struct step *s);
void cell_hook_limit(struct step *s);
void cell_hook_again(struct step *s);
void cell_hook_ended(struct step *s);

#endif

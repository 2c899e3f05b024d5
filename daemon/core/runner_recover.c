/*
 * After a restart, of taskctld or of taskspawnd: what the store promises and what the records say
 * is brought together, through the same rules as in normal operation.
 */
#include "runner_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "util.h"

/*
 * What a record says is not taken here: the spawner tells it from the loop, after the notify socket of
 * the run, so that what the task said before its end counts. Only what is missing is seen to.
 */

/* The order to execute was committed; without a record nothing was executed yet. */
static void
resume_starting(struct runner *r, struct task *t, const struct run_report *report)
{
	if (report->phase == RUN_ABSENT)
		runner_send_start(r, t);
	else
		runner_adopt_outputs(r, t);
}

static void
resume_running(struct runner *r, struct task *t, const struct run_report *report)
{
	struct run_key key = {.task = t->id};

	if (report->phase == RUN_ABSENT) {
		runner_lost(r, t, "the record of its run is gone");
		return;
	}
	runner_adopt_outputs(r, t);
	if (t->facts.state == TASK_KILLING) {
		spawner_kill(r->spawner, key);
	} else if (!t->signal_sent) {
		t->run->deadline_only = t->facts.delivered == 0;
		runner_due(r, t, DUE_SIGNAL);
	}
	if (t->facts.sending != 0)
		runner_due(r, t, DUE_SIGNAL);
}

static void
resume_hook(struct runner *r, struct task *t)
{
	struct run_key key = {.task = t->id, .run = t->runs};
	struct rules_input in = {.now = clock_boot_ns()};
	struct task_hook *h = t->facts.hook_at < t->nhooks ? &t->hook[t->facts.hook_at] : NULL;
	struct run_report report;

	if (h == NULL || h->state != HOOK_RUNS) {
		runner_step(r, t, EV_HOOK_AGAIN, &in); /* the next one is due, or the end */
		return;
	}
	spawner_report(r->spawner, key, &report);
	if (report.phase == RUN_ABSENT) {
		runner_send_hook(r, t); /* it was promised and not yet begun */
		return;
	}
	if (t->facts.hook_stage == HOOK_IDLE) {
		in.span = r->opts.config->hook_timeout;
		runner_step(r, t, EV_HOOK_BEGUN, &in);
	}
	if (t->facts.hook_stage == HOOK_TERMED)
		runner_due(r, t, DUE_HOOK_TERM);
	if (t->facts.hook_stage == HOOK_KILLED || t->facts.hook_stage == HOOK_KILLED_AT_TIMEOUT)
		runner_due(r, t, DUE_HOOK_KILL);
}

static void
resume_cleanup(struct runner *r, struct task *t, const struct run_report *report)
{
	struct rules_input in = {.now = clock_boot_ns()};

	runner_adopt_outputs(r, t);
	if (t->facts.tree_gone)
		resume_hook(r, t);
	else if (report->phase == RUN_ABSENT)
		runner_step(r, t, EV_TREE_GONE, &in);
}

static void
resume(struct runner *r, struct task *t)
{
	struct run_key key = {.task = t->id};
	struct run_report report;

	spawner_report(r->spawner, key, &report);
	switch (t->facts.state) {
	case TASK_PENDING:
		if (!t->facts.held)
			runner_due(r, t, DUE_SPAWN);
		break;
	case TASK_STARTING: resume_starting(r, t, &report); break;
	case TASK_RUNNING:
	case TASK_CANCELLING:
	case TASK_KILLING: resume_running(r, t, &report); break;
	case TASK_CLEANUP: resume_cleanup(r, t, &report); break;
	default: runner_due(r, t, DUE_END); break;
	}
	runner_rearm(r, t);
}

void
runner_resume_all(struct runner *r)
{
	for (size_t i = 0; i < r->tasks.nbuckets; i++)
		if (r->tasks.bucket[i] != NULL)
			resume(r, r->tasks.bucket[i]);
}

/* The machine was restarted: no process of before lives, and no record of it. */
static void
resume_after_reboot(struct runner *r, struct task *t)
{
	struct rules_input in = {.now = clock_boot_ns()};

	free(t->unkillable);
	t->unkillable = NULL;
	if (rules_has_leader(t->facts.state)) {
		runner_lost(r, t, "the machine was restarted while it ran");
	} else if (t->facts.state == TASK_CLEANUP && !t->facts.tree_gone) {
		runner_step(r, t, EV_TREE_GONE, &in);
	} else if (t->facts.state == TASK_CLEANUP) {
		if (t->facts.hook_at < t->nhooks)
			t->hook[t->facts.hook_at].state = HOOK_OWED;
		runner_step(r, t, EV_HOOK_AGAIN, &in);
	} else if (!t->facts.held) {
		runner_due(r, t, DUE_SPAWN);
	}
	runner_rearm(r, t);
}

static void
load(void *ctx, uint64_t id, struct task *t)
{
	struct runner *r = ctx;

	if (t == NULL) {
		log_error("task %llu: its row in the store cannot be read; it is left alone and "
			  "not shown. Its processes, if any, run on.",
		    (unsigned long long)id);
		return;
	}
	task_set_add_take(&r->tasks, t);
	run_new(r, t);
}

static bool
is_stale(const struct task *t, struct run_key key)
{
	if (t == NULL || rules_is_terminal(t->facts.state))
		return true;
	return key.run != 0 && key.run != t->runs;
}

/* Records that no task needs any more: taskctld died before it could say so. */
static void
sweep_record(void *ctx, const struct run_report *report)
{
	struct runner *r = ctx;

	if (!is_stale(runner_find(r, report->key.task), report->key))
		return;
	if (report->phase == RUN_RUNNING || report->phase == RUN_LEADER_ENDED)
		log_warn("A run of task %llu that no task accounts for is left alone.",
		    (unsigned long long)report->key.task);
	else
		spawner_forget(r->spawner, report->key);
}

/* Sorted numbers of the output files that are in use. */
struct in_use {
	uint64_t *number;
	size_t n;
};

static int
compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool
is_in_use(void *ctx, uint64_t number)
{
	const struct in_use *u = ctx;

	return u->n > 0 && bsearch(&number, u->number, u->n, sizeof(number), compare) != NULL;
}

/* Output files that no task owns: a crash came between the file and its task. */
static void
sweep_outputs(struct runner *r)
{
	struct in_use u = {0};
	ssize_t n = store_outputs(r->opts.store, &u.number);

	if (n >= 0) { /* in doubt all are kept */
		u.n = (size_t)n;
		outlog_sweep(r->opts.outputs, is_in_use, &u);
	}
	free(u.number);
}

int
runner_recover(struct runner *r, char **why)
{
	bool same_boot = store_same_boot(r->opts.store);
	int error = store_each_live(r->opts.store, load, r);

	if (error < 0) {
		*why = xasprintf("The tasks in the store cannot be read: %s.", strerror(-error));
		return error;
	}
	if (!same_boot) {
		for (size_t i = 0; i < r->tasks.nbuckets; i++)
			if (r->tasks.bucket[i] != NULL)
				resume_after_reboot(r, r->tasks.bucket[i]);
		if ((error = store_claim_boot(r->opts.store)) < 0) {
			*why = xasprintf("The store cannot be written: %s.", strerror(-error));
			return error;
		}
		r->urgent = true;
	} else {
		runner_resume_all(r);
	}
	spawner_each(r->spawner, sweep_record, r);
	sweep_outputs(r);
	return runner_settle(r);
}

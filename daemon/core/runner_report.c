/*
 * What the monitors report, and how output grows: turned into events for the rules.
 */
#include "runner_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "log.h"
#include "util.h"

#define HOOK_ATTEMPTS_MAX 5 /* of a hook whose monitor dies each time */

/* -- output -- */

static void
on_dropped(void *ctx, uint64_t dropped)
{
	struct run *run = ctx;

	run->t->out.dropped = dropped;
	runner_dirty(run->r, run->t);
}

static void
on_err_dropped(void *ctx, uint64_t dropped)
{
	struct run *run = ctx;

	run->t->err.dropped = dropped;
	runner_dirty(run->r, run->t);
}

/* Sizes are worth no commit of their own: they are true again after a look. */
static void
on_grew(void *ctx, uint64_t size)
{
	struct run *run = ctx;

	run->t->out.bytes = size;
	runner_forget_text(run->t);
	if (run->r->on_output != NULL)
		run->r->on_output(run->r->on_output_ctx, run->t);
}

static void
on_err_grew(void *ctx, uint64_t size)
{
	struct run *run = ctx;

	run->t->err.bytes = size;
	runner_forget_text(run->t);
	if (run->r->on_output != NULL)
		run->r->on_output(run->r->on_output_ctx, run->t);
}

static void
watch(struct run *run, const struct task_output *o, const struct outlog_callbacks *cb,
    struct outlog_watch **w)
{
	struct runner *r = run->r;
	uint64_t limit = (uint64_t)r->opts.config->limits.output_limit;
	int error;

	if (*w != NULL || o->file == 0)
		return;
	error =
	    outlog_watch_new(r->opts.outputs, r->opts.base, o->file, limit, o->dropped, cb, run, w);
	if (error < 0)
		log_warn("task %llu: its output cannot be watched: %s",
		    (unsigned long long)run->t->id, strerror(-error));
}

void
runner_watch_outputs(struct runner *r, struct task *t)
{
	static const struct outlog_callbacks out = {on_grew, on_dropped};
	static const struct outlog_callbacks err = {on_err_grew, on_err_dropped};

	(void)r;
	watch(t->run, &t->out, &out, &t->run->out);
	if (t->separate)
		watch(t->run, &t->err, &err, &t->run->err);
}

/* Account for what is written; at the end, for all of it. */
static void
account_for_output(struct runner *r, struct task *t)
{
	struct run *run = t->run;

	runner_watch_outputs(r, t);
	if (run->out != NULL) {
		outlog_watch_sync(run->out);
		t->out.bytes = outlog_watch_size(run->out);
		t->out.dropped = outlog_watch_dropped(run->out);
	}
	if (run->err != NULL) {
		outlog_watch_sync(run->err);
		t->err.bytes = outlog_watch_size(run->err);
		t->err.dropped = outlog_watch_dropped(run->err);
	}
	runner_forget_text(t);
}

void
runner_adopt_outputs(struct runner *r, struct task *t)
{
	runner_watch_outputs(r, t);
	account_for_output(r, t);
}

/* -- hooks -- */

void
runner_list_hooks(struct task *t)
{
	struct rules_hook hook;

	for (unsigned place = 0; rules_hook_at(&t->facts, place, &hook); place++) {
		t->hook = xrealloc(t->hook, (place + 1) * sizeof(*t->hook));
		t->hook[place] = (struct task_hook){.kind = hook.kind, .index = hook.index};
		t->nhooks = place + 1;
	}
}

static enum task_hook_state
how_hook_ended(const struct rules_facts *f, bool ok)
{
	switch (f->hook_stage) {
	case HOOK_TERMED:
	case HOOK_KILLED_AT_TIMEOUT: return HOOK_TIMEOUT;
	case HOOK_KILLED: return HOOK_WAS_KILLED;
	default: return ok ? HOOK_DONE : HOOK_FAILED;
	}
}

void
runner_hook_ended(
    struct runner *r, struct task *t, enum run_stage stage, int error, const struct run_exit *exit)
{
	struct rules_input in = {.now = clock_boot_ns()};
	struct task_hook *h = &t->hook[t->facts.hook_at];
	json_t *o;

	if (exit != NULL) {
		h->exit = *exit;
		h->has_exit = true;
		in.ok = !exit->signalled && exit->code == 0;
	}
	h->stage = stage;
	h->error = error;
	h->state = how_hook_ended(&t->facts, in.ok);
	account_for_output(r, t);
	o = jx_object();
	json_set_str(o, "hook", task_hook_name(h->kind));
	json_set_str(o, "state", task_hook_state_name(h->state));
	jx_set(o, "exit", task_hook_exit(h));
	runner_emit(r, EVENT_HOOK_ENDED, t, o);
	runner_step(r, t, EV_HOOK_ENDED, &in);
}

static void
hook_lost(struct runner *r, struct task *t)
{
	struct rules_input in = {.now = clock_boot_ns()};
	struct task_hook *h = &t->hook[t->facts.hook_at];

	log_warn("task %llu: the monitor of hook %s died", (unsigned long long)t->id,
	    task_hook_name(h->kind));
	if (h->attempts >= HOOK_ATTEMPTS_MAX) {
		runner_hook_ended(r, t, STAGE_NONE, 0, NULL);
		return;
	}
	h->state = HOOK_OWED;
	runner_step(r, t, EV_HOOK_AGAIN, &in);
}

void
runner_forget_run(struct runner *r, struct run_key key)
{
	struct forgotten *f = xcalloc(1, sizeof(*f));

	f->key = key;
	TAILQ_INSERT_TAIL(&r->forgotten, f, link);
	r->urgent = true;
}

static void
take_hook_report(struct runner *r, struct task *t, const struct run_report *report)
{
	if (t->facts.hook_at >= t->nhooks || t->hook[t->facts.hook_at].state != HOOK_RUNS)
		return;
	switch (report->phase) {
	case RUN_OVER: runner_hook_ended(r, t, STAGE_NONE, 0, &report->exit); break;
	case RUN_UNSTARTED: runner_hook_ended(r, t, report->stage, report->error, NULL); break;
	case RUN_LOST: hook_lost(r, t); break;
	default: return;
	}
	runner_forget_run(r, report->key);
}

/* -- the task's own run -- */

static void
started(struct runner *r, struct task *t, const struct run_report *report)
{
	struct rules_input in = {.now = report->started_ns};
	json_t *o = jx_object();

	t->pid = report->leader;
	t->pid_start = report->leader_start;
	t->started_ms = report->started_wall_ms;
	json_set_int(o, "pid", t->pid);
	runner_emit(r, EVENT_STARTED, t, o);
	runner_step(r, t, EV_STARTED, &in);
}

static void
take_procs(struct run_procs **mine, const struct run_procs *theirs)
{
	if (theirs->total == 0) {
		free(*mine);
		*mine = NULL;
		return;
	}
	if (*mine == NULL)
		*mine = xcalloc(1, sizeof(**mine));
	**mine = *theirs;
}

static void
take_unkillable(struct runner *r, struct task *t, const struct run_report *report)
{
	uint32_t before = t->unkillable != NULL ? t->unkillable->total : 0;
	json_t *o;

	if (before == report->unkillable.total)
		return;
	take_procs(&t->unkillable, &report->unkillable);
	runner_dirty(r, t);
	if (before != 0 || t->unkillable == NULL)
		return;
	o = jx_object();
	jx_set(o, "processes", task_procs_array(t->unkillable));
	runner_emit(r, EVENT_UNKILLABLE, t, o);
	log_warn("task %llu: %u processes do not die of SIGKILL", (unsigned long long)t->id,
	    t->unkillable->total);
}

static void
leader_ended(struct runner *r, struct task *t, const struct run_report *report)
{
	struct rules_input in = {.now = clock_boot_ns()};

	if (!rules_has_leader(t->facts.state))
		return;
	runner_notify_drain(r, t); /* what it said before its end counts */
	if (!rules_has_leader(t->facts.state))
		return;
	t->exit_kind = EXIT_ENDED;
	t->exit = report->exit;
	in.exit =
	    (struct rules_exit){.signalled = report->exit.signalled, .code = report->exit.code};
	runner_step(r, t, EV_EXITED, &in);
}

static void
tree_over(struct runner *r, struct task *t, const struct run_report *report)
{
	struct rules_input in = {.now = clock_boot_ns()};

	if (t->facts.state != TASK_CLEANUP || t->facts.tree_gone)
		return;
	take_procs(&t->leftover, &report->leftover);
	t->has_usage = true;
	t->user_s = report->user_s;
	t->system_s = report->system_s;
	t->max_rss = report->max_rss;
	account_for_output(r, t);
	runner_step(r, t, EV_TREE_GONE, &in);
}

void
runner_lost(struct runner *r, struct task *t, const char *why)
{
	struct rules_input in = {.now = clock_boot_ns()};

	log_warn("task %llu: lost: %s", (unsigned long long)t->id, why);
	if (t->lost_why == NULL)
		t->lost_why = xstrdup(why);
	account_for_output(r, t);
	runner_step(r, t, EV_MONITOR_LOST, &in);
}

static void
not_executed(struct runner *r, struct task *t, const struct run_report *report)
{
	struct rules_input in = {.now = clock_boot_ns()};

	t->exit_kind = EXIT_UNSTARTED;
	t->stage = report->stage;
	t->exit_errno = report->error;
	runner_step(r, t, EV_UNSTARTED, &in);
}

static void
take_main_report(struct runner *r, struct task *t, const struct run_report *report)
{
	if (report->phase == RUN_ABSENT || report->phase == RUN_STARTING)
		return;
	if (report->phase == RUN_UNSTARTED) {
		not_executed(r, t, report);
		return;
	}
	if (t->facts.state == TASK_STARTING && report->leader != 0)
		started(r, t, report);
	take_unkillable(r, t, report);
	if (report->phase == RUN_LOST) {
		runner_lost(r, t, "the process that watched it was killed");
		return;
	}
	if (report->phase >= RUN_LEADER_ENDED)
		leader_ended(r, t, report);
	if (report->phase == RUN_OVER)
		tree_over(r, t, report);
}

void
runner_take_report(struct runner *r, struct task *t, const struct run_report *report)
{
	if (report->key.run == 0)
		take_main_report(r, t, report);
	else if (report->key.run == t->runs && t->facts.state == TASK_CLEANUP)
		take_hook_report(r, t, report);
}

/* -- callbacks of the spawner -- */

static void
on_changed(void *ctx, struct run_key key)
{
	struct runner *r = ctx;
	struct task *t = runner_find(r, key.task);
	struct run_report report;
	bool urgent = r->urgent;

	if (t == NULL || t->run == NULL)
		return;
	spawner_report(r->spawner, key, &report);
	r->urgent = false;
	runner_take_report(r, t, &report);
	/* What nobody waits for, and a record holds, may share the commit of what comes next. */
	if (r->urgent && t->run->due == 0) {
		r->urgent = false;
		r->soon = true;
	}
	r->urgent |= urgent;
}

static void
on_notify_fd(void *ctx, struct run_key key, int fd)
{
	struct runner *r = ctx;
	struct task *t = runner_find(r, key.task);

	if (t != NULL && t->run != NULL && (key.run == 0 || key.run == t->runs))
		runner_notify_attach(r, t, fd);
	else
		close(fd);
}

static void
on_refused(void *ctx, struct run_key key, enum run_stage stage, int error)
{
	struct runner *r = ctx;
	struct task *t = runner_find(r, key.task);
	struct run_report report = {
	    .key = key, .phase = RUN_UNSTARTED, .stage = stage, .error = error};

	if (t != NULL && t->run != NULL)
		runner_take_report(r, t, &report);
}

static void
on_connection(void *ctx, bool ready)
{
	struct runner *r = ctx;

	if (ready)
		log_info(
		    "Connected to taskspawnd; containment: %s.", spawner_containment(r->spawner));
	else
		log_warn("The connection to taskspawnd is lost; running tasks are not touched.");
	if (ready && r->was_away)
		runner_resume_all(r);
	r->was_away = !ready;
}

const struct spawner_callbacks runner_spawner_callbacks = {
    .changed = on_changed,
    .notify_fd = on_notify_fd,
    .refused = on_refused,
    .connection = on_connection,
};

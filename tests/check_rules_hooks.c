/*
 * The end of a task, R7 and section 6 of the protocol: hooks wait for the tree, run in their order,
 * each as the outcome calls for it, and a failed one replaces the outcome.
 */
#include "check_run.h"
#include "rules_bench.h"

START_TEST(r7_nothing_but_a_piercing_kill_reaches_a_hook)
{
	struct bench b = bench_running();
	struct rules_facts old;

	b.f.hooks[HOOK_FINALLY] = 2;
	bench_exit(&b, false, 0);
	DO(&b, EV_KILL, .pierce = true);
	ck_assert(b.v.accepted && b.v.effect == EFFECT_NONE);
	DO(&b, EV_TREE_GONE);
	DO(&b, EV_HOOK_BEGUN, .span = 60 * SEC);
	old = b.f;
	DO(&b, EV_CANCEL);
	ck_assert(!b.v.accepted && b.v.effect == EFFECT_FINISHING);
	DO(&b, EV_KILL);
	ck_assert_int_eq(b.v.error, ERR_SHIELDED);
	expect_unchanged(&b, &old, EV_KILL);
	DO(&b, EV_KILL, .pierce = true);
	ck_assert(b.v.accepted && b.v.effect == EFFECT_HOOK_KILLED);
	ck_assert_uint_eq(b.v.fx & ~(unsigned)FX_REQUESTED, FX_HOOK_KILL);
	DO(&b, EV_HOOK_ENDED, .ok = false);
	ck_assert(b.v.fx & FX_HOOK);
	DO(&b, EV_HOOK_BEGUN, .span = 60 * SEC);
	DO(&b, EV_HOOK_ENDED, .ok = true);
	ck_assert_int_eq(b.f.state, TASK_FAILED);
	ck_assert_int_eq(b.f.context, TASK_DONE);
}
END_TEST

START_TEST(r7_hooks_wait_for_the_tree)
{
	struct bench b = bench_in(TASK_CLEANUP);
	struct rules_facts old = b.f;
	enum rules_event out_of_place[] = {
	    EV_HOOK_BEGUN, EV_HOOK_LIMIT, EV_HOOK_ENDED, EV_HOOK_AGAIN};

	ck_assert(!(b.v.fx & (FX_HOOK | FX_END)));
	for (unsigned n = 0; n < 4; n++) {
		DO(&b, out_of_place[n], .ok = true, .span = SEC);
		expect_unchanged(&b, &old, out_of_place[n]);
	}
	DO(&b, EV_TREE_GONE);
	ck_assert_uint_eq(b.v.fx, FX_HOOK);
	old = b.f;
	DO(&b, EV_TREE_GONE);
	expect_unchanged(&b, &old, EV_TREE_GONE);
	for (unsigned n = 1; n < 3; n++) {
		DO(&b, out_of_place[n], .ok = true);
		expect_unchanged(&b, &old, out_of_place[n]);
	}
}
END_TEST

START_TEST(r7_without_hooks_the_end_of_the_tree_ends_the_task)
{
	struct bench b = bench_running();

	b.f.hooks[HOOK_FINALLY] = 0;
	b.f.hooks[HOOK_ON_CANCEL] = 1;
	bench_exit(&b, false, 0);
	ck_assert(!(b.v.fx & FX_END));
	DO(&b, EV_TREE_GONE);
	ck_assert_uint_eq(b.v.fx, FX_END);
	ck_assert_int_eq(b.f.state, TASK_DONE);
}
END_TEST

/* ---- the order ---- */

#define ON_CANCEL  (1 << HOOK_ON_CANCEL)
#define ON_TIMEOUT (1 << HOOK_ON_TIMEOUT)
#define ON_FAILURE (1 << HOOK_ON_FAILURE)
#define FINALLY    (1 << HOOK_FINALLY)
#define ALL        (ON_CANCEL | ON_TIMEOUT | ON_FAILURE | FINALLY)

/* Which kinds run: c, t, f, and F for finally. */
static const struct order {
	enum task_state outcome;
	unsigned given;
	const char *runs;
} orders[] = {
    {TASK_DONE, ALL, "F"},
    {TASK_DONE, ALL & ~FINALLY, ""},
    {TASK_FAILED, ALL, "fF"},
    {TASK_FAILED, ALL & ~ON_FAILURE, "F"},
    {TASK_FAILED, ON_FAILURE, "f"},
    {TASK_CANCELLED, ALL, "cF"},
    {TASK_CANCELLED, ALL & ~ON_CANCEL, "F"},
    {TASK_CANCELLED, ON_TIMEOUT | ON_FAILURE, ""},
    {TASK_TIMED_OUT, ALL, "tF"},
    {TASK_TIMED_OUT, ALL & ~ON_TIMEOUT, "cF"},
    {TASK_TIMED_OUT, ON_FAILURE | FINALLY, "F"},
    {TASK_LOST, ALL, "fF"},
    {TASK_LOST, ON_CANCEL | ON_TIMEOUT, ""},
};

/* To the point where the tree is gone, with `each` hooks of every given kind. */
static struct bench
bench_ends_as(enum task_state outcome, unsigned given, unsigned each)
{
	struct bench b = bench_running();

	for (unsigned kind = 0; kind < HOOK_KINDS; kind++)
		b.f.hooks[kind] = given & (1U << kind) ? each : 0;
	if (outcome == TASK_TIMED_OUT)
		bench_expire(&b);
	bench_turn_ends(&b);
	if (outcome == TASK_LOST) {
		DO(&b, EV_MONITOR_LOST);
		return b;
	}
	if (outcome == TASK_CANCELLED || outcome == TASK_TIMED_OUT)
		bench_exit(&b, true, SIGTERM);
	else
		bench_exit(&b, false, outcome == TASK_DONE ? 0 : 1);
	DO(&b, EV_TREE_GONE);
	return b;
}

/* Runs the hook that is due and notes its kind; `index` is the place among those of its kind. */
static void
run_hook(struct bench *b, bool ok, const char *want_kind, unsigned want_index)
{
	struct rules_hook hook, placed;
	unsigned place = b->f.hook_at;

	ck_assert(b->v.fx & FX_HOOK);
	ck_assert(rules_hook_next(&b->f, &hook));
	ck_assert(rules_hook_at(&b->f, place, &placed));
	ck_assert(placed.kind == hook.kind && placed.index == hook.index);
	ck_assert_int_eq("ctfF"[hook.kind], *want_kind);
	ck_assert_uint_eq(hook.index, want_index);
	DO(b, EV_HOOK_BEGUN, .span = SEC);
	ck_assert(!(b->v.fx & FX_HOOK));
	/* It is the one that runs until it ends. */
	ck_assert(rules_hook_next(&b->f, &placed));
	ck_assert(placed.kind == hook.kind && placed.index == hook.index);
	DO(b, EV_HOOK_ENDED, .ok = ok);
}

static void
run_hooks(struct bench *b, const char *kinds, unsigned each, bool ok)
{
	struct rules_hook hook;

	for (; *kinds != '\0'; kinds++)
		for (unsigned n = 0; n < each; n++)
			run_hook(b, ok, kinds, n);
	ck_assert(rules_is_terminal(b->f.state));
	ck_assert((b->v.fx & FX_END) && !(b->v.fx & FX_HOOK));
	ck_assert(!rules_hook_next(&b->f, &hook));
}

START_TEST(hooks_run_as_the_outcome_calls_for_them)
{
	for (unsigned n = 0; n < sizeof orders / sizeof *orders; n++) {
		for (unsigned each = 1; each < 4; each++) {
			struct bench b = bench_ends_as(orders[n].outcome, orders[n].given, each);

			ck_assert_int_eq(b.f.outcome, orders[n].outcome);
			run_hooks(&b, orders[n].runs, each, true);
			ck_assert_int_eq(b.f.state, orders[n].outcome);
			ck_assert_int_eq(b.f.context, TASK_PENDING);
		}
	}
}
END_TEST

/* The hooks stay those of the first outcome: a hook that fails does not call for on_failure. */
START_TEST(a_failed_hook_replaces_the_outcome_and_the_others_still_run)
{
	for (unsigned n = 0; n < sizeof orders / sizeof *orders; n++) {
		struct bench b = bench_ends_as(orders[n].outcome, orders[n].given, 2);

		run_hooks(&b, orders[n].runs, 2, false);
		if (orders[n].runs[0] == '\0')
			continue;
		ck_assert_int_eq(b.f.state, TASK_FAILED);
		ck_assert_int_eq(b.f.context, orders[n].outcome);
	}
}
END_TEST

START_TEST(with_warn_a_failed_hook_keeps_the_outcome)
{
	for (unsigned n = 0; n < sizeof orders / sizeof *orders; n++) {
		struct bench b = bench_ends_as(orders[n].outcome, orders[n].given, 2);

		b.f.hooks_warn = true;
		run_hooks(&b, orders[n].runs, 2, false);
		ck_assert_int_eq(b.f.state, orders[n].outcome);
		ck_assert_int_eq(b.f.context, TASK_PENDING);
	}
}
END_TEST

START_TEST(hooks_run_after_our_sigkill_too)
{
	struct bench b = bench_running();

	b.f.hooks[HOOK_ON_CANCEL] = 1;
	DO(&b, EV_KILL);
	bench_exit(&b, true, SIGKILL);
	DO(&b, EV_TREE_GONE);
	run_hooks(&b, "cF", 1, true);
	ck_assert(b.f.forced && b.f.state == TASK_CANCELLED);
}
END_TEST

START_TEST(a_hook_has_its_time_then_sigterm_then_sigkill)
{
	struct bench b = bench_ends_as(TASK_DONE, FINALLY, 1);

	expect_no_timer(&b);
	DO(&b, EV_HOOK_BEGUN, .span = 60 * SEC);
	expect_timer(&b, EV_HOOK_LIMIT, b.now + 60 * SEC);
	b.now += 60 * SEC;
	DO(&b, EV_HOOK_LIMIT);
	ck_assert_uint_eq(b.v.fx, FX_HOOK_TERM);
	expect_timer(&b, EV_HOOK_LIMIT, b.now + RULES_HOOK_TERM_NS);
	b.now += RULES_HOOK_TERM_NS;
	DO(&b, EV_HOOK_LIMIT);
	ck_assert_uint_eq(b.v.fx, FX_HOOK_KILL);
	expect_no_timer(&b);
	DO(&b, EV_HOOK_ENDED, .ok = false);
	ck_assert_int_eq(b.f.state, TASK_FAILED);
	ck_assert_int_eq(b.f.context, TASK_DONE);
}
END_TEST

/* One that timed out has failed, however it ends; one whose end came first has not. */
START_TEST(a_hook_that_timed_out_failed_though_it_exits_0)
{
	struct bench b = bench_ends_as(TASK_DONE, FINALLY, 1);

	DO(&b, EV_HOOK_BEGUN, .span = SEC);
	b.now += SEC;
	DO(&b, EV_HOOK_LIMIT);
	DO(&b, EV_HOOK_ENDED, .ok = true);
	ck_assert_int_eq(b.f.state, TASK_FAILED);

	b = bench_ends_as(TASK_DONE, FINALLY, 1);
	DO(&b, EV_HOOK_BEGUN, .span = SEC);
	b.now += SEC;
	DO(&b, EV_HOOK_ENDED, .ok = true);
	ck_assert_int_eq(b.f.state, TASK_DONE);
	expect_no_timer(&b);
}
END_TEST

START_TEST(a_hook_that_is_owed_again_is_the_same_one)
{
	struct bench b = bench_ends_as(TASK_FAILED, ALL, 2);

	run_hook(&b, true, "f", 0);
	DO(&b, EV_HOOK_BEGUN, .span = SEC);
	DO(&b, EV_HOOK_AGAIN);
	ck_assert_uint_eq(b.v.fx, FX_HOOK);
	expect_no_timer(&b);
	run_hook(&b, true, "f", 1);
	run_hook(&b, true, "F", 0);
	run_hook(&b, true, "F", 1);
	ck_assert_int_eq(b.f.state, TASK_FAILED);
	ck_assert_int_eq(b.f.context, TASK_PENDING);
}
END_TEST

START_TEST(extend_moves_the_limit_of_the_hook_that_runs)
{
	struct bench b = bench_ends_as(TASK_DONE, FINALLY, 1);

	DO(&b, EV_HOOK_BEGUN, .span = 10 * SEC);
	DO(&b, EV_EXTEND, .span = SEC);
	expect_timer(&b, EV_HOOK_LIMIT, b.now + 10 * SEC);
	DO(&b, EV_EXTEND, .span = 20 * SEC);
	expect_timer(&b, EV_HOOK_LIMIT, b.now + 20 * SEC);
}
END_TEST

/* Neither the task's deadline nor a passed grace period touches a hook. */
START_TEST(hooks_run_outside_the_deadline)
{
	struct bench b = bench_running();

	DO(&b, EV_DEADLINE_SET, .when = b.now + SEC);
	bench_exit(&b, false, 0);
	DO(&b, EV_TREE_GONE);
	DO(&b, EV_HOOK_BEGUN, .span = 60 * SEC);
	b.now += SEC;
	DO(&b, EV_DEADLINE);
	ck_assert(!(b.v.fx & (FX_SIGNAL | FX_HOOK_TERM | FX_HOOK_KILL)));
	expect_timer(&b, EV_HOOK_LIMIT, b.now + 59 * SEC);
	DO(&b, EV_HOOK_ENDED, .ok = true);
	ck_assert_int_eq(b.f.state, TASK_DONE);
}
END_TEST

CHECK_MAIN("rules: hooks", r7_nothing_but_a_piercing_kill_reaches_a_hook,
    r7_hooks_wait_for_the_tree, r7_without_hooks_the_end_of_the_tree_ends_the_task,
    hooks_run_as_the_outcome_calls_for_them,
    a_failed_hook_replaces_the_outcome_and_the_others_still_run,
    with_warn_a_failed_hook_keeps_the_outcome, hooks_run_after_our_sigkill_too,
    a_hook_has_its_time_then_sigterm_then_sigkill, a_hook_that_timed_out_failed_though_it_exits_0,
    a_hook_that_is_owed_again_is_the_same_one, extend_moves_the_limit_of_the_hook_that_runs,
    hooks_run_outside_the_deadline)

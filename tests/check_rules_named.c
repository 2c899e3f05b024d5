/*
 * The rules one by one, each in a test of its own name: R1 to R6 and R11 to R13, with the outcome
 * of every kind of end.
 */
#include "check_run.h"
#include "rules_bench.h"

/* ---- R1 ---- */

START_TEST(r1_exit_beats_what_comes_late)
{
	static const enum task_state states[] = {TASK_RUNNING, TASK_CANCELLING, TASK_KILLING};
	static const enum rules_event asked[] = {EV_CANCEL, EV_PASS_ON, EV_KILL};
	static const enum rules_event timers[] = {EV_DEADLINE, EV_GRACE_OVER};

	for (unsigned s = 0; s < 3; s++) {
		struct bench b = bench_in(states[s]);
		struct rules_facts old = b.f;

		for (unsigned e = 0; e < 3; e++) {
			DO(&b, asked[e], .gone = true);
			ck_assert(b.v.error == ERR_NONE && !b.v.accepted);
			ck_assert_int_eq(b.v.effect, EFFECT_FINISHING);
			expect_unchanged(&b, &old, asked[e]);
		}
		DO(&b, EV_SHIELD, .gone = true);
		ck_assert_int_eq(b.v.error, ERR_FINISHING);
		DO(&b, EV_DEADLINE_SET, .gone = true, .when = RULES_NEVER);
		ck_assert_int_eq(b.v.error, ERR_FINISHING);
		expect_unchanged(&b, &old, EV_DEADLINE_SET);
		b.f.deadline = b.now;
		old = b.f;
		for (unsigned e = 0; e < 2; e++) {
			b.now += GRACE;
			DO(&b, timers[e], .gone = true);
			ck_assert_uint_eq(b.v.fx, 0);
			ck_assert(
			    b.f.state == old.state && !b.f.expired && !b.f.killed == !old.killed);
			ck_assert(b.f.sending == 0 && !b.f.sending_deadline);
		}
	}
}
END_TEST

/* A command that comes in one turn with the end of the grace period is there first. */
START_TEST(r1_uncancel_beats_grace_over)
{
	struct bench b = bench_cancelling();

	b.now += GRACE;
	DO(&b, EV_UNCANCEL);
	ck_assert_int_eq(b.f.state, TASK_RUNNING);
	expect_no_timer(&b);
	DO(&b, EV_GRACE_OVER);
	ck_assert_int_eq(b.f.state, TASK_RUNNING);
}
END_TEST

/* ---- R2 ---- */

START_TEST(r2_deferred_requests_have_no_effect_on_the_outcome)
{
	struct bench b = bench_shielded();

	DO(&b, EV_CANCEL);
	bench_exit(&b, false, 0);
	ck_assert_int_eq(bench_finish(&b), TASK_DONE);
	ck_assert(!rules_absorbed(&b.f));
	ck_assert_uint_eq(b.f.requests, 1);
	ck_assert_uint_eq(b.f.delivered, 0);

	b = bench_shielded();
	DO(&b, EV_CANCEL);
	bench_exit(&b, false, 143);
	ck_assert_int_eq(bench_finish(&b), TASK_FAILED);

	b = bench_shielded();
	bench_expire(&b);
	bench_exit(&b, true, SIGTERM);
	ck_assert_int_eq(bench_finish(&b), TASK_CANCELLED);
	ck_assert(b.f.expired);
}
END_TEST

/* ---- R3 ---- */

static struct bench
bench_asked(bool cancel, bool deadline, bool deadline_first)
{
	struct bench b = bench_running();

	if (deadline && deadline_first)
		bench_expire(&b);
	if (cancel)
		DO(&b, EV_CANCEL);
	bench_turn_ends(&b);
	if (deadline && !deadline_first)
		bench_expire(&b);
	bench_turn_ends(&b);
	return b;
}

START_TEST(r3_cancel_beats_deadline_in_any_order)
{
	for (unsigned n = 0; n < 4; n++) {
		struct bench b = bench_asked(n != 3, n != 2, n == 1);

		bench_exit(&b, true, SIGTERM);
		ck_assert_int_eq(b.f.outcome, n == 3 ? TASK_TIMED_OUT : TASK_CANCELLED);
		b = bench_asked(n != 3, n != 2, n == 1);
		DO(&b, EV_GRACE_OVER);
		bench_exit(&b, true, SIGKILL);
		ck_assert_int_eq(b.f.outcome, n == 3 ? TASK_TIMED_OUT : TASK_CANCELLED);
		ck_assert(b.f.forced);
	}
}
END_TEST

START_TEST(r3_deferred_together_cancel_outranks)
{
	for (int cancel_first = 0; cancel_first < 2; cancel_first++) {
		struct bench b = bench_shielded();

		if (cancel_first)
			DO(&b, EV_CANCEL);
		bench_expire(&b);
		ck_assert(b.v.fx & FX_DEFERRED);
		if (!cancel_first)
			DO(&b, EV_CANCEL);
		DO(&b, EV_UNSHIELD);
		ck_assert(b.v.delivered && (b.v.fx & FX_SIGNAL));
		ck_assert_uint_eq(b.f.sending, 1);
		bench_turn_ends(&b);
		bench_exit(&b, true, SIGTERM);
		ck_assert_int_eq(b.f.outcome, TASK_CANCELLED);
	}
}
END_TEST

START_TEST(r3_a_cancel_taken_back_leaves_the_deadline)
{
	struct bench b = bench_running();

	DO(&b, EV_CANCEL);
	bench_turn_ends(&b);
	DO(&b, EV_UNCANCEL, .by_task = true);
	ck_assert_int_eq(b.f.state, TASK_RUNNING);
	bench_expire(&b);
	bench_turn_ends(&b);
	bench_exit(&b, true, SIGTERM);
	ck_assert_int_eq(b.f.outcome, TASK_TIMED_OUT);

	/* Swallowed, but not taken back: the later deadline is reported as the cancel. */
	b = bench_running();
	b.f.keep = true;
	DO(&b, EV_CANCEL);
	bench_turn_ends(&b);
	b.now += GRACE;
	DO(&b, EV_GRACE_OVER);
	bench_expire(&b);
	bench_turn_ends(&b);
	bench_exit(&b, true, SIGTERM);
	ck_assert_int_eq(b.f.outcome, TASK_CANCELLED);
}
END_TEST

/* ---- R4: protocol, section 5 ---- */

enum asked { NOBODY, CLIENT, DEADLINE, KILLED };

static const struct end {
	enum asked asked;
	int signo; /* what a cancel sends */
	bool declared, signalled;
	int code;
	enum task_state outcome;
	bool absorbed, forced;
} ends[] = {
    {NOBODY, SIGTERM, false, false, 0, TASK_DONE, false, false},
    {CLIENT, SIGTERM, false, false, 0, TASK_DONE, true, false},
    {DEADLINE, SIGTERM, false, false, 0, TASK_DONE, true, false},
    {NOBODY, SIGTERM, false, false, 143, TASK_FAILED, false, false},
    {CLIENT, SIGTERM, false, false, 143, TASK_CANCELLED, false, false},
    {DEADLINE, SIGTERM, false, false, 143, TASK_TIMED_OUT, false, false},
    {NOBODY, SIGINT, false, false, 130, TASK_FAILED, false, false},
    {CLIENT, SIGINT, false, false, 130, TASK_CANCELLED, false, false},
    {CLIENT, SIGTERM, false, false, 130, TASK_CANCELLED, false, false},
    {NOBODY, SIGTERM, false, false, 1, TASK_FAILED, false, false},
    {CLIENT, SIGTERM, false, false, 1, TASK_FAILED, false, false},
    {DEADLINE, SIGTERM, false, false, 1, TASK_FAILED, false, false},
    {NOBODY, SIGTERM, false, true, SIGTERM, TASK_CANCELLED, false, false},
    {CLIENT, SIGTERM, false, true, SIGTERM, TASK_CANCELLED, false, false},
    {DEADLINE, SIGTERM, false, true, SIGTERM, TASK_TIMED_OUT, false, false},
    {CLIENT, SIGUSR1, false, true, SIGUSR1, TASK_CANCELLED, false, false},
    {DEADLINE, SIGUSR1, false, true, SIGUSR1, TASK_TIMED_OUT, false, false},
    {CLIENT, SIGUSR1, false, true, SIGTERM, TASK_CANCELLED, false, false},
    {NOBODY, SIGUSR1, false, true, SIGTERM, TASK_CANCELLED, false, false},
    {KILLED, SIGTERM, false, true, SIGKILL, TASK_CANCELLED, false, true},
    {KILLED, SIGTERM, false, false, 0, TASK_DONE, true, false},
    {KILLED, SIGTERM, false, false, 1, TASK_FAILED, false, false},
    {NOBODY, SIGTERM, false, true, SIGKILL, TASK_FAILED, false, false},
    {CLIENT, SIGTERM, false, true, SIGKILL, TASK_FAILED, false, false},
    {DEADLINE, SIGTERM, false, true, SIGKILL, TASK_FAILED, false, false},
    {NOBODY, SIGTERM, false, true, SIGSEGV, TASK_FAILED, false, false},
    {CLIENT, SIGTERM, false, true, SIGSEGV, TASK_FAILED, false, false},
    {CLIENT, SIGTERM, true, false, 1, TASK_CANCELLED, false, false},
    {CLIENT, SIGTERM, true, false, 0, TASK_CANCELLED, false, false},
    {DEADLINE, SIGTERM, true, false, 1, TASK_TIMED_OUT, false, false},
    {NOBODY, SIGTERM, true, true, SIGTERM, TASK_CANCELLED, false, false},
    {NOBODY, SIGTERM, true, false, 1, TASK_FAILED, false, false},
    {NOBODY, SIGTERM, true, false, 0, TASK_DONE, false, false},
};

static void
check_end(unsigned n)
{
	const struct end *end = &ends[n];
	struct bench b = bench_pending();

	b.f.signo = end->signo;
	bench_start(&b);
	if (end->asked == CLIENT)
		DO(&b, EV_CANCEL);
	if (end->asked == KILLED)
		DO(&b, EV_KILL);
	if (end->asked == DEADLINE)
		bench_expire(&b);
	bench_turn_ends(&b);
	if (end->declared)
		DO(&b, EV_DECLARE);
	bench_exit(&b, end->signalled, end->code);
	ck_assert_msg(b.f.outcome == end->outcome && b.f.forced == end->forced,
	    "end %u: %s%s, should be %s", n, rules_state_name(b.f.outcome),
	    b.f.forced ? ", forced" : "", rules_state_name(end->outcome));
	ck_assert_int_eq(bench_finish(&b), end->outcome);
	/* Whether a kill that came too late counts as absorbed is left open. */
	if (end->asked != KILLED && end->asked != DEADLINE)
		ck_assert_msg(rules_absorbed(&b.f) == end->absorbed, "end %u: absorbed", n);
}

START_TEST(r4_the_outcome_follows_from_the_end)
{
	for (unsigned n = 0; n < sizeof ends / sizeof *ends; n++)
		check_end(n);
}
END_TEST

START_TEST(r4_a_task_that_cannot_be_executed_fails_without_hooks)
{
	for (int asked = 0; asked < 2; asked++) {
		struct bench b = bench_pending();

		b.f.hooks[HOOK_ON_FAILURE] = 1;
		DO(&b, EV_SPAWN);
		if (asked)
			DO(&b, EV_CANCEL);
		DO(&b, EV_UNSTARTED);
		ck_assert(b.v.fx & FX_END);
		ck_assert(!(b.v.fx & FX_HOOK));
		ck_assert_int_eq(b.f.state, TASK_FAILED);
	}
}
END_TEST

START_TEST(r4_uncancel_by_the_task_ends_what_is_outstanding)
{
	struct bench b = bench_cancelling();

	DO(&b, EV_UNCANCEL, .by_task = true);
	bench_exit(&b, false, 143);
	ck_assert_int_eq(b.f.outcome, TASK_FAILED);

	b = bench_cancelling();
	DO(&b, EV_UNCANCEL, .by_task = true);
	bench_exit(&b, false, 0);
	ck_assert_int_eq(bench_finish(&b), TASK_DONE);
	ck_assert_msg(!rules_absorbed(&b.f), "absorbed is false after an uncancel to 0");
}
END_TEST

START_TEST(r4_what_cannot_be_known_is_lost)
{
	static const enum task_state states[] = {
	    TASK_STARTING, TASK_RUNNING, TASK_CANCELLING, TASK_KILLING};

	for (unsigned s = 0; s < 4; s++) {
		struct bench b = bench_in(states[s]);

		DO(&b, EV_MONITOR_LOST);
		ck_assert_int_eq(b.f.outcome, TASK_LOST);
		ck_assert_int_eq(b.f.state, TASK_CLEANUP);
		ck_assert(b.v.fx & FX_HOOK);
	}

	/* The end was known already: the outcome stays. */
	struct bench b = bench_in(TASK_CLEANUP);
	DO(&b, EV_MONITOR_LOST);
	ck_assert_int_eq(b.f.outcome, TASK_DONE);
	ck_assert(b.v.fx & FX_HOOK);
}
END_TEST

START_TEST(r4_kill_is_executed_once_and_its_message_stays)
{
	struct bench b = bench_cancelling();

	DO(&b, EV_KILL, .has_msg = true);
	ck_assert(b.v.fx & FX_KILL);
	ck_assert_uint_eq(b.v.request, 2);
	DO(&b, EV_KILL, .has_msg = true);
	ck_assert_int_eq(b.v.effect, EFFECT_NONE);
	DO(&b, EV_CANCEL);
	DO(&b, EV_GRACE_OVER);
	ck_assert(!(b.v.fx & (FX_KILL | FX_SIGNAL)));
	bench_exit(&b, true, SIGKILL);
	ck_assert_uint_eq(rules_shown_request(&b.f), 2);
}
END_TEST

/* It said that it would obey, and then did not: our SIGKILL ended it all the same. */
START_TEST(r4_a_declared_task_that_we_killed_is_forced)
{
	struct bench b = bench_cancelling();

	DO(&b, EV_DECLARE);
	b.now += GRACE;
	DO(&b, EV_GRACE_OVER);
	bench_exit(&b, true, SIGKILL);
	ck_assert_int_eq(b.f.outcome, TASK_CANCELLED);
	ck_assert(b.f.forced);
}
END_TEST

/* ---- R5 ---- */

START_TEST(r5_requests_of_one_turn_are_one_delivery)
{
	struct bench b = bench_running();

	DO(&b, EV_CANCEL);
	ck_assert(b.v.fx & FX_SIGNAL);
	DO(&b, EV_CANCEL);
	ck_assert_int_eq(b.v.effect, EFFECT_COALESCED);
	ck_assert_uint_eq(b.f.count, 2);
	ck_assert_uint_eq(b.f.sending, 1);
	bench_turn_ends(&b);
	ck_assert_uint_eq(b.f.delivered, 1);
	ck_assert_uint_eq(b.f.sending, 0);
	ck_assert_uint_eq(rules_shown_request(&b.f), 1);
}
END_TEST

START_TEST(r5_apart_each_explicit_one_is_delivered)
{
	struct bench b = bench_cancelling();

	for (uint32_t n = 2; n < 5; n++) {
		DO(&b, EV_CANCEL);
		ck_assert_int_eq(b.v.effect, EFFECT_REDELIVERED);
		ck_assert_uint_eq(b.v.request, n);
		ck_assert(b.v.fx & FX_SIGNAL);
		bench_turn_ends(&b);
		ck_assert_uint_eq(b.f.delivered, n);
		ck_assert_uint_eq(rules_shown_request(&b.f), n);
	}
}
END_TEST

START_TEST(r5_the_clock_replaces_repetition_of_what_is_passed_on)
{
	struct bench b = bench_cancelling();

	DO(&b, EV_PASS_ON);
	ck_assert(b.v.accepted && b.v.effect == EFFECT_NONE);
	ck_assert(!(b.v.fx & FX_SIGNAL));
	ck_assert_uint_eq(b.f.count, 2);
	bench_expire(&b);
	ck_assert(!(b.v.fx & FX_SIGNAL));
	ck_assert(b.f.expired);

	b = bench_running();
	b.f.grace = RULES_UNLIMITED;
	DO(&b, EV_CANCEL);
	bench_turn_ends(&b);
	DO(&b, EV_PASS_ON);
	ck_assert(b.v.effect == EFFECT_REDELIVERED && (b.v.fx & FX_SIGNAL));
	bench_turn_ends(&b);
	bench_expire(&b);
	ck_assert(b.v.fx & FX_SIGNAL);
}
END_TEST

START_TEST(r5_a_cancel_takes_the_place_of_a_deadline_not_yet_signalled)
{
	struct bench b = bench_running();

	bench_expire(&b);
	DO(&b, EV_CANCEL);
	ck_assert_int_eq(b.v.effect, EFFECT_COALESCED);
	ck_assert_uint_eq(b.f.sending, 1);
	bench_turn_ends(&b);
	ck_assert_uint_eq(b.f.delivered, 1);
}
END_TEST

/* ---- R6 ---- */

START_TEST(r6_grace_runs_from_the_first_delivery_and_only_shortens)
{
	struct bench b = bench_running();
	int64_t first = b.now;

	DO(&b, EV_CANCEL);
	bench_turn_ends(&b);
	expect_timer(&b, EV_GRACE_OVER, first + GRACE);
	b.now += SEC;
	DO(&b, EV_CANCEL);
	bench_turn_ends(&b);
	expect_timer(&b, EV_GRACE_OVER, first + GRACE);
	DO(&b, EV_CANCEL, .has_grace = true, .grace = 2 * GRACE);
	bench_turn_ends(&b);
	expect_timer(&b, EV_GRACE_OVER, first + GRACE);
	DO(&b, EV_CANCEL, .has_grace = true, .grace = 3 * SEC);
	bench_turn_ends(&b);
	expect_timer(&b, EV_GRACE_OVER, b.now + 3 * SEC);
	b.now += 3 * SEC;
	DO(&b, EV_GRACE_OVER);
	ck_assert(b.v.fx & FX_KILL);
	ck_assert_int_eq(b.f.state, TASK_KILLING);
	expect_no_timer(&b);
}
END_TEST

START_TEST(r6_the_first_cancel_may_shorten_too)
{
	struct bench b = bench_running();

	DO(&b, EV_CANCEL, .has_grace = true, .grace = 0);
	expect_timer(&b, EV_GRACE_OVER, b.now);

	b = bench_running();
	DO(&b, EV_CANCEL, .has_grace = true, .grace = 2 * GRACE);
	expect_timer(&b, EV_GRACE_OVER, b.now + GRACE);

	b = bench_running();
	b.f.grace = RULES_UNLIMITED;
	DO(&b, EV_CANCEL);
	expect_no_timer(&b);
	DO(&b, EV_CANCEL, .has_grace = true, .grace = SEC);
	expect_timer(&b, EV_GRACE_OVER, b.now + SEC);
}
END_TEST

START_TEST(r6_keep_accepts_the_refusal)
{
	struct bench b = bench_running();

	b.f.keep = true;
	DO(&b, EV_CANCEL);
	bench_turn_ends(&b);
	b.now += GRACE;
	DO(&b, EV_GRACE_OVER);
	ck_assert_uint_eq(b.v.fx, FX_REFUSED);
	ck_assert_int_eq(b.f.state, TASK_RUNNING);
	expect_no_timer(&b);
	DO(&b, EV_CANCEL);
	ck_assert_int_eq(b.v.effect, EFFECT_DELIVERED);
	expect_timer(&b, EV_GRACE_OVER, b.now + GRACE);
}
END_TEST

START_TEST(r6_uncancel_stops_the_clock_but_not_a_deadlines)
{
	struct bench b = bench_cancelling();

	DO(&b, EV_CANCEL);
	bench_turn_ends(&b);
	DO(&b, EV_UNCANCEL);
	ck_assert(b.v.remaining == 1 && b.f.state == TASK_CANCELLING);
	DO(&b, EV_UNCANCEL);
	ck_assert(b.v.remaining == 0 && b.f.state == TASK_RUNNING);
	expect_no_timer(&b);
	DO(&b, EV_UNCANCEL);
	ck_assert_uint_eq(b.v.remaining, 0);

	b = bench_running();
	bench_expire(&b);
	bench_turn_ends(&b);
	DO(&b, EV_CANCEL);
	bench_turn_ends(&b);
	DO(&b, EV_UNCANCEL);
	ck_assert_int_eq(b.f.state, TASK_CANCELLING);
	expect_timer(&b, EV_GRACE_OVER, b.now + GRACE);
}
END_TEST

START_TEST(r6_extend_moves_the_end_later_only)
{
	struct bench b = bench_cancelling();
	int64_t end = b.now + GRACE;

	DO(&b, EV_EXTEND, .span = SEC);
	expect_timer(&b, EV_GRACE_OVER, end);
	DO(&b, EV_EXTEND, .span = 2 * GRACE);
	expect_timer(&b, EV_GRACE_OVER, b.now + 2 * GRACE);

	b = bench_running();
	DO(&b, EV_EXTEND, .span = SEC);
	expect_no_timer(&b);
	DO(&b, EV_DEADLINE_SET, .when = b.now + 9 * SEC);
	DO(&b, EV_EXTEND, .span = SEC);
	expect_timer(&b, EV_DEADLINE, b.now + 9 * SEC);
	DO(&b, EV_EXTEND, .span = 10 * SEC);
	expect_timer(&b, EV_DEADLINE, b.now + 10 * SEC);
	ck_assert(b.v.fx & FX_DEADLINE);
}
END_TEST

/* ---- R11 ---- */

START_TEST(r11_the_timeout_counts_from_the_start_of_the_process)
{
	struct bench b = bench_pending();

	b.f.timeout = 7 * SEC;
	expect_no_timer(&b);
	b.now += 100 * SEC;
	DO(&b, EV_SPAWN);
	DO(&b, EV_STARTED);
	expect_timer(&b, EV_DEADLINE, b.now + 7 * SEC);

	/* A command said something else before. */
	for (int off = 0; off < 2; off++) {
		b = bench_pending();
		b.f.timeout = 7 * SEC;
		DO(&b, EV_DEADLINE_SET, .when = off ? RULES_NEVER : b.now + 500 * SEC);
		bench_start(&b);
		if (off)
			expect_no_timer(&b);
		else
			expect_timer(&b, EV_DEADLINE, b.now + 500 * SEC);
	}
}
END_TEST

START_TEST(r11_a_timeout_of_0_ends_it_before_it_starts)
{
	struct bench b = bench_pending();

	b.f.timeout = 0;
	DO(&b, EV_RELEASE);
	ck_assert(!(b.v.fx & (FX_SPAWN | FX_HOOK)) && (b.v.fx & FX_END));
	ck_assert(b.f.expired && b.f.state == TASK_TIMED_OUT);
}
END_TEST

START_TEST(r11_a_deadline_moves_until_it_has_passed)
{
	struct bench b = bench_running();

	DO(&b, EV_DEADLINE_SET, .when = b.now + SEC);
	expect_timer(&b, EV_DEADLINE, b.now + SEC);
	DO(&b, EV_DEADLINE_SET, .when = RULES_NEVER);
	expect_no_timer(&b);
	DO(&b, EV_DEADLINE_SET, .when = b.now);
	expect_timer(&b, EV_DEADLINE, b.now);
	DO(&b, EV_DEADLINE);
	bench_turn_ends(&b);
	expect_timer(&b, EV_GRACE_OVER, b.now + GRACE);
	DO(&b, EV_DEADLINE_SET, .when = b.now + SEC);
	ck_assert_int_eq(b.v.error, ERR_EXPIRED);
	DO(&b, EV_DEADLINE_SET, .when = RULES_NEVER);
	ck_assert_int_eq(b.v.error, ERR_EXPIRED);
}
END_TEST

START_TEST(r11_a_deadline_set_while_cancelling_matters_after_uncancel)
{
	struct bench b = bench_cancelling();

	DO(&b, EV_DEADLINE_SET, .when = b.now + 9 * SEC);
	ck_assert_int_eq(b.v.error, ERR_NONE);
	DO(&b, EV_UNCANCEL);
	b.now += 9 * SEC;
	expect_timer(&b, EV_DEADLINE, b.now);
	DO(&b, EV_DEADLINE);
	ck_assert_int_eq(b.f.state, TASK_CANCELLING);
	bench_turn_ends(&b);
	bench_exit(&b, true, SIGTERM);
	ck_assert_int_eq(b.f.outcome, TASK_TIMED_OUT);
}
END_TEST

/* ---- R12, R13 ---- */

START_TEST(r12_a_pending_task_ends_at_once_without_hooks)
{
	static const enum rules_event asked[] = {EV_CANCEL, EV_PASS_ON, EV_KILL, EV_DEADLINE};

	for (unsigned n = 0; n < 8; n++) {
		struct bench b = bench_pending();

		b.f.held = n >= 4;
		for (unsigned h = 0; h < HOOK_KINDS; h++)
			b.f.hooks[h] = 1;
		DO(&b, EV_DEADLINE_SET, .when = b.now);
		DO(&b, asked[n % 4]);
		ck_assert((b.v.fx & FX_END) && !(b.v.fx & FX_HOOK));
		ck_assert(rules_is_terminal(b.f.state) && !b.f.spawned);
		ck_assert_int_eq(b.f.state, n % 4 == 3 ? TASK_TIMED_OUT : TASK_CANCELLED);
		expect_no_timer(&b);
	}
}
END_TEST

START_TEST(r12_a_held_task_is_not_executed)
{
	struct bench b = bench_pending();
	struct rules_facts old;

	b.f.held = true;
	old = b.f;
	DO(&b, EV_SPAWN);
	expect_unchanged(&b, &old, EV_SPAWN);
	DO(&b, EV_RELEASE);
	ck_assert_uint_eq(b.v.fx, FX_SPAWN);
	DO(&b, EV_SPAWN);
	ck_assert_int_eq(b.f.state, TASK_STARTING);
}
END_TEST

/* Once the order to execute is out, a process may exist: what comes is kept until it is known. */
START_TEST(r12_what_comes_during_the_start_is_delivered_after_it)
{
	struct bench b = bench_in(TASK_STARTING);

	DO(&b, EV_CANCEL);
	ck_assert(b.v.accepted && !(b.v.fx & FX_SIGNAL));
	DO(&b, EV_STARTED);
	ck_assert(b.v.fx & FX_SIGNAL);
	ck_assert_int_eq(b.f.state, TASK_CANCELLING);
	ck_assert_uint_eq(b.f.sending, 1);

	b = bench_in(TASK_STARTING);
	DO(&b, EV_KILL);
	ck_assert(b.v.accepted && !(b.v.fx & FX_KILL));
	DO(&b, EV_STARTED);
	ck_assert(b.v.fx & FX_KILL);
	ck_assert_int_eq(b.f.state, TASK_KILLING);
	bench_exit(&b, true, SIGKILL);
	ck_assert(b.f.outcome == TASK_CANCELLED && b.f.forced);

	b = bench_in(TASK_STARTING);
	bench_expire(&b);
	DO(&b, EV_STARTED);
	ck_assert(b.v.fx & FX_SIGNAL);
	bench_turn_ends(&b);
	bench_exit(&b, true, SIGTERM);
	ck_assert_int_eq(b.f.outcome, TASK_TIMED_OUT);

	b = bench_in(TASK_STARTING);
	DO(&b, EV_CANCEL);
	DO(&b, EV_UNCANCEL);
	DO(&b, EV_STARTED);
	ck_assert(!(b.v.fx & FX_SIGNAL));
	ck_assert_int_eq(b.f.state, TASK_RUNNING);
}
END_TEST

START_TEST(r13_asking_an_ended_task_is_no_error)
{
	for (unsigned s = TASK_DONE; s < TASK_NSTATES; s++) {
		static const enum rules_event asked[] = {EV_CANCEL, EV_PASS_ON, EV_KILL};
		struct bench b = bench_in(s);
		struct rules_facts old = b.f;

		for (unsigned n = 0; n < 6; n++) {
			DO(&b, asked[n % 3], .pierce = n >= 3);
			ck_assert(b.v.error == ERR_NONE && !b.v.accepted);
			ck_assert_int_eq(b.v.effect, EFFECT_FINISHED);
			expect_unchanged(&b, &old, asked[n % 3]);
		}
	}
}
END_TEST

START_TEST(r13_uncancel_counts_on_an_ended_task_too)
{
	struct bench b = bench_cancelling();

	bench_exit(&b, true, SIGTERM);
	bench_finish(&b);
	ck_assert_uint_eq(b.f.count, 1);
	DO(&b, EV_UNCANCEL);
	ck_assert_uint_eq(b.v.remaining, 0);
	ck_assert(b.f.count == 0 && b.f.requests == 1);
	ck_assert_int_eq(b.f.state, TASK_CANCELLED);
}
END_TEST
CHECK_MAIN("rules, one by one", r1_exit_beats_what_comes_late, r1_uncancel_beats_grace_over,
    r2_deferred_requests_have_no_effect_on_the_outcome, r3_cancel_beats_deadline_in_any_order,
    r3_deferred_together_cancel_outranks, r3_a_cancel_taken_back_leaves_the_deadline,
    r4_the_outcome_follows_from_the_end, r4_a_task_that_cannot_be_executed_fails_without_hooks,
    r4_uncancel_by_the_task_ends_what_is_outstanding, r4_what_cannot_be_known_is_lost,
    r4_kill_is_executed_once_and_its_message_stays, r4_a_declared_task_that_we_killed_is_forced,
    r5_requests_of_one_turn_are_one_delivery, r5_apart_each_explicit_one_is_delivered,
    r5_the_clock_replaces_repetition_of_what_is_passed_on,
    r5_a_cancel_takes_the_place_of_a_deadline_not_yet_signalled,
    r6_grace_runs_from_the_first_delivery_and_only_shortens, r6_the_first_cancel_may_shorten_too,
    r6_keep_accepts_the_refusal, r6_uncancel_stops_the_clock_but_not_a_deadlines,
    r6_extend_moves_the_end_later_only, r11_the_timeout_counts_from_the_start_of_the_process,
    r11_a_timeout_of_0_ends_it_before_it_starts, r11_a_deadline_moves_until_it_has_passed,
    r11_a_deadline_set_while_cancelling_matters_after_uncancel,
    r12_a_pending_task_ends_at_once_without_hooks, r12_a_held_task_is_not_executed,
    r12_what_comes_during_the_start_is_delivered_after_it, r13_asking_an_ended_task_is_no_error,
    r13_uncancel_counts_on_an_ended_task_too)

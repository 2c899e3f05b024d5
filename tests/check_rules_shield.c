/*
 * What a shield defers, line by line, and who wins where two things meet.
 */
#include "check_run.h"
#include "rules_bench.h"

/* ---- comes while shielded ---- */

START_TEST(shield_cancel_is_accepted_counted_deferred)
{
	static const enum rules_event asked[] = {EV_CANCEL, EV_PASS_ON};

	for (unsigned n = 0; n < 2; n++) {
		struct bench b = bench_shielded();

		DO(&b, asked[n]);
		ck_assert(b.v.accepted && b.v.effect == EFFECT_DEFERRED);
		ck_assert_uint_eq(b.v.request, 1);
		ck_assert_uint_eq(b.v.fx, FX_REQUESTED | FX_DEFERRED);
		ck_assert(b.f.count == 1 && b.f.deferred == 1);
		ck_assert_int_eq(b.f.state, TASK_RUNNING);
		expect_no_timer(&b);
		ck_assert_uint_eq(rules_shown_request(&b.f), 1);
	}
}
END_TEST

START_TEST(shield_several_are_one_delivery_of_the_first)
{
	struct bench b = bench_shielded();

	for (unsigned n = 0; n < 3; n++) {
		DO(&b, n == 1 ? EV_PASS_ON : EV_CANCEL);
		ck_assert_int_eq(b.v.effect, n == 0 ? EFFECT_DEFERRED : EFFECT_COALESCED);
		ck_assert(b.v.fx & FX_DEFERRED);
	}
	DO(&b, EV_UNSHIELD);
	ck_assert(b.v.delivered && (b.v.fx & FX_SIGNAL));
	ck_assert_uint_eq(b.f.sending, 1);
	expect_timer(&b, EV_GRACE_OVER, b.now + GRACE);
	bench_turn_ends(&b);
	ck_assert(b.f.delivered == 1 && b.f.count == 3);
	ck_assert_uint_eq(rules_shown_request(&b.f), 1);
}
END_TEST

START_TEST(shield_deadline_runs_on_and_is_deferred)
{
	struct bench b = bench_running();
	int64_t when = b.now + 9 * SEC;

	DO(&b, EV_DEADLINE_SET, .when = when);
	DO(&b, EV_SHIELD);
	expect_timer(&b, EV_DEADLINE, when);
	b.now = when;
	DO(&b, EV_DEADLINE);
	ck_assert_uint_eq(b.v.fx, FX_EXPIRED | FX_DEFERRED);
	ck_assert_int_eq(b.f.state, TASK_RUNNING);
	DO(&b, EV_DEADLINE_SET, .when = RULES_NEVER);
	ck_assert_int_eq(b.v.error, ERR_EXPIRED);
	DO(&b, EV_UNSHIELD);
	ck_assert(b.v.delivered && (b.v.fx & FX_SIGNAL));
	bench_turn_ends(&b);
	bench_exit(&b, true, SIGTERM);
	ck_assert_int_eq(b.f.outcome, TASK_TIMED_OUT);
}
END_TEST

START_TEST(shield_uncancel_to_0_revokes_cancels_not_the_deadline)
{
	struct bench b = bench_shielded();

	bench_expire(&b);
	DO(&b, EV_CANCEL);
	DO(&b, EV_CANCEL);
	DO(&b, EV_UNCANCEL);
	ck_assert(b.v.remaining == 1 && !b.v.revoked);
	DO(&b, EV_UNCANCEL);
	ck_assert(b.v.remaining == 0 && b.v.revoked);
	DO(&b, EV_UNSHIELD);
	ck_assert(b.v.delivered && (b.v.fx & FX_SIGNAL));
	ck_assert_uint_eq(b.f.sending, 0);
	bench_turn_ends(&b);
	bench_exit(&b, true, SIGTERM);
	ck_assert_int_eq(b.f.outcome, TASK_TIMED_OUT);

	b = bench_shielded();
	DO(&b, EV_CANCEL);
	DO(&b, EV_UNCANCEL);
	ck_assert(b.v.revoked);
	DO(&b, EV_UNSHIELD);
	ck_assert(!b.v.delivered && !(b.v.fx & FX_SIGNAL));
	ck_assert_int_eq(b.f.state, TASK_RUNNING);
}
END_TEST

START_TEST(shield_grace_stands_still_and_goes_on_with_its_rest)
{
	struct bench b = bench_cancelling();

	b.now += 300 * SEC;
	DO(&b, EV_SHIELD);
	expect_no_timer(&b);
	b.now += 5000 * SEC;
	DO(&b, EV_SHIELD);
	DO(&b, EV_SHIELD_MOVED);
	DO(&b, EV_UNSHIELD);
	expect_no_timer(&b);
	DO(&b, EV_UNSHIELD);
	ck_assert(!b.v.delivered);
	expect_timer(&b, EV_GRACE_OVER, b.now + GRACE - 300 * SEC);
}
END_TEST

START_TEST(shield_extend_lengthens_the_rest)
{
	struct bench b = bench_cancelling();

	DO(&b, EV_SHIELD);
	DO(&b, EV_EXTEND, .span = 2 * GRACE);
	expect_no_timer(&b);
	DO(&b, EV_UNSHIELD);
	expect_timer(&b, EV_GRACE_OVER, b.now + 2 * GRACE);
}
END_TEST

START_TEST(shield_kill_needs_pierce)
{
	static const enum rules_event before[] = {EV_SHIELD_MOVED, EV_CANCEL};

	for (unsigned n = 0; n < 2; n++) {
		struct bench b = bench_shielded();
		struct rules_facts old;

		DO(&b, before[n]);
		old = b.f;
		DO(&b, EV_KILL);
		ck_assert_int_eq(b.v.error, ERR_SHIELDED);
		expect_unchanged(&b, &old, EV_KILL);
		DO(&b, EV_KILL, .pierce = true);
		ck_assert(b.v.fx & FX_KILL);
		/* What was deferred has lost its sense. */
		DO(&b, EV_UNSHIELD);
		ck_assert(!b.v.delivered && b.v.fx == 0);
		bench_exit(&b, true, SIGKILL);
		ck_assert(b.f.outcome == TASK_CANCELLED && b.f.forced);
	}
}
END_TEST

START_TEST(shield_only_the_last_holder_opens_it)
{
	struct bench b = bench_shielded();

	DO(&b, EV_SHIELD);
	DO(&b, EV_CANCEL);
	DO(&b, EV_UNSHIELD);
	ck_assert(!b.v.delivered && b.v.fx == 0);
	ck_assert_uint_eq(b.f.shields, 1);
	DO(&b, EV_UNSHIELD);
	ck_assert(b.v.delivered && (b.v.fx & FX_SIGNAL));
	DO(&b, EV_UNSHIELD);
	ck_assert_int_eq(b.v.error, ERR_NOT_SHIELDED);
}
END_TEST

START_TEST(shield_in_cancelling_defers_a_second_cancel)
{
	struct bench b = bench_cancelling();

	DO(&b, EV_SHIELD);
	DO(&b, EV_CANCEL);
	ck_assert(b.v.effect == EFFECT_DEFERRED && !(b.v.fx & FX_SIGNAL));
	DO(&b, EV_UNSHIELD);
	ck_assert(b.v.delivered && (b.v.fx & FX_SIGNAL));
	ck_assert_uint_eq(b.f.sending, 2);
	expect_timer(&b, EV_GRACE_OVER, b.now + GRACE);
}
END_TEST

/* A shield from the first instant holds what comes while the start is under way. */
START_TEST(shield_from_the_start)
{
	struct bench b = bench_pending();

	DO(&b, EV_SHIELD);
	DO(&b, EV_SPAWN);
	DO(&b, EV_CANCEL);
	ck_assert(b.v.accepted);
	DO(&b, EV_STARTED);
	ck_assert(!(b.v.fx & FX_SIGNAL));
	ck_assert_int_eq(b.f.state, TASK_RUNNING);
	DO(&b, EV_UNSHIELD);
	ck_assert(b.v.delivered && (b.v.fx & FX_SIGNAL));
	ck_assert_uint_eq(b.f.sending, 1);
}
END_TEST

/* A pending task is cancelled at once all the same: there is nothing to protect. */
START_TEST(shield_of_a_pending_task_defers_nothing)
{
	struct bench b = bench_pending();

	DO(&b, EV_SHIELD);
	DO(&b, EV_CANCEL);
	ck_assert_int_eq(b.v.effect, EFFECT_ENDED);
	ck_assert_int_eq(b.f.state, TASK_CANCELLED);
}
END_TEST

/* ---- races ---- */

START_TEST(race_cancel_before_a_shield_in_one_turn_is_delivered)
{
	struct bench b = bench_running();

	DO(&b, EV_CANCEL);
	DO(&b, EV_SHIELD);
	ck_assert_uint_eq(b.f.sending, 1);
	ck_assert(b.f.deferred == 0);
	bench_turn_ends(&b);
	ck_assert_uint_eq(b.f.delivered, 1);
	expect_no_timer(&b);
}
END_TEST

START_TEST(race_cancel_and_unshield_in_one_turn)
{
	for (int cancel_first = 0; cancel_first < 2; cancel_first++) {
		struct bench b = bench_shielded();

		DO(&b, cancel_first ? EV_CANCEL : EV_UNSHIELD);
		DO(&b, cancel_first ? EV_UNSHIELD : EV_CANCEL);
		ck_assert(b.v.fx & FX_SIGNAL);
		ck_assert_int_eq(b.f.state, TASK_CANCELLING);
		ck_assert(b.f.sending == 1 && b.f.count == 1);
	}
}
END_TEST

START_TEST(race_kill_after_grace_over_kills_once)
{
	struct bench b = bench_cancelling();

	b.now += GRACE;
	DO(&b, EV_GRACE_OVER);
	ck_assert(b.v.fx & FX_KILL);
	DO(&b, EV_KILL, .has_msg = true);
	ck_assert(b.v.effect == EFFECT_NONE && !(b.v.fx & FX_KILL));
	DO(&b, EV_CANCEL);
	ck_assert_int_eq(b.v.effect, EFFECT_KILLING);
}
END_TEST

START_TEST(race_exit_0_beats_our_sigkill)
{
	struct bench b = bench_in(TASK_KILLING);

	bench_exit(&b, false, 0);
	ck_assert(b.f.outcome == TASK_DONE && !b.f.forced);
	ck_assert_int_eq(bench_finish(&b), TASK_DONE);
}
END_TEST

/* "Does not recall a delivered or scheduled cancel": the signal of this turn still goes out. */
START_TEST(race_cancel_and_uncancel_in_one_turn)
{
	struct bench b = bench_running();

	DO(&b, EV_CANCEL);
	DO(&b, EV_UNCANCEL);
	ck_assert(b.v.remaining == 0 && !b.v.revoked);
	ck_assert_int_eq(b.f.state, TASK_RUNNING);
	ck_assert_uint_eq(b.f.sending, 1);
	expect_no_timer(&b);
	bench_turn_ends(&b);
	bench_exit(&b, true, SIGTERM);
	ck_assert_int_eq(b.f.outcome, TASK_CANCELLED);
}
END_TEST

START_TEST(race_client_cancels_and_disconnects)
{
	struct bench b = bench_running();

	DO(&b, EV_CANCEL);
	bench_turn_ends(&b);
	DO(&b, EV_PASS_ON);
	ck_assert(b.v.accepted && !(b.v.fx & FX_SIGNAL));
	ck_assert(b.f.requests == 2 && b.f.count == 2);
	ck_assert_uint_eq(rules_shown_request(&b.f), 1);
}
END_TEST

/* R2: the undelivered is dropped with the leader, so there is nothing to revoke any more. */
START_TEST(race_exit_drops_what_was_deferred)
{
	struct bench b = bench_shielded();

	DO(&b, EV_CANCEL);
	bench_exit(&b, false, 0);
	DO(&b, EV_UNSHIELD);
	ck_assert(!b.v.delivered && !(b.v.fx & FX_SIGNAL));
	DO(&b, EV_UNCANCEL);
	ck_assert(b.v.remaining == 0 && !b.v.revoked);
}
END_TEST

CHECK_MAIN("rules: shields and races", shield_cancel_is_accepted_counted_deferred,
    shield_several_are_one_delivery_of_the_first, shield_deadline_runs_on_and_is_deferred,
    shield_uncancel_to_0_revokes_cancels_not_the_deadline,
    shield_grace_stands_still_and_goes_on_with_its_rest, shield_extend_lengthens_the_rest,
    shield_kill_needs_pierce, shield_only_the_last_holder_opens_it,
    shield_in_cancelling_defers_a_second_cancel, shield_from_the_start,
    shield_of_a_pending_task_defers_nothing, race_cancel_before_a_shield_in_one_turn_is_delivered,
    race_cancel_and_unshield_in_one_turn, race_kill_after_grace_over_kills_once,
    race_exit_0_beats_our_sigkill, race_cancel_and_uncancel_in_one_turn,
    race_client_cancels_and_disconnects, race_exit_drops_what_was_deferred)

/*
 * A task at the bench, for the tests of the rules: facts, a clock, and a way into every state by
 * events alone, as the daemon would get there.
 */
#ifndef TASKCTL_TESTS_RULES_BENCH_H
#define TASKCTL_TESTS_RULES_BENCH_H

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"

#define SEC   INT64_C(1000000000)
#define GRACE (1000 * SEC)

/* Facts, the time, and the last verdict. */
struct bench {
	struct rules_facts f;
	int64_t now;
	struct rules_verdict v;
	unsigned changes; /* of state */
};

static inline void
bench_set_state(void *ctx, enum task_state state)
{
	struct bench *b = ctx;

	ck_assert_msg(!rules_is_terminal(b->f.state), "a terminal state was left");
	b->f.state = state;
	b->changes++;
}

static inline struct rules_verdict
bench_step(struct bench *b, enum rules_event e, const struct rules_input *in)
{
	b->v = rules_step(&b->f, e, in, bench_set_state, b);
	return b->v;
}

#define DO(b, e, ...) bench_step((b), (e), &(struct rules_input){.now = (b)->now, __VA_ARGS__})

static inline struct bench
bench_pending(void)
{
	struct bench b = {.now = 5 * SEC};

	rules_facts_init(&b.f);
	b.f.grace = GRACE;
	b.f.signo = SIGTERM;
	b.f.hooks[HOOK_FINALLY] = 1;
	return b;
}

static inline void
bench_start(struct bench *b)
{
	DO(b, EV_SPAWN);
	DO(b, EV_STARTED);
	ck_assert_int_eq(b->f.state, TASK_RUNNING);
}

static inline struct bench
bench_running(void)
{
	struct bench b = bench_pending();

	bench_start(&b);
	return b;
}

/* Delivers, as the runner does at the end of a turn. */
static inline void
bench_turn_ends(struct bench *b)
{
	if (b->f.sending != 0 || b->f.sending_deadline)
		DO(b, EV_SIGNALLED);
}

static inline struct bench
bench_cancelling(void)
{
	struct bench b = bench_running();

	DO(&b, EV_CANCEL);
	bench_turn_ends(&b);
	ck_assert_int_eq(b.f.state, TASK_CANCELLING);
	return b;
}

static inline void
bench_expire(struct bench *b)
{
	enum rules_event e;

	DO(b, EV_DEADLINE_SET, .when = b->now + SEC);
	b->now += SEC;
	ck_assert_int_le(rules_next_timer(&b->f, &e), b->now);
	ck_assert_int_eq(e, EV_DEADLINE);
	DO(b, EV_DEADLINE);
}

static inline void
bench_exit(struct bench *b, bool signalled, int code)
{
	DO(b, EV_EXITED, .exit = {.signalled = signalled, .code = code});
	ck_assert_int_eq(b->f.state, TASK_CLEANUP);
}

/* From the leader's end to the terminal state, with hooks that succeed. */
static inline enum task_state
bench_finish(struct bench *b)
{
	DO(b, EV_TREE_GONE);
	for (int n = 0; n < 20 && !rules_is_terminal(b->f.state); n++) {
		ck_assert(b->v.fx & FX_HOOK);
		DO(b, EV_HOOK_BEGUN, .span = SEC);
		DO(b, EV_HOOK_ENDED, .ok = true);
	}
	ck_assert(b->v.fx & FX_END);
	return b->f.state;
}

static inline struct bench
bench_ended(bool signalled, int code)
{
	struct bench b = bench_running();

	bench_exit(&b, signalled, code);
	bench_finish(&b);
	return b;
}

static inline struct bench
bench_lost(void)
{
	struct bench b = bench_running();

	DO(&b, EV_MONITOR_LOST);
	ck_assert(b.v.fx & FX_HOOK);
	DO(&b, EV_HOOK_BEGUN, .span = SEC);
	DO(&b, EV_HOOK_ENDED, .ok = true);
	return b;
}

static inline struct bench
bench_in(enum task_state s)
{
	struct bench b = bench_pending();

	if (s == TASK_STARTING)
		DO(&b, EV_SPAWN);
	if (s == TASK_RUNNING || s == TASK_KILLING || s == TASK_CLEANUP)
		b = bench_running();
	if (s == TASK_CANCELLING)
		b = bench_cancelling();
	if (s == TASK_KILLING)
		DO(&b, EV_KILL);
	if (s == TASK_CLEANUP)
		bench_exit(&b, false, 0);
	if (s == TASK_DONE)
		b = bench_ended(false, 0);
	if (s == TASK_FAILED)
		b = bench_ended(false, 1);
	if (s == TASK_CANCELLED)
		b = bench_ended(true, SIGTERM);
	if (s == TASK_TIMED_OUT)
		bench_expire(&b);
	if (s == TASK_LOST)
		b = bench_lost();
	ck_assert_int_eq(b.f.state, s);
	return b;
}

/* Fails unless the next timer is `event` at `when`. */
static inline void
expect_timer(const struct bench *b, enum rules_event event, int64_t when)
{
	enum rules_event e;

	ck_assert_int_eq(rules_next_timer(&b->f, &e), when);
	ck_assert_str_eq(rules_event_name(e), rules_event_name(event));
}

static inline void
expect_no_timer(const struct bench *b)
{
	enum rules_event e;

	ck_assert_int_eq(rules_next_timer(&b->f, &e), RULES_NEVER);
}

static inline void
expect_unchanged(const struct bench *b, const struct rules_facts *old, enum rules_event e)
{
	ck_assert_msg(memcmp(&b->f, old, sizeof *old) == 0 && b->v.fx == 0,
	    "%s in %s: facts changed or effects %#x", rules_event_name(e),
	    rules_state_name(old->state), b->v.fx);
}

static inline struct bench
bench_shielded(void)
{
	struct bench b = bench_running();

	DO(&b, EV_SHIELD);
	return b;
}

#endif

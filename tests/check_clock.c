/* Unit tests of clock.h and of the timer on the boot clock. */
#include <errno.h>
#include <event2/event.h>
#include "check_run.h"
#include "clock.h"
#include "clock_timer.h"
#include "util.h"

START_TEST(test_format)
{
	char buf[CLOCK_WALL_LEN];

	clock_format_wall(INT64_C(1795354802118), buf);
	ck_assert_str_eq(buf, "2026-11-22T13:40:02.118Z");
	clock_format_wall(0, buf);
	ck_assert_str_eq(buf, "1970-01-01T00:00:00.000Z");
	clock_format_wall(-1, buf);
	ck_assert_str_eq(buf, "1969-12-31T23:59:59.999Z");
	clock_format_wall(INT64_MAX, buf);
	ck_assert_str_eq(buf, "9999-12-31T23:59:59.999Z");
	clock_format_wall(INT64_MIN, buf);
	ck_assert_str_eq(buf, "0000-01-01T00:00:00.000Z");
}
END_TEST

START_TEST(test_parse)
{
	static const struct {
		const char *s;
		int64_t ms;
	} good[] = {{"2026-11-22T13:40:02.118Z", 1795354802118}, {"1970-01-01T00:00:00Z", 0},
	    {"1970-01-01T02:00:00.5+02:00", 500}, {"1969-12-31T19:00:00-05:00", 0},
	    {"2024-02-29T00:00:00Z", 1709164800000}, {"1970-01-01t00:00:00.1239999z", 123},
	    {"1969-12-31T23:59:60Z", 0}};
	static const char *const bad[] = {"", "2026", "2026-11-22", "2026-11-22T13:40:02",
	    "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-11-22T24:00:00Z",
	    "2026-11-22T13:60:02Z", "2026-11-22T13:40:02.Z", "2026-11-22T13:40:02Zx",
	    "2026-11-22T13:40:02+0200", "2026-11-22T13:40:02+25:00", "26-11-22T13:40:02Z",
	    "2026-00-10T00:00:00Z", "2026-01-00T00:00:00Z", " 2026-11-22T13:40:02Z"};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		int64_t ms = 1;

		ck_assert_msg(clock_parse_wall(good[i].s, &ms) == 0, "%s", good[i].s);
		ck_assert_msg(ms == good[i].ms, "%s: %lld", good[i].s, (long long)ms);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int64_t ms = 1;

		ck_assert_msg(clock_parse_wall(bad[i], &ms) == -EINVAL, "%s", bad[i]);
		ck_assert_int_eq(ms, 1);
	}
}
END_TEST

START_TEST(test_round_trip)
{
	char buf[CLOCK_WALL_LEN];

	for (int64_t ms = INT64_C(-62167219200000); ms < INT64_C(253402300800000);
	     ms += INT64_C(86399987) * 1000) {
		int64_t back = 0;

		clock_format_wall(ms, buf);
		ck_assert_int_eq(clock_parse_wall(buf, &back), 0);
		ck_assert_int_eq(back, ms);
	}
}
END_TEST

START_TEST(test_add)
{
	ck_assert_int_eq(clock_add(5, 7), 12);
	ck_assert_int_eq(clock_add(5, -7), 0);
	ck_assert_int_eq(clock_add(CLOCK_NONE, -7), CLOCK_NONE);
	ck_assert_int_eq(clock_add(7, CLOCK_NONE), CLOCK_NONE);
	ck_assert_int_eq(clock_add(CLOCK_NONE - 1, 5), CLOCK_NONE);
}
END_TEST

struct firing {
	struct event_base *base;
	int count;
	int64_t at;
};

static void
on_fire(void *ctx)
{
	struct firing *f = ctx;

	f->count++;
	f->at = clock_boot_ns();
	event_base_loopbreak(f->base);
}

/* Runs the loop until the timer fires, or the time is up. */
static void
run_loop(struct firing *f, long ms)
{
	struct timeval limit = {ms / 1000, ms % 1000 * 1000};

	event_base_loopexit(f->base, &limit);
	event_base_dispatch(f->base);
}

START_TEST(test_timer)
{
	struct firing f = {.base = event_base_new()};
	struct boot_timer *t;

	event_base_priority_init(f.base, 2);
	ck_assert_ptr_null(boot_timer_new(f.base, 7, on_fire, &f));
	t = boot_timer_new(f.base, 0, on_fire, &f);
	ck_assert_ptr_nonnull(t);
	for (int64_t wait = 100000; wait < 50 * NS_PER_MS; wait *= 4) {
		int64_t due = clock_boot_ns() + wait;

		f.count = 0;
		boot_timer_set(t, due);
		boot_timer_set(t, due);
		run_loop(&f, 5000);
		ck_assert_int_eq(f.count, 1);
		ck_assert_msg(f.at >= due, "fired early");
	}
	f.count = 0;
	boot_timer_set(t, -5);
	run_loop(&f, 5000);
	ck_assert_int_eq(f.count, 1);
	boot_timer_set(t, clock_boot_ns() + 1000);
	boot_timer_set(t, CLOCK_NONE);
	boot_timer_set(t, INT64_MAX - 1);
	run_loop(&f, 20);
	ck_assert_int_eq(f.count, 1);
	boot_timer_free(t);
	boot_timer_free(NULL);
	event_base_free(f.base);
}
END_TEST

CHECK_MAIN("clock", test_format, test_parse, test_round_trip, test_add, test_timer)

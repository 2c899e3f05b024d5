/* Deadlines in a heap: order, moving, taking off, and callbacks that change the heap. */
#include <string.h>

#include "check_run.h"
#include "clock.h"
#include "timers.h"
#include "util.h"

#define MANY 300

static struct timers heap;
static int64_t fired[4 * MANY];
static size_t nfired;

static void
note(struct timer *t, int64_t now)
{
	ck_assert_int_le(t->at, now);
	ck_assert_uint_eq(t->place, 0); /* it may be freed or set anew from here */
	fired[nfired++] = t->at;
}

static void
check_heap(void)
{
	for (size_t i = 1; i <= heap.n; i++) {
		if (heap.heap[i]->place != i || (i > 1 && heap.heap[i / 2]->at > heap.heap[i]->at))
			ck_abort_msg("the heap is none at place %zu", i);
	}
}

START_TEST(none)
{
	struct timer t = {.cb = note};

	timers_init(&heap);
	ck_assert_int_eq(timers_next(&heap), CLOCK_NONE);
	timers_run(&heap, CLOCK_NONE - 1);
	timers_set(&heap, &t, CLOCK_NONE); /* not in it: nothing to take off */
	ck_assert_int_eq(timers_next(&heap), CLOCK_NONE);
	timers_release(&heap);
	timers_release(&heap);
}
END_TEST

START_TEST(order)
{
	static const int64_t at[] = {5, 1, 9, 3, 3, 7, 0, -2};
	static const int64_t sorted[] = {-2, 0, 1, 3, 3, 5, 7, 9};
	struct timer t[ARRAY_SIZE(at)];

	timers_init(&heap);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		t[i] = (struct timer){.cb = note};
		timers_set(&heap, &t[i], at[i]);
	}
	ck_assert_int_eq(timers_next(&heap), -2);
	timers_run(&heap, -3);
	ck_assert_uint_eq(nfired, 0);
	timers_run(&heap, 3); /* what is due at this instant is due */
	ck_assert_uint_eq(nfired, 5);
	ck_assert_int_eq(timers_next(&heap), 5);
	timers_run(&heap, 100);
	ck_assert_uint_eq(nfired, ARRAY_SIZE(at));
	ck_assert_mem_eq(fired, sorted, sizeof(sorted));
	timers_run(&heap, 200);
	ck_assert_uint_eq(nfired, ARRAY_SIZE(at));
	timers_release(&heap);
}
END_TEST

START_TEST(moved)
{
	struct timer a = {.cb = note}, b = {.cb = note};

	timers_init(&heap);
	timers_set(&heap, &a, 10);
	timers_set(&heap, &b, 20);
	timers_set(&heap, &b, 5);
	ck_assert_int_eq(timers_next(&heap), 5);
	timers_set(&heap, &b, 30);
	ck_assert_int_eq(timers_next(&heap), 10);
	timers_set(&heap, &b, 30); /* the same again */
	ck_assert_uint_eq(heap.n, 2);
	timers_set(&heap, &a, CLOCK_NONE);
	ck_assert_int_eq(timers_next(&heap), 30);
	timers_set(&heap, &a, CLOCK_NONE);
	timers_set(&heap, &a, 40); /* and on again */
	timers_run(&heap, 50);
	ck_assert_uint_eq(nfired, 2);
	ck_assert_int_eq(fired[0], 30);
	ck_assert_int_eq(fired[1], 40);
	timers_set(&heap, &a, 40); /* one that has run, to the same time */
	ck_assert_int_eq(timers_next(&heap), 40);
	timers_release(&heap);
}
END_TEST

/* Against a plain list: every operation leaves a heap whose first is the list's least. */
static void
random_run(unsigned seed)
{
	static struct timer t[MANY];
	int64_t model[MANY], now = 0;

	memset(t, 0, sizeof(t));
	srandom(seed);
	for (size_t i = 0; i < MANY; i++) {
		model[i] = CLOCK_NONE;
		t[i].cb = note;
	}
	for (int step = 0; step < 5000; step++) {
		size_t i = (size_t)random() % MANY, due = 0, first = 0;
		int64_t at = random() % 5 == 0 ? CLOCK_NONE : now + random() % 1000;

		timers_set(&heap, &t[i], at);
		model[i] = at;
		for (size_t k = 1; k < MANY; k++)
			if (model[k] < model[first])
				first = k;
		if (timers_next(&heap) != model[first])
			ck_abort_msg("seed %u, step %d: not the earliest", seed, step);
		if (step % 50 != 0)
			continue;
		check_heap();
		now += random() % 200;
		for (size_t k = 0; k < MANY; k++) {
			if (model[k] > now)
				continue;
			due++;
			model[k] = CLOCK_NONE;
		}
		nfired = 0;
		timers_run(&heap, now);
		ck_assert_uint_eq(nfired, due);
		for (size_t k = 1; k < nfired; k++)
			ck_assert_int_le(fired[k - 1], fired[k]);
	}
}

START_TEST(as_a_sorted_list)
{
	for (unsigned seed = 1; seed <= 3; seed++) {
		timers_init(&heap);
		random_run(seed);
		timers_release(&heap);
	}
}
END_TEST

/* -- callbacks that change the heap -- */

static struct timer self, other, third;
static unsigned runs_of_self;

static void
again_at_once(struct timer *t, int64_t now)
{
	runs_of_self++;
	timers_set(&heap, t, now - 100); /* due, and earlier than anything else */
}

START_TEST(set_to_the_past_waits)
{
	timers_init(&heap);
	self = (struct timer){.cb = again_at_once};
	other = (struct timer){.cb = note};
	third = (struct timer){.cb = note};
	timers_set(&heap, &self, 1);
	timers_set(&heap, &other, 2);
	timers_set(&heap, &third, 3);
	timers_run(&heap, 10);
	ck_assert_msg(runs_of_self == 1, "it ran %u times in one call", runs_of_self);
	ck_assert_msg(nfired == 2, "others that were due had to wait: %zu of 2 ran", nfired);
	ck_assert_int_eq(timers_next(&heap), 11); /* for the next call, however late it is */
	timers_run(&heap, 11);
	ck_assert_uint_eq(runs_of_self, 2);
	timers_release(&heap);
}
END_TEST

static void
later(struct timer *t, int64_t now)
{
	runs_of_self++;
	timers_set(&heap, t, now + 10);
}

START_TEST(set_to_the_future)
{
	timers_init(&heap);
	self = (struct timer){.cb = later};
	timers_set(&heap, &self, 1);
	for (int64_t now = 0; now <= 100; now++)
		timers_run(&heap, now);
	ck_assert_uint_eq(runs_of_self, 10); /* at 1, 11, ..., 91 */
	timers_release(&heap);
}
END_TEST

static void
take_others_off(struct timer *t, int64_t now)
{
	(void)t;
	(void)now;
	runs_of_self++;
	timers_set(&heap, &other, CLOCK_NONE);
	timers_set(&heap, &third, now + 1);
}

START_TEST(changing_others)
{
	timers_init(&heap);
	self = (struct timer){.cb = take_others_off};
	other = (struct timer){.cb = note};
	third = (struct timer){.cb = note};
	timers_set(&heap, &self, 1);
	timers_set(&heap, &other, 2);
	timers_set(&heap, &third, 3);
	timers_run(&heap, 10);
	ck_assert_uint_eq(runs_of_self, 1);
	ck_assert_uint_eq(nfired, 0);
	ck_assert_int_eq(timers_next(&heap), 11);
	timers_run(&heap, 11);
	ck_assert_uint_eq(nfired, 1);
	timers_release(&heap);
}
END_TEST

static void
free_owner(struct timer *t, int64_t now)
{
	(void)now;
	free(t->owner);
	nfired++;
}

START_TEST(freed_in_its_callback)
{
	timers_init(&heap);
	for (int i = 0; i < 100; i++) {
		struct timer *t = xcalloc(1, sizeof(*t));

		t->cb = free_owner;
		t->owner = t;
		timers_set(&heap, t, i % 7);
	}
	timers_run(&heap, 10);
	ck_assert_uint_eq(nfired, 100);
	timers_release(&heap);
}
END_TEST

CHECK_MAIN("timers", none, order, moved, as_a_sorted_list, set_to_the_past_waits, set_to_the_future,
    changing_others, freed_in_its_callback)

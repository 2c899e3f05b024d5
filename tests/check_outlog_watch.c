/*
 * The watch over an output file: it keeps the file to its limit without slowing the writer, losing
 * count, or waking up for a file at rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "fault.h"
#include "outlog_fixture.h"

static uint64_t
disk_use(uint64_t number)
{
	struct stat st;

	ck_assert_int_eq(stat(file_path(number), &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Runs the loop for that long. */
static void
run_for(double seconds)
{
	struct timeval tv = {
	    (time_t)seconds, (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6)};

	event_base_loopexit(base, &tv);
	event_base_dispatch(base);
}

static void
run_until_size(const struct seen *s, uint64_t size)
{
	double end = now() + 10;

	while (s->size < size && now() < end)
		event_base_loop(base, EVLOOP_ONCE);
	ck_assert_uint_eq(s->size, size);
}

/* A child that writes `total` bytes, the n-th 8 bytes holding the number n. */
static pid_t
start_writer(int fd, uint64_t total)
{
	static uint64_t chunk[8192];
	uint64_t n = 0, i;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	while (n * 8 < total) {
		for (i = 0; i < ARRAY_SIZE(chunk); i++)
			chunk[i] = n++;
		write_all(fd, (const char *)chunk, MIN(sizeof(chunk), total - (n - i) * 8));
	}
	_exit(0);
}

/* The loop runs until the child has ended; returns the most that the file took on disk. */
static uint64_t
run_until_exit(pid_t pid, uint64_t number, double *took)
{
	uint64_t most = 0;
	double begin = now();
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		ck_assert(now() < begin + 100);
		run_for(0.002);
		most = MAX(most, disk_use(number));
	}
	*took = now() - begin;
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return most;
}

/* What is kept is what was written there. */
static void
check_kept(uint64_t number, uint64_t from, uint64_t to)
{
	static uint64_t buf[8192];
	uint64_t at = (from + 7) & ~7ULL;
	ssize_t n, i;

	while ((n = outlog_read(dir, number, at, buf, sizeof(buf))) > 0)
		for (i = 0; i < n / 8; i++, at += 8)
			ck_assert_uint_eq(buf[i], at / 8);
	ck_assert_int_eq(n, 0);
	ck_assert_uint_eq(at, to);
}

START_TEST(growth_is_told_at_once_and_at_the_end)
{
	struct seen s;
	int fd;
	struct outlog_watch *w = watch(take(&fd), 0, 0, &s);
	double begin;

	write_all(fd, "abc", 3);
	outlog_watch_sync(w);
	ck_assert_uint_eq(s.size, 3);
	run_for(0.1); /* at rest by now */
	begin = now();
	write_all(fd, "def", 3);
	run_until_size(&s, 6);
	ck_assert(now() - begin < 0.5);
	outlog_watch_sync(w);
	ck_assert_int_eq(s.grew, 2);
	outlog_watch_free(w);
	close(fd);
}
END_TEST

static int turns;

static int
count_turns(struct event_base *b, double seconds)
{
	struct timeval tv = {(time_t)seconds, 0};

	turns = 0;
	event_base_loopexit(b, &tv);
	while (!event_base_got_exit(b)) {
		event_base_loop(b, EVLOOP_ONCE);
		turns++;
	}
	return turns;
}

START_TEST(files_at_rest_cost_no_wake_up_and_no_descriptor)
{
	enum { MANY = 200 };
	struct outlog_watch *w[MANY];
	struct seen s[MANY];
	int i, fd[MANY], first, last;

	first = dup(0);
	close(first);
	for (i = 0; i < MANY; i++) {
		w[i] = watch(take(&fd[i]), MIB, 0, &s[i]);
		write_all(fd[i], "x", 1);
		close(fd[i]);
	}
	run_for(0.3);
	for (i = 0; i < MANY; i++)
		ck_assert_uint_eq(s[i].size, 1);
	ck_assert_int_le(count_turns(base, 1), 1); /* the end of the second itself */
	last = dup(0);
	close(last);
	ck_assert_int_le(last, first + 1); /* the inotify descriptor */
	for (i = 0; i < MANY; i++)
		outlog_watch_free(w[i]);
}
END_TEST

START_TEST(a_busy_file_costs_few_wake_ups)
{
	const struct timespec pause = {0, 100000};
	struct seen s;
	int fd, i, loops = 0;
	struct outlog_watch *w = watch(take(&fd), 0, 0, &s);
	pid_t pid;

	run_for(0.1);
	pid = fork();
	if (pid == 0) {
		for (i = 0; i < 5000; i++) {
			write_all(fd, "x", 1);
			nanosleep(&pause, NULL);
		}
		_exit(0);
	}
	while (s.size < 5000 && loops++ < 5000)
		event_base_loop(base, EVLOOP_ONCE);
	ck_assert_uint_eq(s.size, 5000);
	ck_assert_int_lt(loops, 500);
	waitpid(pid, NULL, 0);
	outlog_watch_free(w);
	close(fd);
}
END_TEST

enum { RACERS = 200, RACES = 25 };

/* Writes to all files, and once more at about the time when the loop arms their watches. */
static void
race_writer(const int *fd, int orders)
{
	struct timespec pause = {0, 0};
	unsigned seed = 1;
	char order;
	int i;

	while (read(orders, &order, 1) == 1) {
		for (i = 0; i < RACERS; i++)
			write_all(fd[i], "x", 1);
		pause.tv_nsec = 19000000 + rand_r(&seed) % 3000000;
		nanosleep(&pause, NULL);
		for (i = 0; i < RACERS; i++)
			write_all(fd[i], "x", 1);
	}
	_exit(0);
}

static int
count_below(const struct seen *s, uint64_t size)
{
	int i, n = 0;

	for (i = 0; i < RACERS; i++)
		n += s[i].size < size;
	return n;
}

/* Whatever the moment of a write, the loop ends up knowing of it without being asked. */
START_TEST(no_growth_is_lost_between_looking_and_arming)
{
	struct outlog_watch *w[RACERS];
	struct seen s[RACERS];
	int i, fd[RACERS], orders[2];
	uint64_t round;
	double end;
	pid_t pid;

	for (i = 0; i < RACERS; i++)
		w[i] = watch(take(&fd[i]), 0, 0, &s[i]);
	ck_assert_int_eq(pipe(orders), 0);
	pid = fork();
	if (pid == 0) {
		close(orders[1]);
		race_writer(fd, orders[0]);
	}
	for (round = 1; round <= RACES; round++) {
		ck_assert_int_eq(write(orders[1], "", 1), 1);
		for (end = now() + 1; count_below(s, round * 2) > 0 && now() < end;)
			run_for(0.01);
		ck_assert_int_eq(count_below(s, round * 2), 0);
	}
	close(orders[1]);
	waitpid(pid, NULL, 0);
	for (i = 0; i < RACERS; i++)
		outlog_watch_free(w[i]);
}
END_TEST

START_TEST(below_the_limit_nothing_is_dropped)
{
	static char data[64 * KIB];
	struct seen s;
	int fd;
	struct outlog_watch *w = watch(take(&fd), sizeof(data), 0, &s);

	write_all(fd, data, sizeof(data));
	run_for(0.1);
	outlog_watch_sync(w);
	ck_assert_uint_eq(outlog_watch_size(w), sizeof(data));
	ck_assert_uint_eq(outlog_watch_dropped(w), 0);
	ck_assert_int_eq(s.drops, 0);
	outlog_watch_free(w);
	close(fd);
}
END_TEST

START_TEST(the_newest_bytes_are_kept_and_the_count_is_exact)
{
	static uint64_t data[4 * 1024];
	const uint64_t limits[] = {1, 4096, 10000, 65536, 100001};
	struct seen s;
	struct outlog_watch *w;
	uint64_t number, kept, at = 0;
	size_t i, k;
	int fd;

	for (i = 0; i < ARRAY_SIZE(limits); i++, at = 0) {
		number = take(&fd);
		w = watch(number, limits[i], 0, &s);
		while (at < 100 * ARRAY_SIZE(data)) {
			for (k = 0; k < ARRAY_SIZE(data); k++)
				data[k] = at++;
			write_all(fd, (const char *)data, sizeof(data));
			outlog_watch_sync(w);
			kept = s.size - s.dropped;
			ck_assert_uint_eq(s.size, at * 8);
			ck_assert_uint_ge(kept, MIN(limits[i], s.size));
			ck_assert_uint_le(kept, limits[i] + limits[i] / 4 + 8192);
		}
		run_for(0.05);
		ck_assert_uint_le(disk_use(number), limits[i] + limits[i] / 4 + 12288);
		check_kept(number, s.dropped, s.size);
		outlog_watch_free(w);
		close(fd);
	}
}
END_TEST

START_TEST(a_gibibyte_is_neither_slowed_nor_kept)
{
	struct seen s;
	int fd;
	uint64_t number = take(&fd), most, bytes;
	struct outlog_watch *w;
	double plain, took;

	run_until_exit(start_writer(fd, GIB), number, &plain);
	close(fd);
	outlog_remove(dir, number);

	number = take(&fd);
	w = watch(number, 8 * MIB, 0, &s);
	most = run_until_exit(start_writer(fd, GIB), number, &took);
	outlog_watch_sync(w);
	ck_assert_uint_eq(s.size, GIB);
	ck_assert_int_eq(outlog_size(dir, number, &bytes), 0);
	ck_assert_uint_eq(bytes, GIB);
	ck_assert_uint_ge(s.size - s.dropped, 8 * MIB);
	ck_assert_uint_le(s.size - s.dropped, 10 * MIB);
	check_kept(number, s.dropped, s.size);
	ck_assert_uint_lt(most, 256 * MIB);
	ck_assert(took < plain * 3 + 1);
	outlog_watch_free(w);
	outlog_dir_free(dir); /* finishes the drops */
	dir = NULL;
	ck_assert_uint_le(disk_use(number), 11 * MIB);
	close(fd);
}
END_TEST

START_TEST(a_truncated_file_goes_on_at_its_old_offset)
{
	struct seen s;
	char buf[16];
	int fd;
	uint64_t number = take(&fd), bytes;
	struct outlog_watch *w = watch(number, MIB, 0, &s);

	write_all(fd, "0123456789", 10);
	outlog_watch_sync(w);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	run_for(0.1);
	ck_assert_uint_eq(outlog_watch_size(w), 10);
	ck_assert_uint_eq(s.dropped, 10);
	write_all(fd, "abc", 3);
	outlog_watch_sync(w);
	ck_assert_uint_eq(s.size, 13);
	ck_assert_uint_eq(s.dropped, 10);
	ck_assert_int_eq(outlog_read(dir, number, 10, buf, sizeof(buf)), 3);
	ck_assert_mem_eq(buf, "abc", 3);
	ck_assert_int_eq(outlog_read(dir, number, 9, buf, sizeof(buf)), -ENODATA);
	outlog_watch_free(w);
	close(fd);

	/* The next daemon knows it, too. */
	reopen(0);
	ck_assert_int_eq(outlog_size(dir, number, &bytes), 0);
	ck_assert_uint_eq(bytes, 13);
	w = watch(number, MIB, 10, &s);
	ck_assert_uint_eq(outlog_watch_size(w), 13);
	ck_assert_uint_eq(outlog_watch_dropped(w), 10);
	outlog_watch_free(w);
}
END_TEST

START_TEST(the_limit_holds_after_a_truncation)
{
	static char data[256 * KIB];
	struct seen s;
	int fd, i;
	struct outlog_watch *w = watch(take(&fd), 64 * KIB, 0, &s);

	for (i = 1; i <= 20; i++) {
		write_all(fd, data, sizeof(data));
		outlog_watch_sync(w);
		ck_assert_uint_eq(s.size, (uint64_t)i * sizeof(data));
		ck_assert_uint_le(s.size - s.dropped, 80 * KIB);
		ck_assert_int_eq(ftruncate(fd, 0), 0);
		outlog_watch_sync(w);
		ck_assert_uint_eq(s.dropped, s.size);
	}
	outlog_watch_free(w);
	close(fd);
}
END_TEST

START_TEST(a_removed_file_disturbs_neither_task_nor_watch)
{
	struct seen s;
	int fd;
	uint64_t number = take(&fd);
	struct outlog_watch *w = watch(number, 4096, 0, &s);

	write_all(fd, "abc", 3);
	run_for(0.1);
	ck_assert_int_eq(unlink(file_path(number)), 0);
	write_all(fd, "def", 3);
	run_for(0.1);
	outlog_watch_sync(w);
	ck_assert_uint_eq(outlog_watch_size(w), 3);
	close(fd);
	run_for(0.05);
	ck_assert_int_le(count_turns(base, 1), 1);
	outlog_watch_free(w);
}
END_TEST

START_TEST(a_new_daemon_finds_out_what_was_dropped)
{
	static char data[MIB];
	struct seen s;
	int fd;
	uint64_t number = take(&fd), dropped;
	struct outlog_watch *w = watch(number, 64 * KIB, 0, &s);

	write_all(fd, data, sizeof(data));
	outlog_watch_sync(w);
	dropped = s.dropped;
	ck_assert_uint_gt(dropped, 0);
	outlog_watch_free(w);
	reopen(0); /* finishes the drop */

	/* It had not been stored: the hole tells. */
	w = watch(number, 64 * KIB, 0, &s);
	ck_assert_uint_eq(outlog_watch_size(w), sizeof(data));
	ck_assert_uint_eq(outlog_watch_dropped(w), dropped);
	outlog_watch_free(w);

	/* It had been stored, and not been done: it is done now. */
	number = take_with(data, sizeof(data));
	reopen(0);
	w = watch(number, 64 * KIB, 512 * KIB, &s);
	outlog_watch_sync(w);
	outlog_watch_free(w);
	reopen(0);
	ck_assert_uint_le(disk_use(number), 96 * KIB);
	close(fd);
}
END_TEST

START_TEST(a_file_shorter_than_what_was_dropped_never_gives_a_negative_number)
{
	struct seen s;
	uint64_t number = take_with("abc", 3);
	struct outlog_watch *w;

	reopen(0);
	w = watch(number, 4096, 100000, &s);
	ck_assert_uint_ge(outlog_watch_size(w), outlog_watch_dropped(w));
	ck_assert_uint_eq(outlog_watch_dropped(w), 100000);
	outlog_watch_free(w);
	ck_assert_int_eq(outlog_remove(dir, number), 0);
	w = watch(number, 4096, 100000, &s);
	outlog_watch_sync(w);
	ck_assert_uint_eq(outlog_watch_size(w), 100000);
	ck_assert_uint_eq(outlog_watch_dropped(w), 100000);
	run_for(0.05);
	outlog_watch_free(w);
}
END_TEST

START_TEST(a_watch_may_go_while_its_drop_is_under_way)
{
	static char data[MIB];
	struct seen s;
	struct outlog_watch *w;
	uint64_t number;
	int i, fd;

	for (i = 0; i < 50; i++) {
		number = take(&fd);
		w = watch(number, 4096, 0, &s);
		write_all(fd, data, sizeof(data));
		outlog_watch_sync(w);
		ck_assert_int_eq(s.drops, 1);
		outlog_watch_free(w);
		close(fd);
		ck_assert_int_eq(outlog_remove(dir, number), 0);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
}
END_TEST

START_TEST(without_inotify_files_are_looked_at_all_the_same)
{
	struct seen s;
	struct rlimit old, none;
	int fd, probe;
	uint64_t number = take(&fd);
	struct outlog_watch *w;

	getrlimit(RLIMIT_NOFILE, &old);
	probe = dup(0);
	close(probe);
	none = old;
	none.rlim_cur = (rlim_t)probe;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	w = watch(number, 0, 0, &s);
	setrlimit(RLIMIT_NOFILE, &old);
	run_for(0.1);
	write_all(fd, "abc", 3);
	run_until_size(&s, 3);
	outlog_watch_free(w);
	close(fd);
}
END_TEST

#ifdef TASKCTL_FAULTS
START_TEST(a_failed_drop_is_counted_and_done_with_the_next)
{
	static char data[256 * KIB];
	struct seen s;
	int fd, i, error;
	uint64_t number = take(&fd);
	struct outlog_watch *w = watch(number, 64 * KIB, 0, &s);

	fault_set("outlog.punch:1:ENOSPC");
	for (i = 1; i <= 3; i++) {
		write_all(fd, data, sizeof(data));
		outlog_watch_sync(w);
		ck_assert_uint_eq(s.size, (uint64_t)i * sizeof(data));
		run_for(0.05);
	}
	ck_assert_uint_eq(outlog_dir_failures(dir, &error), 1);
	ck_assert_int_eq(error, ENOSPC);
	ck_assert(outlog_dir_can_drop(dir));
	ck_assert_uint_le(disk_use(number), 96 * KIB);
	outlog_watch_free(w);
	close(fd);
}
END_TEST
#endif

/* ramfs cannot punch: then the output is kept whole, and the directory says so. */
START_TEST(without_holes_everything_is_kept)
{
	static char data[MIB];
	struct seen s;
	struct outlog_watch *w;
	int fd;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", tmp, "ramfs", 0, NULL) < 0)
		return; /* needs root */
	reopen(0);
	ck_assert(!outlog_dir_can_drop(dir));
	w = watch(take(&fd), 4096, 0, &s);
	write_all(fd, data, sizeof(data));
	outlog_watch_sync(w);
	ck_assert_uint_eq(s.size, sizeof(data));
	ck_assert_int_eq(s.drops, 0);
	outlog_watch_free(w);
	close(fd);
	outlog_dir_free(dir);
	dir = NULL;
	umount(tmp);
}
END_TEST

static Suite *
outlog_watch_suite(void)
{
	Suite *s = suite_create("outlog_watch");
	TCase *c = tcase_create("outlog_watch");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 120);
	tcase_add_test(c, growth_is_told_at_once_and_at_the_end);
	tcase_add_test(c, files_at_rest_cost_no_wake_up_and_no_descriptor);
	tcase_add_test(c, a_busy_file_costs_few_wake_ups);
	tcase_add_test(c, no_growth_is_lost_between_looking_and_arming);
	tcase_add_test(c, below_the_limit_nothing_is_dropped);
	tcase_add_test(c, the_newest_bytes_are_kept_and_the_count_is_exact);
	tcase_add_test(c, a_gibibyte_is_neither_slowed_nor_kept);
	tcase_add_test(c, a_truncated_file_goes_on_at_its_old_offset);
	tcase_add_test(c, the_limit_holds_after_a_truncation);
	tcase_add_test(c, a_removed_file_disturbs_neither_task_nor_watch);
	tcase_add_test(c, a_new_daemon_finds_out_what_was_dropped);
	tcase_add_test(c, a_file_shorter_than_what_was_dropped_never_gives_a_negative_number);
	tcase_add_test(c, a_watch_may_go_while_its_drop_is_under_way);
	tcase_add_test(c, without_inotify_files_are_looked_at_all_the_same);
	tcase_add_test(c, without_holes_everything_is_kept);
#ifdef TASKCTL_FAULTS
	tcase_add_test(c, a_failed_drop_is_counted_and_done_with_the_next);
#endif
	suite_add_tcase(s, c);
	return s;
}

int
main(void)
{
	SRunner *runner = srunner_create(outlog_watch_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/*
 * The directory of output files: numbers that never come back, reading, removing, sweeping.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "fault.h"
#include "outlog_fixture.h"

START_TEST(a_file_is_appended_to_and_read_at_offsets)
{
	uint64_t number, bytes;
	char buf[64];
	int fd;

	number = take(&fd);
	ck_assert_int_ge(number, 1);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & (O_APPEND | O_ACCMODE), O_APPEND | O_WRONLY);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(write(fd, "hello ", 6), 6);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	ck_assert_int_eq(write(fd, "world", 5), 5);
	close(fd);
	ck_assert_int_eq(outlog_size(dir, number, &bytes), 0);
	ck_assert_uint_eq(bytes, 11);
	ck_assert_int_eq(outlog_read(dir, number, 0, buf, sizeof(buf)), 11);
	ck_assert_mem_eq(buf, "hello world", 11);
	ck_assert_int_eq(outlog_read(dir, number, 6, buf, 3), 3);
	ck_assert_mem_eq(buf, "wor", 3);
	ck_assert_int_eq(outlog_read(dir, number, 11, buf, sizeof(buf)), 0);
	ck_assert_int_eq(outlog_read(dir, number, UINT64_MAX, buf, sizeof(buf)), 0);
}
END_TEST

START_TEST(a_removed_file_is_told_by_an_error)
{
	uint64_t number = take_with("x", 1), bytes;
	char buf[4];

	ck_assert_int_eq(outlog_remove(dir, number), 0);
	ck_assert_int_eq(outlog_remove(dir, number), 0);
	ck_assert_int_eq(outlog_read(dir, number, 0, buf, sizeof(buf)), -ENOENT);
	ck_assert_int_eq(outlog_size(dir, number, &bytes), -ENOENT);
}
END_TEST

START_TEST(numbers_are_never_handed_out_twice)
{
	bool given[400] = {false};
	uint64_t number, highest = 0;
	int i, fd;

	for (i = 0; i < 200; i++) {
		if (i % 3 == 0)
			ck_assert_int_ge(outlog_dir_refill(dir), 0);
		number = take(&fd);
		close(fd);
		ck_assert_uint_lt(number, ARRAY_SIZE(given));
		ck_assert(!given[number]);
		given[number] = true;
		highest = MAX(highest, number);
		if (i % 50 == 49)
			reopen(highest);
		if (i % 2)
			ck_assert_int_eq(outlog_remove(dir, number), 0);
	}
	/* One that the caller knows of though its file is gone, and one that only the file tells. */
	reopen(1000);
	number = take(&fd);
	close(fd);
	ck_assert_uint_gt(number, 1000);
	reopen(0);
	ck_assert_uint_gt(take(&fd), number);
	close(fd);
}
END_TEST

START_TEST(ready_files_are_made_until_there_are_enough)
{
	int rounds = 0, rc, fd;

	while ((rc = outlog_dir_refill(dir)) > 0)
		ck_assert_int_lt(++rounds, 100);
	ck_assert_int_eq(rc, 0);
	ck_assert_int_gt(rounds, 0);
	take(&fd);
	close(fd);
	ck_assert_int_eq(outlog_dir_refill(dir), 0);
}
END_TEST

START_TEST(closing_leaves_no_file_that_no_task_has)
{
	char command[PATH_MAX + 64];
	int fd;

	while (outlog_dir_refill(dir) > 0)
		;
	take(&fd);
	close(fd);
	reopen(0);
	outlog_dir_free(dir);
	dir = NULL;
	snprintf(command, sizeof(command), "test $(ls '%.4000s' | wc -l) = 1", path);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

static ino_t
inode_of(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	return st.st_ino;
}

/* Removes the file of a number, takes another, and tells whether it is the same file. */
static bool
comes_back(uint64_t number, ino_t inode)
{
	uint64_t again;
	ino_t other;
	int fd;

	ck_assert_int_eq(outlog_remove(dir, number), 0);
	ck_assert_int_ne(access(file_path(number), F_OK), 0);
	again = take(&fd);
	other = inode_of(fd);
	ck_assert_uint_ne(again, number);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
	return other == inode;
}

START_TEST(an_empty_file_comes_back_under_a_new_number)
{
	struct outlog_watch *w;
	struct seen s;
	uint64_t number;
	ino_t inode;
	int fd;

	while (outlog_dir_refill(dir) > 0)
		;
	number = take(&fd);
	inode = inode_of(fd);
	close(fd);
	ck_assert(comes_back(number, inode));

	number = take(&fd);
	inode = inode_of(fd);
	ck_assert(!comes_back(number, inode)); /* somebody could still write to it */
	close(fd);

	number = take(&fd);
	inode = inode_of(fd);
	write_all(fd, "x", 1);
	close(fd);
	ck_assert(!comes_back(number, inode)); /* it holds something */

	number = take(&fd);
	inode = inode_of(fd);
	close(fd);
	w = watch(number, 0, 0, &s);
	ck_assert(!comes_back(number, inode)); /* its watch would see another task's output */
	outlog_watch_free(w);
}
END_TEST

static bool
is_owned(void *ctx, uint64_t number)
{
	return number == *(const uint64_t *)ctx;
}

START_TEST(sweeping_removes_what_no_task_owns)
{
	uint64_t owned = take_with("a", 1), stale = take_with("b", 1), fresh, bytes;
	char other[PATH_MAX + 16];

	snprintf(other, sizeof(other), "%s/012", path);
	close(open(other, O_CREAT | O_WRONLY, 0600));
	reopen(0);
	fresh = take_with("c", 1);
	ck_assert_int_eq(outlog_sweep(dir, is_owned, &owned), 1);
	ck_assert_int_eq(outlog_size(dir, owned, &bytes), 0);
	ck_assert_int_eq(outlog_size(dir, stale, &bytes), -ENOENT);
	ck_assert_int_eq(outlog_size(dir, fresh, &bytes), 0);
	ck_assert_int_eq(access(other, F_OK), 0); /* not ours: the name is no number of ours */
}
END_TEST

START_TEST(no_directory_or_descriptor_is_an_error_and_nothing_is_lost)
{
	struct rlimit old, none;
	struct outlog_dir *other;
	uint64_t number;
	int fd, probe;

	ck_assert_int_eq(outlog_dir_open("/proc/nowhere/output", 0, &other), -ENOENT);
	getrlimit(RLIMIT_NOFILE, &old);
	probe = dup(0);
	none = old;
	none.rlim_cur = (rlim_t)probe;
	close(probe);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(outlog_dir_refill(dir), -EMFILE);
	take(&probe); /* the one that was ready */
	ck_assert_int_eq(outlog_dir_open(path, 0, &other), -EMFILE);
	ck_assert_int_eq(outlog_take(dir, &number, &fd), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &old);
	close(probe);
	take(&fd);
	close(fd);
}
END_TEST

#ifdef TASKCTL_FAULTS
START_TEST(a_file_that_cannot_be_made_is_an_error_and_the_next_one_is_tried)
{
	uint64_t number;
	int fd;

	take(&fd);
	close(fd);
	fault_set("outlog.create:1:ENOSPC");
	ck_assert_int_eq(outlog_take(dir, &number, &fd), -ENOSPC);
	take(&fd);
	close(fd);
}
END_TEST
#endif

static Suite *
outlog_suite(void)
{
	Suite *s = suite_create("outlog");
	TCase *c = tcase_create("outlog");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, a_file_is_appended_to_and_read_at_offsets);
	tcase_add_test(c, a_removed_file_is_told_by_an_error);
	tcase_add_test(c, numbers_are_never_handed_out_twice);
	tcase_add_test(c, ready_files_are_made_until_there_are_enough);
	tcase_add_test(c, closing_leaves_no_file_that_no_task_has);
	tcase_add_test(c, an_empty_file_comes_back_under_a_new_number);
	tcase_add_test(c, sweeping_removes_what_no_task_owns);
	tcase_add_test(c, no_directory_or_descriptor_is_an_error_and_nothing_is_lost);
#ifdef TASKCTL_FAULTS
	tcase_add_test(c, a_file_that_cannot_be_made_is_an_error_and_the_next_one_is_tried);
#endif
	suite_add_tcase(s, c);
	return s;
}

int
main(void)
{
	SRunner *runner = srunner_create(outlog_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/*
 * Tests of spawner.h with a real taskspawnd: how runs begin and end, and that nothing of them is
 * left. Each test runs twice: _i is 0 without cgroups and 1 with them.
 */
#include "spawner_rig.h"

/* ---- how a leader ends ------------------------------------------------------------------- */

START_TEST(test_exit_codes)
{
	static const int codes[] = {0, 1, 2, 42, 126, 127, 128, 130, 143, 255};
	struct rig rig;
	char code[8];

	if (!rig_open(&rig, _i))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		struct run_report r;

		snprintf(code, sizeof code, "%d", codes[i]);
		rig_start(&rig, i + 1, "!", "exit", code, (char *)NULL);
		r = rig_wait(&rig, i + 1, RUN_OVER);
		ck_assert(!r.exit.signalled && !r.exit.core && !r.killed);
		ck_assert_int_eq(r.exit.code, codes[i]);
		ck_assert_uint_eq(r.leftover.total + r.unkillable.total, 0);
		ck_assert_int_gt(r.leader, 0);
		ck_assert_int_le(r.started_ns, r.ended_ns);
		ck_assert_int_gt(r.max_rss, 0);
		rig_forget(&rig, i + 1);
	}
	rig_close(&rig);
}
END_TEST

/* Whether a core is dumped is the machine's business: as if the program were run by hand. */
static int
status_by_hand(struct rig *rig, const char *signo)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (chdir(rig->dir) == 0)
			execl(rig->bad, rig->bad, "die", signo, (char *)NULL);
		_exit(99);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

START_TEST(test_signals)
{
	static const int signals[] = {
	    SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGKILL, SIGSEGV, SIGPIPE, SIGTERM, SIGUSR1, 34, 64};
	struct rig rig;
	char number[8];

	if (!rig_open(&rig, _i))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		struct run_report r;
		int status;

		snprintf(number, sizeof number, "%d", signals[i]);
		status = status_by_hand(&rig, number);
		rig_start(&rig, i + 1, "!", "die", number, (char *)NULL);
		r = rig_wait(&rig, i + 1, RUN_OVER);
		ck_assert(r.exit.signalled);
		ck_assert_int_eq(r.exit.code, signals[i]);
		ck_assert_int_eq(r.exit.core, WCOREDUMP(status) != 0);
		rig_forget(&rig, i + 1);
	}
	rig_close(&rig);
}
END_TEST

/* ---- what cannot be executed ------------------------------------------------------------- */

static void
make_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, mode);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	fchmod(fd, mode);
	close(fd);
}

static void
expect_unstarted(struct rig *rig, uint64_t task, const char *file, const char *cwd,
    enum run_stage stage, int error)
{
	const char *argv[] = {file, NULL};
	struct run_report r;

	rig_start_spec(rig, task, argv, cwd, (char *)NULL);
	r = rig_wait(rig, task, RUN_UNSTARTED);
	ck_assert_str_eq(run_stage_name(r.stage), run_stage_name(stage));
	ck_assert_int_eq(r.error, error);
	rig_forget(rig, task);
}

START_TEST(test_not_executable)
{
	struct rig rig;
	char *big;
	const char *argv[] = {"/bin/true", NULL, NULL};

	if (!rig_open(&rig, _i))
		return;
	make_file(rig_path(&rig, "data"), "x", 0644);
	make_file(rig_path(&rig, "text"), "echo hello\n", 0755);
	expect_unstarted(&rig, 1, "/no/such/program", "/", STAGE_EXEC, ENOENT);
	expect_unstarted(&rig, 2, "no-such-program", "/", STAGE_EXEC, ENOENT);
	expect_unstarted(&rig, 3, "/tmp", "/", STAGE_EXEC, EACCES);
	expect_unstarted(&rig, 4, rig_path(&rig, "data"), "/", STAGE_EXEC, EACCES);
	expect_unstarted(&rig, 5, rig_path(&rig, "text"), "/", STAGE_EXEC, ENOEXEC);
	expect_unstarted(&rig, 6, "/bin/true", "/no/such", STAGE_CHDIR, ENOENT);
	expect_unstarted(&rig, 7, "/bin/true", "/etc/passwd", STAGE_CHDIR, ENOTDIR);
	expect_unstarted(&rig, 8, "./data", rig.dir, STAGE_EXEC, EACCES);
	/* An argument that execve() does not take, in a message that needs a memfd. */
	big = xmalloc(200000);
	memset(big, 'x', 199999);
	big[199999] = '\0';
	argv[1] = big;
	rig_start_spec(&rig, 9, argv, "/", (char *)NULL);
	ck_assert_int_eq(rig_wait(&rig, 9, RUN_UNSTARTED).error, E2BIG);
	rig_forget(&rig, 9);
	big[100000] = '\0'; /* and one that it does */
	rig_start_spec(&rig, 10, argv, "/", (char *)NULL);
	ck_assert_int_eq(rig_wait(&rig, 10, RUN_OVER).exit.code, 0);
	rig_forget(&rig, 10);
	free(big);
	rig_close(&rig);
}
END_TEST

START_TEST(test_refused)
{
	struct rig rig;
	char blocker[160];

	if (!rig_open(&rig, _i))
		return;
	/* Where its directory should be there is a file. */
	snprintf(blocker, sizeof blocker, "%s/tasks/5-0", rig.runtime);
	make_file(blocker, "", 0600);
	rig_start(&rig, 5, "/bin/true", (char *)NULL);
	rig_until(&rig, rig.refused.task == 5);
	ck_assert_int_eq(rig.refused_error, ENOTDIR);
	ck_assert_int_eq(rig_phase(&rig, 5), RUN_ABSENT);
	unlink(blocker);
	/* A second start of the same run: the first one counts. */
	rig_start(&rig, 6, "!", "stay", rig_path(&rig, "up"), (char *)NULL);
	rig_until(&rig, rig_has(rig_path(&rig, "up")));
	rig_until(&rig, rig_phase(&rig, 6) == RUN_RUNNING && rig.changes[6] > 0);
	rig.changes[6] = 0;
	rig_start(&rig, 6, "/bin/false", (char *)NULL);
	rig_until(&rig, rig.changes[6] > 0);
	ck_assert_int_eq(rig_phase(&rig, 6), RUN_RUNNING);
	ck_assert_uint_eq(rig.refused.task, 5);
	spawner_kill(rig.sp, rig_key(6));
	rig_wait(&rig, 6, RUN_OVER);
	rig_forget(&rig, 6);
	rig_close(&rig);
}
END_TEST

/* ---- what a run inherits ----------------------------------------------------------------- */

START_TEST(test_inherits)
{
	static const char *const wanted[] = {"fds 0 1 2\n", "SigBlk:\t0000000000000000\n",
	    "SigIgn:\t0000000000000000\n", "NoNewPrivs:\t1\n", "session 1\n", "umask 027\n",
	    "nofile 1024\n", "env GREETING=hello\n", "env TASKCTL_ID=1\n"};
	struct rig rig;
	char line[256], *out;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	setenv("NOTIFY_SOCKET", "/run/not-for-tasks", 1);
	setenv("WATCHDOG_USEC", "1", 1);
	if (!rig_open(&rig, _i))
		return;
	rig_start(&rig, 1, "!", "report", (char *)NULL);
	rig_wait(&rig, 1, RUN_OVER);
	out = rig_read(rig_path(&rig, "out"));
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		ck_assert_msg(strstr(out, wanted[i]) != NULL, "%s not in %s", wanted[i], out);
	snprintf(line, sizeof line, "env TASKCTL_DIR=%s/tasks/1-0\n", rig.runtime);
	ck_assert_msg(strstr(out, line) != NULL, "%s not in %s", line, out);
	snprintf(line, sizeof line, "env TASKCTL_CANCEL_FILE=%s/tasks/1-0/", rig.runtime);
	ck_assert_ptr_nonnull(strstr(out, line));
	snprintf(line, sizeof line, "env NOTIFY_SOCKET=%s/tasks/1-0/notify\n", rig.runtime);
	ck_assert_ptr_nonnull(strstr(out, line));
	snprintf(line, sizeof line, "cwd %s\n", rig.dir);
	ck_assert_ptr_nonnull(strstr(out, line));
	ck_assert_ptr_null(strstr(out, "/nowhere"));
	ck_assert_ptr_null(strstr(out, "WATCHDOG"));
	rig_forget(&rig, 1);
	rig_close(&rig);
}
END_TEST

/* ---- trees ------------------------------------------------------------------------------- */

static const char *const hidings[] = {"0", "1", "2"};

START_TEST(test_leftover)
{
	struct rig rig;

	if (!rig_open(&rig, _i))
		return;
	/* A child that ignores SIGTERM: in the leader's group, in its own session, a daemon. */
	for (uint64_t n = 1; n <= ARRAY_SIZE(hidings); n++) {
		struct run_report r;
		pid_t child;

		rig_start(&rig, n, "!", "leave", hidings[n - 1], (char *)NULL);
		r = rig_wait(&rig, n, RUN_LEADER_ENDED);
		ck_assert_int_eq(r.exit.code, 0);
		ck_assert_uint_eq(r.leftover.total, 1);
		ck_assert_str_eq(r.leftover.proc[0].comm, "straggler");
		child = r.leftover.proc[0].pid;
		ck_assert(!rig_gone(child));
		r = rig_wait(&rig, n, RUN_OVER);
		ck_assert(rig_gone(child));
		ck_assert(!r.killed && !r.exit.signalled);
		ck_assert_uint_eq(r.leftover.total, 1);
		ck_assert_int_ge(proc_boottime_ns() - r.ended_ns, 900 * NS_PER_MS);
		rig_forget(&rig, n);
	}
	rig_close(&rig);
}
END_TEST

/* What ends at SIGTERM need not wait for the grace. */
START_TEST(test_leftover_obeys)
{
	struct rig rig;
	struct run_report r;

	if (!rig_open(&rig, _i))
		return;
	rig_start(&rig, 1, "/bin/sh", "-c",
	    "sleep 100 & until grep -q sleep /proc/$!/comm; do :; done; kill -STOP $!; exit 7",
	    (char *)NULL);
	r = rig_wait(&rig, 1, RUN_OVER);
	ck_assert_int_eq(r.exit.code, 7);
	ck_assert_uint_eq(r.leftover.total, 1);
	ck_assert_str_eq(r.leftover.proc[0].comm, "sleep");
	rig_forget(&rig, 1);
	rig_close(&rig);
}
END_TEST

START_TEST(test_kill_tree)
{
	struct rig rig;
	struct run_report r;

	if (!rig_open(&rig, _i))
		return;
	rig_start(&rig, 1, "!", "ignore", rig_path(&rig, "up"), (char *)NULL);
	rig_until(&rig, rig_has(rig_path(&rig, "up")));
	spawner_deliver(rig.sp, rig_key(1), NULL, 0, NULL, 0, SIGTERM, true);
	for (int i = 0; i < 5; i++)
		rig_turn(&rig);
	ck_assert_int_eq(rig_phase(&rig, 1), RUN_RUNNING);
	ck_assert_int_eq(spawner_kill(rig.sp, rig_key(1)), 0);
	r = rig_wait(&rig, 1, RUN_OVER);
	ck_assert(r.killed && r.exit.signalled);
	ck_assert_int_eq(r.exit.code, SIGKILL);
	ck_assert_uint_eq(r.leftover.total, 0);
	ck_assert(spawner_leader_gone(rig.sp, rig_key(1)));
	rig_forget(&rig, 1);
	/* Forty generations, and an order to kill that comes before the first has begun. */
	rig_start(&rig, 2, "!", "chain", "40", (char *)NULL);
	for (int i = 0; i < 3; i++)
		rig_turn(&rig);
	spawner_kill(rig.sp, rig_key(2));
	ck_assert_int_eq(rig_wait(&rig, 2, RUN_OVER).exit.code, SIGKILL);
	rig_forget(&rig, 2);
	rig_start(&rig, 3, "!", "stay", rig_path(&rig, "never"), (char *)NULL);
	spawner_kill(rig.sp, rig_key(3));
	ck_assert_int_eq(rig_wait(&rig, 3, RUN_OVER).exit.code, SIGKILL);
	rig_forget(&rig, 3);
	rig_close(&rig);
}
END_TEST

/* A file system that blocks whoever writes to it, out of SIGKILL's reach. */
START_TEST(test_unkillable)
{
	struct rig rig;
	struct run_report r;
	char cmd[512];

	if (!rig_open(&rig, _i))
		return;
	snprintf(cmd, sizeof cmd,
	    "cd %s && truncate -s 8M img && mkfs.ext4 -q img && mkdir mnt && mount -o loop img mnt "
	    "&& fsfreeze -f mnt",
	    rig.dir);
	if (geteuid() != 0 || system(cmd) != 0) {
		printf("skipped: a file system cannot be mounted and frozen here\n");
		rig_close(&rig);
		return;
	}
	rig_start(&rig, 1, "/bin/sh", "-c", "echo > up; (echo > mnt/x) & sleep 100", (char *)NULL);
	rig_until(&rig, rig_has(rig_path(&rig, "up")));
	rig_until(&rig, rig_phase(&rig, 1) == RUN_RUNNING);
	for (int i = 0; i < 10; i++)
		rig_turn(&rig);
	spawner_kill(rig.sp, rig_key(1));
	rig_until(&rig, (spawner_report(rig.sp, rig_key(1), &r), r.unkillable.total == 1));
	snprintf(cmd, sizeof cmd, "cd %s && fsfreeze -u mnt", rig.dir);
	ck_assert_int_eq(system(cmd), 0);
	ck_assert_int_ne(r.phase, RUN_OVER);
	r = rig_wait(&rig, 1, RUN_OVER);
	ck_assert_uint_eq(r.unkillable.total, 0);
	ck_assert(r.killed);
	snprintf(cmd, sizeof cmd, "umount %s/mnt", rig.dir);
	ck_assert_int_eq(system(cmd), 0);
	rig_forget(&rig, 1);
	rig_close(&rig);
}
END_TEST

/* ---- signals and freezing ---------------------------------------------------------------- */

static off_t
file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? 0 : st.st_size;
}

/* True once the file has stopped growing. */
static bool
is_still(struct rig *rig, const char *path)
{
	off_t before = file_size(path);

	rig_turn(rig);
	rig_turn(rig);
	return file_size(path) == before;
}

START_TEST(test_freeze)
{
	struct rig rig;
	char *ticks;
	off_t size;

	if (!rig_open(&rig, _i))
		return;
	ticks = rig_path(&rig, "ticks");
	rig_start(&rig, 1, "/bin/sh", "-c", "\"$0\" tick ticks; true", rig.bad, (char *)NULL);
	rig_until(&rig, file_size(ticks) > 3);
	spawner_freeze(rig.sp, rig_key(1), true);
	rig_until(&rig, is_still(&rig, ticks));
	size = file_size(ticks);
	spawner_freeze(rig.sp, rig_key(1), false);
	rig_until(&rig, file_size(ticks) > size);
	/* A delivery thaws. */
	spawner_freeze(rig.sp, rig_key(1), true);
	rig_until(&rig, is_still(&rig, ticks));
	spawner_deliver(rig.sp, rig_key(1), NULL, 0, NULL, 0, SIGTERM, true);
	ck_assert_int_eq(rig_wait(&rig, 1, RUN_OVER).exit.code, SIGTERM);
	rig_forget(&rig, 1);
	/* Killed while it is frozen. */
	rig_start(&rig, 2, "!", "ignore", rig_path(&rig, "up"), (char *)NULL);
	rig_until(&rig, rig_has(rig_path(&rig, "up")));
	spawner_freeze(rig.sp, rig_key(2), true);
	spawner_kill(rig.sp, rig_key(2));
	ck_assert(rig_wait(&rig, 2, RUN_OVER).killed);
	rig_forget(&rig, 2);
	rig_close(&rig);
}
END_TEST

START_TEST(test_stopped)
{
	struct rig rig;

	if (!rig_open(&rig, _i))
		return;
	rig_start(&rig, 1, "!", "stay", rig_path(&rig, "up1"), (char *)NULL);
	rig_until(&rig, rig_has(rig_path(&rig, "up1")));
	spawner_signal(rig.sp, rig_key(1), SIGSTOP);
	for (int i = 0; i < 3; i++)
		rig_turn(&rig);
	spawner_deliver(rig.sp, rig_key(1), NULL, 0, NULL, 0, SIGTERM, false);
	ck_assert_int_eq(rig_wait(&rig, 1, RUN_OVER).exit.code, SIGTERM);
	rig_forget(&rig, 1);
	rig_start(&rig, 2, "!", "ignore", rig_path(&rig, "up2"), (char *)NULL);
	rig_until(&rig, rig_has(rig_path(&rig, "up2")));
	spawner_signal(rig.sp, rig_key(2), SIGSTOP);
	spawner_kill(rig.sp, rig_key(2));
	ck_assert_int_eq(rig_wait(&rig, 2, RUN_OVER).exit.code, SIGKILL);
	rig_forget(&rig, 2);
	/* SIGKILL to the leader alone: the child it leaves is ended after it. */
	rig_start(&rig, 3, "!", "ignore", rig_path(&rig, "up3"), (char *)NULL);
	rig_until(&rig, rig_has(rig_path(&rig, "up3")));
	spawner_signal(rig.sp, rig_key(3), SIGKILL);
	ck_assert_uint_eq(rig_wait(&rig, 3, RUN_OVER).leftover.total, 1);
	rig_forget(&rig, 3);
	rig_close(&rig);
}
END_TEST

START_TEST(test_cancel_message)
{
	static const char json[] = "{\"msg\":\"gr\\u00fc\\u00df\\nGott\"}", text[] = "grüß\nGott";
	struct rig rig;
	char *big;

	if (!rig_open(&rig, _i))
		return;
	rig_start(&rig, 1, "!", "trap", rig_path(&rig, "up"), (char *)NULL);
	rig_until(&rig, rig_has(rig_path(&rig, "up")));
	spawner_deliver(rig.sp, rig_key(1), "old", 3, "old", 3, 0, true);
	spawner_deliver(
	    rig.sp, rig_key(1), json, sizeof json - 1, text, sizeof text - 1, SIGTERM, false);
	ck_assert_int_eq(rig_wait(&rig, 1, RUN_OVER).exit.code, 3);
	ck_assert_str_eq(
	    rig_read(rig_path(&rig, "out")), "{\"msg\":\"gr\\u00fc\\u00df\\nGott\"}grüß\nGott");
	rig_forget(&rig, 1);
	/* Too long for one message of the socket. */
	big = xmalloc(300000);
	memset(big, 'y', 300000);
	rig_start(&rig, 2, "!", "trap", rig_path(&rig, "up2"), (char *)NULL);
	rig_until(&rig, rig_has(rig_path(&rig, "up2")));
	spawner_deliver(rig.sp, rig_key(2), big, 300000, NULL, 0, SIGTERM, false);
	rig_wait(&rig, 2, RUN_OVER);
	ck_assert_int_ge(file_size(rig_path(&rig, "out")), 300000);
	rig_forget(&rig, 2);
	free(big);
	rig_close(&rig);
}
END_TEST

/* ---- the notify socket, the leader's end ------------------------------------------------- */

START_TEST(test_notify)
{
	struct rig rig;
	char buf[64];

	if (!rig_open(&rig, _i))
		return;
	rig_start(&rig, 1, "!", "say", "READY=1", "5", (char *)NULL);
	ck_assert_int_eq(rig_wait(&rig, 1, RUN_OVER).exit.code, 5);
	rig_until(&rig, rig.changes[1] > 0);
	ck_assert_int_ge(rig.notify[1], 0);
	ck_assert_int_eq(recv(rig.notify[1], buf, sizeof buf, 0), 7);
	ck_assert_mem_eq(buf, "READY=1", 7);
	rig_forget(&rig, 1);
	rig_close(&rig);
}
END_TEST

START_TEST(test_leader_gone)
{
	struct rig rig;
	struct run_report r;

	if (!rig_open(&rig, _i))
		return;
	rig_start(&rig, 1, "!", "headless", rig_path(&rig, "up"), (char *)NULL);
	rig_until(&rig, rig_has(rig_path(&rig, "up")));
	r = rig_wait(&rig, 1, RUN_RUNNING);
	/* Its first thread has ended and looks like a zombie; it lives all the same. */
	for (int i = 0; i < 5; i++)
		rig_turn(&rig);
	ck_assert(!spawner_leader_gone(rig.sp, rig_key(1)));
	ck_assert_int_eq(rig_phase(&rig, 1), RUN_RUNNING);
	rig_kill(r.leader, SIGKILL);
	rig_until(&rig, spawner_leader_gone(rig.sp, rig_key(1)));
	rig_wait(&rig, 1, RUN_OVER);
	rig_forget(&rig, 1);
	rig_close(&rig);
}
END_TEST

/* ---- many -------------------------------------------------------------------------------- */

START_TEST(test_thousand)
{
	enum { TOTAL = 1000, AT_ONCE = 50 };
	struct rig rig;
	char code[16];
	uint64_t started = 0, over = 0;
	struct stat st;
	char tasks[128];

	if (!rig_open(&rig, _i))
		return;
	while (over < TOTAL) {
		for (; started < TOTAL && started < over + AT_ONCE; started++) {
			snprintf(code, sizeof code, "exit %d", (int)(started % 256));
			rig_start(&rig, started + 1, "/bin/sh", "-c", code, (char *)NULL);
		}
		rig_until(&rig, rig_phase(&rig, over + 1) == RUN_OVER);
		for (; rig_phase(&rig, over + 1) == RUN_OVER; over++) {
			struct run_report r;

			spawner_report(rig.sp, rig_key(over + 1), &r);
			ck_assert_int_eq(r.exit.code, (int)(over % 256));
			rig_forget(&rig, over + 1);
		}
	}
	rig_start(&rig, 1500, "/bin/true", (char *)NULL);
	rig_wait(&rig, 1500, RUN_OVER);
	snprintf(tasks, sizeof tasks, "%s/tasks", rig.runtime);
	ck_assert_int_eq(stat(tasks, &st), 0);
	rig_forget(&rig, 1500);
	/* Slots and directories were given back. */
	rig_until(&rig, stat(tasks, &st) == 0 && st.st_nlink == 2);
	snprintf(tasks, sizeof tasks, "%s/status", rig.runtime);
	ck_assert_int_eq(stat(tasks, &st), 0);
	ck_assert_int_lt(st.st_blocks * 512, 1 << 20);
	rig_close(&rig);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {test_exit_codes, test_signals, test_not_executable,
	    test_refused, test_inherits, test_leftover, test_leftover_obeys, test_kill_tree,
	    test_unkillable, test_freeze, test_stopped, test_cancel_message, test_notify,
	    test_leader_gone, test_thousand};

	return rig_main("spawner", tests, ARRAY_SIZE(tests), 2);
}

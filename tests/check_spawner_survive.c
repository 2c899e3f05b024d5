/*
 * Tests of spawner.h with a real taskspawnd: what becomes of runs when taskctld, taskspawnd or a
 * monitor dies. Each test runs twice: _i is 0 without cgroups and 1 with them.
 */
#include "spawner_rig.h"

static pid_t
monitor_of(const struct run_report *r)
{
	struct proc_stat st;

	ck_assert_int_eq(proc_stat(r->leader, &st), 0);
	return st.ppid;
}

static void
expect_datagram(struct rig *rig, uint64_t task, const char *text)
{
	char buf[64];
	ssize_t n;

	rig_until(rig, rig->notify[task] >= 0);
	n = recv(rig->notify[task], buf, sizeof buf, MSG_DONTWAIT);
	ck_assert_int_eq(n, (ssize_t)strlen(text));
	ck_assert_mem_eq(buf, text, (size_t)n);
}

static void
count_one(void *ctx, const struct run_report *r)
{
	unsigned *seen = ctx;

	ck_assert_uint_lt(r->key.task, 32);
	*seen |= 1u << r->key.task;
}

/* ---- taskctld dies ----------------------------------------------------------------------- */

START_TEST(test_taskctld_dies)
{
	struct rig rig;
	struct run_report before, after;
	unsigned seen = 0;

	if (!rig_open(&rig, _i))
		return;
	rig_start(&rig, 1, "/bin/sh", "-c",
	    "echo > up1; until test -e go; do sleep 0.02; done; \"$0\" say SAID=1 0; echo > said; "
	    "until test -e end; do sleep 0.02; done; exit 9",
	    rig.bad, NULL);
	rig_start(&rig, 2, "/bin/sh", "-c",
	    "until test -e go; do sleep 0.02; done; \"$0\" say LAST=1 0; exit 4", rig.bad, NULL);
	rig_start(
	    &rig, 3, "/bin/sh", "-c", "until test -e go; do sleep 0.02; done; kill -9 $$", NULL);
	rig_start(&rig, 4, "/bin/true", (char *)NULL);
	rig_wait(&rig, 4, RUN_OVER);
	before = rig_wait(&rig, 1, RUN_RUNNING);
	rig_wait(&rig, 2, RUN_RUNNING);
	rig_wait(&rig, 3, RUN_RUNNING);
	rig_forget(&rig, 4);
	rig_disconnect(&rig);
	close(open(rig_path(&rig, "go"), O_CREAT | O_WRONLY, 0644));
	for (int ms = 0; ms < RIG_PATIENCE_MS && !rig_has(rig_path(&rig, "said")); ms += 5)
		poll(NULL, 0, 5);
	memset(rig.changes, 0, sizeof rig.changes);
	rig.gone_before_notify_fine = true; /* 3 has no notify socket any more */
	rig_connect(&rig);
	spawner_each(rig.sp, count_one, &seen);
	ck_assert_uint_eq(seen, 1u << 1 | 1u << 2 | 1u << 3);
	after = rig_wait(&rig, 1, RUN_RUNNING);
	ck_assert_int_eq(after.leader, before.leader);
	ck_assert_uint_eq(after.leader_start, before.leader_start);
	ck_assert_int_eq(after.started_ns, before.started_ns);
	expect_datagram(&rig, 1, "SAID=1");
	ck_assert_int_eq(rig_wait(&rig, 2, RUN_OVER).exit.code, 4);
	expect_datagram(&rig, 2, "LAST=1");
	ck_assert_int_eq(rig_wait(&rig, 3, RUN_OVER).exit.code, SIGKILL);
	rig_until(&rig, rig.changes[1] > 0 && rig.changes[2] > 0 && rig.changes[3] > 0);
	close(open(rig_path(&rig, "end"), O_CREAT | O_WRONLY, 0644));
	ck_assert_int_eq(rig_wait(&rig, 1, RUN_OVER).exit.code, 9);
	for (uint64_t n = 1; n <= 3; n++)
		rig_forget(&rig, n);
	rig_close(&rig);
}
END_TEST

/* What an old taskctld has ordered is seen before the new one is welcomed. */
START_TEST(test_last_orders)
{
	struct rig rig;
	unsigned seen = 0;

	if (!rig_open(&rig, _i))
		return;
	rig.gone_before_notify_fine = true;
	for (uint64_t n = 1; n <= 20; n++)
		rig_start(&rig, n, "!", "stay", rig_path(&rig, "up"), (char *)NULL);
	rig_disconnect(&rig);
	rig_connect(&rig);
	spawner_each(rig.sp, count_one, &seen);
	ck_assert_uint_eq(seen, ((1u << 20) - 1) << 1);
	for (uint64_t n = 1; n <= 20; n++)
		spawner_kill(rig.sp, rig_key(n));
	for (uint64_t n = 1; n <= 20; n++) {
		rig_wait(&rig, n, RUN_OVER);
		rig_forget(&rig, n);
	}
	rig_close(&rig);
}
END_TEST

/* ---- taskspawnd dies --------------------------------------------------------------------- */

static void
kill_spawnd(struct rig *rig)
{
	pid_t pid = rig_spawnd_pid(rig);

	ck_assert_int_gt(pid, 0);
	rig_kill(pid, SIGKILL);
	rig_wait_gone(pid);
	rig_until(rig, rig->ups > 0);
	ck_assert_int_eq(rig->downs, 1);
	ck_assert(spawner_ready(rig->sp));
	ck_assert_int_ne(rig_spawnd_pid(rig), pid);
	rig->ups = rig->downs = 0;
}

START_TEST(test_taskspawnd_dies)
{
	struct rig rig;
	struct run_report before, after;

	if (!rig_open(&rig, _i))
		return;
	rig_start(&rig, 1, "!", "say", "EARLY=1", (char *)NULL);
	rig_start(&rig, 2, "!", "trap", rig_path(&rig, "up2"), (char *)NULL);
	rig_start(&rig, 3, "!", "ignore", rig_path(&rig, "up3"), (char *)NULL);
	rig_start(&rig, 4, "/bin/sh", "-c", "until test -e go; do sleep 0.02; done; exit 6", NULL);
	before = rig_wait(&rig, 1, RUN_RUNNING);
	rig_until(&rig, rig_has(rig_path(&rig, "up2")) && rig_has(rig_path(&rig, "up3")));
	rig_wait(&rig, 4, RUN_RUNNING);
	kill_spawnd(&rig);
	after = rig_wait(&rig, 1, RUN_RUNNING);
	ck_assert_int_eq(before.leader, after.leader);
	ck_assert(!rig_gone(after.leader));
	expect_datagram(&rig, 1, "EARLY=1");
	/* Orders still arrive. */
	spawner_deliver(rig.sp, rig_key(2), "{}", 2, "why", 3, SIGTERM, false);
	ck_assert_int_eq(rig_wait(&rig, 2, RUN_OVER).exit.code, 3);
	spawner_kill(rig.sp, rig_key(3));
	ck_assert(rig_wait(&rig, 3, RUN_OVER).killed);
	/* Twice, and one that ends meanwhile. */
	close(open(rig_path(&rig, "go"), O_CREAT | O_WRONLY, 0644));
	kill_spawnd(&rig);
	ck_assert_int_eq(rig_wait(&rig, 4, RUN_OVER).exit.code, 6);
	spawner_kill(rig.sp, rig_key(1));
	rig_wait(&rig, 1, RUN_OVER);
	/* And new ones begin. */
	rig_start(&rig, 5, "!", "exit", "8", (char *)NULL);
	ck_assert_int_eq(rig_wait(&rig, 5, RUN_OVER).exit.code, 8);
	for (uint64_t n = 1; n <= 5; n++)
		rig_forget(&rig, n);
	rig.changed_first = false; /* of those that were over, it is not expected */
	rig_close(&rig);
}
END_TEST

START_TEST(test_taskspawnd_told_to_stop)
{
	struct rig rig;
	pid_t spawnd;
	struct run_report r;

	if (!rig_open(&rig, _i))
		return;
	rig_start(&rig, 1, "!", "ignore", rig_path(&rig, "up"), (char *)NULL);
	rig_until(&rig, rig_has(rig_path(&rig, "up")));
	r = rig_wait(&rig, 1, RUN_RUNNING);
	spawnd = rig_spawnd_pid(&rig);
	rig_kill(spawnd, SIGTERM);
	rig_wait_gone(spawnd);
	ck_assert(rig_gone(r.leader));
	r = rig_wait(&rig, 1, RUN_OVER); /* the file outlives it */
	ck_assert(r.killed);
	rig.gone_before_notify_fine = true;
	rig_until(&rig, rig.ups > 0);
	rig_wait(&rig, 1, RUN_OVER);
	rig_forget(&rig, 1);
	rig_close(&rig);
}
END_TEST

START_TEST(test_only_one)
{
	struct rig rig;
	pid_t pid;
	int status;

	if (!rig_open(&rig, _i))
		return;
	pid = fork();
	if (pid == 0) {
		execl(rig.program, "taskspawnd", "--runtime-dir", rig.runtime, (char *)NULL);
		_exit(99);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), 75);
	rig_start(&rig, 1, "!", "exit", "1", (char *)NULL);
	ck_assert_int_eq(rig_wait(&rig, 1, RUN_OVER).exit.code, 1);
	rig_forget(&rig, 1);
	rig_close(&rig);
}
END_TEST

/* ---- monitors die ------------------------------------------------------------------------ */

static pid_t
straggler_of(struct rig *rig)
{
	char *pid = rig_read(rig_path(rig, "pid"));

	return (pid_t)atoi(pid);
}

/* A leader with a daemon beside it; the pid of the daemon is in the file. */
static struct run_report
start_with_daemon(struct rig *rig, uint64_t task)
{
	rig_start(rig, task, "/bin/sh", "-c",
	    "setsid sh -c 'trap \"\" TERM; echo $$ > pid; echo > up; sleep 100' & sleep 100", NULL);
	rig_until(rig, rig_has(rig_path(rig, "up")));
	ck_assert(!rig_gone(straggler_of(rig)));
	return rig_wait(rig, task, RUN_RUNNING);
}

START_TEST(test_monitor_dies)
{
	struct rig rig;
	struct run_report r;
	pid_t straggler;

	if (!rig_open(&rig, _i))
		return;
	r = start_with_daemon(&rig, 1);
	straggler = straggler_of(&rig);
	rig_kill(monitor_of(&r), SIGKILL);
	rig_wait(&rig, 1, RUN_LOST);
	ck_assert(rig_gone(r.leader) && rig_gone(straggler));
	rig_forget(&rig, 1);
	rig_close(&rig);
}
END_TEST

/* Its tree has nothing in common with the run any more but its descent. */
START_TEST(test_monitor_dies_no_trace)
{
	struct rig rig;
	struct run_report r;

	if (!rig_open(&rig, _i))
		return;
	rig_start(
	    &rig, 1, "/usr/bin/env", "-i", rig.bad, "ignore", rig_path(&rig, "up"), (char *)NULL);
	rig_until(&rig, rig_has(rig_path(&rig, "up")));
	r = rig_wait(&rig, 1, RUN_RUNNING);
	rig_kill(monitor_of(&r), SIGKILL);
	rig_wait(&rig, 1, RUN_LOST);
	rig_wait_gone(r.leader);
	rig_forget(&rig, 1);
	rig_close(&rig);
}
END_TEST

START_TEST(test_both_die)
{
	struct rig rig;
	struct run_report r;
	pid_t straggler, spawnd;

	if (!rig_open(&rig, _i))
		return;
	r = start_with_daemon(&rig, 1);
	straggler = straggler_of(&rig);
	spawnd = rig_spawnd_pid(&rig);
	rig_disconnect(&rig);
	rig_kill(spawnd, SIGKILL);
	rig_kill(monitor_of(&r), SIGKILL);
	rig_wait_gone(spawnd);
	rig.gone_before_notify_fine = true;
	rig_connect(&rig);
	rig_wait(&rig, 1, RUN_LOST);
	ck_assert(rig_gone(r.leader) && rig_gone(straggler));
	rig_forget(&rig, 1);
	rig_close(&rig);
}
END_TEST

/* The leader's exit was on record: it is not lost with the monitor that was ending the rest. */
START_TEST(test_monitor_dies_late)
{
	struct rig rig;
	struct run_report r;
	struct proc_stat st;
	pid_t child;

	if (!rig_open(&rig, _i))
		return;
	rig_start(&rig, 1, "!", "leave", "0", (char *)NULL);
	r = rig_wait(&rig, 1, RUN_LEADER_ENDED);
	child = r.leftover.proc[0].pid;
	ck_assert_int_eq(proc_stat(child, &st), 0);
	rig_kill(st.ppid, SIGKILL);
	r = rig_wait(&rig, 1, RUN_OVER);
	ck_assert_int_eq(r.exit.code, 0);
	ck_assert(rig_gone(child));
	rig_forget(&rig, 1);
	rig_close(&rig);
}
END_TEST

/* One that somebody has stopped holds up nobody else. */
START_TEST(test_monitor_stopped)
{
	struct rig rig;
	struct run_report r;
	pid_t monitor;

	if (!rig_open(&rig, _i))
		return;
	rig_start(&rig, 1, "!", "stay", rig_path(&rig, "up"), (char *)NULL);
	rig_until(&rig, rig_has(rig_path(&rig, "up")));
	r = rig_wait(&rig, 1, RUN_RUNNING);
	monitor = monitor_of(&r);
	rig_kill(monitor, SIGSTOP);
	rig_disconnect(&rig);
	rig.gone_before_notify_fine = true;
	memset(rig.changes, 0, sizeof rig.changes);
	rig_connect(&rig);
	rig_start(&rig, 2, "/bin/true", (char *)NULL);
	rig_wait(&rig, 2, RUN_OVER);
	rig_until(&rig, rig.changes[1] > 0); /* given up after a while */
	ck_assert_int_lt(rig.notify[1], 0);
	rig_kill(monitor, SIGCONT);
	rig_until(&rig, rig.notify[1] >= 0);
	spawner_kill(rig.sp, rig_key(1));
	rig_wait(&rig, 1, RUN_OVER);
	rig_forget(&rig, 1);
	rig_forget(&rig, 2);
	rig_close(&rig);
}
END_TEST

/* ---- full pipes -------------------------------------------------------------------------- */

START_TEST(test_wakes_overflow)
{
	struct rig rig;
	char path[128];
	const uint32_t none = UINT32_MAX;
	int fd;

	if (!rig_open(&rig, _i))
		return;
	rig_start(&rig, 1, "/bin/sh", "-c", "until test -e go; do sleep 0.02; done", NULL);
	rig_wait(&rig, 1, RUN_RUNNING);
	rig_until(&rig, rig.changes[1] > 0);
	snprintf(path, sizeof path, "%s/wake", rig.runtime);
	fd = open(path, O_WRONLY | O_NONBLOCK);
	while (write(fd, &none, sizeof none) > 0)
		;
	close(fd);
	rig.changes[1] = 0;
	close(open(rig_path(&rig, "go"), O_CREAT | O_WRONLY, 0644));
	for (int ms = 0; ms < RIG_PATIENCE_MS && rig_phase(&rig, 1) != RUN_OVER; ms += 2)
		poll(NULL, 0, 2);
	ck_assert_uint_eq(rig.changes[1], 0);
	rig_until(&rig, rig.changes[1] > 0);
	rig_forget(&rig, 1);
	rig_close(&rig);
}
END_TEST

/* Orders that the socket does not take wait, in order, and block nothing. */
START_TEST(test_orders_queue)
{
	enum { RUNS = 400 };
	struct rig rig;
	pid_t spawnd;
	int64_t began;

	if (!rig_open(&rig, _i))
		return;
	spawnd = rig_spawnd_pid(&rig);
	rig_kill(spawnd, SIGSTOP);
	began = proc_boottime_ns();
	for (uint64_t n = 1; n <= RUNS; n++) {
		rig_start(&rig, n, "!", "stay", rig_path(&rig, "up"), (char *)NULL);
		for (int i = 0; i < 5; i++)
			spawner_signal(rig.sp, rig_key(n), SIGCONT);
		spawner_kill(rig.sp, rig_key(n));
	}
	ck_assert_int_lt(proc_boottime_ns() - began, 5000 * NS_PER_MS);
	rig_kill(spawnd, SIGCONT);
	for (uint64_t n = 1; n <= RUNS; n++) {
		ck_assert_int_eq(rig_wait(&rig, n, RUN_OVER).exit.code, SIGKILL);
		rig_forget(&rig, n);
	}
	rig_close(&rig);
}
END_TEST

/* ---- memory and wake-ups ----------------------------------------------------------------- */

static long
private_kib(pid_t pid)
{
	char path[64], line[256];
	long total = 0, n;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "Private_Clean: %ld", &n) == 1 ||
		    sscanf(line, "Private_Dirty: %ld", &n) == 1)
			total += n;
	if (f != NULL)
		fclose(f);
	return total;
}

static long
switches(pid_t pid)
{
	char path[64], line[256];
	long n, total = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1)
			total += n;
	if (f != NULL)
		fclose(f);
	return total;
}

START_TEST(test_idle)
{
	struct rig rig;
	struct run_report r;
	pid_t monitor, spawnd;
	long kib, before;

	if (!rig_open(&rig, _i))
		return;
	rig_start(&rig, 1, "!", "stay", rig_path(&rig, "up"), (char *)NULL);
	rig_until(&rig, rig_has(rig_path(&rig, "up")));
	r = rig_wait(&rig, 1, RUN_RUNNING);
	monitor = monitor_of(&r);
	spawnd = rig_spawnd_pid(&rig);
	for (int i = 0; i < 10; i++)
		rig_turn(&rig);
	before = switches(monitor) + switches(spawnd);
	ck_assert_int_gt(before, 0);
	poll(NULL, 0, 1000);
	ck_assert_int_eq(switches(monitor) + switches(spawnd), before);
	kib = private_kib(monitor);
	printf("an idle monitor has %ld KiB of its own\n", kib);
#if !defined(__SANITIZE_ADDRESS__)
	ck_assert_int_lt(kib, 100); /* 0: not ours to see */
#endif
	spawner_kill(rig.sp, rig_key(1));
	rig_wait(&rig, 1, RUN_OVER);
	rig_forget(&rig, 1);
	rig_close(&rig);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {test_taskctld_dies, test_last_orders, test_taskspawnd_dies,
	    test_taskspawnd_told_to_stop, test_only_one, test_monitor_dies,
	    test_monitor_dies_no_trace, test_both_die, test_monitor_dies_late, test_monitor_stopped,
	    test_wakes_overflow, test_orders_queue, test_idle};

	return rig_main("spawner_survive", tests, ARRAY_SIZE(tests), 2);
}

/*
 * For tests of spawner.h: a runtime directory, a real taskspawnd, an event loop, and waiting for
 * what a run comes to. Included by one file each; everything is static.
 */
#ifndef TASKCTL_SPAWNER_RIG_H
#define TASKCTL_SPAWNER_RIG_H

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc.h"
#include "spawner.h"
#include "util.h"

#define RIG_RUNS        2048
#define RIG_PATIENCE_MS 20000
#define RIG_ARGS_MAX    16
#define UNUSED_IN_SOME  __attribute__((unused))

struct rig {
	struct event_base *base;
	struct spawner *sp;
	struct spawner_opts opts;
	char dir[64];      /* of the test */
	char runtime[80];  /* in it */
	char program[256]; /* taskspawnd */
	char bad[256];     /* misbehave */
	int notify[RIG_RUNS];
	unsigned changes[RIG_RUNS];
	bool changed_first; /* before its notify_fd: must not be */
	bool gone_before_notify_fine;
	struct run_key refused;
	enum run_stage refused_stage;
	int refused_error;
	int ups, downs;
};

/* ---- callbacks --------------------------------------------------------------------------- */

static void
rig_changed(void *ctx, struct run_key key)
{
	struct rig *rig = ctx;

	ck_assert_uint_lt(key.task, RIG_RUNS);
	if (rig->notify[key.task] < 0 && !rig->gone_before_notify_fine)
		rig->changed_first = true;
	rig->changes[key.task]++;
}

static void
rig_notify_fd(void *ctx, struct run_key key, int fd)
{
	struct rig *rig = ctx;

	ck_assert_uint_lt(key.task, RIG_RUNS);
	ck_assert_int_lt(rig->notify[key.task], 0); /* once */
	rig->notify[key.task] = fd;
}

static void
rig_refused(void *ctx, struct run_key key, enum run_stage stage, int error)
{
	struct rig *rig = ctx;

	rig->refused = key;
	rig->refused_stage = stage;
	rig->refused_error = error;
}

static void
rig_connection(void *ctx, bool ready)
{
	struct rig *rig = ctx;

	if (ready) {
		rig->ups++;
		/* They come anew. */
		for (int i = 0; i < RIG_RUNS; i++)
			close_fd(&rig->notify[i]);
	} else {
		rig->downs++;
	}
}

static const struct spawner_callbacks rig_callbacks = {.changed = rig_changed,
    .notify_fd = rig_notify_fd,
    .refused = rig_refused,
    .connection = rig_connection};

/* ---- life -------------------------------------------------------------------------------- */

static const char *
build_dir(void)
{
	const char *dir = getenv("TASKCTL_BUILD");

	return dir != NULL ? dir : "build";
}

static void
rig_connect(struct rig *rig)
{
	ck_assert_int_eq(spawner_new(rig->base, &rig->opts, &rig_callbacks, rig, &rig->sp), 0);
	ck_assert(spawner_ready(rig->sp));
}

/* False, with a line that says so, where cgroups were asked for and there are none. */
static bool
rig_open(struct rig *rig, bool cgroups)
{
	char cwd[128];

	memset(rig, 0, sizeof *rig);
	for (int i = 0; i < RIG_RUNS; i++)
		rig->notify[i] = -1;
	snprintf(rig->dir, sizeof rig->dir, "%s/XXXXXX", getenv("TASKCTL_RIG"));
	ck_assert_ptr_nonnull(mkdtemp(rig->dir));
	snprintf(rig->runtime, sizeof rig->runtime, "%s/run", rig->dir);
	ck_assert_ptr_nonnull(getcwd(cwd, sizeof cwd));
	if (build_dir()[0] == '/')
		cwd[0] = '\0';
	snprintf(rig->program, sizeof rig->program, "%s/%s/taskspawnd", cwd, build_dir());
	snprintf(rig->bad, sizeof rig->bad, "%s/%s/tests/misbehave", cwd, build_dir());
	rig->opts = (struct spawner_opts){
	    .runtime_dir = rig->runtime, .program = rig->program, .use_cgroups = cgroups};
	rig->base = event_base_new();
	rig_connect(rig);
	if (!cgroups || strcmp(spawner_containment(rig->sp), "cgroup") == 0)
		return true;
	printf("skipped: no cgroup here that could be written to\n");
	return false;
}

static int
rig_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void
rig_disconnect(struct rig *rig)
{
	spawner_free(rig->sp);
	rig->sp = NULL;
	for (int i = 0; i < RIG_RUNS; i++)
		close_fd(&rig->notify[i]);
}

/* taskspawnd's pid, which it wrote into its lock file. 0: none. */
static pid_t
rig_spawnd_pid(struct rig *rig)
{
	char path[128], text[16] = "";
	struct proc_stat st;
	int fd;

	snprintf(path, sizeof path, "%s/spawnd.lock", rig->runtime);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
		text[0] = '\0';
	close_fd(&fd);
	if (proc_stat((pid_t)atoi(text), &st) < 0 || strcmp(st.comm, "taskspawnd") != 0)
		return 0;
	return st.pid;
}

/* Never to "process 0", which would be the test itself. */
static UNUSED_IN_SOME void
rig_kill(pid_t pid, int signo)
{
	ck_assert_int_gt(pid, 1);
	ck_assert_int_eq(kill(pid, signo), 0);
}

static bool
rig_gone(pid_t pid)
{
	struct proc_stat st;

	return pid <= 0 || proc_stat(pid, &st) < 0 || (st.state == 'Z' && st.threads <= 1);
}

static void
rig_wait_gone(pid_t pid)
{
	for (int ms = 0; ms < RIG_PATIENCE_MS && !rig_gone(pid); ms += 2)
		poll(NULL, 0, 2);
	ck_assert_msg(rig_gone(pid), "process %d is still there", (int)pid);
}

/* Without runs and without us taskspawnd must go by itself. */
static void
rig_close(struct rig *rig)
{
	pid_t spawnd = rig_spawnd_pid(rig);

	ck_assert(!rig->changed_first);
	rig_disconnect(rig);
	event_base_free(rig->base);
	rig_wait_gone(spawnd);
	nftw(rig->dir, rig_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- the loop ---------------------------------------------------------------------------- */

static void
rig_turn(struct rig *rig)
{
	struct timeval tv = {.tv_usec = 20000};

	event_base_loopexit(rig->base, &tv);
	event_base_loop(rig->base, EVLOOP_ONCE);
}

#define rig_until(rig, condition)                                                  \
	do {                                                                       \
		int64_t until_ = proc_boottime_ns() + RIG_PATIENCE_MS * NS_PER_MS; \
		while (!(condition) && proc_boottime_ns() < until_)                \
			rig_turn(rig);                                             \
		ck_assert_msg(condition, "in time: " #condition);                  \
	} while (0)

static struct run_key
rig_key(uint64_t task)
{
	return (struct run_key){.task = task};
}

static enum run_phase
rig_phase(struct rig *rig, uint64_t task)
{
	struct run_report r;

	spawner_report(rig->sp, rig_key(task), &r);
	return r.phase;
}

static UNUSED_IN_SOME struct run_report
rig_wait(struct rig *rig, uint64_t task, enum run_phase phase)
{
	struct run_report r;

	rig_until(rig, rig_phase(rig, task) == phase);
	spawner_report(rig->sp, rig_key(task), &r);
	return r;
}

static bool
rig_has(const char *path)
{
	return access(path, F_OK) == 0;
}

/* A path in the test's directory; good until the fourth call after. */
static UNUSED_IN_SOME char *
rig_path(struct rig *rig, const char *name)
{
	static char path[4][160];
	static int n;

	n = (n + 1) % 4;
	snprintf(path[n], sizeof path[n], "%s/%s", rig->dir, name);
	return path[n];
}

static UNUSED_IN_SOME char *
rig_read(const char *path)
{
	static char text[16384];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* ---- runs -------------------------------------------------------------------------------- */

static void
rig_start_spec(
    struct rig *rig, uint64_t task, const char *const *argv, const char *cwd, const char *output)
{
	char id[48];
	const char *env[] = {
	    "PATH=/usr/bin:/bin", "GREETING=hello", "NOTIFY_SOCKET=/nowhere", id, NULL};
	struct run_spec spec = {.key = rig_key(task),
	    .argv = argv,
	    .env = env,
	    .cwd = cwd,
	    .umask = 027,
	    .stdin_fd = -1,
	    .stdout_fd = -1,
	    .stderr_fd = -1,
	    .no_new_privs = true,
	    .title = "taskctl: a test"};

	snprintf(id, sizeof id, "TASKCTL_ID=%llu", (unsigned long long)task);
	if (output != NULL) {
		spec.stdout_fd = open(output, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
		ck_assert_int_ge(spec.stdout_fd, 0);
	}
	ck_assert_int_eq(spawner_start(rig->sp, &spec), 0);
	close_fd(&spec.stdout_fd);
}

/* Starts argv..., NULL; "!" as argv[0] is the misbehaving program. */
static void
rig_start(struct rig *rig, uint64_t task, ...)
{
	const char *argv[RIG_ARGS_MAX] = {0};
	va_list ap;

	va_start(ap, task);
	for (int i = 0; i < RIG_ARGS_MAX - 1 && (argv[i] = va_arg(ap, const char *)) != NULL; i++)
		;
	va_end(ap);
	if (strcmp(argv[0], "!") == 0)
		argv[0] = rig->bad;
	rig_start_spec(rig, task, argv, rig->dir, rig_path(rig, "out"));
}

static void
rig_forget(struct rig *rig, uint64_t task)
{
	ck_assert_int_eq(spawner_forget(rig->sp, rig_key(task)), 0);
	ck_assert_int_eq(rig_phase(rig, task), RUN_ABSENT);
	close_fd(&rig->notify[task]);
}

/* ---- main -------------------------------------------------------------------------------- */

/* Whatever failed tests have left behind became ours. */
static void
rig_sweep(void)
{
	struct pidset *set = xcalloc(1, sizeof *set);

	for (int pass = 0; pass < 100; pass++) {
		memset(set, 0, sizeof *set);
		proc_descendants(getpid(), set);
		for (int i = 0; i < PIDSET_SLOTS; i++)
			if (set->slot[i] != 0)
				kill(set->slot[i], SIGKILL);
		while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
			;
		if (set->count == 0)
			break;
		poll(NULL, 0, 5);
	}
	free(set);
}

static int
rig_main(const char *name, const TTest *const *tests, size_t n, int ways)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);
	SRunner *runner;
	char root[64];
	int failed;

	snprintf(root, sizeof root, "/tmp/taskctl-rig-%d", (int)getpid());
	if (mkdir(root, 0700) < 0 || setenv("TASKCTL_RIG", root, 1) < 0)
		return EXIT_FAILURE;
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	tcase_set_timeout(tcase, 90);
	for (size_t i = 0; i < n; i++)
		tcase_add_loop_test(tcase, tests[i], 0, ways);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	rig_sweep();
	nftw(root, rig_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif

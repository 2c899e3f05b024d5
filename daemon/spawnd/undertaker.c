/*
 * Clears up after a monitor that was killed: its exit status is lost, its processes must go.
 */
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "monitor.h"

#define NS_MS            INT64_C(1000000)
#define UNKILLABLE_AFTER (5000 * NS_MS)
#define KILLED_MAX       64
#define PAUSE_MIN        (2 * NS_MS)
#define PAUSE_MAX        (1000 * NS_MS)

/* Nothing tells of the end of processes that are no children of ours. */
static void
pause_ns(int64_t ns)
{
	struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	nanosleep(&ts, NULL);
}

/* What was killed, so that its end can be waited for: a process that is going has no environment
   any more to know it by. */
struct killed {
	unsigned count;
	struct {
		pid_t pid;
		uint64_t start;
	} proc[KILLED_MAX];
};

static void
kill_one(void *ctx, int procfd, const struct proc_stat *st)
{
	struct killed *k = ctx;

	proc_signal(procfd, SIGKILL);
	if (k->count == KILLED_MAX) /* the next look finds it */
		return;
	k->proc[k->count].pid = st->pid;
	k->proc[k->count++].start = st->start;
}

static void
drop_gone(struct killed *k)
{
	while (k->count > 0 && !proc_is(k->proc[k->count - 1].pid, k->proc[k->count - 1].start))
		k->count--;
}

static void
kill_all(const struct keeper *k, struct tree *t, struct stat_record *rec)
{
	int64_t began = proc_boottime_ns(), pause = PAUSE_MIN;
	struct killed killed = {0};

	for (;;) {
		if (t->cgfd >= 0)
			cgroup_kill(t->cgfd);
		tree_each(t, TREE_ALL, kill_one, &killed);
		if (killed.count == 0 && (t->cgfd < 0 || !cgroup_populated(t->cgfd)))
			break;
		if (proc_boottime_ns() - began > UNKILLABLE_AFTER &&
		    tree_list(t, true, &rec->unkillable))
			keeper_publish(k, rec);
		pause_ns(pause);
		pause = pause * 2 < PAUSE_MAX ? pause * 2 : PAUSE_MAX;
		drop_gone(&killed);
	}
	rec->unkillable = (struct stat_procs){0};
}

void
undertaker_run(const struct keeper *keeper, const char *env_id, const char *env_dir)
{
	struct keeper kept = *keeper, *k = &kept;
	struct tree t = {.cgfd = -1,
	    .cgpath = k->slot->cgroup_path,
	    .env = {env_id, env_dir},
	    .by_env = true,
	    .scratch = k->scratch};
	struct stat_record rec;
	const char *dir = k->slot->cgroup_dir;

	if (!keeper_take_slot(k) || !stat_read_any(k->slot, &rec))
		_exit(1);
	k->wake_fd = keeper_keep_only(k->wake_fd);
	keeper_title(k, "taskctl: clearing up");
	if (dir[0] != '\0')
		t.cgfd = cgroup_open(dir);
	kill_all(k, &t, &rec);
	if (dir[0] != '\0')
		cgroup_remove(dir);
	if (rec.phase == STAT_LEADER_ENDED) {
		rec.phase = STAT_OVER;
	} else {
		rec.phase = STAT_LOST;
		rec.ended_ns = proc_boottime_ns();
		rec.ended_wall_ms = proc_wall_ms();
	}
	keeper_publish(k, &rec);
	_exit(0);
}

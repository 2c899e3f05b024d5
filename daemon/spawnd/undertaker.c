/*
 * Clears up after a monitor that was killed: its exit status is lost, its processes must go.
 */
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "monitor.h"

#define NS_MS            INT64_C(1000000)
#define UNKILLABLE_AFTER (5000 * NS_MS)
#define PAUSE_MIN        (2 * NS_MS)
#define PAUSE_MAX        (1000 * NS_MS)

/* Nothing tells of the end of processes that are no children of ours. */
static void
pause_ns(int64_t ns)
{
	struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	nanosleep(&ts, NULL);
}

static void
kill_all(const struct keeper *k, struct tree *t, struct stat_record *rec)
{
	int64_t began = proc_boottime_ns(), pause = PAUSE_MIN;

	for (;;) {
		bool found = tree_kill(t, TREE_ALL);

		/* Dying ones are not named any more, but the cgroup is not empty yet. */
		if (!found && (t->cgfd < 0 || !cgroup_populated(t->cgfd)))
			break;
		if (proc_boottime_ns() - began > UNKILLABLE_AFTER && tree_list(t, &rec->unkillable))
			keeper_publish(k, rec);
		pause_ns(pause);
		pause = pause * 2 < PAUSE_MAX ? pause * 2 : PAUSE_MAX;
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

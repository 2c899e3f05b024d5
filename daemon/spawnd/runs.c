/*
 * What becomes of runs when their keepers end, and when taskspawnd itself starts anew.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawnd.h"

static void
undertake(struct spawnd *sd, uint32_t slot)
{
	char env_id[48], env_dir[256], name[RUNDIR_NAMES];
	struct stat_slot *s = &sd->sf.slots[slot];
	struct keeper k;
	pid_t pid;

	slot_keeper_fill(sd, slot, atomic_load(&s->keeper), &k);
	rundir_name(name, sd->index.key[slot]);
	snprintf(env_id, sizeof env_id, "TASKCTL_ID=%" PRIu64, sd->index.key[slot].task);
	snprintf(env_dir, sizeof env_dir, "NOTIFY_SOCKET=%s/" WIRE_TASKS "/%s/notify",
	    sd->opts->runtime_dir, name);
	pid = fork();
	if (pid == 0)
		undertaker_run(&k, env_id, env_dir);
	if (pid < 0) {
		sd->undertake_again = true;
		return;
	}
	slot_set_keeper(sd, slot, pid, -1);
}

void
runs_keeper_gone(struct spawnd *sd, uint32_t slot)
{
	struct stat_slot *s = &sd->sf.slots[slot];
	struct stat_record rec = {0};

	slot_set_keeper(sd, slot, 0, -1);
	if (sd->run[slot].asked)
		client_no_answer(sd, slot);
	if (atomic_load(&s->forgotten)) {
		slot_release(sd, slot);
		return;
	}
	if (stat_read(s, &rec) && stat_final(rec.phase))
		return;
	spawnd_log("task %" PRIu64 ": its monitor was killed", sd->index.key[slot].task);
	sd->orphans = true;
	undertake(sd, slot);
}

void
runs_undertake_again(struct spawnd *sd)
{
	struct stat_record rec;

	sd->undertake_again = false;
	for (uint32_t slot = 0; slot < atomic_load(&sd->sf.header->high); slot++)
		if (sd->run[slot].used && sd->run[slot].keeper == 0 &&
		    stat_read(&sd->sf.slots[slot], &rec) && !stat_final(rec.phase))
			undertake(sd, slot);
}

struct orphans {
	struct spawnd *sd;
	pid_t self;
	bool found;
};

static bool
kill_orphan(void *ctx, pid_t pid)
{
	struct orphans *o = ctx;
	struct proc_stat st;
	int fd;

	if (proc_stat(pid, &st) < 0 || st.ppid != o->self || slot_of_keeper(o->sd, pid) >= 0 ||
	    rundir_is_helper(o->sd, pid, false))
		return true;
	fd = proc_open(pid);
	if (fd < 0)
		return true;
	if (proc_stat_at(fd, &st) == 0 && st.ppid == o->self) {
		o->found = true;
		proc_signal(fd, SIGKILL);
	}
	close(fd);
	return true;
}

/* Children that we never made were left by a monitor that was killed. Each that dies is told to
   us, with its own children ours then; so we go on until there are none. */
static void
kill_orphans(struct spawnd *sd)
{
	struct orphans o = {.sd = sd, .self = getpid()};

	proc_each(kill_orphan, &o);
	sd->orphans = o.found;
}

void
runs_reap(struct spawnd *sd)
{
	pid_t pid;
	int slot;

	while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0) {
		if ((slot = slot_of_keeper(sd, pid)) >= 0)
			runs_keeper_gone(sd, (uint32_t)slot);
		else if (!rundir_is_helper(sd, pid, true))
			sd->orphans = true;
	}
	if (sd->orphans)
		kill_orphans(sd);
}

/* ---- what was there at start ------------------------------------------------------------- */

static void
adopt(struct spawnd *sd, uint32_t slot, const struct stat_record *rec)
{
	struct stat_slot *s = &sd->sf.slots[slot];
	uint64_t keeper = atomic_load(&s->keeper);
	pid_t pid = stat_keeper_pid(keeper);
	int pidfd;

	sd->run[slot] = (struct run){.pidfd = -1, .used = true};
	sd->used++;
	stat_index_add(&sd->index, (struct stat_key){rec->task, rec->run}, slot);
	/* A claim that nobody has taken is taken back: its monitor, if there is one, will see that. */
	if (pid == 0 && atomic_compare_exchange_strong(&s->keeper, &keeper, 0)) {
		slot_release(sd, slot);
		return;
	}
	pid = stat_keeper_pid(keeper);
	pidfd = proc_pidfd(pid, stat_keeper_start(keeper));
	if (pidfd < 0) {
		runs_keeper_gone(sd, slot);
		return;
	}
	slot_set_keeper(sd, slot, pid, pidfd);
	order_bell(sd, slot); /* for orders that our predecessor wrote down and did not ring for */
}

void
runs_adopt(struct spawnd *sd)
{
	for (uint32_t slot = 0; slot < atomic_load(&sd->sf.header->high); slot++) {
		struct stat_slot *s = &sd->sf.slots[slot];
		struct stat_record rec;

		if (atomic_load(&s->used) == 0)
			continue;
		if (stat_read_any(s, &rec))
			adopt(sd, slot, &rec);
		else
			atomic_store(&s->used, 0);
	}
}

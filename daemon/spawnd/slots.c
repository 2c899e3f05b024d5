/*
 * Slots of the status file: which are free, what a claim writes, who keeps which.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "spawnd.h"

static int
slot_find_free(struct spawnd *sd)
{
	uint32_t slot = sd->free_hint;
	int r;

	while (slot < STATFILE_SLOTS && sd->run[slot].used)
		slot++;
	sd->free_hint = slot;
	if (slot == STATFILE_SLOTS)
		return -ENOSPC;
	r = statfile_reserve(&sd->sf, slot);
	return r < 0 ? r : (int)slot;
}

int
slot_claim(struct spawnd *sd, struct stat_key key, uint64_t *claim)
{
	struct stat_record rec = {.task = key.task, .run = key.run, .phase = STAT_STARTING};
	int at = slot_find_free(sd);
	struct stat_slot *s;

	if (at < 0)
		return at;
	s = &sd->sf.slots[at];
	/* Never 0 and never twice, so that no other claim is taken for this one. */
	*claim = stat_keeper(0, atomic_fetch_add(&sd->sf.header->claims, 1) + UINT64_C(1));
	atomic_store(&s->forgotten, 0);
	atomic_store(&s->keeper, *claim);
	memset(&s->orders, 0, sizeof s->orders);
	atomic_store(&s->delivered, 0);
	memset(s->cgroup_dir, 0, sizeof s->cgroup_dir);
	memset(s->cgroup_path, 0, sizeof s->cgroup_path);
	if (sd->pool_count > 0) {
		const struct pool_cgroup *cg = &sd->pool[--sd->pool_count];

		memcpy(s->cgroup_dir, cg->dir, sizeof s->cgroup_dir);
		memcpy(s->cgroup_path, cg->path, sizeof s->cgroup_path);
	}
	stat_write(s, &rec);
	atomic_store(&s->used, 1);
	stat_index_add(&sd->index, key, (uint32_t)at);
	sd->run[at] = (struct run){.pidfd = -1, .used = true};
	sd->used++;
	return at;
}

void
slot_release(struct spawnd *sd, uint32_t slot)
{
	atomic_store(&sd->sf.slots[slot].used, 0);
	rundir_remove(sd, sd->index.key[slot]);
	stat_index_remove(&sd->index, slot);
	sd->run[slot].used = false;
	sd->used--;
	if (slot < sd->free_hint)
		sd->free_hint = slot;
}

void
slot_set_keeper(struct spawnd *sd, uint32_t slot, pid_t pid, int pidfd)
{
	struct run *run = &sd->run[slot];

	if (run->keeper == 0 && pid != 0)
		sd->live++;
	if (run->keeper != 0 && pid == 0)
		sd->live--;
	if (run->pidfd >= 0)
		close(run->pidfd); /* leaves the epoll set with that */
	run->keeper = pid;
	run->pidfd = pidfd;
	if (pidfd >= 0)
		spawnd_watch(sd, pidfd, EPOLLIN, TAG_KEEPER, slot);
}

void
slot_keeper_fill(struct spawnd *sd, uint32_t slot, uint64_t before, struct keeper *k)
{
	*k = (struct keeper){.header = sd->sf.header,
	    .slot = &sd->sf.slots[slot],
	    .slot_no = slot,
	    .before = before,
	    .wake_fd = sd->wake_fd,
	    .scratch = sd->scratch,
	    .title = sd->opts->title,
	    .title_len = sd->opts->title_len,
	    .hide = sd->hide};
}

int
slot_of_keeper(const struct spawnd *sd, pid_t pid)
{
	uint32_t high = atomic_load(&sd->sf.header->high);

	for (uint32_t slot = 0; slot < high; slot++)
		if (sd->run[slot].keeper == pid && sd->run[slot].used)
			return (int)slot;
	return -1;
}

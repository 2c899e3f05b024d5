/*
 * Records of the status file as taskctld sees them.
 */
#include <string.h>

#include "proc.h"
#include "spawner_private.h"
#include "util.h"

_Static_assert((int)RUN_LOST == (int)STAT_LOST, "the phases are the status file's");
_Static_assert((int)STAGE_EXEC == (int)STAT_STAGE_EXEC, "the stages are the status file's");
_Static_assert(RUN_PROCS_MAX == STAT_PROCS_MAX, "processes are copied one by one");

const char *
run_stage_name(enum run_stage stage)
{
	static const char *const name[] = {
	    "none", "fork", "cgroup", "stdio", "limits", "chdir", "exec"};

	return (unsigned)stage < ARRAY_SIZE(name) ? name[stage] : "none";
}

int
spawner_slot(const struct spawner *sp, struct run_key key)
{
	return stat_index_find(sp->index, (struct stat_key){.task = key.task, .run = key.run});
}

static void
copy_procs(struct run_procs *dst, const struct stat_procs *src)
{
	dst->total = src->total;
	for (int i = 0; i < RUN_PROCS_MAX; i++) {
		dst->proc[i].pid = src->proc[i].pid;
		memcpy(dst->proc[i].comm, src->proc[i].comm, sizeof dst->proc[i].comm);
		dst->proc[i].comm[sizeof dst->proc[i].comm - 1] = '\0';
	}
}

static void
to_report(struct run_report *r, const struct stat_record *rec)
{
	*r = (struct run_report){.key = {.task = rec->task, .run = rec->run},
	    .phase = (enum run_phase)rec->phase,
	    .leader = rec->leader,
	    .leader_start = rec->leader_start,
	    .started_ns = rec->started_ns,
	    .started_wall_ms = rec->started_wall_ms,
	    .ended_ns = rec->ended_ns,
	    .ended_wall_ms = rec->ended_wall_ms,
	    .exit = {.signalled = (rec->flags & STAT_SIGNALLED) != 0,
		.core = (rec->flags & STAT_CORE) != 0,
		.code = rec->code},
	    .stage = (enum run_stage)rec->stage,
	    .error = rec->error,
	    .killed = (rec->flags & STAT_KILLED) != 0,
	    .user_s = (double)rec->user_us / 1e6,
	    .system_s = (double)rec->system_us / 1e6,
	    .max_rss = rec->max_rss};
	copy_procs(&r->leftover, &rec->leftover);
	copy_procs(&r->unkillable, &rec->unkillable);
}

static bool
read_key(const struct spawner *sp, struct run_key key, struct stat_record *rec)
{
	int slot = spawner_slot(sp, key);

	return slot >= 0 && stat_read(&sp->sf.slots[slot], rec) && rec->task == key.task &&
	       rec->run == key.run;
}

uint32_t
spawner_delivers_asked(const struct spawner *sp, struct run_key key)
{
	int slot = spawner_slot(sp, key);

	return slot >= 0 ? atomic_load(&sp->sf.slots[slot].orders.delivers) : 0;
}

uint32_t
spawner_delivered(const struct spawner *sp, struct run_key key)
{
	int slot = spawner_slot(sp, key);

	return slot >= 0 ? atomic_load(&sp->sf.slots[slot].delivered) : 0;
}

void
spawner_report(const struct spawner *sp, struct run_key key, struct run_report *ret)
{
	struct stat_record rec;

	if (read_key(sp, key, &rec))
		to_report(ret, &rec);
	else
		*ret = (struct run_report){.key = key, .phase = RUN_ABSENT};
}

void
spawner_each(const struct spawner *sp, void (*fn)(void *ctx, const struct run_report *r), void *ctx)
{
	for (uint32_t slot = 0; slot < STATFILE_SLOTS; slot++) {
		struct stat_record rec;
		struct run_report report;

		if (!sp->known[slot].used || !stat_read(&sp->sf.slots[slot], &rec))
			continue;
		to_report(&report, &rec);
		fn(ctx, &report);
	}
}

bool
spawner_leader_gone(const struct spawner *sp, struct run_key key)
{
	struct stat_record rec;

	if (!read_key(sp, key, &rec) || rec.phase == STAT_STARTING)
		return false;
	return rec.phase != STAT_RUNNING || proc_gone(rec.leader, rec.leader_start);
}

/*
 * stats: counts, and how the daemon is doing.
 */
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "cmd_private.h"
#include "config.h"
#include "events.h"
#include "json.h"
#include "store.h"
#include "task.h"
#include "util.h"

static json_t *
counts_object(const struct request *rq)
{
	const struct task_set *s = runner_tasks(rq->world->runner);
	uint64_t ended[TASK_NSTATES];
	json_t *o = jx_object();

	store_counts(rq->world->store, ended);
	for (unsigned i = 0; i < TASK_NSTATES; i++) {
		const char *name = rules_state_name((enum task_state)i);
		int64_t n = i < TASK_DONE ? s->count[i] : (int64_t)ended[i];

		json_set_int(o, name, json_get_int(o, name, 0) + n);
	}
	return o;
}

static int64_t
memory(void)
{
	long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f == NULL)
		return 0;
	if (fscanf(f, "%ld %ld", &pages, &resident) != 2)
		resident = 0;
	fclose(f);
	return (int64_t)resident * sysconf(_SC_PAGESIZE);
}

static void
exec(struct request *rq)
{
	const struct cmd_world *w = rq->world;
	double up = (double)(clock_boot_ns() - w->started_ns) / (double)NS_PER_SEC;
	json_t *o = jx_object(), *rates = jx_object();

	jx_set(o, "tasks", counts_object(rq));
	json_set_real(o, "uptime", up);
	json_set_int(o, "memory", memory());
	json_set_int(o, "connections", conns_count(w->conns));
	json_set_int(o, "seq", (int64_t)events_newest(w->events));
	json_set_int(rates, "total", (int64_t)events_total(w->events));
	json_set_real(rates, "per_second", up > 0 ? (double)events_total(w->events) / up : 0);
	jx_set(o, "events", rates);
	json_set_int(o, "requests", (int64_t)cmds_served(rq->cmds));
	json_set_str(o, "containment", runner_containment(w->runner));
	jx_set(o, "limits", cmd_limits_object(w->config));
	request_reply_take(rq, o);
}

static const struct field fields[] = {FIELD_END};

const struct cmd_entry cmd_stats = {.name = "stats", .fields = fields, .exec = exec};

/*
 * Orders of taskctld: written into the run's slot, where its monitor finds them when the bell rings.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "spawnd.h"

void
order_bell(struct spawnd *sd, uint32_t slot)
{
	const struct run *run = &sd->run[slot];

	/* A child's pid is its own until we reap it; any other process is held by a pidfd. */
	if (run->pidfd >= 0)
		proc_signal(run->pidfd, SIGUSR1);
	else if (run->keeper > 0)
		kill(run->keeper, SIGUSR1);
}

static int
write_message(struct spawnd *sd, uint32_t slot, const struct wire_in *in)
{
	const uint32_t json = in->msg.count[0], text = in->msg.count[1];
	int dir, r = 0;

	if ((in->msg.arg[2] & 3) == 0)
		return 0;
	if ((dir = rundir_open(sd, sd->index.key[slot])) < 0)
		return -errno;
	if (in->msg.arg[2] & 1)
		r = rundir_write(dir, "cancel.json", in->payload, json);
	if (in->msg.arg[2] & 2 && r == 0)
		r = rundir_write(dir, "cancel.msg", in->payload + json, text);
	close(dir);
	return r;
}

static void
order_deliver(struct spawnd *sd, uint32_t slot, const struct wire_in *in)
{
	struct stat_orders *o = &sd->sf.slots[slot].orders;
	const uint32_t json = in->msg.count[0], text = in->msg.count[1];
	int r, signo = in->msg.arg[0];

	if ((uint64_t)json + text > in->msg.size)
		return;
	/* The message comes before the signal; where it cannot be written the signal comes all the same. */
	r = write_message(sd, slot, in);
	if (r < 0)
		spawnd_log("task %" PRIu64 ": its cancel message could not be written: %s",
		    in->msg.task, strerror(-r));
	atomic_store(&o->freeze, 0);
	if (signo >= 1 && signo <= 64)
		atomic_fetch_or(in->msg.arg[1] ? &o->deliver_tree : &o->deliver_leader,
		    UINT64_C(1) << (signo - 1));
	atomic_fetch_add(&o->delivers, 1);
}

static void
order_forget(struct spawnd *sd, uint32_t slot)
{
	struct stat_record rec;

	if (!stat_read(&sd->sf.slots[slot], &rec) || !stat_final(rec.phase))
		return;
	atomic_store(&sd->sf.slots[slot].forgotten, 1);
	if (sd->run[slot].keeper == 0)
		slot_release(sd, slot);
}

void
order_handle(struct spawnd *sd, const struct wire_in *in)
{
	int slot = stat_index_find(
	    &sd->index, (struct stat_key){.task = in->msg.task, .run = in->msg.run});
	struct stat_orders *o;
	int signo = in->msg.arg[0];

	if (slot < 0)
		return;
	o = &sd->sf.slots[slot].orders;
	switch (in->msg.type) {
	case WIRE_DELIVER: order_deliver(sd, (uint32_t)slot, in); break;
	case WIRE_SIGNAL:
		if (signo >= 1 && signo <= 64)
			atomic_fetch_or(&o->plain, UINT64_C(1) << (signo - 1));
		break;
	case WIRE_KILL: atomic_store(&o->kill, 1); break;
	case WIRE_FREEZE: atomic_store(&o->freeze, in->msg.arg[0] != 0); break;
	case WIRE_FORGET: order_forget(sd, (uint32_t)slot); break;
	default: return;
	}
	order_bell(sd, (uint32_t)slot);
}

void
order_kill_all(struct spawnd *sd)
{
	for (uint32_t slot = 0; slot < atomic_load(&sd->sf.header->high); slot++) {
		if (!sd->run[slot].used || sd->run[slot].keeper == 0)
			continue;
		atomic_store(&sd->sf.slots[slot].orders.kill, 1);
		order_bell(sd, slot);
	}
}

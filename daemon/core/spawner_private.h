/*
 * What the files of spawner.h share: the state of the connection, and how orders leave.
 */
#ifndef TASKCTL_SPAWNER_PRIVATE_H
#define TASKCTL_SPAWNER_PRIVATE_H

#include <event2/event.h>
#include <sys/queue.h>

#include "spawner.h"
#include "spawnwire.h"
#include "statfile.h"

/* An order that the socket has not taken yet. */
struct order {
	STAILQ_ENTRY(order) next;
	struct wire_msg msg;
	int fds[WIRE_FDS_MAX]; /* owned */
	int nfds;
	size_t size;
	char payload[];
};

STAILQ_HEAD(order_queue, order);

/* What we know of a slot beyond its record. */
struct known {
	bool used;    /* its key is in the index */
	bool told;    /* notify_fd has come, or will not */
	bool changed; /* a change that waits for that */
	bool lacks;   /* it came without its descriptor: there was none left */
};

struct spawner {
	struct event_base *base; /* borrowed */
	struct spawner_callbacks cb;
	void *ctx;
	/* owned */
	char *runtime_dir, *program;
	bool use_cgroups;
	int sock;      /* -1: not connected */
	bool lacks_fd; /* a notify socket did not arrive */
	struct event *readable, *writable, *wake, *retry, *starter_ended;
	int wake_fd;
	int starter_fd; /* pidfd of a taskspawnd that is detaching itself; -1: none */
	pid_t starter;
	bool ready;       /* welcomed */
	bool new_to_loop; /* spawner_new() has not returned yet */
	bool cgroups;
	struct statfile sf;
	uint32_t overflow; /* as last seen */
	struct stat_index *index;
	struct known *known;
	struct order_queue out;
	unsigned out_count;
	char *in;
};

/* spawner.c: the slot's key is known no more */
void spawner_drop_slot(struct spawner *sp, uint32_t slot);

/* spawner_records.c: where the record of a run is, or -1 */
int spawner_slot(const struct spawner *sp, struct run_key key);

/* spawner_orders.c */
void spawner_drop_orders(struct spawner *sp);
void spawner_on_writable(evutil_socket_t fd, short what, void *arg); /* of libevent */

/* spawner_program.c: begins to start taskspawnd; its pid is that of the process that detaches it
   and ends when it is ready. 0 or -errno. */
int spawner_start_program(struct spawner *sp);

#endif

/*
 * The one connection to taskctld: its orders in, notify sockets and refusals out, and after its
 * hello a round through all runs, whose monitors are asked to show their notify sockets.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "spawnd.h"

#define ASK_AT_ONCE       64 /* monitors that are asked and have not answered */
#define ASK_PATIENCE      (INT64_C(2000) * 1000000) /* ns */
#define MESSAGES_PER_TURN 64

/* ---- out --------------------------------------------------------------------------------- */

static void
watch_client(struct spawnd *sd)
{
	struct client *c = &sd->client;
	struct epoll_event ev = {.data.u64 = TAG_CLIENT};

	ev.events = (c->out_count < OUT_MAX ? EPOLLIN : 0) | (c->out != NULL ? EPOLLOUT : 0);
	epoll_ctl(sd->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
}

static void
client_close(struct spawnd *sd)
{
	struct client *c = &sd->client;
	struct out_msg *m;

	close(c->fd);
	while ((m = c->out) != NULL) {
		c->out = m->next;
		if (m->fd >= 0)
			close(m->fd);
		free(m);
	}
	memset(c, 0, sizeof *c);
	c->fd = -1;
	c->out_tail = &c->out;
	spawnd_watch(sd, sd->listen_fd, EPOLLIN, TAG_LISTEN, 0);
	sd->listening = true;
}

void
client_flush(struct spawnd *sd)
{
	struct client *c = &sd->client;
	struct out_msg *m;

	while ((m = c->out) != NULL) {
		int r = wire_send(c->fd, &m->msg, NULL, 0, &m->fd, m->fd >= 0);

		if (r == -EAGAIN)
			break;
		if ((c->out = m->next) == NULL)
			c->out_tail = &c->out;
		c->out_count--;
		if (m->fd >= 0)
			close(m->fd);
		free(m);
	}
	watch_client(sd);
}

void
client_send_take(struct spawnd *sd, struct wire_msg *msg, int fd)
{
	struct client *c = &sd->client;
	struct out_msg *m;
	int r = -EAGAIN;

	if (c->fd < 0 || !c->welcome) {
		if (fd >= 0)
			close(fd);
		return;
	}
	if (c->out == NULL) /* a failure is a peer that is gone, which reading will tell */
		r = wire_send(c->fd, msg, NULL, 0, &fd, fd >= 0);
	if (r == -EAGAIN && (m = calloc(1, sizeof *m)) != NULL) {
		m->msg = *msg;
		m->fd = fd;
		*c->out_tail = m;
		c->out_tail = &m->next;
		c->out_count++;
		watch_client(sd);
		return;
	}
	if (fd >= 0)
		close(fd);
}

void
client_notify_take(struct spawnd *sd, uint32_t slot, bool known_before, int fd)
{
	const struct stat_key *key = &sd->index.key[slot];
	struct wire_msg msg = {.type = WIRE_NOTIFY,
	    .task = key->task,
	    .run = key->run,
	    .slot = slot,
	    .arg = {known_before}};

	client_send_take(sd, &msg, fd);
}

/* ---- the round through all runs ---------------------------------------------------------- */

/* What was asked for has come, or never will. */
static void
answered(struct spawnd *sd, uint32_t slot, int fd)
{
	struct client *c = &sd->client;
	struct run *run = &sd->run[slot];

	if (run->asked && c->asked > 0) {
		run->asked = false;
		c->asked--;
		c->give_up_at = proc_boottime_ns() + ASK_PATIENCE;
	}
	run->announced = true;
	if (run->given && fd >= 0) { /* asked twice, for this client and the one before */
		close(fd);
		return;
	}
	run->given = fd >= 0;
	client_notify_take(sd, slot, true, fd);
}

void
client_no_answer(struct spawnd *sd, uint32_t slot)
{
	answered(sd, slot, -1);
}

static void
announce_one(struct spawnd *sd, uint32_t slot)
{
	struct client *c = &sd->client;
	struct run *run = &sd->run[slot];

	if (!run->used || run->announced || atomic_load(&sd->sf.slots[slot].forgotten))
		return;
	if (run->keeper == 0) {
		answered(sd, slot, -1);
		return;
	}
	run->asked = true;
	if (c->asked++ == 0)
		c->give_up_at = proc_boottime_ns() + ASK_PATIENCE;
	atomic_fetch_add(&sd->sf.slots[slot].orders.greet, 1);
	order_bell(sd, slot);
}

/* Those that were asked last and have not answered: they are stopped, or going. */
static void
give_up(struct spawnd *sd)
{
	for (uint32_t slot = 0; slot < sd->client.cursor; slot++)
		if (sd->run[slot].asked)
			answered(sd, slot, -1);
}

void
client_announce(struct spawnd *sd)
{
	struct client *c = &sd->client;
	uint32_t high = atomic_load(&sd->sf.header->high);

	if (c->fd < 0 || !c->announcing)
		return;
	if (c->asked > 0 && proc_boottime_ns() >= c->give_up_at)
		give_up(sd);
	while (c->cursor < high && c->asked < ASK_AT_ONCE && c->out_count < OUT_MAX)
		announce_one(sd, c->cursor++);
	if (c->cursor >= high && c->asked == 0)
		c->announcing = false;
}

int
client_timeout(const struct spawnd *sd)
{
	int64_t left;

	if (sd->client.fd < 0 || !sd->client.announcing || sd->client.asked == 0)
		return -1;
	left = (sd->client.give_up_at - proc_boottime_ns()) / 1000000;
	return left < 0 ? 0 : (int)left + 1;
}

/* A greeting counts if it comes from the very process that keeps the run. */
void
greeting_read(struct spawnd *sd, int fd)
{
	struct wire_in in;
	struct ucred cred;
	socklen_t len = sizeof cred;
	uint32_t slot;

	if (wire_recv(fd, &in, sd->in) != 1) {
		close(fd);
		return;
	}
	slot = in.msg.slot;
	if (in.msg.type == WIRE_GREETING && slot < STATFILE_SLOTS && sd->run[slot].used &&
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
	    cred.pid == sd->run[slot].keeper && sd->index.key[slot].task == in.msg.task &&
	    sd->index.key[slot].run == in.msg.run)
		answered(sd, slot, wire_take_fd(&in, 0));
	wire_in_release(&in);
	close(fd);
	client_announce(sd);
}

void
greeting_accept(struct spawnd *sd)
{
	int fd;

	while ((fd = accept4(sd->greet_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		if (spawnd_watch(sd, fd, EPOLLIN, TAG_GREETING, (uint32_t)fd) < 0)
			close(fd);
}

/* ---- in ---------------------------------------------------------------------------------- */

static void
hello(struct spawnd *sd)
{
	struct client *c = &sd->client;
	struct wire_msg msg = {.type = WIRE_WELCOME, .arg = {sd->cgroups}};
	int fds[2] = {sd->status_fd, sd->wake_fd};

	if (c->welcome)
		return;
	if (wire_send(c->fd, &msg, NULL, 0, fds, 2) < 0) {
		shutdown(c->fd, SHUT_RDWR);
		return;
	}
	c->welcome = true;
	for (uint32_t slot = 0; slot < atomic_load(&sd->sf.header->high); slot++)
		sd->run[slot].announced = sd->run[slot].asked = sd->run[slot].given = false;
	c->announcing = true;
	client_announce(sd);
}

static void
handle(struct spawnd *sd, struct wire_in *in)
{
	if (in->msg.type == WIRE_HELLO)
		hello(sd);
	else if (!sd->client.welcome)
		shutdown(sd->client.fd, SHUT_RDWR);
	else if (in->msg.type == WIRE_SPAWN)
		spawn_handle(sd, in);
	else
		order_handle(sd, in);
}

void
client_read(struct spawnd *sd)
{
	struct client *c = &sd->client;
	struct wire_in in;

	for (int i = 0; i < MESSAGES_PER_TURN && c->out_count < OUT_MAX; i++) {
		int r = wire_recv(c->fd, &in, sd->in);

		if (r == -EAGAIN)
			return;
		if (r == 1 || r == -EMFILE) {
			handle(sd, &in);
			wire_in_release(&in);
			continue;
		}
		if (r < 0)
			spawnd_log("taskctld's connection is closed: %s", strerror(-r));
		client_close(sd);
		return;
	}
	watch_client(sd);
}

void
client_accept(struct spawnd *sd)
{
	struct ucred cred;
	socklen_t len = sizeof cred;
	int fd = accept4(sd->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ||
	    (cred.uid != geteuid() && cred.uid != 0 && cred.uid != sd->opts->client_uid)) {
		close(fd);
		return;
	}
	/* One at a time: the next is not looked at before this one was read to its end. */
	epoll_ctl(sd->epoll_fd, EPOLL_CTL_DEL, sd->listen_fd, NULL);
	sd->listening = false;
	sd->client.fd = fd;
	spawnd_watch(sd, fd, EPOLLIN, TAG_CLIENT, 0);
}

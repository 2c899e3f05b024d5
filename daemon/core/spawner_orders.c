/*
 * Orders to taskspawnd: sent at once where the socket takes them, else in order when it does.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spawner_private.h"
#include "util.h"

#define OUT_MAX (4 * STATFILE_SLOTS)

static void
order_free(struct order *o)
{
	for (int i = 0; i < o->nfds; i++)
		close(o->fds[i]);
	free(o);
}

void
spawner_drop_orders(struct spawner *sp)
{
	struct order *o;

	while ((o = STAILQ_FIRST(&sp->out)) != NULL) {
		STAILQ_REMOVE_HEAD(&sp->out, next);
		order_free(o);
	}
	sp->out_count = 0;
}

static int
queue_order(struct spawner *sp, const struct wire_msg *msg, const void *payload, size_t size,
    const int *fds, int nfds)
{
	struct order *o;

	if (sp->out_count >= OUT_MAX)
		return -EAGAIN;
	o = xcalloc(1, sizeof *o + size);
	o->msg = *msg;
	o->size = size;
	if (size > 0)
		memcpy(o->payload, payload, size);
	for (; o->nfds < nfds; o->nfds++) {
		int fd = fcntl(fds[o->nfds], F_DUPFD_CLOEXEC, 0);

		if (fd < 0) {
			int r = -errno;

			order_free(o);
			return r;
		}
		o->fds[o->nfds] = fd;
	}
	STAILQ_INSERT_TAIL(&sp->out, o, next);
	sp->out_count++;
	event_add(sp->writable, NULL);
	return 0;
}

static int
send_order(struct spawner *sp, struct wire_msg *msg, const void *payload, size_t size,
    const int *fds, int nfds)
{
	int r = -EAGAIN;

	if (!sp->ready)
		return -EAGAIN;
	if (size > WIRE_PAYLOAD_MAX)
		return -E2BIG;
	if (STAILQ_EMPTY(&sp->out))
		r = wire_send(sp->sock, msg, payload, size, fds, nfds);
	if (r == -EAGAIN)
		return queue_order(sp, msg, payload, size, fds, nfds);
	/* A connection that has just died: the loop is going to see it. */
	return r == -EPIPE || r == -ECONNRESET || r == -ENOTCONN ? -EAGAIN : r;
}

void
spawner_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct spawner *sp = arg;
	struct order *o;

	(void)fd;
	(void)what;
	while ((o = STAILQ_FIRST(&sp->out)) != NULL) {
		if (wire_send(sp->sock, &o->msg, o->payload, o->size, o->fds, o->nfds) == -EAGAIN) {
			event_add(sp->writable, NULL);
			return;
		}
		STAILQ_REMOVE_HEAD(&sp->out, next);
		sp->out_count--;
		order_free(o);
	}
}

static size_t
count_strings(const char *const *list, struct strbuf *payload)
{
	size_t n = 0;

	for (; list[n] != NULL; n++)
		strbuf_add(payload, list[n], strlen(list[n]) + 1);
	return n;
}

int
spawner_start(struct spawner *sp, const struct run_spec *spec)
{
	struct wire_msg msg = {.type = WIRE_SPAWN, .task = spec->key.task, .run = spec->key.run};
	const int stdio[3] = {spec->stdin_fd, spec->stdout_fd, spec->stderr_fd};
	const char *title = spec->title != NULL ? spec->title : "task";
	struct strbuf payload = STRBUF_INIT;
	int fds[3], nfds = 0, r;

	if (!sp->ready)
		return -EAGAIN;
	for (int i = 0; i < 3; i++) {
		if (stdio[i] < 0)
			continue;
		msg.arg[2] |= 1 << i;
		fds[nfds++] = stdio[i];
	}
	msg.arg[0] = spec->umask;
	msg.arg[1] = spec->no_new_privs;
	strbuf_add(&payload, spec->cwd, strlen(spec->cwd) + 1);
	strbuf_add(&payload, title, strlen(title) + 1);
	msg.count[0] = (uint32_t)count_strings(spec->argv, &payload);
	msg.count[1] = (uint32_t)count_strings(spec->env, &payload);
	r = send_order(sp, &msg, payload.s, payload.len, fds, nfds);
	strbuf_release(&payload);
	return r;
}

int
spawner_deliver(struct spawner *sp, struct run_key key, const char *json, size_t json_len,
    const char *text, size_t text_len, int signo, bool tree)
{
	struct wire_msg msg = {.type = WIRE_DELIVER,
	    .task = key.task,
	    .run = key.run,
	    .arg = {signo, tree, (json != NULL ? 1 : 0) | (text != NULL ? 2 : 0)}};
	struct strbuf payload = STRBUF_INIT;
	int r;

	if (json_len > WIRE_PAYLOAD_MAX || text_len > WIRE_PAYLOAD_MAX)
		return -E2BIG;
	if (json != NULL) {
		strbuf_add(&payload, json, json_len);
		msg.count[0] = (uint32_t)json_len;
	}
	if (text != NULL) {
		strbuf_add(&payload, text, text_len);
		msg.count[1] = (uint32_t)text_len;
	}
	r = send_order(sp, &msg, payload.s, payload.len, NULL, 0);
	strbuf_release(&payload);
	return r;
}

static int
simple_order(struct spawner *sp, enum wire_type type, struct run_key key, int arg)
{
	struct wire_msg msg = {
	    .type = (uint16_t)type, .task = key.task, .run = key.run, .arg = {arg}};

	return send_order(sp, &msg, NULL, 0, NULL, 0);
}

int
spawner_signal(struct spawner *sp, struct run_key key, int signo)
{
	return simple_order(sp, WIRE_SIGNAL, key, signo);
}

int
spawner_kill(struct spawner *sp, struct run_key key)
{
	return simple_order(sp, WIRE_KILL, key, 0);
}

int
spawner_freeze(struct spawner *sp, struct run_key key, bool freeze)
{
	return simple_order(sp, WIRE_FREEZE, key, freeze);
}

int
spawner_forget(struct spawner *sp, struct run_key key)
{
	int r = simple_order(sp, WIRE_FORGET, key, 0);
	int slot = spawner_slot(sp, key);

	if (r == 0 && slot >= 0)
		spawner_drop_slot(sp, (uint32_t)slot);
	return r;
}

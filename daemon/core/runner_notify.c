/*
 * What tasks say on their notify sockets: status, result, shields, cancels of their own.
 */
#include "runner_private.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "notify.h"
#include "sdnotify.h"
#include "util.h"

#define DATAGRAM_MAX      (64 * 1024)
#define DATAGRAMS_A_TURN  64   /* of one task: the rest waits, others come first */
#define DATAGRAMS_AT_EXIT 4096 /* all that a socket can hold, before its end is judged */
#define HOLDER            "self"

static void
take_status(struct runner *r, struct task *t, struct notify_msg *m)
{
	json_t *o;

	if (m->status == NULL && !m->has_progress)
		return;
	if (m->status != NULL) {
		free(t->status);
		t->status = m->status[0] != '\0' ? m->status : NULL;
		if (t->status == NULL)
			free(m->status);
		m->status = NULL;
	}
	if (m->has_progress)
		t->progress = m->progress;
	o = jx_object();
	jx_set(o, "status", jx_string(t->status));
	jx_set(o, "progress", t->progress >= 0 ? jx_real(t->progress) : NULL);
	runner_emit(r, EVENT_STATUS, t, o);
	runner_dirty(r, t);
}

static void
take_result(struct runner *r, struct task *t, struct notify_msg *m)
{
	if (m->result != NULL) {
		json_decref(t->result);
		t->result = json_incref(m->result);
		runner_dirty(r, t);
	}
	if (m->error != NULL) {
		free(t->error);
		t->error = xstrdup(m->error);
		runner_dirty(r, t);
	}
}

static void
take_cancel(struct runner *r, struct task *t, const struct notify_msg *m)
{
	char *by = xasprintf("task:%llu", (unsigned long long)t->id);
	struct runner_cancel c = {.origin = ORIGIN_SELF, .msg = m->msg, .by = by};

	runner_cancel(r, t, &c);
	free(by);
}

/* What only the task itself may say, not a hook. */
static void
take_requests(struct runner *r, struct task *t, struct notify_msg *m)
{
	struct rules_input in = {.now = clock_boot_ns(), .by_task = true};
	int error;

	take_result(r, t, m);
	if (m->cancelled) {
		if (m->msg != NULL) {
			json_decref(t->declared_msg);
			t->declared_msg = json_incref(m->msg);
		}
		runner_step(r, t, EV_DECLARE, &in);
	}
	if (m->uncancel)
		runner_step(r, t, EV_UNCANCEL, &in);
	if (m->shield == 1)
		runner_shield(r, t, HOLDER, RULES_NEVER, NULL, &error);
	if (m->shield == 0 && task_holder(t, HOLDER) != NULL)
		runner_unshield(r, t, HOLDER);
	if (m->cancel)
		take_cancel(r, t, m);
}

static void
take(struct runner *r, struct task *t, const char *buf, size_t len)
{
	struct rules_input in = {.now = clock_boot_ns()};
	struct notify_msg m;

	notify_parse(buf, len, &m);
	take_status(r, t, &m);
	if (rules_has_leader(t->facts.state))
		take_requests(r, t, &m);
	if (m.extend_ns > 0) {
		in.span = m.extend_ns;
		runner_step(r, t, EV_EXTEND, &in);
	}
	notify_msg_release(&m);
}

/* Closing the descriptor of BARRIER=1 is the acknowledgement; see close_barriers(). */
static void
keep_barrier(struct runner *r, const struct task *t, int fd)
{
	struct barrier *b = xcalloc(1, sizeof(*b));

	b->fd = fd;
	b->task = t->id;
	TAILQ_INSERT_TAIL(&r->barriers, b, link);
	r->urgent = true;
}

static void
receive(struct runner *r, struct task *t, unsigned most)
{
	static char buf[DATAGRAM_MAX];
	int barrier;
	pid_t pid;

	if (t->run->draining || t->run->notify_fd < 0)
		return;
	t->run->draining = true;
	while (most-- > 0) {
		ssize_t n = notify_recv(t->run->notify_fd, buf, sizeof(buf), &barrier, &pid);

		if (n < 0)
			break;
		take(r, t, buf, (size_t)n);
		if (barrier >= 0)
			keep_barrier(r, t, barrier);
	}
	t->run->draining = false;
}

static void
on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct run *run = ctx;

	(void)fd;
	(void)what;
	receive(run->r, run->t, DATAGRAMS_A_TURN);
}

void
runner_notify_drain(struct runner *r, struct task *t)
{
	receive(r, t, DATAGRAMS_AT_EXIT);
}

void
runner_notify_attach(struct runner *r, struct task *t, int fd)
{
	struct run *run = t->run;

	runner_notify_detach(run);
	run->notify_fd = fd;
	run->notify_event = event_new(r->opts.base, fd, EV_READ | EV_PERSIST, on_readable, run);
	if (run->notify_event == NULL)
		die_oom();
	event_add(run->notify_event, NULL);
}

void
runner_notify_detach(struct run *run)
{
	if (run->notify_event != NULL)
		event_free(run->notify_event);
	run->notify_event = NULL;
	close_fd(&run->notify_fd);
}

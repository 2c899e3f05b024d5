/*
 * The hole-punching thread: a queue of orders there, a queue of results and an eventfd back.
 */
#include "puncher.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fault.h"
#include "util.h"

#define PUNCHER_STACK (256 * 1024) /* of address space; what is touched is a few pages */

struct punch {
	STAILQ_ENTRY(punch) next;
	int fd;
	off_t from, to;
	int error;
	void *owner; /* borrowed; NULL once forgotten */
};

STAILQ_HEAD(punch_queue, punch);

struct puncher {
	puncher_done_cb *done;
	void *ctx;
	int efd;
	struct event *ev;
	bool threaded;
	pthread_t thread;
	pthread_mutex_t lock; /* guards everything below */
	pthread_cond_t wake;
	bool stop;
	struct punch_queue todo, finished;
	struct punch *current; /* in the thread's hands; only `owner` may be touched */
};

static void
punch_do(struct punch *job)
{
	const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	int rc;

	job->error = FAULT("outlog.punch");
	if (job->error == 0) {
		do
			rc = fallocate(job->fd, mode, job->from, job->to - job->from);
		while (rc < 0 && errno == EINTR);
		job->error = rc < 0 ? errno : 0;
	}
	close_fd(&job->fd);
}

static void
punch_finished(struct puncher *p, struct punch *job)
{
	const uint64_t one = 1;

	STAILQ_INSERT_TAIL(&p->finished, job, next);
	/* It fails only where the counter is full, and then a wake-up is already under way. */
	if (write(p->efd, &one, sizeof(one)) < 0)
		return;
}

static void *
puncher_main(void *arg)
{
	struct puncher *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->stop || !STAILQ_EMPTY(&p->todo)) {
		if (STAILQ_EMPTY(&p->todo)) {
			pthread_cond_wait(&p->wake, &p->lock);
			continue;
		}
		p->current = STAILQ_FIRST(&p->todo);
		STAILQ_REMOVE_HEAD(&p->todo, next);
		pthread_mutex_unlock(&p->lock);
		punch_do(p->current);
		pthread_mutex_lock(&p->lock);
		punch_finished(p, p->current);
		p->current = NULL;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void
puncher_on_finished(evutil_socket_t fd, short what, void *arg)
{
	struct puncher *p = arg;
	struct punch *job;
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&p->lock);
	while ((job = STAILQ_FIRST(&p->finished)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->finished, next);
		pthread_mutex_unlock(&p->lock);
		p->done(p->ctx, job->owner, job->from, job->error);
		free(job);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
}

/* With all signals blocked: they are for the event loop's thread. */
static bool
puncher_start_thread(struct puncher *p)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int rc;

	if (pthread_attr_init(&attr) != 0)
		return false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_attr_setstacksize(&attr, PUNCHER_STACK);
	if (rc == 0)
		rc = pthread_create(&p->thread, &attr, puncher_main, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return rc == 0;
}

int
puncher_new(struct event_base *base, puncher_done_cb *done, void *ctx, struct puncher **ret)
{
	struct puncher *p = xcalloc(1, sizeof(*p));
	int error;

	p->done = done;
	p->ctx = ctx;
	STAILQ_INIT(&p->todo);
	STAILQ_INIT(&p->finished);
	p->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->efd < 0) {
		error = -errno;
		free(p);
		return error;
	}
	p->ev = event_new(base, p->efd, EV_READ | EV_PERSIST, puncher_on_finished, p);
	if (p->ev == NULL || event_add(p->ev, NULL) < 0)
		die_oom();
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	p->threaded = puncher_start_thread(p);
	*ret = p;
	return 0;
}

void
puncher_free(struct puncher *p)
{
	struct punch *job;

	if (p == NULL)
		return;
	if (p->threaded) {
		pthread_mutex_lock(&p->lock);
		p->stop = true;
		pthread_cond_signal(&p->wake);
		pthread_mutex_unlock(&p->lock);
		pthread_join(p->thread, NULL);
	}
	while ((job = STAILQ_FIRST(&p->finished)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->finished, next);
		free(job);
	}
	event_free(p->ev);
	close_fd(&p->efd);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void
puncher_add_take(struct puncher *p, int fd, off_t from, off_t to, void *owner)
{
	struct punch *job = xcalloc(1, sizeof(*job));

	job->fd = fd;
	job->from = from;
	job->to = to;
	job->owner = owner;
	if (!p->threaded)
		punch_do(job);
	pthread_mutex_lock(&p->lock);
	if (p->threaded) {
		STAILQ_INSERT_TAIL(&p->todo, job, next);
		pthread_cond_signal(&p->wake);
	} else {
		punch_finished(p, job);
	}
	pthread_mutex_unlock(&p->lock);
}

static void
queue_forget(const struct punch_queue *q, const void *owner)
{
	struct punch *job;

	STAILQ_FOREACH(job, q, next)
	if (job->owner == owner)
		job->owner = NULL;
}

void
puncher_forget(struct puncher *p, const void *owner)
{
	pthread_mutex_lock(&p->lock);
	queue_forget(&p->todo, owner);
	queue_forget(&p->finished, owner);
	if (p->current != NULL && p->current->owner == owner)
		p->current->owner = NULL;
	pthread_mutex_unlock(&p->lock);
}

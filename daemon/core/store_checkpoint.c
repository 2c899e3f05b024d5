/*
 * The thread that carries the write-ahead log over into the database. It shares nothing with the
 * loop but the two flags below.
 */
#include "store_checkpoint.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "util.h"

#define PAGES_BEFORE_CHECKPOINT 1000 /* new ones since the last */
#define PAGES_AT_MOST           4096 /* then writers wait until the log begins anew */
#define RETRY_S                 1    /* after one that did not get to the end of the log */

struct checkpointer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool wanted, stop; /* under lock */
	int pages;         /* under lock: of the log, when it was wanted last */
	int asked_at;      /* the loop's: pages when it was wanted last */
	char *path;        /* owned */
};

/*
 * True if the log is carried over to its end: then the next commit begins it anew. While commits
 * come all the time that may never be; a log that is too long is ended by force.
 */
static bool
checkpoint(const char *path, int pages)
{
	int mode = pages > PAGES_AT_MOST ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE;
	int in_log = 0, carried = 0, rc;
	sqlite3 *db = NULL;

	rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_busy_timeout(db, 1000);
		/* A connection knows of the log only when it has read something. */
		sqlite3_exec(db, "SELECT 1 FROM sqlite_master LIMIT 1", NULL, NULL, NULL);
		rc = sqlite3_wal_checkpoint_v2(db, NULL, mode, &in_log, &carried);
	}
	sqlite3_close(db);
	return rc == SQLITE_OK && in_log >= 0 && carried >= in_log;
}

/* Waits until it is wanted, or for some time where the last one did not get to the end. */
static void
wait_until_wanted(struct checkpointer *c, bool unfinished)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += RETRY_S;
	while (!c->stop && !c->wanted) {
		if (!unfinished)
			pthread_cond_wait(&c->wake, &c->lock);
		else if (pthread_cond_timedwait(&c->wake, &c->lock, &until) == ETIMEDOUT)
			return;
	}
}

static void *
run(void *arg)
{
	struct checkpointer *c = arg;
	bool unfinished = false;
	int pages;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		wait_until_wanted(c, unfinished);
		if (c->stop)
			break;
		c->wanted = false;
		pages = c->pages;
		pthread_mutex_unlock(&c->lock);
		unfinished = !checkpoint(c->path, pages);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

struct checkpointer *
checkpointer_new(const char *path)
{
	struct checkpointer *c = xcalloc(1, sizeof(*c));
	sigset_t all, old;
	int error;

	c->path = xstrdup(path);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wake, NULL);
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&c->thread, NULL, run, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error == 0)
		return c;
	free(c->path);
	free(c);
	return NULL;
}

void
checkpointer_free(struct checkpointer *c)
{
	if (c == NULL)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c->path);
	free(c);
}

void
checkpointer_log_grew(struct checkpointer *c, int pages)
{
	if (pages < c->asked_at)
		c->asked_at = 0; /* it was begun anew */
	if (pages < c->asked_at + PAGES_BEFORE_CHECKPOINT)
		return;
	c->asked_at = pages;
	pthread_mutex_lock(&c->lock);
	c->wanted = true;
	c->pages = pages;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

/*
 * Output files that may grow: noticing it without a wake-up for those at rest, and their limit.
 *
 * A watch is either active (looked at by the tick) or at rest: then a one-shot inotify watch brings
 * it back, so that a task that writes all the time costs one event and not one for each write.
 */
#include "outlog.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "outlog_private.h"
#include "puncher.h"
#include "util.h"

#define TICK_FAST_MS 5
#define TICK_SLOW_MS 20
#define TICK_POLL_MS 250
#define FAST_GROWTH  65536 /* bytes between two looks */
#define MANY_ACTIVE  256   /* from here on the tick is slow, or it would eat the loop */
#define BUCKETS      1024
#define BLOCK        4096 /* holes begin and end at multiples of it */
#define NAME_SPACE   64

LIST_HEAD(watch_list, outlog_watch);

enum watch_place {
	WATCH_ACTIVE, /* in `active` */
	WATCH_ARMED,  /* in `armed`, by its inotify number */
	WATCH_POLLED, /* in `polled`: at rest, but the kernel gives no watch for it */
	WATCH_GONE,   /* in no list: somebody removed the file */
};

struct outlog_watches {
	struct outlog_dir *dir; /* borrowed: owns us */
	struct event_base *base;
	int ifd; /* -1: no inotify instance to be had */
	struct event *ev_inotify, *ev_tick;
	int tick_ms; /* what ev_tick waits for; 0: not pending */
	unsigned turn;
	int polled_ms; /* since `polled` was looked at */
	size_t nactive;
	bool any_fast;
	struct watch_list active, polled, armed[BUCKETS], by_number[BUCKETS];
	struct puncher *puncher; /* NULL until something is dropped */
};

struct outlog_watch {
	LIST_ENTRY(outlog_watch) link, number_link;
	struct outlog_watches *ws;
	enum watch_place place;
	bool fast;
	int wd;
	int jobs; /* of the puncher, on their way */
	uint64_t number, limit;
	uint64_t base; /* the offset of the file's first byte */
	off_t size;    /* of the file, at the last look */
	off_t cut;     /* what is below counts as dropped */
	off_t punched; /* what is below is free, or ordered to be */
	const struct outlog_callbacks *cb;
	void *ctx;
};

static void watches_on_tick(evutil_socket_t fd, short what, void *arg);
static void watches_on_inotify(evutil_socket_t fd, short what, void *arg);
static void watches_on_punched(void *ctx, void *owner, off_t from, int error);

static struct watch_list *
bucket(struct outlog_watches *ws, int wd)
{
	return &ws->armed[(unsigned)wd % BUCKETS];
}

static void
note_failure(struct outlog_dir *dir, int error)
{
	dir->failures++;
	dir->last_error = error;
}

static struct outlog_watches *
watches_new(struct outlog_dir *dir, struct event_base *base)
{
	struct outlog_watches *ws = xcalloc(1, sizeof(*ws));

	ws->dir = dir;
	ws->base = base;
	LIST_INIT(&ws->active);
	LIST_INIT(&ws->polled);
	ws->ev_tick = evtimer_new(base, watches_on_tick, ws);
	if (ws->ev_tick == NULL)
		die_oom();
	ws->ifd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (ws->ifd < 0)
		return ws;
	ws->ev_inotify = event_new(base, ws->ifd, EV_READ | EV_PERSIST, watches_on_inotify, ws);
	if (ws->ev_inotify == NULL || event_add(ws->ev_inotify, NULL) < 0)
		die_oom();
	return ws;
}

void
outlog_watches_free(struct outlog_watches *ws)
{
	if (ws == NULL)
		return;
	puncher_free(ws->puncher);
	event_free(ws->ev_tick);
	if (ws->ev_inotify != NULL)
		event_free(ws->ev_inotify);
	close_fd(&ws->ifd);
	free(ws);
}

bool
outlog_watched(const struct outlog_watches *ws, uint64_t number)
{
	const struct outlog_watch *w;

	if (ws == NULL)
		return false;
	w = LIST_FIRST(&ws->by_number[number % BUCKETS]);
	while (w != NULL && w->number != number)
		w = LIST_NEXT(w, number_link);
	return w != NULL;
}

/* Has the tick come when the most impatient watch wants it. Without any it is not set at all. */
static void
watches_schedule(struct outlog_watches *ws)
{
	struct timeval tv = {0, 0};
	int ms = 0;

	if (!LIST_EMPTY(&ws->active))
		ms = ws->any_fast && ws->nactive < MANY_ACTIVE ? TICK_FAST_MS : TICK_SLOW_MS;
	else if (!LIST_EMPTY(&ws->polled))
		ms = TICK_POLL_MS;
	if (ms == 0 || (ws->tick_ms != 0 && ws->tick_ms <= ms))
		return;
	ws->tick_ms = ms;
	tv.tv_usec = ms * 1000;
	if (event_add(ws->ev_tick, &tv) < 0)
		die_oom();
}

static void
watch_leave(struct outlog_watch *w)
{
	if (w->place == WATCH_ACTIVE)
		w->ws->nactive--;
	if (w->place != WATCH_GONE)
		LIST_REMOVE(w, link);
	w->place = WATCH_GONE;
}

static void
watch_activate(struct outlog_watch *w, bool fast)
{
	if (w->place == WATCH_ARMED)
		inotify_rm_watch(w->ws->ifd, w->wd);
	watch_leave(w);
	w->place = WATCH_ACTIVE;
	w->fast = fast;
	w->ws->any_fast |= fast;
	w->ws->nactive++;
	LIST_INSERT_HEAD(&w->ws->active, w, link);
	watches_schedule(w->ws);
}

/* Puts it to rest. The caller looks once more: what was written before this is not notified. */
static void
watch_arm(struct outlog_watch *w)
{
	struct outlog_watches *ws = w->ws;
	char name[OUTLOG_NAME_LEN], path[NAME_SPACE];

	outlog_name(w->number, name);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", ws->dir->fd, name);
	w->wd = -1;
	if (ws->ifd >= 0)
		w->wd = inotify_add_watch(ws->ifd, path, IN_MODIFY | IN_ONESHOT);
	watch_leave(w);
	w->place = w->wd >= 0 ? WATCH_ARMED : WATCH_POLLED;
	LIST_INSERT_HEAD(w->wd >= 0 ? bucket(ws, w->wd) : &ws->polled, w, link);
	watches_schedule(ws);
}

static void
watch_order_punch(struct outlog_watch *w, int fd)
{
	struct outlog_watches *ws = w->ws;
	int rc = 0;

	if (ws->puncher == NULL)
		rc = puncher_new(ws->base, watches_on_punched, ws, &ws->puncher);
	if (rc < 0) {
		note_failure(ws->dir, -rc);
		close(fd);
		return;
	}
	w->jobs++;
	puncher_add_take(ws->puncher, fd, w->punched, w->cut, w);
	w->punched = w->cut;
}

static void
watches_on_punched(void *ctx, void *owner, off_t from, int error)
{
	struct outlog_watches *ws = ctx;
	struct outlog_watch *w = owner;

	if (error != 0)
		note_failure(ws->dir, error);
	if (error == EOPNOTSUPP)
		ws->dir->can_drop = false;
	if (w == NULL)
		return;
	w->jobs--;
	if (error != 0)
		w->punched = MIN(w->punched, from); /* tried again at the next look */
}

/*
 * Drops what is above the limit, a sixteenth of the limit at a time. One order at a time, too,
 * but for the last look: while one is under way the rest stays readable.
 */
static void
watch_trim(struct outlog_watch *w, bool last)
{
	struct outlog_dir *dir = w->ws->dir;
	uint64_t kept = (uint64_t)(w->size - w->cut);
	bool over = kept > w->limit && kept - w->limit > MAX(w->limit / 16, BLOCK);
	int fd;

	if (w->limit == 0 || !dir->can_drop || (w->jobs > 0 && !last))
		return;
	if (!over && w->punched >= w->cut)
		return;
	fd = outlog_open(dir, w->number, O_WRONLY);
	if (fd < 0) {
		note_failure(dir, -fd);
		return;
	}
	if (over) {
		w->cut = (off_t)((uint64_t)w->size - w->limit) & ~(off_t)(BLOCK - 1);
		w->cb->dropped(w->ctx, outlog_watch_dropped(w));
	}
	watch_order_punch(w, fd);
}

/* The task has cut its output to `size`: what was there is dropped, offsets go on behind it. */
static void
watch_truncated(struct outlog_watch *w, off_t size)
{
	int fd = outlog_open(w->ws->dir, w->number, O_WRONLY);

	w->base += (uint64_t)w->size;
	w->size = size;
	w->cut = w->punched = 0;
	if (fd >= 0) {
		outlog_set_base(fd, w->base);
		close(fd);
	}
	if (size > 0)
		w->cb->grew(w->ctx, outlog_watch_size(w));
	w->cb->dropped(w->ctx, outlog_watch_dropped(w));
}

/* Looks at the file, with callbacks. Returns whether there was news, or -errno (it is gone). */
static int
watch_look(struct outlog_watch *w, bool last)
{
	char name[OUTLOG_NAME_LEN];
	off_t before = w->size;
	struct stat st;

	outlog_name(w->number, name);
	if (fstatat(w->ws->dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (st.st_size < w->size) {
		watch_truncated(w, st.st_size);
	} else if (st.st_size > w->size) {
		w->size = st.st_size;
		w->cb->grew(w->ctx, outlog_watch_size(w));
	}
	watch_trim(w, last);
	w->fast = w->size - before >= FAST_GROWTH;
	return w->size != before;
}

/* Looks, and moves the watch to where it belongs after that. */
static void
watch_look_and_place(struct outlog_watch *w)
{
	int rc = watch_look(w, false);

	if (rc == 0 && w->place == WATCH_ACTIVE) {
		watch_arm(w);
		rc = watch_look(w, false);
	}
	if (rc < 0)
		watch_leave(w);
	else if (rc > 0 && w->place != WATCH_ACTIVE)
		watch_activate(w, w->fast);
}

static void
watches_look_at_active(struct outlog_watches *ws)
{
	struct outlog_watch *w, *next;
	bool all = !ws->any_fast || ws->turn % (TICK_SLOW_MS / TICK_FAST_MS) == 0;

	ws->turn++;
	ws->any_fast = false;
	for (w = LIST_FIRST(&ws->active); w != NULL; w = next) {
		next = LIST_NEXT(w, link);
		if (all || w->fast)
			watch_look_and_place(w);
		if (w->place == WATCH_ACTIVE)
			ws->any_fast |= w->fast;
	}
}

static void
watches_on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct outlog_watches *ws = arg;
	struct outlog_watch *w, *next;

	(void)fd, (void)what;
	ws->polled_ms += ws->tick_ms;
	ws->tick_ms = 0;
	watches_look_at_active(ws);
	if (ws->polled_ms >= TICK_POLL_MS) {
		ws->polled_ms = 0;
		for (w = LIST_FIRST(&ws->polled); w != NULL; w = next) {
			next = LIST_NEXT(w, link);
			watch_look_and_place(w);
		}
	}
	watches_schedule(ws);
}

/* The kernel's queue ran over: any of the armed watches may have fired. */
static void
watches_wake_all(struct outlog_watches *ws)
{
	size_t i;

	for (i = 0; i < BUCKETS; i++)
		while (!LIST_EMPTY(&ws->armed[i]))
			watch_activate(LIST_FIRST(&ws->armed[i]), false);
}

static struct outlog_watch *
watches_find(struct outlog_watches *ws, int wd)
{
	struct outlog_watch *w = LIST_FIRST(bucket(ws, wd));

	while (w != NULL && w->wd != wd)
		w = LIST_NEXT(w, link);
	return w;
}

static void
watches_on_event(struct outlog_watches *ws, const struct inotify_event *ev)
{
	struct outlog_watch *w;

	if (ev->mask & IN_Q_OVERFLOW) {
		watches_wake_all(ws);
		return;
	}
	/* The one-shot's own IN_IGNORED finds nobody: the watch has left, or has a new number. */
	w = watches_find(ws, ev->wd);
	if (w == NULL)
		return;
	watch_leave(w);
	watch_activate(w, false);
	if (watch_look(w, false) < 0)
		watch_leave(w);
}

static void
watches_on_inotify(evutil_socket_t fd, short what, void *arg)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *ev;
	ssize_t len;
	char *p;

	(void)what;
	while ((len = read(fd, buf, sizeof(buf))) > 0) {
		for (p = buf; p < buf + len; p += sizeof(*ev) + ev->len) {
			ev = (const struct inotify_event *)(const void *)p;
			watches_on_event(arg, ev);
		}
	}
}

/*
 * What an earlier daemon left of the file. It may have died between dropping and storing that it
 * did (then the file begins with a hole) or the other way round (then the hole is still owed).
 */
static void
watch_inspect(struct outlog_watch *w, uint64_t dropped)
{
	int fd = outlog_open(w->ws->dir, w->number, O_RDONLY);
	struct stat st = {0};
	off_t data;

	if (fd >= 0 && fstat(fd, &st) == 0)
		w->base = outlog_get_base(fd);
	if (dropped > w->base + (uint64_t)st.st_size)
		w->base = dropped;
	w->size = st.st_size;
	w->cut = dropped > w->base ? (off_t)(dropped - w->base) : 0;
	if (fd < 0)
		return;
	data = lseek(fd, 0, SEEK_DATA);
	if (data < 0)
		data = errno == ENXIO ? w->size : 0;
	w->punched = MIN(data, w->cut);
	w->cut = MAX(data, w->cut);
	close(fd);
}

int
outlog_watch_new(struct outlog_dir *dir, struct event_base *base, uint64_t number, uint64_t limit,
    uint64_t dropped, const struct outlog_callbacks *cb, void *ctx, struct outlog_watch **ret)
{
	struct outlog_watch *w = xcalloc(1, sizeof(*w));

	if (dir->watches == NULL)
		dir->watches = watches_new(dir, base);
	w->ws = dir->watches;
	w->number = number;
	w->limit = MIN(limit, (uint64_t)INT64_MAX / 2);
	w->cb = cb;
	w->ctx = ctx;
	w->place = WATCH_GONE;
	if (number <= dir->opened_at || dropped > 0)
		watch_inspect(w, dropped);
	LIST_INSERT_HEAD(&w->ws->by_number[number % BUCKETS], w, number_link);
	watch_activate(w, true);
	*ret = w;
	return 0;
}

void
outlog_watch_free(struct outlog_watch *w)
{
	if (w == NULL)
		return;
	if (w->place == WATCH_ARMED)
		inotify_rm_watch(w->ws->ifd, w->wd);
	watch_leave(w);
	LIST_REMOVE(w, number_link);
	if (w->jobs > 0)
		puncher_forget(w->ws->puncher, w);
	free(w);
}

uint64_t
outlog_watch_size(const struct outlog_watch *w)
{
	return w->base + (uint64_t)w->size;
}

uint64_t
outlog_watch_dropped(const struct outlog_watch *w)
{
	return w->base + (uint64_t)w->cut;
}

void
outlog_watch_sync(struct outlog_watch *w)
{
	/* A file that has gone keeps its last size. */
	if (watch_look(w, true) < 0)
		watch_leave(w);
}

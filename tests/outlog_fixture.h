/*
 * A directory of output files in a temporary directory, an event loop and a watch that writes down
 * what it is told: what the tests of outlog.c and of outlog_watch.c stand on.
 */
#ifndef TASKCTL_OUTLOG_FIXTURE_H
#define TASKCTL_OUTLOG_FIXTURE_H

#include <check.h>
#include <event2/event.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "outlog.h"
#include "util.h"

#define KIB 1024ULL
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

static char tmp[PATH_MAX], path[PATH_MAX];
static struct outlog_dir *dir;
static struct event_base *base;

/* What the callbacks of one watch said. */
struct seen {
	uint64_t size, dropped;
	int grew, drops;
};

static inline void
on_grew(void *ctx, uint64_t size)
{
	struct seen *s = ctx;

	ck_assert_uint_gt(size, s->size);
	s->size = size;
	s->grew++;
}

static inline void
on_dropped(void *ctx, uint64_t dropped)
{
	struct seen *s = ctx;

	ck_assert_uint_gt(dropped, s->dropped);
	ck_assert_uint_le(dropped, s->size);
	s->dropped = dropped;
	s->drops++;
}

static const struct outlog_callbacks callbacks = {on_grew, on_dropped};

static inline void
setup(void)
{
	snprintf(tmp, sizeof(tmp), "%s/check_outlog.XXXXXX",
	    getenv("TMPDIR") ? getenv("TMPDIR") : "/var/tmp");
	ck_assert_ptr_nonnull(mkdtemp(tmp));
	snprintf(path, sizeof(path), "%.4000s/output", tmp);
	ck_assert_int_eq(outlog_dir_open(path, 0, &dir), 0);
	base = event_base_new();
}

static inline void
teardown(void)
{
	char command[PATH_MAX + 16];

	outlog_dir_free(dir);
	event_base_free(base);
	snprintf(command, sizeof(command), "rm -rf '%.4000s'", tmp);
	ck_assert_int_eq(system(command), 0);
}

static inline void
reopen(uint64_t last_used)
{
	outlog_dir_free(dir);
	ck_assert_int_eq(outlog_dir_open(path, last_used, &dir), 0);
}

static inline uint64_t
take(int *fd)
{
	uint64_t number;

	ck_assert_int_eq(outlog_take(dir, &number, fd), 0);
	return number;
}

static inline uint64_t
take_with(const void *data, size_t len)
{
	int fd;
	uint64_t number = take(&fd);

	ck_assert_int_eq(write(fd, data, len), len);
	close(fd);
	return number;
}

static inline char *
file_path(uint64_t number)
{
	static char name[PATH_MAX + 32];

	snprintf(name, sizeof(name), "%s/%llu", path, (unsigned long long)number);
	return name;
}

static inline struct outlog_watch *
watch(uint64_t number, uint64_t limit, uint64_t dropped, struct seen *s)
{
	struct outlog_watch *w;

	memset(s, 0, sizeof(*s));
	ck_assert_int_eq(outlog_watch_new(dir, base, number, limit, dropped, &callbacks, s, &w), 0);
	s->size = outlog_watch_size(w);
	s->dropped = outlog_watch_dropped(w);
	return w;
}

static inline void
write_all(int fd, const char *data, size_t len)
{
	ssize_t n;

	for (; len > 0; data += n, len -= (size_t)n) {
		n = write(fd, data, len);
		if (n <= 0)
			_exit(1);
	}
}

#endif

/*
 * The directory of output files: making them ahead of time, handing them out, reading, removing.
 */
#include "outlog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fault.h"
#include "outlog_private.h"
#include "util.h"

#define BASE_ATTR      "user.taskctl.base"
#define REFILL_AT_ONCE 4
#define NAMES_TRIED    1000
#define OFFSET_MAX     ((uint64_t)INT64_MAX)

void
outlog_name(uint64_t number, char name[OUTLOG_NAME_LEN])
{
	snprintf(name, OUTLOG_NAME_LEN, "%" PRIu64, number);
}

/* The number of a file that is ours: decimal digits without leading zeros; else 0. */
static uint64_t
name_number(const char *name)
{
	char again[OUTLOG_NAME_LEN];
	uint64_t number;

	if (name[0] < '1' || name[0] > '9')
		return 0;
	number = strtoull(name, NULL, 10);
	outlog_name(number, again);
	return strcmp(name, again) == 0 ? number : 0;
}

int
outlog_open(const struct outlog_dir *dir, uint64_t number, int flags)
{
	char name[OUTLOG_NAME_LEN];
	int fd;

	outlog_name(number, name);
	fd = openat(dir->fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

uint64_t
outlog_get_base(int fd)
{
	char text[OUTLOG_NAME_LEN];
	ssize_t len = fgetxattr(fd, BASE_ATTR, text, sizeof(text) - 1);
	uint64_t base;

	if (len <= 0)
		return 0;
	text[len] = '\0';
	base = strtoull(text, NULL, 10);
	return base <= OFFSET_MAX ? base : 0;
}

void
outlog_set_base(int fd, uint64_t base)
{
	char text[OUTLOG_NAME_LEN];

	outlog_name(base, text);
	/* Best effort: the header says what it means where there are no attributes. */
	if (fsetxattr(fd, BASE_ATTR, text, strlen(text), 0) < 0)
		return;
}

/* Calls fn for the number of each file; stops at the first result that is not 0. */
static int
dir_each(struct outlog_dir *dir, int (*fn)(struct outlog_dir *, uint64_t, void *), void *ctx)
{
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	struct dirent *entry;
	uint64_t number;
	DIR *d;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (d == NULL)
		die_oom();
	while (rc == 0 && (errno = 0, entry = readdir(d)) != NULL) {
		number = name_number(entry->d_name);
		if (number != 0)
			rc = fn(dir, number, ctx);
	}
	if (rc == 0)
		rc = -errno;
	closedir(d);
	return rc;
}

static int
note_highest(struct outlog_dir *dir, uint64_t number, void *ctx)
{
	(void)ctx;
	dir->last = MAX(dir->last, number);
	return 0;
}

static int
dir_make_file(struct outlog_dir *dir, uint64_t *number)
{
	const int flags = O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC;
	char name[OUTLOG_NAME_LEN];
	int fd, tries = 0, error = FAULT("outlog.create");

	if (error != 0)
		return -error;
	do {
		*number = ++dir->last;
		outlog_name(*number, name);
		fd = openat(dir->fd, name, flags, 0600);
	} while (fd < 0 && errno == EEXIST && ++tries < NAMES_TRIED);
	return fd < 0 ? -errno : fd;
}

static int
dir_make_ready(struct outlog_dir *dir)
{
	uint64_t number;
	int fd = dir_make_file(dir, &number);

	if (fd < 0)
		return fd;
	dir->ready_number[dir->nready] = number;
	dir->ready_fd[dir->nready++] = fd;
	return 0;
}

static bool
probe_punch(int fd)
{
	const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	return FAULT("outlog.probe") == 0 && fallocate(fd, mode, 0, 4096) == 0;
}

int
outlog_dir_open(const char *path, uint64_t last_used, struct outlog_dir **ret)
{
	struct outlog_dir *dir;
	int fd, rc;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = xcalloc(1, sizeof(*dir));
	dir->fd = fd;
	dir->last = last_used;
	rc = dir_each(dir, note_highest, NULL);
	dir->opened_at = dir->last;
	if (rc == 0)
		rc = dir_make_ready(dir);
	if (rc < 0) {
		outlog_dir_free(dir);
		return rc;
	}
	dir->can_drop = probe_punch(dir->ready_fd[0]);
	*ret = dir;
	return 0;
}

static int
dir_unlink(struct outlog_dir *dir, uint64_t number)
{
	char name[OUTLOG_NAME_LEN];

	outlog_name(number, name);
	if (unlinkat(dir->fd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

void
outlog_dir_free(struct outlog_dir *dir)
{
	if (dir == NULL)
		return;
	outlog_watches_free(dir->watches);
	while (dir->nready > 0) {
		dir->nready--;
		close_fd(&dir->ready_fd[dir->nready]);
		dir_unlink(dir, dir->ready_number[dir->nready]);
	}
	close_fd(&dir->fd);
	free(dir);
}

int
outlog_dir_refill(struct outlog_dir *dir)
{
	int i, rc;

	for (i = 0; i < REFILL_AT_ONCE && dir->nready < OUTLOG_REFILL; i++) {
		rc = dir_make_ready(dir);
		if (rc < 0)
			return rc;
	}
	return dir->nready < OUTLOG_REFILL ? (int)(OUTLOG_REFILL - dir->nready) : 0;
}

bool
outlog_dir_can_drop(const struct outlog_dir *dir)
{
	return dir->can_drop;
}

uint64_t
outlog_dir_failures(const struct outlog_dir *dir, int *last_error)
{
	*last_error = dir->last_error;
	return dir->failures;
}

int
outlog_take(struct outlog_dir *dir, uint64_t *number, int *fd)
{
	uint64_t made;
	int rc;

	if (dir->nready > 0) {
		dir->nready--;
		*number = dir->ready_number[dir->nready];
		*fd = dir->ready_fd[dir->nready];
		return 0;
	}
	rc = dir_make_file(dir, &made);
	if (rc < 0)
		return rc;
	*number = made;
	*fd = rc;
	return 0;
}

int
outlog_append(struct outlog_dir *dir, uint64_t number)
{
	int fd = outlog_open(dir, number, O_WRONLY | O_APPEND);

	if (fd >= 0 && fcntl(fd, F_SETFL, O_APPEND) < 0) { /* a task may count on blocking writes */
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

/*
 * True if nobody but fd has the file open: then a lease on it is to be had. One who opens it in
 * between makes the kernel send us a signal, hence one that is ignored by nature.
 */
static bool
is_ours_alone(int fd)
{
	if (fcntl(fd, F_SETSIG, SIGURG) < 0 || fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
		return false;
	return fcntl(fd, F_SETLEASE, F_UNLCK) == 0;
}

static bool
is_like_new(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0 && st.st_nlink == 1 &&
	       (st.st_mode & 07777) == 0600 && outlog_get_base(fd) == 0;
}

/*
 * An empty file that nobody has open becomes a ready one under a new number: that saves making
 * and deleting one. ext4 is slow at making files where many were deleted in the last minutes.
 */
static bool
dir_recycle(struct outlog_dir *dir, uint64_t number)
{
	char name[OUTLOG_NAME_LEN], fresh[OUTLOG_NAME_LEN];
	int fd;

	if (dir->nready >= OUTLOG_READY || outlog_watched(dir->watches, number))
		return false;
	fd = outlog_append(dir, number);
	if (fd < 0)
		return false;
	outlog_name(number, name);
	outlog_name(dir->last + 1, fresh);
	if (!is_like_new(fd) || !is_ours_alone(fd) ||
	    renameat2(dir->fd, name, dir->fd, fresh, RENAME_NOREPLACE) < 0) {
		close(fd);
		return false;
	}
	dir->ready_number[dir->nready] = ++dir->last;
	dir->ready_fd[dir->nready++] = fd;
	return true;
}

int
outlog_remove(struct outlog_dir *dir, uint64_t number)
{
	return dir_recycle(dir, number) ? 0 : dir_unlink(dir, number);
}

struct sweep {
	bool (*used)(void *ctx, uint64_t number);
	void *ctx;
	int removed;
};

static int
sweep_one(struct outlog_dir *dir, uint64_t number, void *arg)
{
	struct sweep *s = arg;
	int rc;

	if (number > dir->opened_at || s->used(s->ctx, number))
		return 0;
	rc = outlog_remove(dir, number);
	if (rc == 0)
		s->removed++;
	return rc;
}

int
outlog_sweep(struct outlog_dir *dir, bool (*used)(void *ctx, uint64_t number), void *ctx)
{
	struct sweep s = {used, ctx, 0};
	int rc = dir_each(dir, sweep_one, &s);

	return rc < 0 ? rc : s.removed;
}

int
outlog_size(struct outlog_dir *dir, uint64_t number, uint64_t *bytes)
{
	int fd = outlog_open(dir, number, O_RDONLY), rc = 0;
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		rc = -errno;
	else
		*bytes = outlog_get_base(fd) + (uint64_t)st.st_size;
	close(fd);
	return rc;
}

ssize_t
outlog_read(struct outlog_dir *dir, uint64_t number, uint64_t offset, void *buf, size_t len)
{
	int fd = outlog_open(dir, number, O_RDONLY);
	uint64_t base;
	ssize_t n;

	if (fd < 0)
		return fd;
	base = outlog_get_base(fd);
	if (offset < base) {
		n = -ENODATA;
	} else if (offset - base > OFFSET_MAX) {
		n = 0;
	} else {
		n = pread(fd, buf, len, (off_t)(offset - base));
		n = n < 0 ? -errno : n;
	}
	close(fd);
	return n;
}

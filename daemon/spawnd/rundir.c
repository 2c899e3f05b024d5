/*
 * The private directory of a run: notify socket, cancel file, and whatever the task puts there.
 * The task may do what it likes in it, so nothing is followed and nothing is believed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "spawnd.h"

#define DEPTH_MAX 64 /* of directories that a task nested in its own */

void
rundir_name(char name[RUNDIR_NAMES], struct stat_key key)
{
	snprintf(name, RUNDIR_NAMES, "%" PRIu64 "-%" PRIu32, key.task, key.run);
}

struct stat_key
rundir_of_task(const char *runtime_dir, struct stat_key key)
{
	struct stat_key task = {.task = key.task};
	char name[RUNDIR_NAMES], path[PATH_MAX];

	rundir_name(name, task);
	snprintf(path, sizeof path, "%s/" WIRE_TASKS "/%s", runtime_dir, name);
	return access(path, F_OK) == 0 ? task : key;
}

int
rundir_open(struct spawnd *sd, struct stat_key key)
{
	char name[RUNDIR_NAMES];

	rundir_name(name, key);
	return openat(sd->tasks_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int
rundir_make(struct spawnd *sd, struct stat_key key)
{
	char name[RUNDIR_NAMES], rel[RUNDIR_NAMES + 16];
	struct sockaddr_un addr;
	int r, fd, on = 1;

	rundir_name(name, key);
	snprintf(rel, sizeof rel, WIRE_TASKS "/%s/notify", name);
	if ((r = wire_address(&addr, sd->opts->runtime_dir, rel)) < 0)
		return r;
	if (mkdirat(sd->tasks_fd, name, 0700) < 0) {
		if (errno != EEXIST)
			return -errno;
		unlink(addr.sun_path); /* of a start that did not get far */
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ||
	    bind(fd, (const struct sockaddr *)&addr, sizeof addr) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static int
create(int dir, const char *name)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir, name, flags, 0600);

	if (fd < 0 && errno == EEXIST) { /* left by a taskspawnd that was killed, or put there */
		unlinkat(dir, name, 0);
		fd = openat(dir, name, flags, 0600);
	}
	return fd < 0 ? -errno : fd;
}

int
rundir_write(int dir, const char *name, const char *data, size_t size)
{
	char tmp[64];
	int r, fd;

	snprintf(tmp, sizeof tmp, ".%s.new", name);
	if ((fd = create(dir, tmp)) < 0)
		return fd;
	r = wire_write_all(fd, data, size);
	close(fd);
	if (r == 0 && renameat(dir, tmp, dir, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir, tmp, 0);
	return r;
}

/* ---- removal ----------------------------------------------------------------------------- */

/* In a child: what a task has made may be large. */
static void
remove_tree(int parent, const char *name, int depth)
{
	struct dirent *d;
	DIR *dir;
	int fd;

	if (unlinkat(parent, name, 0) == 0 || depth >= DEPTH_MAX)
		return;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	fchmod(fd, 0700);
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return;
	}
	while ((d = readdir(dir)) != NULL)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			remove_tree(fd, d->d_name, depth + 1);
	closedir(dir);
	unlinkat(parent, name, AT_REMOVEDIR);
}

static void
remove_in_helper(struct spawnd *sd, const char *name)
{
	int tasks_fd = sd->tasks_fd, at = 0;
	pid_t pid;

	while (at < HELPERS_MAX && sd->helper[at] != 0)
		at++;
	if (at == HELPERS_MAX) /* more at once help nobody: the sweep of the next start takes it */
		return;
	pid = fork();
	if (pid == 0) { /* sd is not there any more */
		remove_tree(keeper_keep_only(tasks_fd), name, 0);
		_exit(0);
	}
	if (pid > 0)
		sd->helper[at] = pid;
}

bool
rundir_is_helper(struct spawnd *sd, pid_t pid, bool ended)
{
	for (int i = 0; i < HELPERS_MAX; i++) {
		if (sd->helper[i] != pid)
			continue;
		if (ended)
			sd->helper[i] = 0;
		return true;
	}
	return false;
}

static void
remove_named(struct spawnd *sd, const char *name)
{
	static const char *const ours[] = {"notify", "cancel.json", "cancel.msg"};
	int dir;

	dir = openat(sd->tasks_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir >= 0) {
		for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
			unlinkat(dir, ours[i], 0);
		close(dir);
	}
	if (unlinkat(sd->tasks_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		remove_in_helper(sd, name);
}

void
rundir_remove(struct spawnd *sd, struct stat_key key)
{
	char name[RUNDIR_NAMES];

	rundir_name(name, key);
	remove_named(sd, name);
}

static bool
has_record(const struct spawnd *sd, const char *name)
{
	struct stat_key key;

	if (sscanf(name, "%" SCNu64 "-%" SCNu32, &key.task, &key.run) != 2)
		return false;
	return stat_index_find(&sd->index, key) >= 0;
}

void
rundir_sweep(struct spawnd *sd)
{
	int fd = openat(sd->tasks_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *d;
	DIR *dir;

	if (fd < 0)
		return;
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return;
	}
	while ((d = readdir(dir)) != NULL)
		if (d->d_name[0] != '.' && !has_record(sd, d->d_name))
			remove_named(sd, d->d_name);
	closedir(dir);
}

/*
 * The few files of a version 2 control group that a run needs, and where our own group is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"
#include "proc.h"

#define NESTING_MAX 16 /* of groups that a task made inside its own */

/* Our own group, as "/proc/self/cgroup" has it on the line of the version 2 hierarchy. */
static int
own_path(char path[CGROUP_PATH_MAX])
{
	char line[4096];
	FILE *f = fopen("/proc/self/cgroup", "re");
	int r = -ENOENT;

	if (f == NULL)
		return -errno;
	while (r == -ENOENT && fgets(line, sizeof line, f) != NULL) {
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		r = strlen(line + 3) < CGROUP_PATH_MAX ? 0 : -ENAMETOOLONG;
		if (r == 0)
			strcpy(path, line + 3);
	}
	fclose(f);
	return r;
}

/* One line of mountinfo: fields 4 and 5 are the root inside the file system and the place. */
static bool
parse_mount(char *line, const char **root, const char **place)
{
	char *save = NULL, *field, *type = strstr(line, " - ");

	if (type == NULL || strncmp(type, " - cgroup2 ", 11) != 0)
		return false;
	for (int i = 1; i <= 5; i++) {
		field = strtok_r(i == 1 ? line : NULL, " ", &save);
		if (field == NULL)
			return false;
		if (i == 4)
			*root = field;
		if (i == 5)
			*place = field;
	}
	return true;
}

/* The directory of a group, through whichever mount shows it. */
static int
path_to_dir(const char *path, char dir[CGROUP_PATH_MAX])
{
	char line[4096];
	const char *root = "", *place = "";
	FILE *f = fopen("/proc/self/mountinfo", "re");
	int r = -ENOENT;

	if (f == NULL)
		return -errno;
	while (r == -ENOENT && fgets(line, sizeof line, f) != NULL) {
		size_t skip;

		if (!parse_mount(line, &root, &place))
			continue;
		skip = strcmp(root, "/") == 0 ? 0 : strlen(root);
		if (strncmp(path, root, skip) != 0)
			continue;
		path += skip;
		if (strcmp(path, "/") == 0)
			path++;
		r = snprintf(dir, CGROUP_PATH_MAX, "%s%s", place, path) < CGROUP_PATH_MAX
			? 0
			: -ENAMETOOLONG;
	}
	fclose(f);
	return r;
}

static int
write_file(int cgfd, const char *name, const char *text)
{
	int r = 0, fd = openat(cgfd, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int
join_paths(char *dst, const char *a, const char *b)
{
	const char *slash = strcmp(a, "/") == 0 ? "" : "/";

	return snprintf(dst, CGROUP_PATH_MAX, "%s%s%s", strcmp(a, "/") == 0 ? "/" : a, slash, b) <
		       CGROUP_PATH_MAX
		   ? 0
		   : -ENAMETOOLONG;
}

int
cgroup_base_init(struct cgroup_base *base, const char *name)
{
	char own[CGROUP_PATH_MAX], dir[CGROUP_PATH_MAX];
	char file[CGROUP_PATH_MAX + 16];
	int r;

	if ((r = own_path(own)) < 0 || (r = path_to_dir(own, dir)) < 0)
		return r;
	if ((r = join_paths(base->dir, dir, name)) < 0 ||
	    (r = join_paths(base->path, own, name)) < 0)
		return r;
	if (mkdir(base->dir, 0755) < 0 && errno != EEXIST)
		return -errno;
	snprintf(file, sizeof file, "%s/cgroup.kill", base->dir);
	if (access(file, W_OK) < 0)
		return errno == ENOENT ? -EOPNOTSUPP : -errno;
	return 0;
}

int
cgroup_make(const struct cgroup_base *base, const char *name, char *dir, char *path)
{
	int r;

	if ((r = join_paths(dir, base->dir, name)) < 0 ||
	    (r = join_paths(path, base->path, name)) < 0)
		return r;
	return mkdir(dir, 0755) < 0 ? -errno : 0;
}

int
cgroup_open(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* ---- groups inside groups ---------------------------------------------------------------- */

struct walk {
	int cgfd;
	int depth;
	/* Called for each group below, the innermost first; the name is relative to its parent. */
	void (*fn)(void *ctx, int parent, const char *name, int fd);
	void *ctx;
};

static bool
walk_name(void *ctx, const char *name)
{
	struct walk *w = ctx, inner = *w;
	int fd;

	/* The files of a group are named "controller.file"; groups may be named anything else. */
	fd = openat(w->cgfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return true;
	inner.cgfd = fd;
	inner.depth++;
	if (inner.depth < NESTING_MAX)
		proc_each_name(fd, walk_name, &inner);
	w->fn(w->ctx, w->cgfd, name, fd);
	close(fd);
	return true;
}

static void
walk_below(int cgfd, void (*fn)(void *ctx, int parent, const char *name, int fd), void *ctx)
{
	struct walk w = {.cgfd = cgfd, .fn = fn, .ctx = ctx};
	struct stat st;

	/* A directory without others in it has two links: the common case needs no listing. */
	if (fstat(cgfd, &st) < 0 || st.st_nlink <= 2 || lseek(cgfd, 0, SEEK_SET) < 0)
		return;
	proc_each_name(cgfd, walk_name, &w);
}

static void
remove_one(void *ctx, int parent, const char *name, int fd)
{
	(void)ctx;
	(void)fd;
	unlinkat(parent, name, AT_REMOVEDIR);
}

int
cgroup_remove(const char *dir)
{
	int fd;

	if (rmdir(dir) == 0 || errno == ENOENT)
		return 0;
	fd = cgroup_open(dir);
	if (fd < 0)
		return fd;
	walk_below(fd, remove_one, NULL);
	close(fd);
	return rmdir(dir) < 0 ? -errno : 0;
}

/* ---- the files of one group -------------------------------------------------------------- */

int
cgroup_open_procs(int cgfd)
{
	int fd = openat(cgfd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int
cgroup_kill(int cgfd)
{
	return write_file(cgfd, "cgroup.kill", "1");
}

int
cgroup_freeze(int cgfd, bool freeze)
{
	return write_file(cgfd, "cgroup.freeze", freeze ? "1" : "0");
}

bool
cgroup_populated(int cgfd)
{
	char buf[256];
	ssize_t n;
	int fd = openat(cgfd, "cgroup.events", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	n = read(fd, buf, sizeof buf - 1);
	close(fd);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	return strstr(buf, "populated 1") != NULL;
}

struct each {
	void (*fn)(void *ctx, pid_t pid);
	void *ctx;
};

static void
each_in(struct each *e, int cgfd)
{
	char buf[1024];
	ssize_t n;
	long pid = 0;
	int fd = openat(cgfd, "cgroup.procs", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	while ((n = read(fd, buf, sizeof buf)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] >= '0' && buf[i] <= '9') {
				pid = pid * 10 + (buf[i] - '0');
			} else if (pid > 0) {
				e->fn(e->ctx, (pid_t)pid);
				pid = 0;
			}
		}
	}
	close(fd);
}

static void
each_below(void *ctx, int parent, const char *name, int fd)
{
	(void)parent;
	(void)name;
	each_in(ctx, fd);
}

void
cgroup_each(int cgfd, void (*fn)(void *ctx, pid_t pid), void *ctx)
{
	struct each e = {.fn = fn, .ctx = ctx};

	each_in(&e, cgfd);
	walk_below(cgfd, each_below, &e);
}

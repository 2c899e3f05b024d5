/*
 * Directories that belong to us and to nobody else.
 */
#include "server_dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "server.h"
#include "util.h"

/* mkdir -p, with mode 0700 for what is made. */
static int
make_path(const char *path)
{
	char *copy = xstrdup(path);
	int r = 0;

	for (char *p = copy + 1; r == 0 && *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, 0700) < 0 && errno != EEXIST)
			r = -errno;
		*p = '/';
	}
	if (r == 0 && mkdir(copy, 0700) < 0 && errno != EEXIST)
		r = -errno;
	free(copy);
	return r;
}

static int
refuse(const char *path, const char *why)
{
	log_error("The directory %s cannot be used: %s.", path, why);
	return SERVER_NOT_ALLOWED;
}

/* Others must not be able to put anything in; `strict`: nor to look. */
static int
prepare(const char *path, bool strict)
{
	struct stat st;
	int r = make_path(path);

	if (r < 0)
		return refuse(path, strerror(-r));
	if ((strict ? lstat(path, &st) : stat(path, &st)) < 0)
		return refuse(path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return refuse(path, "it is no directory");
	if (st.st_uid != geteuid())
		return refuse(path, "it belongs to another user");
	if ((st.st_mode & (strict ? 077 : 022)) != 0)
		return refuse(path, strict ? "others may look into it (chmod 0700 it)"
					   : "others may write to it (chmod go-w it)");
	if (access(path, R_OK | W_OK | X_OK) < 0)
		return refuse(path, strerror(errno));
	return 0;
}

static int
lock(const char *dir, int *lock_fd)
{
	char *path = xasprintf("%s/lock", dir);
	int error = 0, r = 0;

	*lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*lock_fd < 0 || flock(*lock_fd, LOCK_EX | LOCK_NB) < 0)
		error = errno;
	if (error == EWOULDBLOCK) {
		log_error("Another taskctld uses the state directory %s.", dir);
		r = SERVER_BUSY;
	} else if (error == EACCES || error == EPERM || error == EROFS) {
		r = refuse(dir, strerror(error));
	} else if (error != 0) {
		log_error("%s: %s", path, strerror(error));
		r = SERVER_FAILED;
	}
	free(path);
	return r;
}

int
server_dirs_prepare(const struct config *c, int *lock_fd)
{
	int r;

	if (c->runtime_private)
		log_info("There is no XDG_RUNTIME_DIR; using %s.", c->runtime_dir);
	if ((r = prepare(c->state_dir, false)) != 0 ||
	    (r = prepare(c->runtime_dir, c->runtime_private)) != 0)
		return r;
	return lock(c->state_dir, lock_fd);
}

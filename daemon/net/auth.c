/*
 * Turns the other end of a socket into a caller.
 */
#include "auth.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"
#include "util.h"

struct auth {
	int diag_fd; /* -1: the owner of a TCP peer cannot be known */
};

struct auth *
auth_new(void)
{
	struct auth *a = xcalloc(1, sizeof(*a));

	a->diag_fd = peer_diag_open();
	if (a->diag_fd >= 0 && !peer_diag_selftest(a->diag_fd))
		close_fd(&a->diag_fd);
	return a;
}

void
auth_free(struct auth *a)
{
	if (a == NULL)
		return;
	close_fd(&a->diag_fd);
	free(a);
}

bool
auth_knows_tcp(const struct auth *a)
{
	return a->diag_fd >= 0;
}

static bool
is_unix(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	return getsockname(fd, (struct sockaddr *)&ss, &len) == 0 && ss.ss_family == AF_UNIX;
}

static bool
owner(const struct auth *a, int fd, uid_t *uid)
{
	pid_t pid;

	if (is_unix(fd))
		return peer_unix(fd, uid, &pid) == 0;
	return a->diag_fd >= 0 && peer_tcp(a->diag_fd, fd, uid) == 0;
}

void
auth_identify(const struct auth *a, int fd, struct caller *ret)
{
	uid_t uid;

	memset(ret, 0, sizeof(*ret));
	if (!owner(a, fd, &uid) || uid != geteuid())
		return;
	ret->known = true;
	ret->uid = uid;
	snprintf(ret->by, sizeof(ret->by), "uid:%lu", (unsigned long)uid);
}

/* A closed TCP peer still has its entry in the kernel's table, but no socket behind it. */
bool
auth_peer_gone(void *auth, int fd)
{
	const struct auth *a = auth;
	struct pollfd pfd = {.fd = fd};
	uid_t uid;

	if (poll(&pfd, 1, 0) == 1 && (pfd.revents & (POLLHUP | POLLERR)) != 0)
		return true;
	return !is_unix(fd) && a->diag_fd >= 0 && peer_tcp(a->diag_fd, fd, &uid) == -ENOENT;
}

/* sd_notify(3) without its library: sending, socket activation, and receiving from tasks. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "sdnotify.h"
#include "util.h"

#define LISTEN_FDS_START 3
#define PASSED_FDS_MAX   253 /* the kernel's SCM_MAX_FD: nobody can pass more at once */

static int
notify_address(struct sockaddr_un *sun, socklen_t *len)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n;

	if (!path || !*path)
		return -ENOENT;
	n = strlen(path);
	if ((*path != '/' && *path != '@') || n < 2 || n >= sizeof(sun->sun_path))
		return -EINVAL;
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, path, n);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	if (*path == '@')
		sun->sun_path[0] = '\0';
	else
		(*len)++; /* a path is passed with its NUL, an abstract name without */
	return 0;
}

int
sdnotify_send(const char *text)
{
	struct sockaddr_un sun;
	socklen_t len;
	ssize_t n;
	int r, fd;

	r = notify_address(&sun, &len);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	do
		n = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&sun, len);
	while (n < 0 && errno == EINTR);
	r = n < 0 ? -errno : 0;
	close_fd(&fd);
	return r;
}

/* The variable as a number, or `otherwise`. */
static int64_t
env_number(const char *name, int64_t otherwise)
{
	const char *s = getenv(name);
	int64_t n;

	return s && str_to_int64(s, &n) == 0 ? n : otherwise;
}

uint64_t
sdnotify_watchdog_usec(void)
{
	int64_t usec = env_number("WATCHDOG_USEC", 0);

	if (usec <= 0 || env_number("WATCHDOG_PID", getpid()) != getpid())
		return 0;
	return (uint64_t)usec;
}

int
sdnotify_listen_fds(int fds[SDNOTIFY_FDS_MAX])
{
	int64_t n = env_number("LISTEN_FDS", 0);
	int64_t pid = env_number("LISTEN_PID", 0);

	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
	if (n <= 0 || pid != getpid())
		return 0;
	if (n > SDNOTIFY_FDS_MAX)
		return -E2BIG;
	for (int i = 0; i < n; i++) {
		fds[i] = LISTEN_FDS_START + i;
		fcntl(fds[i], F_SETFD, FD_CLOEXEC);
	}
	return (int)n;
}

/* The first descriptor of the message goes to *keep if that has none yet; the rest is closed. */
static void
take_fds(struct cmsghdr *c, int *keep)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int fd;

	for (size_t i = 0; i < n; i++) {
		memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
		if (*keep < 0)
			*keep = fd;
		else
			close_fd(&fd);
	}
}

ssize_t
notify_recv(int fd, void *buf, size_t size, int *barrier_fd, pid_t *pid)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(PASSED_FDS_MAX * sizeof(int)) +
			   CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = {buf, size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct ucred cred;
	ssize_t n;

	*barrier_fd = -1;
	*pid = 0;
	msg.msg_control = control.space;
	msg.msg_controllen = sizeof(control.space);
	do
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS) {
			take_fds(c, barrier_fd);
		} else if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			*pid = cred.pid;
		}
	}
	return n;
}

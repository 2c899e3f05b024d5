/* Unit tests of sdnotify.h, over sockets of our own. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "check_run.h"
#include "sdnotify.h"
#include "util.h"

/* A datagram socket bound to the address that $NOTIFY_SOCKET would name. */
static int
receiver(const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));

	memcpy(sun.sun_path, name, strlen(name));
	if (*name == '@')
		sun.sun_path[0] = '\0';
	else
		len++;
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, len), 0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void
send_and_receive(const char *name)
{
	int fd = receiver(name), barrier;
	char buf[64];
	pid_t pid;

	ck_assert_int_eq(notify_recv(fd, buf, sizeof(buf), &barrier, &pid), -EAGAIN);
	ck_assert_int_eq(sdnotify_send("READY=1\nSTATUS=x"), 0);
	ck_assert_int_eq(notify_recv(fd, buf, sizeof(buf), &barrier, &pid), 16);
	ck_assert_mem_eq(buf, "READY=1\nSTATUS=x", 16);
	ck_assert_int_eq(barrier, -1);
	ck_assert_int_eq(pid, getpid());
	close_fd(&fd);
}

START_TEST(test_send)
{
	char name[64];

	unsetenv("NOTIFY_SOCKET");
	ck_assert_int_eq(sdnotify_send("READY=1"), -ENOENT);
	setenv("NOTIFY_SOCKET", "relative", 1);
	ck_assert_int_eq(sdnotify_send("READY=1"), -EINVAL);
	snprintf(name, sizeof(name), "@taskctl-check-%d", (int)getpid());
	send_and_receive(name);
	ck_assert_int_eq(sdnotify_send("READY=1"), -ECONNREFUSED);
	snprintf(name, sizeof(name), "/tmp/taskctl-check-%d", (int)getpid());
	send_and_receive(name);
	unlink(name);
}
END_TEST

static size_t
open_fds(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Sends a datagram with `n` copies of `fd`. */
static void
send_fds(int to, int fd, size_t n)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(253 * sizeof(int))];
	} control = {.space = {0}};
	struct iovec iov = {(char[]){"BARRIER=1"}, 9};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
	struct cmsghdr *c;

	msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (size_t i = 0; i < n; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
	ck_assert_int_eq(sendmsg(to, &msg, 0), 9);
}

START_TEST(test_descriptors)
{
	int pair[2], pipefd[2], barrier, on = 1;
	size_t before, counts[] = {1, 2, 253};
	char buf[4];
	pid_t pid;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	ck_assert_int_eq(pipe2(pipefd, O_CLOEXEC), 0);
	before = open_fds();
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		send_fds(pair[0], pipefd[1], counts[i]);
		ck_assert_int_eq(notify_recv(pair[1], buf, sizeof(buf), &barrier, &pid), 4);
		ck_assert_mem_eq(buf, "BARR", 4);
		ck_assert_int_ge(barrier, 0);
		ck_assert_int_eq(fcntl(barrier, F_GETFD), FD_CLOEXEC);
		ck_assert_int_eq(pid, getpid());
		ck_assert_uint_eq(open_fds(), before + 1);
		close_fd(&barrier);
	}
	send(pair[0], "", 0, 0);
	ck_assert_int_eq(notify_recv(pair[1], buf, sizeof(buf), &barrier, &pid), 0);
	ck_assert_int_eq(barrier, -1);
	for (int i = 0; i < 2; i++) {
		close_fd(&pair[i]);
		close_fd(&pipefd[i]);
	}
	ck_assert_int_eq(notify_recv(-1, buf, sizeof(buf), &barrier, &pid), -EBADF);
}
END_TEST

START_TEST(test_watchdog)
{
	char pid[16];

	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	ck_assert_uint_eq(sdnotify_watchdog_usec(), 0);
	setenv("WATCHDOG_USEC", "3000000", 1);
	ck_assert_uint_eq(sdnotify_watchdog_usec(), 3000000);
	setenv("WATCHDOG_PID", "1", 1);
	ck_assert_uint_eq(sdnotify_watchdog_usec(), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	ck_assert_uint_eq(sdnotify_watchdog_usec(), 3000000);
	setenv("WATCHDOG_USEC", "-5", 1);
	ck_assert_uint_eq(sdnotify_watchdog_usec(), 0);
}
END_TEST

START_TEST(test_listen_fds)
{
	int fds[SDNOTIFY_FDS_MAX];
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_PID", "1", 1);
	ck_assert_int_eq(sdnotify_listen_fds(fds), 0);
	ck_assert_ptr_null(getenv("LISTEN_FDS"));
	setenv("LISTEN_FDS", "1000", 1);
	setenv("LISTEN_PID", pid, 1);
	ck_assert_int_eq(sdnotify_listen_fds(fds), -E2BIG);
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDNAMES", "a:b", 1);
	ck_assert_int_ge(dup2(0, 3), 0);
	ck_assert_int_ge(dup2(0, 4), 0);
	ck_assert_int_eq(sdnotify_listen_fds(fds), 2);
	ck_assert_int_eq(fds[0], 3);
	ck_assert_int_eq(fds[1], 4);
	ck_assert_int_eq(fcntl(4, F_GETFD), FD_CLOEXEC);
	ck_assert_ptr_null(getenv("LISTEN_PID"));
	ck_assert_ptr_null(getenv("LISTEN_FDNAMES"));
	ck_assert_int_eq(sdnotify_listen_fds(fds), 0);
}
END_TEST

CHECK_MAIN("sdnotify", test_send, test_descriptors, test_watchdog, test_listen_fds)

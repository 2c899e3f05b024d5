/* Unit tests of peer.h: who is at the other end, and nobody where it is not certain. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check_run.h"
#include "peer.h"
#include "util.h"

union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* A listening socket of the family at a free port; v6 takes IPv4, too, where `dual`. */
static int
listen_on(int family, const char *host, bool dual, in_port_t *port)
{
	union address a;
	socklen_t len = family == AF_INET ? sizeof(a.v4) : sizeof(a.v6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), only = !dual;

	if (fd < 0)
		return -1;
	memset(&a, 0, sizeof(a));
	a.sa.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		inet_pton(AF_INET, host, &a.v4.sin_addr);
	} else {
		inet_pton(AF_INET6, host, &a.v6.sin6_addr);
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	}
	if (bind(fd, &a.sa, len) < 0 || listen(fd, 5) < 0 || getsockname(fd, &a.sa, &len) < 0) {
		close(fd);
		return -1;
	}
	*port = family == AF_INET ? a.v4.sin_port : a.v6.sin6_port;
	return fd;
}

static int
connect_to(int family, const char *host, in_port_t port)
{
	union address a;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(&a, 0, sizeof(a));
	a.sa.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		inet_pton(AF_INET, host, &a.v4.sin_addr);
		a.v4.sin_port = port;
	} else {
		inet_pton(AF_INET6, host, &a.v6.sin6_addr);
		a.v6.sin6_port = port;
	}
	if (connect(fd, &a.sa, family == AF_INET ? sizeof(a.v4) : sizeof(a.v6)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Waits for the other end's FIN. */
static void
wait_for_end(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	ck_assert_int_eq(poll(&p, 1, 5000), 1);
}

START_TEST(test_unix)
{
	int pair[2];
	uid_t uid = 77;
	pid_t pid = 0;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(peer_unix(pair[0], &uid, &pid), 0);
	ck_assert_uint_eq(uid, geteuid());
	ck_assert_int_eq(pid, getpid());
	close_fd(&pair[0]);
	ck_assert_int_eq(peer_unix(pair[0], &uid, &pid), -EBADF);
	close_fd(&pair[1]);
}
END_TEST

/* One connection of the kind: our uid while it lives, nobody when its client has gone. */
static void
connection(
    int diag, int family, const char *bind_host, bool dual, int client_family, const char *host)
{
	in_port_t port = 0;
	int listener = listen_on(family, bind_host, dual, &port), client, server;
	uid_t uid = 77;

	if (listener < 0)
		return; /* no such family on this machine */
	client = connect_to(client_family, host, port);
	ck_assert_msg(client >= 0, "%s", host);
	/* known before the connection is accepted, too: the look-up is of the client's end */
	server = accept(listener, NULL, NULL);
	ck_assert_int_eq(peer_tcp(diag, server, &uid), 0);
	ck_assert_uint_eq(uid, geteuid());
	uid = 77;
	ck_assert_int_eq(peer_tcp(diag, client, &uid), 0);
	ck_assert_uint_eq(uid, geteuid());
	uid = 77;
	ck_assert_int_eq(peer_tcp(diag, listener, &uid), -ENOENT);
	/* half-closed (nc -N) is still somebody */
	ck_assert_int_eq(shutdown(client, SHUT_WR), 0);
	wait_for_end(server);
	ck_assert_int_eq(peer_tcp(diag, server, &uid), 0);
	ck_assert_uint_eq(uid, geteuid());
	uid = 77;
	close_fd(&client);
	ck_assert_int_eq(peer_tcp(diag, server, &uid), -ENOENT);
	ck_assert_uint_eq(uid, 77);
	close_fd(&server);
	close_fd(&listener);
}

START_TEST(test_tcp)
{
	int diag = peer_diag_open();

	ck_assert_int_ge(diag, 0);
	connection(diag, AF_INET, "127.0.0.1", false, AF_INET, "127.0.0.1");
	connection(diag, AF_INET, "0.0.0.0", false, AF_INET, "127.1.2.3");
	connection(diag, AF_INET6, "::1", false, AF_INET6, "::1");
	connection(diag, AF_INET6, "::", true, AF_INET, "127.0.0.1");
	connection(diag, AF_INET6, "::", true, AF_INET6, "::ffff:127.0.0.1");
	connection(diag, AF_INET, "127.0.0.1", false, AF_INET6, "::ffff:127.0.0.1");
	connection(diag, AF_INET6, "::", true, AF_INET6, "::1");
	close_fd(&diag);
}
END_TEST

START_TEST(test_reset_and_gone)
{
	struct linger reset = {1, 0};
	int diag = peer_diag_open(), client, server, listener, again;
	in_port_t port = 0;
	uid_t uid = 77;

	listener = listen_on(AF_INET, "127.0.0.1", false, &port);
	client = connect_to(AF_INET, "127.0.0.1", port);
	server = accept(listener, NULL, NULL);
	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close_fd(&client);
	wait_for_end(server);
	ck_assert_int_lt(peer_tcp(diag, server, &uid), 0);
	close_fd(&server);
	/* the client has gone before we accept */
	again = connect_to(AF_INET, "127.0.0.1", port);
	close_fd(&again);
	server = accept(listener, NULL, NULL);
	ck_assert_int_eq(peer_tcp(diag, server, &uid), -ENOENT);
	ck_assert_uint_eq(uid, 77);
	close_fd(&server);
	close_fd(&listener);
	close_fd(&diag);
}
END_TEST

static bool
every_uid_mapped(void)
{
	FILE *f = fopen("/proc/self/uid_map", "re");
	unsigned long inside, outside, count;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%lu %lu %lu", &inside, &outside, &count), 3);
	fclose(f);
	return inside == 0 && outside == 0 && count == UINT32_MAX;
}

/* Connects as another user, who is the one to be found. Only root can try that. */
START_TEST(test_other_user)
{
	int diag = peer_diag_open(), listener, server, status;
	in_port_t port = 0;
	uid_t uid = 77;
	pid_t child;

	if (geteuid() != 0 || !every_uid_mapped())
		return;
	listener = listen_on(AF_INET, "127.0.0.1", false, &port);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		int fd = setresuid(12345, 12345, 12345) == 0
			     ? connect_to(AF_INET, "127.0.0.1", port)
			     : -1;

		if (fd >= 0)
			wait_for_end(fd);
		_exit(fd < 0);
	}
	server = accept(listener, NULL, NULL);
	ck_assert_int_eq(peer_tcp(diag, server, &uid), 0);
	ck_assert_uint_eq(uid, 12345);
	close_fd(&server);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	close_fd(&listener);
	close_fd(&diag);
}
END_TEST

START_TEST(test_not_tcp)
{
	int diag = peer_diag_open(), pair[2];
	uid_t uid = 77;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(peer_tcp(diag, pair[0], &uid), -ENOENT);
	ck_assert_int_eq(peer_tcp(diag, -1, &uid), -EBADF);
	close_fd(&pair[0]);
	close_fd(&pair[1]);
	close_fd(&diag);
}
END_TEST

START_TEST(test_selftest)
{
	int diag = peer_diag_open();

	/* in a container with a map of its own the answer is rightly no */
	ck_assert(peer_diag_selftest(diag) == every_uid_mapped());
	ck_assert(!peer_diag_selftest(-1));
	close_fd(&diag);
}
END_TEST

CHECK_MAIN(
    "peer", test_unix, test_tcp, test_reset_and_gone, test_other_user, test_not_tcp, test_selftest)

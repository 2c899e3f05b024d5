/* The uid at the other end of a connection: SO_PEERCRED, or the kernel's table of TCP sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "clock.h"
#include "peer.h"
#include "util.h"

#define REPLIES_MAX   16 /* stale ones that are passed over before we give up */
#define SELFTEST_MS   1000
#define WHOLE_UID_MAP UINT32_MAX

/* One end of a connection; IPv4 in its IPv6 form, so that both families compare alike. */
struct endpoint {
	struct in6_addr addr;
	in_port_t port; /* network byte order */
};

int
peer_unix(int fd, uid_t *uid, pid_t *pid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	*uid = cred.uid;
	*pid = cred.pid;
	return 0;
}

int
peer_diag_open(void)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct timeval patience = {.tv_sec = 1};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return -errno;
	/* connected, nobody but the kernel can send to it */
	if (connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0) {
		int r = -errno;

		close_fd(&fd);
		return r;
	}
	return fd;
}

static void
map_v4(struct in6_addr *addr, const void *v4)
{
	memset(addr, 0, sizeof(*addr));
	addr->s6_addr[10] = 0xff;
	addr->s6_addr[11] = 0xff;
	memcpy(addr->s6_addr + 12, v4, 4);
}

static bool
endpoint_from_sockaddr(struct endpoint *e, const struct sockaddr_storage *ss)
{
	struct sockaddr_in sin;
	struct sockaddr_in6 sin6;

	switch (ss->ss_family) {
	case AF_INET:
		memcpy(&sin, ss, sizeof(sin));
		map_v4(&e->addr, &sin.sin_addr);
		e->port = sin.sin_port;
		return true;
	case AF_INET6:
		memcpy(&sin6, ss, sizeof(sin6));
		e->addr = sin6.sin6_addr;
		e->port = sin6.sin6_port;
		return true;
	default: return false;
	}
}

static void
endpoint_from_diag(struct endpoint *e, int family, const __be32 addr[4], __be16 port)
{
	if (family == AF_INET)
		map_v4(&e->addr, addr);
	else
		memcpy(&e->addr, addr, sizeof(e->addr));
	e->port = port;
}

static bool
endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && memcmp(&a->addr, &b->addr, sizeof(a->addr)) == 0;
}

static bool
endpoint_loopback(const struct endpoint *e)
{
	if (IN6_IS_ADDR_V4MAPPED(&e->addr))
		return e->addr.s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(&e->addr);
}

/* Asks for the one socket whose own end is `own` and whose other end is `other`. */
static int
send_query(int diag_fd, const struct endpoint *own, const struct endpoint *other, uint32_t seq)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 req;
	} query = {.head = {.nlmsg_len = sizeof(query),
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST,
		       .nlmsg_seq = seq}};
	struct inet_diag_sockid *id = &query.req.id;
	bool v4 = IN6_IS_ADDR_V4MAPPED(&own->addr);
	size_t skip = v4 ? 12 : 0;

	query.req.sdiag_family = v4 ? AF_INET : AF_INET6;
	query.req.sdiag_protocol = IPPROTO_TCP;
	query.req.idiag_states = UINT32_MAX;
	id->idiag_sport = own->port;
	id->idiag_dport = other->port;
	memcpy(id->idiag_src, own->addr.s6_addr + skip, 16 - skip);
	memcpy(id->idiag_dst, other->addr.s6_addr + skip, 16 - skip);
	id->idiag_cookie[0] = INET_DIAG_NOCOOKIE;
	id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (send(diag_fd, &query, sizeof(query), 0) < 0)
		return -errno;
	return 0;
}

/* The answer to the query `seq`: 0 with *found filled, or -errno. */
static int
read_answer(int diag_fd, uint32_t seq, struct inet_diag_msg *found)
{
	union {
		struct nlmsghdr head;
		char space[4096];
	} reply;
	struct nlmsgerr err;

	for (int i = 0; i < REPLIES_MAX; i++) {
		ssize_t n = recv(diag_fd, &reply, sizeof(reply), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!NLMSG_OK(&reply.head, (size_t)n) || reply.head.nlmsg_seq != seq)
			continue;
		if (reply.head.nlmsg_type == NLMSG_ERROR &&
		    reply.head.nlmsg_len >= NLMSG_LENGTH(sizeof(err))) {
			memcpy(&err, NLMSG_DATA(&reply.head), sizeof(err));
			return err.error < 0 ? err.error : -EPROTO;
		}
		if (reply.head.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
		    reply.head.nlmsg_len < NLMSG_LENGTH(sizeof(*found)))
			return -EPROTO;
		memcpy(found, NLMSG_DATA(&reply.head), sizeof(*found));
		return 0;
	}
	return -EPROTO;
}

/*
 * The kernel also answers with a listening socket, or with what is left of a connection whose
 * process has gone (inode 0, and uid 0!): neither is anybody.
 */
static bool
is_living_peer(
    const struct inet_diag_msg *m, const struct endpoint *own, const struct endpoint *other)
{
	const struct inet_diag_sockid *id = &m->id;
	struct endpoint src, dst;

	if (m->idiag_family != AF_INET && m->idiag_family != AF_INET6)
		return false;
	endpoint_from_diag(&src, m->idiag_family, id->idiag_src, id->idiag_sport);
	endpoint_from_diag(&dst, m->idiag_family, id->idiag_dst, id->idiag_dport);
	if (!endpoint_equal(&src, own) || !endpoint_equal(&dst, other) || m->idiag_inode == 0)
		return false;
	switch (m->idiag_state) {
	case TCP_ESTABLISHED:
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
	case TCP_CLOSE_WAIT: return true;
	default: return false;
	}
}

int
peer_tcp(int diag_fd, int fd, uid_t *uid)
{
	struct sockaddr_storage ss;
	struct endpoint ours, theirs;
	struct inet_diag_msg found;
	uint32_t seq = (uint32_t)clock_boot_ns();
	socklen_t len = sizeof(ss);
	int r;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	if (!endpoint_from_sockaddr(&ours, &ss))
		return -ENOENT;
	len = sizeof(ss);
	if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0)
		return errno == ENOTCONN ? -ENOENT : -errno;
	if (!endpoint_from_sockaddr(&theirs, &ss))
		return -ENOENT;
	if (!endpoint_loopback(&ours) || !endpoint_loopback(&theirs))
		return -ENOENT;
	r = send_query(diag_fd, &theirs, &ours, seq);
	if (r == 0)
		r = read_answer(diag_fd, seq, &found);
	if (r < 0)
		return r;
	if (!is_living_peer(&found, &theirs, &ours))
		return -ENOENT;
	*uid = found.idiag_uid;
	return 0;
}

/* Are all uids mapped to themselves, as they are outside of user namespaces? */
static bool
uid_map_whole(void)
{
	unsigned long inside, outside, count;
	FILE *f = fopen("/proc/self/uid_map", "re");
	int n;

	if (!f)
		return false;
	n = fscanf(f, "%lu %lu %lu", &inside, &outside, &count);
	fclose(f);
	return n == 3 && inside == 0 && outside == 0 && count == WHOLE_UID_MAP;
}

/* A connection over loopback, to ourselves: 0 or -errno. */
static int
loopback_pair(int family, int *client, int *server)
{
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	struct sockaddr_in sin = {.sin_family = AF_INET};
	struct sockaddr *sa = (struct sockaddr *)&sin6;
	socklen_t len = sizeof(sin6);
	struct pollfd waiting = {.events = POLLIN};
	int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = 0;

	if (family == AF_INET) {
		sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		sa = (struct sockaddr *)&sin;
		len = sizeof(sin);
	}
	*client = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	*server = -1;
	if (listener < 0 || *client < 0 || bind(listener, sa, len) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, sa, &len) < 0 ||
	    (connect(*client, sa, len) < 0 && errno != EINPROGRESS)) {
		r = -errno;
	} else {
		waiting.fd = listener;
		poll(&waiting, 1, SELFTEST_MS);
		*server = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		r = *server < 0 ? -errno : 0;
	}
	close_fd(&listener);
	if (r < 0)
		close_fd(client);
	return r;
}

static bool
selftest_family(int diag_fd, int family)
{
	struct pollfd gone = {.events = POLLIN};
	uid_t uid = (uid_t)-1;
	int client, server;
	bool good;

	if (loopback_pair(family, &client, &server) < 0)
		return family == AF_INET6; /* a machine without IPv6 has no IPv6 peers */
	good = peer_tcp(diag_fd, server, &uid) == 0 && uid == geteuid();
	close_fd(&client);
	gone.fd = server;
	poll(&gone, 1, SELFTEST_MS);
	good = good && peer_tcp(diag_fd, server, &uid) == -ENOENT;
	close_fd(&server);
	return good;
}

bool
peer_diag_selftest(int diag_fd)
{
	return uid_map_whole() && selftest_family(diag_fd, AF_INET) &&
	       selftest_family(diag_fd, AF_INET6);
}

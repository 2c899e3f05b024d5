/* Addresses of the daemon; see dial.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "dial.h"
#include "proto.h"
#include "util.h"

#define SYSTEM_SOCKET "/run/taskctl/taskctl.sock"
#define NAME_LEN      256

/* HOST:PORT taken apart; the port is PROTO_PORT where none was given. */
struct hostport {
	char host[NAME_LEN];
	uint16_t port;
};

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage storage;
};

/* What to connect to without -H: the environment's word, or NULL. */
static const char *
configured(const char *host)
{
	static const char *const names[] = {"TASKCTL_HOST", "TASKCTL_SOCKET"};

	for (size_t i = 0; host == NULL && i < ARRAY_SIZE(names); i++) {
		host = getenv(names[i]);
		if (host != NULL && *host == '\0')
			host = NULL;
	}
	return host;
}

/* The path of a Unix socket, or NULL if it is TCP. */
static const char *
unix_path(const char *host)
{
	if (strncmp(host, "unix:", 5) == 0)
		return host + 5;
	return *host == '/' ? host : NULL;
}

/* False if it is no HOST, HOST:PORT, [V6], [V6]:PORT or bare V6 address. */
static bool
split_hostport(const char *s, struct hostport *hp)
{
	const char *colon = strrchr(s, ':'), *end = s + strlen(s), *port = NULL;
	int64_t n = PROTO_PORT;

	if (*s == '[') {
		end = strchr(++s, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return false;
		port = end[1] == ':' ? end + 2 : NULL;
	} else if (colon != NULL && strchr(s, ':') == colon) {
		end = colon;
		port = colon + 1;
	}
	if (end == s || (size_t)(end - s) >= sizeof(hp->host))
		return false;
	if (port != NULL && (str_to_int64(port, &n) < 0 || n < 1 || n > 65535))
		return false;
	memcpy(hp->host, s, (size_t)(end - s));
	hp->host[end - s] = '\0';
	hp->port = (uint16_t)n;
	return true;
}

/* Its length, or 0 if the host is a name. */
static socklen_t
numeric_address(const struct hostport *hp, union address *a)
{
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, hp->host, &a->in.sin_addr) == 1) {
		a->in.sin_family = AF_INET;
		a->in.sin_port = htons(hp->port);
		return sizeof(a->in);
	}
	if (inet_pton(AF_INET6, hp->host, &a->in6.sin6_addr) == 1) {
		a->in6.sin6_family = AF_INET6;
		a->in6.sin6_port = htons(hp->port);
		return sizeof(a->in6);
	}
	return 0;
}

/* A connected descriptor, or -errno. */
static int
connect_to(const struct sockaddr *sa, socklen_t len)
{
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		return -errno;
	if (connect(fd, sa, len) < 0) {
		int err = errno;

		close(fd);
		return -err;
	}
	if (sa->sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int
connect_unix(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	if (*path == '\0' || strlen(path) >= sizeof(un.sun_path))
		return -ENAMETOOLONG;
	memcpy(un.sun_path, path, strlen(path) + 1);
	return connect_to((const struct sockaddr *)&un, sizeof(un));
}

/* All addresses of a name are tried, in the order of the resolver. */
static int
connect_name(const struct hostport *hp, struct strbuf *why)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *ai;
	char port[8];
	int fd = -EHOSTUNREACH, rc;

	snprintf(port, sizeof(port), "%u", hp->port);
	rc = getaddrinfo(hp->host, port, &hints, &list);
	if (rc != 0) {
		strbuf_addf(why, "The name %s is not known: %s. Check -H or TASKCTL_HOST.",
		    hp->host, gai_strerror(rc));
		return -1;
	}
	for (ai = list; ai != NULL && fd < 0; ai = ai->ai_next)
		fd = connect_to(ai->ai_addr, ai->ai_addrlen);
	freeaddrinfo(list);
	return fd;
}

/* Not being let in and nobody being there ask for different things to be done. */
static void
explain(struct strbuf *why, const char *where, int err)
{
	if (err == EACCES || err == EPERM)
		strbuf_addf(why,
		    "You may not use the daemon at %s (%s). It serves its own user: become that "
		    "user, or start one of your own with 'taskctld'.",
		    where, strerror(err));
	else
		strbuf_addf(why,
		    "No daemon answers at %s (%s). Start it, or say where it is with -H or "
		    "TASKCTL_HOST.",
		    where, strerror(err));
}

/* One address that was named: nothing else is tried in its place. */
static int
open_given(const char *host, struct strbuf *why)
{
	const char *path = unix_path(host);
	struct hostport hp;
	union address a;
	socklen_t len;
	int fd;

	if (path != NULL) {
		fd = connect_unix(path);
	} else if (!split_hostport(host, &hp)) {
		strbuf_addf(
		    why, "%s is no address: write HOST:PORT, [IPV6]:PORT or unix:PATH.", host);
		return -1;
	} else {
		len = numeric_address(&hp, &a);
		fd = len > 0 ? connect_to(&a.sa, len) : connect_name(&hp, why);
	}
	if (fd < 0 && why->len == 0)
		explain(why, host, -fd);
	return fd < 0 ? -1 : fd;
}

/* A directory that is ours: anybody may make one of that name in /tmp. */
static bool
is_own_dir(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

/* Where a user's taskctld puts its socket, as taskctld itself decides. */
static char *
user_socket(const char *runtime)
{
	char dir[48];

	if (runtime != NULL && *runtime == '/')
		return xasprintf("%s/taskctl/taskctl.sock", runtime);
	snprintf(dir, sizeof(dir), "/run/user/%u", (unsigned)geteuid());
	if (is_own_dir(dir))
		return xasprintf("%s/taskctl/taskctl.sock", dir);
	snprintf(dir, sizeof(dir), "/tmp/taskctl-%u", (unsigned)geteuid());
	return is_own_dir(dir) ? xasprintf("%s/taskctl.sock", dir) : NULL;
}

int
dial_open(const char *host, struct strbuf *why)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char *user;
	int fd = -ENOENT, err;

	host = configured(host);
	if (host != NULL)
		return open_given(host, why);
	if ((user = user_socket(runtime)) != NULL)
		fd = connect_unix(user);
	free(user);
	if (fd >= 0)
		return fd;
	err = -fd;
	fd = connect_unix(SYSTEM_SOCKET);
	if (fd >= 0)
		return fd;
	if (fd == -EACCES || err == EACCES)
		explain(why, SYSTEM_SOCKET, EACCES);
	else
		strbuf_addf(why,
		    "No daemon is running, neither yours (%s%s) nor the system's (" SYSTEM_SOCKET
		    "). Start one with 'taskctld', or say where it is with -H or TASKCTL_HOST.",
		    runtime == NULL ? "XDG_RUNTIME_DIR is not set" : runtime,
		    runtime == NULL ? "" : "/taskctl/taskctl.sock");
	return -1;
}

bool
dial_is_local(const char *host)
{
	struct hostport hp;
	union address a;

	host = configured(host);
	if (host == NULL || unix_path(host) != NULL)
		return true;
	if (!split_hostport(host, &hp))
		return false;
	if (strcmp(hp.host, "localhost") == 0)
		return true;
	if (numeric_address(&hp, &a) == 0)
		return false;
	if (a.sa.sa_family == AF_INET)
		return ntohl(a.in.sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&a.in6.sin6_addr);
}

/*
 * Opens and accepts; when descriptors run out it pauses instead of spinning.
 */
#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util.h"

#define BACKLOG       1024
#define LISTENERS_MAX 32

struct listener {
	struct listeners *all;
	struct evconnlistener *ev; /* owned */
	char *path;                /* owned; of a Unix socket */
	bool made;                 /* the path is ours to remove */
	dev_t dev;                 /* of the path that we made */
	ino_t ino;
};

struct listeners {
	struct event_base *base;
	struct event *again; /* owned: accepts again after a pause */
	accept_cb *accepted;
	accept_error_cb *failed;
	void *ctx;
	struct listener item[LISTENERS_MAX];
	size_t n;
	bool stopped;
};

static void
set_all(struct listeners *ls, bool on)
{
	for (size_t i = 0; i < ls->n; i++) {
		if (on)
			evconnlistener_enable(ls->item[i].ev);
		else
			evconnlistener_disable(ls->item[i].ev);
	}
}

static void
on_again(evutil_socket_t fd, short what, void *ctx)
{
	struct listeners *ls = ctx;

	(void)fd;
	(void)what;
	if (!ls->stopped)
		set_all(ls, true);
}

static void
on_accept(struct evconnlistener *ev, evutil_socket_t fd, struct sockaddr *sa, int len, void *ctx)
{
	struct listener *l = ctx;
	int one = 1;

	(void)ev;
	(void)len;
	if (sa->sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	l->all->accepted(l->all->ctx, fd);
}

static void
on_error(struct evconnlistener *ev, void *ctx)
{
	const struct timeval pause = {.tv_sec = 1};
	struct listener *l = ctx;
	int error = EVUTIL_SOCKET_ERROR();

	(void)ev;
	set_all(l->all, false);
	event_add(l->all->again, &pause);
	l->all->failed(l->all->ctx, error);
}

struct listeners *
listeners_new(struct event_base *base, accept_cb *accepted, accept_error_cb *failed, void *ctx)
{
	struct listeners *ls = xcalloc(1, sizeof(*ls));

	ls->base = base;
	ls->accepted = accepted;
	ls->failed = failed;
	ls->ctx = ctx;
	if ((ls->again = event_new(base, -1, 0, on_again, ls)) == NULL)
		die_oom();
	return ls;
}

static void
remove_path(const struct listener *l)
{
	struct stat st;

	if (l->made && stat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
}

void
listeners_free(struct listeners *ls)
{
	if (ls == NULL)
		return;
	for (size_t i = 0; i < ls->n; i++) {
		remove_path(&ls->item[i]);
		evconnlistener_free(ls->item[i].ev);
		free(ls->item[i].path);
	}
	event_free(ls->again);
	free(ls);
}

int
listeners_add_fd_take(struct listeners *ls, int fd)
{
	struct sockaddr_un un;
	socklen_t len = sizeof(un);
	struct listener *l;

	if (ls->n == LISTENERS_MAX || listen(fd, BACKLOG) < 0 ||
	    evutil_make_socket_nonblocking(fd) < 0) {
		int error = ls->n == LISTENERS_MAX ? -E2BIG : -errno;

		close(fd);
		return error;
	}
	l = &ls->item[ls->n];
	*l = (struct listener){.all = ls};
	memset(&un, 0, sizeof(un));
	if (getsockname(fd, (struct sockaddr *)&un, &len) == 0 && un.sun_family == AF_UNIX)
		l->path = xstrndup(un.sun_path, sizeof(un.sun_path));
	l->ev = evconnlistener_new(
	    ls->base, on_accept, l, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (l->ev == NULL)
		die_oom();
	evconnlistener_set_error_cb(l->ev, on_error);
	ls->n++;
	return 0;
}

static bool
is_loopback(const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;

	if (ss->ss_family == AF_INET)
		return (ntohl(in->sin_addr.s_addr) >> 24) == 127;
	return ss->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

/* Numbers only, and "localhost": a name server has no say in where we listen. */
static int
parse_host(const char *host, struct sockaddr_storage *ss, int *len)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		*len = sizeof(*in);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
		return -EINVAL;
	in6->sin6_family = AF_INET6;
	*len = sizeof(*in6);
	return 0;
}

/* HOST:PORT or [V6]:PORT. */
static int
parse_address(const char *text, struct sockaddr_storage *ss, int *len)
{
	const char *colon = strrchr(text, ':');
	bool bracket = text[0] == '[';
	int64_t port;
	char *host;
	int r;

	memset(ss, 0, sizeof(*ss));
	if (colon == NULL || str_to_int64(colon + 1, &port) < 0 || port < 0 || port > 65535 ||
	    (bracket && (colon == text || colon[-1] != ']')))
		return -EINVAL;
	host = bracket ? xstrndup(text + 1, (size_t)(colon - text) - 2)
		       : xstrndup(text, (size_t)(colon - text));
	r = parse_host(host, ss, len);
	free(host);
	/* The port lies at the same place in both kinds of addresses. */
	((struct sockaddr_in *)ss)->sin_port = htons((uint16_t)port);
	return r;
}

int
listeners_add_tcp(struct listeners *ls, const char *address)
{
	struct sockaddr_storage ss;
	int len, fd, one = 1, error = parse_address(address, &ss, &len);

	if (error < 0)
		return error;
	if (!is_loopback(&ss))
		return -EACCES;
	if ((fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ss.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&ss, (socklen_t)len) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	return listeners_add_fd_take(ls, fd);
}

/* A socket that nobody listens on any more may be removed. */
static bool
is_answered(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answered = false;

	if (fd >= 0)
		answered =
		    connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 || errno == EAGAIN;
	close_fd(&fd);
	return answered;
}

static int
bind_unix(int fd, const struct sockaddr_un *un)
{
	mode_t before = umask(0177);
	int r = bind(fd, (const struct sockaddr *)un, sizeof(*un)) < 0 ? -errno : 0;

	umask(before);
	return r;
}

int
listeners_add_unix(struct listeners *ls, const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct listener *l;
	struct stat st;
	int fd, error;

	if (strlen(path) >= sizeof(un.sun_path))
		return -ENAMETOOLONG;
	memcpy(un.sun_path, path, strlen(path) + 1);
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0)
		return -errno;
	error = bind_unix(fd, &un);
	if (error == -EADDRINUSE && !is_answered(&un) && stat(path, &st) == 0 &&
	    S_ISSOCK(st.st_mode)) {
		unlink(path);
		error = bind_unix(fd, &un);
	}
	if (error < 0) {
		close(fd);
		return error;
	}
	if ((error = listeners_add_fd_take(ls, fd)) < 0)
		return error;
	l = &ls->item[ls->n - 1];
	if (stat(path, &st) == 0) {
		l->made = true;
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	return 0;
}

void
listeners_stop(struct listeners *ls)
{
	ls->stopped = true;
	set_all(ls, false);
}

static void
describe(const struct listener *l, struct strbuf *out)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char host[INET6_ADDRSTRLEN] = "?";
	const struct sockaddr_in *in = (const struct sockaddr_in *)&ss;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&ss;

	memset(&ss, 0, sizeof(ss));
	if (l->path != NULL) {
		strbuf_addf(out, "unix:%s", l->path);
		return;
	}
	getsockname(evconnlistener_get_fd(l->ev), (struct sockaddr *)&ss, &len);
	if (ss.ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		strbuf_addf(out, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		strbuf_addf(out, "%s:%u", host, ntohs(in->sin_port));
	}
}

void
listeners_describe(const struct listeners *ls, struct strbuf *out)
{
	/* TCP first: that is what people look for. */
	for (int unix_ones = 0; unix_ones <= 1; unix_ones++) {
		for (size_t i = 0; i < ls->n; i++) {
			if ((ls->item[i].path != NULL) != (unix_ones == 1))
				continue;
			if (out->len > 0)
				strbuf_adds(out, ", ");
			describe(&ls->item[i], out);
		}
	}
}

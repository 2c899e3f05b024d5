/*
 * Requests at full speed over a Unix socket: so many connections, so many requests under way on
 * each. Every reply must be ok; a started task must have ended with code 0.
 */
#include "bench.h"

#include <sys/epoll.h>

#define BUF_SIZE (1 << 20)

struct link {
	int fd;
	char *buf; /* an unfinished reply */
	size_t len;
};

struct load {
	char request[512];
	size_t request_len;
	const char *expect; /* NULL, or what a reply must hold */
	long total, sent, received;
	char *batch;
};

static void
usage(void)
{
	errx(2, "usage: load start SOCKET COUNT IN_FLIGHT PROGRAM\n"
		"       load show SOCKET COUNT CONNECTIONS DEPTH ID");
}

static void
send_requests(struct load *l, struct link *link, long n)
{
	long i;

	if (n > l->total - l->sent)
		n = l->total - l->sent;
	for (i = 0; i < n; i++)
		memcpy(l->batch + (size_t)i * l->request_len, l->request, l->request_len);
	send_all(link->fd, l->batch, (size_t)n * l->request_len);
	l->sent += n;
}

static void
check_reply(const struct load *l, char *line, size_t len)
{
	static const char ok[] = "\"ok\":true";

	if (memmem(line, len, ok, sizeof(ok) - 1) == NULL)
		errx(1, "not ok: %.*s", (int)len, line);
	if (l->expect != NULL && memmem(line, len, l->expect, strlen(l->expect)) == NULL)
		errx(1, "not as expected: %.*s", (int)len, line);
}

/* Takes what there is; as many requests as replies that came go out in one write. */
static void
serve(struct load *l, struct link *link)
{
	ssize_t n = read(link->fd, link->buf + link->len, BUF_SIZE - link->len);
	char *line = link->buf, *end;
	long replies = 0;

	if (n <= 0)
		errx(1, "the server closed the connection");
	link->len += (size_t)n;
	while ((end = memchr(line, '\n', link->len)) != NULL) {
		check_reply(l, line, (size_t)(end - line));
		replies++;
		link->len -= (size_t)(end + 1 - line);
		line = end + 1;
	}
	memmove(link->buf, line, link->len);
	if (link->len == BUF_SIZE)
		errx(1, "the reply is too long");
	l->received += replies;
	if (replies > 0)
		send_requests(l, link, replies);
}

static void
run(struct load *l, const char *socket_path, int connections, int depth)
{
	struct link *links = must(calloc((size_t)connections, sizeof(*links)));
	struct epoll_event ev, evs[64];
	int ep = epoll_create1(0), i, n;
	int64_t begin;

	l->batch = must(malloc(l->request_len * (size_t)depth));
	for (i = 0; i < connections; i++) {
		links[i].fd = unix_dial(socket_path);
		links[i].buf = must(malloc(BUF_SIZE));
		ev = (struct epoll_event){.events = EPOLLIN, .data.ptr = &links[i]};
		epoll_ctl(ep, EPOLL_CTL_ADD, links[i].fd, &ev);
	}
	begin = now_ns();
	for (i = 0; i < connections; i++)
		send_requests(l, &links[i], depth);
	while (l->received < l->total) {
		if (connections == 1) {
			serve(l, &links[0]);
			continue;
		}
		n = epoll_wait(ep, evs, 64, 10000);
		if (n <= 0)
			errx(1, "no reply within 10 s");
		for (i = 0; i < n; i++)
			serve(l, evs[i].data.ptr);
	}
	printf("{\"rate\": %.1f}\n", (double)l->total / ((double)(now_ns() - begin) / 1e9));
}

int
main(int argc, char **argv)
{
	struct load l = {0};

	if (argc < 6)
		usage();
	l.total = atol(argv[3]);
	if (strcmp(argv[1], "start") == 0) {
		snprintf(l.request, sizeof(l.request),
		    "{\"cmd\":\"start\",\"argv\":[\"%s\"],\"wait\":true}\n", argv[5]);
		l.expect = "\"code\":0";
		l.request_len = strlen(l.request);
		run(&l, argv[2], 1, atoi(argv[4]));
	} else if (strcmp(argv[1], "show") == 0 && argc == 7) {
		snprintf(l.request, sizeof(l.request), "{\"cmd\":\"show\",\"id\":%s}\n", argv[6]);
		l.request_len = strlen(l.request);
		run(&l, argv[2], atoi(argv[4]), atoi(argv[5]));
	} else {
		usage();
	}
	return 0;
}

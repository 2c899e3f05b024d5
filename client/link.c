/* Lines over a stream socket; see link.h. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link.h"

#define READ_MIN (4 * 1024)
#define READ_MAX (256 * 1024)

void
link_init(struct link *l, int fd)
{
	memset(l, 0, sizeof(*l));
	l->fd = fd;
}

void
link_release(struct link *l)
{
	close_fd(&l->fd);
	strbuf_release(&l->in);
	l->start = l->scanned = 0;
}

int
link_send(struct link *l, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(l->fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Lines that were taken are dropped only here, so that the last one stays valid until now. */
static void
compact(struct link *l)
{
	if (l->start == 0)
		return;
	memmove(l->in.s, l->in.s + l->start, l->in.len - l->start);
	l->in.len -= l->start;
	l->scanned -= l->start;
	l->start = 0;
}

int
link_fill(struct link *l)
{
	size_t want;
	ssize_t n;

	compact(l);
	if (l->in.len > LINK_LINE_MAX)
		return -EMSGSIZE;
	want = MAX((size_t)READ_MIN, MIN(l->in.len, (size_t)READ_MAX));
	strbuf_reserve(&l->in, want + 1);
	do {
		n = recv(l->fd, l->in.s + l->in.len, want, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	l->in.len += (size_t)n;
	l->in.s[l->in.len] = '\0';
	return n > 0;
}

int
link_next(struct link *l, char **line, size_t *len)
{
	char *lf = NULL;

	if (l->in.len > l->scanned)
		lf = memchr(l->in.s + l->scanned, '\n', l->in.len - l->scanned);
	if (lf == NULL) {
		l->scanned = l->in.len;
		return 0;
	}
	*lf = '\0';
	*line = l->in.s + l->start;
	*len = (size_t)(lf - *line);
	l->start = l->scanned = (size_t)(lf - l->in.s) + 1;
	return 1;
}

int
link_read(struct link *l, char **line, size_t *len)
{
	int rc;

	while (link_next(l, line, len) == 0) {
		rc = link_fill(l);
		if (rc <= 0)
			return rc;
	}
	return 1;
}

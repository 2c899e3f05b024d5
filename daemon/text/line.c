/* Lines out of an evbuffer, scanned once, with a limit to their length. */
#include <event2/buffer.h>
#include <string.h>
#include "line.h"

void
line_reader_init(struct line_reader *r, size_t limit)
{
	memset(r, 0, sizeof(*r));
	r->limit = limit;
}

void
line_set_limit(struct line_reader *r, size_t limit)
{
	r->limit = limit;
}

void
line_done(struct line_reader *r, struct evbuffer *in)
{
	evbuffer_drain(in, r->taken);
	r->taken = 0;
}

size_t
line_pending(const struct line_reader *r, struct evbuffer *in)
{
	return evbuffer_get_length(in) - r->taken;
}

static char
byte_at(struct evbuffer *in, size_t offset)
{
	struct evbuffer_ptr at;
	char c = 0;

	if (evbuffer_ptr_set(in, &at, offset, EVBUFFER_PTR_SET) == 0)
		evbuffer_copyout_from(in, &at, &c, 1);
	return c;
}

/* The length of the first `len` bytes as a line: a CR at the end belongs to the line end. */
static size_t
without_cr(struct evbuffer *in, size_t len)
{
	return len > 0 && byte_at(in, len - 1) == '\r' ? len - 1 : len;
}

/* Gives the first `len` bytes as a line that takes up `taken`. */
static enum line_status
give(struct line_reader *r, struct evbuffer *in, size_t len, size_t taken, const char **line)
{
	r->scanned = 0;
	r->taken = taken;
	*line = len > 0 ? (const char *)evbuffer_pullup(in, (ev_ssize_t)len) : "";
	return LINE_OK;
}

enum line_status
line_next(struct line_reader *r, struct evbuffer *in, const char **line, size_t *len)
{
	struct evbuffer_ptr from, lf;
	size_t have;

	line_done(r, in);
	have = evbuffer_get_length(in);
	lf.pos = -1;
	if (r->scanned < have && evbuffer_ptr_set(in, &from, r->scanned, EVBUFFER_PTR_SET) == 0)
		lf = evbuffer_search(in, "\n", 1, &from);
	if (lf.pos < 0) {
		r->scanned = have;
		/* a CR that is the last byte so far may yet be part of the line end */
		return without_cr(in, have) > r->limit ? LINE_TOO_LONG : LINE_NONE;
	}
	*len = without_cr(in, (size_t)lf.pos);
	if (*len > r->limit) {
		r->scanned = (size_t)lf.pos;
		return LINE_TOO_LONG;
	}
	return give(r, in, *len, (size_t)lf.pos + 1, line);
}

enum line_status
line_rest(struct line_reader *r, struct evbuffer *in, const char **line, size_t *len)
{
	size_t have;

	line_done(r, in);
	have = evbuffer_get_length(in);
	if (have == 0)
		return LINE_NONE;
	*len = without_cr(in, have);
	if (*len > r->limit)
		return LINE_TOO_LONG;
	return give(r, in, *len, have, line);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool
line_blank(const char *line, size_t len)
{
	while (len > 0 && is_blank(line[len - 1]))
		len--;
	return len == 0;
}

int
line_first_byte(const struct line_reader *r, struct evbuffer *in)
{
	struct evbuffer_ptr at;
	struct evbuffer_iovec vec[16];
	size_t from = r->taken;

	while (evbuffer_ptr_set(in, &at, from, EVBUFFER_PTR_SET) == 0) {
		int n = evbuffer_peek(in, -1, &at, vec, 16);

		for (int i = 0; i < n && i < 16; i++) {
			const char *p = vec[i].iov_base;

			for (size_t k = 0; k < vec[i].iov_len; k++)
				if (!is_blank(p[k]))
					return (unsigned char)p[k];
			from += vec[i].iov_len;
		}
		if (n < 16)
			break;
	}
	return -1;
}

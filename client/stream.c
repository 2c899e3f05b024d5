/* Output of tasks on our own; see stream.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "jv.h"
#include "stream.h"

/* A line that never ends is shown in pieces of this size. */
#define LINE_MAX_HELD (64 * 1024)

/* The value of a base64 digit, or -1. */
static int
digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool
stream_base64(const char *s, size_t len, struct strbuf *out)
{
	uint32_t bits = 0;
	int n = 0;

	while (len > 0 && s[len - 1] == '=')
		len--;
	strbuf_reserve(out, len / 4 * 3 + 4);
	for (size_t i = 0; i < len; i++) {
		int d = digit(s[i]);

		if (d < 0)
			return false;
		bits = bits << 6 | (uint32_t)d;
		n += 6;
		if (n >= 8) {
			n -= 8;
			strbuf_addch(out, (int)(bits >> n & 0xff));
		}
	}
	return true;
}

/* A reader that has gone is remembered, not reported: the caller decides what it means. */
static void
write_all(struct stream *s, const char *data, size_t len)
{
	while (len > 0 && !s->broken) {
		ssize_t n = write(s->fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			s->broken = true;
			break;
		}
		data += n;
		len -= (size_t)n;
	}
}

/* Does a terminal read this stream? */
static bool
escapes(const struct stream *s)
{
	return s->fd == STDERR_FILENO ? s->call->escape_err : s->call->escape_out;
}

/* Whole lines go out with the prefix; the rest is kept. */
static void
write_lines(struct stream *s, bool all)
{
	struct strbuf out = STRBUF_INIT;
	size_t at = 0;
	char *lf;

	while (at < s->line.len) {
		lf = memchr(s->line.s + at, '\n', s->line.len - at);
		if (lf == NULL && !all && s->line.len - at < LINE_MAX_HELD)
			break;
		strbuf_adds(&out, s->prefix);
		strbuf_add(&out, s->line.s + at,
		    lf == NULL ? s->line.len - at : (size_t)(lf - s->line.s) - at);
		strbuf_addch(&out, '\n');
		at = lf == NULL ? s->line.len : (size_t)(lf - s->line.s) + 1;
	}
	if (at > 0) {
		memmove(s->line.s, s->line.s + at, s->line.len - at);
		s->line.len -= at;
	}
	write_all(s, strbuf_str(&out), out.len);
	strbuf_release(&out);
}

void
stream_write(struct stream *s, const char *data, size_t len)
{
	struct strbuf out = STRBUF_INIT;

	if (escapes(s)) {
		text_stream_add(&s->escape, &out, data, len);
		data = strbuf_str(&out);
		len = out.len;
	}
	if (s->prefix == NULL) {
		write_all(s, data, len);
	} else {
		strbuf_add(&s->line, data, len);
		write_lines(s, false);
	}
	strbuf_release(&out);
}

void
stream_event(struct stream *s, const struct jv *event)
{
	const struct jv *data = jv_get(event, "data");
	int64_t gap = jv_int(event, "gap", 0), offset = jv_int(event, "offset", s->offset);
	struct strbuf b = STRBUF_INIT;

	if (gap > 0)
		client_say(s->call, "%lld bytes of older output were dropped by the size limit.",
		    (long long)gap);
	if (data != NULL && data->type == JV_STRING && stream_base64(data->str, data->len, &b)) {
		stream_write(s, strbuf_str(&b), b.len);
		s->offset = offset + (int64_t)b.len;
	}
	strbuf_release(&b);
}

void
stream_end(struct stream *s)
{
	struct strbuf out = STRBUF_INIT;

	text_stream_end(&s->escape, &out);
	if (s->prefix != NULL) {
		strbuf_add(&s->line, strbuf_str(&out), out.len);
		write_lines(s, true);
	} else {
		write_all(s, strbuf_str(&out), out.len);
	}
	strbuf_release(&out);
}

void
stream_release(struct stream *s)
{
	strbuf_release(&s->line);
}

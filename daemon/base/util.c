/* Allocation that aborts when memory is out, a growing byte buffer, and strict numbers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "util.h"

#define STRBUF_FIRST 64

_Noreturn void
die_oom(void)
{
	static const char text[] = "taskctl: out of memory\n";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		abort();
	abort();
}

void *
xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		die_oom();
	return p;
}

void *
xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		die_oom();
	return p;
}

void *
xrealloc(void *p, size_t size)
{
	void *grown = realloc(p, size ? size : 1);

	if (!grown)
		die_oom();
	return grown;
}

char *
xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *
xstrndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *copy = xmalloc(len + 1);

	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *
xvasprintf(const char *fmt, va_list ap)
{
	char *s;

	if (vasprintf(&s, fmt, ap) < 0)
		die_oom();
	return s;
}

char *
xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = xvasprintf(fmt, ap);
	va_end(ap);
	return s;
}

void
close_fd(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int
str_to_int64(const char *s, int64_t *value)
{
	const char *digits = s + (*s == '-' || *s == '+');
	char *end;
	long long n;

	/* strtoll would skip white space and take a second sign's absence for granted */
	if (*digits < '0' || *digits > '9')
		return -EINVAL;
	errno = 0;
	n = strtoll(s, &end, 10);
	if (*end)
		return -EINVAL;
	if (errno)
		return -ERANGE;
	*value = n;
	return 0;
}

void
strbuf_init(struct strbuf *b)
{
	memset(b, 0, sizeof(*b));
}

void
strbuf_release(struct strbuf *b)
{
	free(b->s);
	strbuf_init(b);
}

void
strbuf_reset(struct strbuf *b)
{
	b->len = 0;
	if (b->s)
		b->s[0] = '\0';
}

void
strbuf_reserve(struct strbuf *b, size_t extra)
{
	size_t need, cap = b->cap ? b->cap : STRBUF_FIRST;

	if (extra > SIZE_MAX / 4 - b->len)
		die_oom();
	need = b->len + extra + 1;
	if (need <= b->cap)
		return;
	while (cap < need)
		cap *= 2;
	b->s = xrealloc(b->s, cap);
	b->cap = cap;
	b->s[b->len] = '\0';
}

void
strbuf_add(struct strbuf *b, const void *data, size_t len)
{
	strbuf_reserve(b, len);
	if (len)
		memcpy(b->s + b->len, data, len);
	b->len += len;
	b->s[b->len] = '\0';
}

void
strbuf_adds(struct strbuf *b, const char *s)
{
	strbuf_add(b, s, strlen(s));
}

void
strbuf_addch(struct strbuf *b, int ch)
{
	if (b->len + 1 >= b->cap)
		strbuf_reserve(b, 1);
	b->s[b->len++] = (char)ch;
	b->s[b->len] = '\0';
}

void
strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
	va_list ap;
	int len;

	strbuf_reserve(b, STRBUF_FIRST);
	for (;;) {
		size_t room = b->cap - b->len;

		va_start(ap, fmt);
		len = vsnprintf(b->s + b->len, room, fmt, ap);
		va_end(ap);
		if (len < 0)
			die_oom();
		if ((size_t)len < room)
			break;
		strbuf_reserve(b, (size_t)len);
	}
	b->len += (size_t)len;
}

char *
strbuf_detach(struct strbuf *b)
{
	char *s = b->s ? b->s : xstrdup("");

	strbuf_init(b);
	return s;
}

const char *
strbuf_str(const struct strbuf *b)
{
	return b->s ? b->s : "";
}

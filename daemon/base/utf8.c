/* Strict UTF-8: decoding one character at a time, and repair of what is not valid. */
#include <string.h>
#include "utf8.h"
#include "util.h"

static bool
is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Decodes a sequence of `n` bytes whose first byte contributes `bits`; `least` refuses overlong. */
static size_t
decode_tail(const unsigned char *p, size_t n, uint32_t bits, uint32_t least, uint32_t *cp)
{
	for (size_t i = 1; i < n; i++) {
		if (!is_tail(p[i]))
			return 0;
		bits = bits << 6 | (p[i] & 0x3f);
	}
	if (bits < least || bits > 0x10ffff || (bits >= 0xd800 && bits <= 0xdfff))
		return 0;
	*cp = bits;
	return n;
}

size_t
utf8_decode(const char *s, size_t len, uint32_t *cp)
{
	const unsigned char *p = (const unsigned char *)s;

	if (len >= 1 && p[0] < 0x80) {
		*cp = p[0];
		return 1;
	}
	if (len >= 2 && (p[0] & 0xe0) == 0xc0)
		return decode_tail(p, 2, p[0] & 0x1f, 0x80, cp);
	if (len >= 3 && (p[0] & 0xf0) == 0xe0)
		return decode_tail(p, 3, p[0] & 0x0f, 0x800, cp);
	if (len >= 4 && (p[0] & 0xf8) == 0xf0)
		return decode_tail(p, 4, p[0] & 0x07, 0x10000, cp);
	return 0;
}

bool
utf8_valid(const char *s, size_t len)
{
	uint32_t cp;
	size_t n;

	for (; len > 0; s += n, len -= n) {
		n = utf8_decode(s, len, &cp);
		if (n == 0)
			return false;
	}
	return true;
}

void
utf8_repair(struct strbuf *b, const char *s, size_t len)
{
	uint32_t cp;
	size_t n;

	for (; len > 0; s += n, len -= n) {
		n = utf8_decode(s, len, &cp);
		if (n > 0 && cp != 0) {
			strbuf_add(b, s, n);
		} else {
			strbuf_add(b, "\xef\xbf\xbd", 3);
			n = 1;
		}
	}
}

bool
utf8_is_control(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x61c ||
	       (cp >= 0x200e && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e) ||
	       (cp >= 0x2066 && cp <= 0x2069);
}

size_t
utf8_incomplete_tail(const char *s, size_t len)
{
	for (size_t back = 1; back <= 3 && back <= len; back++) {
		unsigned char c = (unsigned char)s[len - back];
		size_t wants = c >= 0xf0 && c <= 0xf4 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1;

		if (c >= 0x80 && c < 0xc0)
			continue; /* inside a character */
		return c <= 0xf4 && wants > back ? back : 0;
	}
	return 0;
}

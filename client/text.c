/* Text for people; see text.h. */
#include <string.h>
#include <time.h>

#include "text.h"
#include "utf8.h"
#include "util.h"
#include "value.h"

/* Names and messages are on one line always, so that line ends are shown, too. */
static void
add_escaped(struct strbuf *b, const char *s, size_t n, uint32_t cp)
{
	static const char from[] = "\n\r\t", to[] = "nrt";
	const char *at = n == 1 && *s != '\0' ? strchr(from, *s) : NULL;

	if (at != NULL)
		strbuf_addf(b, "\\%c", to[at - from]);
	else if (n <= 1)
		strbuf_addf(b, "\\x%02x", (unsigned char)*s);
	else
		strbuf_addf(b, "\\u%04x", (unsigned)cp);
}

/* Adds the character at s and returns its length. */
static size_t
add_char(struct strbuf *b, const char *s, size_t len, bool keep_layout)
{
	uint32_t cp = 0;
	size_t n = utf8_decode(s, len, &cp);

	if (n == 0 || (utf8_is_control(cp) && !(keep_layout && (*s == '\n' || *s == '\t'))))
		add_escaped(b, s, n, cp);
	else
		strbuf_add(b, s, n);
	return MAX(n, (size_t)1);
}

void
text_add(struct strbuf *b, bool escape, const char *s, size_t len)
{
	if (!escape) {
		strbuf_add(b, s, len);
		return;
	}
	while (len > 0) {
		size_t n = add_char(b, s, len, false);

		s += n;
		len -= n;
	}
}

size_t
text_width(const char *s, size_t len)
{
	size_t width = 0;
	uint32_t cp;

	while (len > 0) {
		size_t n = MAX(utf8_decode(s, len, &cp), (size_t)1);

		s += n;
		len -= n;
		width++;
	}
	return width;
}

/* Could these bytes be the beginning of a longer character, or of a CR LF? */
static bool
is_partial(const char *s, size_t len)
{
	unsigned char c = (unsigned char)*s;
	size_t want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

	if (c == '\r')
		return len == 1;
	if (c < 0xc2 || c > 0xf4 || len >= want)
		return false;
	for (size_t i = 1; i < len; i++) {
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			return false;
	}
	return true;
}

/* Takes what it can from s, keeps the beginning of an unfinished character. */
static void
stream_take(struct text_stream *t, struct strbuf *out, const char *s, size_t len)
{
	while (len > 0) {
		size_t n;

		if (len < sizeof(t->held) && is_partial(s, len)) {
			memcpy(t->held, s, len);
			t->nheld = len;
			return;
		}
		if (len > 1 && s[0] == '\r' && s[1] == '\n')
			n = 1;
		else
			n = add_char(out, s, len, true);
		s += n;
		len -= n;
	}
}

void
text_stream_add(struct text_stream *t, struct strbuf *out, const char *s, size_t len)
{
	char joined[2 * sizeof(t->held)];

	/* What was held is joined with just enough of the new text, byte by byte. */
	while (t->nheld > 0 && len > 0) {
		size_t n = t->nheld;

		memcpy(joined, t->held, n);
		joined[n++] = *s++;
		len--;
		t->nheld = 0;
		stream_take(t, out, joined, n);
	}
	stream_take(t, out, s, len);
}

void
text_stream_end(struct text_stream *t, struct strbuf *out)
{
	for (size_t i = 0; i < t->nheld; i++)
		add_escaped(out, t->held + i, 1, 0);
	t->nheld = 0;
}

void
text_age(int64_t ms, char buf[TEXT_AGE_LEN])
{
	long long s = ms > 0 ? (long long)(ms / 1000) : 0;
	long long m = s / 60, h = m / 60, d = h / 24;

	if (s < 60)
		snprintf(buf, TEXT_AGE_LEN, "%llds", s);
	else if (h < 1)
		snprintf(buf, TEXT_AGE_LEN, "%lldm", m);
	else if (d < 1 && m % 60 == 0)
		snprintf(buf, TEXT_AGE_LEN, "%lldh", h);
	else if (d < 1)
		snprintf(buf, TEXT_AGE_LEN, "%lldh%lldm", h, m % 60);
	else if (h % 24 == 0)
		snprintf(buf, TEXT_AGE_LEN, "%lldd", d);
	else
		snprintf(buf, TEXT_AGE_LEN, "%lldd%lldh", d, h % 24);
}

void
text_clock(int64_t wall_ms, int64_t now_ms, char buf[TEXT_AGE_LEN])
{
	time_t at = (time_t)((wall_ms + 500) / 1000), now = (time_t)(now_ms / 1000);
	struct tm tm, today;
	bool same;

	if (localtime_r(&at, &tm) == NULL || localtime_r(&now, &today) == NULL) {
		snprintf(buf, TEXT_AGE_LEN, "?");
		return;
	}
	same = tm.tm_year == today.tm_year && tm.tm_yday == today.tm_yday;
	if (strftime(buf, TEXT_AGE_LEN, same ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(buf, TEXT_AGE_LEN, "?");
}

void
text_duration(int64_t ms, char buf[TEXT_AGE_LEN])
{
	value_format_duration(ms * NS_PER_MS, buf);
}

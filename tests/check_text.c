/* Base64, and the end of text that is cut anywhere: what `logs` sends. */
#include <string.h>

#include "base64.h"
#include "check_run.h"
#include "utf8.h"
#include "util.h"

/* -- base64 -- */

START_TEST(base64_vectors)
{
	static const char *const pairs[][2] = {/* RFC 4648, section 10 */
	    {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="},
	    {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		char *s = base64_encode(pairs[i][0], strlen(pairs[i][0]));

		ck_assert_str_eq(s, pairs[i][1]);
		free(s);
	}
}
END_TEST

static unsigned
value_of(char c)
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = strchr(letters, c);

	if (at == NULL || c == '\0')
		ck_abort_msg("not a letter of base64: %c", c);
	return (unsigned)(at - letters);
}

/* Decodes s and compares it. */
static void
check_decoded(const char *s, const unsigned char *want, size_t len)
{
	size_t n = strlen(s), at = 0;

	ck_assert_uint_eq(n, (len + 2) / 3 * 4);
	for (size_t i = 0; i < n; i += 4) {
		unsigned pad = s[i + 3] != '=' ? 0 : s[i + 2] != '=' ? 1 : 2;
		unsigned v = value_of(s[i]) << 18 | value_of(s[i + 1]) << 12;

		if (pad != 0 && i + 4 != n)
			ck_abort_msg("%zu bytes: an end in the middle", len);
		v |= pad < 2 ? value_of(s[i + 2]) << 6 : 0;
		v |= pad < 1 ? value_of(s[i + 3]) : 0;
		for (unsigned k = 0; k < 3 - pad; k++)
			if (((v >> (16 - 8 * k)) & 0xff) != want[at++])
				ck_abort_msg("%zu bytes: the one at %zu", len, at - 1);
	}
	ck_assert_uint_eq(at, len);
}

START_TEST(base64_every_byte_and_length)
{
	unsigned char data[600];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i < 256 ? i : (size_t)random());
	for (size_t len = 0; len <= sizeof(data); len++) {
		char *s = base64_encode(data, len);

		check_decoded(s, data, len);
		free(s);
	}
}
END_TEST

/* -- the tail of text that is not complete -- */

START_TEST(tail_of_cut_characters)
{
	static const char *const chars[] = {"a", "\xc3\xa4", "\xe2\x82\xac", "\xed\x9f\xbf",
	    "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"};
	char s[16];

	for (size_t c = 0; c < ARRAY_SIZE(chars); c++) {
		size_t len = strlen(chars[c]);

		for (size_t n = 0; n <= len; n++) {
			memcpy(s, "xy", 2);
			memcpy(s + 2, chars[c], n);
			ck_assert_uint_eq(utf8_incomplete_tail(s, 2 + n), n < len ? n : 0);
			/* also with nothing in front of it */
			ck_assert_uint_eq(utf8_incomplete_tail(s + 2, n), n < len ? n : 0);
		}
	}
}
END_TEST

/* What can never become a character must not be waited for. */
START_TEST(tail_that_is_rubbish)
{
	static const char *const rubbish[] = {"\x80", "\xbf\xbf", "\xbf\xbf\xbf",
	    "\xbf\xbf\xbf\xbf", "\xc0", "\xc1", "\xf5", "\xf8", "\xfe", "\xff", "\xc3\xa4\x80",
	    "\xe2\x82\xac\x80", "a\x80"};

	for (size_t i = 0; i < ARRAY_SIZE(rubbish); i++)
		ck_assert_msg(utf8_incomplete_tail(rubbish[i], strlen(rubbish[i])) == 0,
		    "case %zu is waited for", i);
	ck_assert_uint_eq(utf8_incomplete_tail("", 0), 0);
}
END_TEST

/* The tail and what is in front of it, over every string of these bytes: a cut hurts nothing. */
static void
check_cut(const char *s, size_t len, size_t cut)
{
	struct strbuf whole = STRBUF_INIT, parts = STRBUF_INIT;
	size_t keep = utf8_incomplete_tail(s, cut);

	utf8_repair(&whole, s, len);
	utf8_repair(&parts, s, cut - keep);
	utf8_repair(&parts, s + cut - keep, len - cut + keep);
	if (keep > MIN(cut, (size_t)3) || whole.len != parts.len ||
	    memcmp(strbuf_str(&whole), strbuf_str(&parts), whole.len) != 0)
		ck_abort_msg("%02x %02x %02x %02x, cut at %zu", (unsigned char)s[0],
		    (unsigned char)s[1], (unsigned char)s[2], (unsigned char)s[3], cut);
	strbuf_release(&whole);
	strbuf_release(&parts);
}

START_TEST(any_cut_gives_the_same_text)
{
	static const char bytes[] = {
	    'a', '\x80', '\xa4', '\xc3', '\xe2', '\xed', '\xf0', '\xf4', '\xff'};
	char s[4];

	for (size_t n = 0; n < 9 * 9 * 9 * 9; n++) {
		size_t v = n;

		for (size_t i = 0; i < sizeof(s); i++, v /= 9)
			s[i] = bytes[v % 9];
		for (size_t cut = 0; cut <= sizeof(s); cut++)
			check_cut(s, sizeof(s), cut);
	}
}
END_TEST

CHECK_MAIN("text", base64_vectors, base64_every_byte_and_length, tail_of_cut_characters,
    tail_that_is_rubbish, any_cut_gives_the_same_text)

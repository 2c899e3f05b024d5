/* Unit tests of util.h and utf8.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include "check_run.h"
#include "utf8.h"
#include "util.h"

START_TEST(test_strbuf_grows)
{
	struct strbuf b = STRBUF_INIT;
	char *s;

	ck_assert_str_eq(strbuf_str(&b), "");
	for (int i = 0; i < 1000; i++)
		strbuf_addf(&b, "%d,", i);
	strbuf_adds(&b, "end");
	strbuf_addch(&b, '!');
	ck_assert_uint_eq(b.len, 10 * 2 + 90 * 3 + 900 * 4 + 4);
	ck_assert_uint_eq(b.len, strlen(b.s));
	ck_assert_str_eq(b.s + b.len - 8, "999,end!");
	strbuf_reset(&b);
	ck_assert_uint_eq(b.len, 0);
	strbuf_add(&b, "a\0b", 3);
	ck_assert_mem_eq(b.s, "a\0b", 4);
	s = strbuf_detach(&b);
	ck_assert_ptr_null(b.s);
	free(s);
	s = strbuf_detach(&b);
	ck_assert_str_eq(s, "");
	free(s);
	strbuf_release(&b);
}
END_TEST

START_TEST(test_strbuf_long_format)
{
	struct strbuf b = STRBUF_INIT;
	char text[5000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	strbuf_addf(&b, "<%s>", text);
	ck_assert_uint_eq(b.len, sizeof(text) + 1);
	ck_assert_int_eq(b.s[b.len - 1], '>');
	strbuf_release(&b);
}
END_TEST

START_TEST(test_numbers)
{
	static const struct {
		const char *s;
		int r;
		int64_t n;
	} cases[] = {{"0", 0, 0}, {"-5", 0, -5}, {"+7", 0, 7},
	    {"9223372036854775807", 0, INT64_MAX}, {"-9223372036854775808", 0, INT64_MIN},
	    {"9223372036854775808", -ERANGE, 1}, {"", -EINVAL, 1}, {"-", -EINVAL, 1},
	    {" 1", -EINVAL, 1}, {"1 ", -EINVAL, 1}, {"1x", -EINVAL, 1}, {"0x10", -EINVAL, 1},
	    {"+-1", -EINVAL, 1}, {"1.0", -EINVAL, 1}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t n = 1;

		ck_assert_msg(str_to_int64(cases[i].s, &n) == cases[i].r, "\"%s\"", cases[i].s);
		ck_assert_int_eq(n, cases[i].n);
	}
}
END_TEST

START_TEST(test_strings_and_fds)
{
	char *s = xstrndup("abcdef", 3);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), copy = fd;

	ck_assert_str_eq(s, "abc");
	free(s);
	s = xasprintf("%s-%d", "a", 5);
	ck_assert_str_eq(s, "a-5");
	free(s);
	errno = ENOSPC;
	close_fd(&fd);
	ck_assert_int_eq(fd, -1);
	close_fd(&fd);
	ck_assert_int_eq(errno, ENOSPC);
	ck_assert_int_eq(fcntl(copy, F_GETFD), -1);
}
END_TEST

START_TEST(test_utf8)
{
	static const char *const bad[] = {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
	    "\xe2\x82", "\x80", "\xf8\x88\x80\x80\x80", "\xe0\x80\xaf", "\xc3("};
	static const char good[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbe";
	struct strbuf b = STRBUF_INIT;
	uint32_t cp = 0;

	ck_assert(utf8_valid(good, sizeof(good) - 1));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_msg(!utf8_valid(bad[i], strlen(bad[i])), "case %zu", i);
	ck_assert_uint_eq(utf8_decode("\xf0\x9f\x98\x80", 4, &cp), 4);
	ck_assert_uint_eq(cp, 0x1f600);
	ck_assert_uint_eq(utf8_decode("", 0, &cp), 0);
	utf8_repair(&b, "a\xff\xc3\xa9\0z", 6);
	ck_assert_str_eq(b.s, "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbdz");
	strbuf_release(&b);
	ck_assert(utf8_is_control(0x1b) && utf8_is_control(0x9b) && utf8_is_control(0x202e));
	ck_assert(!utf8_is_control('a') && !utf8_is_control(0xe9) && !utf8_is_control(0x20ac));
}
END_TEST

CHECK_MAIN("util", test_strbuf_grows, test_strbuf_long_format, test_numbers, test_strings_and_fds,
    test_utf8)

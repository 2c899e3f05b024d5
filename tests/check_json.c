/* Unit tests of json.h: what is refused, and that the writer gives back what was read. */
#include <float.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include "check_run.h"
#include "json.h"
#include "util.h"

/* `count` times open, then close as often. */
static char *
nested(const char *open, const char *middle, const char *shut, int count)
{
	struct strbuf b = STRBUF_INIT;

	for (int i = 0; i < count; i++)
		strbuf_adds(&b, open);
	strbuf_adds(&b, middle);
	for (int i = 0; i < count; i++)
		strbuf_adds(&b, shut);
	return strbuf_detach(&b);
}

static void
refused(const char *s, size_t len, const char *word)
{
	const char *why = NULL;

	ck_assert_msg(!json_parse_object(s, len, &why), "accepted: %.60s", s);
	ck_assert_ptr_nonnull(why);
	ck_assert_msg(strstr(why, word) && strchr(why, '.'), "%.60s: %s", s, why);
}

START_TEST(test_refused)
{
	static const struct {
		const char *s, *word;
	} cases[] = {{"", "early"}, {"{\"a\":1", "early"}, {"{\"a\":\"", "early"},
	    {"{\"a\":1,\"a\":2}", "twice"}, {"{\"x\":{\"a\":1,\"\\u0061\":2}}", "twice"},
	    {"{\"a\":\"\xff\"}", "UTF-8"}, {"{\"a\":\"\xc0\x80\"}", "UTF-8"},
	    {"{\"a\":\"\xed\xa0\x80\"}", "UTF-8"}, {"{\"\xff\":1}", "UTF-8"},
	    {"{\"a\":\"\\ud800\"}", "surrogate"}, {"{\"a\":\"\\udc00\"}", "surrogate"},
	    {"{\"a\":\"\\ud800\\u0041\"}", "surrogate"}, {"{\"a\":\"\\u0000\"}", "NUL"},
	    {"{\"\\u0000\":1}", "NUL"}, {"{\"a\":9223372036854775808}", "fit"},
	    {"{\"a\":-9223372036854775809}", "fit"}, {"{\"a\":1e400}", "fit"},
	    {"{\"a\":1}x", "behind"}, {"{\"a\":1}{}", "behind"}, {"[]", "object"}, {"1", "object"},
	    {"\"s\"", "object"}, {"null", "object"}, {"{\"a\":NaN}", "valid"},
	    {"{\"a\":Infinity}", "valid"}, {"{\"a\":01}", "valid"}, {"{\"a\":+1}", "valid"},
	    {"{\"a\":1.}", "valid"}, {"{\"a\":.5}", "valid"}, {"{\"a\":0x1}", "valid"},
	    {"{\"a\":1,}", "valid"}, {"{'a':1}", "valid"}, {"{\"a\":1/*c*/}", "valid"},
	    {"\xef\xbb\xbf{}", "valid"}, {"{\"a\":\"\t\"}", "valid"}, {"{\"a\"}", "valid"},
	    {"{\"a\":\"\\x\"}", "valid"}, {"{a:1}", "valid"}, {"]", "valid"}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		refused(cases[i].s, strlen(cases[i].s), cases[i].word);
	refused("{\"a\":\"x\0y\"}", 11, ".");
	refused("{\"a\":1}\0", 8, ".");
}
END_TEST

START_TEST(test_depth)
{
	char *s = nested("[", "", "]", 15), *object;
	json_t *v;

	object = xasprintf("{\"a\":%s}", s);
	v = json_parse_object(object, strlen(object), NULL);
	ck_assert_ptr_nonnull(v);
	json_decref(v);
	free(s);
	free(object);
	for (int depth = 17; depth < 3000; depth += 2031 - 17) {
		s = nested("{\"a\":", "1", "}", depth);
		refused(s, strlen(s), "deeper");
		free(s);
	}
	/* brackets in strings are no depth */
	s = nested("[", "\\\"", "[", 20);
	object = xasprintf("{\"a\":\"%s\"}", s);
	v = json_parse_object(object, strlen(object), NULL);
	free(s);
	free(object);
	ck_assert_ptr_nonnull(v);
	json_decref(v);
}
END_TEST

START_TEST(test_large_is_quick)
{
	clock_t start = clock();
	char *s = nested("{\"a\":", "", "", 52428);
	char *escapes = nested("\\u0041", "", "", 43000), *object;
	json_t *v;

	refused(s, strlen(s), "deeper");
	object = xasprintf("{\"a\":\"%s\"}", escapes);
	v = json_parse_object(object, strlen(object), NULL);
	ck_assert_uint_eq(json_string_length(json_object_get(v, "a")), 43000);
	ck_assert(clock() - start < CLOCKS_PER_SEC);
	json_decref(v);
	free(s);
	free(escapes);
	free(object);
}
END_TEST

/* Reads s and writes it again, in ASCII or UTF-8. */
static void
written(const char *s, const char *ascii, const char *utf8)
{
	struct strbuf a = STRBUF_INIT, u = STRBUF_INIT;
	json_t *v = json_parse_value(s, strlen(s), NULL), *again;

	ck_assert_msg(v != NULL, "%s", s);
	json_dump_line(v, &a);
	json_dump_utf8(v, &u);
	ck_assert_str_eq(a.s, ascii);
	ck_assert_str_eq(u.s, utf8);
	again = json_parse_value(a.s, a.len, NULL);
	ck_assert(json_equal(v, again));
	json_decref(v);
	json_decref(again);
	strbuf_release(&a);
	strbuf_release(&u);
}

START_TEST(test_written)
{
	static const char *const same[] = {"{}", "[]", "null", "true", "false", "-1", "0.1", "0.37",
	    "9223372036854775807", "-9223372036854775808", "1.5", "1e+300", "4.94065645841247e-324",
	    "-0.0", "1.7976931348623157e+308", "0.30000000000000004",
	    "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\"", "{\"b\":1,\"a\":[1,[2,{\"c\":null}],\"x\"]}",
	    "\"/\""};

	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		written(same[i], same[i], same[i]);
	written(" { \"a\" : [ 1 , 2 ] } ", "{\"a\":[1,2]}", "{\"a\":[1,2]}");
	written("-0", "0", "0");
	written("1e2", "100.0", "100.0");
	written("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"",
	    "\"\\u00e9\\u20ac\\ud83d\\ude00\\u007f\"",
	    "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"");
	written("{\"\\ud83d\\ude00\\ufffe\\u202e\":1}", "{\"\\ud83d\\ude00\\ufffe\\u202e\":1}",
	    "{\"\xf0\x9f\x98\x80\xef\xbf\xbe\xe2\x80\xae\":1}");
}
END_TEST

START_TEST(test_reals_exact)
{
	struct strbuf b = STRBUF_INIT;
	unsigned long long bits = 1;

	for (int i = 0; i < 20000; i++) {
		double d;
		json_t *v;

		bits = bits * 6364136223846793005ULL + 1442695040888963407ULL;
		memcpy(&d, &bits, sizeof(d));
		if (!isfinite(d))
			continue;
		v = jx_real(d);
		strbuf_reset(&b);
		json_dump_line(v, &b);
		json_decref(v);
		v = json_parse_value(b.s, b.len, NULL);
		ck_assert_msg(json_is_real(v), "%s", b.s);
		ck_assert(json_real_value(v) == d);
		json_decref(v);
	}
	strbuf_release(&b);
}
END_TEST

START_TEST(test_built)
{
	struct strbuf b = STRBUF_INIT;
	json_t *o = jx_object(), *a = jx_array(), *copy;

	json_set_str(o, "s", "a\xff");
	json_set_str(o, "none", NULL);
	json_set_int(o, "i", INT64_MIN);
	json_set_bool(o, "b", true);
	json_set_real(o, "r", 0.5);
	json_set_real(o, "inf", HUGE_VAL);
	jx_append(a, jx_stringn("x\0y", 3));
	jx_append(a, NULL);
	jx_append(a, jx_string(NULL));
	jx_set(o, "a", a);
	jx_set(o, "null", NULL);
	jx_set(o, "i", jx_int(5));
	copy = jx_copy(o);
	json_decref(o);
	json_dump_line(copy, &b);
	ck_assert_str_eq(b.s, "{\"s\":\"a\\ufffd\",\"none\":null,\"i\":5,\"b\":true,\"r\":0.5,"
			      "\"inf\":null,\"a\":[\"x\\ufffdy\",null,null],\"null\":null}");
	ck_assert_str_eq(json_get_str(copy, "none") ? "?" : "absent", "absent");
	ck_assert_int_eq(json_get_int(copy, "i", 0), 5);
	ck_assert_int_eq(json_get_int(copy, "r", 7), 7);
	ck_assert(json_get_bool(copy, "b", false) && json_get_bool(copy, "i", true));
	json_decref(copy);
	strbuf_reset(&b);
	json_dump_string("a\"\xc3\xa9", 4, &b);
	ck_assert_str_eq(b.s, "\"a\\\"\\u00e9\"");
	strbuf_release(&b);
}
END_TEST

CHECK_MAIN("json", test_refused, test_depth, test_large_is_quick, test_written, test_reals_exact,
    test_built)

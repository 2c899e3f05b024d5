/* The client's small parts: reading JSON, building requests, escaping, base64, ages, exit codes. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "jv.h"
#include "outcome.h"
#include "rows.h"
#include "stream.h"
#include "text.h"

static struct jv *
parse(struct jv_doc *doc, const char *s)
{
	memset(doc, 0, sizeof(*doc));
	return jv_parse(doc, s, strlen(s));
}

START_TEST(test_jv_reads)
{
	const char *s =
	    " {\"a\":[1, -2.5 ,true,null],\"b\":\"x\\u00e9\\ud83d\\ude00\\n\\ud800\",\"c\":{}} ";
	struct jv_doc doc;
	const struct jv *v = parse(&doc, s), *a = jv_get(v, "a");

	ck_assert_ptr_nonnull(v);
	ck_assert_uint_eq(a->len, 4);
	ck_assert_int_eq(a->child->n, 1);
	ck_assert_int_eq(a->child->next->type, JV_REAL);
	ck_assert_double_eq(a->child->next->d, -2.5);
	ck_assert_str_eq(jv_str(v, "b"), "x\xc3\xa9\xf0\x9f\x98\x80\n\xef\xbf\xbd");
	ck_assert_int_eq(strncmp(a->raw, "[1, -2.5 ,true,null]", a->raw_len), 0);
	ck_assert_int_eq(jv_get(v, "c")->type, JV_OBJECT);
	ck_assert(!jv_has(v, "d"));
	ck_assert_int_eq(jv_int(v, "b", 7), 7);
	jv_release(&doc);
}
END_TEST

START_TEST(test_jv_refuses)
{
	static const char *const bad[] = {"", "{", "{\"a\"}", "[1,]", "{\"a\":1,}", "\"x",
	    "\"\\x\"", "\"\\u12\"", "tru", "1 2", "{a:1}", "[", "-", "\"\\", "01x"};
	char deep[200];
	struct jv_doc doc;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ck_assert_msg(parse(&doc, bad[i]) == NULL, "%s", bad[i]);
		jv_release(&doc);
	}
	memset(deep, '[', 199);
	deep[199] = '\0';
	ck_assert_ptr_null(parse(&doc, deep));
	jv_release(&doc);
}
END_TEST

START_TEST(test_req)
{
	struct req r = {0};
	struct strbuf b = STRBUF_INIT;

	ck_assert(req_str(&r, "a", "q\"\\\n\x1b\xc2\x9bé"));
	ck_assert(!req_str(&r, "a", "\xff"));
	req_int(&r, "n", -1);
	req_bool(&r, "t", true);
	req_int(&r, "n", 5); /* the last one holds, in its place */
	ck_assert(req_task(&r, "41"));
	ck_assert(req_task(&r, "99999999999999999999"));
	req_print(&r, &b);
	ck_assert_str_eq(b.s, "{\"a\":\"q\\\"\\\\\\n\\u001b\\u009bé\",\"n\":5,\"t\":true,\"id\":41,"
			      "\"name\":\"99999999999999999999\"}");
	strbuf_release(&b);
	req_release(&r);
}
END_TEST

START_TEST(test_text_escapes)
{
	struct strbuf b = STRBUF_INIT;
	const char *s = "a\x1b[31m\r\n\t\x7f\xc2\x9b\xffé\xe2\x80\xae";

	text_add(&b, true, s, strlen(s));
	ck_assert_str_eq(b.s, "a\\x1b[31m\\r\\n\\t\\x7f\\u009b\\xffé\\u202e");
	strbuf_reset(&b);
	text_add(&b, false, s, strlen(s));
	ck_assert_str_eq(b.s, s);
	strbuf_release(&b);
}
END_TEST

/* However the bytes are cut, the same comes out. */
START_TEST(test_text_stream_pieces)
{
	const char *s = "a\r\nb\rc\xf0\x9f\x98\x80\xe2\x82\t\x1b\xffé\r\r\n\xf0\x9f";
	const char *want = "a\nb\\rc\xf0\x9f\x98\x80\\xe2\\x82\t\\x1b\\xffé\\r\n\\xf0\\x9f";
	size_t len = strlen(s);

	for (size_t piece = 1; piece <= len; piece++) {
		struct text_stream t = {.nheld = 0};
		struct strbuf b = STRBUF_INIT;

		for (size_t at = 0; at < len; at += piece)
			text_stream_add(&t, &b, s + at, MIN(piece, len - at));
		text_stream_end(&t, &b);
		ck_assert_msg(strcmp(b.s, want) == 0, "pieces of %zu: %s", piece, b.s);
		strbuf_release(&b);
	}
}
END_TEST

START_TEST(test_base64)
{
	static const struct {
		const char *in, *out;
	} rows[] = {{"", ""}, {"YQ==", "a"}, {"YWI=", "ab"}, {"YWJj", "abc"}, {"YWJjZA", "abcd"},
	    {"/+8=", "\xff\xef"}};
	struct strbuf b = STRBUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		strbuf_reset(&b);
		ck_assert(stream_base64(rows[i].in, strlen(rows[i].in), &b));
		ck_assert_uint_eq(b.len, strlen(rows[i].out));
		ck_assert_int_eq(memcmp(strbuf_str(&b), rows[i].out, b.len), 0);
	}
	ck_assert(!stream_base64("a b", 3, &b));
	strbuf_release(&b);
}
END_TEST

START_TEST(test_age)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {{-5, "0s"}, {9999, "9s"}, {60000, "1m"}, {12 * 60000 + 59000, "12m"},
	    {3600000, "1h"}, {108 * 60000, "1h48m"}, {86400000, "1d"}, {51 * 3600000LL, "2d3h"}};
	char buf[TEXT_AGE_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		text_age(rows[i].ms, buf);
		ck_assert_str_eq(buf, rows[i].text);
	}
}
END_TEST

/* Exit codes of run and wait, one task. */
static const struct {
	const char *answer;
	int code;
} codes[] = {
    {"{\"result\":\"done\",\"of\":\"task\",\"task\":{\"exit\":{\"code\":0}}}", 0},
    {"{\"result\":\"failed\",\"of\":\"task\",\"task\":{\"exit\":{\"code\":3}}}", 3},
    {"{\"result\":\"failed\",\"of\":\"task\",\"task\":{\"exit\":{\"code\":255}}}", 255},
    {"{\"result\":\"failed\",\"of\":\"task\",\"task\":{\"exit\":{\"signal\":\"SIGSEGV\",\"core\":"
     "true}}}",
	139},
    {"{\"result\":\"failed\",\"of\":\"task\",\"task\":{\"exit\":{\"signal\":\"SIGKILL\"}}}", 137},
    {"{\"result\":\"failed\",\"of\":\"task\",\"task\":{\"exit\":{\"stage\":\"exec\",\"errno\":"
     "\"ENOENT\"}}}",
	127},
    {"{\"result\":\"failed\",\"of\":\"task\",\"task\":{\"exit\":{\"stage\":\"exec\",\"errno\":"
     "\"EACCES\"}}}",
	126},
    {"{\"result\":\"failed\",\"of\":\"task\",\"task\":{\"exit\":{\"stage\":\"cwd\",\"errno\":"
     "\"ENOENT\"}}}",
	125},
    /* a hook failed behind a task that ended well */
    {"{\"result\":\"failed\",\"of\":\"task\",\"task\":{\"exit\":{\"code\":0},\"error\":{\"hook\":"
     "\"finally\"}}}",
	1},
    {"{\"result\":\"cancelled\",\"of\":\"task\",\"task\":{\"exit\":{\"signal\":\"SIGTERM\"}}}",
	130},
    {"{\"result\":\"timed_out\",\"of\":\"task\",\"task\":{\"exit\":{\"signal\":\"SIGTERM\"}}}",
	124},
    {"{\"result\":\"lost\",\"of\":\"task\",\"task\":{}}", 125},
    {"{\"result\":\"timeout\",\"of\":\"wait\",\"task\":{}}", 75},
    {"{\"ok\":false}", 125},
};

START_TEST(test_exit_code)
{
	struct jv_doc doc;

	ck_assert_int_eq(outcome_code(parse(&doc, codes[_i].answer)), codes[_i].code);
	jv_release(&doc);
}
END_TEST

START_TEST(test_merged_codes)
{
	ck_assert_int_eq(outcome_merge(0, 5, true), 5);
	ck_assert_int_eq(outcome_merge(5, 5, false), 5);
	ck_assert_int_eq(outcome_merge(0, 3, false), 3);
	ck_assert_int_eq(outcome_merge(3, 0, false), 3);
	ck_assert_int_eq(outcome_merge(3, 5, false), 1);
	ck_assert_int_eq(outcome_merge(0, 5, false), 1);
}
END_TEST

static const struct {
	const char *task, *text;
} sentences[] = {
    {"{\"state\":\"done\",\"started\":\"2026-01-01T00:00:00Z\",\"ended\":\"2026-01-01T00:00:03."
     "1Z\"}",
	"done after 3.1s"},
    {"{\"state\":\"cancelled\",\"started\":\"2026-01-01T00:00:00Z\",\"ended\":\"2026-01-01T00:01:"
     "03.1Z\","
     "\"cancel\":{\"at\":\"2026-01-01T00:01:00Z\",\"msg\":\"release 1.4 "
     "withdrawn\"},\"leftover\":[{},{},{},{},{}],"
     "\"hooks\":[{\"state\":\"done\"},{\"state\":\"done\"}]}",
	"cancelled after 3.1s: release 1.4 withdrawn; 6 processes ended, hooks 2 of 2 ok"},
    {"{\"state\":\"cancelled\",\"cancel\":{\"msg\":{\"why\":[1]}},\"forced\":true}",
	"cancelled: {\"why\":[1]}; it had to be killed"},
    {"{\"state\":\"timed_out\",\"started\":\"2026-01-01T00:00:00Z\",\"deadline\":\"2026-01-01T00:"
     "00:10Z\","
     "\"ended\":\"2026-01-01T00:00:14Z\"}",
	"timed out after 10s"},
    {"{\"state\":\"failed\",\"exit\":{\"code\":3}}", "failed: exit 3"},
    {"{\"state\":\"failed\",\"exit\":{\"signal\":\"SIGSEGV\",\"core\":true}}",
	"failed: it died of SIGSEGV (core dumped)"},
    {"{\"state\":\"failed\",\"exit\":{\"stage\":\"exec\",\"errno\":\"ENOENT\"}}",
	"failed: it could not be executed (exec: ENOENT)"},
    {"{\"state\":\"failed\",\"exit\":{\"code\":1},\"error\":\"no space\"}",
	"failed: exit 1: no space"},
    {"{\"state\":\"done\",\"cancel\":{\"absorbed\":true}}", "done; it caught the cancel"},
    {"{\"state\":\"lost\"}", "lost: nobody saw how it ended"},
    {"{\"state\":\"running\"}", "running"},
};

START_TEST(test_sentence)
{
	struct strbuf b = STRBUF_INIT;
	struct jv_doc doc;

	outcome_sentence(parse(&doc, sentences[_i].task), &b);
	ck_assert_str_eq(b.s, sentences[_i].text);
	strbuf_release(&b);
	jv_release(&doc);
}
END_TEST

START_TEST(test_row_note)
{
	struct strbuf b = STRBUF_INIT;
	struct jv_doc doc;

	rows_note(parse(&doc, "{\"state\":\"running\",\"shield\":{\"holders\":[{\"holder\":"
			      "\"self\",\"msg\":\"copying "
			      "WAL\"}]},\"cancel\":{\"deferred\":true,\"count\":1}}"),
	    &b);
	ck_assert_str_eq(b.s, "   (shielded (\"copying WAL\"); 1 cancel pending)");
	jv_release(&doc);
	strbuf_reset(&b);
	rows_note(parse(&doc,
		      "{\"state\":\"cleanup\",\"leftover\":[{\"pid\":9120,\"comm\":\"ffmpeg\"}]}"),
	    &b);
	ck_assert_str_eq(b.s, "   (waits for 9120 ffmpeg)");
	jv_release(&doc);
	strbuf_release(&b);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("client text");
	TCase *tc = tcase_create("text");
	SRunner *runner;
	int failed;

	setenv("TZ", "UTC", 1);
	tcase_add_test(tc, test_jv_reads);
	tcase_add_test(tc, test_jv_refuses);
	tcase_add_test(tc, test_req);
	tcase_add_test(tc, test_text_escapes);
	tcase_add_test(tc, test_text_stream_pieces);
	tcase_add_test(tc, test_base64);
	tcase_add_test(tc, test_age);
	tcase_add_loop_test(tc, test_exit_code, 0, (int)ARRAY_SIZE(codes));
	tcase_add_test(tc, test_merged_codes);
	tcase_add_loop_test(tc, test_sentence, 0, (int)ARRAY_SIZE(sentences));
	tcase_add_test(tc, test_row_note);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

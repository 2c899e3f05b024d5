/* Unit tests of line.h: limits to the byte, and the same lines however the input is split. */
#include <event2/buffer.h>
#include <string.h>
#include <time.h>
#include "check_run.h"
#include "line.h"
#include "util.h"

/* The next line as a string in `out`, or its status in words. */
static const char *
next(struct line_reader *r, struct evbuffer *in, struct strbuf *out)
{
	const char *line;
	size_t len;

	strbuf_reset(out);
	switch (line_next(r, in, &line, &len)) {
	case LINE_OK:
		strbuf_addch(out, ':');
		strbuf_add(out, line, len);
		return out->s;
	case LINE_NONE: return "none";
	default: return "too long";
	}
}

START_TEST(test_lines)
{
	struct evbuffer *in = evbuffer_new();
	struct strbuf out = STRBUF_INIT;
	struct line_reader r;
	const char *line;
	size_t len;

	line_reader_init(&r, 100);
	ck_assert_str_eq(next(&r, in, &out), "none");
	evbuffer_add(in, "a\nb\r\n\n\r\nc\rd\n\r\r\nrest\r", 20);
	ck_assert_str_eq(next(&r, in, &out), ":a");
	ck_assert_uint_eq(line_pending(&r, in), 18);
	ck_assert_str_eq(next(&r, in, &out), ":b");
	ck_assert_str_eq(next(&r, in, &out), ":");
	ck_assert_str_eq(next(&r, in, &out), ":");
	ck_assert_str_eq(next(&r, in, &out), ":c\rd");
	ck_assert_str_eq(next(&r, in, &out), ":\r");
	ck_assert_str_eq(next(&r, in, &out), "none");
	ck_assert_int_eq(line_rest(&r, in, &line, &len), LINE_OK);
	ck_assert_uint_eq(len, 4);
	ck_assert_mem_eq(line, "rest", 4);
	ck_assert_int_eq(line_rest(&r, in, &line, &len), LINE_NONE);
	ck_assert_uint_eq(evbuffer_get_length(in), 0);
	strbuf_release(&out);
	evbuffer_free(in);
}
END_TEST

/* A line of `len` bytes and `end`, with room for `limit`, in one piece and byte by byte. */
static const char *
with_limit(size_t limit, size_t len, const char *end, bool bytewise)
{
	struct evbuffer *in = evbuffer_new();
	struct strbuf text = STRBUF_INIT, out = STRBUF_INIT;
	struct line_reader r;
	const char *what = "none";

	for (size_t i = 0; i < len; i++)
		strbuf_addch(&text, 'x');
	strbuf_adds(&text, end);
	line_reader_init(&r, limit);
	for (size_t i = 0; i < text.len && strcmp(what, "none") == 0; i++) {
		evbuffer_add(in, text.s + i, bytewise ? 1 : text.len);
		what = next(&r, in, &out);
		if (!bytewise)
			break;
	}
	if (what == out.s)
		what = out.len == len + 1 ? "whole" : "cut";
	evbuffer_free(in);
	strbuf_release(&text);
	strbuf_release(&out);
	return what;
}

START_TEST(test_limit)
{
	static const struct {
		size_t over;
		const char *end, *what;
	} cases[] = {{0, "\n", "whole"}, {0, "\r\n", "whole"}, {0, "", "none"}, {0, "\r", "none"},
	    {1, "\n", "too long"}, {1, "\r\n", "too long"}, {1, "", "too long"},
	    {0, "\rx", "too long"}, {0, "\r\r", "too long"}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (int bytewise = 0; bytewise < 2; bytewise++) {
			const char *what =
			    with_limit(4096, 4096 + cases[i].over, cases[i].end, bytewise);

			ck_assert_msg(strcmp(what, cases[i].what) == 0, "case %zu: %s", i, what);
		}
	}
}
END_TEST

START_TEST(test_limit_moves)
{
	struct evbuffer *in = evbuffer_new();
	struct strbuf out = STRBUF_INIT;
	struct line_reader r;

	line_reader_init(&r, 4);
	evbuffer_add(in, "auth\n123456\n", 12);
	ck_assert_str_eq(next(&r, in, &out), ":auth");
	ck_assert_str_eq(next(&r, in, &out), "too long");
	line_set_limit(&r, 6);
	ck_assert_str_eq(next(&r, in, &out), ":123456");
	ck_assert_str_eq(next(&r, in, &out), "none");
	strbuf_release(&out);
	evbuffer_free(in);
}
END_TEST

START_TEST(test_any_split)
{
	static const char stream[] = "{\"a\":1}\r\n\n  \n{\"b\":2}\nxyz\r\r\nend\n";
	static const char expected[] = ":{\"a\":1}|:|:  |:{\"b\":2}|:xyz\r|:end|";

	for (unsigned seed = 0; seed < 500; seed++) {
		struct evbuffer *in = evbuffer_new();
		struct strbuf out = STRBUF_INIT, all = STRBUF_INIT;
		struct line_reader r;
		unsigned random = seed * 2654435761u;
		size_t done = 0, n;

		line_reader_init(&r, 100);
		while (done < sizeof(stream) - 1) {
			random = random * 1103515245u + 12345u;
			n = MIN(1 + (random >> 16) % 9, sizeof(stream) - 1 - done);
			/* each piece a chain of its own, so that lines have to be joined */
			evbuffer_add_reference(in, stream + done, n, NULL, NULL);
			done += n;
			for (;;) {
				const char *line = next(&r, in, &out);

				if (strcmp(line, "none") == 0)
					break;
				strbuf_addf(&all, "%s|", line);
			}
		}
		ck_assert_str_eq(all.s, expected);
		strbuf_release(&out);
		strbuf_release(&all);
		evbuffer_free(in);
	}
}
END_TEST

START_TEST(test_not_quadratic)
{
	struct evbuffer *in = evbuffer_new();
	struct strbuf out = STRBUF_INIT;
	struct line_reader r;
	clock_t start = clock();
	int none = 0;

	line_reader_init(&r, 256 * 1024);
	for (int i = 0; i < 256 * 1024; i++) {
		evbuffer_add(in, "x", 1);
		none += strcmp(next(&r, in, &out), "none") == 0;
	}
	ck_assert_int_eq(none, 256 * 1024);
	evbuffer_add(in, "\n", 1);
	next(&r, in, &out);
	ck_assert_uint_eq(out.len, 256 * 1024 + 1);
	/* a rescan at every byte would take tens of seconds; this takes 50 ms */
	ck_assert_msg(clock() - start < 5 * CLOCKS_PER_SEC, "scanned again and again");
	strbuf_release(&out);
	evbuffer_free(in);
}
END_TEST

START_TEST(test_first_byte)
{
	struct evbuffer *in = evbuffer_new();
	struct strbuf out = STRBUF_INIT;
	struct line_reader r;

	line_reader_init(&r, 100);
	ck_assert_int_eq(line_first_byte(&r, in), -1);
	for (int i = 0; i < 40; i++)
		evbuffer_add_reference(in, " \r\n\t", 4, NULL, NULL);
	ck_assert_int_eq(line_first_byte(&r, in), -1);
	evbuffer_add(in, "\xfe{", 2);
	ck_assert_int_eq(line_first_byte(&r, in), 0xfe);
	evbuffer_drain(in, evbuffer_get_length(in));
	line_reader_init(&r, 100);
	evbuffer_add(in, "{}\n GET", 7);
	ck_assert_int_eq(line_first_byte(&r, in), '{');
	ck_assert_str_eq(next(&r, in, &out), ":{}");
	ck_assert_int_eq(line_first_byte(&r, in), 'G');
	ck_assert(line_blank("", 0) && line_blank(" \t\r\n", 4));
	ck_assert(!line_blank(" x ", 3) && !line_blank("\0", 1));
	strbuf_release(&out);
	evbuffer_free(in);
}
END_TEST

CHECK_MAIN("line", test_lines, test_limit, test_limit_moves, test_any_split, test_not_quadratic,
    test_first_byte)

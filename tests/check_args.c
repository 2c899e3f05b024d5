/* The members of requests: what each check takes and refuses, the path it blames, the sentence. */
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "check_run.h"
#include "json.h"
#include "rules.h"
#include "utf8.h"
#include "util.h"

static const char *const colours[] = {"red", "green", "blue", NULL};

static const struct field point[] = {
    {.name = "x", .check = args_integer, .min = 0, .max = 9, .required = true},
    {.name = "y", .check = args_integer, .min = 0, .max = INT64_MAX},
    FIELD_END,
};

/* One member for each check. */
static const struct field fields[] = {
    {.name = "bool", .check = args_bool},
    {.name = "true", .check = args_true},
    {.name = "int", .check = args_integer, .min = 1, .max = 10},
    {.name = "big", .check = args_integer, .min = 1, .max = INT64_MAX},
    {.name = "number", .check = args_number},
    {.name = "string", .check = args_string, .max = 8},
    {.name = "text", .check = args_text, .max = 8},
    {.name = "choice", .check = args_choice, .choices = colours},
    {.name = "span", .check = args_duration},
    {.name = "more", .check = args_duration, .min = 1},
    {.name = "null", .check = args_duration, .null_ok = true},
    {.name = "extend", .check = args_duration_number, .min = -1},
    {.name = "time", .check = args_time},
    {.name = "signal", .check = args_signal},
    {.name = "umask", .check = args_umask},
    {.name = "path", .check = args_path, .max = 64},
    {.name = "argv", .check = args_argv},
    {.name = "ids", .check = args_ids, .max = 3},
    {.name = "env", .check = args_env},
    {.name = "labels", .check = args_labels},
    {.name = "select", .check = args_select},
    {.name = "shield", .check = args_shield},
    {.name = "hooks", .check = args_hooks},
    {.name = "point", .check = args_object, .members = point},
    {.name = "any", .check = args_any},
    FIELD_MSG,
    FIELD_END,
};

static json_t *
parse(const char *text)
{
	const char *why = NULL;
	json_t *v = json_parse_value(text, strlen(text), &why);

	ck_assert_msg(v != NULL, "%s: %s", text, why);
	return v;
}

/* {"cmd":"x", and these members */
static bool
check(const char *members, struct args_error *e)
{
	char *text = xasprintf("{\"cmd\":\"x\"%s%s}", members[0] ? "," : "", members);
	json_t *request = parse(text);
	bool good;

	memset(e, 0, sizeof(*e));
	good = args_check(request, fields, e);
	json_decref(request);
	free(text);
	return good;
}

static void
takes(const char *members)
{
	struct args_error e;

	ck_assert_msg(check(members, &e), "%s: %s: %s", members, e.path, e.why);
}

/* Refused, blaming `path`, with a full sentence. */
static void
refuses(const char *members, const char *path)
{
	struct args_error e;
	size_t n;

	ck_assert_msg(!check(members, &e), "%s was taken", members);
	ck_assert_msg(strcmp(e.path, path) == 0, "%s blames %s, not %s", members, e.path, path);
	n = strlen(e.why);
	ck_assert_msg(n > 10 && e.why[n - 1] == '.', "%s: no sentence: %s", members, e.why);
	ck_assert_msg(utf8_valid(e.why, n), "%s: not UTF-8", members);
}

/* Each row: a member's name, then values, up to NULL. */
static void
all_taken(const char *name, const char *const *values)
{
	for (; *values != NULL; values++) {
		char *members = xasprintf("\"%s\":%s", name, *values);

		takes(members);
		free(members);
	}
}

static void
all_refused(const char *name, const char *const *values)
{
	for (; *values != NULL; values++) {
		char *members = xasprintf("\"%s\":%s", name, *values);

		refuses(members, name);
		free(members);
	}
}

#define TAKEN(name, ...)   all_taken(name, (const char *const[]){__VA_ARGS__, NULL})
#define REFUSED(name, ...) all_refused(name, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(plain_types)
{
	TAKEN("bool", "true", "false");
	REFUSED("bool", "0", "\"true\"", "null", "[]", "{}");
	TAKEN("true", "true");
	REFUSED("true", "false", "1", "null");
	TAKEN("int", "1", "10");
	REFUSED("int", "0", "11", "-1", "5.0", "\"5\"", "true", "null", "9223372036854775807");
	TAKEN("big", "1", "9223372036854775807");
	REFUSED("big", "0", "-9223372036854775808", "1e3");
	TAKEN("number", "1", "-0.5");
	REFUSED("number", "\"1\"", "null", "true");
	TAKEN("string", "\"a\"", "\"12345678\"", "\"\\u00e4\\u00e4\\u00e4\\u00e4\"");
	REFUSED(
	    "string", "\"\"", "\"123456789\"", "\"\\u00e4\\u00e4\\u00e4\\u00e4a\"", "1", "null");
	TAKEN("text", "\"\"", "\"12345678\"");
	REFUSED("text", "\"123456789\"", "[\"a\"]", "null");
	TAKEN("choice", "\"red\"", "\"blue\"");
	REFUSED("choice", "\"\"", "\"Red\"", "\"re\"", "1", "null", "[\"red\"]");
	TAKEN("any", "1", "\"\"", "[]", "{\"a\":null}");
}
END_TEST

START_TEST(values)
{
	TAKEN("span", "0", "0.0", "1.5", "\"250ms\"", "\"1h30m\"", "315360000");
	REFUSED("span", "-1", "-0.001", "\"-1s\"", "\"5\"", "\"\"", "\"abc\"", "1e300", "400000000",
	    "true", "null", "[]");
	TAKEN("more", "0.001", "\"1ms\"");
	REFUSED("more", "0", "\"0s\"", "-1");
	TAKEN("null", "null", "0", "1");
	REFUSED("null", "-1", "false");
	TAKEN("extend", "-5", "-0.5", "5", "\"5m\"", "0");
	REFUSED("extend", "\"-5s\"", "-1e300", "null");
	TAKEN("time", "\"2026-11-22T13:40:02.118Z\"", "\"2026-11-22T13:40:02+01:00\"");
	REFUSED("time", "\"tomorrow\"", "0", "\"2026-13-22T13:40:02Z\"", "null");
	TAKEN("signal", "\"TERM\"", "\"SIGTERM\"", "15", "1", "64");
	REFUSED("signal", "0", "65", "-1", "\"TERMS\"", "\"\"", "15.0", "true", "null");
	TAKEN("umask", "\"022\"", "\"0777\"", "\"0\"");
	REFUSED("umask", "\"8\"", "18", "\"\"", "\"01777\"", "\"0o22\"", "null");
	TAKEN("path", "\"/\"", "\"/a b\"");
	REFUSED("path", "\"\"", "\"a\"", "\"./a\"", "1", "null",
	    "\"/0123456789012345678901234567890123456789012345678901234567890123456789\"");
}
END_TEST

START_TEST(messages)
{
	char *text = xmalloc(PROTO_MSG_MAX + 64), *at;

	TAKEN("msg", "\"\"", "\"x\"", "0", "false", "[]", "{\"a\":[null]}");
	REFUSED("msg", "null");
	at = text + sprintf(text, "\"msg\":\"");
	memset(at, 'x', PROTO_MSG_MAX);
	strcpy(at + PROTO_MSG_MAX, "\"");
	takes(text);
	strcpy(at + PROTO_MSG_MAX, "x\"");
	refuses(text, "msg");
	at = text + sprintf(text, "\"msg\":[\"");
	memset(at, 'x', PROTO_MSG_MAX);
	strcpy(at + PROTO_MSG_MAX - 4, "\"]"); /* as text: 64 KiB */
	takes(text);
	memset(at, 'x', PROTO_MSG_MAX);
	strcpy(at + PROTO_MSG_MAX - 3, "\"]");
	refuses(text, "msg");
	free(text);
}
END_TEST

START_TEST(lists)
{
	TAKEN("argv", "[\"a\"]", "[\"a\",\"\",\"b\"]");
	REFUSED("argv", "[]", "\"a\"", "{}", "null");
	refuses("\"argv\":[\"\"]", "argv[0]");
	refuses("\"argv\":[\"\",\"a\"]", "argv[0]");
	refuses("\"argv\":[\"a\",\"b\",3]", "argv[2]");
	refuses("\"argv\":[null]", "argv[0]");
	refuses("\"argv\":[\"a\",[\"b\"]]", "argv[1]");
	TAKEN("ids", "[1]", "[1,2,3]", "[1,1]");
	REFUSED("ids", "[]", "1", "[1,2,3,4]", "null");
	refuses("\"ids\":[1,0]", "ids[1]");
	refuses("\"ids\":[1.0]", "ids[0]");
	refuses("\"ids\":[\"1\"]", "ids[0]");
}
END_TEST

START_TEST(many_items)
{
	struct strbuf b = STRBUF_INIT;

	strbuf_adds(&b, "\"argv\":[\"a\"");
	for (int i = 1; i < 4096; i++)
		strbuf_adds(&b, ",\"\"");
	strbuf_adds(&b, "]");
	takes(strbuf_str(&b));
	b.len--;
	strbuf_adds(&b, ",\"\"]");
	refuses(strbuf_str(&b), "argv");
	strbuf_release(&b);
}
END_TEST

START_TEST(environment_and_labels)
{
	TAKEN("env", "{}", "{\"A\":\"\"}", "{\"_a9\":\"x\",\"B\":null}");
	REFUSED("env", "[]", "\"A=1\"", "null");
	refuses("\"env\":{\"9A\":\"\"}", "env.9A");
	refuses("\"env\":{\"A-B\":\"\"}", "env.A-B");
	refuses("\"env\":{\"\":\"\"}", "env.");
	refuses("\"env\":{\"A\":1}", "env.A");
	refuses("\"env\":{\"TASKCTL_X\":\"1\"}", "env.TASKCTL_X");
	refuses("\"env\":{\"TASKCTL_ID\":null}", "env.TASKCTL_ID");
	refuses("\"env\":{\"NOTIFY_SOCKET\":\"1\"}", "env.NOTIFY_SOCKET");
	TAKEN("labels", "{}", "{\"a\":\"\"}", "{\"a b.c\":\"\\u00e4\"}");
	REFUSED("labels", "[]", "\"a\"", "null");
	refuses("\"labels\":{\"\":\"a\"}", "labels.");
	refuses("\"labels\":{\"a\":null}", "labels.a");
	refuses("\"labels\":{\"a\":1}", "labels.a");
}
END_TEST

START_TEST(selects)
{
	TAKEN("select", "{\"all\":true}", "{\"state\":\"running\"}",
	    "{\"state\":[\"done\",\"lost\"],\"name\":\"a\",\"label\":{\"a\":\"b\"}}");
	REFUSED("select", "{}", "[]", "\"all\"", "null");
	refuses("\"select\":{\"all\":false}", "select.all");
	refuses("\"select\":{\"state\":\"Running\"}", "select.state");
	refuses("\"select\":{\"state\":\"starting\"}", "select.state");
	refuses("\"select\":{\"state\":[]}", "select.state");
	refuses("\"select\":{\"state\":[\"done\",\"x\"]}", "select.state[1]");
	refuses("\"select\":{\"state\":[\"done\",7]}", "select.state[1]");
	refuses("\"select\":{\"name\":\"\"}", "select.name");
	refuses("\"select\":{\"label\":{\"a\":1}}", "select.label.a");
	refuses("\"select\":{\"scope\":\"a\"}", "select.scope");
	refuses("\"select\":{\"what\":1}", "select.what");
}
END_TEST

START_TEST(states_of_a_select)
{
	static const struct {
		const char *select;
		unsigned set;
	} rows[] = {
	    {"{\"all\":true}", 0},
	    {"{\"state\":\"running\"}", 1U << TASK_RUNNING},
	    {"{\"state\":\"pending\"}", 1U << TASK_PENDING | 1U << TASK_STARTING},
	    {"{\"state\":[\"done\",\"lost\",\"done\"]}", 1U << TASK_DONE | 1U << TASK_LOST},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *select = parse(rows[i].select);

		ck_assert_uint_eq(args_states(select), rows[i].set);
		json_decref(select);
	}
	ck_assert_uint_eq(args_states(NULL), 0);
}
END_TEST

START_TEST(shields_and_hooks)
{
	TAKEN("shield", "true", "false", "{}", "{\"for\":1,\"msg\":\"\"}", "{\"msg\":[1]}");
	REFUSED("shield", "1", "\"x\"", "null", "[]");
	refuses("\"shield\":{\"for\":0}", "shield.for");
	refuses("\"shield\":{\"for\":null}", "shield.for");
	refuses("\"shield\":{\"holder\":\"x\"}", "shield.holder");
	TAKEN("hooks", "{}", "{\"finally\":{\"shell\":\"a\"}}",
	    "{\"on_cancel\":[{\"argv\":[\"a\"],\"timeout\":\"5s\"},{\"shell\":\"b\"}]}");
	REFUSED("hooks", "[]", "\"x\"", "null");
	refuses("\"hooks\":{\"on_success\":{\"shell\":\"a\"}}", "hooks.on_success");
	refuses("\"hooks\":{\"finally\":null}", "hooks.finally");
	refuses("\"hooks\":{\"finally\":\"a\"}", "hooks.finally");
	refuses("\"hooks\":{\"finally\":[]}", "hooks.finally");
	refuses("\"hooks\":{\"finally\":{}}", "hooks.finally");
	refuses("\"hooks\":{\"finally\":{\"shell\":\"a\",\"argv\":[\"a\"]}}", "hooks.finally");
	refuses("\"hooks\":{\"finally\":{\"shell\":\"\"}}", "hooks.finally.shell");
	refuses("\"hooks\":{\"finally\":{\"shell\":\"a\",\"timeout\":0}}", "hooks.finally.timeout");
	refuses("\"hooks\":{\"finally\":[{\"shell\":\"a\"},{\"argv\":[\"a\",1]}]}",
	    "hooks.finally[1].argv[1]");
	refuses("\"hooks\":{\"finally\":{\"shell\":\"a\",\"env\":{}}}", "hooks.finally.env");
}
END_TEST

START_TEST(objects)
{
	TAKEN("point", "{\"x\":0}", "{\"x\":9,\"y\":100}");
	REFUSED("point", "[]", "1", "null");
	refuses("\"point\":{}", "point.x");
	refuses("\"point\":{\"y\":1}", "point.x");
	refuses("\"point\":{\"x\":10}", "point.x");
	refuses("\"point\":{\"x\":1,\"y\":-1}", "point.y");
	refuses("\"point\":{\"x\":1,\"z\":1}", "point.z");
	refuses("\"point\":{\"x\":null}", "point.x");
}
END_TEST

START_TEST(members_of_every_request)
{
	takes("");
	takes("\"rid\":\"a\",\"close\":true,\"token\":\"t\"");
	takes("\"rid\":-5,\"close\":false");
	takes("\"rid\":\"\"");
	REFUSED("rid", "1.5", "null", "[]", "true", "{}");
	REFUSED("close", "1", "\"yes\"", "null");
	REFUSED("token", "1", "null");
	refuses("\"what\":1", "what");
	refuses("\"what\":null", "what");
	refuses("\"\":1", "");
	refuses("\"queue\":\"later\"", "queue");
}
END_TEST

START_TEST(rid_of_128_bytes)
{
	char text[200] = "\"rid\":\"";
	size_t n = strlen(text);

	memset(text + n, 'r', PROTO_NAME_MAX);
	strcpy(text + n + PROTO_NAME_MAX, "\"");
	takes(text);
	strcpy(text + n + PROTO_NAME_MAX, "r\"");
	refuses(text, "rid");
}
END_TEST

/* However long a name is: the sentence is whole, and both are text. */
START_TEST(long_names)
{
	char name[700], *members;
	struct args_error e;

	for (size_t len = 100; len < 600; len += 101) {
		for (size_t i = 0; i < len; i += 2)
			memcpy(name + i, "\xc3\xa4", 3);
		members = xasprintf("\"x%s\":1", name);
		ck_assert(!check(members, &e));
		ck_assert_msg(utf8_valid(e.path, strlen(e.path)),
		    "a name of %zu bytes: the path is cut within a character", len + 1);
		ck_assert_msg(e.why[strlen(e.why) - 1] == '.',
		    "a name of %zu bytes: the sentence has no end", len + 1);
		free(members);
	}
}
END_TEST

START_TEST(accessors)
{
	json_t *args = parse("{\"cmd\":\"x\",\"in\":null,\"span\":\"2s\",\"signal\":\"HUP\"}");

	ck_assert(args_has(args, "in") && args_is_null(args, "in"));
	ck_assert(args_has(args, "span") && !args_is_null(args, "span"));
	ck_assert(!args_has(args, "at") && !args_is_null(args, "at"));
	ck_assert_int_eq(args_ns(args, "span", 7), 2 * NS_PER_SEC);
	ck_assert_int_eq(args_ns(args, "at", 7), 7);
	ck_assert_int_eq(args_ns(args, "in", 7), 7);
	ck_assert_int_eq(args_signo(args, "signal", 15), 1);
	ck_assert_int_eq(args_signo(args, "at", 15), 15);
	json_decref(args);
}
END_TEST

START_TEST(blame)
{
	struct args_error e;

	ck_assert(!args_blame(&e, "a.b", "Give %d of them.", 3));
	ck_assert_str_eq(e.path, "a.b");
	ck_assert_str_eq(e.why, "Give 3 of them.");
}
END_TEST

CHECK_MAIN("args", plain_types, values, messages, lists, many_items, environment_and_labels,
    selects, states_of_a_select, shields_and_hooks, objects, members_of_every_request,
    rid_of_128_bytes, long_names, accessors, blame)

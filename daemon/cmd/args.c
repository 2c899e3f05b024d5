/*
 * Checks of the members of requests.
 */
#include "args.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "rules.h"
#include "task.h"
#include "utf8.h"
#include "util.h"
#include "value.h"

#define ARGV_MAX   4096
#define ENV_MAX    1024
#define LABELS_MAX 64
#define LABEL_MAX  256
#define SHELL_MAX  (128 * 1024)

/* What was too long must not end inside a character. */
static void
cut_whole(char *s)
{
	size_t len = strlen(s);

	s[len - utf8_incomplete_tail(s, len)] = '\0';
}

bool
args_blame(struct args_error *e, const char *path, const char *fmt, ...)
{
	va_list ap;

	e->blamed = true;
	snprintf(e->path, sizeof(e->path), "%s", path);
	va_start(ap, fmt);
	vsnprintf(e->why, sizeof(e->why), fmt, ap);
	va_end(ap);
	cut_whole(e->path);
	cut_whole(e->why);
	return false;
}

static bool
must(struct args_error *e, const char *path, const char *what)
{
	return args_blame(e, path, "%s %s.", path, what);
}

/* "must be ..." of the value parsers, as a sentence about this member. */
static bool
good(int error, struct args_error *e, const char *path, const char *why)
{
	return error == 0 || must(e, path, why);
}

/* -- plain types -- */

bool
args_any(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	(void)f;
	(void)v;
	(void)path;
	(void)e;
	return true;
}

bool
args_bool(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	(void)f;
	return json_is_boolean(v) || must(e, path, "must be true or false");
}

bool
args_true(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	(void)f;
	return json_is_true(v) || must(e, path, "can only be true; leave it out otherwise");
}

bool
args_integer(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	int64_t n = json_integer_value(v);

	if (!json_is_integer(v))
		return must(e, path, "must be an integer");
	if (n >= f->min && n <= f->max)
		return true;
	if (f->max == INT64_MAX)
		return args_blame(e, path, "%s must be at least %lld.", path, (long long)f->min);
	return args_blame(
	    e, path, "%s must be from %lld to %lld.", path, (long long)f->min, (long long)f->max);
}

bool
args_number(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	(void)f;
	return json_is_number(v) || must(e, path, "must be a number");
}

bool
args_text(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	if (!json_is_string(v))
		return must(e, path, "must be a string");
	if ((int64_t)json_string_length(v) > f->max)
		return args_blame(
		    e, path, "%s must have at most %lld bytes.", path, (long long)f->max);
	return true;
}

bool
args_string(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	if (!args_text(f, v, path, e))
		return false;
	return json_string_length(v) > 0 || must(e, path, "must not be empty");
}

bool
args_choice(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	struct strbuf list = STRBUF_INIT;

	for (const char *const *c = f->choices; *c != NULL; c++) {
		if (json_is_string(v) && strcmp(json_string_value(v), *c) == 0) {
			strbuf_release(&list);
			return true;
		}
		strbuf_addf(&list, "%s\"%s\"",
		    c == f->choices ? ""
		    : c[1] == NULL  ? " or "
				    : ", ",
		    *c);
	}
	args_blame(e, path, "%s must be %s.", path, strbuf_str(&list));
	strbuf_release(&list);
	return false;
}

bool
args_duration(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	const char *why = "";
	int error;
	int64_t ns;

	error = value_duration(v, &ns, &why);
	if (!good(error, e, path, why))
		return false;
	if (ns > 0 || (ns == 0 && f->min == 0))
		return true;
	return must(e, path, f->min == 0 ? "must not be negative" : "must be more than 0");
}

bool
args_duration_number(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	const char *why = "";
	int error;
	int64_t ns;

	(void)f;
	error = value_duration(v, &ns, &why);
	return good(error, e, path, why);
}

bool
args_time(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	const char *why = "";
	int error;
	int64_t ms;

	(void)f;
	error = value_time(v, &ms, &why);
	return good(error, e, path, why);
}

bool
args_signal(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	const char *why = "";
	int error;
	int signo;

	(void)f;
	error = value_signal(v, &signo, &why);
	return good(error, e, path, why);
}

bool
args_umask(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	const char *why = "";
	int error;
	mode_t mask;

	(void)f;
	if (!json_is_string(v))
		return must(e, path, "must be a string of octal digits, such as \"0022\"");
	error = value_umask(json_string_value(v), &mask, &why);
	return good(error, e, path, why);
}

bool
args_path(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	if (!args_string(f, v, path, e))
		return false;
	return json_string_value(v)[0] == '/' ||
	       must(e, path, "must be an absolute path, beginning with /");
}

/* Any JSON value; its size is that of the string, or of its text. */
bool
args_msg(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	struct strbuf text = STRBUF_INIT;
	size_t len;

	(void)f;
	if (json_is_string(v)) {
		len = json_string_length(v);
	} else {
		json_dump_utf8(v, &text);
		len = text.len;
		strbuf_release(&text);
	}
	return len <= PROTO_MSG_MAX ||
	       args_blame(e, path, "%s must have at most %d bytes.", path, PROTO_MSG_MAX);
}

/* -- objects -- */

static const struct field *
field_of(const struct field *fields, const char *name)
{
	for (; fields->name != NULL; fields++)
		if (strcmp(fields->name, name) == 0)
			return fields;
	return NULL;
}

static void
join(char path[ARGS_PATH_MAX], const char *parent, const char *name)
{
	snprintf(path, ARGS_PATH_MAX, "%s%s%s", parent, parent[0] != '\0' ? "." : "", name);
}

static bool
check_member(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	if (!json_is_null(v))
		return f->check(f, v, path, e);
	return f->null_ok || must(e, path, "must not be null; leave it out instead");
}

static bool
check_members(
    const json_t *object, const struct field *fields, const char *parent, struct args_error *e)
{
	char path[ARGS_PATH_MAX];
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)object, key, v) {
		const struct field *f = field_of(fields, key);

		join(path, parent, key);
		if (f == NULL)
			return args_blame(e, path, "\"%s\" is not known here.", path);
		if (!check_member(f, v, path, e))
			return false;
	}
	for (const struct field *f = fields; f->name != NULL; f++) {
		if (!f->required || json_object_get(object, f->name) != NULL)
			continue;
		join(path, parent, f->name);
		return must(e, path, "is missing");
	}
	return true;
}

bool
args_object(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	if (!json_is_object(v))
		return must(e, path, "must be an object");
	return check_members(v, f->members, path, e);
}

/* Common to the lists: an array of 1 to max items. */
static bool
check_list(
    const struct field *item, const json_t *v, int64_t max, const char *path, struct args_error *e)
{
	char at[ARGS_PATH_MAX];

	if (!json_is_array(v))
		return must(e, path, "must be an array");
	if (json_array_size(v) == 0)
		return must(e, path, "must not be empty");
	if ((int64_t)json_array_size(v) > max)
		return args_blame(
		    e, path, "%s must have at most %lld items.", path, (long long)max);
	for (size_t i = 0; i < json_array_size(v); i++) {
		snprintf(at, sizeof(at), "%s[%zu]", path, i);
		if (!check_member(item, json_array_get(v, i), at, e))
			return false;
	}
	return true;
}

bool
args_argv(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	static const struct field item = {.check = args_text, .max = PROTO_LINE_MAX};
	char at[ARGS_PATH_MAX];

	(void)f;
	if (!check_list(&item, v, ARGV_MAX, path, e))
		return false;
	snprintf(at, sizeof(at), "%s[0]", path);
	return json_string_length(json_array_get(v, 0)) > 0 || must(e, at, "must not be empty");
}

bool
args_ids(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	static const struct field item = {.check = args_integer, .min = 1, .max = INT64_MAX};

	return check_list(&item, v, f->max, path, e);
}

/* An object whose values are strings. */
static bool
check_strings(
    const json_t *v, size_t max, const struct field *value, const char *path, struct args_error *e)
{
	char at[ARGS_PATH_MAX];
	const char *key;
	json_t *item;

	if (!json_is_object(v))
		return must(e, path, "must be an object of strings");
	if (json_object_size(v) > max)
		return args_blame(e, path, "%s must have at most %zu members.", path, max);
	json_object_foreach ((json_t *)(uintptr_t)v, key, item) {
		join(at, path, key);
		if (!check_member(value, item, at, e))
			return false;
	}
	return true;
}

bool
args_env(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	static const struct field value = {
	    .check = args_text, .null_ok = true, .max = PROTO_LINE_MAX};
	char at[ARGS_PATH_MAX];
	const char *key;
	json_t *item;

	(void)f;
	if (!check_strings(v, ENV_MAX, &value, path, e))
		return false;
	json_object_foreach ((json_t *)(uintptr_t)v, key, item) {
		join(at, path, key);
		if (!value_env_name_ok(key))
			return args_blame(e, at,
			    "%s: a variable's name has letters, digits and _, "
			    "and does not begin with a digit.",
			    at);
		if (value_env_name_reserved(key))
			return must(e, at, "is set by taskctld and cannot be given");
	}
	return true;
}

bool
args_labels(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	static const struct field value = {.check = args_text, .max = LABEL_MAX};
	char at[ARGS_PATH_MAX];
	const char *key;
	json_t *item;

	(void)f;
	if (!check_strings(v, LABELS_MAX, &value, path, e))
		return false;
	json_object_foreach ((json_t *)(uintptr_t)v, key, item) {
		join(at, path, key);
		if (key[0] == '\0' || strlen(key) > PROTO_NAME_MAX)
			return args_blame(
			    e, at, "A label's name must have 1 to %d bytes.", PROTO_NAME_MAX);
	}
	return true;
}

/* -- select -- */

static int
state_of(const char *name)
{
	for (int s = 0; s < TASK_NSTATES; s++)
		if (strcmp(rules_state_name((enum task_state)s), name) == 0)
			return s;
	return -1;
}

static bool
check_state(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	(void)f;
	if (json_is_string(v) && state_of(json_string_value(v)) >= 0)
		return true;
	return must(e, path,
	    "must be a state: pending, running, cancelling, killing, cleanup, done, "
	    "failed, cancelled, timed_out or lost");
}

static bool
check_states(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	static const struct field item = {.check = check_state};

	if (json_is_array(v))
		return check_list(&item, v, TASK_NSTATES, path, e);
	return check_state(f, v, path, e);
}

bool
args_select(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	static const struct field members[] = {
	    {.name = "state", .check = check_states},
	    {.name = "name", .check = args_string, .max = PROTO_NAME_MAX},
	    {.name = "label", .check = args_labels},
	    {.name = "all", .check = args_true},
	    FIELD_END,
	};

	(void)f;
	if (!json_is_object(v))
		return must(e, path, "must be an object");
	if (json_object_size(v) == 0)
		return must(e, path, "must not be empty; {\"all\":true} means every task");
	return check_members(v, members, path, e);
}

unsigned
args_states(const json_t *select)
{
	const json_t *v = json_object_get(select, "state");
	unsigned set = 0;

	for (int s = 0; v != NULL && s < TASK_NSTATES; s++) {
		const char *name = rules_state_name((enum task_state)s);

		if (json_is_string(v) && strcmp(json_string_value(v), name) == 0)
			set |= 1U << s;
		for (size_t i = 0; i < json_array_size(v); i++)
			if (strcmp(json_string_value(json_array_get(v, i)), name) == 0)
				set |= 1U << s;
	}
	return set;
}

/* -- shield, hooks -- */

bool
args_shield(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	static const struct field members[] = {
	    {.name = "for", .check = args_duration, .min = 1},
	    FIELD_MSG,
	    FIELD_END,
	};

	(void)f;
	if (json_is_boolean(v))
		return true;
	if (!json_is_object(v))
		return must(e, path, "must be true, false, or an object with \"for\" and \"msg\"");
	return check_members(v, members, path, e);
}

static bool
check_hook(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	static const struct field members[] = {
	    {.name = "argv", .check = args_argv},
	    {.name = "shell", .check = args_string, .max = SHELL_MAX},
	    {.name = "timeout", .check = args_duration, .min = 1},
	    FIELD_END,
	};

	(void)f;
	if (!json_is_object(v))
		return must(e, path, "must be an object with \"argv\" or \"shell\"");
	if (!check_members(v, members, path, e))
		return false;
	if ((json_object_get(v, "argv") != NULL) + (json_object_get(v, "shell") != NULL) != 1)
		return must(e, path, "must have one of \"argv\" and \"shell\"");
	return true;
}

static bool
check_hooks_of_kind(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	static const struct field item = {.check = check_hook};

	if (json_is_array(v))
		return check_list(&item, v, TASK_HOOKS_MAX, path, e);
	return check_hook(f, v, path, e);
}

bool
args_hooks(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
#define HOOK_FIELD(c, n) {.name = n, .check = check_hooks_of_kind},
	static const struct field members[] = {PROTO_HOOKS(HOOK_FIELD) FIELD_END};

	(void)f;
	if (!json_is_object(v))
		return must(e, path, "must be an object");
	return check_members(v, members, path, e);
}

/* -- requests -- */

bool
args_rid_ok(const json_t *rid)
{
	if (json_is_string(rid))
		return json_string_length(rid) <= PROTO_NAME_MAX;
	return json_is_integer(rid);
}

static bool
check_rid(const struct field *f, const json_t *v, const char *path, struct args_error *e)
{
	(void)f;
	return args_rid_ok(v) ||
	       args_blame(e, path, "rid must be an integer, or a string of at most %d bytes.",
		   PROTO_NAME_MAX);
}

bool
args_check(const json_t *request, const struct field *fields, struct args_error *e)
{
	static const struct field common[] = {
	    {.name = "cmd", .check = args_any, .required = true},
	    {.name = "rid", .check = check_rid},
	    {.name = "close", .check = args_bool},
	    {.name = "token", .check = args_text, .max = 4096},
	};
	struct field all[64];
	size_t n = 0;

	memcpy(all, common, sizeof(common));
	n = ARRAY_SIZE(common);
	for (; fields->name != NULL && n < ARRAY_SIZE(all) - 1; fields++) {
		if (strcmp(fields->name, "token") == 0)
			all[3] = *fields;
		else
			all[n++] = *fields;
	}
	all[n].name = NULL;
	return check_members(request, all, "", e);
}

/* -- accessors -- */

bool
args_has(const json_t *args, const char *name)
{
	return json_object_get(args, name) != NULL;
}

bool
args_is_null(const json_t *args, const char *name)
{
	return json_is_null(json_object_get(args, name));
}

int64_t
args_ns(const json_t *args, const char *name, int64_t otherwise)
{
	const json_t *v = json_object_get(args, name);
	int64_t ns = otherwise;

	if (v != NULL && !json_is_null(v))
		value_duration(v, &ns, NULL);
	return ns;
}

int
args_signo(const json_t *args, const char *name, int otherwise)
{
	const json_t *v = json_object_get(args, name);
	int signo = otherwise;

	if (v != NULL)
		value_signal(v, &signo, NULL);
	return signo;
}

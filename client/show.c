/* taskctl show: all that is known of a task, a member a line. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "clock.h"
#include "jv.h"
#include "outcome.h"
#include "text.h"

#define LABEL_WIDTH 10

typedef void show_fn(const struct jv *v, struct strbuf *out);

/* A string as it is, anything else as JSON. */
static void
as_json(const struct jv *v, struct strbuf *out)
{
	outcome_msg(v, out);
}

/* For people in local time, and as it came. */
static void
as_time(const struct jv *v, struct strbuf *out)
{
	char buf[TEXT_AGE_LEN];
	int64_t at;

	if (v->type != JV_STRING || clock_parse_wall(v->str, &at) < 0) {
		as_json(v, out);
		return;
	}
	text_clock(at, clock_wall_ms(), buf);
	strbuf_addf(out, "%s  (%s)", buf, v->str);
}

static void
as_seconds(const struct jv *v, struct strbuf *out)
{
	char buf[TEXT_AGE_LEN];

	if (v->type != JV_INT && v->type != JV_REAL) {
		as_json(v, out);
		return;
	}
	text_duration((int64_t)(v->d * 1000), buf);
	strbuf_adds(out, buf);
}

static void
as_percent(const struct jv *v, struct strbuf *out)
{
	strbuf_addf(out, "%.0f%%", v->d * 100);
}

/* Words of a command; one with a blank or a quote in it is shown quoted. */
static void
as_argv(const struct jv *v, struct strbuf *out)
{
	for (const struct jv *a = v->child; a != NULL; a = a->next) {
		bool quote =
		    a->str == NULL || *a->str == '\0' || strpbrk(a->str, " \t\n'\"") != NULL;

		strbuf_adds(out, a == v->child ? "" : " ");
		if (quote)
			strbuf_add(out, a->raw, a->raw_len);
		else
			strbuf_adds(out, a->str);
	}
}

/* key=value of an object, or of each object of an array. */
static void
as_members(const struct jv *v, struct strbuf *out)
{
	bool first = true;

	if (v->type != JV_OBJECT && v->type != JV_ARRAY) {
		as_json(v, out);
		return;
	}
	for (const struct jv *m = v->child; m != NULL; m = m->next) {
		if (m->type == JV_NULL)
			continue;
		strbuf_adds(out, first ? "" : v->type == JV_ARRAY ? "; " : " ");
		first = false;
		if (m->key != NULL)
			strbuf_addf(out, "%s=", m->key);
		if (m->type == JV_STRING || m->child == NULL)
			outcome_msg(m, out);
		else if (m->type == JV_ARRAY && m->key != NULL)
			strbuf_add(out, m->raw, m->raw_len);
		else
			as_members(m, out);
	}
}

/* What to show, in this order; what is not named here comes last, as it is. */
static const struct field {
	const char *member;
	show_fn *show;
} fields[] = {
    {"id", as_json},
    {"name", as_json},
    {"state", as_json},
    {"labels", as_members},
    {"argv", as_argv},
    {"shell", as_json},
    {"cwd", as_json},
    {"user", as_json},
    {"pid", as_json},
    {"created", as_time},
    {"started", as_time},
    {"ended", as_time},
    {"deadline", as_time},
    {"timeout", as_seconds},
    {"grace", as_seconds},
    {"shield", as_json},
    {"cancel", as_members},
    {"exit", as_members},
    {"progress", as_percent},
    {"status", as_json},
    {"result", as_json},
    {"error", as_members},
    {"hooks", as_members},
    {"output", as_members},
    {"usage", as_members},
    {"leftover", as_members},
    {"unkillable", as_members},
};

static const struct field *
field_find(const char *member)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (strcmp(fields[i].member, member) == 0)
			return &fields[i];
	}
	return NULL;
}

/* Empty objects and arrays say nothing, and what is false is not the case. */
static bool
is_blank(const struct jv *v)
{
	return v->type == JV_NULL || (v->type == JV_BOOL && v->n == 0) ||
	       ((v->type == JV_OBJECT || v->type == JV_ARRAY) && v->child == NULL);
}

static void
print_field(const struct call *call, const char *label, const struct jv *v, show_fn *show)
{
	struct strbuf plain = STRBUF_INIT, safe = STRBUF_INIT;

	if (v == NULL || is_blank(v))
		return;
	show(v, &plain);
	text_add(&safe, call->escape_out, strbuf_str(&plain), plain.len);
	printf("%-*s %s\n", LABEL_WIDTH, label, strbuf_str(&safe));
	strbuf_release(&plain);
	strbuf_release(&safe);
}

/* The same words as everywhere: until when, and why. */
static void
print_shield(const struct call *call, const struct jv *task)
{
	struct strbuf plain = STRBUF_INIT, safe = STRBUF_INIT;

	outcome_shield(task, &plain);
	if (plain.len > 0) {
		text_add(&safe, call->escape_out, plain.s, plain.len);
		printf("%-*s %s\n", LABEL_WIDTH, "shield", safe.s);
	}
	strbuf_release(&plain);
	strbuf_release(&safe);
}

/* Known members in our order, then whatever a later daemon has to say. */
static void
print_task(const struct call *call, const struct jv *task)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (strcmp(fields[i].member, "shield") == 0)
			print_shield(call, task);
		else
			print_field(
			    call, fields[i].member, jv_get(task, fields[i].member), fields[i].show);
	}
	for (const struct jv *m = task->child; m != NULL; m = m->next) {
		if (field_find(m->key) == NULL)
			print_field(call, m->key, m, as_members);
	}
}

static int
show_one(const struct call *call, struct link *l, const char *arg, bool more)
{
	struct jv_doc doc = {0};
	const struct jv *reply, *task;
	size_t len = 0;
	char *line = NULL;
	int rc = client_read(call, l, &line, &len);

	if (rc != EXIT_OK)
		return rc;
	reply = jv_parse(&doc, line, len);
	task = jv_get(reply, "task");
	if (task == NULL) {
		if (call->json)
			printf("%s\n", line);
		rc = outcome_say_error(call, arg, reply);
	} else if (call->json) {
		printf("%.*s\n", (int)task->raw_len, task->raw);
	} else {
		print_task(call, task);
		if (more)
			putchar('\n');
	}
	jv_release(&doc);
	return rc;
}

static int
show_each(const struct call *call, struct link *l)
{
	int rc = EXIT_OK;

	for (int i = 0; i < call->nargs; i++) {
		struct req r = {0};
		int code;

		req_str(&r, "cmd", "show");
		req_task(&r, call->args[i]);
		if (call->wire)
			code = client_wire(&r);
		else
			code = client_send(call, l, &r);
		req_release(&r);
		if (code == EXIT_OK && !call->wire)
			code = show_one(call, l, call->args[i], i + 1 < call->nargs);
		rc = outcome_merge(rc, code, i == 0);
	}
	return rc;
}

int
show_run(struct call *call)
{
	struct link l;
	int rc;

	if (call->nargs == 0)
		return client_usage(call, "Name a task by its id or name.");
	if (call->wire)
		return show_each(call, NULL);
	rc = client_connect(call, &l);
	if (rc == EXIT_OK)
		rc = show_each(call, &l);
	link_release(&l);
	return rc;
}

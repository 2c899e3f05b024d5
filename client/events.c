/* taskctl events and stats: what happened, and how the daemon is. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "clock.h"
#include "jv.h"
#include "outcome.h"
#include "text.h"

/* Members that have no column of their own, as they came. */
static void
add_detail(struct strbuf *b, const struct jv *m)
{
	static const char *const told[] = {"seq", "event", "id", "at", "rid"};

	for (size_t i = 0; i < ARRAY_SIZE(told); i++) {
		if (strcmp(told[i], m->key) == 0)
			return;
	}
	if (m->type == JV_NULL)
		return;
	strbuf_addf(b, " %s=%.*s", m->key, (int)m->raw_len, m->raw);
}

/* "4711  13:51:07  44  task.cancelling  msg="..." signal="SIGTERM"" */
static void
print_event(const struct call *call, const struct jv *ev)
{
	struct strbuf plain = STRBUF_INIT, safe = STRBUF_INIT;
	const char *name = jv_str(ev, "event");
	char at[TEXT_AGE_LEN] = "-", id[24] = "-";
	int64_t ms;

	if (outcome_time(ev, "at", &ms))
		text_clock(ms, clock_wall_ms(), at);
	if (jv_has(ev, "id"))
		snprintf(id, sizeof(id), "%lld", (long long)jv_int(ev, "id", 0));
	strbuf_addf(&plain, "%-6lld %s  %-5s %s ", (long long)jv_int(ev, "seq", 0), at, id,
	    name == NULL ? "?" : name);
	for (const struct jv *m = ev->child; m != NULL; m = m->next)
		add_detail(&plain, m);
	text_add(&safe, call->escape_out, plain.s, plain.len);
	printf("%s\n", safe.s);
	strbuf_release(&plain);
	strbuf_release(&safe);
}

/* Reads until `last` was seen, or for ever where it is negative. The first line is the reply. */
static int
read_events(const struct call *call, struct link *l)
{
	int64_t last = -1, since = -1;
	bool replied = false;
	int rc = EXIT_OK;

	(void)str_to_int64(call->since == NULL ? "0" : call->since, &since);
	while (rc == EXIT_OK && (!replied || call->follow || since < last)) {
		struct jv_doc doc = {0};
		const struct jv *v;
		size_t len = 0;
		char *line = NULL;

		/* What is here is shown before we wait for more. */
		if (link_next(l, &line, &len) == 0) {
			if (fflush(stdout) != 0)
				return EXIT_OK;
			rc = client_read(call, l, &line, &len);
			if (rc != EXIT_OK)
				return rc;
		}
		v = jv_parse(&doc, line, len);
		if (jv_has(v, "event")) {
			since = MAX(since, jv_int(v, "seq", jv_int(v, "to", since)));
			if (call->json)
				printf("%s\n", line);
			else
				print_event(call, v);
		} else if (!jv_bool(v, "ok")) {
			rc = outcome_say_error(call, NULL, v);
		} else {
			replied = true;
			last = jv_int(v, "seq", 0);
		}
		jv_release(&doc);
	}
	return rc;
}

int
events_run(struct call *call)
{
	struct req r = {0};
	struct link l;
	int rc;

	if (call->nargs > 0)
		return client_usage(call, "events takes no operands.");
	req_str(&r, "cmd", "events");
	if (call->since != NULL || !call->follow)
		req_raw(&r, "since", call->since == NULL ? "0" : call->since);
	if (call->wire) {
		rc = client_wire(&r);
		req_release(&r);
		return rc;
	}
	rc = client_connect(call, &l);
	if (rc == EXIT_OK)
		rc = client_send(call, &l, &r);
	if (rc == EXIT_OK)
		rc = read_events(call, &l);
	req_release(&r);
	link_release(&l);
	return rc;
}

/* "tasks.running  3": names of nested members are joined with points. */
static void
print_flat(const struct call *call, const char *prefix, const struct jv *v)
{
	for (const struct jv *m = v->child; m != NULL; m = m->next) {
		struct strbuf safe = STRBUF_INIT;
		char *name;

		if (*prefix == '\0' && (strcmp(m->key, "ok") == 0 || strcmp(m->key, "rid") == 0))
			continue;
		name = xasprintf("%s%s%s", prefix, *prefix == '\0' ? "" : ".", m->key);
		if (m->type == JV_OBJECT) {
			print_flat(call, name, m);
		} else {
			if (m->type == JV_STRING)
				text_add(&safe, call->escape_out, m->str, m->len);
			else
				strbuf_add(&safe, m->raw, m->raw_len);
			printf("%-28s %s\n", name, strbuf_str(&safe));
		}
		strbuf_release(&safe);
		free(name);
	}
}

int
stats_run(struct call *call)
{
	struct jv_doc doc = {0};
	const struct jv *reply;
	struct req r = {0};
	struct link l;
	char *line = NULL;
	size_t len = 0;
	int rc;

	if (call->nargs > 0)
		return client_usage(call, "stats takes no operands.");
	req_str(&r, "cmd", "stats");
	if (call->wire) {
		rc = client_wire(&r);
		req_release(&r);
		return rc;
	}
	rc = client_connect(call, &l);
	if (rc == EXIT_OK)
		rc = client_send(call, &l, &r);
	if (rc == EXIT_OK)
		rc = client_read(call, &l, &line, &len);
	req_release(&r);
	if (rc == EXIT_OK) {
		reply = jv_parse(&doc, line, len);
		if (call->json)
			printf("%s\n", line);
		if (!jv_bool(reply, "ok"))
			rc = outcome_say_error(call, NULL, reply);
		else if (!call->json)
			print_flat(call, "", reply);
		jv_release(&doc);
	}
	link_release(&l);
	return rc;
}

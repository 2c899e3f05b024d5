/* taskctl wait: one request for each task, or one for several of which any may end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "again.h"
#include "client.h"
#include "clock.h"
#include "jv.h"
#include "outcome.h"
#include "rows.h"
#include "select.h"
#include "text.h"
#include "value.h"

/* With more tasks than the daemon answers at once, the rest is asked for one after the other. */
#define IN_FLIGHT 100

static void
wait_request(const struct call *call, const char *task, struct req *r)
{
	req_str(r, "cmd", "wait");
	if (task != NULL)
		req_task(r, task);
	req_merge(r, &call->members);
}

/* "nightly (41): done after 3m2s", or that the wait's time ran out. */
static int
tell_answer(const struct call *call, const char *arg, const struct jv *answer)
{
	struct strbuf text = STRBUF_INIT, safe = STRBUF_INIT;
	const struct jv *task = jv_get(answer, "task");
	int code = outcome_code(answer);

	if (jv_get(answer, "result") == NULL || jv_has(answer, "error")) {
		if (!call->json)
			(void)outcome_say_error(call, arg, answer);
		return EXIT_TROUBLE;
	}
	outcome_label(task, arg, &text);
	strbuf_adds(&text, ": ");
	if (code == EXIT_WAIT_OVER)
		strbuf_adds(&text, "the wait's time ran out; ");
	outcome_sentence(task, &text);
	text_add(&safe, call->escape_out, text.s, text.len);
	if (!call->json)
		printf("%s\n", safe.s);
	strbuf_release(&text);
	strbuf_release(&safe);
	return code;
}

/* The reply about several tasks in one request. With --any those count that have ended. */
static int
tell_results(const struct call *call, const struct jv *reply)
{
	const struct jv *results = jv_get(reply, "results");
	int rc = EXIT_OK, ended = 0;

	if (!jv_bool(reply, "ok")) {
		(void)outcome_say_error(call, call->nargs == 1 ? call->args[0] : NULL, reply);
		return EXIT_TROUBLE;
	}
	if (results == NULL)
		return tell_answer(call, call->args[0], reply);
	for (const struct jv *v = results->child; v != NULL; v = v->next) {
		const struct jv *task = jv_get(v, "task");
		char id[24];

		if (call->any && !outcome_ended(jv_str(task, "state")))
			continue;
		snprintf(id, sizeof(id), "%lld", (long long)jv_int(v, "id", 0));
		if (tell_answer(call, id, v) != EXIT_OK)
			rc = EXIT_SOME_FAILED;
		ended++;
	}
	return call->any && ended == 0 ? EXIT_WAIT_OVER : rc;
}

/* Without words: a connection that is lost is made again. 1, 0 if it was lost, -1 for trouble. */
static int
read_answer(const struct call *call, struct link *l, char **line, size_t *len)
{
	int rc;

	fflush(stdout);
	rc = link_read(l, line, len);
	if (rc > 0 && call->json)
		printf("%s\n", *line);
	return rc < 0 && rc != -ECONNRESET ? -1 : rc > 0;
}

/* The daemon is back or not; what is left of the wait's own time goes into the next request. */
static int
ask_again(struct call *call, struct link *l, int64_t until)
{
	char left[32];

	if (again_connect(call, l, -1) < 0) {
		client_say(call, "The daemon has gone. The tasks are not lost by that: wait again "
				 "when it is back.");
		return EXIT_TROUBLE;
	}
	if (until != CLOCK_NONE) {
		int64_t ms = MAX((until - clock_boot_ns()) / NS_PER_MS, INT64_C(0));

		snprintf(left, sizeof(left), "%lld.%03d", (long long)(ms / 1000), (int)(ms % 1000));
		req_raw(&call->members, "timeout", left);
	}
	return EXIT_OK;
}

/* When the wait's own time is over, on the boot clock. */
static int64_t
own_end(const struct call *call)
{
	int64_t ns = 0;

	for (int i = 0; i < call->members.n; i++) {
		char *text = call->members.v[i].text;
		size_t quoted = *text == '"';

		if (strcmp(call->members.v[i].key, "timeout") != 0)
			continue;
		text = xstrndup(text + quoted, strlen(text) - 2 * quoted);
		(void)value_duration_str(text, true, &ns, NULL);
		free(text);
		return clock_add(clock_boot_ns(), ns);
	}
	return CLOCK_NONE;
}

/* The id of a task that was named: --any needs them all in one request. */
static int
resolve(const struct call *call, struct link *l, const char *arg, int64_t *id)
{
	struct jv_doc doc = {0};
	const struct jv *reply;
	struct req r = {0};
	size_t len = 0;
	char *line = NULL;
	int rc;

	if (req_is_id(arg, id))
		return EXIT_OK;
	req_str(&r, "cmd", "show");
	req_task(&r, arg);
	rc = client_send(call, l, &r);
	req_release(&r);
	if (rc == EXIT_OK)
		rc = client_read(call, l, &line, &len);
	if (rc != EXIT_OK)
		return rc;
	reply = jv_parse(&doc, line, len);
	*id = jv_int(jv_get(reply, "task"), "id", 0);
	if (*id == 0) {
		(void)outcome_say_error(call, arg, reply);
		rc = EXIT_TROUBLE;
	}
	jv_release(&doc);
	return rc;
}

/* {"cmd":"wait","ids":[41,43],"for":"any"}; without a link names cannot be looked up. */
static int
any_request(const struct call *call, struct link *l, struct req *r)
{
	struct strbuf ids = STRBUF_INIT;
	int rc = EXIT_OK;

	for (int i = 0; i < call->nargs && rc == EXIT_OK; i++) {
		int64_t id = 0;

		if (l != NULL)
			rc = resolve(call, l, call->args[i], &id);
		else if (!req_is_id(call->args[i], &id))
			rc = client_usage(call, "--wire with --any needs ids, and '%s' is a name.",
			    call->args[i]);
		strbuf_addf(&ids, "%s%lld", i == 0 ? "[" : ",", (long long)id);
	}
	strbuf_addch(&ids, ']');
	req_str(r, "cmd", "wait");
	req_raw(r, "ids", ids.s);
	req_str(r, "for", "any");
	req_merge(r, &call->members);
	strbuf_release(&ids);
	return rc;
}

/* What one request can ask: one task, a selector, or --any of several. */
static int
single_request(const struct call *call, struct link *l, struct req *r)
{
	if (select_given(call)) {
		req_str(r, "cmd", "wait");
		select_set(call, r);
		if (call->any)
			req_str(r, "for", "any");
		req_merge(r, &call->members);
		return EXIT_OK;
	}
	if (call->any && call->nargs > 1)
		return any_request(call, l, r);
	wait_request(call, call->args[0], r);
	return EXIT_OK;
}

/* All other waits are one request a task, so that names work and each is told as it ends. */
static bool
is_single(const struct call *call)
{
	return select_given(call) || call->any || call->nargs == 1;
}

static int
print_wire(const struct call *call)
{
	struct req r = {0};
	int rc = EXIT_OK;

	if (is_single(call)) {
		rc = single_request(call, NULL, &r);
		if (rc == EXIT_OK)
			client_wire(&r);
		req_release(&r);
		return rc;
	}
	for (int i = 0; i < call->nargs; i++) {
		wait_request(call, call->args[i], &r);
		req_int(&r, "rid", i);
		client_wire(&r);
		req_release(&r);
	}
	return rc;
}

static int
wait_once(struct call *call, struct link *l, int64_t until)
{
	int rc, got = 0;

	do {
		struct jv_doc doc = {0};
		struct req r = {0};
		size_t len = 0;
		char *line = NULL;

		rc = single_request(call, l, &r);
		if (rc == EXIT_OK)
			rc = client_send(call, l, &r);
		req_release(&r);
		if (rc != EXIT_OK)
			return rc;
		got = read_answer(call, l, &line, &len);
		if (got > 0)
			rc = tell_results(call, jv_parse(&doc, line, len));
		else if (got == 0)
			rc = ask_again(call, l, until);
		jv_release(&doc);
	} while (got == 0 && rc == EXIT_OK);
	return got < 0 ? EXIT_TROUBLE : rc;
}

/* A wait for each task, some at a time. `told` are those that were answered. */
struct many {
	struct call *call;
	struct link *link;
	bool *told;
	int ntold, sent, in_flight, rc;
};

/* Fills the window with those that were not answered yet. */
static int
send_more(struct many *m)
{
	for (; m->sent < m->call->nargs && m->in_flight < IN_FLIGHT; m->sent++) {
		struct req r = {0};
		int rc;

		if (m->told[m->sent])
			continue;
		wait_request(m->call, m->call->args[m->sent], &r);
		req_int(&r, "rid", m->sent);
		rc = client_send(m->call, m->link, &r);
		req_release(&r);
		if (rc != EXIT_OK)
			return rc;
		m->in_flight++;
	}
	return EXIT_OK;
}

/* The rid is the operand's index. */
static void
take_answer(struct many *m, const char *line, size_t len)
{
	struct jv_doc doc = {0};
	const struct jv *v = jv_parse(&doc, line, len);
	int64_t i = jv_int(v, "rid", -1);
	bool known = i >= 0 && i < m->call->nargs && !m->told[i];

	if (tell_answer(m->call, known ? m->call->args[i] : NULL, v) != EXIT_OK)
		m->rc = EXIT_SOME_FAILED;
	if (known)
		m->told[i] = true;
	m->ntold++;
	m->in_flight--;
	jv_release(&doc);
}

static int
wait_each(struct many *m, int64_t until)
{
	while (m->ntold < m->call->nargs) {
		size_t len = 0;
		char *line = NULL;
		int got, rc = send_more(m);

		if (rc != EXIT_OK)
			return rc;
		got = read_answer(m->call, m->link, &line, &len);
		if (got < 0)
			return EXIT_TROUBLE;
		if (got > 0) {
			take_answer(m, line, len);
			continue;
		}
		rc = ask_again(m->call, m->link, until);
		if (rc != EXIT_OK)
			return rc;
		m->sent = m->in_flight = 0;
	}
	return m->rc;
}

int
wait_run(struct call *call)
{
	struct link l;
	int64_t until = own_end(call);
	int rc = select_check(call);

	if (rc != EXIT_OK)
		return rc;
	if (call->wire)
		return print_wire(call);
	rc = client_connect(call, &l);
	if (rc == EXIT_OK && call->dry_run) {
		rc = rows_dry_run(call, &l);
	} else if (rc == EXIT_OK && is_single(call)) {
		rc = wait_once(call, &l, until);
	} else if (rc == EXIT_OK) {
		struct many m = {.call = call, .link = &l};

		m.told = xcalloc((size_t)call->nargs, sizeof(*m.told));
		rc = wait_each(&m, until);
		free(m.told);
	}
	link_release(&l);
	return rc;
}

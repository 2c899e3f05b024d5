/* One request a task, in windows; see act.h. */
#include <stdlib.h>
#include <string.h>

#include "act.h"
#include "client.h"
#include "jv.h"
#include "outcome.h"
#include "select.h"
#include "text.h"

/* In text mode a `show` follows each request, for the name of the task and for its shield. */
static bool
wants_show(const struct call *call)
{
	return !call->json && !call->wait;
}

void
act_request(const struct call *call, const char *task, struct req *r)
{
	req_str(r, "cmd", call->verb->cmd);
	req_task(r, task);
	req_merge(r, &call->members);
}

/* The `show` that follows a request; its reply comes right behind the other. */
static int
send_show(const struct call *call, struct link *l, const char *task)
{
	struct req r = {0};
	int rc;

	req_str(&r, "cmd", "show");
	req_task(&r, task);
	rc = client_send(call, l, &r);
	req_release(&r);
	return rc;
}

/* Everything that is sent for one task, in one window slot. */
static int
send_one(const struct call *call, struct link *l, const char *task)
{
	struct req r = {0};
	int rc;

	act_request(call, task, &r);
	rc = client_send(call, l, &r);
	req_release(&r);
	if (rc == EXIT_OK && wants_show(call))
		rc = send_show(call, l, task);
	return rc;
}

int
act_report(const struct call *call, const char *arg, const struct jv *reply, const struct jv *task,
    act_tell *tell)
{
	struct strbuf text = STRBUF_INIT, shown = STRBUF_INIT;
	int code;

	if (!jv_bool(reply, "ok") && (jv_has(reply, "error") || !jv_has(reply, "id")))
		return outcome_say_error(call, arg, reply);
	if (jv_has(reply, "task"))
		task = jv_get(reply, "task");
	outcome_label(task, arg, &text);
	strbuf_adds(&text, ": ");
	code = tell(reply, task, &text);
	text_add(&shown, call->escape_out, text.s, text.len);
	if (!call->json)
		printf("%s\n", shown.s);
	strbuf_release(&text);
	strbuf_release(&shown);
	return code;
}

/* Takes the reply to one request (and to the `show` behind it) and tells it. -1: there is none. */
static int
receive_one(const struct call *call, struct link *l, const char *task, act_tell *tell)
{
	struct jv_doc doc = {0}, show_doc = {0};
	const struct jv *reply, *shown = NULL;
	size_t len = 0, show_len = 0;
	char *line = NULL, *copy = NULL, *show_line = NULL;
	int rc = client_read(call, l, &line, &len);

	if (rc != EXIT_OK)
		return -1;
	if (call->json)
		printf("%s\n", line);
	copy = xstrndup(line, len);
	reply = jv_parse(&doc, copy, len);
	if (wants_show(call)) {
		rc = client_read(call, l, &show_line, &show_len);
		if (rc == EXIT_OK)
			shown = jv_parse(&show_doc, show_line, show_len);
	}
	rc = act_report(call, task, reply, jv_get(shown, "task"), tell);
	jv_release(&show_doc);
	jv_release(&doc);
	free(copy);
	return rc;
}

static int each(
    const struct call *call, struct link *l, char **tasks, int n, act_tell *tell, int *codes);

/* The answer of a wait that follows a cancel: the exit code is the cancel's. */
static int
tell_waited(const struct jv *reply, const struct jv *task, struct strbuf *out)
{
	(void)reply;
	outcome_sentence(task, out);
	return jv_bool(jv_get(task, "cancel"), "absorbed") ? EXIT_REFUSED : EXIT_OK;
}

/* The second half of a cancel with --wait: how did it end? */
static int
wait_for(const struct call *call, struct link *l, const char *task)
{
	struct req r = {0};
	int rc;

	req_str(&r, "cmd", "wait");
	req_task(&r, task);
	rc = client_send(call, l, &r);
	req_release(&r);
	return rc == EXIT_OK ? receive_one(call, l, task, tell_waited) : -1;
}

/*
 * With several tasks and --wait, first all are cancelled and then each is waited for: a request
 * that waits for its answer must not keep the next task from being told.
 */
static int
cancel_then_wait(const struct call *call, struct link *l, char **tasks, int n, act_tell *tell)
{
	struct call first = *call;
	int *codes = xcalloc((size_t)n, sizeof(*codes)), rc;

	memset(&first.members, 0, sizeof(first.members));
	for (int i = 0; i < call->members.n; i++) {
		if (strcmp(call->members.v[i].key, "wait") != 0)
			req_raw(&first.members, call->members.v[i].key, call->members.v[i].text);
	}
	first.wait = false;
	rc = each(&first, l, tasks, n, tell, codes);
	req_release(&first.members);
	for (int i = 0; i < n && rc >= 0; i++) {
		if (codes[i] == EXIT_OK || codes[i] == EXIT_DEFERRED)
			codes[i] = wait_for(call, l, tasks[i]);
		rc = codes[i] < 0 ? -1 : outcome_merge(rc, codes[i], i == 0);
	}
	free(codes);
	return rc;
}

static int
each(const struct call *call, struct link *l, char **tasks, int n, act_tell *tell, int *codes)
{
	int sent = 0, rc = EXIT_OK;

	for (int i = 0; i < n; i++) {
		int code;

		for (; sent < n && sent - i < LINK_WINDOW; sent++) {
			if (send_one(call, l, tasks[sent]) != EXIT_OK)
				return -1;
		}
		code = receive_one(call, l, tasks[i], tell);
		if (code < 0)
			return -1;
		rc = outcome_merge(rc, code, i == 0);
		if (codes != NULL)
			codes[i] = code;
	}
	return rc;
}

int
act_each(const struct call *call, struct link *l, char **tasks, int n, act_tell *tell)
{
	int rc = call->wait && n > 1 ? cancel_then_wait(call, l, tasks, n, tell)
				     : each(call, l, tasks, n, tell, NULL);

	return rc < 0 ? EXIT_TROUBLE : rc;
}

/* The answer about one of the selected: an object with its id, or the id alone. */
static int
tell_selected(const struct call *call, const struct jv *v, act_tell *tell)
{
	char *wrapped, id[24];
	struct jv_doc doc = {0};
	int code;

	snprintf(
	    id, sizeof(id), "%lld", (long long)(v->type == JV_INT ? v->n : jv_int(v, "id", 0)));
	if (v->type != JV_INT)
		return act_report(call, id, v, NULL, tell);
	wrapped = xasprintf("{\"ok\":true,\"id\":%s}", id);
	code = act_report(call, id, jv_parse(&doc, wrapped, strlen(wrapped)), NULL, tell);
	jv_release(&doc);
	free(wrapped);
	return code;
}

/* cancel and kill answer with `results`, remove with the `ids` that went. */
static int
tell_all_selected(const struct call *call, const struct jv *reply, act_tell *tell)
{
	const struct jv *results = jv_get(reply, "results");
	int rc = EXIT_OK;

	if (!jv_bool(reply, "ok"))
		return outcome_say_error(call, NULL, reply);
	if (results == NULL)
		results = jv_get(reply, "ids");
	if (results == NULL || results->len == 0) {
		client_say(call, "No task is selected; 'taskctl ps -a' lists what there is.");
		return EXIT_OK;
	}
	for (const struct jv *v = results->child; v != NULL; v = v->next)
		rc = outcome_merge(rc, tell_selected(call, v, tell), v == results->child);
	return rc;
}

int
act_select(const struct call *call, struct link *l, act_tell *tell)
{
	struct jv_doc doc = {0};
	struct req r = {0};
	size_t len = 0;
	char *line = NULL;
	int rc;

	req_str(&r, "cmd", call->verb->cmd);
	select_set(call, &r);
	req_merge(&r, &call->members);
	rc = client_send(call, l, &r);
	req_release(&r);
	if (rc == EXIT_OK)
		rc = client_read(call, l, &line, &len);
	if (rc != EXIT_OK)
		return rc;
	if (call->json)
		printf("%s\n", line);
	rc = tell_all_selected(call, jv_parse(&doc, line, len), tell);
	jv_release(&doc);
	return rc;
}

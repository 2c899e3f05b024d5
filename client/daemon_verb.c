/* taskctl daemon: is it there, end it, or let its tasks run on without it. */
#include <string.h>

#include "client.h"
#include "jv.h"
#include "outcome.h"
#include "text.h"

static void
tell_hello(const struct call *call, const struct jv *reply)
{
	const char *server = jv_str(reply, "server"), *version = jv_str(reply, "version");
	const struct jv *uptime = jv_get(reply, "uptime"), *caller = jv_get(reply, "caller");
	struct strbuf b = STRBUF_INIT, safe = STRBUF_INIT;
	char up[TEXT_AGE_LEN] = "?";

	if (uptime != NULL && (uptime->type == JV_INT || uptime->type == JV_REAL))
		text_age((int64_t)(uptime->d * 1000), up);
	strbuf_addf(&b, "%s %s, protocol %lld, up %s", server == NULL ? "a daemon" : server,
	    version == NULL ? "" : version, (long long)jv_int(reply, "protocol", 0), up);
	if (caller == NULL || caller->type == JV_NULL)
		strbuf_adds(&b, "; it does not know you: become the user whose daemon it is");
	text_add(&safe, call->escape_out, b.s, b.len);
	printf("%s\n", safe.s);
	strbuf_release(&b);
	strbuf_release(&safe);
}

static int
ask(struct call *call, struct req *r, bool hello)
{
	struct jv_doc doc = {0};
	const struct jv *reply;
	struct link l;
	char *line = NULL;
	size_t len = 0;
	int rc;

	if (call->wire)
		return client_wire(r);
	rc = client_connect(call, &l);
	if (rc == EXIT_OK)
		rc = client_send(call, &l, r);
	if (rc == EXIT_OK)
		rc = client_read(call, &l, &line, &len);
	if (rc == EXIT_OK) {
		reply = jv_parse(&doc, line, len);
		if (call->json)
			printf("%s\n", line);
		if (!jv_bool(reply, "ok"))
			rc = outcome_say_error(call, NULL, reply);
		else if (hello && !call->json)
			tell_hello(call, reply);
		jv_release(&doc);
	}
	link_release(&l);
	return rc;
}

int
daemon_run(struct call *call)
{
	static const struct {
		const char *word, *cmd, *mode;
	} words[] = {
	    {"ping", "hello", NULL},
	    {"shutdown", "shutdown", "cancel"},
	    {"detach", "shutdown", "detach"},
	};
	struct req r = {0};
	int rc;

	for (size_t i = 0; call->nargs == 1 && i < ARRAY_SIZE(words); i++) {
		if (strcmp(call->args[0], words[i].word) != 0)
			continue;
		req_str(&r, "cmd", words[i].cmd);
		if (words[i].mode != NULL) {
			req_merge(&r, &call->members);
			req_str(&r, "mode", words[i].mode);
		}
		rc = ask(call, &r, words[i].mode == NULL);
		req_release(&r);
		return rc;
	}
	return client_usage(call, "Write 'taskctl daemon ping', 'shutdown' or 'detach'.");
}

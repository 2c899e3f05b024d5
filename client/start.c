/* taskctl start, and the request that run sends, too. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "dial.h"
#include "jv.h"
#include "outcome.h"
#include "proto.h"
#include "start.h"

static bool
has(const struct req *r, const char *key)
{
	for (int i = 0; i < r->n; i++) {
		if (strcmp(r->v[i].key, key) == 0)
			return true;
	}
	return false;
}

/* argv goes out word by word: no shell and no quoting is between. */
static int
set_command(struct call *call, struct req *r)
{
	struct strbuf b = STRBUF_INIT;
	bool ok = true;

	if (call->shell_line != NULL && call->nargs > 0)
		return client_usage(
		    call, "--sh takes the whole line; there can be no CMD beside it.");
	if (call->shell_line != NULL) {
		ok = *call->shell_line != '\0' && req_str(r, "shell", call->shell_line);
	} else if (call->nargs == 0 || *call->args[0] == '\0') {
		return client_usage(call, "Say what to run: -- CMD ARG..., or --sh 'LINE'.");
	} else {
		strbuf_addch(&b, '[');
		for (int i = 0; ok && i < call->nargs; i++) {
			if (i > 0)
				strbuf_addch(&b, ',');
			ok = req_quote(call->args[i], &b);
		}
		strbuf_addch(&b, ']');
		if (ok)
			req_raw(r, "argv", b.s);
		strbuf_release(&b);
	}
	if (ok)
		return EXIT_OK;
	return client_usage(
	    call, "The command is empty or not UTF-8, which the protocol cannot carry.");
}

/* One hook is an object, several are an array. */
static void
set_hooks(struct call *call, struct req *r)
{
	static const char *const names[CALL_HOOKS] = {
	    "on_cancel", "on_timeout", "on_failure", "finally"};
	struct req hooks = {0};

	for (int i = 0; i < CALL_HOOKS; i++) {
		char *text;

		if (call->nhooks[i] == 0)
			continue;
		text = xasprintf(call->nhooks[i] == 1 ? "%s" : "[%s]", call->hooks[i].s);
		req_raw(&hooks, names[i], text);
		free(text);
	}
	if (hooks.n > 0)
		req_obj(r, "hooks", &hooks);
	req_release(&hooks);
}

/* All of the input, bounded by what a request can hold. */
static int
read_stdin(struct call *call, struct strbuf *b)
{
	int fd = strcmp(call->stdin_file, "-") == 0 ? STDIN_FILENO
						    : open(call->stdin_file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : 1;

	while (n > 0 && b->len <= PROTO_LINE_MAX) {
		strbuf_reserve(b, 65536);
		n = read(fd, b->s + b->len, 65535);
		b->len += n > 0 ? (size_t)n : 0;
		b->s[b->len] = '\0';
	}
	if (n < 0)
		client_say(
		    call, "--stdin %s cannot be read: %s.", call->stdin_file, strerror(errno));
	if (fd > STDIN_FILENO)
		close(fd);
	return n < 0 ? EXIT_TROUBLE : EXIT_OK;
}

/* The protocol carries input as a string in the request. */
static int
set_stdin(struct call *call, struct req *r)
{
	struct strbuf b = STRBUF_INIT;
	int rc;

	if (call->stdin_file == NULL)
		return EXIT_OK;
	rc = read_stdin(call, &b);
	if (rc == EXIT_OK && (b.len > PROTO_LINE_MAX || strlen(strbuf_str(&b)) != b.len ||
				 !req_str(r, "stdin", strbuf_str(&b)))) {
		client_say(call,
		    "--stdin %s is more than %d KiB or not UTF-8 text, and the protocol carries "
		    "only "
		    "that. Let the command read a file instead.",
		    call->stdin_file, PROTO_LINE_MAX / 1024);
		rc = EXIT_TROUBLE;
	}
	strbuf_release(&b);
	return rc;
}

/* A daemon on this machine gets our directory, so that "./flaky.sh" is what it seems to be. */
static void
set_cwd(struct call *call, struct req *r)
{
	char cwd[PATH_MAX];

	if (!has(&call->members, "cwd") && dial_is_local(call->host) &&
	    getcwd(cwd, sizeof(cwd)) != NULL && *cwd == '/')
		req_str(r, "cwd", cwd);
}

int
start_request(struct call *call, struct req *r)
{
	int rc;

	req_str(r, "cmd", "start");
	rc = set_command(call, r);
	if (rc != EXIT_OK)
		return rc;
	req_merge(r, &call->members);
	if (call->labels.n > 0)
		req_obj(r, "labels", &call->labels);
	if (call->env.n > 0)
		req_obj(r, "env", &call->env);
	set_hooks(call, r);
	set_cwd(call, r);
	return set_stdin(call, r);
}

/*
 * With --attached the task lives as long as this connection: start prints the id, and stays until
 * the task has ended.
 */
static int
tell_started(struct call *call, struct link *l)
{
	struct jv_doc doc = {0};
	const struct jv *reply;
	size_t len = 0;
	char *line = NULL;
	int rc = client_read(call, l, &line, &len);

	if (rc != EXIT_OK)
		return rc;
	reply = jv_parse(&doc, line, len);
	if (call->json)
		printf("%s\n", line);
	if (!jv_bool(reply, "ok"))
		rc = outcome_say_error(call, NULL, reply);
	else if (!call->json)
		printf("%lld\n", (long long)jv_int(reply, "id", 0));
	if (rc == EXIT_OK && has(&call->members, "lifetime")) {
		struct req r = {0};

		fflush(stdout);
		req_str(&r, "cmd", "wait");
		req_int(&r, "id", jv_int(reply, "id", 0));
		rc = client_send(call, l, &r);
		req_release(&r);
		if (rc == EXIT_OK)
			rc = client_read(call, l, &line, &len);
	}
	jv_release(&doc);
	return rc;
}

int
start_run(struct call *call)
{
	struct req r = {0};
	struct link l;
	int rc = start_request(call, &r);

	if (rc == EXIT_OK && call->wire) {
		client_wire(&r);
	} else if (rc == EXIT_OK) {
		rc = client_connect(call, &l);
		if (rc == EXIT_OK)
			rc = client_send(call, &l, &r);
		if (rc == EXIT_OK)
			rc = tell_started(call, &l);
		link_release(&l);
	}
	req_release(&r);
	return rc;
}

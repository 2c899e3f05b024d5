/* One call of taskctl from argv to exit code; see client.h. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "dial.h"
#include "proto.h"
#include "text.h"

/* Before the verb is known: ps, so that options alone work. */
static const struct opt *const before_verb[] = {opt_global, NULL};

void
call_init(struct call *call)
{
	memset(call, 0, sizeof(*call));
	call->verb = verb_find("ps");
}

void
call_release(struct call *call)
{
	req_release(&call->members);
	req_release(&call->select);
	req_release(&call->labels);
	req_release(&call->env);
	strbuf_release(&call->states);
	for (size_t i = 0; i < CALL_HOOKS; i++)
		strbuf_release(&call->hooks[i]);
}

/* Words for people go out after the data that was printed before them. */
static void __attribute__((format(printf, 2, 0)))
say(const struct call *call, const char *fmt, va_list ap)
{
	char *text = xvasprintf(fmt, ap);
	struct strbuf b = STRBUF_INIT;

	strbuf_adds(&b, "taskctl: ");
	text_add(&b, call->escape_err, text, strlen(text));
	strbuf_addch(&b, '\n');
	fflush(stdout);
	fwrite(b.s, 1, b.len, stderr);
	strbuf_release(&b);
	free(text);
}

void
client_say(const struct call *call, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(call, fmt, ap);
	va_end(ap);
}

int
client_usage(const struct call *call, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(call, fmt, ap);
	va_end(ap);
	client_say(call, "'taskctl help %s' says how it is used.", call->verb->name);
	return call->verb->flags & VERB_AS_TASK ? EXIT_TROUBLE : EXIT_USAGE;
}

int
client_wire(const struct req *r)
{
	struct strbuf b = STRBUF_INIT;

	req_print(r, &b);
	strbuf_addch(&b, '\n');
	fwrite(b.s, 1, b.len, stdout);
	strbuf_release(&b);
	return EXIT_OK;
}

int
client_connect(const struct call *call, struct link *l)
{
	struct strbuf why = STRBUF_INIT;
	int fd = dial_open(call->host, &why);

	link_init(l, fd);
	if (fd < 0)
		client_say(call, "%s", strbuf_str(&why));
	strbuf_release(&why);
	return fd < 0 ? EXIT_TROUBLE : EXIT_OK;
}

int
client_send(const struct call *call, struct link *l, const struct req *r)
{
	struct strbuf b = STRBUF_INIT;
	int rc = 0;

	req_print(r, &b);
	if (b.len > PROTO_LINE_MAX) {
		client_say(call,
		    "The request would be %zu bytes long, and the daemon takes %d. Shorten it: a "
		    "large input is better passed as a file.",
		    b.len, PROTO_LINE_MAX);
		strbuf_release(&b);
		return EXIT_TROUBLE;
	}
	strbuf_addch(&b, '\n');
	rc = link_send(l, b.s, b.len);
	strbuf_release(&b);
	/* A daemon that has closed may have said why: the reading side tells. */
	if (rc == 0 || rc == -EPIPE || rc == -ECONNRESET)
		return EXIT_OK;
	client_say(call, "The request could not be sent: %s.", strerror(-rc));
	return EXIT_TROUBLE;
}

int
client_read(const struct call *call, struct link *l, char **line, size_t *len)
{
	int rc = link_read(l, line, len);

	if (rc > 0)
		return EXIT_OK;
	if (rc == 0)
		client_say(call,
		    "The daemon closed the connection before it answered. Its log says why; "
		    "'taskctl daemon ping' says whether it is there.");
	else
		client_say(call, "The answer could not be read: %s.", strerror(-rc));
	return EXIT_TROUBLE;
}

/* The verb is the first word that is not an option; without one it is ps. */
static int
parse_verb(struct call *call, int *argc, char ***argv)
{
	const struct verb *v;
	int at = 0, left, rc;

	while (at < *argc && (*argv)[at][0] == '-')
		at += strcmp((*argv)[at], "-H") == 0 || strcmp((*argv)[at], "--host") == 0 ||
			      strcmp((*argv)[at], "-o") == 0 || strcmp((*argv)[at], "--output") == 0
			  ? 2
			  : 1;
	if (at >= *argc)
		return 0;
	v = verb_find((*argv)[at]);
	if (v == NULL) {
		client_say(
		    call, "There is no verb '%s'; 'taskctl help' lists them all.", (*argv)[at]);
		return EXIT_USAGE;
	}
	call->verb = v;
	call->named = true;
	rc = opt_parse(call, before_verb, at, *argv, false, &left);
	*argc -= at + 1;
	*argv += at + 1;
	return rc;
}

int
client_parse(struct call *call, int argc, char **argv)
{
	int rc;

	argc--;
	argv++;
	rc = parse_verb(call, &argc, &argv);
	if (rc != 0)
		return rc;
	call->args = argv;
	return opt_parse(call, call->verb->opts, argc, argv,
	    (call->verb->flags & VERB_COMMAND) != 0, &call->nargs);
}

bool
client_output_gone(void)
{
	struct pollfd p = {.fd = STDOUT_FILENO};

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)) != 0;
}

/* Output that could not be written is an error, but a reader who has seen enough is none. */
static int
finish_output(const struct call *call, int rc)
{
	if ((fflush(stdout) == 0 && !ferror(stdout)) || client_output_gone())
		return rc;
	client_say(call, "The output could not be written; is the disk full?");
	return rc == EXIT_OK ? EXIT_TROUBLE : rc;
}

int
client_main(int argc, char **argv)
{
	struct call call;
	int rc;

	/* A reader that has gone shows as an error of write, which is told apart in the end. */
	signal(SIGPIPE, SIG_IGN);
	call_init(&call);
	call.escape_err = isatty(STDERR_FILENO);
	rc = client_parse(&call, argc, argv);
	call.escape_err = call.escape_err && !call.raw;
	call.escape_out = !call.raw && isatty(STDOUT_FILENO);
	if (rc != 0) {
		call_release(&call);
		return rc;
	}
	if (call.version)
		puts("taskctl " TASKCTL_VERSION);
	else if (call.help)
		help_print(stdout, call.named ? call.verb : NULL);
	else
		rc = call.verb->run(&call);
	rc = finish_output(&call, rc);
	call_release(&call);
	return rc;
}

/*
 * taskctl: one call of it, the table of verbs, and how errors are told.
 */
#ifndef TASKCTL_CLIENT_H
#define TASKCTL_CLIENT_H

#include <stdbool.h>
#include <stdio.h>

#include "link.h"
#include "opt.h"
#include "req.h"

/* Exit codes of control verbs; run and wait exit as the task did, see outcome.h. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_SOME_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_DEFERRED = 3,
	EXIT_REFUSED = 4,
	EXIT_NO_TASK = 5,
	EXIT_NOT_PERMITTED = 6,
	EXIT_WAIT_OVER = 75,
	EXIT_TIMED_OUT = 124,
	EXIT_TROUBLE = 125, /* no daemon, or it or taskctl failed */
	EXIT_NOT_EXECUTABLE = 126,
	EXIT_NOT_FOUND = 127,
	EXIT_CANCELLED = 130,
};

#define CALL_HOOKS 4

/* One call: what the command line said. Strings are borrowed from argv. */
struct call {
	const struct verb *verb;
	char **args; /* operands */
	int nargs;

	struct req members; /* of the request, from options that name one */
	struct req select;  /* selector: name, state, label, all */
	struct req labels, env;
	struct strbuf states;            /* of the selector: JSON strings with commas between */
	struct strbuf hooks[CALL_HOOKS]; /* JSON objects with commas between */
	int nhooks[CALL_HOOKS];

	const char *host, *shell_line, *stdin_file, *lines, *since;
	bool named; /* the verb was given, and is not only what stands for none */
	bool json, wire, dry_run, raw, help, version;
	bool every, any, wait, follow, detach_on_hup, from_stderr, separate;
	bool escape_out, escape_err; /* stdout, stderr is a terminal and --raw was not given */
};

enum verb_flags {
	VERB_COMMAND = 1, /* ends its options at the first operand: they belong to a command */
	VERB_SELECTS = 2, /* takes a selector, and --dry-run */
	VERB_AS_TASK = 4, /* exits as the task did: what goes wrong here is 125 */
};

/* Which tasks a selector means where it does not say a state. */
enum verb_scope { SCOPE_ANY, SCOPE_LIVE, SCOPE_ENDED, SCOPE_HELD };

struct verb {
	const char *name, *synopsis, *purpose, *more;
	const char *examples[2];
	unsigned flags;
	enum verb_scope scope;
	const struct opt *const *opts; /* NULL-terminated list of tables */
	int (*run)(struct call *call);
	const char *cmd; /* the protocol's name */
};

/* All verbs, ended by one without a name. */
extern const struct verb verb_table[];
const struct verb *verb_find(const char *name);

/* The whole program. Returns the exit code. */
int client_main(int argc, char **argv);

/* Fills the call from argv (argv[0] is the program), as far as usage goes. 0 or an exit code. */
int client_parse(struct call *call, int argc, char **argv);
void call_init(struct call *call);
void call_release(struct call *call);

/* "taskctl: ..." on stderr, one line. */
void client_say(const struct call *call, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The same, with how to get help; returns EXIT_USAGE (or EXIT_TROUBLE where the verb exits as a task). */
int client_usage(const struct call *call, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints a request for --wire. Returns EXIT_OK. */
int client_wire(const struct req *r);

/* Connects, or says why not: EXIT_OK or EXIT_TROUBLE. */
int client_connect(const struct call *call, struct link *l);

/* Sends one request; says what went wrong. EXIT_OK or EXIT_TROUBLE. */
int client_send(const struct call *call, struct link *l, const struct req *r);

/* Waits for a line; says what went wrong. EXIT_OK or EXIT_TROUBLE. */
int client_read(const struct call *call, struct link *l, char **line, size_t *len);

/* Has the reader of our output gone? (Then nothing more need be written.) */
bool client_output_gone(void);

/* Help: all verbs, or one. */
void help_print(FILE *f, const struct verb *v);
int help_run(struct call *call);

/* The verbs, each in a file of its own or of its family. */
int start_run(struct call *call);
int run_run(struct call *call);
int control_run(struct call *call);
int timeout_run(struct call *call);
int wait_run(struct call *call);
int ps_run(struct call *call);
int show_run(struct call *call);
int logs_run(struct call *call);
int events_run(struct call *call);
int stats_run(struct call *call);
int self_run(struct call *call);
int daemon_run(struct call *call);

#endif

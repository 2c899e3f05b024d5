/*
 * Options from tables. A row says how the option is written, what it does with its value and, where
 * it fills a member of the request, which one.
 */
#ifndef TASKCTL_OPT_H
#define TASKCTL_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct req;

enum opt_kind {
	OPT_FLAG,     /* --wait */
	OPT_VALUE,    /* --timeout T, --timeout=T, -lT, -l T */
	OPT_OPTIONAL, /* --shield, --shield=T */
};

struct opt {
	const char *name;
	char letter; /* 0: none */
	enum opt_kind kind;
	const char *arg; /* how help calls the value; for a choice "a|b" also what is allowed */
	/* Takes the value (NULL if none). NULL if well, else what is wrong: "must be ...". */
	const char *(*apply)(struct call *call, const struct opt *o, const char *value);
	const char *member; /* of the request */
	size_t field;       /* or offset in struct call, of a bool or a const char * */
	const char *help;
};

/* The tables; each ends with a row without a name. */
extern const struct opt opt_global[], opt_selector[], opt_start[], opt_run[], opt_msg[],
    opt_cancel[], opt_kill[], opt_shield[], opt_wait[], opt_ps[], opt_logs[], opt_events[];

/*
 * Takes the options off argv (argc words); operands are left in place, in order, at its front, and
 * counted in *left. With `stop` the first operand ends the options. "--" always does. 0 or an exit
 * code, then it was said what is wrong.
 */
int opt_parse(struct call *call, const struct opt *const *tables, int argc, char **argv, bool stop,
    int *left);

/*
 * Set a member of a request from a word of the command line, as options do: a duration (a plain
 * number goes out as a number, all else as it was written; 0 only if `zero`), a signal (in any
 * case). NULL if well, else what is wrong.
 */
const char *opt_duration(struct req *r, const char *member, const char *value, bool zero);
const char *opt_signal(struct req *r, const char *member, const char *value);
void opt_seconds(struct req *r, const char *member, int64_t ns); /* a number of seconds */

#endif

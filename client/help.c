/* Help, made from the tables of verbs and options. */
#include <string.h>

#include "client.h"

static void
print_opt(FILE *f, const struct opt *o)
{
	char left[64], letter[8] = "    ";

	if (o->letter != 0)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	snprintf(left, sizeof(left), "%s--%s%s%s%s", letter, o->name,
	    o->kind == OPT_OPTIONAL ? "[="
	    : o->arg != NULL        ? " "
				    : "",
	    o->arg == NULL ? "" : o->arg, o->kind == OPT_OPTIONAL ? "]" : "");
	fprintf(f, "  %-32s %s\n", left, o->help);
}

static void
print_verb(FILE *f, const struct verb *v)
{
	fprintf(f, "taskctl %s%s%s\n  %s\n", v->name, *v->synopsis == '\0' ? "" : " ", v->synopsis,
	    v->purpose);
	if (v->more != NULL)
		fprintf(f, "\n%s", v->more);
	if (v->flags & VERB_SELECTS)
		fputs("\nInstead of TASK (an id or a name) a selector can stand: -l, --name, "
		      "--state, "
		      "--all.\n",
		    f);
	fputs("\nOptions:\n", f);
	for (const struct opt *const *t = v->opts; *t != NULL; t++) {
		for (const struct opt *o = *t; o->name != NULL; o++)
			print_opt(f, o);
	}
	fprintf(f, "\nExamples:\n  %s\n  %s\n", v->examples[0], v->examples[1]);
}

static void
print_all(FILE *f)
{
	fputs("taskctl VERB ...: run commands as tasks that can be cancelled with a message, "
	      "shielded,"
	      "\ngiven a deadline, waited for. Without a verb: ps.\n\n",
	    f);
	for (const struct verb *v = verb_table; v->name != NULL; v++)
		fprintf(f, "  %-9s %s\n", v->name, v->purpose);
	fputs("\nOptions of all verbs:\n", f);
	for (const struct opt *o = opt_global; o->name != NULL; o++)
		print_opt(f, o);
	fputs(
	    "\nDurations: 90, 90s, 1h30m, 250ms. The daemon: -H, else TASKCTL_HOST, else "
	    "TASKCTL_SOCKET\n(set inside tasks), else $XDG_RUNTIME_DIR/taskctl/taskctl.sock, else "
	    "/run/taskctl/taskctl.sock.\nExit codes of verbs that act: 0 done, 1 some failed, 2 "
	    "usage, 3 accepted but deferred,\n4 refused, 5 no such task, 6 not permitted, 125 no "
	    "daemon.\n'taskctl help VERB' tells more, with examples.\n",
	    f);
}

void
help_print(FILE *f, const struct verb *v)
{
	if (v == NULL)
		print_all(f);
	else
		print_verb(f, v);
}

int
help_run(struct call *call)
{
	const struct verb *v;

	if (call->nargs == 0) {
		help_print(stdout, NULL);
		return EXIT_OK;
	}
	v = verb_find(call->args[0]);
	if (v == NULL)
		return client_usage(
		    call, "There is no verb '%s'; 'taskctl help' lists them all.", call->args[0]);
	help_print(stdout, v);
	return EXIT_OK;
}

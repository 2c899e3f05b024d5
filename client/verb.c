/* The table of verbs: how each is written, what it takes, two examples, and what runs it. */
#include <string.h>

#include "client.h"

static const struct opt *const o_none[] = {opt_global, NULL};
static const struct opt *const o_start[] = {opt_start, opt_global, NULL};
static const struct opt *const o_run[] = {opt_start, opt_run, opt_global, NULL};
static const struct opt *const o_cancel[] = {opt_msg, opt_cancel, opt_selector, opt_global, NULL};
static const struct opt *const o_kill[] = {opt_msg, opt_kill, opt_selector, opt_global, NULL};
static const struct opt *const o_select[] = {opt_selector, opt_global, NULL};
static const struct opt *const o_shield[] = {opt_msg, opt_shield, opt_selector, opt_global, NULL};
static const struct opt *const o_wait[] = {opt_wait, opt_selector, opt_global, NULL};
static const struct opt *const o_ps[] = {opt_ps, opt_selector, opt_global, NULL};
static const struct opt *const o_logs[] = {opt_logs, opt_global, NULL};
static const struct opt *const o_events[] = {opt_events, opt_global, NULL};
static const struct opt *const o_daemon[] = {opt_msg, opt_global, NULL};

/* clang-format off */
const struct verb verb_table[] = {
	{"start", "[options] -- CMD ARG...", "start a task; prints its id",
	    "The task runs in the current directory if the daemon is on this machine (--cwd says\n"
	    "otherwise), with the daemon's environment and what -e adds. No shell reads CMD; --sh\n"
	    "'LINE' is for one. --stdin FILE or - is read to its end before the start: it must be\n"
	    "text and, with the rest of the request, fit into 256 KiB.\n",
	    {"taskctl start --name nightly --timeout 2h -l env=prod -- make dist",
	     "taskctl start --on-cancel 10s:'rm -f part.tar' --sh 'tar cf part.tar /srv && mv part.tar full.tar'"},
	    VERB_COMMAND, SCOPE_ANY, o_start, start_run, "start"},
	{"run", "[options] -- CMD ARG...", "start a task, follow its output, exit as it does",
	    "Ctrl-C cancels the task with the message \"interrupted\", a second one cancels it again,\n"
	    "a third kills it; SIGTERM and SIGHUP do the same under their names. If nobody reads the\n"
	    "output any more, the task is cancelled with \"output closed\". If taskctl itself is killed,\n"
	    "the task runs on, unless it is --attached. Input is not passed on while it runs: --stdin\n"
	    "FILE or - is read to its end before the start; it must be text and fit into 256 KiB.\n"
	    "Exit codes: the task's own; 124 timed out, 125 taskctl or the daemon failed, 126 not\n"
	    "executable, 127 not found, 128+N died of signal N, 130 cancelled.\n",
	    {"taskctl run --timeout 10s -- ./flaky.sh", "taskctl run --separate --attached -- make test 2>errors"},
	    VERB_COMMAND | VERB_AS_TASK, SCOPE_ANY, o_run, run_run, "start"},
	{"cancel", "TASK... [-m MSG] [--grace T] [--wait]", "ask tasks to end, and say why",
	    "Exit codes: 0 done, or it had ended already; 3 accepted but deferred by a shield; 4 with\n"
	    "--wait: the task caught it and ended as done; 5 no such task.\n",
	    {"taskctl cancel nightly -m 'release 1.4 withdrawn' --wait", "taskctl cancel -l env=test -m 'out of disk'"},
	    VERB_SELECTS, SCOPE_LIVE, o_cancel, control_run, "cancel"},
	{"kill", "TASK... [-m MSG] [--pierce]", "kill tasks with all their processes, now",
	    "A shielded task, or one whose hooks run, is killed with --pierce only.\n",
	    {"taskctl kill 41", "taskctl kill db-dump --pierce -m 'disk on fire'"},
	    VERB_SELECTS, SCOPE_LIVE, o_kill, control_run, "kill"},
	{"uncancel", "TASK...", "take one cancel request back", NULL,
	    {"taskctl uncancel 43", "taskctl uncancel -l env=prod"},
	    VERB_SELECTS, SCOPE_LIVE, o_select, control_run, "uncancel"},
	{"shield", "TASK... [--for T] [-m MSG]", "hold cancels back until the shield ends", NULL,
	    {"taskctl shield db-dump --for 10m -m 'copying WAL'", "taskctl shield 43"},
	    VERB_SELECTS, SCOPE_LIVE, o_shield, control_run, "shield"},
	{"unshield", "TASK...", "end the shield; a deferred cancel is delivered", NULL,
	    {"taskctl unshield db-dump", "taskctl unshield 43"},
	    VERB_SELECTS, SCOPE_LIVE, o_select, control_run, "unshield"},
	{"timeout", "TASK 30m | +10m | -- -10m | at 18:00 | off", "move the deadline of a task that runs",
	    "30m: from now. +10m, -10m: later, earlier than it was. at: a time of day, the next one, or\n"
	    "2026-11-22T18:00:00Z. off: no deadline.\n",
	    {"taskctl timeout nightly +30m", "taskctl timeout 41 at 18:00"},
	    0, SCOPE_LIVE, o_none, timeout_run, "timeout"},
	{"wait", "TASK... [--timeout T] [--own] [--any]", "wait until tasks have ended, exit as the task did",
	    "Exit codes, one task: its own; 75 the wait's own time ran out, 124 timed out, 125 taskctl\n"
	    "or the daemon failed, 126 not executable, 127 not found, 128+N died of signal N, 130\n"
	    "cancelled. Several tasks: 0 if all are done, else 1.\n",
	    {"taskctl wait nightly --timeout 1h", "taskctl wait 41 43 44 --any"},
	    VERB_SELECTS | VERB_AS_TASK, SCOPE_ANY, o_wait, wait_run, "wait"},
	{"ps", "[-a] [selector]", "list the tasks that live; -a all", NULL,
	    {"taskctl ps -l env=prod", "taskctl ps -a --state failed,timed_out"},
	    VERB_SELECTS, SCOPE_LIVE, o_ps, ps_run, "list"},
	{"show", "TASK...", "all that is known of a task", NULL,
	    {"taskctl show nightly", "taskctl show 41 -o json"},
	    0, SCOPE_ANY, o_none, show_run, "show"},
	{"logs", "TASK... [-f] [-n N] [--stderr]", "the output of tasks; several with prefixes", NULL,
	    {"taskctl logs nightly -n 20 -f", "taskctl logs 41 43"},
	    0, SCOPE_ANY, o_logs, logs_run, "logs"},
	{"events", "[-f] [--since SEQ]", "what happened; -f: and what happens",
	    "Without --since all events that are kept; with -f alone only new ones.\n",
	    {"taskctl events -f", "taskctl events --since 4711 -o json"},
	    0, SCOPE_ANY, o_events, events_run, "events"},
	{"stats", "", "how the daemon is: tasks by state, uptime, memory, rates", NULL,
	    {"taskctl stats", "taskctl stats -o json"},
	    0, SCOPE_ANY, o_none, stats_run, "stats"},
	{"release", "TASK...", "let tasks that were started with --hold run", NULL,
	    {"taskctl release 41", "taskctl release -l batch=7"},
	    VERB_SELECTS, SCOPE_HELD, o_select, control_run, "release"},
	{"signal", "TASK... SIG", "send a signal to the task's first process", NULL,
	    {"taskctl signal nightly HUP", "taskctl signal 41 USR1"},
	    VERB_SELECTS, SCOPE_LIVE, o_select, control_run, "signal"},
	{"pause", "TASK...", "freeze all processes of tasks", NULL,
	    {"taskctl pause nightly", "taskctl pause -l env=test"},
	    VERB_SELECTS, SCOPE_LIVE, o_select, control_run, "pause"},
	{"resume", "TASK...", "let them go on", NULL,
	    {"taskctl resume nightly", "taskctl resume --all"},
	    VERB_SELECTS, SCOPE_LIVE, o_select, control_run, "resume"},
	{"rm", "TASK...", "forget tasks that have ended, and their output", NULL,
	    {"taskctl rm 41", "taskctl rm --state done --dry-run"},
	    VERB_SELECTS, SCOPE_ENDED, o_select, control_run, "remove"},
	{"self", "shield -- CMD... | reason | progress N [TEXT] | status TEXT | result TEXT | extend T | uncancel",
	    "inside a task: talk to the daemon about it",
	    "shield: run CMD, no cancel reaches the task meanwhile; exits as CMD does.\n"
	    "reason: print the message of the cancel; exit code 1 if there was none.\n"
	    "progress: 0 to 100, and what it is doing. extend: more time until SIGKILL while it is\n"
	    "cancelled, else until the deadline. uncancel: the cancel was dealt with, run on.\n",
	    {"taskctl self shield -- mv part.tar full.tar", "taskctl self progress 40 indexing"},
	    0, SCOPE_ANY, o_none, self_run, "self"},
	{"daemon", "ping | shutdown [-m MSG] | detach", "is it there; end it, or only the daemon",
	    "shutdown cancels all tasks and runs their hooks first. detach leaves them running for the\n"
	    "next daemon.\n",
	    {"taskctl daemon ping", "taskctl daemon shutdown -m 'kernel update'"},
	    0, SCOPE_ANY, o_daemon, daemon_run, "shutdown"},
	{"help", "[VERB]", "say how taskctl, or a verb, is used", NULL,
	    {"taskctl help", "taskctl help run"}, 0, SCOPE_ANY, o_none, help_run, "help"},
	{0},
};
/* clang-format on */

const struct verb *
verb_find(const char *name)
{
	if (strcmp(name, "ls") == 0)
		name = "ps";
	for (const struct verb *v = verb_table; v->name != NULL; v++) {
		if (strcmp(v->name, name) == 0)
			return v;
	}
	return NULL;
}

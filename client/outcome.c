/* Exit codes and sentences; see outcome.h. */
#include <signal.h>
#include <string.h>

#include "client.h"
#include "clock.h"
#include "jv.h"
#include "outcome.h"
#include "text.h"
#include "value.h"

/* As shells have it. A signal that we do not know is at least no success. */
static int
signal_code(const char *name)
{
	int signo;

	return value_signal_str(name, &signo, NULL) < 0 ? EXIT_SOME_FAILED : 128 + signo;
}

/* How a failed task ended is how taskctl ends; a hook that failed after exit 0 is 1. */
static int
failed_code(const struct jv *task)
{
	const struct jv *ex = jv_get(task, "exit");
	const char *stage = jv_str(ex, "stage"), *err = jv_str(ex, "errno");
	int64_t code = jv_int(ex, "code", 0);

	if (stage != NULL && strcmp(stage, "exec") != 0)
		return EXIT_TROUBLE;
	if (stage != NULL)
		return err != NULL && strcmp(err, "ENOENT") == 0 ? EXIT_NOT_FOUND
								 : EXIT_NOT_EXECUTABLE;
	if (jv_str(ex, "signal") != NULL)
		return signal_code(jv_str(ex, "signal"));
	return code > 0 && code < 256 ? (int)code : EXIT_SOME_FAILED;
}

/* The answer of a wait, or the state of a task that has ended: the names are the same. */
static int
result_code(const char *result, const struct jv *task)
{
	if (result == NULL)
		return EXIT_TROUBLE;
	if (strcmp(result, "done") == 0)
		return EXIT_OK;
	if (strcmp(result, "failed") == 0)
		return failed_code(task);
	if (strcmp(result, "cancelled") == 0)
		return EXIT_CANCELLED;
	if (strcmp(result, "timed_out") == 0)
		return EXIT_TIMED_OUT;
	return EXIT_TROUBLE; /* lost: nobody knows */
}

int
outcome_code(const struct jv *answer)
{
	const char *of = jv_str(answer, "of");

	if (of != NULL && strcmp(of, "wait") == 0)
		return EXIT_WAIT_OVER;
	return result_code(jv_str(answer, "result"), jv_get(answer, "task"));
}

int
outcome_task_code(const struct jv *task)
{
	return result_code(jv_str(task, "state"), task);
}

int
outcome_error_code(const char *code)
{
	static const struct {
		const char *code;
		int exit;
	} map[] = {
	    {"bad_request", EXIT_USAGE},
	    {"too_large", EXIT_USAGE},
	    {"not_found", EXIT_NO_TASK},
	    {"unauthenticated", EXIT_NOT_PERMITTED},
	    {"forbidden", EXIT_NOT_PERMITTED},
	    {"exists", EXIT_REFUSED},
	    {"finished", EXIT_REFUSED},
	    {"finishing", EXIT_REFUSED},
	    {"killing", EXIT_REFUSED},
	    {"expired", EXIT_REFUSED},
	    {"shielded", EXIT_REFUSED},
	    {"not_shielded", EXIT_REFUSED},
	    {"limit", EXIT_REFUSED},
	};

	for (size_t i = 0; code != NULL && i < ARRAY_SIZE(map); i++) {
		if (strcmp(map[i].code, code) == 0)
			return map[i].exit;
	}
	return EXIT_TROUBLE;
}

bool
outcome_ended(const char *state)
{
	static const char *const ended[] = {"done", "failed", "cancelled", "timed_out", "lost"};

	for (size_t i = 0; state != NULL && i < ARRAY_SIZE(ended); i++) {
		if (strcmp(ended[i], state) == 0)
			return true;
	}
	return false;
}

int
outcome_merge(int sofar, int code, bool first)
{
	if (first || sofar == code)
		return code;
	if ((sofar == EXIT_OK || sofar == EXIT_DEFERRED) &&
	    (code == EXIT_OK || code == EXIT_DEFERRED))
		return EXIT_DEFERRED;
	return EXIT_SOME_FAILED;
}

int
outcome_say_error(const struct call *call, const char *what, const struct jv *reply)
{
	const struct jv *error = jv_get(reply, "error");
	const char *message = jv_str(error, "message"), *code = jv_str(error, "code");

	client_say(call, "%s%s%s", what == NULL ? "" : what, what == NULL ? "" : ": ",
	    message != NULL ? message
	    : code != NULL  ? code
			    : "The daemon's answer is not understood; is it of another version?");
	return outcome_error_code(code);
}

void
outcome_label(const struct jv *task, const char *arg, struct strbuf *out)
{
	const char *name = jv_str(task, "name");
	int64_t id = jv_int(task, "id", 0);

	if (name == NULL || id == 0)
		strbuf_adds(out, arg == NULL ? "task" : arg);
	else
		strbuf_addf(out, "%s (%lld)", name, (long long)id);
}

void
outcome_msg(const struct jv *msg, struct strbuf *out)
{
	if (msg == NULL)
		return;
	if (msg->type == JV_STRING)
		strbuf_add(out, msg->str, msg->len);
	else
		strbuf_add(out, msg->raw, msg->raw_len);
}

bool
outcome_time(const struct jv *v, const char *key, int64_t *wall_ms)
{
	const char *s = jv_str(v, key);

	return s != NULL && clock_parse_wall(s, wall_ms) == 0;
}

/* A duration between two wall clock times, never negative. */
static void
add_span(struct strbuf *out, const char *before, int64_t from, int64_t to)
{
	char buf[TEXT_AGE_LEN];

	text_duration(MAX(to - from, INT64_C(0)), buf);
	strbuf_addf(out, "%s%s", before, buf);
}

/* " after 3.1s", counted from the cancel for what was cancelled, from the deadline's start else. */
static void
add_after(const struct jv *task, const char *state, struct strbuf *out)
{
	const struct jv *cancel = jv_get(task, "cancel");
	int64_t from, to;

	if (!outcome_time(task, "started", &from))
		return;
	if (strcmp(state, "timed_out") == 0 && outcome_time(task, "deadline", &to)) {
		/* Both times are rounded to a millisecond: 999 ms of them are a second. */
		add_span(out, " after ", from, from + (to - from + 5) / 10 * 10);
		return;
	}
	if (!outcome_time(task, "ended", &to))
		return;
	if (strcmp(state, "cancelled") == 0)
		(void)outcome_time(cancel, "at", &from);
	add_span(out, " after ", from, to);
}

/* Why it failed: its hook, its start, a signal, its exit code, its own words. */
static void
add_exit(const struct jv *task, struct strbuf *out)
{
	const struct jv *ex = jv_get(task, "exit"), *error = jv_get(task, "error");
	const char *stage = jv_str(ex, "stage"), *err = jv_str(ex, "errno");
	const char *sig = jv_str(ex, "signal");

	if (jv_str(error, "hook") != NULL)
		strbuf_addf(out, ": its hook %s failed", jv_str(error, "hook"));
	else if (stage != NULL)
		strbuf_addf(
		    out, ": it could not be executed (%s: %s)", stage, err == NULL ? "?" : err);
	else if (sig != NULL)
		strbuf_addf(
		    out, ": it died of %s%s", sig, jv_bool(ex, "core") ? " (core dumped)" : "");
	else if (jv_has(ex, "code"))
		strbuf_addf(out, ": exit %lld", (long long)jv_int(ex, "code", 0));
	if (error != NULL && error->type == JV_STRING) {
		strbuf_adds(out, ": ");
		outcome_msg(error, out);
	}
}

/* Those that ran, or are owed, and how many went well. */
static void
add_hooks(const struct jv *task, const char *separator, struct strbuf *out)
{
	const struct jv *hooks = jv_get(task, "hooks");
	int n = 0, ok = 0;

	for (const struct jv *h = hooks == NULL ? NULL : hooks->child; h != NULL; h = h->next) {
		const char *state = jv_str(h, "state");

		n++;
		ok += state != NULL && strcmp(state, "done") == 0;
	}
	if (n > 0)
		strbuf_addf(out, "%shooks %d of %d ok", separator, ok, n);
}

/* True if anything was added. */
static bool
add_processes(const struct jv *task, struct strbuf *out)
{
	const struct jv *left = jv_get(task, "leftover"), *stuck = jv_get(task, "unkillable");

	if (jv_bool(task, "forced"))
		strbuf_adds(out, "; it had to be killed");
	if (left != NULL && left->len > 0)
		strbuf_addf(out, "; %zu processes ended", left->len + 1);
	if (stuck != NULL && stuck->len > 0)
		strbuf_addf(out, "; %zu cannot be killed", stuck->len);
	return jv_bool(task, "forced") || (left != NULL && left->len > 0) ||
	       (stuck != NULL && stuck->len > 0);
}

void
outcome_sentence(const struct jv *task, struct strbuf *out)
{
	const char *state = jv_str(task, "state");
	const struct jv *cancel = jv_get(task, "cancel");

	if (state == NULL) {
		strbuf_adds(out, "state unknown");
		return;
	}
	strbuf_adds(out, strcmp(state, "timed_out") == 0 ? "timed out" : state);
	if (!outcome_ended(state)) {
		outcome_shield(task, out);
		return;
	}
	add_after(task, state, out);
	if (strcmp(state, "failed") == 0)
		add_exit(task, out);
	if (strcmp(state, "cancelled") == 0 && jv_has(cancel, "msg")) {
		strbuf_adds(out, ": ");
		outcome_msg(jv_get(cancel, "msg"), out);
	}
	if (jv_bool(cancel, "absorbed"))
		strbuf_adds(out, "; it caught the cancel");
	if (strcmp(state, "lost") == 0)
		strbuf_adds(out, ": nobody saw how it ended");
	add_hooks(task, add_processes(task, out) ? ", " : "; ", out);
}

/* The holder whose shield ends last tells when; one without an end, never. */
static const struct jv *
last_holder(const struct jv *shield)
{
	const struct jv *holders = jv_get(shield, "holders"), *last = NULL;
	int64_t at, latest = 0;

	for (const struct jv *h = holders == NULL ? NULL : holders->child; h != NULL; h = h->next) {
		if (!outcome_time(h, "until", &at))
			return h;
		if (last == NULL || at > latest) {
			last = h;
			latest = at;
		}
	}
	return last;
}

void
outcome_shield(const struct jv *task, struct strbuf *out)
{
	const struct jv *h = last_holder(jv_get(task, "shield"));
	char when[TEXT_AGE_LEN];
	int64_t until;

	if (h == NULL)
		return;
	strbuf_adds(out, out->len > 0 && out->s[out->len - 1] != ' ' ? ", shielded" : "shielded");
	if (outcome_time(h, "until", &until)) {
		text_clock(until, clock_wall_ms(), when);
		strbuf_addf(out, " until %s", when);
	}
	if (jv_has(h, "msg")) {
		strbuf_adds(out, " (\"");
		outcome_msg(jv_get(h, "msg"), out);
		strbuf_adds(out, "\")");
	}
}

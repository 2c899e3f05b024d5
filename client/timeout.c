/* taskctl timeout: moving a task's deadline. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "act.h"
#include "client.h"
#include "clock.h"
#include "jv.h"
#include "outcome.h"
#include "text.h"
#include "value.h"

static int
tell_timeout(const struct jv *reply, const struct jv *task, struct strbuf *out)
{
	int64_t at, now = clock_wall_ms();
	char when[TEXT_AGE_LEN], left[TEXT_AGE_LEN];

	(void)task;
	if (!outcome_time(reply, "deadline", &at)) {
		strbuf_adds(out, "no deadline");
		return EXIT_OK;
	}
	text_clock(at, now, when);
	text_age(at - now + 500, left);
	strbuf_addf(out, "deadline %s, in %s", when, left);
	return EXIT_OK;
}

/* The next time that the local clock shows HH:MM[:SS]: today, or tomorrow. */
static bool
next_time_of_day(const char *s, int64_t *wall_ms)
{
	time_t now = time(NULL), at;
	int h, m, sec = 0, used = 0;
	struct tm tm;

	if (sscanf(s, "%2d:%2d%n:%2d%n", &h, &m, &used, &sec, &used) < 2 || s[used] != '\0')
		return false;
	if (h < 0 || h > 23 || m < 0 || m > 59 || sec < 0 || sec > 59)
		return false;
	if (localtime_r(&now, &tm) == NULL)
		return false;
	tm.tm_hour = h;
	tm.tm_min = m;
	tm.tm_sec = sec;
	tm.tm_isdst = -1;
	at = mktime(&tm);
	if (at <= now) {
		tm.tm_mday++;
		tm.tm_hour = h;
		tm.tm_min = m;
		tm.tm_sec = sec;
		tm.tm_isdst = -1;
		at = mktime(&tm);
	}
	*wall_ms = (int64_t)at * 1000;
	return true;
}

/* A time of day is meant as the clock on the wall shows it here. */
static int
set_at(struct call *call, const char *s)
{
	char buf[CLOCK_WALL_LEN];
	int64_t at;

	if (clock_parse_wall(s, &at) < 0 && !next_time_of_day(s, &at))
		return client_usage(call,
		    "%s is no time: write a time of day such as 18:00, or 2026-11-22T18:00:00Z.",
		    s);
	clock_format_wall(at, buf);
	req_str(&call->members, "at", buf);
	return EXIT_OK;
}

static int
set_duration(struct call *call, const char *s)
{
	bool relative = *s == '+' || *s == '-';
	const char *why = NULL;
	int64_t ns;

	if (value_duration_str(s + relative, true, &ns, &why) < 0 || ns < 0)
		return client_usage(
		    call, "%s is no time: it %s.", s, why == NULL ? "is negative" : why);
	if (*s == '-')
		opt_seconds(&call->members, "extend", -ns);
	else
		(void)opt_duration(&call->members, relative ? "extend" : "in", s + relative, true);
	return EXIT_OK;
}

/* The operands behind the task, in all their forms. */
static int
set_deadline(struct call *call)
{
	char **words = call->args + 1;

	if (call->nargs == 3 && strcmp(words[0], "at") == 0)
		return set_at(call, words[1]);
	if (call->nargs != 2)
		return client_usage(
		    call, "Write a task and a time: 30m, +10m, -- -10m, at 18:00, off.");
	if (strcmp(words[0], "off") == 0) {
		req_raw(&call->members, "in", "null");
		return EXIT_OK;
	}
	return set_duration(call, words[0]);
}

int
timeout_run(struct call *call)
{
	struct link l;
	struct req r = {0};
	int rc = set_deadline(call);

	if (rc != EXIT_OK)
		return rc;
	if (call->wire) {
		act_request(call, call->args[0], &r);
		client_wire(&r);
		req_release(&r);
		return EXIT_OK;
	}
	rc = client_connect(call, &l);
	if (rc == EXIT_OK)
		rc = act_each(call, &l, call->args, 1, tell_timeout);
	link_release(&l);
	return rc;
}

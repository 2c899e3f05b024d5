/*
 * Every cell of the rules, state x event, and the table of commands as the specification has it.
 */
#include "rules_bench.h"

/* ---- how a verdict reads in the tables of the specification ---- */

static const char *const error_names[] = {"none",
#define X(c, n) n,
    PROTO_ERRORS(X)
#undef X
};
static const char *const effect_names[] = {
#define X(c, n) n,
    PROTO_EFFECTS(X)
#undef X
};

/* The row of the table that a task is in: "cancelling, shielded, pending". */
static void
row_name(const struct rules_facts *f, char *ret, size_t size)
{
	bool alone = f->state == TASK_RUNNING && f->shields != 0;
	bool beside = !alone && f->shields != 0 && f->state <= TASK_CANCELLING;
	const char *name = f->state == TASK_STARTING ? "starting" : rules_state_name(f->state);

	snprintf(ret, size, "%s%s%s", alone ? "shielded" : name, beside ? ", shielded" : "",
	    f->deferred != 0 || f->deferred_deadline ? ", pending" : "");
}

static void
answer_text(const struct bench *b, enum rules_event e, const struct rules_facts *old, char *ret,
    size_t size)
{
	bool same = memcmp(&b->f, old, sizeof *old) == 0;

	if (b->v.error != ERR_NONE)
		snprintf(ret, size, "%s%s", error_names[b->v.error], same ? "" : " (changed!)");
	else if (e == EV_CANCEL || e == EV_PASS_ON || e == EV_KILL)
		snprintf(
		    ret, size, "%s: %s", b->v.accepted ? "yes" : "NO", effect_names[b->v.effect]);
	else if (e == EV_UNCANCEL)
		snprintf(ret, size, "%u%s", b->v.remaining, b->v.revoked ? ", revoked" : "");
	else if (e == EV_UNSHIELD || e == EV_SHIELD || e == EV_DEADLINE_SET)
		snprintf(ret, size, "%s%s", same ? "-" : "ok", b->v.delivered ? ", delivered" : "");
	else if (e == EV_DEADLINE)
		snprintf(ret, size, "%s",
		    b->v.fx & FX_SIGNAL     ? "signalled"
		    : b->v.fx & FX_DEFERRED ? "deferred"
		    : same                  ? "-"
					    : "noted");
	else
		snprintf(ret, size, "%s", same && b->v.fx == 0 ? "-" : "+");
}

/* Feeds an event and tells the answer and, where it is another, the new row. */
static const char *
tell(struct bench *b, enum rules_event e, const struct rules_input *in)
{
	static char text[160];
	char before[64], after[64], answer[64];
	struct rules_facts old = b->f;
	enum rules_event due;

	row_name(&b->f, before, sizeof before);
	bench_step(b, e, in);
	answer_text(b, e, &old, answer, sizeof answer);
	/* A deadline that is set to now expires in the same turn. */
	if (e == EV_DEADLINE_SET && b->v.error == ERR_NONE && in->when <= b->now &&
	    rules_next_timer(&b->f, &due) <= b->now)
		DO(b, due);
	row_name(&b->f, after, sizeof after);
	snprintf(text, sizeof text, "%s%s%s", answer, strcmp(before, after) == 0 ? "" : " -> ",
	    strcmp(before, after) == 0 ? "" : after);
	return text;
}

/* ---- every cell ---- */

struct cell {
	const char *text;
	unsigned fx;
};

/*
 * "-": nothing changes and nothing is to be done; "+": taken in; else as in the tables of commands.
 * The task has one hook, finally, and a grace period. "*" is left to a test of its own.
 */
static const struct cell cells[TASK_NSTATES][RULES_NEVENTS] = {
    /* pending */
    [TASK_PENDING][EV_RELEASE] = {"+", FX_SPAWN},
    [TASK_PENDING][EV_SPAWN] = {"+ -> starting", 0},
    [TASK_PENDING][EV_STARTED] = {"-", 0},
    [TASK_PENDING][EV_UNSTARTED] = {"+ -> failed", FX_END},
    [TASK_PENDING][EV_CANCEL] = {"yes: ended -> cancelled", FX_REQUESTED | FX_END},
    [TASK_PENDING][EV_PASS_ON] = {"yes: ended -> cancelled", FX_REQUESTED | FX_END},
    [TASK_PENDING][EV_KILL] = {"yes: ended -> cancelled", FX_REQUESTED | FX_END},
    [TASK_PENDING][EV_UNCANCEL] = {"0", FX_UNCANCELLED},
    [TASK_PENDING][EV_SHIELD] = {"ok -> pending, shielded", 0},
    [TASK_PENDING][EV_SHIELD_MOVED] = {"-", 0},
    [TASK_PENDING][EV_UNSHIELD] = {"not_shielded", 0},
    [TASK_PENDING][EV_DEADLINE_SET] = {"ok", FX_DEADLINE},
    [TASK_PENDING][EV_DEADLINE] = {"noted -> timed_out", FX_EXPIRED | FX_END},
    [TASK_PENDING][EV_GRACE_OVER] = {"-", 0},
    [TASK_PENDING][EV_SIGNALLED] = {"-", 0},
    [TASK_PENDING][EV_EXTEND] = {"-", 0},
    [TASK_PENDING][EV_DECLARE] = {"-", 0},
    [TASK_PENDING][EV_EXITED] = {"-", 0},
    [TASK_PENDING][EV_TREE_GONE] = {"-", 0},
    [TASK_PENDING][EV_MONITOR_LOST] = {"-", 0},
    [TASK_PENDING][EV_HOOK_BEGUN] = {"-", 0},
    [TASK_PENDING][EV_HOOK_LIMIT] = {"-", 0},
    [TASK_PENDING][EV_HOOK_ENDED] = {"-", 0},
    [TASK_PENDING][EV_HOOK_AGAIN] = {"-", 0},
    /* starting */
    [TASK_STARTING][EV_RELEASE] = {"-", 0},
    [TASK_STARTING][EV_SPAWN] = {"-", 0},
    [TASK_STARTING][EV_STARTED] = {"+ -> running", 0},
    [TASK_STARTING][EV_UNSTARTED] = {"+ -> failed", FX_END},
    [TASK_STARTING][EV_CANCEL] = {"yes: delivered", FX_REQUESTED},
    [TASK_STARTING][EV_PASS_ON] = {"yes: delivered", FX_REQUESTED},
    [TASK_STARTING][EV_KILL] = {"yes: killed", FX_REQUESTED},
    [TASK_STARTING][EV_UNCANCEL] = {"0", FX_UNCANCELLED},
    [TASK_STARTING][EV_SHIELD] = {"ok -> starting, shielded", 0},
    [TASK_STARTING][EV_SHIELD_MOVED] = {"-", 0},
    [TASK_STARTING][EV_UNSHIELD] = {"not_shielded", 0},
    [TASK_STARTING][EV_DEADLINE_SET] = {"ok", FX_DEADLINE},
    [TASK_STARTING][EV_DEADLINE] = {"noted", FX_EXPIRED},
    [TASK_STARTING][EV_GRACE_OVER] = {"-", 0},
    [TASK_STARTING][EV_SIGNALLED] = {"-", 0},
    [TASK_STARTING][EV_EXTEND] = {"+", FX_DEADLINE},
    [TASK_STARTING][EV_DECLARE] = {"+", 0},
    [TASK_STARTING][EV_EXITED] = {"+ -> cleanup", 0},
    [TASK_STARTING][EV_TREE_GONE] = {"-", 0},
    [TASK_STARTING][EV_MONITOR_LOST] = {"+ -> cleanup", FX_HOOK},
    [TASK_STARTING][EV_HOOK_BEGUN] = {"-", 0},
    [TASK_STARTING][EV_HOOK_LIMIT] = {"-", 0},
    [TASK_STARTING][EV_HOOK_ENDED] = {"-", 0},
    [TASK_STARTING][EV_HOOK_AGAIN] = {"-", 0},
    /* running */
    [TASK_RUNNING][EV_RELEASE] = {"-", 0},
    [TASK_RUNNING][EV_SPAWN] = {"-", 0},
    [TASK_RUNNING][EV_STARTED] = {"-", 0},
    [TASK_RUNNING][EV_UNSTARTED] = {"-", 0},
    [TASK_RUNNING][EV_CANCEL] = {"yes: delivered -> cancelling", FX_REQUESTED | FX_SIGNAL},
    [TASK_RUNNING][EV_PASS_ON] = {"yes: delivered -> cancelling", FX_REQUESTED | FX_SIGNAL},
    [TASK_RUNNING][EV_KILL] = {"yes: killed -> killing", FX_REQUESTED | FX_KILL | FX_KILLED},
    [TASK_RUNNING][EV_UNCANCEL] = {"0", FX_UNCANCELLED},
    [TASK_RUNNING][EV_SHIELD] = {"ok -> shielded", 0},
    [TASK_RUNNING][EV_SHIELD_MOVED] = {"-", 0},
    [TASK_RUNNING][EV_UNSHIELD] = {"not_shielded", 0},
    [TASK_RUNNING][EV_DEADLINE_SET] = {"ok", FX_DEADLINE},
    [TASK_RUNNING][EV_DEADLINE] = {"signalled -> cancelling", FX_EXPIRED | FX_SIGNAL},
    [TASK_RUNNING][EV_GRACE_OVER] = {"-", 0},
    [TASK_RUNNING][EV_SIGNALLED] = {"-", 0},
    [TASK_RUNNING][EV_EXTEND] = {"+", FX_DEADLINE},
    [TASK_RUNNING][EV_DECLARE] = {"+", 0},
    [TASK_RUNNING][EV_EXITED] = {"+ -> cleanup", 0},
    [TASK_RUNNING][EV_TREE_GONE] = {"-", 0},
    [TASK_RUNNING][EV_MONITOR_LOST] = {"+ -> cleanup", FX_HOOK},
    [TASK_RUNNING][EV_HOOK_BEGUN] = {"-", 0},
    [TASK_RUNNING][EV_HOOK_LIMIT] = {"-", 0},
    [TASK_RUNNING][EV_HOOK_ENDED] = {"-", 0},
    [TASK_RUNNING][EV_HOOK_AGAIN] = {"-", 0},
    /* cancelling */
    [TASK_CANCELLING][EV_RELEASE] = {"-", 0},
    [TASK_CANCELLING][EV_SPAWN] = {"-", 0},
    [TASK_CANCELLING][EV_STARTED] = {"-", 0},
    [TASK_CANCELLING][EV_UNSTARTED] = {"-", 0},
    [TASK_CANCELLING][EV_CANCEL] = {"yes: redelivered", FX_REQUESTED | FX_SIGNAL},
    [TASK_CANCELLING][EV_PASS_ON] = {"yes: none", FX_REQUESTED},
    [TASK_CANCELLING][EV_KILL] = {"yes: killed -> killing", FX_REQUESTED | FX_KILL | FX_KILLED},
    [TASK_CANCELLING][EV_UNCANCEL] = {"0 -> running", FX_UNCANCELLED},
    [TASK_CANCELLING][EV_SHIELD] = {"ok -> cancelling, shielded", 0},
    [TASK_CANCELLING][EV_SHIELD_MOVED] = {"-", 0},
    [TASK_CANCELLING][EV_UNSHIELD] = {"not_shielded", 0},
    [TASK_CANCELLING][EV_DEADLINE_SET] = {"ok", FX_DEADLINE},
    [TASK_CANCELLING][EV_DEADLINE] = {"noted", FX_EXPIRED},
    [TASK_CANCELLING][EV_GRACE_OVER] = {"+ -> killing", FX_KILL | FX_KILLED},
    [TASK_CANCELLING][EV_SIGNALLED] = {"-", 0},
    [TASK_CANCELLING][EV_EXTEND] = {"+", 0},
    [TASK_CANCELLING][EV_DECLARE] = {"+", 0},
    [TASK_CANCELLING][EV_EXITED] = {"+ -> cleanup", 0},
    [TASK_CANCELLING][EV_TREE_GONE] = {"-", 0},
    [TASK_CANCELLING][EV_MONITOR_LOST] = {"+ -> cleanup", FX_HOOK},
    [TASK_CANCELLING][EV_HOOK_BEGUN] = {"-", 0},
    [TASK_CANCELLING][EV_HOOK_LIMIT] = {"-", 0},
    [TASK_CANCELLING][EV_HOOK_ENDED] = {"-", 0},
    [TASK_CANCELLING][EV_HOOK_AGAIN] = {"-", 0},
    /* killing */
    [TASK_KILLING][EV_RELEASE] = {"-", 0},
    [TASK_KILLING][EV_SPAWN] = {"-", 0},
    [TASK_KILLING][EV_STARTED] = {"-", 0},
    [TASK_KILLING][EV_UNSTARTED] = {"-", 0},
    [TASK_KILLING][EV_CANCEL] = {"yes: killing", FX_REQUESTED},
    [TASK_KILLING][EV_PASS_ON] = {"yes: killing", FX_REQUESTED},
    [TASK_KILLING][EV_KILL] = {"yes: none", 0},
    [TASK_KILLING][EV_UNCANCEL] = {"0", FX_UNCANCELLED},
    [TASK_KILLING][EV_SHIELD] = {"killing", 0},
    [TASK_KILLING][EV_SHIELD_MOVED] = {"killing", 0},
    [TASK_KILLING][EV_UNSHIELD] = {"not_shielded", 0},
    [TASK_KILLING][EV_DEADLINE_SET] = {"finishing", 0},
    [TASK_KILLING][EV_DEADLINE] = {"noted", FX_EXPIRED},
    [TASK_KILLING][EV_GRACE_OVER] = {"-", 0},
    [TASK_KILLING][EV_SIGNALLED] = {"-", 0},
    [TASK_KILLING][EV_EXTEND] = {"-", 0},
    [TASK_KILLING][EV_DECLARE] = {"+", 0},
    [TASK_KILLING][EV_EXITED] = {"+ -> cleanup", 0},
    [TASK_KILLING][EV_TREE_GONE] = {"-", 0},
    [TASK_KILLING][EV_MONITOR_LOST] = {"+ -> cleanup", FX_HOOK},
    [TASK_KILLING][EV_HOOK_BEGUN] = {"-", 0},
    [TASK_KILLING][EV_HOOK_LIMIT] = {"-", 0},
    [TASK_KILLING][EV_HOOK_ENDED] = {"-", 0},
    [TASK_KILLING][EV_HOOK_AGAIN] = {"-", 0},
    /* cleanup */
    [TASK_CLEANUP][EV_RELEASE] = {"finishing", 0},
    [TASK_CLEANUP][EV_SPAWN] = {"-", 0},
    [TASK_CLEANUP][EV_STARTED] = {"-", 0},
    [TASK_CLEANUP][EV_UNSTARTED] = {"-", 0},
    [TASK_CLEANUP][EV_CANCEL] = {"NO: finishing", 0},
    [TASK_CLEANUP][EV_PASS_ON] = {"NO: finishing", 0},
    [TASK_CLEANUP][EV_KILL] = {"shielded", 0},
    [TASK_CLEANUP][EV_UNCANCEL] = {"0", FX_UNCANCELLED},
    [TASK_CLEANUP][EV_SHIELD] = {"finishing", 0},
    [TASK_CLEANUP][EV_SHIELD_MOVED] = {"finishing", 0},
    [TASK_CLEANUP][EV_UNSHIELD] = {"not_shielded", 0},
    [TASK_CLEANUP][EV_DEADLINE_SET] = {"finishing", 0},
    [TASK_CLEANUP][EV_DEADLINE] = {"noted", FX_EXPIRED},
    [TASK_CLEANUP][EV_GRACE_OVER] = {"-", 0},
    [TASK_CLEANUP][EV_SIGNALLED] = {"-", 0},
    [TASK_CLEANUP][EV_EXTEND] = {"+", 0},
    [TASK_CLEANUP][EV_DECLARE] = {"-", 0},
    [TASK_CLEANUP][EV_EXITED] = {"-", 0},
    [TASK_CLEANUP][EV_TREE_GONE] = {"+", FX_HOOK},
    [TASK_CLEANUP][EV_MONITOR_LOST] = {"+", FX_HOOK},
    [TASK_CLEANUP][EV_HOOK_BEGUN] = {"+", 0},
    [TASK_CLEANUP][EV_HOOK_LIMIT] = {"+", FX_HOOK_TERM},
    [TASK_CLEANUP][EV_HOOK_ENDED] = {"+ -> done", FX_END},
    [TASK_CLEANUP][EV_HOOK_AGAIN] = {"+", FX_HOOK},
    /* the terminal states */
    [TASK_DONE... TASK_LOST][EV_RELEASE] = {"finished", 0},
    [TASK_DONE... TASK_LOST][EV_SPAWN] = {"-", 0},
    [TASK_DONE... TASK_LOST][EV_STARTED] = {"-", 0},
    [TASK_DONE... TASK_LOST][EV_UNSTARTED] = {"-", 0},
    [TASK_DONE... TASK_LOST][EV_CANCEL] = {"NO: finished", 0},
    [TASK_DONE... TASK_LOST][EV_PASS_ON] = {"NO: finished", 0},
    [TASK_DONE... TASK_LOST][EV_KILL] = {"NO: finished", 0},
    [TASK_DONE... TASK_LOST][EV_UNCANCEL] = {"*", 0},
    [TASK_DONE... TASK_LOST][EV_SHIELD] = {"finished", 0},
    [TASK_DONE... TASK_LOST][EV_SHIELD_MOVED] = {"finished", 0},
    [TASK_DONE... TASK_LOST][EV_UNSHIELD] = {"finished", 0},
    [TASK_DONE... TASK_LOST][EV_DEADLINE_SET] = {"finished", 0},
    [TASK_DONE... TASK_LOST][EV_DEADLINE] = {"-", 0},
    [TASK_DONE... TASK_LOST][EV_GRACE_OVER] = {"-", 0},
    [TASK_DONE... TASK_LOST][EV_SIGNALLED] = {"-", 0},
    [TASK_DONE... TASK_LOST][EV_EXTEND] = {"-", 0},
    [TASK_DONE... TASK_LOST][EV_DECLARE] = {"-", 0},
    [TASK_DONE... TASK_LOST][EV_EXITED] = {"-", 0},
    [TASK_DONE... TASK_LOST][EV_TREE_GONE] = {"-", 0},
    [TASK_DONE... TASK_LOST][EV_MONITOR_LOST] = {"-", 0},
    [TASK_DONE... TASK_LOST][EV_HOOK_BEGUN] = {"-", 0},
    [TASK_DONE... TASK_LOST][EV_HOOK_LIMIT] = {"-", 0},
    [TASK_DONE... TASK_LOST][EV_HOOK_ENDED] = {"-", 0},
    [TASK_DONE... TASK_LOST][EV_HOOK_AGAIN] = {"-", 0},
};

/* What the cell's event presupposes: a held task, a deadline that is due, a hook that runs. */
static void
prepare(struct bench *b, enum rules_event e)
{
	if (e == EV_RELEASE && b->f.state == TASK_PENDING)
		b->f.held = true;
	if ((e == EV_DEADLINE || e == EV_EXTEND) && !rules_is_terminal(b->f.state))
		b->f.deadline = b->now + SEC;
	if (e == EV_DEADLINE)
		b->now += SEC;
	if (e == EV_GRACE_OVER)
		b->now += GRACE;
	if (b->f.state != TASK_CLEANUP)
		return;
	if (e == EV_EXTEND || (e >= EV_HOOK_BEGUN && e <= EV_HOOK_AGAIN))
		DO(b, EV_TREE_GONE);
	if (e == EV_EXTEND || (e > EV_HOOK_BEGUN && e <= EV_HOOK_AGAIN))
		DO(b, EV_HOOK_BEGUN, .span = 2 * SEC);
	if (e == EV_HOOK_LIMIT)
		b->now += 2 * SEC;
}

START_TEST(every_cell)
{
	unsigned state = (unsigned)_i / RULES_NEVENTS, e = (unsigned)_i % RULES_NEVENTS;
	const struct cell *want = &cells[state][e];
	struct bench b = bench_in(state);
	const char *got;

	ck_assert_msg(want->text != NULL, "no expectation for %s, %s", rules_state_name(state),
	    rules_event_name(e));
	prepare(&b, e);
	got = tell(&b, e,
	    &(struct rules_input){
		.now = b.now, .when = b.now + 50 * SEC, .span = 3000 * SEC, .ok = true});
	if (strcmp(want->text, "*") == 0)
		return;
	ck_assert_msg(strcmp(got, want->text) == 0 && b.v.fx == want->fx,
	    "%s, %s: \"%s\" with effects %#x, should be \"%s\" with %#x", rules_state_name(state),
	    rules_event_name(e), got, b.v.fx, want->text, want->fx);
}
END_TEST

/* Facts as they are at birth, put into each state: no cell may be missing or leave a terminal state. */
START_TEST(every_cell_bears_neutral_facts)
{
	for (unsigned s = 0; s < TASK_NSTATES; s++) {
		for (unsigned e = 0; e < RULES_NEVENTS; e++) {
			struct bench b = {0};

			rules_facts_init(&b.f);
			ck_assert_int_eq(b.f.state, TASK_PENDING);
			b.f.state = s;
			DO(&b, e);
			ck_assert_uint_lt(b.f.state, TASK_NSTATES);
			ck_assert(!rules_is_terminal(s) || b.f.state == s);
		}
	}
}
END_TEST

/* ---- the table of commands, semantics as published ---- */

enum column {
	COL_CANCEL,
	COL_PASS_ON,
	COL_KILL,
	COL_PIERCE,
	COL_UNCANCEL,
	COL_SHIELD,
	COL_UNSHIELD,
	COL_DEADLINE_50,
	COL_DEADLINE_0,
	COL_EXPIRES,
	COL_GRACE_OVER,
	COLUMNS
};

static const struct row {
	const char *name;
	const char *cell[COLUMNS];
} rows[] = {
    {"pending", {"yes: ended -> cancelled", "yes: ended -> cancelled", "yes: ended -> cancelled",
		    "yes: ended -> cancelled", "0", "ok -> pending, shielded", "not_shielded", "ok",
		    "ok -> timed_out", "noted -> timed_out", "-"}},
    {"running", {"yes: delivered -> cancelling", "yes: delivered -> cancelling",
		    "yes: killed -> killing", "yes: killed -> killing", "0", "ok -> shielded",
		    "not_shielded", "ok", "ok -> cancelling", "signalled -> cancelling", "-"}},
    {"shielded", {"yes: deferred -> shielded, pending", "yes: deferred -> shielded, pending",
		     "shielded", "yes: killed -> killing", "0", "ok", "ok -> running", "ok",
		     "ok -> shielded, pending", "deferred -> shielded, pending", "-"}},
    {"shielded, cancel pending", {"yes: coalesced", "yes: coalesced", "shielded",
				     "yes: killed -> killing", "0, revoked -> shielded", "ok",
				     "ok, delivered -> cancelling", "ok", "ok", "deferred", "-"}},
    {"shielded, deadline pending",
	{"yes: deferred", "yes: deferred", "shielded", "yes: killed -> killing", "0", "ok",
	    "ok, delivered -> cancelling", "expired", "expired", "-", "-"}},
    {"cancelling", {"yes: redelivered", "yes: none", "yes: killed -> killing",
		       "yes: killed -> killing", "0 -> running", "ok -> cancelling, shielded",
		       "not_shielded", "ok", "ok", "noted", "+ -> killing"}},
    {"cancelling, unlimited",
	{"yes: redelivered", "yes: redelivered", "yes: killed -> killing", "yes: killed -> killing",
	    "0 -> running", "ok -> cancelling, shielded", "not_shielded", "ok", "ok", "signalled",
	    "-"}},
    {"cancelling, shielded", {"yes: deferred -> cancelling, shielded, pending", "yes: none",
				 "shielded", "yes: killed -> killing", "0 -> shielded", "ok",
				 "ok -> cancelling", "ok", "ok", "noted", "-"}},
    {"killing", {"yes: killing", "yes: killing", "yes: none", "yes: none", "0", "killing",
		    "not_shielded", "finishing", "finishing", "noted", "-"}},
    {"cleanup", {"NO: finishing", "NO: finishing", "shielded", "yes: hook_killed", "0", "finishing",
		    "not_shielded", "finishing", "finishing", "noted", "-"}},
    {"terminal", {"NO: finished", "NO: finished", "NO: finished", "NO: finished", "0", "finished",
		     "finished", "finished", "finished", "-", "-"}},
};

static struct bench
bench_unlimited(void)
{
	struct bench b = bench_pending();

	b.f.grace = RULES_UNLIMITED;
	bench_start(&b);
	DO(&b, EV_CANCEL);
	bench_turn_ends(&b);
	return b;
}

static struct bench
bench_row(const char *name)
{
	struct bench b = bench_running();

	if (strcmp(name, "pending") == 0)
		b = bench_pending();
	if (strncmp(name, "shielded", 8) == 0)
		b = bench_shielded();
	if (strcmp(name, "shielded, deadline pending") == 0)
		bench_expire(&b);
	if (strcmp(name, "shielded, cancel pending") == 0)
		DO(&b, EV_CANCEL);
	if (strncmp(name, "cancelling", 10) == 0)
		b = strstr(name, "unlimited") != NULL ? bench_unlimited() : bench_cancelling();
	if (strcmp(name, "cancelling, shielded") == 0)
		DO(&b, EV_SHIELD);
	if (strcmp(name, "killing") == 0)
		b = bench_in(TASK_KILLING);
	if (strcmp(name, "cleanup") == 0) {
		b = bench_in(TASK_CLEANUP);
		DO(&b, EV_TREE_GONE);
		DO(&b, EV_HOOK_BEGUN, .span = SEC);
	}
	if (strcmp(name, "terminal") == 0)
		b = bench_in(TASK_DONE);
	return b;
}

static const char *
tell_column(struct bench *b, enum column col)
{
	static const enum rules_event events[COLUMNS] = {[COL_CANCEL] = EV_CANCEL,
	    [COL_PASS_ON] = EV_PASS_ON,
	    [COL_KILL] = EV_KILL,
	    [COL_PIERCE] = EV_KILL,
	    [COL_UNCANCEL] = EV_UNCANCEL,
	    [COL_SHIELD] = EV_SHIELD,
	    [COL_UNSHIELD] = EV_UNSHIELD,
	    [COL_DEADLINE_50] = EV_DEADLINE_SET,
	    [COL_DEADLINE_0] = EV_DEADLINE_SET,
	    [COL_EXPIRES] = EV_DEADLINE,
	    [COL_GRACE_OVER] = EV_GRACE_OVER};
	struct rules_input in = {.pierce = col == COL_PIERCE};

	if (col == COL_EXPIRES && !b->f.expired && !rules_is_terminal(b->f.state)) {
		b->f.deadline = b->now + SEC;
		b->now += SEC;
	}
	if (col == COL_GRACE_OVER)
		b->now += GRACE;
	in.now = b->now;
	in.when = b->now + (col == COL_DEADLINE_50 ? 50 * SEC : 0);
	return tell(b, events[col], &in);
}

START_TEST(table_of_commands)
{
	const struct row *row = &rows[_i];

	for (unsigned col = 0; col < COLUMNS; col++) {
		struct bench b = bench_row(row->name);
		const char *got = tell_column(&b, col);

		ck_assert_msg(strcmp(got, row->cell[col]) == 0,
		    "%s, column %u: \"%s\", should be \"%s\"", row->name, col, got, row->cell[col]);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("rules");
	TCase *t = tcase_create("cells");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(t, every_cell, 0, TASK_NSTATES * RULES_NEVENTS);
	tcase_add_test(t, every_cell_bears_neutral_facts);
	tcase_add_loop_test(t, table_of_commands, 0, sizeof rows / sizeof *rows);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

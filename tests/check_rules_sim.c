/*
 * A simulator of the rules: a fake daemon with a fake clock, store, monitor and programs lives
 * through random lives, crashes at any effect, and is checked after every step against a second
 * telling of the rules and against what the world outside saw.
 *
 * RULES_SIM_SEED repeats a run, RULES_SIM_STEPS sets its length.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <check.h>
#include "rules_model.h"

#define SEC         INT64_C(1000000000)
#define TRACE_LINES 80
#define HOOKS_MAX   8
#define TURNS_MAX   5000

/* What a program does with a cancel. */
enum temper { OBEYS, CATCHES, FAILS_CLEANUP, EXITS_143, IGNORES, SHIELDS, TEMPERS };
enum order { ORDER_NONE, ORDER_EXECUTED, ORDER_FAILED };

/* A hook's process, and the record that its monitor leaves. */
struct hook_run {
	bool known; /* the monitor has it, running or ended */
	bool runs, ok, ignores_term;
	unsigned place;
	int64_t ends;
};

/* Outside of the daemon: no crash of it changes anything here. */
struct world {
	enum order order;
	enum temper temper;
	unsigned executed; /* how often */
	bool alive, exited;
	bool lost;    /* the machine started anew: nobody knows how it ended */
	int64_t dies; /* when, if nothing happens */
	struct rules_exit death;
	int64_t tree_dies;
	unsigned signals, kills;
	struct hook_run hook;
	unsigned hooks_ended[HOOKS_MAX];
};

/* What the daemon has stored; a crash falls back to the last commit. */
struct store {
	struct rules_facts f;
	struct model m;
	unsigned signals_mark, kills_mark; /* the world has to have seen more than these */
	bool signal_owed, kill_owed;
	unsigned ends;
};

struct sim {
	uint64_t rng, seed;
	int64_t now;
	struct world w;
	struct store live, committed;
	unsigned fx; /* to be carried out at the end of the turn */
	bool late;   /* the monitor's word of the exit has not come in yet */
	uint64_t steps;
	unsigned crashes;
	char trace[TRACE_LINES][96];
	unsigned traced;
};

static uint64_t total_steps, total_lives, total_crashes, outcomes[TASK_NSTATES];

/* ---- chance and failure ---- */

static uint64_t
rnd(struct sim *s)
{
	uint64_t z = (s->rng += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static unsigned
below(struct sim *s, unsigned n)
{
	return (unsigned)(rnd(s) % n);
}

static bool
chance(struct sim *s, unsigned one_in)
{
	return below(s, one_in) == 0;
}

static void
note(struct sim *s, const char *what, const char *detail)
{
	snprintf(s->trace[s->traced++ % TRACE_LINES], sizeof s->trace[0], "%6.1f %-14s %s",
	    (double)s->now / (double)SEC, what, detail);
}

static void
broken(struct sim *s, const char *rule, int line)
{
	unsigned from = s->traced > TRACE_LINES ? s->traced - TRACE_LINES : 0;

	for (unsigned n = from; n < s->traced; n++)
		fprintf(stderr, "  %s\n", s->trace[n % TRACE_LINES]);
	ck_abort_msg("line %d: \"%s\" does not hold; repeat with RULES_SIM_SEED=%llu "
		     "RULES_SIM_STEPS=1",
	    line, rule, (unsigned long long)s->seed);
}

/* ck_assert() reports each success to its parent, which is too slow for millions of them. */
#define MUST(cond)                                  \
	do {                                        \
		if (!(cond))                        \
			broken(s, #cond, __LINE__); \
	} while (0)

/* ---- the world ---- */

static void
world_die_by(struct sim *s, int64_t when, bool signalled, int code)
{
	if (!s->w.alive || s->w.dies <= when)
		return;
	s->w.dies = when;
	s->w.death = (struct rules_exit){.signalled = signalled, .code = code};
}

static void
world_execute(struct sim *s)
{
	MUST(s->w.executed == 0); /* at most once, whatever happens to the daemon */
	s->w.executed++;
	if (chance(s, 12)) {
		s->w.order = ORDER_FAILED;
		return;
	}
	s->w.order = ORDER_EXECUTED;
	s->w.alive = true;
	s->w.dies = RULES_NEVER;
	if (chance(s, 3))
		world_die_by(s, s->now + below(s, 12) * SEC, false, chance(s, 2) ? 0 : 3);
	else if (chance(s, 20))
		world_die_by(s, s->now + below(s, 12) * SEC, true,
		    chance(s, 2) ? SIGKILL : (chance(s, 2) ? SIGTERM : SIGSEGV));
}

static void
world_signal(struct sim *s)
{
	int64_t soon = s->now + below(s, 4) * SEC;

	s->w.signals++;
	switch (s->w.temper) {
	case OBEYS:
	case SHIELDS: world_die_by(s, soon, true, s->live.f.signo); break;
	case CATCHES: world_die_by(s, soon, false, 0); break;
	case FAILS_CLEANUP: world_die_by(s, soon, false, 1); break;
	case EXITS_143: world_die_by(s, soon, false, 143); break;
	default: break;
	}
}

static void
world_kill(struct sim *s)
{
	s->w.kills++;
	world_die_by(s, s->now + (chance(s, 4) ? SEC : 0), true, SIGKILL);
	if (s->w.exited && s->w.tree_dies > s->now)
		s->w.tree_dies = s->now;
}

static bool
world_tree_gone(const struct sim *s)
{
	return s->w.exited && s->now >= s->w.tree_dies;
}

static void
world_start_hook(struct sim *s)
{
	struct hook_run *h = &s->w.hook;

	MUST(world_tree_gone(s) || s->live.f.outcome == TASK_LOST);
	MUST(!h->runs); /* never twice at once */
	*h = (struct hook_run){.known = true, .runs = true, .ok = !chance(s, 5)};
	h->place = s->live.f.hook_at;
	h->ignores_term = chance(s, 2);
	h->ends = s->now + (chance(s, 4) ? 50 * SEC : below(s, 4) * SEC);
}

/* What is due by now happens. */
static void
world_run(struct sim *s)
{
	struct world *w = &s->w;

	if (w->alive && w->dies <= s->now) {
		w->alive = false;
		w->exited = true;
		w->tree_dies = s->now + (chance(s, 3) ? below(s, 3) * SEC : 0);
		note(s, "world", w->death.signalled ? "leader died of a signal" : "leader exited");
	}
	if (w->hook.runs && w->hook.ends <= s->now) {
		w->hook.runs = false;
		w->hooks_ended[w->hook.place]++;
	}
}

/* ---- the daemon: one step, and what must hold after it ---- */

static void
set_state(void *ctx, enum task_state state)
{
	struct sim *s = ctx;

	MUST(!rules_is_terminal(s->live.f.state));
	s->live.f.state = state;
}

static void
compare_answer(struct sim *s, enum rules_event e, const struct rules_verdict *v,
    const struct model_answer *a, enum task_state before)
{
	bool asks = e == EV_CANCEL || e == EV_PASS_ON || e == EV_KILL;

	MUST(v->error == a->error);
	MUST(!asks || a->error != ERR_NONE || v->accepted == a->accepted);
	/* What a cancel that comes during the start is called is left open. */
	MUST(!asks || a->error != ERR_NONE || before == TASK_STARTING || v->effect == a->effect);
	MUST(e != EV_UNCANCEL || v->remaining == a->remaining);
	MUST(e != EV_UNCANCEL || before == TASK_STARTING || v->revoked == a->revoked);
	MUST(e != EV_UNSHIELD || v->delivered == a->delivered);
}

static void
compare_facts(struct sim *s)
{
	const struct rules_facts *f = &s->live.f;
	const struct model *m = &s->live.m;
	bool leader = f->state == TASK_RUNNING || f->state == TASK_CANCELLING;

	MUST(f->state == m->state);
	MUST(f->requests == m->requests && f->count == m->count);
	MUST(f->shields == m->shields);
	MUST(f->deadline == m->deadline && f->expired == m->expired);
	MUST(f->outcome == m->outcome && f->context == m->context && f->forced == m->forced);
	if (!leader)
		return;
	MUST((f->sending != 0 || f->sending_deadline) == (m->signal != 0 || m->signal_deadline));
	MUST(f->sending == m->signal);
	MUST(f->deferred == m->deferred && f->deferred_deadline == m->deferred_deadline);
	MUST(f->kill_at == m->kill_at && f->grace_left == m->grace_left);
}

/* What holds whatever the event was. */
static void
check_step(
    struct sim *s, const struct rules_facts *old, enum rules_event e, const struct rules_verdict *v)
{
	const struct rules_facts *f = &s->live.f;
	struct rules_hook hook;

	MUST(f->count <= f->requests);
	MUST(f->requests >= old->requests && f->requests <= old->requests + 1);
	MUST((f->requests == old->requests) == (v->request == 0));
	MUST(v->request == 0 || v->request == f->requests);
	MUST(!(v->fx & FX_SIGNAL) || f->shields == 0);
	MUST(!(v->fx & FX_SIGNAL) || f->sending != 0 || f->sending_deadline);
	MUST(!(v->fx & FX_END) == !(rules_is_terminal(f->state) && f->state != old->state));
	MUST(!(v->fx & FX_HOOK) || (f->tree_gone && f->hook_stage == HOOK_IDLE));
	MUST(!(v->fx & FX_HOOK) || rules_hook_next(f, &hook));
	MUST(!(v->fx & (FX_HOOK | FX_HOOK_TERM | FX_HOOK_KILL)) || f->state == TASK_CLEANUP);
	MUST(!(v->fx & FX_EXPIRED) || (e == EV_DEADLINE && s->now >= old->deadline) ||
	     (e == EV_RELEASE && old->timeout == 0));
	MUST(v->error == ERR_NONE || v->fx == 0);
	/* It timed out if a deadline asked and nobody else did. */
	if (e == EV_EXITED && f->outcome == TASK_TIMED_OUT)
		MUST(old->expired && old->count == 0);
	/* A deferred request stays until it is delivered, taken back, or nobody is left to get it. */
	if (old->deferred != 0 && f->deferred == 0)
		MUST(v->delivered || v->revoked || f->sending == old->deferred || f->killed ||
		     f->kill_at_start || !rules_has_leader(f->state) ||
		     (e == EV_UNCANCEL && f->count == 0));
	/* The end of the grace period moves later only where a shield or the task moves it. */
	if (old->state == TASK_CANCELLING && f->state == TASK_CANCELLING && e != EV_EXTEND &&
	    e != EV_SHIELD && e != EV_SHIELD_MOVED && e != EV_UNSHIELD &&
	    !(e == EV_GRACE_OVER && s->w.exited))
		MUST(f->kill_at <= old->kill_at);
	if (e == EV_UNSHIELD && old->grace_left != RULES_NEVER && f->kill_at != RULES_NEVER)
		MUST(f->kill_at <= s->now + old->grace_left);
}

static void
remember(struct sim *s, const struct rules_verdict *v)
{
	s->fx |= v->fx & (FX_SIGNAL | FX_KILL | FX_HOOK | FX_HOOK_TERM | FX_HOOK_KILL | FX_SPAWN);
	if (v->fx & FX_SIGNAL) {
		s->live.signal_owed = true;
		s->live.signals_mark = s->w.signals;
	}
	if (v->fx & FX_KILL) {
		s->live.kill_owed = true;
		s->live.kills_mark = s->w.kills;
	}
	if (v->fx & FX_END)
		s->live.ends++;
}

static struct rules_verdict
feed(struct sim *s, enum rules_event e, struct rules_input in)
{
	struct rules_facts old = s->live.f;
	struct model_answer a;
	struct rules_verdict v;

	in.now = s->now;
	in.gone = s->w.exited && s->late && rules_has_leader(old.state) && e != EV_EXITED;
	s->steps++;
	v = rules_step(&s->live.f, e, &in, set_state, s);
	note(s, rules_event_name(e), rules_state_name(s->live.f.state));
	a = model_step(&s->live.m, e, &in);
	check_step(s, &old, e, &v);
	compare_answer(s, e, &v, &a, old.state);
	compare_facts(s);
	remember(s, &v);
	return v;
}

#define FEED(e, ...) feed(s, (e), (struct rules_input){.now = 0, __VA_ARGS__})

/* ---- the phases of a turn ---- */

static void
hear_notifications(struct sim *s)
{
	enum task_state state = s->live.f.state;

	if (s->w.order != ORDER_EXECUTED || (!s->w.alive && !s->late) ||
	    (state != TASK_RUNNING && state != TASK_CANCELLING) || !chance(s, 3))
		return;
	if (s->w.temper == SHIELDS && chance(s, 2)) {
		if (s->live.f.shields == 0)
			FEED(EV_SHIELD);
		else
			FEED(EV_UNSHIELD);
		return;
	}
	switch (below(s, 8)) {
	case 0: FEED(EV_UNCANCEL, .by_task = true); break;
	case 1: FEED(EV_EXTEND, .span = below(s, 9) * SEC); break;
	case 2: FEED(EV_DECLARE); break;
	case 3: FEED(EV_CANCEL); break;
	default: break;
	}
}

/* The monitors' records, as they are: what the facts do not say yet is fed. */
static void
hear_monitors(struct sim *s)
{
	const struct rules_facts *f = &s->live.f;
	struct hook_run *h = &s->w.hook;

	if (s->w.lost && rules_has_leader(f->state))
		FEED(EV_MONITOR_LOST);
	if (f->state == TASK_STARTING && s->w.order == ORDER_EXECUTED)
		FEED(EV_STARTED);
	if (f->state == TASK_STARTING && s->w.order == ORDER_FAILED)
		FEED(EV_UNSTARTED);
	s->late = s->w.exited && rules_has_leader(f->state) && chance(s, 4);
	if (s->w.exited && !s->late && rules_has_leader(f->state))
		FEED(EV_EXITED, .exit = s->w.death);
	if (f->state == TASK_CLEANUP && !f->tree_gone && world_tree_gone(s))
		FEED(EV_TREE_GONE);
	if (f->state != TASK_CLEANUP || !h->known || h->place != f->hook_at)
		return;
	if (f->hook_stage == HOOK_IDLE)
		FEED(EV_HOOK_BEGUN, .span = (1 + below(s, 6)) * SEC);
	if (!h->runs)
		FEED(EV_HOOK_ENDED, .ok = h->ok);
}

static void
command(struct sim *s)
{
	bool graced = s->live.f.state != TASK_STARTING && chance(s, 4);

	switch (below(s, 11)) {
	case 0:
	case 1: FEED(EV_CANCEL, .has_grace = graced, .grace = below(s, 7) * SEC); break;
	case 2: FEED(EV_PASS_ON, .has_grace = graced, .grace = below(s, 7) * SEC); break;
	case 3:
		if (chance(s, 3))
			FEED(EV_KILL, .pierce = chance(s, 3), .has_msg = chance(s, 2));
		break;
	case 4:
	case 5: FEED(EV_UNCANCEL); break;
	case 6:
		if (s->live.f.shields < 3)
			FEED(EV_SHIELD);
		else
			FEED(EV_SHIELD_MOVED);
		break;
	case 7:
	case 8: FEED(EV_UNSHIELD); break;
	case 9:
		FEED(EV_DEADLINE_SET,
		    .when = chance(s, 4) ? RULES_NEVER : s->now + below(s, 12) * SEC);
		break;
	default:
		if (s->live.f.held)
			FEED(EV_RELEASE);
		break;
	}
}

static void
fire_timers(struct sim *s)
{
	enum rules_event e, again;

	for (unsigned n = 0; rules_next_timer(&s->live.f, &e) <= s->now; n++) {
		int64_t when = rules_next_timer(&s->live.f, &e);

		MUST(n < 4);
		FEED(e);
		MUST(rules_next_timer(&s->live.f, &again) != when || again != e);
	}
}

/* ---- commit, effects, crash ---- */

static void
commit(struct sim *s)
{
	memcpy(&s->committed, &s->live, sizeof s->live);
}

/* A new daemon: what was committed and what the monitors know is all that there is. */
static void
recover(struct sim *s)
{
	const struct hook_run *h = &s->w.hook;
	const struct rules_facts *f = &s->live.f;

	memcpy(&s->live, &s->committed, sizeof s->live);
	s->fx = 0;
	s->late = false;
	s->now += below(s, 3) * SEC;
	world_run(s);
	if (f->state == TASK_PENDING && !f->held)
		s->fx |= FX_SPAWN;
	if (f->sending != 0 || f->sending_deadline)
		s->fx |= FX_SIGNAL;
	if (f->state == TASK_KILLING)
		s->fx |= FX_KILL;
	if (f->state != TASK_CLEANUP || !f->tree_gone)
		return;
	if (h->known && h->place == f->hook_at) {
		s->fx |= f->hook_stage == HOOK_TERMED ? FX_HOOK_TERM : 0;
		s->fx |= f->hook_stage > HOOK_TERMED ? FX_HOOK_KILL : 0;
	} else if (f->hook_stage == HOOK_IDLE) {
		s->fx |= FX_HOOK;
	} else {
		FEED(EV_HOOK_AGAIN);
	}
}

/* The daemon may die here; a hook's monitor may die with it, and with that the hook. */
static bool
crash(struct sim *s)
{
	if (!chance(s, 25))
		return false;
	note(s, "CRASH", "");
	s->crashes++;
	if (chance(s, 10) && s->w.hook.runs)
		s->w.hook = (struct hook_run){0};
	recover(s);
	return true;
}

/* No process is left, and no record of any. */
static void
reboot(struct sim *s)
{
	note(s, "REBOOT", "");
	s->crashes++;
	s->w.alive = false;
	s->w.exited = s->w.lost = true;
	s->w.tree_dies = s->now;
	s->w.hook = (struct hook_run){0};
	recover(s);
}

static bool
do_spawn(struct sim *s)
{
	if (s->live.f.state == TASK_PENDING && !s->live.f.held) {
		FEED(EV_SPAWN);
		commit(s);
		if (crash(s))
			return true;
	}
	if (s->live.f.state == TASK_STARTING && s->w.order == ORDER_NONE && !s->w.lost)
		world_execute(s);
	return crash(s);
}

static bool
do_signal(struct sim *s)
{
	if (s->live.f.sending == 0 && !s->live.f.sending_deadline)
		return false;
	if (s->w.alive)
		world_signal(s);
	if (crash(s))
		return true;
	FEED(EV_SIGNALLED);
	return false;
}

static bool
do_hook(struct sim *s, unsigned fx)
{
	struct hook_run *h = &s->w.hook;
	bool mine = h->known && h->runs && h->place == s->live.f.hook_at;

	if (fx & FX_HOOK) {
		MUST(!mine);
		world_start_hook(s);
	}
	if ((fx & FX_HOOK_TERM) && mine && !h->ignores_term)
		h->ends = model_min(h->ends, s->now);
	if ((fx & FX_HOOK_KILL) && mine)
		h->ends = model_min(h->ends, s->now);
	return crash(s);
}

/* What was answered has come to pass by the end of a turn, or there is nobody left to get it. */
static void
check_owed(struct sim *s)
{
	struct store *st = &s->live;

	if (s->w.exited || !rules_has_leader(st->f.state))
		st->signal_owed = st->kill_owed = false;
	MUST(!st->signal_owed || s->w.signals > st->signals_mark || st->f.state == TASK_KILLING);
	MUST(!st->kill_owed || s->w.kills > st->kills_mark);
	st->signal_owed = st->kill_owed = false;
}

/* Carries out what the turn asked for; a crash starts over from what was committed. */
static void
carry_out(struct sim *s)
{
	for (unsigned n = 0; n < 1000; n++) {
		unsigned fx;

		if (crash(s))
			continue;
		commit(s);
		fx = s->fx;
		s->fx = 0;
		if (crash(s))
			continue;
		if (s->live.f.state == TASK_STARTING && s->w.order == ORDER_NONE)
			fx |= FX_SPAWN; /* the order went down with the last daemon */
		if ((fx & FX_SPAWN) && do_spawn(s))
			continue;
		if ((fx & FX_SIGNAL) && do_signal(s))
			continue;
		if (fx & FX_KILL) {
			if (crash(s))
				continue;
			world_kill(s);
		}
		if ((fx & (FX_HOOK | FX_HOOK_TERM | FX_HOOK_KILL)) && do_hook(s, fx))
			continue;
		check_owed(s);
		return;
	}
	MUST(!"the turn came to its end");
}

/* ---- a life ---- */

static void
check_ended(struct sim *s)
{
	const struct rules_facts *f = &s->live.f;
	const struct model *m = &s->live.m;
	enum hook_kind kinds[16];
	unsigned indices[16], hooks = model_hooks(m, kinds, indices);
	struct rules_hook hook;
	enum rules_event e;

	MUST(s->live.ends == 1);
	MUST(rules_next_timer(f, &e) == RULES_NEVER);
	MUST(!s->w.alive && !s->w.hook.runs);
	MUST(f->spawned ==
	     (s->w.order == ORDER_EXECUTED || f->outcome == TASK_LOST || f->context == TASK_LOST));
	for (unsigned n = 0; f->spawned && n < hooks; n++) {
		MUST(s->w.hooks_ended[n] > 0);
		MUST(s->crashes > 0 || s->w.hooks_ended[n] == 1);
		MUST(rules_hook_at(f, n, &hook));
		MUST(hook.kind == kinds[n] && hook.index == indices[n]);
	}
	for (unsigned n = f->spawned ? hooks : 0; n < HOOKS_MAX; n++)
		MUST(s->w.hooks_ended[n] == 0 && !rules_hook_at(f, n, &hook));
	MUST(rules_shown_request(f) <= f->requests);
	MUST(f->requests == 0 || rules_shown_request(f) > 0);
	outcomes[f->state]++;
}

static void
be_born(struct sim *s)
{
	struct rules_facts *f = &s->live.f;
	struct model *m = &s->live.m;

	s->now = (1 + below(s, 100)) * SEC;
	s->w.temper = below(s, TEMPERS);
	rules_facts_init(f);
	f->grace = chance(s, 4) ? RULES_UNLIMITED : below(s, 8) * SEC;
	f->timeout = chance(s, 2) ? RULES_NEVER : (1 + below(s, 15)) * SEC;
	f->signo = chance(s, 5) ? SIGUSR1 : SIGTERM;
	f->keep = chance(s, 4);
	f->hooks_warn = chance(s, 3);
	f->held = chance(s, 3);
	for (unsigned kind = 0; kind < HOOK_KINDS; kind++)
		f->hooks[kind] = below(s, 3);
	*m = (struct model){.grace = f->grace,
	    .timeout = f->timeout,
	    .deadline = RULES_NEVER,
	    .kill_at = RULES_NEVER,
	    .grace_left = RULES_NEVER,
	    .signo = f->signo,
	    .keep = f->keep,
	    .warn = f->hooks_warn,
	    .held = f->held};
	memcpy(m->hooks, f->hooks, sizeof m->hooks);
	if (!f->held)
		s->fx |= FX_SPAWN;
	commit(s);
}

/* To the next thing that is due, or a little on. */
static void
pass_time(struct sim *s)
{
	enum rules_event e;
	int64_t next = rules_next_timer(&s->live.f, &e);

	if (chance(s, 3))
		return;
	if (next == RULES_NEVER || next <= s->now || chance(s, 2))
		next = s->now + below(s, 3) * SEC;
	s->now = next;
}

static void
live(struct sim *s)
{
	unsigned eager = 1 + below(s, 8);

	be_born(s);
	for (unsigned turn = 0; !rules_is_terminal(s->live.f.state); turn++) {
		MUST(turn < TURNS_MAX);
		world_run(s);
		hear_notifications(s);
		hear_monitors(s);
		if (chance(s, eager))
			command(s);
		if (chance(s, 3 * eager))
			command(s);
		if (turn > 100 && chance(s, 4)) /* it has lived long enough */
			FEED(EV_KILL, .pierce = true);
		fire_timers(s);
		if (s->committed.f.state != TASK_PENDING && chance(s, 400))
			reboot(s);
		carry_out(s);
		pass_time(s);
	}
	/* An ended task bears everything that still comes. */
	for (unsigned e = 0; e < RULES_NEVENTS; e++)
		FEED(e, .when = s->now, .pierce = true);
	check_ended(s);
}

static uint64_t
env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

START_TEST(lives)
{
	struct timespec ts;
	uint64_t seed, steps = env_number("RULES_SIM_STEPS", 1000000);

	clock_gettime(CLOCK_REALTIME, &ts);
	seed = env_number("RULES_SIM_SEED", (uint64_t)ts.tv_sec * 1000003 + (uint64_t)ts.tv_nsec);
	printf("RULES_SIM_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	while (total_steps < steps) {
		static struct sim s;

		memset(&s, 0, sizeof s);
		s.seed = s.rng = seed + total_lives++;
		live(&s);
		total_steps += s.steps;
		total_crashes += s.crashes;
	}
	printf("%llu steps, %llu lives, %llu crashes;", (unsigned long long)total_steps,
	    (unsigned long long)total_lives, (unsigned long long)total_crashes);
	for (unsigned n = TASK_DONE; n < TASK_NSTATES; n++) {
		printf(" %llu %s", (unsigned long long)outcomes[n], rules_state_name(n));
		ck_assert_msg(
		    outcomes[n] > 0 || steps < 100000, "no life ended %s", rules_state_name(n));
	}
	printf("\n");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("rules: simulator");
	TCase *tcase = tcase_create("lives");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, lives);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

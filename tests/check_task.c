/* Tasks as data: the set, requests, holders, what the spec says, and the way to the store and back. */
#include <stdio.h>
#include <string.h>

#include "check_run.h"
#include "clock.h"
#include "json.h"
#include "task.h"
#include "util.h"

static json_t *
parse(const char *text)
{
	const char *why = NULL;
	json_t *v = json_parse_value(text, strlen(text), &why);

	ck_assert_msg(v != NULL, "%s: %s", text, why);
	return v;
}

/* -- the set -- */

static unsigned changes;

static void
observe(struct task *t, enum task_state from, enum task_state to)
{
	ck_assert_int_eq(t->facts.state, to);
	ck_assert_int_ne(from, to);
	changes++;
}

static void
check_set(const struct task_set *s)
{
	size_t n = 0;

	for (size_t st = 0; st < TASK_NSTATES; st++) {
		const struct task *t;
		uint32_t here = 0;

		TAILQ_FOREACH (t, &s->by_state[st], by_state) {
			if (t->facts.state != st || t->set != s || task_set_find(s, t->id) != t)
				ck_abort_msg(
				    "task %llu is in the wrong list", (unsigned long long)t->id);
			here++;
		}
		ck_assert_uint_eq(here, s->count[st]);
		n += here;
	}
	ck_assert_uint_eq(n, s->n);
}

/* Ids that collide in the table (low bits alike), and some that are in sequence. */
static uint64_t
id_of(size_t i)
{
	return i % 3 == 0 ? 1 + (uint64_t)i * 4096 : 1 + (uint64_t)i;
}

START_TEST(set_against_a_list)
{
	enum { MANY = 900 };
	static struct task *mine[MANY];
	struct task_set s;

	srandom(7);
	task_set_init(&s, observe);
	for (int step = 0; step < 20000; step++) {
		size_t i = (size_t)random() % MANY;
		struct task *found = task_set_find(&s, id_of(i));

		if (found != mine[i])
			ck_abort_msg("step %d: task %zu is not found rightly", step, i);
		if (found == NULL) {
			mine[i] = task_new(id_of(i));
			task_set_add_take(&s, mine[i]);
		} else if (random() % 2 == 0) {
			enum task_state to = (enum task_state)(random() % TASK_NSTATES);

			if (to != found->facts.state)
				task_set_state(found, to);
		} else {
			task_set_remove(&s, found);
			ck_assert_ptr_null(found->set);
			task_free(found);
			mine[i] = NULL;
		}
		if (step % 1000 == 0)
			check_set(&s);
	}
	check_set(&s);
	ck_assert_uint_gt(changes, 1000);
	task_set_release(&s); /* frees what is left */
}
END_TEST

START_TEST(state_of_a_task_in_no_set)
{
	struct task *t = task_new(3);

	task_set_state(t, TASK_DONE);
	ck_assert_int_eq(t->facts.state, TASK_DONE);
	task_free(t);
	task_free(NULL);
}
END_TEST

/* -- requests -- */

START_TEST(requests_that_nobody_names_are_forgotten)
{
	json_t *msg = parse("{\"why\":[1,2]}");
	struct task *t = task_new(1);

	t->facts.requests = t->facts.first = t->facts.sending = 1;
	ck_assert_ptr_nonnull(task_add_request(t, 1, ORIGIN_CLIENT, msg, "uid:1", 10));
	for (uint32_t n = 2; n <= 500; n++) { /* each delivery replaces the one before */
		t->facts.requests = t->facts.delivered = n;
		t->facts.sending = 0;
		ck_assert_ptr_nonnull(task_add_request(t, n, ORIGIN_WAIT, NULL, "uid:2", n));
	}
	ck_assert_ptr_nonnull(task_request(t, 1));
	ck_assert(json_equal(task_request(t, 1)->msg, msg));
	ck_assert_ptr_null(task_request(t, 499)); /* forgotten */
	ck_assert_int_eq(task_request(t, 500)->origin, ORIGIN_WAIT);
	ck_assert_ptr_null(task_request(t, 500)->msg);
	ck_assert_ptr_null(task_request(t, 0)); /* "none" is no request */
	ck_assert_ptr_null(task_add_request(t, 777, ORIGIN_CLIENT, msg, "x", 1)); /* not named */
	t->facts.delivered = 0;
	task_prune_requests(t);
	ck_assert_ptr_null(task_request(t, 500));
	ck_assert_ptr_nonnull(task_request(t, 1));
	task_free(t);
	ck_assert_uint_eq(msg->refcount, 1);
	json_decref(msg);
}
END_TEST

/* All places that facts can name are taken at once, and still there is room. */
START_TEST(as_many_requests_as_facts_name)
{
	struct task *t = task_new(1);
	struct rules_facts *f = &t->facts;

	f->first = 1;
	f->deferred = 2;
	f->delivered = 3;
	f->killer = 4;
	f->sending = 5;
	for (uint32_t n = 1; n <= TASK_RULE_REQUESTS; n++)
		ck_assert_ptr_nonnull(task_add_request(t, n, ORIGIN_CLIENT, NULL, "x", n));
	for (uint32_t n = 6; n <= 60; n++) {
		*(n % 2 ? &f->delivered : &f->killer) = n;
		ck_assert_ptr_nonnull(task_add_request(t, n, ORIGIN_KILL, NULL, "y", n));
	}
	ck_assert_ptr_nonnull(task_request(t, 60));
	ck_assert_ptr_nonnull(task_request(t, 59));
	ck_assert_ptr_nonnull(task_request(t, 2));
	task_free(t);
}
END_TEST

/* -- holders -- */

START_TEST(holders)
{
	struct task *t = task_new(1);
	char name[8];

	for (int i = 0; i < TASK_HOLDERS_MAX; i++) {
		snprintf(name, sizeof(name), "h%d", i);
		ck_assert_ptr_null(task_holder(t, name));
		ck_assert_int_eq(task_add_holder(t, name)->until, RULES_NEVER);
	}
	ck_assert_uint_eq(task_holders(t), TASK_HOLDERS_MAX);
	ck_assert_str_eq(TAILQ_FIRST(&t->holders)->name, "h0"); /* in the order they came */
	task_holder(t, "h5")->msg = parse("\"backup\"");
	task_drop_holder(t, task_holder(t, "h5"));
	ck_assert_ptr_null(task_holder(t, "h5"));
	ck_assert_uint_eq(task_holders(t), TASK_HOLDERS_MAX - 1);
	task_free(t);
}
END_TEST

/* -- the spec -- */

static struct task *
with_spec(const char *spec)
{
	struct task *t = task_new(1);

	t->spec = parse(spec);
	task_apply_spec(t, 10 * NS_PER_SEC);
	return t;
}

START_TEST(spec_of_nothing)
{
	struct task *t = with_spec("{\"argv\":[\"true\"]}");

	ck_assert_int_eq(t->facts.grace, 10 * NS_PER_SEC);
	ck_assert_int_eq(t->facts.timeout, RULES_NEVER);
	ck_assert_int_eq(t->facts.signo, 15);
	ck_assert(!t->facts.keep && !t->facts.hooks_warn && t->to_tree && !t->separate);
	ck_assert(!t->connection);
	for (int k = 0; k < HOOK_KINDS; k++)
		ck_assert_uint_eq(t->facts.hooks[k], 0);
	ck_assert_ptr_null(task_hook_spec(t, HOOK_FINALLY, 0));
	task_free(t);
}
END_TEST

START_TEST(spec_of_everything)
{
	struct task *t = with_spec(
	    "{\"shell\":\"x\",\"grace\":null,\"timeout\":\"1m\",\"signal\":\"HUP\","
	    "\"on_refuse\":\"keep\",\"hook_errors\":\"warn\",\"signal_to\":\"leader\","
	    "\"output\":\"separate\",\"lifetime\":\"connection\",\"hooks\":{"
	    "\"on_cancel\":{\"shell\":\"a\"},\"finally\":[{\"shell\":\"b\"},{\"shell\":\"c\"}]}}");

	ck_assert_int_eq(t->facts.grace, RULES_UNLIMITED);
	ck_assert_int_eq(t->facts.timeout, 60 * NS_PER_SEC);
	ck_assert_int_eq(t->facts.signo, 1);
	ck_assert(t->facts.keep && t->facts.hooks_warn && !t->to_tree && t->separate);
	ck_assert(t->connection);
	ck_assert_uint_eq(t->facts.hooks[HOOK_ON_CANCEL], 1);
	ck_assert_uint_eq(t->facts.hooks[HOOK_ON_TIMEOUT], 0);
	ck_assert_uint_eq(t->facts.hooks[HOOK_FINALLY], 2);
	ck_assert_str_eq(json_get_str(task_hook_spec(t, HOOK_ON_CANCEL, 0), "shell"), "a");
	ck_assert_ptr_null(task_hook_spec(t, HOOK_ON_CANCEL, 1));
	ck_assert_str_eq(json_get_str(task_hook_spec(t, HOOK_FINALLY, 1), "shell"), "c");
	ck_assert_ptr_null(task_hook_spec(t, HOOK_FINALLY, 2));
	ck_assert_ptr_null(task_hook_spec(t, HOOK_ON_FAILURE, 0));
	task_free(t);
}
END_TEST

START_TEST(spec_of_zero)
{
	struct task *t =
	    with_spec("{\"argv\":[\"x\"],\"grace\":0,\"timeout\":0,\"signal\":9,\"hooks\":{}}");

	ck_assert_int_eq(t->facts.grace, 0);
	ck_assert_int_eq(t->facts.timeout, 0);
	ck_assert_int_eq(t->facts.signo, 9);
	task_free(t);
}
END_TEST

/* -- the object that clients see -- */

static const char *const object_members[] = {"id", "name", "labels", "state", "cwd", "user", "pid",
    "created", "started", "ended", "deadline", "timeout", "grace", "cancel", "shield", "exit",
    "forced", "result", "error", "status", "progress", "hooks", "context", "output", "leftover",
    "unkillable", "usage", "expired"};

START_TEST(object_has_every_member)
{
	struct task *t = with_spec("{\"argv\":[\"sleep\",\"9\"],\"env\":{\"A\":\"1\"}}");
	json_t *o;

	t->name = xstrdup("sleep");
	t->cwd = xstrdup("/");
	t->by = xstrdup("uid:0");
	t->created_ms = 1000;
	for (int full = 0; full <= 1; full++) {
		o = task_object(t, full);
		for (size_t i = 0; i < ARRAY_SIZE(object_members); i++)
			ck_assert_msg(json_object_get(o, object_members[i]) != NULL,
			    "%s is missing", object_members[i]);
		ck_assert_int_eq(json_object_get(o, "argv") != NULL, full);
		ck_assert_int_eq(json_object_get(o, "env") != NULL, full);
		ck_assert(json_is_null(json_object_get(o, "cancel")));
		ck_assert(json_is_null(json_object_get(o, "shield")));
		ck_assert(json_is_null(json_object_get(o, "exit")));
		ck_assert(json_is_null(json_object_get(o, "context")));
		ck_assert(json_is_null(json_object_get(o, "started")));
		ck_assert_str_eq(json_get_str(o, "state"), "pending");
		ck_assert_str_eq(json_get_str(o, "created"), "1970-01-01T00:00:01.000Z");
		json_decref(o);
	}
	task_free(t);
}
END_TEST

START_TEST(object_of_a_cancelled_task)
{
	struct task *t = with_spec("{\"shell\":\"x\"}");
	json_t *msg = parse("\"why\""), *o, *want;

	t->name = xstrdup("x");
	t->facts.state = TASK_CANCELLED;
	t->facts.requests = t->facts.count = 2;
	t->facts.first = 1;
	t->facts.delivered = 2;
	t->facts.cancel_out = true;
	task_add_request(t, 1, ORIGIN_CLIENT, NULL, "uid:5", 1000);
	task_add_request(t, 2, ORIGIN_WAIT, msg, "uid:6", 2000);
	o = task_cancel_object(t);
	want = parse("{\"requests\":2,\"count\":2,\"msg\":\"why\",\"origin\":\"wait\","
		     "\"by\":\"uid:6\",\"at\":\"1970-01-01T00:00:02.000Z\",\"delivered\":true,"
		     "\"deferred\":false,\"absorbed\":false}");
	ck_assert(json_equal(o, want));
	json_decref(o);
	json_decref(want);
	json_decref(msg);
	task_free(t);
}
END_TEST

/* The three forms of `exit`, and none. */
START_TEST(object_of_exits)
{
	static const struct {
		enum task_exit_kind kind;
		bool signalled, core;
		int code;
		const char *json;
	} rows[] = {
	    {EXIT_UNKNOWN, false, false, 0, "null"},
	    {EXIT_ENDED, false, false, 0, "{\"code\":0}"},
	    {EXIT_ENDED, false, false, 255, "{\"code\":255}"},
	    {EXIT_ENDED, true, false, 9, "{\"signal\":\"SIGKILL\",\"core\":false}"},
	    {EXIT_ENDED, true, true, 11, "{\"signal\":\"SIGSEGV\",\"core\":true}"},
	    {EXIT_UNSTARTED, false, false, 0, "{\"stage\":\"exec\",\"errno\":\"ENOENT\"}"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct task *t = task_new(1);
		json_t *want = parse(rows[i].json), *got;

		t->exit_kind = rows[i].kind;
		t->exit = (struct run_exit){
		    .signalled = rows[i].signalled, .core = rows[i].core, .code = rows[i].code};
		t->stage = STAGE_EXEC;
		t->exit_errno = 2;
		got = task_exit_object(t);
		ck_assert_msg(
		    got == NULL ? json_is_null(want) : json_equal(got, want), "%s", rows[i].json);
		json_decref(got);
		json_decref(want);
		task_free(t);
	}
}
END_TEST

/* -- to the store and back -- */

static uint32_t
any(void)
{
	return (uint32_t)random() ^ (uint32_t)random() << 16;
}

static int64_t
any_time(void)
{
	return random() % 4 == 0 ? RULES_NEVER : (int64_t)any() << 20;
}

static bool
maybe(void)
{
	return random() % 2 == 0;
}

static char *
any_text(void)
{
	static const char *const texts[] = {"", "a", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
	    "line\nand\ttab \"quoted\" \\", "\x01\x1f\x7f"};

	return xstrdup(texts[(size_t)random() % ARRAY_SIZE(texts)]);
}

static json_t *
any_json(void)
{
	static const char *const texts[] = {"null", "\"\"", "true", "-5", "0.1", "[1,{\"a\":null}]",
	    "9223372036854775807", "{\"\":\"\"}"};

	return parse(texts[(size_t)random() % ARRAY_SIZE(texts)]);
}

static void
fill_facts(struct rules_facts *f)
{
	f->grace = any_time();
	f->timeout = any_time();
	f->signo = 1 + (int)(random() % 64);
	f->keep = maybe();
	f->hooks_warn = maybe();
	for (int k = 0; k < HOOK_KINDS; k++)
		f->hooks[k] = (unsigned)random() % 17;
	f->held = maybe();
	f->requests = 1 + any() % 1000;
	f->count = any();
	f->first = 1;
	f->deferred = 2;
	f->sending = 3;
	f->delivered = 4;
	f->killer = 5;
	f->deferred_deadline = maybe();
	f->sending_deadline = maybe();
	f->cancel_out = maybe();
	f->deadline_out = maybe();
	f->declared = maybe();
	f->killed = maybe();
	f->dropped = maybe();
	f->kill_at_start = maybe();
	f->deadline = any_time();
	f->deadline_set = maybe();
	f->expired = maybe();
	f->kill_at = any_time();
	f->grace_left = any_time();
	f->outcome = (enum task_state)(random() % TASK_NSTATES);
	f->context = (enum task_state)(random() % TASK_NSTATES);
	f->forced = maybe();
	f->spawned = maybe();
	f->tree_gone = maybe();
	f->hook_at = any() % 20;
	f->hook_stage = (enum rules_hook_stage)(random() % (HOOK_KILLED + 1));
	f->hook_at_limit = any_time();
}

static struct run_procs *
any_procs(void)
{
	struct run_procs *p = xcalloc(1, sizeof(*p));

	p->total = 1 + any() % (2 * RUN_PROCS_MAX);
	for (uint32_t i = 0; i < MIN(p->total, (uint32_t)RUN_PROCS_MAX); i++) {
		p->proc[i].pid = 1 + (pid_t)(any() % 100000);
		snprintf(p->proc[i].comm, sizeof(p->proc[i].comm), "p%u", (unsigned)i);
	}
	return p;
}

static void
fill_lists(struct task *t)
{
	char name[16];

	for (uint32_t n = 1; n <= TASK_RULE_REQUESTS; n++) {
		json_t *msg = maybe() ? any_json() : NULL;

		task_add_request(t, n, (enum cancel_origin)(random() % ORIGIN_COUNT), msg, "uid:7",
		    (int64_t)any());
		json_decref(msg);
	}
	for (long i = random() % 4; i > 0; i--) {
		struct task_holder *h;

		snprintf(name, sizeof(name), "h%ld", i);
		h = task_add_holder(t, name);
		h->until = any_time();
		h->msg = maybe() ? any_json() : NULL;
	}
	t->facts.shields = task_holders(t);
	t->nhooks = (unsigned)random() % 5;
	t->hook = t->nhooks > 0 ? xcalloc(t->nhooks, sizeof(*t->hook)) : NULL;
	for (unsigned i = 0; i < t->nhooks; i++) {
		t->hook[i] = (struct task_hook){
		    .kind = (enum hook_kind)(random() % HOOK_KINDS),
		    .index = i,
		    .state = (enum task_hook_state)(random() % (HOOK_WAS_KILLED + 1)),
		    .attempts = any() % 100,
		    .has_exit = maybe(),
		    .stage = (enum run_stage)(random() % (STAGE_EXEC + 1)),
		    .error = (int)(random() % 100),
		};
		if (t->hook[i].has_exit)
			t->hook[i].exit = (struct run_exit){
			    .signalled = maybe(), .core = maybe(), .code = (int)(random() % 256)};
	}
	t->leftover = maybe() ? any_procs() : NULL;
	t->unkillable = maybe() ? any_procs() : NULL;
}

static void
fill_rest(struct task *t)
{
	t->cwd = any_text();
	t->by = any_text();
	t->uid = any();
	t->created_ms = any_time();
	t->separate = maybe();
	t->to_tree = maybe();
	t->started_ms = any_time();
	t->ended_ms = any_time();
	t->deadline_wall_ms = any();
	t->pid = (pid_t)(any() % 4194304);
	t->pid_start = any();
	t->runs = any();
	t->spawn_sent = maybe();
	t->signal_sent = maybe();
	t->connection = maybe();
	t->frozen = maybe();
	t->out = (struct task_output){any(), any(), any()};
	t->err = (struct task_output){any(), any(), any()};
	t->declared_msg = maybe() ? any_json() : NULL;
	t->result = maybe() ? any_json() : NULL;
	t->error = maybe() ? any_text() : NULL;
	t->status = maybe() ? any_text() : NULL;
	t->lost_why = maybe() ? any_text() : NULL;
	t->progress = (double)random() / 3e9;
	t->exit_kind = (enum task_exit_kind)(random() % (EXIT_UNSTARTED + 1));
	t->exit =
	    (struct run_exit){.signalled = maybe(), .core = maybe(), .code = (int)(random() % 256)};
	t->stage = (enum run_stage)(random() % (STAGE_EXEC + 1));
	t->exit_errno = (int)(random() % 134);
	t->has_usage = maybe();
	t->user_s = (double)random() / 7e5;
	t->system_s = (double)random() / 7e5;
	t->max_rss = any();
}

/* What task_save() says, as text and from text, as the store does. */
static char *
saved_text(const struct task *t)
{
	struct strbuf b = STRBUF_INIT;
	json_t *o = task_save(t);

	json_dump_utf8(o, &b);
	json_decref(o);
	return strbuf_detach(&b);
}

static void
same_facts(const struct task *a, const struct task *b)
{
	struct rules_facts f = a->facts, g = b->facts;

	f.state = g.state; /* has a column of its own */
	ck_assert_mem_eq(&f.grace, &g.grace, sizeof(f.grace));
#define SAME(m) ck_assert_msg(f.m == g.m, #m " differs")
	SAME(timeout), SAME(signo), SAME(keep), SAME(hooks_warn), SAME(held), SAME(requests);
	SAME(count), SAME(first), SAME(deferred), SAME(sending), SAME(delivered), SAME(killer);
	SAME(deferred_deadline), SAME(sending_deadline), SAME(cancel_out), SAME(deadline_out);
	SAME(declared), SAME(killed), SAME(dropped), SAME(kill_at_start), SAME(shields);
	SAME(deadline), SAME(deadline_set), SAME(expired), SAME(kill_at), SAME(grace_left);
	SAME(outcome), SAME(context), SAME(forced), SAME(spawned), SAME(tree_gone), SAME(hook_at);
	SAME(hook_stage), SAME(hook_at_limit);
#undef SAME
	for (int k = 0; k < HOOK_KINDS; k++)
		ck_assert_uint_eq(f.hooks[k], g.hooks[k]);
}

static void
same_rest(const struct task *a, const struct task *b)
{
#define SAME(m) ck_assert_msg(a->m == b->m, #m " differs")
	SAME(uid), SAME(created_ms), SAME(separate), SAME(to_tree), SAME(started_ms),
	    SAME(ended_ms);
	SAME(deadline_wall_ms), SAME(pid), SAME(pid_start), SAME(runs), SAME(spawn_sent);
	SAME(signal_sent), SAME(connection), SAME(frozen), SAME(out.file), SAME(out.bytes);
	SAME(out.dropped), SAME(err.file), SAME(err.bytes), SAME(err.dropped), SAME(exit_kind);
	SAME(exit.signalled), SAME(exit.core), SAME(exit.code), SAME(stage), SAME(exit_errno);
	SAME(has_usage), SAME(max_rss), SAME(nhooks), SAME(progress), SAME(user_s), SAME(system_s);
#undef SAME
	ck_assert_pstr_eq(a->cwd, b->cwd);
	ck_assert_pstr_eq(a->by, b->by);
	ck_assert_pstr_eq(a->error, b->error);
	ck_assert_pstr_eq(a->status, b->status);
	ck_assert_pstr_eq(a->lost_why, b->lost_why);
	ck_assert((a->result == NULL) == (b->result == NULL));
	ck_assert(a->result == NULL || json_equal(a->result, b->result));
	ck_assert((a->declared_msg == NULL) == (b->declared_msg == NULL));
	for (unsigned i = 0; i < a->nhooks; i++)
		ck_assert_msg(memcmp(&a->hook[i], &b->hook[i], sizeof(a->hook[i])) == 0,
		    "hook %u differs", i);
	for (uint32_t n = 1; n <= TASK_RULE_REQUESTS; n++) {
		const struct task_request *p = task_request(a, n), *q = task_request(b, n);

		ck_assert(q != NULL && p->origin == q->origin && p->at_ms == q->at_ms);
		ck_assert(
		    (p->msg == NULL) == (q->msg == NULL)); /* null is a message, none is none */
		ck_assert(p->msg == NULL || json_equal(p->msg, q->msg));
	}
}

START_TEST(round_trip)
{
	for (unsigned seed = 1; seed <= 200; seed++) {
		struct task *t = task_new(1), *u = task_new(1);
		char *text, *again;
		json_t *saved;

		srandom(seed);
		fill_facts(&t->facts);
		fill_lists(t);
		fill_rest(t);
		text = saved_text(t);
		saved = parse(text);
		ck_assert_int_eq(task_load(u, saved, true), 0);
		same_facts(t, u);
		same_rest(t, u);
		again = saved_text(u);
		ck_assert_str_eq(text, again);
		free(text);
		free(again);
		json_decref(saved);
		task_free(t);
		task_free(u);
	}
}
END_TEST

/* A task that has only defaults costs hardly a byte, and comes back as it was. */
START_TEST(round_trip_of_defaults)
{
	struct task *t = task_new(1), *u = task_new(1);
	json_t *saved = task_save(t);

	ck_assert_uint_eq(json_object_size(saved), 0);
	ck_assert_int_eq(task_load(u, saved, true), 0);
	same_facts(t, u);
	ck_assert(u->to_tree && u->signal_sent);
	json_decref(saved);
	task_free(t);
	task_free(u);
}
END_TEST

START_TEST(after_a_reboot)
{
	struct task *t = task_new(1), *u = task_new(1);
	int64_t now = clock_boot_ns();
	json_t *saved;

	t->facts.deadline = 123; /* of another boot: the wall clock says in an hour */
	t->deadline_wall_ms = clock_wall_ms() + 3600 * 1000;
	t->facts.kill_at = t->facts.hook_at_limit = 5;
	task_add_holder(t, "for a while")->until = 7;
	task_add_holder(t, "for ever");
	saved = task_save(t);
	ck_assert_int_eq(task_load(u, saved, false), 0);
	ck_assert_int_gt(u->facts.deadline, now + 3599 * NS_PER_SEC);
	ck_assert_int_lt(u->facts.deadline, now + 3601 * NS_PER_SEC);
	ck_assert_int_eq(u->facts.kill_at, RULES_NEVER);
	ck_assert_int_eq(u->facts.hook_at_limit, RULES_NEVER);
	ck_assert_int_le(task_holder(u, "for a while")->until, clock_boot_ns());
	ck_assert_int_eq(task_holder(u, "for ever")->until, RULES_NEVER);
	json_decref(saved);
	task_free(t);
	task_free(u);
}
END_TEST

/* -- rubbish -- */

START_TEST(rubbish_is_refused)
{
	static const char half_good[] =
	    "{\"error\":\"kept\",\"holders\":[{\"holder\":\"a\",\"msg\":{}}],"
	    "\"request\":[{\"n\":1,\"by\":\"x\",\"msg\":[]}],\"hooks\":[{\"kind\":-1}]}";
	static const char *const rubbish[] = {"{\"grace\":\"10\"}", "{\"grace\":1.5}",
	    "{\"keep\":1}", "{\"keep\":null}", "{\"outcome\":99}", "{\"outcome\":-1}",
	    "{\"context\":11}", "{\"stage\":1000}", "{\"stage\":-1}", "{\"exit_kind\":3}",
	    "{\"exit_kind\":-1}", "{\"progress\":\"x\"}", "{\"pid\":[]}",
	    "{\"hooks\":[{\"kind\":9,\"state\":0}]}",
	    "{\"hooks\":[{\"kind\":0,\"state\":0},{\"kind\":0,\"state\":7}]}",
	    "{\"hooks\":[{\"kind\":0,\"state\":0,\"stage\":-3}]}", "{\"hooks\":[3]}", half_good};

	for (size_t i = 0; i < ARRAY_SIZE(rubbish); i++) {
		struct task *t = task_new(1);
		json_t *saved = parse(rubbish[i]);

		ck_assert_msg(task_load(t, saved, true) == -22, "%s was taken", rubbish[i]);
		task_free(t); /* whatever it holds by now */
		json_decref(saved);
	}
}
END_TEST

/* What is strange but harmless is taken, and does not harm the one who uses it. */
START_TEST(strange_lists)
{
	static const char many[] =
	    "{\"leftover\":[{\"comm\":\"0123456789012345678901234567890123456789\"}],"
	    "\"leftovers\":4000000000}";
	static const char *const strange[] = {"{\"request\":7,\"holders\":\"x\",\"hooks\":{}}",
	    "{\"request\":[null,1,{}],\"holders\":[null,1,{}]}",
	    "{\"leftover\":[1,{\"pid\":\"x\",\"comm\":3}],\"leftovers\":-1}", many,
	    "{\"error\":1,\"status\":[],\"cwd\":{},\"by\":null,\"nobody\":\"knows\"}"};

	for (size_t i = 0; i < ARRAY_SIZE(strange); i++) {
		struct task *t = task_new(1);
		json_t *saved = parse(strange[i]), *o;
		int r = task_load(t, saved, true);

		ck_assert_msg(r == 0 || r == -22, "%s: %d", strange[i], r);
		if (r == 0) {
			t->spec = json_object();
			t->name = xstrdup("x");
			o = task_object(t, true);
			json_decref(o);
			free(saved_text(t));
			t->facts.first = 1;
			task_add_request(t, 1, ORIGIN_CLIENT, NULL, "x", 1);
		}
		task_free(t);
		json_decref(saved);
	}
}
END_TEST

CHECK_MAIN("task", set_against_a_list, state_of_a_task_in_no_set,
    requests_that_nobody_names_are_forgotten, as_many_requests_as_facts_name, holders,
    spec_of_nothing, spec_of_everything, spec_of_zero, object_has_every_member,
    object_of_a_cancelled_task, object_of_exits, round_trip, round_trip_of_defaults, after_a_reboot,
    rubbish_is_refused, strange_lists)

/* The store: tasks there and back, queries, counts, ids, and databases that it must not touch. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check_run.h"
#include "json.h"
#include "store.h"
#include "util.h"

static char dir[] = "/tmp/check-store-XXXXXX";
static char path[64];
static struct store *st;
static struct task_set set; /* tasks that are alive, as the runner has them */

static void
open_it(void)
{
	char *why = NULL;
	int r = store_open(dir, &st, &why);

	ck_assert_msg(r == 0, "%d: %s", r, why);
	ck_assert_ptr_null(why);
}

static void
reopen(void)
{
	store_close(st);
	open_it();
}

static void
make_dir(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/taskctl.db", dir);
	task_set_init(&set, NULL);
}

static void
begin(void)
{
	make_dir();
	open_it();
}

static void
end(void)
{
	char *command = xasprintf("rm -rf %s", dir);

	store_close(st);
	st = NULL;
	task_set_release(&set);
	ck_assert_int_eq(system(command), 0);
	free(command);
}

static struct task *
make(uint64_t id, const char *name, enum task_state state, const char *spec)
{
	struct task *t = task_new(id);
	const char *why;

	t->spec = json_parse_object(spec, strlen(spec), &why);
	ck_assert_msg(t->spec != NULL, "%s", spec);
	t->name = xstrdup(name);
	t->cwd = xstrdup("/");
	t->by = xstrdup("uid:1");
	t->fresh = true;
	task_set_state(t, state);
	task_set_add_take(&set, t);
	return t;
}

static void
put(struct task *t)
{
	ck_assert_int_eq(store_put_task(st, t), 0);
	t->fresh = false;
}

static struct task *
put_new(uint64_t id, const char *name, enum task_state state, const char *spec)
{
	struct task *t = make(id, name, state, spec);

	put(t);
	return t;
}

static void
commit(void)
{
	ck_assert_int_eq(store_commit(st), 0);
	ck_assert(!store_is_dirty(st));
}

static uint64_t
count_of(enum task_state state)
{
	uint64_t count[TASK_NSTATES];

	store_counts(st, count);
	return count[state];
}

/* -- tasks -- */

START_TEST(there_and_back)
{
	const char *spec = "{\"argv\":[\"a\",\"\",\"\xc3\xa4\\u0001\\n\"],\"labels\":{\"x\":\"\"},"
			   "\"env\":{\"A\":null},\"timeout\":0.1}";
	struct task *t, *u;
	int error;

	begin();
	t = make(5, "it's \"n\xc3\xa4me\"", TASK_CANCELLING, spec);
	t->key = xstrdup("k'");
	t->facts.requests = t->facts.first = t->facts.delivered = 1;
	task_add_request(t, 1, ORIGIN_CLIENT, NULL, "uid:1", 77);
	t->out.file = 9;
	put(t);
	ck_assert(store_is_dirty(st));
	commit();
	reopen();
	u = store_get(st, 5, &error);
	ck_assert_ptr_nonnull(u);
	ck_assert_str_eq(u->name, t->name);
	ck_assert_str_eq(u->key, "k'");
	ck_assert_str_eq(u->cwd, "/");
	ck_assert_int_eq(u->facts.state, TASK_CANCELLING);
	ck_assert(json_equal(u->spec, t->spec));
	ck_assert_int_eq(task_request(u, 1)->at_ms, 77);
	ck_assert(u->set == NULL && u->run == NULL && !u->fresh && !u->dirty);
	task_free(u);
	ck_assert_ptr_null(store_get(st, 6, &error));
	ck_assert_int_eq(error, -ENOENT);
	end();
}
END_TEST

START_TEST(output_files)
{
	uint64_t *numbers = NULL;

	begin();
	ck_assert_int_eq(store_outputs(st, &numbers), 0);
	free(numbers);
	make(1, "a", TASK_DONE, "{}")->out.file = 9;
	make(2, "a", TASK_RUNNING, "{}")->out.file = 4;
	task_set_find(&set, 2)->err.file = 12;
	make(3, "a", TASK_PENDING, "{}"); /* has none */
	for (uint64_t id = 1; id <= 3; id++)
		put(task_set_find(&set, id));
	commit();
	ck_assert_int_eq(store_outputs(st, &numbers), 3);
	ck_assert(numbers[0] == 4 && numbers[1] == 9 && numbers[2] == 12);
	free(numbers);
	end();
}
END_TEST

/* Facts change, the spec is not written again. */
START_TEST(facts_are_updated)
{
	struct task *t, *u;
	int error;

	begin();
	t = put_new(1, "a", TASK_RUNNING, "{\"argv\":[\"a\"]}");
	commit();
	task_set_state(t, TASK_DONE);
	t->result = json_string("42");
	put(t);
	commit();
	u = store_get(st, 1, &error);
	ck_assert_int_eq(u->facts.state, TASK_DONE);
	ck_assert_str_eq(json_string_value(u->result), "42");
	task_free(u);
	end();
}
END_TEST

static uint64_t seen[16];
static unsigned nseen;

static void
on_live(void *ctx, uint64_t id, struct task *t)
{
	(void)ctx;
	seen[nseen++] = t != NULL ? id : id + 1000;
	task_free(t);
}

static void
sql(const char *text)
{
	sqlite3 *db = NULL;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

START_TEST(each_that_is_alive)
{
	begin();
	for (unsigned s = 0; s < TASK_NSTATES; s++)
		put_new(20 - s, "a", (enum task_state)s, "{}");
	commit();
	ck_assert_int_eq(store_each_live(st, on_live, NULL), 0);
	ck_assert_uint_eq(nseen, TASK_DONE);
	for (unsigned i = 0; i < nseen; i++)
		ck_assert_uint_eq(seen[i], 20 - (TASK_DONE - 1) + i); /* oldest first */
	end();
}
END_TEST

START_TEST(rows_that_cannot_be_read)
{
	int error;

	begin();
	for (uint64_t id = 1; id <= 5; id++)
		put_new(id, "a", TASK_RUNNING, "{}");
	commit();
	store_close(st);
	sql("UPDATE task SET facts='{' WHERE id=1; UPDATE task SET facts='{\"grace\":\"x\"}'"
	    " WHERE id=2; UPDATE spec SET body='[]' WHERE id=3; UPDATE task SET state=-4 WHERE "
	    "id=4");
	open_it();
	ck_assert_int_eq(store_each_live(st, on_live, NULL), 0);
	ck_assert_uint_eq(nseen, 5);
	for (unsigned i = 0; i < nseen; i++) {
		uint64_t id = seen[i] % 1000;

		ck_assert_msg((seen[i] > 1000) == (id != 5), "task %llu", (unsigned long long)id);
	}
	ck_assert_ptr_null(store_get(st, 1, &error));
	ck_assert_int_eq(error, -EUCLEAN);
	end();
}
END_TEST

/* -- queries -- */

static void
query(struct store_query q, const char *want)
{
	struct strbuf got = STRBUF_INIT;
	uint64_t ids[64];
	int n;

	if (q.limit == 0)
		q.limit = 64;
	n = store_query_ids(st, &q, ids);
	ck_assert_int_ge(n, 0);
	for (int i = 0; i < n; i++)
		strbuf_addf(&got, "%s%llu", i ? " " : "", (unsigned long long)ids[i]);
	ck_assert_str_eq(strbuf_str(&got), want);
	strbuf_release(&got);
}

#define BIT(s) (1U << (s))

START_TEST(queries)
{
	json_t *labels;

	begin();
	put_new(1, "build", TASK_DONE, "{\"labels\":{\"team\":\"red\",\"os\":\"linux\"}}");
	put_new(2, "test", TASK_FAILED, "{\"labels\":{\"team\":\"red\"}}");
	put_new(3, "build", TASK_RUNNING, "{\"labels\":{\"team\":\"blue\",\"os\":\"linux\"}}");
	put_new(4, "Build", TASK_RUNNING, "{}");
	put_new(5, "build", TASK_PENDING, "{\"labels\":{\"team\":\"\",\"%\":\"'\"}}");
	commit();
	query((struct store_query){0}, "1 2 3 4 5");
	query((struct store_query){.descending = true}, "5 4 3 2 1");
	query((struct store_query){.limit = 2}, "1 2");
	query((struct store_query){.limit = 2, .after = 2}, "3 4");
	query((struct store_query){.limit = 2, .after = 5}, "");
	query((struct store_query){.limit = 2, .after = 3, .descending = true}, "2 1");
	query((struct store_query){.name = "build"}, "1 3 5");
	query((struct store_query){.name = "buil%"}, "");
	query((struct store_query){.name = "build", .descending = true, .after = 5}, "3 1");
	query((struct store_query){.states = BIT(TASK_RUNNING)}, "3 4");
	query((struct store_query){.states = BIT(TASK_DONE) | BIT(TASK_FAILED)}, "1 2");
	query((struct store_query){.states = BIT(TASK_LOST)}, "");
	query((struct store_query){.states = BIT(TASK_RUNNING), .name = "build", .after = 1}, "3");
	labels = json_pack("{s:s}", "team", "red");
	query((struct store_query){.labels = labels}, "1 2");
	query((struct store_query){.labels = labels, .states = BIT(TASK_FAILED)}, "2");
	json_set_str(labels, "os", "linux");
	query((struct store_query){.labels = labels}, "1");
	query((struct store_query){.labels = labels, .after = 1, .name = "build"}, "");
	json_object_clear(labels);
	query((struct store_query){.labels = labels}, "1 2 3 4 5");
	json_set_str(labels, "team", "");
	query((struct store_query){.labels = labels}, "5");
	json_object_clear(labels);
	json_set_str(labels, "%", "'");
	query((struct store_query){.labels = labels}, "5");
	json_decref(labels);
	end();
}
END_TEST

START_TEST(names_and_keys)
{
	uint64_t id = 0;
	struct task *t;

	begin();
	put_new(1, "a", TASK_DONE, "{}");
	t = make(2, "a", TASK_DONE, "{}");
	t->key = xstrdup("once");
	put(t);
	put_new(3, "b", TASK_RUNNING, "{}");
	commit();
	ck_assert_int_eq(store_find_name(st, "a", &id), 0);
	ck_assert_uint_eq(id, 2); /* the newest */
	ck_assert_int_eq(store_find_name(st, "A", &id), -ENOENT);
	ck_assert_int_eq(store_find_key(st, "once", &id), 0);
	ck_assert_uint_eq(id, 2);
	ck_assert_int_eq(store_find_key(st, "a", &id), -ENOENT);
	ck_assert_int_eq(store_remove_task(st, 2), 0);
	commit();
	ck_assert_int_eq(store_find_name(st, "a", &id), 0);
	ck_assert_uint_eq(id, 1);
	ck_assert_int_eq(store_find_key(st, "once", &id), -ENOENT); /* may be used again */
	t = make(4, "c", TASK_DONE, "{}");
	t->key = xstrdup("once");
	put(t);
	commit();
	t = make(5, "c", TASK_DONE, "{}");
	t->key = xstrdup("once");
	ck_assert_int_lt(store_put_task(st, t), 0); /* the key is in use */
	ck_assert_int_lt(store_commit(st), 0);
	end();
}
END_TEST

/* -- counts and ids -- */

START_TEST(counts)
{
	struct task *t;

	begin();
	put_new(1, "a", TASK_DONE, "{}");
	t = put_new(2, "a", TASK_RUNNING, "{}");
	ck_assert_uint_eq(count_of(TASK_DONE), 0); /* not before the commit */
	commit();
	ck_assert(count_of(TASK_DONE) == 1 && count_of(TASK_RUNNING) == 0);
	task_set_state(t, TASK_DONE);
	put(t);
	store_rollback(st);
	ck_assert_uint_eq(count_of(TASK_DONE), 1);
	put(t);
	commit();
	ck_assert_uint_eq(count_of(TASK_DONE), 2);
	ck_assert_int_eq(store_remove_task(st, 1), 0);
	ck_assert_uint_eq(count_of(TASK_DONE), 2);
	store_rollback(st);
	ck_assert_uint_eq(count_of(TASK_DONE), 2);
	ck_assert_int_eq(store_remove_task(st, 1), 0);
	ck_assert_int_eq(store_remove_task(st, 1), -ENOENT); /* gone within the transaction */
	commit();
	ck_assert_uint_eq(count_of(TASK_DONE), 1);
	ck_assert_int_eq(store_remove_task(st, 77), -ENOENT);
	reopen();
	ck_assert_uint_eq(count_of(TASK_DONE), 1);
	end();
}
END_TEST

START_TEST(ids_are_never_used_again)
{
	begin();
	ck_assert_uint_eq(store_last_id(st), 0);
	put_new(7, "a", TASK_DONE, "{}");
	put_new(9, "a", TASK_DONE, "{}");
	commit();
	ck_assert_uint_eq(store_last_id(st), 9);
	ck_assert_int_eq(store_remove_task(st, 9), 0);
	ck_assert_int_eq(store_remove_task(st, 7), 0);
	commit();
	reopen();
	ck_assert_uint_eq(store_last_id(st), 9);
	put_new(10, "a", TASK_DONE, "{}");
	commit();
	reopen();
	ck_assert_uint_eq(store_last_id(st), 10);
	ck_assert_int_eq(store_remove_task(st, 10), 0);
	commit();
	reopen();
	ck_assert_uint_eq(store_last_id(st), 10);
	end();
}
END_TEST

START_TEST(removed_with_its_labels)
{
	json_t *labels = json_pack("{s:s}", "a", "b");

	begin();
	put_new(1, "a", TASK_DONE, "{\"labels\":{\"a\":\"b\"}}");
	commit();
	ck_assert_int_eq(store_remove_task(st, 1), 0);
	commit();
	query((struct store_query){.labels = labels}, "");
	store_close(st);
	sql("CREATE TABLE t(n INTEGER CHECK(n = 0)); INSERT INTO t SELECT count(*) FROM label;"
	    "INSERT INTO t SELECT count(*) FROM spec; DROP TABLE t");
	open_it();
	json_decref(labels);
	end();
}
END_TEST

/* -- the transaction -- */

START_TEST(commit_of_nothing)
{
	begin();
	commit();
	store_rollback(st);
	ck_assert_int_eq(store_probe(st), 0);
	commit();
	end();
}
END_TEST

/* One write that failed: all of the transaction is gone, and the next one works. */
START_TEST(all_or_nothing)
{
	struct task *t;
	int error;

	begin();
	put_new(1, "a", TASK_RUNNING, "{}");
	commit();
	put_new(2, "a", TASK_RUNNING, "{}");
	ck_assert_int_eq(store_put_event(st, 1, 2, "{}"), 0);
	t = task_new(1); /* the id is in use */
	t->spec = json_object();
	t->name = xstrdup("b");
	t->fresh = true;
	ck_assert_int_lt(store_put_task(st, t), 0);
	ck_assert_int_lt(store_put_event(st, 2, 2, "{}"), 0); /* it has failed already */
	ck_assert_int_lt(store_commit(st), 0);
	ck_assert(!store_is_dirty(st));
	ck_assert_ptr_null(store_get(st, 2, &error));
	ck_assert_uint_eq(store_first_seq(st), 0);
	ck_assert_int_eq(store_put_event(st, 1, 1, "{}"), 0);
	commit();
	ck_assert_uint_eq(store_first_seq(st), 1);
	task_free(t);
	end();
}
END_TEST

/* -- events -- */

static bool
on_event(void *ctx, uint64_t seq, uint64_t task, const char *body)
{
	uint64_t *next = ctx;

	ck_assert_uint_eq(seq, (*next)++);
	ck_assert_uint_eq(task, seq * 2);
	ck_assert_str_eq(body, "{}");
	return seq != 1700; /* enough for now */
}

START_TEST(events)
{
	uint64_t next = 1;

	begin();
	ck_assert(store_last_seq(st) == 0 && store_first_seq(st) == 0);
	for (uint64_t seq = 1; seq <= 2000; seq++)
		ck_assert_int_eq(store_put_event(st, seq, seq * 2, "{}"), 0);
	ck_assert_int_lt(store_put_event(st, 2000, 1, "{}"), 0); /* twice the same number */
	store_rollback(st);
	for (uint64_t seq = 1; seq <= 2000; seq++)
		ck_assert_int_eq(store_put_event(st, seq, seq * 2, "{}"), 0);
	commit();
	ck_assert_int_eq(store_each_event(st, 0, 500, on_event, &next), 500);
	ck_assert_int_eq(store_each_event(st, 500, 5000, on_event, &next), 1200);
	ck_assert_int_eq(store_each_event(st, 1700, 5000, on_event, &next), 300);
	ck_assert_int_eq(store_each_event(st, 2000, 5000, on_event, &next), 0);
	ck_assert_int_eq(store_prune_events(st, 2000, 3000), 0);
	ck_assert_uint_eq(store_first_seq(st), 1);
	for (int i = 0; i < 10; i++) {
		uint64_t before = store_first_seq(st);

		ck_assert_int_eq(store_prune_events(st, 2000, 100), 0);
		commit();
		ck_assert_uint_le(store_first_seq(st) - before, 600); /* at most some hundred */
	}
	ck_assert_uint_eq(store_first_seq(st), 1901); /* 100 are left */
	ck_assert_int_eq(store_prune_events(st, 2000, 1), 0);
	commit();
	reopen();
	ck_assert_uint_eq(store_last_seq(st), 2000);
	end();
}
END_TEST

/* -- the boot -- */

START_TEST(same_boot)
{
	begin();
	ck_assert(!store_same_boot(st)); /* of no boot yet */
	ck_assert_int_eq(store_claim_boot(st), 0);
	store_rollback(st);
	reopen();
	ck_assert(!store_same_boot(st));
	ck_assert_int_eq(store_claim_boot(st), 0);
	commit();
	reopen();
	ck_assert(store_same_boot(st));
	store_close(st);
	sql("UPDATE meta SET value='00000000-0000-0000-0000-000000000000' WHERE key='boot_id'");
	open_it();
	ck_assert(!store_same_boot(st));
	end();
}
END_TEST

/* -- what is not ours -- */

struct content {
	char *data;
	size_t len;
};

static struct content
read_all(void)
{
	struct content c = {0};
	struct stat sb;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert(fd >= 0 && fstat(fd, &sb) == 0);
	c.len = (size_t)sb.st_size;
	c.data = xmalloc(c.len + 1);
	ck_assert_int_eq(read(fd, c.data, c.len), (ssize_t)c.len);
	close(fd);
	return c;
}

/* Opening must fail with a sentence that has this in it, and leave the file as it is. */
static void
refused(int error, const char *word)
{
	struct content before = read_all(), after;
	char *why = NULL;

	int r = store_open(dir, &st, &why);

	ck_assert_msg(r == error, "%zu bytes of a database: %d, not %d", before.len, r, error);
	ck_assert_ptr_nonnull(why);
	ck_assert_msg(strstr(why, word) != NULL, "no \"%s\" in: %s", word, why);
	ck_assert_ptr_nonnull(strstr(why, path)); /* says which file */
	free(why);
	after = read_all();
	ck_assert_uint_eq(before.len, after.len);
	for (size_t i = 0; i < before.len; i++)
		if (before.data[i] != after.data[i])
			ck_abort_msg("the file was changed, at byte %zu", i);
	free(before.data);
	free(after.data);
	st = NULL;
}

START_TEST(database_of_another_program)
{
	make_dir();
	sql("CREATE TABLE bookmarks(url TEXT); INSERT INTO bookmarks VALUES('x')");
	refused(-EUCLEAN, "another program");
	sql("PRAGMA application_id=77");
	refused(-EUCLEAN, "another program");
	end();
}
END_TEST

START_TEST(database_of_another_version)
{
	begin();
	put_new(1, "a", TASK_DONE, "{}");
	commit();
	store_close(st);
	sql("PRAGMA user_version=99");
	refused(-EUCLEAN, "version 99");
	sql("PRAGMA user_version=0");
	refused(-EUCLEAN, "version 0");
	end();
}
END_TEST

static void
write_file(const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
}

START_TEST(no_database_at_all)
{
	char text[5000];

	make_dir();
	memset(text, 'x', sizeof(text));
	write_file(text, sizeof(text));
	refused(-EUCLEAN, "damaged");
	end();
}
END_TEST

static void
remove_log(void)
{
	char *log = xasprintf("%s-wal", path), *shm = xasprintf("%s-shm", path);

	unlink(log);
	unlink(shm);
	free(log);
	free(shm);
}

/* Cut at any place: refused, and not taken for an empty one. */
START_TEST(truncated_database)
{
	struct content whole;
	static const size_t keep[] = {100, 4096, 8192, 16384};

	begin();
	for (uint64_t id = 1; id <= 200; id++)
		put_new(id, "a", TASK_DONE, "{\"labels\":{\"a\":\"b\"}}");
	commit();
	store_close(st);
	whole = read_all();
	for (size_t i = 0; i < ARRAY_SIZE(keep); i++) {
		ck_assert_uint_gt(whole.len, keep[i]);
		write_file(whole.data, keep[i]);
		remove_log(); /* what it holds would mend the file */
		refused(-EUCLEAN, "damaged");
	}
	free(whole.data);
	end();
}
END_TEST

START_TEST(directory_that_is_not_there)
{
	char *why = NULL;

	ck_assert_int_lt(store_open("/nonexistent/taskctl", &st, &why), 0);
	ck_assert_ptr_nonnull(why);
	ck_assert_ptr_nonnull(strstr(why, "/nonexistent/taskctl"));
	free(why);
}
END_TEST

/* -- crashes -- */

/* In a child: commits some, is in the middle of more, and dies. */
static void
crash(uint64_t first)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		char *why;

		if (store_open(dir, &st, &why) != 0)
			_exit(3);
		for (uint64_t id = first; id < first + 20; id++) {
			struct task *t = make(id, "a", TASK_DONE, "{}");

			if (store_put_task(st, t) != 0 || store_put_event(st, id, id, "{}") != 0)
				_exit(4);
			if (id == first + 9 && store_commit(st) != 0)
				_exit(5);
		}
		kill(getpid(), SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status), "status %d", status);
}

START_TEST(killed_in_the_middle)
{
	begin();
	store_close(st);
	for (uint64_t round = 0; round < 5; round++) {
		crash(1 + round * 10);
		open_it();
		ck_assert_uint_eq(store_last_id(st), 10 + round * 10);
		ck_assert_uint_eq(store_last_seq(st), 10 + round * 10);
		ck_assert_uint_eq(count_of(TASK_DONE), 10 + round * 10);
		store_close(st);
	}
	open_it();
	end();
}
END_TEST

/* The log is carried over by a thread while the loop goes on writing. */
START_TEST(many_commits)
{
	begin();
	for (uint64_t id = 1; id <= 1200; id++) {
		struct task *t = put_new(id, "a", TASK_DONE, "{\"stdin\":\"0123456789\"}");

		commit();
		task_set_remove(&set, t);
		task_free(t);
	}
	reopen();
	ck_assert_uint_eq(count_of(TASK_DONE), 1200);
	end();
}
END_TEST

CHECK_MAIN("store", there_and_back, output_files, facts_are_updated, each_that_is_alive,
    rows_that_cannot_be_read, queries, names_and_keys, counts, ids_are_never_used_again,
    removed_with_its_labels, commit_of_nothing, all_or_nothing, events, same_boot,
    database_of_another_program, database_of_another_version, no_database_at_all,
    truncated_database, directory_that_is_not_there, killed_in_the_middle, many_commits)

/* Transcripts of the client with a daemon that the test plays: what it sends, says, and exits with. */
#include <errno.h>
#include <fcntl.h>

#include "check_client.h"

#define SHOW(id, rest) "{\"ok\":true,\"task\":{\"id\":" #id ",\"name\":\"nightly\"" rest "}}"
#define LONG_AGO       "\"2026-01-01T00:00:00.000Z\""

START_TEST(test_start_prints_the_id_alone)
{
	struct talk t;

	talk_start(&t, "start --cwd / -- make dist");
	talk_expect(&t, "{\"cmd\":\"start\",\"argv\":[\"make\",\"dist\"],\"cwd\":\"/\"}");
	talk_reply(&t, "{\"ok\":true,\"id\":41,\"state\":\"running\",\"existing\":false}");
	talk_end(&t, 0, "41\n", "");
}
END_TEST

START_TEST(test_json_is_the_reply_as_it_came)
{
	struct talk t;

	talk_start(&t, "start -o json --cwd / -- x");
	talk_expect(&t, "{\"cmd\":\"start\"...");
	talk_reply(&t, "{\"ok\":true, \"id\":41,\"x\":1.50}");
	talk_end(&t, 0, "{\"ok\":true, \"id\":41,\"x\":1.50}\n", "");
}
END_TEST

/* One cancel: what the daemon answers, what `show` knows, the exit code and the sentence. */
static const struct {
	const char *reply, *show;
	int code;
	const char *out, *err;
} cancels[] = {
    {"{\"ok\":true,\"id\":41,\"accepted\":true,\"effect\":\"delivered\",\"state\":\"cancelling\"}",
	SHOW(41, ""), 0, "nightly (41): cancel delivered\n", ""},
    {"{\"ok\":true,\"id\":41,\"accepted\":true,\"effect\":\"deferred\",\"state\":\"running\"}",
	SHOW(41,
	    ",\"shield\":{\"holders\":[{\"holder\":\"self\",\"until\":\"2020-01-01T14:02:10Z\","
	    "\"msg\":\"copying WAL\"}]}"),
	3,
	"nightly (41): deferred: shielded until 2020-01-01 14:02:10 (\"copying WAL\"); delivered "
	"when "
	"the shield ends\n",
	""},
    {"{\"ok\":true,\"id\":41,\"accepted\":false,\"effect\":\"finished\",\"state\":\"done\"}",
	SHOW(41, ",\"state\":\"done\""), 0, "nightly (41): had ended already: done\n", ""},
    {"{\"ok\":false,\"error\":{\"code\":\"not_found\",\"message\":\"There is no such task.\"}}",
	"{\"ok\":false,\"error\":{\"code\":\"not_found\",\"message\":\"There is no such task.\"}}",
	5, "", "taskctl: 41: There is no such task.\n"},
    {"{\"ok\":false,\"error\":{\"code\":\"unauthenticated\",\"message\":\"Who?\"}}",
	"{\"ok\":false,\"error\":{\"code\":\"unauthenticated\",\"message\":\"Who?\"}}", 6, "",
	"taskctl: 41: Who?\n"},
    {"{\"ok\":false,\"error\":{\"code\":\"shielded\",\"message\":\"Shielded.\"}}", SHOW(41, ""), 4,
	"", "taskctl: 41: Shielded.\n"},
    {"{\"ok\":false,\"error\":{\"code\":\"storage\",\"message\":\"Full.\"}}", SHOW(41, ""), 125, "",
	"taskctl: 41: Full.\n"},
};

START_TEST(test_cancel)
{
	struct talk t;

	talk_start(&t, "cancel 41");
	talk_expect(&t, "{\"cmd\":\"cancel\",\"id\":41}");
	talk_expect(&t, "{\"cmd\":\"show\",\"id\":41}");
	talk_reply(&t, cancels[_i].reply);
	talk_reply(&t, cancels[_i].show);
	talk_end(&t, cancels[_i].code, cancels[_i].out, cancels[_i].err);
}
END_TEST

START_TEST(test_cancel_wait)
{
	struct talk t;

	talk_start(&t, "cancel nightly -m x --wait");
	talk_expect(&t, "{\"cmd\":\"cancel\",\"name\":\"nightly\",\"msg\":\"x\",\"wait\":true}");
	talk_reply(&t, "{\"ok\":true,\"accepted\":true,\"effect\":\"delivered\",\"task\":{\"id\":"
		       "41,\"name\":\"nightly\","
		       "\"state\":\"cancelled\",\"cancel\":{\"msg\":\"x\"}}}");
	talk_end(&t, 0, "nightly (41): cancelled: x\n", "");

	talk_start(&t, "cancel nightly --wait");
	talk_expect(&t, "{\"cmd\":\"cancel\"...");
	talk_reply(&t, "{\"ok\":true,\"accepted\":true,\"effect\":\"delivered\",\"task\":{\"id\":"
		       "41,\"name\":\"nightly\","
		       "\"state\":\"done\",\"cancel\":{\"absorbed\":true}}}");
	talk_end(&t, 4, "nightly (41): done; it caught the cancel\n", "");
}
END_TEST

/* With several all are cancelled before one is waited for. */
START_TEST(test_cancel_several_wait)
{
	struct talk t;

	talk_start(&t, "cancel 1 2 --wait");
	talk_expect(&t, "{\"cmd\":\"cancel\",\"id\":1}");
	talk_expect(&t, "{\"cmd\":\"show\",\"id\":1}");
	talk_expect(&t, "{\"cmd\":\"cancel\",\"id\":2}");
	talk_expect(&t, "{\"cmd\":\"show\",\"id\":2}");
	for (int i = 0; i < 2; i++) {
		talk_reply(&t, "{\"ok\":true,\"id\":1,\"accepted\":true,\"effect\":\"delivered\"}");
		talk_reply(&t, SHOW(1, ""));
	}
	for (int i = 1; i <= 2; i++) {
		talk_expect(&t, "{\"cmd\":\"wait\"...");
		talk_reply(&t,
		    "{\"ok\":true,\"result\":\"cancelled\",\"of\":\"task\",\"task\":{\"id\":7,"
		    "\"name\":\"n\",\"state\":\"cancelled\"}}");
	}
	talk_end(&t, 0,
	    "nightly (1): cancel delivered\nnightly (1): cancel delivered\nn (7): cancelled\nn "
	    "(7): "
	    "cancelled\n",
	    "");
}
END_TEST

START_TEST(test_some_failed)
{
	struct talk t;

	talk_start(&t, "pause 1 2");
	for (int i = 0; i < 4; i++)
		(void)talk_line(&t);
	talk_reply(&t, "{\"ok\":true,\"id\":1}");
	talk_reply(&t, SHOW(1, ""));
	talk_reply(&t, "{\"ok\":false,\"error\":{\"code\":\"not_found\",\"message\":\"No.\"}}");
	talk_reply(&t, "{\"ok\":false,\"error\":{\"code\":\"not_found\",\"message\":\"No.\"}}");
	talk_end(&t, 1, "nightly (1): paused\n", "taskctl: 2: No.\n");
}
END_TEST

START_TEST(test_selector_of_cancel)
{
	struct talk t;

	talk_start(&t, "cancel --name n --state running");
	talk_expect(&t, "{\"cmd\":\"cancel\",\"select\":{\"name\":\"n\",\"state\":\"running\"}}");
	talk_reply(&t,
	    "{\"ok\":true,\"results\":[{\"id\":1,\"accepted\":true,\"effect\":\"delivered\"},"
	    "{\"id\":2,\"accepted\":true,\"effect\":\"deferred\"}]}");
	talk_end(&t, 3, "1: cancel delivered\n2: deferred: delivered when the shield ends\n", "");
}
END_TEST

START_TEST(test_selector_of_rm)
{
	struct talk t;

	talk_start(&t, "rm --state done");
	talk_expect(&t, "{\"cmd\":\"remove\",\"select\":{\"state\":\"done\"}}");
	talk_reply(&t, "{\"ok\":true,\"removed\":2,\"ids\":[1,2]}");
	talk_end(&t, 0, "1: removed\n2: removed\n", "");
}
END_TEST

/* Verbs whose command takes one task ask for the ids, page by page. */
START_TEST(test_selector_by_ids)
{
	struct talk t;

	talk_start(&t, "release --state pending");
	talk_expect(&t,
	    "{\"cmd\":\"list\",\"select\":{\"state\":\"pending\"},\"full\":true,\"limit\":500}");
	talk_reply(&t, "{\"ok\":true,\"tasks\":[{\"id\":1}],\"next\":\"c1\"}");
	talk_expect(&t,
	    "{\"cmd\":\"list\",\"select\":{\"state\":\"pending\"},\"full\":true,\"limit\":"
	    "500,\"after\":\"c1\"}");
	talk_reply(&t, "{\"ok\":true,\"tasks\":[{\"id\":2}],\"next\":null}");
	for (int i = 0; i < 4; i++)
		(void)talk_line(&t);
	for (int i = 0; i < 2; i++) {
		talk_reply(&t, "{\"ok\":true,\"id\":1,\"state\":\"running\"}");
		talk_reply(
		    &t, "{\"ok\":false,\"error\":{\"code\":\"not_found\",\"message\":\"No.\"}}");
	}
	talk_end(&t, 0, "1: released, running\n2: released, running\n", "");
}
END_TEST

START_TEST(test_dry_run)
{
	struct talk t;

	talk_start(&t, "kill --all --dry-run");
	talk_expect(&t, "{\"cmd\":\"list\"...");
	talk_reply(&t, "{\"ok\":true,\"tasks\":[{\"id\":1,\"name\":\"n\",\"state\":\"running\"}]}");
	talk_end(&t, 0,
	    "ID  NAME  STATE    AGE  LEFT  PROGRESS  COMMAND\n"
	    "1   n     running  -    -     -         -\n",
	    "");
}
END_TEST

START_TEST(test_ps)
{
	struct talk t;

	talk_start(&t, "");
	talk_expect(&t, "{\"cmd\":\"list\"...");
	talk_reply(&t,
	    "{\"ok\":true,\"tasks\":[{\"id\":41,\"name\":\"nightly\",\"state\":\"running\","
	    "\"progress\":0.37,"
	    "\"status\":\"linking\",\"argv\":[\"make\",\"dist\"]},"
	    "{\"id\":43,\"name\":\"db\\ndump\",\"state\":\"done\",\"started\":" LONG_AGO
	    ",\"ended\":\"2026-01-01T00:04:00Z\",\"shell\":\"pg_dump -Fc prod\"}],\"next\":null}");
	talk_end(&t, 0,
	    "ID  NAME     STATE    AGE  LEFT  PROGRESS     COMMAND\n"
	    "41  nightly  running  -    -     37% linking  make dist\n"
	    "43  db dump  done     4m   -     -            pg_dump -Fc prod\n",
	    "");

	talk_start(&t, "ps -o json");
	talk_expect(&t, "{\"cmd\":\"list\"...");
	talk_reply(&t, "{\"ok\":true,\"tasks\":[{\"id\":41, \"x\":1.0},{\"id\":43}]}");
	talk_end(&t, 0, "{\"id\":41, \"x\":1.0}\n{\"id\":43}\n", "");
}
END_TEST

/* A reader that has seen enough is no error. */
START_TEST(test_ps_into_head)
{
	struct talk t;

	talk_start(&t, "ps -o json");
	talk_expect(&t, "{\"cmd\":\"list\"...");
	close(t.out);
	t.out = open("/dev/null", O_RDONLY | O_CLOEXEC);
	talk_reply(&t, "{\"ok\":true,\"tasks\":[{\"id\":1}],\"next\":5}");
	talk_end(&t, 0, "", "");
}
END_TEST

START_TEST(test_show)
{
	struct talk t;

	talk_start(&t, "show 41");
	talk_expect(&t, "{\"cmd\":\"show\",\"id\":41}");
	talk_reply(
	    &t, SHOW(41, ",\"state\":\"running\",\"labels\":{},\"argv\":[\"a\",\"b "
			 "c\"],\"started\":" LONG_AGO ",\"timeout\":5400,\"cancel\":{\"requests\":"
			 "1,\"msg\":\"x\",\"by\":null},\"exit\":null,"
			 "\"hooks\":[{\"hook\":\"finally\",\"exit\":{\"code\":0}}],\"more\":7"));
	talk_end(&t, 0,
	    "id         41\nname       nightly\nstate      running\nargv       a \"b c\"\n"
	    "started    2026-01-01 00:00:00  (2026-01-01T00:00:00.000Z)\ntimeout    1h30m\n"
	    "cancel     requests=1 msg=x\nhooks      hook=finally exit=code=0\nmore       7\n",
	    "");
}
END_TEST

START_TEST(test_logs)
{
	struct talk t;

	/* bytes arrive as they are; a second request finds that there is no more */
	talk_start(&t, "logs 41");
	talk_expect(&t, "{\"cmd\":\"logs\",\"id\":41,\"encoding\":\"base64\"}");
	talk_reply(&t, "{\"event\":\"output\",\"id\":41,\"stream\":\"output\",\"offset\":0,"
		       "\"data\":\"Yf8bCg==\"}");
	talk_reply(&t, "{\"ok\":true,\"offset\":4,\"eof\":false}");
	talk_expect(&t, "{\"cmd\":\"logs\",\"id\":41,\"offset\":4,\"encoding\":\"base64\"}");
	talk_reply(&t, "{\"ok\":true,\"offset\":4,\"eof\":false}");
	talk_end(&t, 0, "a\xff\x1b\n", "");

	/* several: prefixes, and a last line without an end */
	talk_start(&t, "logs a b");
	for (int i = 0; i < 2; i++) {
		talk_expect(&t, "{\"cmd\":\"logs\",\"name\":...");
		talk_reply(
		    &t, "{\"event\":\"output\",\"offset\":5,\"gap\":5,\"data\":\"eApoaQ==\"}");
		talk_reply(&t, "{\"ok\":true,\"offset\":9,\"eof\":true}");
	}
	talk_end(&t, 0, "a: x\na: hi\nb: x\nb: hi\n",
	    "taskctl: 5 bytes of older output were dropped by the size limit.\n"
	    "taskctl: 5 bytes of older output were dropped by the size limit.\n");
}
END_TEST

START_TEST(test_logs_last_lines_then_follow)
{
	struct talk t;

	talk_start(&t, "logs 41 -n 2 -f");
	talk_expect(&t, "{\"cmd\":\"logs\",\"id\":41,\"offset\":-65536,\"encoding\":\"base64\"}");
	talk_reply(&t, "{\"event\":\"output\",\"offset\":0,\"data\":\"MQoyCjMK\"}");
	talk_reply(&t, "{\"ok\":true,\"offset\":6,\"eof\":false}");
	talk_expect(&t, "{\"cmd\":\"logs\",\"id\":41,\"offset\":6,\"encoding\":\"base64\"}");
	talk_reply(&t, "{\"ok\":true,\"offset\":6,\"eof\":false}");
	talk_expect(&t, "{\"cmd\":\"logs\",\"id\":41,\"offset\":6,\"follow\":true,\"encoding\":"
			"\"base64\",\"rid\":0}");
	talk_reply(&t, "{\"event\":\"output\",\"offset\":6,\"data\":\"NAo=\",\"rid\":0}");
	talk_reply(&t, "{\"ok\":true,\"offset\":8,\"eof\":true,\"rid\":0}");
	talk_end(&t, 0, "2\n3\n4\n", "");
}
END_TEST

START_TEST(test_events)
{
	struct talk t;

	talk_start(&t, "events --since 5");
	talk_expect(&t, "{\"cmd\":\"events\",\"since\":5}");
	talk_reply(&t, "{\"ok\":true,\"seq\":7}");
	talk_reply(&t,
	    "{\"seq\":6,\"event\":\"task.created\",\"id\":1,\"at\":" LONG_AGO ",\"name\":\"n\"}");
	talk_reply(
	    &t, "{\"seq\":7,\"event\":\"task.started\",\"id\":1,\"at\":" LONG_AGO ",\"pid\":9}");
	talk_end(&t, 0,
	    "6      2026-01-01 00:00:00  1     task.created  name=\"n\"\n"
	    "7      2026-01-01 00:00:00  1     task.started  pid=9\n",
	    "");
}
END_TEST

START_TEST(test_stats_and_ping)
{
	struct talk t;

	talk_start(&t, "stats");
	talk_expect(&t, "{\"cmd\":\"stats\"}");
	talk_reply(&t, "{\"ok\":true,\"tasks\":{\"running\":3},\"uptime\":1.5}");
	talk_end(&t, 0, "tasks.running                3\nuptime                       1.5\n", "");

	talk_start(&t, "daemon ping");
	talk_expect(&t, "{\"cmd\":\"hello\"}");
	talk_reply(&t, "{\"ok\":true,\"server\":\"taskctld\",\"version\":\"0.1.0\",\"protocol\":1,"
		       "\"caller\":{\"uid\":0},\"uptime\":3720}");
	talk_end(&t, 0, "taskctld 0.1.0, protocol 1, up 1h2m\n", "");
}
END_TEST

START_TEST(test_daemon_hangs_up)
{
	struct talk t;

	talk_start(&t, "stats");
	(void)talk_line(&t);
	talk_hang_up(&t);
	talk_end(&t, 125, "", NULL);
}
END_TEST

/* -- wait and run -- */

START_TEST(test_wait)
{
	struct talk t;

	talk_start(&t, "wait 41");
	talk_expect(&t, "{\"cmd\":\"wait\",\"id\":41}");
	talk_reply(&t,
	    "{\"ok\":true,\"result\":\"failed\",\"of\":\"task\",\"task\":{\"id\":41,\"name\":\"n\","
	    "\"state\":\"failed\",\"exit\":{\"code\":7}}}");
	talk_end(&t, 7, "n (41): failed: exit 7\n", "");

	talk_start(&t, "wait 41 --timeout 1");
	(void)talk_line(&t);
	talk_reply(&t, "{\"ok\":true,\"result\":\"timeout\",\"of\":\"wait\",\"task\":{\"id\":41,"
		       "\"name\":\"n\","
		       "\"state\":\"running\"}}");
	talk_end(&t, 75, "n (41): the wait's time ran out; running\n", "");

	talk_start(&t, "wait 41");
	(void)talk_line(&t);
	talk_reply(&t, "{\"ok\":false,\"error\":{\"code\":\"not_found\",\"message\":\"No.\"}}");
	talk_end(&t, 125, "", "taskctl: 41: No.\n");
}
END_TEST

START_TEST(test_wait_several)
{
	struct talk t;

	talk_start(&t, "wait 1 b");
	talk_expect(&t, "{\"cmd\":\"wait\",\"id\":1,\"rid\":0}");
	talk_expect(&t, "{\"cmd\":\"wait\",\"name\":\"b\",\"rid\":1}");
	talk_reply(&t, "{\"ok\":true,\"rid\":1,\"result\":\"done\",\"of\":\"task\",\"task\":{"
		       "\"state\":\"done\"}}");
	talk_reply(&t,
	    "{\"ok\":true,\"rid\":0,\"result\":\"cancelled\",\"of\":\"task\",\"task\":{\"state\":"
	    "\"cancelled\"}}");
	talk_end(&t, 1, "b: done\n1: cancelled\n", "");

	talk_start(&t, "wait 1 b --any");
	talk_expect(&t, "{\"cmd\":\"show\",\"name\":\"b\"}");
	talk_reply(&t, SHOW(2, ""));
	talk_expect(&t, "{\"cmd\":\"wait\",\"ids\":[1,2],\"for\":\"any\"}");
	talk_reply(&t,
	    "{\"ok\":true,\"results\":[{\"id\":1,\"task\":{\"id\":1,\"state\":\"running\"}},{"
	    "\"id\":2,"
	    "\"result\":\"done\",\"of\":\"task\",\"task\":{\"id\":2,\"state\":\"done\"}}]}");
	talk_end(&t, 0, "2: done\n", "");
}
END_TEST

/* The daemon dies and comes back; what is left of the wait's time is asked for. */
START_TEST(test_wait_asks_again)
{
	struct talk t;
	char *line;

	talk_start(&t, "wait 41 --own --timeout 1h");
	talk_expect(&t, "{\"cmd\":\"wait\",\"id\":41,\"mode\":\"own\",\"timeout\":\"1h\"}");
	talk_hang_up(&t);
	line = talk_line(&t);
	ck_assert_ptr_nonnull(strstr(line, "\"mode\":\"own\",\"timeout\":3599."));
	talk_reply(
	    &t, "{\"ok\":true,\"result\":\"done\",\"of\":\"task\",\"task\":{\"state\":\"done\"}}");
	talk_end(&t, 0, "41: done\n", "");
}
END_TEST

static void
run_begins(struct talk *t, const char *words)
{
	talk_start(t, words);
	talk_expect(t, "{\"cmd\":\"start\"...");
	talk_expect(t, "{\"cmd\":\"logs\",\"key\":\"k\",\"rid\":\"out0\"...");
	talk_expect(t, "{\"cmd\":\"wait\",\"key\":\"k\",\"rid\":\"wait\"}");
	talk_reply(t, "{\"ok\":true,\"id\":48,\"rid\":\"start\"}");
	talk_reply(t, "{\"event\":\"output\",\"rid\":\"out0\",\"offset\":0,\"data\":\"aGkK\"}");
}

static void
run_ends(struct talk *t, const char *answer)
{
	talk_reply(t, "{\"ok\":true,\"rid\":\"out0\",\"offset\":3,\"eof\":true}");
	talk_reply(t, answer);
}

START_TEST(test_run)
{
	struct talk t;

	run_begins(&t, "run --key k -- x");
	run_ends(&t, "{\"ok\":true,\"rid\":\"wait\",\"result\":\"failed\",\"of\":\"task\",\"task\":"
		     "{\"id\":48,"
		     "\"name\":\"x\",\"state\":\"failed\",\"exit\":{\"code\":3}}}");
	talk_end(&t, 3, "hi\n", "");

	run_begins(&t, "run --key k -- x");
	run_ends(&t, "{\"ok\":true,\"rid\":\"wait\",\"result\":\"timed_out\",\"of\":\"task\","
		     "\"task\":{\"id\":48,"
		     "\"name\":\"flaky.sh\",\"state\":\"timed_out\",\"started\":" LONG_AGO
		     ",\"deadline\":\"2026-01-01T00:00:10Z\"}}");
	talk_end(&t, 124, "hi\n", "taskctl: flaky.sh (48): timed out after 10s\n");
}
END_TEST

START_TEST(test_run_separate)
{
	struct talk t;

	talk_start(&t, "run --key k --separate -- x");
	for (int i = 0; i < 4; i++)
		(void)talk_line(&t);
	talk_reply(&t, "{\"ok\":true,\"id\":48,\"rid\":\"start\"}");
	talk_reply(
	    &t, "{\"event\":\"output\",\"rid\":\"out1\",\"offset\":0,\"data\":\"ZXJyCg==\"}");
	talk_reply(
	    &t, "{\"event\":\"output\",\"rid\":\"out0\",\"offset\":0,\"data\":\"b3V0Cg==\"}");
	talk_reply(
	    &t, "{\"ok\":true,\"rid\":\"wait\",\"result\":\"done\",\"of\":\"task\",\"task\":{}}");
	talk_reply(&t, "{\"ok\":true,\"rid\":\"out1\",\"offset\":4,\"eof\":true}");
	talk_reply(&t, "{\"ok\":true,\"rid\":\"out0\",\"offset\":4,\"eof\":true}");
	talk_end(&t, 0, "out\n", "err\n");
}
END_TEST

START_TEST(test_run_cannot_start)
{
	struct talk t;

	talk_start(&t, "run --key k -- x");
	for (int i = 0; i < 3; i++)
		(void)talk_line(&t);
	talk_reply(&t, "{\"ok\":false,\"rid\":\"start\",\"error\":{\"code\":\"limit\",\"message\":"
		       "\"Full.\"}}");
	talk_end(&t, 125, "", "taskctl: Full.\n");
}
END_TEST

/* Ctrl-C cancels, again cancels again, the third kills. */
START_TEST(test_run_interrupted)
{
	struct talk t;
	char out[TALK_LEN] = "";

	run_begins(&t, "run --key k -- x");
	talk_slurp(t.out, out, "hi\n"); /* it is up, so it takes signals */
	kill(t.pid, SIGINT);
	talk_expect(
	    &t, "{\"cmd\":\"cancel\",\"key\":\"k\",\"rid\":\"cancel\",\"msg\":\"interrupted\"}");
	talk_reply(&t, "{\"ok\":true,\"rid\":\"cancel\",\"effect\":\"delivered\"}");
	kill(t.pid, SIGTERM);
	talk_expect(
	    &t, "{\"cmd\":\"cancel\",\"key\":\"k\",\"rid\":\"cancel\",\"msg\":\"SIGTERM\"}");
	kill(t.pid, SIGINT);
	talk_expect(
	    &t, "{\"cmd\":\"kill\",\"key\":\"k\",\"rid\":\"kill\",\"msg\":\"interrupted\"}");
	run_ends(&t,
	    "{\"ok\":true,\"rid\":\"wait\",\"result\":\"cancelled\",\"of\":\"task\",\"task\":{"
	    "\"id\":48,"
	    "\"name\":\"x\",\"state\":\"cancelled\",\"cancel\":{\"msg\":\"interrupted\"}}}");
	talk_end(&t, 130, "", "taskctl: x (48): cancelled: interrupted\n");
}
END_TEST

START_TEST(test_run_detaches_on_hup)
{
	struct talk t;
	char out[TALK_LEN] = "";

	run_begins(&t, "run --key k --detach-on-hup -- x");
	talk_slurp(t.out, out, "hi\n");
	kill(t.pid, SIGHUP);
	talk_end(&t, 129, "", "taskctl: task 48 runs on; 'taskctl wait 48' waits for it.\n");
}
END_TEST

/* A lost connection starts nothing twice, and the output goes on where it was. */
START_TEST(test_run_asks_again)
{
	struct talk t;
	char out[TALK_LEN] = "";

	run_begins(&t, "run --key k -- x");
	talk_slurp(t.out, out, "hi\n");
	talk_hang_up(&t);
	talk_expect(&t, "{\"cmd\":\"start\"...");
	talk_expect(&t, "{\"cmd\":\"logs\",\"key\":\"k\",\"rid\":\"out0\",\"follow\":true,"
			"\"encoding\":\"base64\",\"offset\":3}");
	talk_expect(&t, "{\"cmd\":\"wait\",\"key\":\"k\",\"rid\":\"wait\"}");
	talk_reply(&t, "{\"ok\":true,\"id\":48,\"existing\":true,\"rid\":\"start\"}");
	run_ends(
	    &t, "{\"ok\":true,\"rid\":\"wait\",\"result\":\"done\",\"of\":\"task\",\"task\":{}}");
	talk_end(&t, 0, "", "");
}
END_TEST

START_TEST(test_run_output_closed)
{
	struct talk t;

	talk_start(&t, "run --key k -- yes");
	for (int i = 0; i < 3; i++)
		(void)talk_line(&t);
	close(t.out);
	t.out = open("/dev/null", O_RDONLY | O_CLOEXEC);
	talk_reply(&t, "{\"ok\":true,\"id\":48,\"rid\":\"start\"}");
	talk_reply(&t, "{\"event\":\"output\",\"rid\":\"out0\",\"offset\":0,\"data\":\"aGkK\"}");
	talk_expect(
	    &t, "{\"cmd\":\"cancel\",\"key\":\"k\",\"rid\":\"cancel\",\"msg\":\"output closed\"}");
	run_ends(&t,
	    "{\"ok\":true,\"rid\":\"wait\",\"result\":\"cancelled\",\"of\":\"task\",\"task\":{}}");
	talk_end(&t, 130, "", NULL);
}
END_TEST

/* -- self -- */

struct notified {
	int fd;
	char path[96];
};

static void
notify_listen(struct notified *n, struct talk *t)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	talk_listen(t);
	snprintf(n->path, sizeof(n->path), "%s/n", t->dir);
	strcpy(un.sun_path, n->path);
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(n->fd, (struct sockaddr *)&un, sizeof(un)), 0);
	setenv("NOTIFY_SOCKET", n->path, 1);
}

/* The next datagram; a barrier is acknowledged. */
static void
notify_expect(struct notified *n, const char *expected)
{
	char buf[1024], control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf) - 1};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control,
	    .msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	ssize_t len;
	int fd;

	talk_wait_readable(n->fd, expected);
	len = recvmsg(n->fd, &msg, MSG_CMSG_CLOEXEC);
	ck_assert_int_ge(len, 0);
	buf[len] = '\0';
	ck_assert_str_eq(buf, expected);
	c = CMSG_FIRSTHDR(&msg);
	ck_assert_int_eq(c != NULL, strcmp(expected, "BARRIER=1") == 0);
	if (c != NULL) {
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		close(fd);
	}
}

static void
notify_end(struct notified *n)
{
	close(n->fd);
	unlink(n->path);
	unsetenv("NOTIFY_SOCKET");
}

START_TEST(test_self_says)
{
	struct notified n;
	struct talk t;

	notify_listen(&n, &t);
	talk_run(&t, "self progress 40 indexing");
	notify_expect(&n, "X_PROGRESS=0.4\nSTATUS=indexing");
	notify_end(&n);
	talk_end(&t, 0, "", "");

	notify_listen(&n, &t);
	talk_run(&t, "self uncancel");
	notify_expect(&n, "X_UNCANCEL=1");
	notify_expect(&n, "BARRIER=1");
	notify_end(&n);
	talk_end(&t, 0, "", "");
}
END_TEST

START_TEST(test_self_shield)
{
	struct notified n;
	struct talk t;

	notify_listen(&n, &t);
	talk_run(&t, "self shield -- sh -c exit\x01"
		     "7");
	notify_expect(&n, "X_SHIELD=1");
	notify_expect(&n, "BARRIER=1");
	notify_expect(&n, "X_SHIELD=0");
	notify_expect(&n, "BARRIER=1");
	notify_end(&n);
	talk_end(&t, 7, "", "");

	notify_listen(&n, &t);
	talk_run(&t, "self shield -- /no/such/program");
	notify_expect(&n, "X_SHIELD=1");
	notify_expect(&n, "BARRIER=1");
	notify_expect(&n, "X_SHIELD=0");
	notify_expect(&n, "BARRIER=1");
	notify_end(&n);
	talk_end(&t, 127, "", NULL);
}
END_TEST

START_TEST(test_self_reason)
{
	char path[] = "/tmp/check_client.XXXXXX";
	int fd = mkstemp(path);

	setenv("TASKCTL_CANCEL_FILE", path, 1);
	talk_alone("self reason", 1, "", "");
	ck_assert_int_eq(write(fd, "{\"msg\":\"two\\nlines\"}", 20), 20);
	talk_alone("self reason", 0, "two\nlines\n", "");
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(pwrite(fd, "{\"msg\":{\"a\":1}}", 15, 0), 15);
	talk_alone("self reason", 0, "{\"a\":1}\n", "");
	unsetenv("TASKCTL_CANCEL_FILE");
	unlink(path);
	close(fd);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
	    test_start_prints_the_id_alone,
	    test_json_is_the_reply_as_it_came,
	    test_cancel_wait,
	    test_cancel_several_wait,
	    test_some_failed,
	    test_selector_of_cancel,
	    test_selector_of_rm,
	    test_selector_by_ids,
	    test_dry_run,
	    test_ps,
	    test_ps_into_head,
	    test_show,
	    test_logs,
	    test_logs_last_lines_then_follow,
	    test_events,
	    test_stats_and_ping,
	    test_daemon_hangs_up,
	    test_wait,
	    test_wait_several,
	    test_wait_asks_again,
	    test_run,
	    test_run_separate,
	    test_run_cannot_start,
	    test_run_interrupted,
	    test_run_detaches_on_hup,
	    test_run_asks_again,
	    test_run_output_closed,
	    test_self_says,
	    test_self_shield,
	    test_self_reason,
	};
	Suite *suite = suite_create("client talk");
	TCase *tc = tcase_create("talk");

	tcase_set_timeout(tc, 60);
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
		tcase_add_test(tc, tests[i]);
	tcase_add_loop_test(tc, test_cancel, 0, (int)ARRAY_SIZE(cancels));
	suite_add_tcase(suite, tc);
	return talk_main(suite);
}

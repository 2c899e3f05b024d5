/* Command lines and the request lines that they become: every verb, every option, every mistake. */
#include "check_client.h"

#define LIVE  "\"state\":[\"pending\",\"running\",\"cancelling\",\"killing\",\"cleanup\"]"
#define ENDED "\"state\":[\"done\",\"failed\",\"cancelled\",\"timed_out\",\"lost\"]"

static const struct {
	const char *words, *out;
} lines[] = {
    /* the page's own example */
    {"cancel 41 -m no\x01longer\x01needed --wire",
	"{\"cmd\":\"cancel\",\"id\":41,\"msg\":\"no longer needed\"}"},
    /* options behind CMD are CMD's */
    {"--wire start --cwd / -- make dist -x",
	"{\"cmd\":\"start\",\"argv\":[\"make\",\"dist\",\"-x\"],\"cwd\":\"/\"}"},
    {"--wire start --cwd / make -j2",
	"{\"cmd\":\"start\",\"argv\":[\"make\",\"-j2\"],\"cwd\":\"/\"}"},
    {"--wire start --cwd / --sh a&&b", "{\"cmd\":\"start\",\"shell\":\"a&&b\",\"cwd\":\"/\"}"},
    {"--wire start --cwd / --name n --key k --timeout 2h --grace 1.5s --signal int -- x",
	"{\"cmd\":\"start\",\"argv\":[\"x\"],\"cwd\":\"/"
	"\",\"name\":\"n\",\"key\":\"k\",\"timeout\":\"2h\","
	"\"grace\":\"1.5s\",\"signal\":\"SIGINT\"}"},
    {"--wire start --cwd / --signal-to leader --on-refuse keep --hook-errors warn -- x",
	"{\"cmd\":\"start\",\"argv\":[\"x\"],\"cwd\":\"/"
	"\",\"signal_to\":\"leader\",\"on_refuse\":\"keep\","
	"\"hook_errors\":\"warn\"}"},
    {"--wire start --cwd / --shield --hold --attached --separate --grace unlimited -- x",
	"{\"cmd\":\"start\",\"argv\":[\"x\"],\"cwd\":\"/\",\"shield\":true,\"hold\":true,"
	"\"lifetime\":\"connection\",\"output\":\"separate\",\"grace\":null}"},
    {"--wire start --cwd / --shield=5m --timeout 90 --timeout=0 -- x",
	"{\"cmd\":\"start\",\"argv\":[\"x\"],\"cwd\":\"/"
	"\",\"shield\":{\"for\":\"5m\"},\"timeout\":0}"},
    {"--wire start --cwd / -l a=1 -lb=2 --label a=3 -e X=y=z --env -PATH -- x",
	"{\"cmd\":\"start\",\"argv\":[\"x\"],\"cwd\":\"/\",\"labels\":{\"a\":\"3\",\"b\":\"2\"},"
	"\"env\":{\"X\":\"y=z\",\"PATH\":null}}"},
    {"--wire start --cwd / --on-cancel 10s:rm\x01x --on-timeout a:b --on-failure c --finally d -- "
     "x",
	"{\"cmd\":\"start\",\"argv\":[\"x\"],\"cwd\":\"/"
	"\",\"hooks\":{\"on_cancel\":{\"timeout\":\"10s\","
	"\"shell\":\"rm x\"},\"on_timeout\":{\"shell\":\"a:b\"},\"on_failure\":{\"shell\":\"c\"},"
	"\"finally\":{\"shell\":\"d\"}}}"},
    {"--wire start --cwd / --finally a --finally 5:b -- x",
	"{\"cmd\":\"start\",\"argv\":[\"x\"],\"cwd\":\"/"
	"\",\"hooks\":{\"finally\":[{\"shell\":\"a\"},"
	"{\"timeout\":5,\"shell\":\"b\"}]}}"},
    {"--wire -H example.org:1 start -- x", "{\"cmd\":\"start\",\"argv\":[\"x\"]}"},
    {"--wire run --cwd / --key k -- x",
	"{\"cmd\":\"start\",\"argv\":[\"x\"],\"cwd\":\"/\",\"key\":\"k\",\"rid\":\"start\"}\n"
	"{\"cmd\":\"logs\",\"key\":\"k\",\"rid\":\"out0\",\"follow\":true,\"encoding\":\"base64\"}"
	"\n"
	"{\"cmd\":\"wait\",\"key\":\"k\",\"rid\":\"wait\"}"},
    {"cancel a 42 --grace 5 --wait --wire",
	"{\"cmd\":\"cancel\",\"name\":\"a\",\"grace\":5,\"wait\":true}\n"
	"{\"cmd\":\"cancel\",\"id\":42,\"grace\":5,\"wait\":true}"},
    {"cancel 007 --wire", "{\"cmd\":\"cancel\",\"name\":\"007\"}"},
    {"cancel --wire -- -x", "{\"cmd\":\"cancel\",\"name\":\"-x\"}"},
    {"cancel -l env=prod -m x --wire",
	"{\"cmd\":\"cancel\",\"select\":{\"label\":{\"env\":\"prod\"}," LIVE "},\"msg\":\"x\"}"},
    {"cancel --all -m \x01 --wire",
	"{\"cmd\":\"cancel\",\"select\":{\"all\":true," LIVE "},\"msg\":\" \"}"},
    {"cancel --name n --state running --wire",
	"{\"cmd\":\"cancel\",\"select\":{\"name\":\"n\",\"state\":\"running\"}}"},
    {"kill 1 --pierce --wire", "{\"cmd\":\"kill\",\"id\":1,\"pierce\":true}"},
    {"uncancel 3 --wire", "{\"cmd\":\"uncancel\",\"id\":3}"},
    {"shield 1 --for 10m -m wal --wire",
	"{\"cmd\":\"shield\",\"id\":1,\"for\":\"10m\",\"msg\":\"wal\"}"},
    {"unshield x --wire", "{\"cmd\":\"unshield\",\"name\":\"x\"}"},
    {"timeout 41 30m --wire", "{\"cmd\":\"timeout\",\"id\":41,\"in\":\"30m\"}"},
    {"timeout 41 0 --wire", "{\"cmd\":\"timeout\",\"id\":41,\"in\":0}"},
    {"timeout 41 +10m --wire", "{\"cmd\":\"timeout\",\"id\":41,\"extend\":\"10m\"}"},
    {"timeout 41 --wire -- -10m", "{\"cmd\":\"timeout\",\"id\":41,\"extend\":-600}"},
    {"timeout 41 --wire -- -1.25", "{\"cmd\":\"timeout\",\"id\":41,\"extend\":-1.25}"},
    {"timeout 41 at 2026-11-22T18:00:00+01:00 --wire",
	"{\"cmd\":\"timeout\",\"id\":41,\"at\":\"2026-11-22T17:00:00.000Z\"}"},
    {"timeout 41 0.30 --wire", "{\"cmd\":\"timeout\",\"id\":41,\"in\":0.3}"},
    {"timeout 41 off --wire", "{\"cmd\":\"timeout\",\"id\":41,\"in\":null}"},
    {"wait 41 --wire", "{\"cmd\":\"wait\",\"id\":41}"},
    {"wait 41 --timeout 0 --own --wire",
	"{\"cmd\":\"wait\",\"id\":41,\"timeout\":0,\"mode\":\"own\"}"},
    {"wait 1 x --wire",
	"{\"cmd\":\"wait\",\"id\":1,\"rid\":0}\n{\"cmd\":\"wait\",\"name\":\"x\",\"rid\":1}"},
    {"wait 1 2 --any --wire", "{\"cmd\":\"wait\",\"ids\":[1,2],\"for\":\"any\"}"},
    {"wait -l a=b --wire", "{\"cmd\":\"wait\",\"select\":{\"label\":{\"a\":\"b\"}}}"},
    {"--wire", "{\"cmd\":\"list\",\"select\":{" LIVE "},\"full\":true,\"limit\":500}"},
    {"ps --wire", "{\"cmd\":\"list\",\"select\":{" LIVE "},\"full\":true,\"limit\":500}"},
    {"ls -a --wire", "{\"cmd\":\"list\",\"full\":true,\"limit\":500}"},
    {"ps --state done,lost --state failed --wire",
	"{\"cmd\":\"list\",\"select\":{\"state\":[\"done\",\"lost\",\"failed\"]},\"full\":true,"
	"\"limit\":500}"},
    {"show 1 b --wire", "{\"cmd\":\"show\",\"id\":1}\n{\"cmd\":\"show\",\"name\":\"b\"}"},
    {"logs 1 -f --wire", "{\"cmd\":\"logs\",\"id\":1,\"follow\":true,\"encoding\":\"base64\"}"},
    {"logs b -n 5 --stderr --wire", "{\"cmd\":\"logs\",\"name\":\"b\",\"stream\":\"stderr\","
				    "\"offset\":-65536,\"encoding\":\"base64\"}"},
    {"events --wire", "{\"cmd\":\"events\",\"since\":0}"},
    {"events -f --wire", "{\"cmd\":\"events\"}"},
    {"events --since 7 -f --wire", "{\"cmd\":\"events\",\"since\":7}"},
    {"stats --wire", "{\"cmd\":\"stats\"}"},
    {"release 1 --wire", "{\"cmd\":\"release\",\"id\":1}"},
    {"release --all --wire",
	"{\"cmd\":\"release\",\"select\":{\"all\":true,\"state\":\"pending\"}}"},
    {"signal 1 hup --wire", "{\"cmd\":\"signal\",\"id\":1,\"signal\":\"SIGHUP\"}"},
    {"signal 1 10 --wire", "{\"cmd\":\"signal\",\"id\":1,\"signal\":\"SIGUSR1\"}"},
    {"pause 1 --wire", "{\"cmd\":\"pause\",\"id\":1}"},
    {"resume 1 --wire", "{\"cmd\":\"resume\",\"id\":1}"},
    {"rm --all --wire", "{\"cmd\":\"remove\",\"select\":{\"all\":true," ENDED "}}"},
    {"self progress 40 index it --wire", "X_PROGRESS=0.4\nSTATUS=index it"},
    {"self progress 100% --wire", "X_PROGRESS=1"},
    {"self status two\x01words --wire", "STATUS=two words"},
    {"self result a\nb --wire", "X_RESULT_JSON=\"a\\nb\""},
    {"self result a b --wire", "X_RESULT=a b"},
    {"self extend 20s --wire", "EXTEND_TIMEOUT_USEC=20000000\nBARRIER=1"},
    {"self uncancel --wire", "X_UNCANCEL=1\nBARRIER=1"},
    {"--wire self shield -- true", "X_SHIELD=1\nBARRIER=1\nX_SHIELD=0\nBARRIER=1"},
    {"daemon ping --wire", "{\"cmd\":\"hello\"}"},
    {"daemon shutdown -m x --wire", "{\"cmd\":\"shutdown\",\"msg\":\"x\",\"mode\":\"cancel\"}"},
    {"daemon detach --wire", "{\"cmd\":\"shutdown\",\"mode\":\"detach\"}"},
};

START_TEST(test_wire)
{
	char *out;

	out = xasprintf("%s\n", lines[_i].out);
	talk_alone(lines[_i].words, 0, out, "");
	free(out);
}
END_TEST

/* What is wrong is said in a sentence that begins like this, with the usage code of the verb. */
static const struct {
	const char *words;
	int code;
	const char *err;
} mistakes[] = {
    {"token", 2, "There is no verb 'token'"},
    {"why 1", 2, "There is no verb 'why'"},
    {"top", 2, "There is no verb 'top'"},
    {"completions", 2, "There is no verb 'completions'"},
    {"ps -w", 2, "There is no option -w"},
    {"ps 41", 2, "ps takes no operands"},
    {"ps --nope", 2, "There is no option --nope"},
    {"ps --all=x", 2, "--all takes no value"},
    {"ps -o xml", 2, "--output xml: must be json or text"},
    {"ps --state", 2, "--state needs a value"},
    {"ps --state Done", 2, "--state Done: must be states"},
    {"cancel", 2, "Name a task by its id or name"},
    {"cancel 1 --all", 2, "Name tasks, or select them"},
    {"cancel -l x", 2, "--label x: must be KEY=VALUE"},
    {"cancel 1 --grace never", 2, "--grace never: must be"},
    {"start", 2, "Say what to run"},
    {"start --sh x -- y", 2, "--sh takes the whole line"},
    {"start --timeout -5 -- y", 2, "--timeout -5: must be"},
    {"start --signal FOO -- y", 2, "--signal FOO: must be a signal"},
    {"start --signal-to both -- y", 2, "--signal-to both: must be one of"},
    {"start --signal-to lead -- y", 2, "--signal-to lead: must be one of"},
    {"start -e TASKCTL_ID=1 -- y", 2, "--env TASKCTL_ID=1: is a name that only"},
    {"start -e 1=2 -- y", 2, "--env 1=2: must be NAME=VALUE"},
    {"start -e X -- y", 2, "--env X: must be KEY=VALUE"},
    {"start --name \xff -- y", 2, "--name \xff: is not UTF-8"},
    {"start -- \xff", 2, "The command is empty or not UTF-8"},
    {"start --finally 5s: -- y", 2, "--finally 5s:: must be"},
    {"start --stdin /no/such -- y", 125, "--stdin /no/such cannot be read"},
    {"run --nope -- y", 125, "There is no option --nope"},
    {"wait", 125, "Name a task"},
    {"wait a 2 --any --wire", 125, "--wire with --any needs ids"},
    {"signal 1", 2, "Name a task"},
    {"signal 1 FOO", 2, "FOO must be a signal"},
    {"timeout 1", 2, "Write a task and a time"},
    {"timeout 1 x", 2, "x is no time"},
    {"timeout 1 at 25:00", 2, "25:00 is no time"},
    {"timeout 1 -10m", 2, "There is no option -1"},
    {"logs", 2, "Name a task"},
    {"logs 1 -n -3", 2, "--lines -3: must be a whole number"},
    {"show", 2, "Name a task"},
    {"self", 2, "Write 'taskctl self'"},
    {"self progress 101", 2, "Progress is a number"},
    {"self extend 0", 2, "The time 0"},
    {"self status x", 125, "This is not inside a task"},
    {"self reason", 125, "This is not inside a task"},
    {"daemon reload", 2, "Write 'taskctl daemon ping'"},
    {"help nope", 2, "There is no verb 'nope'"},
    {"-H unix:/no/such ps", 125, "No daemon answers at unix:/no/such"},
    {"-H a:b:c:x ps", 125, NULL},
    {"-H host:99999 ps", 125, "host:99999 is no address"},
};

START_TEST(test_mistake)
{
	char err[TALK_LEN] = "";
	struct talk t;

	talk_start(&t, mistakes[_i].words);
	talk_slurp(t.err, err, NULL);
	ck_assert_int_eq(strncmp(err, "taskctl: ", 9), 0);
	if (mistakes[_i].err != NULL)
		ck_assert_msg(
		    strncmp(err + 9, mistakes[_i].err, strlen(mistakes[_i].err)) == 0, "%s", err);
	talk_end(&t, mistakes[_i].code, "", NULL);
}
END_TEST

START_TEST(test_time_of_day)
{
	char out[TALK_LEN] = "";
	struct talk t;

	talk_start(&t, "timeout 41 at 18:00 --wire");
	talk_slurp(t.out, out, NULL);
	ck_assert_ptr_nonnull(strstr(out, "T18:00:00.000Z\"}"));
	talk_end(&t, 0, NULL, "");
}
END_TEST

START_TEST(test_help_names_every_verb_with_two_examples)
{
	for (const struct verb *v = verb_table; v->name != NULL; v++) {
		char out[TALK_LEN] = "", *words = xasprintf("help %s", v->name);
		struct talk t;

		ck_assert_ptr_nonnull(v->examples[0]);
		ck_assert_ptr_nonnull(v->examples[1]);
		talk_start(&t, words);
		talk_slurp(t.out, out, NULL);
		ck_assert_ptr_nonnull(strstr(out, v->purpose));
		ck_assert_ptr_nonnull(strstr(out, v->examples[0]));
		ck_assert_ptr_nonnull(strstr(out, v->examples[1]));
		talk_end(&t, 0, NULL, "");
		free(words);
	}
	talk_alone("--version", 0, "taskctl " TASKCTL_VERSION "\n", "");
}
END_TEST

START_TEST(test_stdin_is_read)
{
	char path[] = "/tmp/check_client.XXXXXX", *words;
	int fd = mkstemp(path);

	ck_assert_int_eq(write(fd, "a\tb\n", 4), 4);
	words = xasprintf("--wire start --cwd / --stdin %s -- cat", path);
	talk_alone(words, 0,
	    "{\"cmd\":\"start\",\"argv\":[\"cat\"],\"cwd\":\"/\",\"stdin\":\"a\\tb\\n\"}\n", "");
	/* a NUL is no text */
	ck_assert_int_eq(write(fd, "\0", 1), 1);
	talk_alone(words, 125, "", NULL);
	unlink(path);
	close(fd);
	free(words);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("client wire");
	TCase *tc = tcase_create("wire");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test_wire, 0, (int)ARRAY_SIZE(lines));
	tcase_add_loop_test(tc, test_mistake, 0, (int)ARRAY_SIZE(mistakes));
	tcase_add_test(tc, test_time_of_day);
	tcase_add_test(tc, test_help_names_every_verb_with_two_examples);
	tcase_add_test(tc, test_stdin_is_read);
	suite_add_tcase(suite, tc);
	return talk_main(suite);
}

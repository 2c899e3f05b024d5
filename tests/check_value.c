/* Unit tests of value.h. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include "check_run.h"
#include "json.h"
#include "util.h"
#include "value.h"

#define MS NS_PER_MS
#define S  NS_PER_SEC

/* Parses the JSON text as a duration. */
static int
duration(const char *text, int64_t *ns)
{
	json_t *v = json_parse_value(text, strlen(text), NULL);
	const char *why = NULL;
	int r;

	ck_assert_msg(v != NULL, "%s", text);
	*ns = 77;
	r = value_duration(v, ns, &why);
	json_decref(v);
	if (r < 0)
		ck_assert_msg(why && strncmp(why, "must be ", 8) == 0 && *ns == 77, "%s", text);
	return r;
}

START_TEST(test_durations)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {{"1", S}, {"1.5", 1500 * MS}, {"0", 0}, {"0.0", 0}, {"-3", -3 * S},
	    {"-0.25", -250 * MS}, {"0.0005", 500000}, {"1e-12", 1}, {"-1e-12", -1},
	    {"0.1", 100 * MS}, {"\"250ms\"", 250 * MS}, {"\"90s\"", 90 * S}, {"\"5m\"", 300 * S},
	    {"\"1h30m\"", 5400 * S}, {"\"2d\"", 172800 * S}, {"\"1.5h\"", 5400 * S}, {"\"0s\"", 0},
	    {"\"1d2h3m4s5ms\"", 93784 * S + 5 * MS}, {"\"0.25s\"", 250 * MS},
	    {"\"0.0000000001s\"", 1}, {"315360000", 315360000 * S}, {"\"3650d\"", 315360000 * S}};
	static const char *const malformed[] = {"\"\"", "\"90\"", "\"s\"", "\"-5s\"", "\"+5s\"",
	    "\"5 s\"", "\" 5s\"", "\"5s \"", "\"5S\"", "\"30m1h\"", "\"1m1m\"", "\"1.s\"",
	    "\".5s\"", "\"1.2.3s\"", "\"1h30\"", "\"5y\"", "\"5msx\"", "\"1e3s\"", "null", "true",
	    "[]", "{}"};
	static const char *const large[] = {"\"3654d\"", "315619201", "-315619201", "1e30", "-1e30",
	    "9223372036854775807", "\"99999999999999999999999s\"", "\"3653d1s\""};
	int64_t ns;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		ck_assert_msg(duration(good[i].text, &ns) == 0, "%s", good[i].text);
		ck_assert_msg(ns == good[i].ns, "%s: %lld", good[i].text, (long long)ns);
	}
	for (size_t i = 0; i < ARRAY_SIZE(malformed); i++)
		ck_assert_msg(duration(malformed[i], &ns) == -EINVAL, "%s", malformed[i]);
	for (size_t i = 0; i < ARRAY_SIZE(large); i++)
		ck_assert_msg(duration(large[i], &ns) == -ERANGE, "%s", large[i]);
}
END_TEST

START_TEST(test_bare_durations)
{
	int64_t ns = 0;

	ck_assert_int_eq(value_duration_str("90", true, &ns, NULL), 0);
	ck_assert_int_eq(ns, 90 * S);
	ck_assert_int_eq(value_duration_str("1.5", true, &ns, NULL), 0);
	ck_assert_int_eq(ns, 1500 * MS);
	ck_assert_int_eq(value_duration_str("1h", true, &ns, NULL), 0);
	ck_assert_int_eq(ns, 3600 * S);
	ck_assert_int_eq(value_duration_str("1h30", true, &ns, NULL), -EINVAL);
	ck_assert_int_eq(value_duration_str("", true, &ns, NULL), -EINVAL);
}
END_TEST

START_TEST(test_shown_durations)
{
	static const struct {
		int64_t ns;
		const char *text;
	} cases[] = {{0, "0s"}, {1, "<1ms"}, {250 * MS, "250ms"}, {3199 * MS, "3.1s"},
	    {10 * S, "10s"}, {59999 * MS, "59.9s"}, {60 * S, "1m"}, {90 * S, "1m30s"},
	    {6480 * S, "1h48m"}, {7200 * S, "2h"}, {90000 * S, "1d1h"}, {-90 * S, "-1m30s"},
	    {INT64_MAX, "106751d23h"}, {INT64_MIN, "-106751d23h"}};
	char buf[VALUE_DURATION_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		value_format_duration(cases[i].ns, buf);
		ck_assert_str_eq(buf, cases[i].text);
	}
}
END_TEST

START_TEST(test_signals)
{
	const struct {
		const char *name;
		int signo;
	} good[] = {{"TERM", SIGTERM}, {"SIGTERM", SIGTERM}, {"KILL", SIGKILL}, {"USR1", SIGUSR1},
	    {"SIGCLD", SIGCHLD}, {"RTMIN", SIGRTMIN}, {"SIGRTMIN+3", SIGRTMIN + 3},
	    {"RTMAX", SIGRTMAX}, {"RTMAX-1", SIGRTMAX - 1}, {"POLL", SIGPOLL},
	    {"STKFLT", SIGSTKFLT}};
	static const char *const bad[] = {"", "SIG", "FOO", "term", "SIGSIGTERM", "RTMIN-1",
	    "RTMIN+31", "RTMAX+1", "RTMIN+", "RTMAX-99", "TERM ", "15x", "RTMIN3"};
	static const int out_of_range[] = {0, 65, -9};
	char buf[VALUE_SIGNAL_LEN];
	const char *why;
	int signo;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		json_t *v = jx_string(good[i].name);

		signo = 0;
		ck_assert_msg(value_signal(v, &signo, &why) == 0, "%s", good[i].name);
		ck_assert_int_eq(signo, good[i].signo);
		json_decref(v);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_msg(value_signal_str(bad[i], &signo, &why) == -EINVAL, "%s", bad[i]);
	for (size_t i = 0; i < ARRAY_SIZE(out_of_range); i++) {
		json_t *v = jx_int(out_of_range[i]);

		ck_assert_int_eq(value_signal(v, &signo, &why), -ERANGE);
		json_decref(v);
	}
	for (int i = 1; i <= SIGRTMAX; i++) {
		json_t *v = jx_int(i);

		ck_assert_int_eq(value_signal(v, &signo, &why), 0);
		ck_assert_int_eq(signo, i);
		json_decref(v);
		value_signal_name(i, buf);
		if (i != 32 && i != 33) {
			ck_assert_int_eq(value_signal_str(buf, &signo, &why), 0);
			ck_assert_int_eq(signo, i);
		}
	}
	ck_assert_str_eq(value_signal_name(SIGTERM, buf), "SIGTERM");
	ck_assert_str_eq(value_signal_name(SIGRTMIN + 3, buf), "SIGRTMIN+3");
	ck_assert_str_eq(value_signal_name(SIGCHLD, buf), "SIGCHLD");
	ck_assert_str_eq(value_signal_name(33, buf), "SIG33");
}
END_TEST

START_TEST(test_signal_types)
{
	json_t *real = jx_real(15), *digits = jx_string("15"), *none = json_null();
	int signo = 0;

	ck_assert_int_eq(value_signal(real, &signo, NULL), -EINVAL);
	ck_assert_int_eq(value_signal(digits, &signo, NULL), -EINVAL);
	ck_assert_int_eq(value_signal(none, &signo, NULL), -EINVAL);
	ck_assert_int_eq(value_signal_str("15", &signo, NULL), 0);
	ck_assert_int_eq(signo, 15);
	json_decref(real);
	json_decref(digits);
}
END_TEST

START_TEST(test_sizes)
{
	static const struct {
		const char *s;
		int r;
		int64_t n;
	} cases[] = {{"0", 0, 0}, {"4096", 0, 4096}, {"64M", 0, 64 << 20}, {"64MB", 0, 64 << 20},
	    {"1GiB", 0, 1 << 30}, {"2K", 0, 2048}, {"7B", 0, 7}, {"7P", 0, INT64_C(7) << 50},
	    {"", -EINVAL, 5}, {"M", -EINVAL, 5}, {"-1", -EINVAL, 5}, {"1.5M", -EINVAL, 5},
	    {"1m", -EINVAL, 5}, {"1X", -EINVAL, 5}, {"1MM", -EINVAL, 5}, {"1 M", -EINVAL, 5},
	    {"9223372036854775807", 0, INT64_MAX}, {"9223372036854775808", -ERANGE, 5},
	    {"8192P", -ERANGE, 5}, {"8191P", 0, INT64_C(8191) << 50}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t n = 5;

		ck_assert_msg(value_size_str(cases[i].s, &n, NULL) == cases[i].r, "%s", cases[i].s);
		ck_assert_int_eq(n, cases[i].n);
	}
}
END_TEST

START_TEST(test_others)
{
	json_t *time = jx_string("1970-01-01T00:00:01Z"), *number = jx_int(1);
	mode_t mask = 0;
	int64_t ms = 0;

	ck_assert_int_eq(value_umask("022", &mask, NULL), 0);
	ck_assert_int_eq(mask, 022);
	ck_assert_int_eq(value_umask("0777", &mask, NULL), 0);
	ck_assert_int_eq(mask, 0777);
	ck_assert_int_eq(value_umask("1000", &mask, NULL), -ERANGE);
	ck_assert_int_eq(value_umask("", &mask, NULL), -EINVAL);
	ck_assert_int_eq(value_umask("08", &mask, NULL), -EINVAL);
	ck_assert_int_eq(value_umask("00022", &mask, NULL), -EINVAL);
	ck_assert_int_eq(value_umask("-22", &mask, NULL), -EINVAL);
	ck_assert_int_eq(value_time(time, &ms, NULL), 0);
	ck_assert_int_eq(ms, 1000);
	ck_assert_int_eq(value_time(number, &ms, NULL), -EINVAL);
	ck_assert(value_env_name_ok("PATH") && value_env_name_ok("_a9"));
	ck_assert(!value_env_name_ok("") && !value_env_name_ok("A=B") && !value_env_name_ok("9A"));
	ck_assert(!value_env_name_ok("A\n") && !value_env_name_ok("A-B"));
	ck_assert(value_env_name_reserved("TASKCTL_X") && value_env_name_reserved("NOTIFY_SOCKET"));
	ck_assert(!value_env_name_reserved("TASKCTL") && !value_env_name_reserved("PATH"));
	json_decref(time);
	json_decref(number);
}
END_TEST

CHECK_MAIN("value", test_durations, test_bare_durations, test_shown_durations, test_signals,
    test_signal_types, test_sizes, test_others)

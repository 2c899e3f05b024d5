/* Unit tests of notify.h: what a task can say, in every spelling, and what is ignored. */
#include <math.h>
#include <string.h>
#include "check_run.h"
#include "json.h"
#include "notify.h"
#include "value.h"

static struct notify_msg
said(const char *text)
{
	struct notify_msg m;

	notify_parse(text, strlen(text), &m);
	return m;
}

START_TEST(test_nothing)
{
	static const char *const texts[] = {"", "\n\n", "MAINPID=1", "STOPPING=1", "READY", "=1",
	    "READY=0", "READY=yes", "X_READY=1", "ready=1", " READY=1", "X_=1", "SHIELD=2",
	    "SHIELD=", "PROGRESS=1.1", "PROGRESS=-0.1", "PROGRESS=nan", "PROGRESS=37%",
	    "PROGRESS=", "EXTEND_TIMEOUT_USEC=-1", "EXTEND_TIMEOUT_USEC=0", "EXTEND_TIMEOUT_USEC=x",
	    "EXTEND_TIMEOUT_USEC=99999999999999999999999999", "MSG_JSON=", "MSG_JSON={",
	    "MSG_JSON=1 2", "RESULT_JSON={\"a\":1,\"a\":2}", "WATCHDOG=trigger", "CANCEL=0"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct notify_msg m = said(texts[i]);

		ck_assert_msg(!m.ready && !m.watchdog && !m.barrier && !m.uncancel && !m.cancel &&
				  !m.cancelled && m.shield == -1 && !m.has_progress &&
				  m.extend_ns == 0 && !m.status && !m.error && !m.msg && !m.result,
		    "\"%s\"", texts[i]);
		notify_msg_release(&m);
	}
}
END_TEST

START_TEST(test_all)
{
	static const char *const spellings[] = {
	    "READY=1\nSTATUS=half way\nWATCHDOG=1\nEXTEND_TIMEOUT_USEC=5000000\nBARRIER=1\n"
	    "SHIELD=1\nPROGRESS=0.37\nRESULT=42 rows\nERROR=none\nUNCANCEL=1\nCANCEL=1\n"
	    "CANCELLED=1\nMSG=a=b\n",
	    "READY=1\nSTATUS=half way\nWATCHDOG=1\nEXTEND_TIMEOUT_USEC=5000000\nBARRIER=1\n"
	    "X_SHIELD=1\nX_PROGRESS=0.37\nX_RESULT=42 rows\nX_ERROR=none\nX_UNCANCEL=1\n"
	    "X_CANCEL=1\nX_CANCELLED=1\nX_MSG=a=b"};

	for (int i = 0; i < 2; i++) {
		struct notify_msg m = said(spellings[i]);

		ck_assert(m.ready && m.watchdog && m.barrier && m.uncancel && m.cancel);
		ck_assert(m.cancelled && m.shield == 1 && m.has_progress);
		ck_assert(fabs(m.progress - 0.37) < 1e-12);
		ck_assert_int_eq(m.extend_ns, INT64_C(5000000000));
		ck_assert_str_eq(m.status, "half way");
		ck_assert_str_eq(m.error, "none");
		ck_assert_str_eq(json_string_value(m.msg), "a=b");
		ck_assert_str_eq(json_string_value(m.result), "42 rows");
		notify_msg_release(&m);
	}
}
END_TEST

START_TEST(test_json_values)
{
	struct notify_msg m = said("X_MSG_JSON={\"why\":[1,null]}\nRESULT_JSON=17\nSHIELD=0");

	ck_assert_int_eq(json_array_size(json_object_get(m.msg, "why")), 2);
	ck_assert_int_eq(json_integer_value(m.result), 17);
	ck_assert_int_eq(m.shield, 0);
	notify_msg_release(&m);
	m = said("MSG=first\nMSG_JSON=null\nRESULT_JSON=1\nRESULT_JSON={\nSTATUS=a\nSTATUS=");
	ck_assert(json_is_null(m.msg));
	ck_assert_int_eq(json_integer_value(m.result), 1);
	ck_assert_str_eq(m.status, "");
	notify_msg_release(&m);
}
END_TEST

START_TEST(test_hostile)
{
	static const char text[] = "STATUS=a\xff\xc3\xa9\0b\nMSG=\xed\xa0\x80|\x1b[2J";
	struct notify_msg m;

	notify_parse(text, sizeof(text) - 1, &m);
	ck_assert_str_eq(m.status, "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd"
				   "b");
	ck_assert_str_eq(json_string_value(m.msg), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\x1b[2J");
	notify_msg_release(&m);
	m = said("EXTEND_TIMEOUT_USEC=9223372036854775807\nPROGRESS=1");
	ck_assert_int_eq(m.extend_ns, VALUE_DURATION_MAX);
	ck_assert(m.has_progress && m.progress >= 1);
	notify_msg_release(&m);
}
END_TEST

CHECK_MAIN("notify", test_nothing, test_all, test_json_values, test_hostile)

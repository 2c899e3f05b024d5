/* Unit tests of fault.h. */
#include <errno.h>
#include "check_run.h"
#include "fault.h"

START_TEST(test_nth)
{
	fault_set("store.commit:3:ENOSPC,fork:2+:11,other:1");
	ck_assert_int_eq(fault_check("store.commit"), 0);
	ck_assert_int_eq(fault_check("store.commit"), 0);
	ck_assert_int_eq(fault_check("store.commit"), ENOSPC);
	ck_assert_int_eq(fault_check("store.commit"), 0);
	ck_assert_int_eq(fault_check("fork"), 0);
	ck_assert_int_eq(fault_check("fork"), EAGAIN);
	ck_assert_int_eq(fault_check("fork"), EAGAIN);
	ck_assert_int_eq(fault_check("other"), EIO);
	ck_assert_int_eq(fault_check("unknown"), 0);
	fault_set(NULL);
	ck_assert_int_eq(fault_check("fork"), 0);
}
END_TEST

START_TEST(test_environment)
{
	setenv("TASKCTL_FAULT", "a:1:EACCES", 1);
	ck_assert_int_eq(fault_check("a"), EACCES);
	ck_assert_int_eq(fault_check("a"), 0);
}
END_TEST

START_TEST(test_malformed)
{
	fault_set("a,b:,c:0,d:x,:,,e:1:ENOSUCH");
	ck_assert_int_eq(fault_check("a"), 0);
	ck_assert_int_eq(fault_check("b"), 0);
	ck_assert_int_eq(fault_check("c"), 0);
	ck_assert_int_eq(fault_check("d"), 0);
	ck_assert_int_eq(fault_check("e"), EIO);
	fault_set("");
}
END_TEST

CHECK_MAIN("fault", test_nth, test_environment, test_malformed)

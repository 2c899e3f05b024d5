/*
 * The main() of a unit test: CHECK_MAIN("util", test_a, test_b, ...) runs the named tests, each in
 * a process of its own, and exits 1 if one failed. CK_RUN_CASE=test_a runs that one.
 */
#ifndef TASKCTL_CHECK_RUN_H
#define TASKCTL_CHECK_RUN_H

#include <check.h>
#include <stdlib.h>

#define CHECK_MAIN(suite_name, ...)                                             \
	int main(void)                                                          \
	{                                                                       \
		const TTest *const tests[] = {__VA_ARGS__};                     \
		Suite *suite = suite_create(suite_name);                        \
		SRunner *runner = srunner_create(suite);                        \
		int failed;                                                     \
		for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) { \
			TCase *tcase = tcase_create(tests[i]->name);            \
			tcase_add_test(tcase, tests[i]);                        \
			suite_add_tcase(suite, tcase);                          \
		}                                                               \
		srunner_run_all(runner, CK_ENV);                                \
		failed = srunner_ntests_failed(runner);                         \
		srunner_free(runner);                                           \
		return failed ? EXIT_FAILURE : EXIT_SUCCESS;                    \
	}

#endif

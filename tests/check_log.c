/* Unit tests of log.h: what lands on stderr, byte for byte. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "check_run.h"
#include "log.h"

static char text[4096];

/* Puts a pipe in the place of stderr; captured() gives what was written since. */
static int
capture(void)
{
	int pipefd[2];

	ck_assert_int_eq(pipe2(pipefd, O_NONBLOCK | O_CLOEXEC), 0);
	ck_assert_int_eq(dup2(pipefd[1], STDERR_FILENO), STDERR_FILENO);
	close(pipefd[1]);
	return pipefd[0];
}

static const char *
captured(int fd)
{
	ssize_t n = read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

START_TEST(test_lines)
{
	int fd = capture();

	log_init(LOG_LEVEL_INFO, false);
	errno = ENOSPC;
	log_info("ready on %s", "127.0.0.1:8275");
	ck_assert_int_eq(errno, ENOSPC);
	ck_assert_str_eq(captured(fd), "taskctld: ready on 127.0.0.1:8275\n");
	log_error("%d", 1);
	log_warn("%d", 2);
	log_debug("%d", 3);
	ck_assert_str_eq(captured(fd), "taskctld: error: 1\ntaskctld: warning: 2\n");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("%d", 3);
	ck_assert_str_eq(captured(fd), "taskctld: debug: 3\n");
	log_init(LOG_LEVEL_ERROR, true);
	log_warn("not shown");
	log_error("shown");
	ck_assert_str_eq(captured(fd), "<3>shown\n");
}
END_TEST

START_TEST(test_escapes)
{
	int fd = capture();

	log_init(LOG_LEVEL_INFO, false);
	log_info("%s", "a\n[ERROR] b\x1b]0;\a\x7f\r\t|\xc2\x9b|\xe2\x80\xae|\xff|\xc3\xa9 %n%s{}");
	ck_assert_str_eq(captured(fd), "taskctld: a\\x0a[ERROR] b\\x1b]0;\\x07\\x7f\\x0d\\x09|"
				       "\\xc2\\x9b|\\xe2\\x80\\xae|\\xff|\xc3\xa9 %n%s{}\n");
}
END_TEST

START_TEST(test_names)
{
	enum log_level level = LOG_LEVEL_INFO;

	for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
		ck_assert_int_eq(log_level_from_name(log_level_name((enum log_level)i), &level), 0);
		ck_assert_int_eq(level, i);
	}
	ck_assert_int_eq(log_level_from_name("warning", &level), 0);
	ck_assert_int_eq(level, LOG_LEVEL_WARN);
	ck_assert_int_eq(log_level_from_name("loud", &level), -EINVAL);
}
END_TEST

START_TEST(test_journal)
{
	char stream[64];
	struct stat st;
	int fd = capture();

	unsetenv("JOURNAL_STREAM");
	ck_assert(!log_journal_attached());
	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	ck_assert(log_journal_attached());
	setenv("JOURNAL_STREAM", "1:1", 1);
	ck_assert(!log_journal_attached());
	close(fd);
}
END_TEST

START_TEST(test_libevent)
{
	int fd = capture();
	struct event_base *base = event_base_new();

	log_init(LOG_LEVEL_INFO, false);
	log_libevent();
	event_base_priority_init(base, 2);
	/* libevent complains of a base that is told to loop within itself; make it say something */
	event_base_loop(base, EVLOOP_NONBLOCK);
	event_base_free(NULL);
	ck_assert_ptr_nonnull(strstr(captured(fd), "taskctld: warning: libevent: "));
	event_base_free(base);
}
END_TEST

CHECK_MAIN("log", test_lines, test_escapes, test_names, test_journal, test_libevent)

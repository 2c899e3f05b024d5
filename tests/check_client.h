/*
 * Transcripts with the client: a test plays the daemon. talk_start() runs taskctl in a child whose
 * daemon is a socket of the test's own; talk_expect() and talk_reply() are the conversation,
 * talk_end() checks exit code, stdout and stderr. Included by the check_client_*.c that need it.
 */
#ifndef TASKCTL_CHECK_CLIENT_H
#define TASKCTL_CHECK_CLIENT_H

#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "link.h"
#include "util.h"

#define TALK_MS   10000 /* for anything that is waited for */
#define TALK_ARGS 24
#define TALK_LEN  16384

struct talk {
	char dir[64], path[96];
	int listener, out, err;
	struct link link;
	pid_t pid;
};

static inline void
talk_wait_readable(int fd, const char *what)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	ck_assert_msg(poll(&p, 1, TALK_MS) == 1, "nothing came in time: %s", what);
}

static inline void
talk_listen(struct talk *t)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	memset(t, 0, sizeof(*t));
	link_init(&t->link, -1);
	strcpy(t->dir, "/tmp/check_client.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(t->dir));
	snprintf(t->path, sizeof(t->path), "%s/s", t->dir);
	strcpy(un.sun_path, t->path);
	t->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(t->listener, (struct sockaddr *)&un, sizeof(un)), 0);
	ck_assert_int_eq(listen(t->listener, 4), 0);
	setenv("TASKCTL_HOST", t->path, 1);
}

/* Runs taskctl with these words, split at blanks; "\x01" in a word is a blank. */
static inline void
talk_run(struct talk *t, const char *words)
{
	char *copy = xasprintf("taskctl %s", words), *argv[TALK_ARGS + 1] = {0}, *save = NULL;
	int out[2], err[2], argc = 0;

	for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
		ck_assert_int_lt(argc, TALK_ARGS);
		argv[argc++] = w;
		for (char *p = w; *p != '\0'; p++)
			*p = *p == '\x01' ? ' ' : *p;
	}
	ck_assert_int_eq(pipe(out), 0);
	ck_assert_int_eq(pipe(err), 0);
	fflush(NULL);
	t->pid = fork();
	ck_assert_int_ge(t->pid, 0);
	if (t->pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		exit(client_main(argc, argv));
	}
	close(out[1]);
	close(err[1]);
	t->out = out[0];
	t->err = err[0];
	free(copy);
}

static inline void
talk_start(struct talk *t, const char *words)
{
	talk_listen(t);
	talk_run(t, words);
}

static inline void
talk_accept(struct talk *t)
{
	int fd;

	talk_wait_readable(t->listener, "a connection");
	fd = accept(t->listener, NULL, NULL);
	ck_assert_int_ge(fd, 0);
	link_init(&t->link, fd);
}

/* The next line that the client sends; valid until the next call. */
static inline char *
talk_line(struct talk *t)
{
	char *line;
	size_t len;

	if (t->link.fd < 0)
		talk_accept(t);
	while (link_next(&t->link, &line, &len) == 0) {
		talk_wait_readable(t->link.fd, "a request");
		ck_assert_msg(link_fill(&t->link) > 0, "the client closed");
	}
	return line;
}

/* "..." at the end of what is expected stands for anything. */
static inline void
talk_expect(struct talk *t, const char *expected)
{
	const char *line = talk_line(t), *dots = strstr(expected, "...");

	if (dots == NULL)
		ck_assert_str_eq(line, expected);
	else
		ck_assert_msg(strncmp(line, expected, (size_t)(dots - expected)) == 0,
		    "expected %s, got %s", expected, line);
}

static inline void
talk_reply(struct talk *t, const char *line)
{
	ck_assert_int_eq(link_send(&t->link, line, strlen(line)), 0);
	ck_assert_int_eq(link_send(&t->link, "\n", 1), 0);
}

static inline void
talk_hang_up(struct talk *t)
{
	link_release(&t->link);
}

/* Reads to the end, or until `stop` is in it (NULL: to the end). */
static inline void
talk_slurp(int fd, char *buf, const char *stop)
{
	size_t n = strlen(buf);
	ssize_t got = 1;

	while (got > 0 && n < TALK_LEN - 1 && (stop == NULL || strstr(buf, stop) == NULL)) {
		talk_wait_readable(fd, stop == NULL ? "the end of output" : stop);
		got = read(fd, buf + n, TALK_LEN - 1 - n);
		n += got > 0 ? (size_t)got : 0;
		buf[n] = '\0';
	}
}

/* Ends the talk. `out` and `err` are the whole output; NULL: not looked at. */
static inline void
talk_end(struct talk *t, int code, const char *out, const char *err)
{
	char got_out[TALK_LEN] = "", got_err[TALK_LEN] = "";
	int status;

	talk_slurp(t->out, got_out, NULL);
	talk_slurp(t->err, got_err, NULL);
	ck_assert_int_eq(waitpid(t->pid, &status, 0), t->pid);
	if (out != NULL)
		ck_assert_str_eq(got_out, out);
	if (err != NULL)
		ck_assert_str_eq(got_err, err);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == code,
	    "status %x, expected exit %d; %s", (unsigned)status, code, got_err);
	link_release(&t->link);
	close(t->listener);
	close(t->out);
	close(t->err);
	unlink(t->path);
	rmdir(t->dir);
}

/* --wire and all that needs no daemon: words, exit code, stdout, stderr. */
static inline void
talk_alone(const char *words, int code, const char *out, const char *err)
{
	struct talk t;

	talk_start(&t, words);
	talk_end(&t, code, out, err);
}

static inline int
talk_main(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	unsetenv("NOTIFY_SOCKET");
	unsetenv("TASKCTL_CANCEL_FILE");
	setenv("TZ", "UTC", 1);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif

/*
 * The limit of starting programs: a bare vfork, exec and wait loop with so many in flight. Each
 * gets what a task gets: a session of its own, no new privileges, /dev/null and a log file.
 */
#include "bench.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/wait.h>

extern char **environ;

static void
spawn(char *program, int null, int log)
{
	char *argv[] = {program, NULL};
	pid_t pid = vfork();

	if (pid < 0)
		err(1, "vfork");
	if (pid > 0)
		return;
	setsid();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	execve(program, argv, environ);
	_exit(127);
}

static void
reap(void)
{
	int status;

	while (waitpid(-1, &status, 0) < 0)
		if (errno != EINTR)
			err(1, "waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		errx(1, "the program failed");
}

int
main(int argc, char **argv)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), log, n, flight, i;
	int64_t begin;

	if (argc != 5)
		errx(2, "usage: spawnloop COUNT IN_FLIGHT LOGFILE PROGRAM");
	n = atoi(argv[1]);
	flight = atoi(argv[2]);
	log = open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (null < 0 || log < 0)
		err(1, "open");
	begin = now_ns();
	for (i = 0; i < n; i++) {
		if (i >= flight)
			reap();
		spawn(argv[4], null, log);
	}
	for (i = 0; i < n && i < flight; i++)
		reap();
	printf("{\"rate\": %.1f}\n", n / ((double)(now_ns() - begin) / 1e9));
	return 0;
}

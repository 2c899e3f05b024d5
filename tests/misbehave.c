/*
 * A program that behaves as badly as it is told to, for the tests: dies in all ways, ignores
 * signals, leaves children behind, hides them, and tells what it inherited.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void
ignore_term(void)
{
	signal(SIGTERM, SIG_IGN);
}

/* A limit of its own, should a test forget it. */
static void
stay(void)
{
	alarm(120);
	for (;;)
		pause();
}

static void
die(int signo)
{
	struct rlimit lim = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
	sigset_t all;

	if (setrlimit(RLIMIT_CORE, &lim) < 0)
		perror("RLIMIT_CORE");
	signal(signo, SIG_DFL);
	sigfillset(&all);
	sigdelset(&all, signo);
	raise(signo);
	sigsuspend(&all);
}

/* A child that ignores SIGTERM; ours (0), in a session of its own (1), or nobody's (2). It is
   ready when this returns. */
static void
leave_child(int hidden)
{
	int fds[2];
	char c;

	if (pipe(fds) < 0)
		exit(1);
	if (fork() == 0) {
		close(fds[0]);
		if (hidden > 0)
			setsid();
		if (hidden > 1 && fork() != 0)
			_exit(0);
		ignore_term();
		prctl(PR_SET_NAME, "straggler", 0, 0, 0);
		close(fds[1]);
		stay();
	}
	close(fds[1]);
	if (read(fds[0], &c, 1) < 0)
		exit(1);
	close(fds[0]);
}

static void
report_fds(void)
{
	struct dirent *d;
	DIR *dir = opendir("/proc/self/fd");

	printf("fds");
	while (dir != NULL && (d = readdir(dir)) != NULL)
		if (d->d_name[0] != '.' && atoi(d->d_name) != dirfd(dir))
			printf(" %s", d->d_name);
	printf("\n");
	if (dir != NULL)
		closedir(dir);
}

static void
report_signals(void)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, "SigBlk", 6) == 0 || strncmp(line, "SigIgn", 6) == 0 ||
		    strncmp(line, "NoNewPrivs", 10) == 0)
			fputs(line, stdout);
	if (f != NULL)
		fclose(f);
}

static void
report(void)
{
	char cwd[4096];
	struct rlimit lim;
	mode_t mask = umask(0);

	report_fds();
	report_signals();
	getrlimit(RLIMIT_NOFILE, &lim);
	printf("session %d\n", getsid(0) == getpid() && getpgrp() == getpid());
	printf("umask %03o\ncwd %s\nnofile %d\n", (unsigned)mask, getcwd(cwd, sizeof cwd),
	    (int)lim.rlim_cur);
	for (char **e = environ; *e != NULL; e++)
		printf("env %s\n", *e);
	fflush(stdout);
}

static void
say(const char *text)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	strncpy(to.sun_path, getenv("NOTIFY_SOCKET"), sizeof to.sun_path - 1);
	if (sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof to) < 0)
		exit(1);
	close(fd);
}

static void
touch(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0644);

	if (fd >= 0)
		close(fd);
}

/* Grows a file as long as it is let. */
static void
tick(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_APPEND, 0644);

	alarm(120);
	while (write(fd, ".", 1) == 1)
		usleep(2000);
}

static void *
thread_stays(void *path)
{
	touch(path);
	stay();
	return NULL;
}

/* The leading thread ends, the process does not. */
static void
headless(char *path)
{
	pthread_t t;

	pthread_create(&t, NULL, thread_stays, path);
	pthread_exit(NULL);
}

/* A chain of processes, each of which makes the next. */
static void
chain(int depth)
{
	ignore_term();
	while (depth-- > 0 && fork() == 0)
		;
	stay();
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	char *arg = argc > 2 ? argv[2] : (char[]){"0"};

	if (strcmp(what, "exit") == 0)
		return atoi(arg);
	if (strcmp(what, "die") == 0)
		die(atoi(arg));
	else if (strcmp(what, "report") == 0)
		report();
	else if (strcmp(what, "leave") == 0) /* and end with 0 */
		leave_child(atoi(arg));
	else if (strcmp(what, "tick") == 0)
		tick(arg);
	else if (strcmp(what, "headless") == 0)
		headless(arg);
	else if (strcmp(what, "chain") == 0)
		chain(atoi(arg));
	else if (strcmp(what, "ignore") == 0) { /* SIGTERM, with a child that does so, too */
		ignore_term();
		leave_child(1);
		touch(arg);
		stay();
	} else if (strcmp(what, "stay") == 0) {
		touch(arg);
		stay();
	} else if (strcmp(what, "say") == 0) {
		say(arg);
		if (argc > 3)
			return atoi(argv[3]);
		stay();
	} else if (strcmp(what, "trap") == 0) { /* exit 3 on SIGTERM, with the message */
		sigset_t set;
		int got;

		sigemptyset(&set);
		sigaddset(&set, SIGTERM);
		sigprocmask(SIG_BLOCK, &set, NULL);
		touch(arg);
		alarm(120);
		sigwait(&set, &got);
		execl("/bin/sh", "sh", "-c",
		    "cat \"$TASKCTL_CANCEL_FILE\" \"$TASKCTL_DIR/cancel.msg\"; exit 3",
		    (char *)NULL);
	} else {
		return 99;
	}
	return 0;
}

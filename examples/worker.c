/*
 * worker.c - works for 5 seconds, and knows what to do when it is cancelled. Nothing but libc.
 *
 *   cc -o worker worker.c
 *   taskctl start -- ./worker [MODE] [FILE]
 *
 * MODE says how it answers a cancel, or a deadline:
 *   return   clean up, return "Canceled"       -> done, result "Canceled" (the cancel was absorbed)
 *   reraise  clean up, then die of the signal  -> cancelled (timed_out, if it was the deadline)
 *   ignore   go on                             -> killed when its grace is over
 * FILE is what it makes (worker.out); FILE.part is there while it works.
 */
#define _GNU_SOURCE 1
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t cancelled;

static void
on_sigterm(int sig)
{
	(void)sig;
	cancelled = 1; /* no more than this in a handler */
}

/* Tells taskctl something: one datagram of KEY=VALUE lines, as sd_notify(3) does. */
static void
notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t len = path != NULL ? strlen(path) : 0;
	int fd;

	if (len == 0 || len >= sizeof(sun.sun_path))
		return; /* not a task of taskctl */
	memcpy(sun.sun_path, path, len);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd == -1 || sendto(fd, text, strlen(text), 0, (struct sockaddr *)&sun,
			    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) == -1)
		perror("notify");
	if (fd != -1)
		close(fd);
}

/* Why: taskctl writes the reason before it sends the signal; cancel.msg is the bare text. */
static void
print_reason(void)
{
	const char *file = getenv("TASKCTL_CANCEL_FILE");
	const char *slash = file != NULL ? strrchr(file, '/') : NULL;
	char why[1024] = "";
	FILE *f = NULL;

	if (slash != NULL) {
		char path[4096];

		snprintf(path, sizeof(path), "%.*s/cancel.msg", (int)(slash - file), file);
		f = fopen(path, "re");
	}
	if (f != NULL) {
		why[fread(why, 1, sizeof(why) - 1, f)] = '\0';
		fclose(f);
	}
	printf("cancelled: %s\n", why[0] != '\0' ? why : "no reason given");
}

static void
clean_up(const char *part)
{
	struct timespec pause = {.tv_nsec = 300000000};

	puts("cleaning up");
	nanosleep(&pause, NULL);
	unlink(part);
	puts("clean");
}

/* Gives in: dies of the signal, as if it had never been caught. */
static void
die_of_sigterm(void)
{
	sigset_t set;

	fflush(stdout);
	signal(SIGTERM, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	kill(getpid(), SIGTERM);
}

/* Returns if the work is to go on. */
static void
on_cancel(const char *mode, const char *part)
{
	cancelled = 0;
	print_reason();
	if (strcmp(mode, "ignore") == 0) {
		puts("going on");
		return;
	}
	clean_up(part);
	if (strcmp(mode, "reraise") == 0)
		die_of_sigterm();
	notify("X_RESULT=Canceled");
	exit(0);
}

static void
work(const char *mode, const char *part, const sigset_t *unblocked)
{
	struct timespec step = {.tv_nsec = 100000000};
	FILE *f = fopen(part, "we");

	if (f == NULL) {
		perror(part);
		exit(1);
	}
	for (int i = 0; i < 50; i++) {
		fprintf(f, "%d\n", i);
		fflush(f);
		/* the signal is let in here only: it cannot slip in between a test and the sleep */
		ppoll(NULL, 0, &step, unblocked);
		if (cancelled)
			on_cancel(mode, part);
	}
	fclose(f);
}

int
main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "return";
	const char *file = argc > 2 ? argv[2] : "worker.out";
	struct sigaction sa = {.sa_handler = on_sigterm};
	sigset_t term;
	sigset_t unblocked;
	char part[4096];

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &unblocked);
	sigaction(SIGTERM, &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(part, sizeof(part), "%s.part", file);

	puts("working");
	work(mode, part, &unblocked);
	if (rename(part, file) == -1) {
		perror(file);
		return 1;
	}
	notify("X_RESULT=finished");
	puts("finished");
	return 0;
}

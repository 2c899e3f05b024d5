/*
 * taskspawnd's loop: waits for signals, monitors and taskctld, and sleeps in between.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "spawnd.h"

#define EVENTS_PER_TURN    64
#define FIRST_CLIENT_MS    10000 /* for the taskctld that started us to connect */
#define UNDERTAKE_AGAIN_MS 200

void
spawnd_log(const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n = snprintf(line, sizeof line, "taskspawnd: ");

	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof line - 2)
		n = sizeof line - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nowhere to say it */
}

int
spawnd_watch(struct spawnd *sd, int fd, uint32_t events, uint32_t tag, uint32_t which)
{
	struct epoll_event ev = {.events = events, .data.u64 = (uint64_t)which << 32 | tag};

	return epoll_ctl(sd->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static void
on_signal(struct spawnd *sd)
{
	struct signalfd_siginfo si;

	while (read(sd->signal_fd, &si, sizeof si) == (ssize_t)sizeof si) {
		if (si.ssi_signo == SIGCHLD)
			continue;
		sd->stopping = true;
		order_kill_all(sd);
	}
	runs_reap(sd);
}

static void
on_client(struct spawnd *sd, uint32_t events)
{
	if (sd->client.fd < 0) /* closed by an event before this one */
		return;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		client_flush(sd);
	client_read(sd);
}

static void
dispatch(struct spawnd *sd, const struct epoll_event *ev)
{
	uint32_t which = (uint32_t)(ev->data.u64 >> 32);

	switch ((uint32_t)ev->data.u64) {
	case TAG_SIGNAL: on_signal(sd); break;
	case TAG_LISTEN: client_accept(sd); break;
	case TAG_GREET: greeting_accept(sd); break;
	case TAG_GREETING: greeting_read(sd, (int)which); break;
	case TAG_CLIENT: on_client(sd, ev->events); break;
	case TAG_KEEPER:
		if (sd->run[which].pidfd >= 0)
			runs_keeper_gone(sd, which);
		break;
	default: break;
	}
}

/* Nobody needs us: there is nothing to watch, and nobody to watch it for. */
static bool
idle_for_good(const struct spawnd *sd)
{
	if (sd->live > 0 || sd->undertake_again)
		return false;
	return sd->stopping || (!sd->opts->stay && sd->client.fd < 0 && !sd->fresh);
}

/* Cgroups for the next runs are made when there is nothing else to do. */
static bool
fill_pool(struct spawnd *sd)
{
	return sd->cgroups && sd->pool_count < POOL_MAX && setup_pool_one(sd) == 0;
}

static int
timeout_ms(const struct spawnd *sd)
{
	if (sd->undertake_again)
		return UNDERTAKE_AGAIN_MS;
	if (sd->client.fd >= 0)
		return client_timeout(sd);
	return sd->fresh && !sd->opts->stay && sd->live == 0 ? FIRST_CLIENT_MS : -1;
}

static int
wait_for_events(struct spawnd *sd, struct epoll_event *ev)
{
	int n, timeout = timeout_ms(sd);

	do
		n = epoll_wait(sd->epoll_fd, ev, EVENTS_PER_TURN, 0);
	while (n == 0 && fill_pool(sd));
	if (n == 0)
		n = epoll_wait(sd->epoll_fd, ev, EVENTS_PER_TURN, timeout);
	if (sd->client.fd >= 0 || (n == 0 && timeout == FIRST_CLIENT_MS))
		sd->fresh = false;
	return n;
}

static void
loop(struct spawnd *sd)
{
	struct epoll_event ev[EVENTS_PER_TURN];
	int n;

	sd->fresh = true;
	do {
		n = wait_for_events(sd, ev);
		for (int i = 0; i < n; i++)
			dispatch(sd, &ev[i]);
		if (sd->undertake_again)
			runs_undertake_again(sd);
		client_announce(sd);
	} while (!idle_for_good(sd));
}

int
spawnd_run(const struct spawnd_options *opts, void (*ready)(void *ctx), void *ctx)
{
	struct spawnd *sd;
	int r;

	sd = mmap(NULL, sizeof *sd, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sd == MAP_FAILED)
		return -errno;
	/* Keepers get along without our tables; their memory is what counts. */
	madvise(sd, sizeof *sd, MADV_DONTFORK);
	r = setup_open(sd, opts);
	if (r == 0 && (r = spawnd_watch(sd, sd->listen_fd, EPOLLIN, TAG_LISTEN, 0)) == 0 &&
	    (r = spawnd_watch(sd, sd->greet_fd, EPOLLIN, TAG_GREET, 0)) == 0) {
		sd->listening = true;
		ready(ctx);
		loop(sd);
		setup_close(sd);
	}
	munmap(sd, sizeof *sd);
	return r;
}

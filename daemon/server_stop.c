/*
 * Signals, the way to the end, and the words for a service manager.
 */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "log.h"
#include "sdnotify.h"
#include "server.h"
#include "server_private.h"
#include "util.h"

#define STOP_LOOK_S 5                              /* between two looks while stopping */
#define ALONE_MAX   (10 * NS_PER_SEC)              /* of a stop without taskspawnd */
#define STATUS_GAP  (1 * NS_PER_SEC)               /* STATUS= at most this often */
#define EXTEND_TEXT "EXTEND_TIMEOUT_USEC=30000000" /* well beyond the next look */

/* -- stopping -- */

static void
begin(void *ctx, bool detach, const json_t *msg, const char *by)
{
	struct server *s = ctx;

	if (s->phase != STOP_NO)
		return; /* one more who waits for it */
	s->phase = STOP_ASKED;
	s->detach = detach;
	s->stop_msg = json_incref((json_t *)(uintptr_t)msg);
	s->stop_by = xstrdup(by);
}

static bool
is_stopping(void *ctx)
{
	const struct server *s = ctx;

	return s->phase != STOP_NO;
}

void
server_init_stop(struct server *s)
{
	s->shutdown = (struct cmd_shutdown){.begin = begin, .stopping = is_stopping, .ctx = s};
}

static void
begin_killing(struct server *s)
{
	log_warn("Killing what is left: %u tasks.", runner_live(s->runner));
	s->phase = STOP_KILLING;
	s->kill_ns = clock_boot_ns() + STOP_LOOK_S * NS_PER_SEC;
	runner_kill_all(s->runner, s->stop_msg, s->stop_by);
}

static void
begin_waiting(struct server *s)
{
	const struct timeval look = {.tv_sec = STOP_LOOK_S};
	int64_t patience = s->options.config.shutdown_timeout;

	sdnotify_send("STOPPING=1\n" EXTEND_TEXT);
	if (s->detach) {
		log_info("Stopping; %u tasks run on.", runner_live(s->runner));
		s->phase = STOP_DONE;
		return;
	}
	log_info("Stopping; %u tasks get their cancel.", runner_live(s->runner));
	s->phase = STOP_WAITING;
	s->kill_ns = clock_add(clock_boot_ns(), patience);
	runner_cancel_all(s->runner, ORIGIN_SHUTDOWN, s->stop_msg, s->stop_by);
	event_add(s->stop_timer, &look);
}

/* Hooks that are not through some seconds after their task was killed are killed, too. */
static void
look_after_killing(struct server *s)
{
	if (clock_boot_ns() < s->kill_ns)
		return;
	s->kill_ns = clock_boot_ns() + STOP_LOOK_S * NS_PER_SEC;
	runner_kill_all(s->runner, s->stop_msg, s->stop_by);
}

/* Without taskspawnd nothing can be ended, nor its end be learnt: whoever comes next will see to it. */
static void
give_up_without_spawner(struct server *s)
{
	int64_t now = clock_boot_ns();

	if (s->phase != STOP_WAITING && s->phase != STOP_KILLING)
		return;
	if (runner_is_connected(s->runner))
		s->alone_since = 0;
	else if (s->alone_since == 0)
		s->alone_since = now;
	if (s->alone_since == 0 || now - s->alone_since < ALONE_MAX)
		return;
	log_error("taskspawnd does not come back; %u tasks are left to the next taskctld.",
	    runner_live(s->runner));
	s->phase = STOP_DONE;
}

void
server_go_on_stopping(struct server *s)
{
	if (s->phase == STOP_ASKED)
		begin_waiting(s);
	if (s->phase == STOP_WAITING && clock_boot_ns() >= s->kill_ns)
		begin_killing(s);
	if (s->phase == STOP_KILLING)
		look_after_killing(s);
	give_up_without_spawner(s);
	if ((s->phase == STOP_WAITING || s->phase == STOP_KILLING) && runner_live(s->runner) == 0 &&
	    runner_is_quiet(s->runner))
		s->phase = STOP_DONE;
	else if (s->phase == STOP_WAITING && s->stop_signals > 1)
		begin_killing(s);
}

/* Wakes the loop; server_go_on_stopping() does the rest. */
static void
on_stop_timer(evutil_socket_t fd, short what, void *ctx)
{
	const struct timeval look = {.tv_sec = STOP_LOOK_S};
	struct server *s = ctx;

	(void)fd;
	(void)what;
	sdnotify_send(EXTEND_TEXT);
	event_add(s->stop_timer, &look);
}

/* -- signals -- */

static void
on_stop_signal(struct server *s, int signo)
{
	char by[32];
	json_t *msg = jx_string("daemon shutting down");

	snprintf(by, sizeof(by), "uid:%lu", (unsigned long)geteuid());
	s->stop_signals++;
	log_info("%s received.", signo == SIGINT ? "SIGINT" : "SIGTERM");
	if (s->stop_signals >= 3) {
		log_warn("Exiting at once; %u tasks run on.", runner_live(s->runner));
		s->phase = STOP_DONE;
	} else if (s->stop_signals == 1) {
		begin(s, false, msg, by);
	}
	json_decref(msg);
}

static void
reload(struct server *s)
{
	struct config fresh, *c = &s->options.config;
	int64_t now = clock_boot_ns();
	char text[64];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(now / 1000));
	sdnotify_send(text);
	if (server_options_reread(&s->options, s->argc, s->argv, &fresh) == 0) {
		c->log_level = fresh.log_level;
		c->grace = fresh.grace;
		c->hook_timeout = fresh.hook_timeout;
		c->shield_max = fresh.shield_max;
		c->shutdown_timeout = fresh.shutdown_timeout;
		c->umask = fresh.umask;
		c->limits = fresh.limits;
		log_set_level(c->log_level);
		server_apply_limits(s);
		log_info("The configuration was read again; directories and addresses stay as they "
			 "are until a restart.");
	} else {
		log_error("The configuration is refused; the former one holds on.");
	}
	config_release(&fresh);
	sdnotify_send("READY=1");
}

static void
on_signal(evutil_socket_t signo, short what, void *ctx)
{
	struct server *s = ctx;

	(void)what;
	switch (signo) {
	case SIGTERM:
	case SIGINT: on_stop_signal(s, (int)signo); break;
	case SIGHUP: reload(s); break;
	case SIGUSR1: begin(s, true, NULL, ""); break;
	default: break;
	}
}

static void
on_watchdog(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	(void)ctx;
	sdnotify_send("WATCHDOG=1");
}

static void
start_watchdog(struct server *s)
{
	uint64_t usec = sdnotify_watchdog_usec() / 2;
	const struct timeval every = {
	    .tv_sec = (time_t)(usec / 1000000), .tv_usec = (suseconds_t)(usec % 1000000)};

	if (usec == 0)
		return;
	s->watchdog = event_new(s->base, -1, EV_PERSIST, on_watchdog, s);
	if (s->watchdog == NULL)
		die_oom();
	event_add(s->watchdog, &every);
}

int
server_watch_signals(struct server *s)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		s->signals[i] = evsignal_new(s->base, signals[i], on_signal, s);
		if (s->signals[i] == NULL || event_add(s->signals[i], NULL) != 0) {
			log_error("Signals cannot be watched.");
			return SERVER_FAILED;
		}
	}
	s->stop_timer = event_new(s->base, -1, 0, on_stop_timer, s);
	if (s->stop_timer == NULL)
		die_oom();
	start_watchdog(s);
	return 0;
}

void
server_unwatch_signals(struct server *s)
{
	for (size_t i = 0; i < SERVER_SIGNALS; i++)
		if (s->signals[i] != NULL)
			event_free(s->signals[i]);
	signal(SIGTERM, SIG_IGN); /* we are on our way out, with an exit code of our own */
	signal(SIGINT, SIG_IGN);
	if (s->stop_timer != NULL)
		event_free(s->stop_timer);
	if (s->watchdog != NULL)
		event_free(s->watchdog);
	json_decref(s->stop_msg);
	free(s->stop_by);
}

/* -- words for the service manager -- */

void
server_tell_status(struct server *s)
{
	uint32_t live = runner_live(s->runner);
	int64_t now;
	char text[64];

	if (!s->ready || (live == s->told_live && s->told_ns != 0))
		return;
	now = clock_boot_ns();
	if (s->told_ns != 0 && now - s->told_ns < STATUS_GAP)
		return;
	s->told_live = live;
	s->told_ns = now;
	snprintf(text, sizeof(text), "STATUS=%u tasks alive", live);
	sdnotify_send(text);
}

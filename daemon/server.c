/*
 * The daemon: built from the bottom up, turned by its loop, taken down again.
 *
 * A turn: the loop of libevent takes note of what is there; then lines are carried out, timers
 * that are due run, everything is committed, and only then replies go out.
 */
#include "server.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "log.h"
#include "sdnotify.h"
#include "server_dirs.h"
#include "server_private.h"
#include "util.h"

extern char **environ;

/* -- what the layers below call -- */

static void
on_accept(void *ctx, int fd)
{
	struct server *s = ctx;
	struct caller caller;

	auth_identify(s->auth, fd, &caller);
	if (conn_new_take(s->conns, fd, &caller) == NULL)
		log_debug("A connection was refused: there are as many as are allowed.");
}

static void
on_accept_error(void *ctx, int error)
{
	(void)ctx;
	log_warn("No connection can be accepted (%s); trying again in a second.", strerror(error));
}

/* -- building -- */

static struct conn_limits
conn_limits_of(const struct config_limits *l)
{
	return (struct conn_limits){
	    .line_max = (size_t)l->line_max,
	    .line_max_anon = PROTO_LINE_MAX_ANON,
	    .output_high = (size_t)l->output_high,
	    .output_close = (size_t)l->output_close,
	    .unanswered = (unsigned)l->unanswered,
	    .connections = (unsigned)l->connections,
	};
}

void
server_apply_limits(struct server *s)
{
	struct conn_limits limits = conn_limits_of(&s->options.config.limits);

	conns_set_limits(s->conns, &limits);
}

/* Every connection, task and output may need a descriptor. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int
failed(char *why)
{
	log_error("%s", why);
	free(why);
	return SERVER_FAILED;
}

static int
open_store(struct server *s)
{
	const struct config *c = &s->options.config;
	char *outputs = xasprintf("%s/output", c->state_dir), *why = NULL;
	int error = store_open(c->state_dir, &s->store, &why);

	if (error == 0) {
		s->events = events_new(s->store, (uint64_t)c->limits.events_kept);
		error = outlog_dir_open(outputs, 0, &s->outputs);
		if (error < 0)
			why = xasprintf(
			    "The directory %s for the output of tasks cannot be used: %s.", outputs,
			    strerror(-error));
	}
	free(outputs);
	if (error < 0)
		return failed(why);
	if (!outlog_dir_can_drop(s->outputs))
		log_warn("The file system of %s cannot punch holes: the output of tasks is not "
			 "limited.",
		    c->state_dir);
	return 0;
}

/* A path from the directory that our own program lies in, if there is a program; NULL: there is none. */
static char *
beside_us(const char *relative)
{
	char self[4096], *slash, *path;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return NULL;
	self[n] = '\0';
	if ((slash = strrchr(self, '/')) != NULL)
		*slash = '\0';
	path = xasprintf("%s/%s", self, relative);
	if (access(path, X_OK) == 0)
		return path;
	free(path);
	return NULL;
}

/* taskspawnd lies beside us in the build tree, and in libexec when installed. */
static char *
find_spawnd(const struct config *c)
{
	char *path;

	if (c->spawnd_external)
		return NULL;
	if (c->spawnd != NULL)
		return xstrdup(c->spawnd);
	if ((path = beside_us("taskspawnd")) != NULL ||
	    (path = beside_us("../libexec/taskctl/taskspawnd")) != NULL)
		return path;
	return xstrdup(TASKCTL_LIBEXECDIR "/taskspawnd");
}

static int
open_runner(struct server *s)
{
	struct runner_opts opts = {
	    .base = s->base,
	    .config = &s->options.config,
	    .store = s->store,
	    .events = s->events,
	    .outputs = s->outputs,
	    .environ = environ,
	};
	char *why = NULL;
	int error;

	s->spawnd = find_spawnd(&s->options.config);
	opts.spawnd = s->spawnd;
	opts.socket = s->options.config.socket;
	if ((error = runner_new(&opts, &s->runner, &why)) < 0)
		return failed(
		    why != NULL ? why : xasprintf("Recovery failed: %s.", strerror(-error)));
	log_info("Containment of tasks: %s.", runner_containment(s->runner));
	return 0;
}

static void
open_commands(struct server *s)
{
	const struct conn_callbacks callbacks = {
	    .line = cmds_line,
	    .too_large = cmds_too_large,
	    .drained = cmds_drained,
	    .closed = cmds_closed,
	    .gone = auth_peer_gone,
	    .gone_ctx = s->auth,
	};
	struct conn_limits limits = conn_limits_of(&s->options.config.limits);
	struct cmd_world world = {
	    .runner = s->runner,
	    .events = s->events,
	    .store = s->store,
	    .outputs = s->outputs,
	    .config = &s->options.config,
	    .shutdown = &s->shutdown,
	    .started_ns = clock_boot_ns(),
	};

	s->cmds = cmds_new(&world);
	s->conns = conns_new(s->base, &limits, &callbacks, s->cmds);
	cmds_set_conns(s->cmds, s->conns);
	runner_listen_to_output(s->runner, cmds_output_grew, s->cmds);
}

static int
listen_failed(const char *where, int error)
{
	if (error == -EACCES) {
		log_error("%s is not on loopback: without TLS nobody is let in from there.", where);
		return SERVER_CONFIG;
	}
	if (error == -EINVAL) {
		log_error("%s: an address is HOST:PORT or [V6]:PORT, in numbers.", where);
		return SERVER_CONFIG;
	}
	log_error("It is not possible to listen on %s: %s%s.", where, strerror(-error),
	    error == -EADDRINUSE ? "; another daemon does" : "");
	return error == -EPERM ? SERVER_NOT_ALLOWED : SERVER_FAILED;
}

static int
listen_tcp(struct server *s)
{
	const struct config *c = &s->options.config;

	for (size_t i = 0; !c->no_tcp && i < c->listen.n; i++) {
		int error = listeners_add_tcp(s->listeners, c->listen.item[i]);

		if (error == 0)
			continue;
		if (!s->options.default_tcp)
			return listen_failed(c->listen.item[i], error);
		log_warn("Not listening on %s (%s); the Unix socket works.", c->listen.item[i],
		    strerror(-error));
	}
	if (!c->no_tcp && !auth_knows_tcp(s->auth))
		log_warn("The kernel cannot tell here who owns a TCP connection: callers over TCP "
			 "stay unknown.");
	return 0;
}

/* A service manager's sockets replace our own. */
static int
open_listeners(struct server *s)
{
	const char *path = s->options.config.socket;
	int fds[SDNOTIFY_FDS_MAX], n = sdnotify_listen_fds(fds), error;

	s->listeners = listeners_new(s->base, on_accept, on_accept_error, s);
	for (int i = 0; i < n; i++)
		if ((error = listeners_add_fd_take(s->listeners, fds[i])) < 0)
			return listen_failed("a socket of the service manager", error);
	if (n > 0)
		return 0;
	if ((error = listeners_add_unix(s->listeners, path)) < 0) {
		if (error != -EACCES)
			return listen_failed(path, error);
		log_error("%s cannot be made: %s.", path, strerror(EACCES));
		return SERVER_NOT_ALLOWED;
	}
	return listen_tcp(s);
}

static int
open_all(struct server *s)
{
	int r;

	if ((r = server_dirs_prepare(&s->options.config, &s->lock_fd)) != 0 ||
	    (r = open_store(s)) != 0)
		return r;
	if ((s->base = event_base_new()) == NULL)
		return failed(xstrdup("The event loop cannot be made."));
	s->auth = auth_new();
	if ((r = open_runner(s)) != 0)
		return r;
	open_commands(s);
	if ((r = open_listeners(s)) != 0)
		return r;
	return server_watch_signals(s);
}

static void
close_all(struct server *s)
{
	listeners_free(s->listeners);
	conns_free(s->conns);
	cmds_free(s->cmds);
	server_unwatch_signals(s);
	runner_free(s->runner);
	outlog_dir_free(s->outputs);
	events_free(s->events);
	store_close(s->store);
	auth_free(s->auth);
	if (s->base != NULL)
		event_base_free(s->base);
	free(s->spawnd);
	close_fd(&s->lock_fd);
	server_options_release(&s->options);
	libevent_global_shutdown();
}

/* -- the loop -- */

/* The end of a turn: nothing is answered before it is kept. */
static void
settle(struct server *s)
{
	int error = runner_settle(s->runner);

	cmds_send_replies(s->cmds, error);
	conns_flush(s->conns);
	conns_reap(s->conns);
}

static bool
is_busy(const struct server *s)
{
	return conns_busy(s->conns) || cmds_busy(s->cmds) || !runner_is_quiet(s->runner);
}

static void
turn(struct server *s)
{
	conns_run(s->conns);
	cmds_run(s->cmds);
	if (runner_timers_due(s->runner))
		runner_timers(s->runner);
	server_go_on_stopping(s);
	settle(s);
	server_tell_status(s);
	/* Files are made ahead while there is nothing else to do. */
	if (!is_busy(s))
		outlog_dir_refill(s->outputs);
}

static void
run(struct server *s)
{
	while (s->phase != STOP_DONE) {
		event_base_loop(s->base, EVLOOP_ONCE | (is_busy(s) ? EVLOOP_NONBLOCK : 0));
		turn(s);
	}
}

/* What is owed is sent before we go, to those who read it. */
static void
say_goodbye(struct server *s)
{
	const int64_t until = clock_boot_ns() + 2 * NS_PER_SEC;
	const struct timeval tick = {.tv_usec = 100 * 1000};

	listeners_stop(s->listeners);
	cmds_shutdown_done(s->cmds);
	settle(s);
	while (!conns_flushed(s->conns) && clock_boot_ns() < until) {
		event_base_loopexit(s->base, &tick);
		event_base_dispatch(s->base);
		conns_flush(s->conns);
		conns_reap(s->conns);
	}
}

static void
tell_ready(struct server *s)
{
	struct strbuf where = STRBUF_INIT;

	listeners_describe(s->listeners, &where);
	log_ready("ready on %s", strbuf_str(&where));
	strbuf_release(&where);
	s->ready = true;
	server_tell_status(s);
	sdnotify_send("READY=1");
}

static void
set_up_process(const struct server *s)
{
	log_init(s->options.config.log_level, log_journal_attached());
	log_libevent();
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_DUMPABLE, 0);
	umask(077);
	raise_descriptor_limit();
}

int
server_main(int argc, char **argv)
{
	struct server s = {.lock_fd = -1, .argc = argc, .argv = argv};
	int r = server_options_read(&s.options, argc, argv);

	if (r != 0) {
		server_options_release(&s.options);
		return r < 0 ? 0 : r;
	}
	set_up_process(&s);
	server_init_stop(&s);
	if ((r = open_all(&s)) == 0) {
		tell_ready(&s);
		run(&s);
		say_goodbye(&s);
	}
	close_all(&s);
	return r;
}

/*
 * taskspawnd: the parent of all tasks. Options, detaching, and the word to systemd that it is ready.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawnd.h"

#define EXIT_USAGE   2
#define EXIT_RUNNING 75 /* another one serves this directory */

static const char usage[] =
    "usage: taskspawnd --runtime-dir DIR [--containment auto|subreaper] [--client-uid UID]\n"
    "                  [--stay] [--detach]\n"
    "\n"
    "Starts the processes of tasks for taskctld, which starts it by itself where need be.\n"
    "  --runtime-dir DIR   where its sockets and the status file are\n"
    "  --containment HOW   auto: a cgroup for each run where possible; subreaper: never\n"
    "  --client-uid UID    let this user's taskctld connect as well\n"
    "  --stay              do not end when there is nothing to do\n"
    "  --detach            go on in the background; return when ready to serve\n";

struct ready_ctx {
	int pipe_fd; /* of the process that waits for us; -1: none */
	char notify[108];
};

static void
notify_systemd(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	static const char text[] = "READY=1";
	size_t len = strlen(path);
	int fd;

	if (len == 0 || len >= sizeof addr.sun_path)
		return;
	memcpy(addr.sun_path, path, len);
	if (addr.sun_path[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, text, sizeof text - 1, MSG_NOSIGNAL, (const struct sockaddr *)&addr,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		spawnd_log("NOTIFY_SOCKET: %s", strerror(errno));
	close(fd);
}

static void
ready(void *arg)
{
	struct ready_ctx *ctx = arg;

	notify_systemd(ctx->notify);
	if (ctx->pipe_fd >= 0) {
		if (write(ctx->pipe_fd, "r", 1) < 0)
			spawnd_log("nobody waits for us any more");
		close(ctx->pipe_fd);
		ctx->pipe_fd = -1;
	}
}

/* ---- detaching --------------------------------------------------------------------------- */

/* The parent: stays until the daemon is ready or has failed, and tells by its exit code. */
static _Noreturn void
wait_until_ready(int fd, pid_t child)
{
	char c;
	ssize_t n;
	int status;

	do
		n = read(fd, &c, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(EXIT_SUCCESS);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EXIT_FAILURE);
}

static void
redirect(const char *runtime_dir)
{
	char path[PATH_MAX];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = -1;

	mkdir(runtime_dir, 0700); /* if it is there or cannot be made, others tell */
	if (snprintf(path, sizeof path, "%s/taskspawnd.log", runtime_dir) < (int)sizeof path)
		log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	if (log >= 0 || null >= 0)
		dup2(log >= 0 ? log : null, STDERR_FILENO);
	if (log > STDERR_FILENO)
		close(log);
	if (null > STDERR_FILENO)
		close(null);
}

/* Goes on in a child in a session of its own. */
static int
detach(const char *runtime_dir)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		spawnd_log("cannot detach: %s", strerror(errno));
		exit(EXIT_FAILURE);
	}
	if (pid > 0) {
		close(fds[1]);
		wait_until_ready(fds[0], pid);
	}
	close(fds[0]);
	setsid();
	redirect(runtime_dir);
	return fds[1];
}

/* ---- main -------------------------------------------------------------------------------- */

static void
fail_usage(const char *why)
{
	fprintf(stderr, "taskspawnd: %s\n%s", why, usage);
	exit(EXIT_USAGE);
}

static void
parse_options(int argc, char **argv, struct spawnd_options *opts, bool *background)
{
	static const struct option longs[] = {{"runtime-dir", required_argument, NULL, 'r'},
	    {"containment", required_argument, NULL, 'c'},
	    {"client-uid", required_argument, NULL, 'u'}, {"stay", no_argument, NULL, 's'},
	    {"detach", no_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'}, {0}};
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'r': opts->runtime_dir = optarg; break;
		case 'c':
			if (strcmp(optarg, "auto") != 0 && strcmp(optarg, "subreaper") != 0)
				fail_usage("--containment is auto or subreaper.");
			opts->use_cgroups = strcmp(optarg, "auto") == 0;
			break;
		case 'u':
			opts->client_uid = (uid_t)strtoul(optarg, &end, 10);
			if (*optarg == '\0' || *end != '\0')
				fail_usage("--client-uid takes the number of a user.");
			break;
		case 's': opts->stay = true; break;
		case 'd': *background = true; break;
		case 'h': fputs(usage, stdout); exit(EXIT_SUCCESS);
		case 'V': puts("taskspawnd " TASKCTL_VERSION); exit(EXIT_SUCCESS);
		default: exit(EXIT_USAGE);
		}
	}
	if (opts->runtime_dir == NULL || opts->runtime_dir[0] != '/')
		fail_usage("--runtime-dir with an absolute path is needed.");
	if (optind != argc)
		fail_usage("There is an argument too many.");
}

/* The memory of the arguments and the environment behind them, for the names of monitors. */
static void
find_title(int argc, char **argv, char **env, struct spawnd_options *opts)
{
	char *end = argv[0];

	for (int i = 0; i < argc && argv[i] == end; i++)
		end += strlen(argv[i]) + 1;
	for (; *env != NULL && *env == end; env++)
		end += strlen(*env) + 1;
	opts->title = argv[0];
	opts->title_len = (size_t)(end - argv[0]);
}

int
main(int argc, char **argv)
{
	struct spawnd_options opts = {.use_cgroups = true, .client_uid = (uid_t)-1};
	struct ready_ctx ctx = {.pipe_fd = -1};
	const char *notify = getenv("NOTIFY_SOCKET");
	char runtime_dir[PATH_MAX];
	bool background = false;
	int r;

	parse_options(argc, argv, &opts, &background);
	/* Copied: the memory of the arguments is going to hold the names of monitors. */
	if (snprintf(runtime_dir, sizeof runtime_dir, "%s", opts.runtime_dir) >=
	    (int)sizeof runtime_dir)
		fail_usage("The path of the runtime directory is too long.");
	opts.runtime_dir = runtime_dir;
	if (notify != NULL && strlen(notify) < sizeof ctx.notify)
		strcpy(ctx.notify, notify);
	find_title(argc, argv, environ, &opts);
	proc_close_from(STDERR_FILENO + 1); /* whatever we were started with */
	if (background)
		ctx.pipe_fd = detach(runtime_dir);
	r = spawnd_run(&opts, ready, &ctx);
	if (r == -EALREADY)
		return EXIT_RUNNING;
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

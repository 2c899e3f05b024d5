/*
 * taskctl self: what a task says of itself, as datagrams on its notify socket, and what it can know
 * of the cancel that reached it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "jv.h"
#include "outcome.h"
#include "text.h"
#include "value.h"

#define ACK_TIMEOUT_MS (30 * 1000)
#define REASON_MAX     (1024 * 1024)

extern char **environ;

/* Sends one datagram, with a descriptor if fd is not negative. Says what went wrong. */
static int
notify(const struct call *call, const char *text, int fd)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = ACK_TIMEOUT_MS / 1000};
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.h = {.cmsg_len = CMSG_LEN(sizeof(int)),
			 .cmsg_level = SOL_SOCKET,
			 .cmsg_type = SCM_RIGHTS}};
	struct iovec iov = {.iov_base = (char *)(uintptr_t)text, .iov_len = strlen(text)};
	struct msghdr msg = {.msg_name = &un, .msg_iov = &iov, .msg_iovlen = 1};
	int s, rc;

	if (path == NULL || *path == '\0' || strlen(path) >= sizeof(un.sun_path)) {
		client_say(call,
		    "This is not inside a task: NOTIFY_SOCKET is not set. 'taskctl self' is for "
		    "commands that 'taskctl start' or 'run' runs.");
		return EXIT_TROUBLE;
	}
	memcpy(un.sun_path, path, strlen(path) + 1);
	msg.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (*path == '@')
		un.sun_path[0] = '\0';
	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control.space);
	}
	s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s >= 0)
		setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	rc = s < 0 || sendmsg(s, &msg, MSG_NOSIGNAL) < 0 ? EXIT_TROUBLE : EXIT_OK;
	if (rc != EXIT_OK)
		client_say(call, "The daemon could not be told: %s.", strerror(errno));
	if (s >= 0)
		close(s);
	return rc;
}

/*
 * Returns when all that was said before is in force: the daemon closes the pipe's end that goes
 * along with BARRIER=1. EXIT_DEFERRED if it has not done so in time.
 */
static int
barrier(const struct call *call)
{
	struct pollfd p = {.events = 0};
	int fds[2], rc;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		client_say(call, "There is no descriptor free: %s.", strerror(errno));
		return EXIT_TROUBLE;
	}
	rc = notify(call, "BARRIER=1", fds[1]);
	close(fds[1]);
	p.fd = fds[0];
	if (rc == EXIT_OK && poll(&p, 1, ACK_TIMEOUT_MS) <= 0)
		rc = EXIT_DEFERRED;
	close(fds[0]);
	return rc;
}

/* Says it; with `ack` returns only when it is in force. */
static int
tell(const struct call *call, const char *text, bool ack)
{
	int rc;

	if (call->wire) {
		printf("%s\n%s", text, ack ? "BARRIER=1\n" : "");
		return EXIT_OK;
	}
	rc = notify(call, text, -1);
	if (rc == EXIT_OK && ack)
		rc = barrier(call);
	if (rc == EXIT_DEFERRED)
		client_say(call,
		    "The daemon has not acknowledged it; it is away, and will act on it when it is "
		    "back.");
	return rc;
}

/* All words that are left, with blanks between. The caller's to free. */
static char *
join(const struct call *call, int from)
{
	struct strbuf b = STRBUF_INIT;

	for (int i = from; i < call->nargs; i++)
		strbuf_addf(&b, "%s%s", i == from ? "" : " ", call->args[i]);
	return strbuf_detach(&b);
}

/* A datagram's values are lines. */
static void
one_line(char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '\n' || *s == '\r')
			*s = ' ';
	}
}

static int
exit_of(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/*
 * Runs the command and waits. What is sent to the whole tree reaches the command itself; we ignore
 * it, because the shield has to be taken off whatever happens.
 */
static int
run_command(const struct call *call, char **argv)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction old[ARRAY_SIZE(signals)], ignore = {.sa_handler = SIG_IGN};
	posix_spawnattr_t attr;
	sigset_t defaults;
	int status = 0, err;
	pid_t pid;

	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		sigaction(signals[i], &ignore, &old[i]);
		if (old[i].sa_handler != SIG_IGN)
			sigaddset(&defaults, signals[i]);
	}
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	err = posix_spawnp(&pid, argv[0], NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	if (err != 0) {
		client_say(call, "%s cannot be executed: %s.", argv[0], strerror(err));
		return err == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return exit_of(status);
}

static int
self_shield(struct call *call)
{
	int rc, off;

	if (call->nargs < 2)
		return client_usage(
		    call, "Say what to run under the shield: self shield -- CMD ARG...");
	rc = tell(call, "X_SHIELD=1", true);
	if (call->wire)
		return tell(call, "X_SHIELD=0", true);
	if (rc == EXIT_DEFERRED) {
		client_say(call, "There is no shield yet, so %s was not run.", call->args[1]);
		(void)notify(call, "X_SHIELD=0", -1);
		return EXIT_TROUBLE;
	}
	if (rc != EXIT_OK)
		return rc;
	rc = run_command(call, call->args + 1);
	off = tell(call, "X_SHIELD=0", true);
	return rc == EXIT_OK && off == EXIT_TROUBLE ? off : rc;
}

/* The cancel file, or NULL if there was no cancel. The caller's to free. */
static char *
read_reason(size_t *len)
{
	const char *path = getenv("TASKCTL_CANCEL_FILE");
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	struct strbuf b = STRBUF_INIT;
	ssize_t n = 1;

	while (fd >= 0 && n > 0 && b.len < REASON_MAX) {
		strbuf_reserve(&b, 65536);
		n = read(fd, b.s + b.len, 65535);
		b.len += n > 0 ? (size_t)n : 0;
		b.s[b.len] = '\0';
	}
	close_fd(&fd);
	*len = b.len;
	if (b.len > 0)
		return strbuf_detach(&b);
	strbuf_release(&b);
	return NULL;
}

static int
self_reason(struct call *call)
{
	struct strbuf plain = STRBUF_INIT, safe = STRBUF_INIT;
	struct jv_doc doc = {0};
	const struct jv *msg;
	size_t len;
	char *text;

	if (getenv("TASKCTL_CANCEL_FILE") == NULL) {
		client_say(call, "This is not inside a task: TASKCTL_CANCEL_FILE is not set. "
				 "'taskctl self' is for "
				 "commands that 'taskctl start' or 'run' runs.");
		return EXIT_TROUBLE;
	}
	text = read_reason(&len);
	if (text == NULL)
		return EXIT_SOME_FAILED;
	if (call->json) {
		printf("%s%s", text, text[len - 1] == '\n' ? "" : "\n");
	} else {
		msg = jv_get(jv_parse(&doc, text, len), "msg");
		if (msg != NULL && msg->type != JV_NULL)
			outcome_msg(msg, &plain);
		text_add(&safe, call->escape_out, strbuf_str(&plain), plain.len);
		printf("%s\n", strbuf_str(&safe));
	}
	strbuf_release(&plain);
	strbuf_release(&safe);
	jv_release(&doc);
	free(text);
	return EXIT_OK;
}

/* Percent for people, a fraction on the wire; the status goes along in one datagram. */
static int
self_progress(struct call *call)
{
	char *end, *text, *status;
	double percent;
	int rc;

	if (call->nargs < 2)
		return client_usage(call, "Say how far it is: self progress 40 \"indexing\".");
	percent = strtod(call->args[1], &end);
	end += *end == '%';
	if (end == call->args[1] || *end != '\0' || !(percent >= 0 && percent <= 100))
		return client_usage(
		    call, "Progress is a number from 0 to 100, and '%s' is none.", call->args[1]);
	status = join(call, 2);
	one_line(status);
	text = xasprintf(
	    "X_PROGRESS=%.6g%s%s", percent / 100, *status == '\0' ? "" : "\nSTATUS=", status);
	rc = tell(call, text, false);
	free(text);
	free(status);
	return rc;
}

static int
self_status(struct call *call)
{
	char *status = join(call, 1), *text;
	int rc;

	one_line(status);
	text = xasprintf("STATUS=%s", status);
	rc = tell(call, text, false);
	free(text);
	free(status);
	return rc;
}

/* A result of several lines is passed as JSON, so that it arrives as it is. */
static int
self_result(struct call *call)
{
	char *result = join(call, 1), *text;
	struct strbuf b = STRBUF_INIT;
	int rc;

	if (call->nargs < 2) {
		free(result);
		return client_usage(call, "Say what the result is: self result TEXT.");
	}
	if (strpbrk(result, "\r\n") != NULL && req_quote(result, &b))
		text = xasprintf("X_RESULT_JSON=%s", b.s);
	else
		text = xasprintf("X_RESULT=%s", result);
	one_line(text);
	rc = tell(call, text, false);
	strbuf_release(&b);
	free(text);
	free(result);
	return rc;
}

/* Waits for the acknowledgement: the script relies on the time from now on. */
static int
self_extend(struct call *call)
{
	const char *why = NULL;
	int64_t ns = 0;
	char text[64];

	if (call->nargs != 2)
		return client_usage(call, "Say by how much: self extend 20s.");
	if (value_duration_str(call->args[1], true, &ns, &why) < 0 || ns <= 0)
		return client_usage(call, "The time %s %s.", call->args[1],
		    why == NULL ? "must be more than 0" : why);
	snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%lld", (long long)(ns / 1000));
	return tell(call, text, true);
}

/* When this returns, a later cancel is a new one. */
static int
self_uncancel(struct call *call)
{
	if (call->nargs != 1)
		return client_usage(call, "uncancel takes no operands.");
	return tell(call, "X_UNCANCEL=1", true);
}

int
self_run(struct call *call)
{
	static const struct {
		const char *word;
		int (*run)(struct call *call);
	} words[] = {
	    {"shield", self_shield},
	    {"reason", self_reason},
	    {"progress", self_progress},
	    {"status", self_status},
	    {"result", self_result},
	    {"extend", self_extend},
	    {"uncancel", self_uncancel},
	};

	for (size_t i = 0; call->nargs > 0 && i < ARRAY_SIZE(words); i++) {
		if (strcmp(call->args[0], words[i].word) == 0)
			return words[i].run(call);
	}
	return client_usage(call, "Write 'taskctl self' and shield, reason, progress, status, "
				  "result, extend or uncancel.");
}

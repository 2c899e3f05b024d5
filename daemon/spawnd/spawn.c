/*
 * Begins a run: private directory, slot, fork of the monitor, in this order, so that whatever a
 * crash leaves half done is found again at the next start.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spawnd.h"

#define ENV_OURS 3

/* The message taken apart; strings are in the payload, the two arrays on the heap. */
struct request {
	const char *cwd, *title;
	char **argv, **env;
	char dir[256], cancel_file[280], notify[280]; /* "NAME=value" */
	int stdio[3];
};

static const char *
next_string(const char **at, const char *end)
{
	const char *s = *at, *nul = memchr(s, '\0', (size_t)(end - s));

	if (nul == NULL)
		return NULL;
	*at = nul + 1;
	return s;
}

static bool
is_ours(const char *entry)
{
	return strncmp(entry, "TASKCTL_DIR=", 12) == 0 ||
	       strncmp(entry, "TASKCTL_CANCEL_FILE=", 20) == 0 ||
	       strncmp(entry, "NOTIFY_SOCKET=", 14) == 0;
}

static void
add_our_env(struct request *rq, const char *runtime_dir, struct stat_key key, uint32_t at)
{
	char name[RUNDIR_NAMES], own[RUNDIR_NAMES];

	/* A hook finds what its task has left; its notify socket is its own. */
	rundir_name(own, key);
	rundir_name(name, rundir_of_task(runtime_dir, key));
	snprintf(rq->dir, sizeof rq->dir, "TASKCTL_DIR=%s/" WIRE_TASKS "/%s", runtime_dir, name);
	snprintf(rq->cancel_file, sizeof rq->cancel_file,
	    "TASKCTL_CANCEL_FILE=%s/" WIRE_TASKS "/%s/cancel.json", runtime_dir, name);
	snprintf(rq->notify, sizeof rq->notify, "NOTIFY_SOCKET=%s/" WIRE_TASKS "/%s/notify",
	    runtime_dir, own);
	rq->env[at++] = rq->dir;
	rq->env[at++] = rq->cancel_file;
	rq->env[at++] = rq->notify;
	rq->env[at] = NULL;
}

/* 0 or -errno; the arrays have to be freed either way. */
static int
request_parse(struct request *rq, const struct wire_in *in, const char *runtime_dir)
{
	const char *at = in->payload, *end = at + in->msg.size, *s;
	const uint32_t argc = in->msg.count[0], envc = in->msg.count[1];
	uint32_t nenv = 0;

	if (argc == 0 || argc > in->msg.size || envc > in->msg.size)
		return -EPROTO;
	rq->argv = calloc((size_t)argc + 1, sizeof *rq->argv);
	rq->env = calloc((size_t)envc + ENV_OURS + 1, sizeof *rq->env);
	if (rq->argv == NULL || rq->env == NULL)
		return -ENOMEM;
	if ((rq->cwd = next_string(&at, end)) == NULL ||
	    (rq->title = next_string(&at, end)) == NULL)
		return -EPROTO;
	for (uint32_t i = 0; i < argc; i++) {
		if ((s = next_string(&at, end)) == NULL)
			return -EPROTO;
		rq->argv[i] = (char *)(uintptr_t)s; /* execve() takes them like this */
	}
	for (uint32_t i = 0; i < envc; i++) {
		if ((s = next_string(&at, end)) == NULL)
			return -EPROTO;
		if (!is_ours(s))
			rq->env[nenv++] = (char *)(uintptr_t)s;
	}
	add_our_env(rq, runtime_dir, (struct stat_key){in->msg.task, in->msg.run}, nenv);
	return 0;
}

static void
request_stdio(struct request *rq, const struct wire_in *in)
{
	int at = 0;

	for (int i = 0; i < 3; i++) {
		bool given = in->msg.arg[2] & (1 << i) && at < in->nfds;

		rq->stdio[i] = given ? in->fds[at++] : -1;
	}
}

static void
refuse(struct spawnd *sd, struct stat_key key, int stage, int error)
{
	struct wire_msg msg = {
	    .type = WIRE_REFUSED, .task = key.task, .run = key.run, .arg = {stage, error}};

	client_send_take(sd, &msg, -1);
}

/* Never returns in the child. */
static pid_t
fork_monitor(struct spawnd *sd, const struct request *rq, const struct wire_in *in, uint32_t slot,
    uint64_t claim, int notify_fd)
{
	struct monitor_spec spec = {
	    .leader = {.argv = rq->argv,
		.env = rq->env,
		.cwd = rq->cwd,
		.umask = (mode_t)in->msg.arg[0] & 0777,
		.no_new_privs = in->msg.arg[1] != 0,
		.reset_oom = sd->reset_oom},
	    .stdio = {rq->stdio[0], rq->stdio[1], rq->stdio[2]},
	    .null_fd = sd->null_fd,
	    .notify_fd = notify_fd,
	    .title = rq->title,
	    .message = in->mapped != NULL ? in->mapped : sd->in,
	    .message_len = in->mapped != NULL ? in->msg.size : WIRE_INLINE_MAX,
	};
	pid_t pid;

	slot_keeper_fill(sd, slot, claim, &spec.keeper);
	/* Fits: the longer path of a notify socket does, see setup_open(). */
	wire_address(&spec.greetings, sd->opts->runtime_dir, WIRE_GREETINGS);
	pid = fork();
	if (pid == 0) /* all that it needs is in spec; sd is not there any more */
		monitor_run(&spec);
	return pid;
}

/* 0, or -errno of the stage in *stage. */
static int
begin(struct spawnd *sd, const struct request *rq, const struct wire_in *in, int *stage)
{
	struct stat_key key = {.task = in->msg.task, .run = in->msg.run};
	int slot, r, notify_fd;
	uint64_t claim;
	pid_t pid;

	*stage = STAT_STAGE_CGROUP;
	if (sd->cgroups && sd->pool_count == 0 && (r = setup_pool_one(sd)) < 0)
		return r;
	*stage = STAT_STAGE_FORK;
	if ((notify_fd = rundir_make(sd, key)) < 0)
		return notify_fd;
	if ((slot = slot_claim(sd, key, &claim)) < 0) {
		close(notify_fd);
		rundir_remove(sd, key);
		return slot;
	}
	pid = fork_monitor(sd, rq, in, (uint32_t)slot, claim, notify_fd);
	if (pid < 0) {
		r = -errno;
		close(notify_fd);
		slot_release(sd, (uint32_t)slot);
		return r;
	}
	slot_set_keeper(sd, (uint32_t)slot, pid, -1);
	sd->run[slot].announced = sd->run[slot].given = true;
	client_notify_take(sd, (uint32_t)slot, false, notify_fd);
	return 0;
}

void
spawn_handle(struct spawnd *sd, struct wire_in *in)
{
	struct stat_key key = {.task = in->msg.task, .run = in->msg.run};
	struct request rq = {0};
	int r, stage = STAT_STAGE_FORK;

	if (stat_index_find(&sd->index, key) >= 0)
		r = -EEXIST;
	else if (sd->stopping)
		r = -ESHUTDOWN;
	else if (in->lost_fds)
		r = -EMFILE, stage = STAT_STAGE_STDIO;
	else if ((r = request_parse(&rq, in, sd->opts->runtime_dir)) == 0) {
		request_stdio(&rq, in);
		r = begin(sd, &rq, in, &stage);
	}
	free(rq.argv);
	free(rq.env);
	if (r < 0)
		refuse(sd, key, stage, -r);
}

/*
 * Starts taskspawnd, keeps the connection to it, queues what the socket does not take, and turns
 * wake-ups into callbacks. What runs are like is read from the mapped status file.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc.h"
#include "spawner.h"
#include "spawnwire.h"
#include "statfile.h"
#include "util.h"

#define CONNECT_WAIT_MS 5000
#define RETRY_MS        100 /* between attempts to connect */
#define OUT_MAX         (4 * STATFILE_SLOTS)
#define WAKES_AT_ONCE   1024

_Static_assert((int)RUN_LOST == (int)STAT_LOST, "the phases are the status file's");
_Static_assert((int)STAGE_EXEC == (int)STAT_STAGE_EXEC, "the stages are the status file's");
_Static_assert(RUN_PROCS_MAX == STAT_PROCS_MAX, "processes are copied one by one");

struct order {
	STAILQ_ENTRY(order) next;
	struct wire_msg msg;
	int fds[WIRE_FDS_MAX]; /* owned */
	int nfds;
	size_t size;
	char payload[];
};

/* What we know of a slot beyond its record. */
struct known {
	bool used;    /* its key is in the index */
	bool told;    /* notify_fd has come, or will not */
	bool changed; /* a change that waits for that */
};

struct spawner {
	struct event_base *base; /* borrowed */
	struct spawner_callbacks cb;
	void *ctx;
	/* owned */
	char *runtime_dir, *program;
	bool use_cgroups;
	int sock; /* -1: not connected */
	struct event *readable, *writable, *wake, *retry, *starter_ended;
	int wake_fd;
	int starter_fd; /* pidfd of a taskspawnd that is detaching itself; -1: none */
	pid_t starter;
	bool ready;       /* welcomed */
	bool new_to_loop; /* spawner_new() has not returned yet */
	bool cgroups;
	struct statfile sf;
	uint32_t overflow; /* as last seen */
	struct stat_index *index;
	struct known *known;
	STAILQ_HEAD(, order) out;
	unsigned out_count;
	char *in;
};

const char *
run_stage_name(enum run_stage stage)
{
	static const char *const name[] = {
	    "none", "fork", "cgroup", "stdio", "limits", "chdir", "exec"};

	return (unsigned)stage < ARRAY_SIZE(name) ? name[stage] : "none";
}

/* ---- records ----------------------------------------------------------------------------- */

static struct stat_key
to_stat_key(struct run_key key)
{
	return (struct stat_key){.task = key.task, .run = key.run};
}

static void
copy_procs(struct run_procs *dst, const struct stat_procs *src)
{
	dst->total = src->total;
	for (int i = 0; i < RUN_PROCS_MAX; i++) {
		dst->proc[i].pid = src->proc[i].pid;
		memcpy(dst->proc[i].comm, src->proc[i].comm, sizeof dst->proc[i].comm);
		dst->proc[i].comm[sizeof dst->proc[i].comm - 1] = '\0';
	}
}

static void
to_report(struct run_report *r, const struct stat_record *rec)
{
	*r = (struct run_report){.key = {.task = rec->task, .run = rec->run},
	    .phase = (enum run_phase)rec->phase,
	    .leader = rec->leader,
	    .leader_start = rec->leader_start,
	    .started_ns = rec->started_ns,
	    .started_wall_ms = rec->started_wall_ms,
	    .ended_ns = rec->ended_ns,
	    .ended_wall_ms = rec->ended_wall_ms,
	    .exit = {.signalled = (rec->flags & STAT_SIGNALLED) != 0,
		.core = (rec->flags & STAT_CORE) != 0,
		.code = rec->code},
	    .stage = (enum run_stage)rec->stage,
	    .error = rec->error,
	    .killed = (rec->flags & STAT_KILLED) != 0,
	    .user_s = (double)rec->user_us / 1e6,
	    .system_s = (double)rec->system_us / 1e6,
	    .max_rss = rec->max_rss};
	copy_procs(&r->leftover, &rec->leftover);
	copy_procs(&r->unkillable, &rec->unkillable);
}

static bool
read_key(const struct spawner *sp, struct run_key key, struct stat_record *rec)
{
	int slot = stat_index_find(sp->index, to_stat_key(key));

	return slot >= 0 && stat_read(&sp->sf.slots[slot], rec) && rec->task == key.task &&
	       rec->run == key.run;
}

void
spawner_report(const struct spawner *sp, struct run_key key, struct run_report *ret)
{
	struct stat_record rec;

	if (read_key(sp, key, &rec))
		to_report(ret, &rec);
	else
		*ret = (struct run_report){.key = key, .phase = RUN_ABSENT};
}

void
spawner_each(const struct spawner *sp, void (*fn)(void *ctx, const struct run_report *r), void *ctx)
{
	for (uint32_t slot = 0; slot < STATFILE_SLOTS; slot++) {
		struct stat_record rec;
		struct run_report report;

		if (!sp->known[slot].used || !stat_read(&sp->sf.slots[slot], &rec))
			continue;
		to_report(&report, &rec);
		fn(ctx, &report);
	}
}

bool
spawner_leader_gone(const struct spawner *sp, struct run_key key)
{
	struct stat_record rec;

	if (!read_key(sp, key, &rec) || rec.phase == STAT_STARTING)
		return false;
	return rec.phase != STAT_RUNNING || !proc_is(rec.leader, rec.leader_start);
}

/* ---- slots ------------------------------------------------------------------------------- */

static void
forget_slot(struct spawner *sp, uint32_t slot)
{
	if (sp->known[slot].used)
		stat_index_remove(sp->index, slot);
	sp->known[slot] = (struct known){0};
}

static void
learn_slot(struct spawner *sp, uint32_t slot, struct stat_key key)
{
	forget_slot(sp, slot);
	sp->known[slot].used = true;
	stat_index_add(sp->index, key, slot);
}

static struct run_key
slot_key(const struct spawner *sp, uint32_t slot)
{
	return (struct run_key){.task = sp->index->key[slot].task, .run = sp->index->key[slot].run};
}

static void
changed(struct spawner *sp, uint32_t slot)
{
	struct known *k;

	if (slot >= STATFILE_SLOTS)
		return;
	k = &sp->known[slot];
	if (k->used && k->told)
		sp->cb.changed(sp->ctx, slot_key(sp, slot));
	else /* its notify socket is still under way; perhaps its key, too */
		k->changed = true;
}

/* The records of a file that we have just mapped. */
static void
learn_all(struct spawner *sp)
{
	memset(sp->index, 0, sizeof *sp->index);
	memset(sp->known, 0, STATFILE_SLOTS * sizeof *sp->known);
	sp->overflow = atomic_load(&sp->sf.header->overflow);
	for (uint32_t slot = 0; slot < atomic_load(&sp->sf.header->high); slot++) {
		struct stat_record rec;

		if (!stat_read(&sp->sf.slots[slot], &rec))
			continue;
		learn_slot(sp, slot, (struct stat_key){.task = rec.task, .run = rec.run});
		sp->known[slot].changed = true;
	}
}

/* ---- wake-ups ---------------------------------------------------------------------------- */

static void
read_wakes(struct spawner *sp)
{
	uint32_t slots[WAKES_AT_ONCE];
	uint32_t overflow;
	ssize_t n;

	while (sp->wake_fd >= 0 && (n = read(sp->wake_fd, slots, sizeof slots)) > 0)
		for (size_t i = 0; i < (size_t)n / sizeof slots[0]; i++)
			changed(sp, slots[i]);
	overflow = sp->sf.header != NULL ? atomic_load(&sp->sf.header->overflow) : sp->overflow;
	if (overflow == sp->overflow)
		return;
	sp->overflow = overflow;
	for (uint32_t slot = 0; slot < STATFILE_SLOTS; slot++)
		if (sp->known[slot].used)
			changed(sp, slot);
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	spawner_poll(arg);
}

/* ---- orders out -------------------------------------------------------------------------- */

static void
order_free(struct order *o)
{
	for (int i = 0; i < o->nfds; i++)
		close(o->fds[i]);
	free(o);
}

static void
drop_orders(struct spawner *sp)
{
	struct order *o;

	while ((o = STAILQ_FIRST(&sp->out)) != NULL) {
		STAILQ_REMOVE_HEAD(&sp->out, next);
		order_free(o);
	}
	sp->out_count = 0;
}

static int
queue_order(struct spawner *sp, const struct wire_msg *msg, const void *payload, size_t size,
    const int *fds, int nfds)
{
	struct order *o;

	if (sp->out_count >= OUT_MAX)
		return -EAGAIN;
	o = xcalloc(1, sizeof *o + size);
	o->msg = *msg;
	o->size = size;
	if (size > 0)
		memcpy(o->payload, payload, size);
	for (; o->nfds < nfds; o->nfds++) {
		int fd = fcntl(fds[o->nfds], F_DUPFD_CLOEXEC, 0);

		if (fd < 0) {
			int r = -errno;

			order_free(o);
			return r;
		}
		o->fds[o->nfds] = fd;
	}
	STAILQ_INSERT_TAIL(&sp->out, o, next);
	sp->out_count++;
	event_add(sp->writable, NULL);
	return 0;
}

static int
send_order(struct spawner *sp, struct wire_msg *msg, const void *payload, size_t size,
    const int *fds, int nfds)
{
	int r = -EAGAIN;

	if (!sp->ready)
		return -EAGAIN;
	if (size > WIRE_PAYLOAD_MAX)
		return -E2BIG;
	if (STAILQ_EMPTY(&sp->out))
		r = wire_send(sp->sock, msg, payload, size, fds, nfds);
	if (r == -EAGAIN)
		return queue_order(sp, msg, payload, size, fds, nfds);
	/* A connection that has just died: the loop is going to see it. */
	return r == -EPIPE || r == -ECONNRESET || r == -ENOTCONN ? -EAGAIN : r;
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct spawner *sp = arg;
	struct order *o;

	(void)fd;
	(void)what;
	while ((o = STAILQ_FIRST(&sp->out)) != NULL) {
		if (wire_send(sp->sock, &o->msg, o->payload, o->size, o->fds, o->nfds) == -EAGAIN) {
			event_add(sp->writable, NULL);
			return;
		}
		STAILQ_REMOVE_HEAD(&sp->out, next);
		sp->out_count--;
		order_free(o);
	}
}

/* ---- the connection ---------------------------------------------------------------------- */

static void on_readable(evutil_socket_t fd, short what, void *arg);

static void
event_drop(struct event **ev)
{
	if (*ev != NULL)
		event_free(*ev);
	*ev = NULL;
}

static void
retry_soon(struct spawner *sp, int ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	event_add(sp->retry, &tv);
}

static void
disconnect(struct spawner *sp)
{
	event_drop(&sp->readable);
	event_drop(&sp->writable);
	close_fd(&sp->sock);
	drop_orders(sp);
	sp->ready = false;
}

static void
lost(struct spawner *sp)
{
	bool was_ready = sp->ready;

	disconnect(sp);
	retry_soon(sp, 0);
	if (was_ready)
		sp->cb.connection(sp->ctx, false);
}

/* Connects and says hello. 0 or -errno. */
static int
link_up(struct spawner *sp)
{
	struct wire_msg hello = {.type = WIRE_HELLO};
	struct sockaddr_un addr;
	int r;

	if ((r = wire_address(&addr, sp->runtime_dir, WIRE_SOCKET)) < 0)
		return r;
	sp->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sp->sock < 0)
		return -errno;
	if (connect(sp->sock, (const struct sockaddr *)&addr, sizeof addr) < 0)
		r = -errno;
	else
		r = wire_send(sp->sock, &hello, NULL, 0, NULL, 0);
	if (r < 0) {
		close_fd(&sp->sock);
		return r;
	}
	sp->readable = event_new(sp->base, sp->sock, EV_READ | EV_PERSIST, on_readable, sp);
	sp->writable = event_new(sp->base, sp->sock, EV_WRITE, on_writable, sp);
	if (sp->readable == NULL || sp->writable == NULL)
		die_oom();
	event_add(sp->readable, NULL);
	return 0;
}

static int
welcomed(struct spawner *sp, struct wire_in *in)
{
	int status = wire_take_fd(in, 0), r;

	if (status < 0)
		return -EPROTO;
	statfile_release(&sp->sf);
	r = statfile_map(&sp->sf, status);
	close(status);
	if (r < 0)
		return r;
	event_drop(&sp->wake);
	close_fd(&sp->wake_fd);
	if ((sp->wake_fd = wire_take_fd(in, 1)) < 0)
		return -EPROTO;
	sp->wake = event_new(sp->base, sp->wake_fd, EV_READ | EV_PERSIST, on_wake, sp);
	if (sp->wake == NULL)
		die_oom();
	event_add(sp->wake, NULL);
	sp->cgroups = in->msg.arg[0] != 0;
	learn_all(sp);
	sp->ready = true;
	event_del(sp->retry);
	if (!sp->new_to_loop)
		sp->cb.connection(sp->ctx, true);
	return 0;
}

/* ---- messages in ------------------------------------------------------------------------- */

static void
notified(struct spawner *sp, struct wire_in *in)
{
	struct stat_key key = {.task = in->msg.task, .run = in->msg.run};
	uint32_t slot = in->msg.slot;
	struct known *k;
	bool pending;
	int fd;

	if (slot >= STATFILE_SLOTS)
		return;
	k = &sp->known[slot];
	pending = k->changed;
	if (in->msg.arg[0] == 0) {
		learn_slot(sp, slot, key);
	} else if (stat_index_find(sp->index, key) != (int)slot) {
		return; /* forgotten meanwhile */
	}
	k->told = true;
	k->changed = false;
	fd = wire_take_fd(in, 0);
	if (fd >= 0)
		sp->cb.notify_fd(sp->ctx, slot_key(sp, slot), fd);
	if (pending)
		changed(sp, slot);
}

static void
refused(struct spawner *sp, const struct wire_in *in)
{
	struct run_key key = {.task = in->msg.task, .run = in->msg.run};

	if (in->msg.arg[1] == EEXIST)
		sp->cb.changed(sp->ctx, key);
	else
		sp->cb.refused(sp->ctx, key, (enum run_stage)in->msg.arg[0], in->msg.arg[1]);
}

static int
handle(struct spawner *sp, struct wire_in *in)
{
	if (in->msg.type == WIRE_WELCOME && !sp->ready)
		return welcomed(sp, in);
	if (!sp->ready)
		return -EPROTO;
	if (in->msg.type == WIRE_NOTIFY)
		notified(sp, in);
	else if (in->msg.type == WIRE_REFUSED)
		refused(sp, in);
	return 0;
}

/* One message: 1, or as wire_recv(). */
static int
read_message(struct spawner *sp)
{
	struct wire_in in;
	int r = wire_recv(sp->sock, &in, sp->in);

	if (r != 1 && r != -EMFILE) /* without its descriptor a message still tells of the run */
		return r;
	r = handle(sp, &in);
	wire_in_release(&in);
	return r < 0 ? r : 1;
}

static void
read_messages(struct spawner *sp)
{
	int r = 1;

	while (sp->sock >= 0 && r == 1)
		r = read_message(sp);
	if (sp->sock >= 0 && r != 1 && r != -EAGAIN)
		lost(sp);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	spawner_poll(arg);
}

void
spawner_poll(struct spawner *sp)
{
	/* The socket first: a wake-up may be of a run that a message tells of. */
	read_messages(sp);
	read_wakes(sp);
}

/* ---- starting taskspawnd ----------------------------------------------------------------- */

static bool
is_sanitizer_option(const char *entry)
{
	return strncmp(entry, "ASAN_OPTIONS=", 13) == 0 ||
	       strncmp(entry, "UBSAN_OPTIONS=", 14) == 0 ||
	       strncmp(entry, "LSAN_OPTIONS=", 13) == 0;
}

static void
set_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(attr);
	posix_spawnattr_setsigmask(attr, &none);
	posix_spawnattr_setsigdefault(attr, &all);
	posix_spawnattr_setflags(
	    attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
}

/* Nothing of our environment is taskspawnd's business. The padding makes room for the names of
   monitors, which it writes over its arguments and environment. */
static int
start_program(struct spawner *sp)
{
	static char pad[] = "TASKSPAWND_ROOM=................................................";
	char containment[] = "--containment", detach[] = "--detach", dir[] = "--runtime-dir";
	char subreaper[] = "subreaper", automatic[] = "auto";
	char *argv[] = {sp->program, dir, sp->runtime_dir, detach, containment,
	    sp->use_cgroups ? automatic : subreaper, NULL};
	char *env[5] = {pad};
	posix_spawnattr_t attr;
	int r, n = 1;

	for (char **e = environ; *e != NULL && n < (int)ARRAY_SIZE(env) - 1; e++)
		if (is_sanitizer_option(*e))
			env[n++] = *e;
	set_attributes(&attr);
	r = posix_spawn(&sp->starter, sp->program, NULL, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	if (r != 0) {
		sp->starter = 0;
		return -r;
	}
	return 0;
}

/* The process that we started has detached the real one, or given up. */
static void
on_starter_ended(evutil_socket_t fd, short what, void *arg)
{
	struct spawner *sp = arg;

	(void)fd;
	(void)what;
	waitpid(sp->starter, NULL, 0);
	sp->starter = 0;
	event_drop(&sp->starter_ended);
	close_fd(&sp->starter_fd);
	retry_soon(sp, 0);
}

static void
start_in_background(struct spawner *sp)
{
	struct proc_stat st;

	if (sp->program == NULL || sp->starter > 0 || start_program(sp) < 0)
		return;
	if (proc_stat(sp->starter, &st) == 0)
		sp->starter_fd = proc_pidfd(sp->starter, st.start);
	if (sp->starter_fd < 0) { /* it has ended already, or there is no descriptor: it is short */
		waitpid(sp->starter, NULL, 0);
		sp->starter = 0;
		return;
	}
	sp->starter_ended = event_new(sp->base, sp->starter_fd, EV_READ, on_starter_ended, sp);
	if (sp->starter_ended == NULL)
		die_oom();
	event_add(sp->starter_ended, NULL);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct spawner *sp = arg;

	(void)fd;
	(void)what;
	if (sp->sock >= 0 || link_up(sp) == 0)
		return;
	start_in_background(sp);
	retry_soon(sp, RETRY_MS);
}

/* ---- life -------------------------------------------------------------------------------- */

static int
wait_welcome(struct spawner *sp, int64_t until)
{
	for (;;) {
		struct pollfd p = {.fd = sp->sock, .events = POLLIN};
		int64_t left = (until - proc_boottime_ns()) / NS_PER_MS;
		int r;

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
		r = read_message(sp);
		if (r == 1)
			return 0;
		if (r == 0)
			return -ECONNRESET;
		if (r != -EAGAIN)
			return r;
	}
}

/* Waits for the process that detaches taskspawnd; it is ready when that one ends. */
static int
start_and_wait(struct spawner *sp)
{
	int r = start_program(sp);

	if (r < 0)
		return r;
	while (waitpid(sp->starter, NULL, 0) < 0 && errno == EINTR)
		;
	sp->starter = 0;
	return 0;
}

static int
connect_first(struct spawner *sp)
{
	int64_t until = proc_boottime_ns() + CONNECT_WAIT_MS * NS_PER_MS;
	int r, failed;

	for (;;) {
		if ((r = link_up(sp)) == 0 && (r = wait_welcome(sp, until)) == 0)
			return 0;
		disconnect(sp);
		if (proc_boottime_ns() >= until)
			return r;
		if (sp->program != NULL && (failed = start_and_wait(sp)) < 0)
			return failed;
		if (sp->program != NULL && link_up(sp) == 0) {
			if ((r = wait_welcome(sp, until)) == 0)
				return 0;
			disconnect(sp);
		}
		poll(NULL, 0, RETRY_MS); /* another one is starting or ending there */
	}
}

int
spawner_new(struct event_base *base, const struct spawner_opts *opts,
    const struct spawner_callbacks *cb, void *ctx, struct spawner **ret)
{
	struct spawner *sp = xcalloc(1, sizeof *sp);
	int r;

	sp->base = base;
	sp->cb = *cb;
	sp->ctx = ctx;
	sp->runtime_dir = xstrdup(opts->runtime_dir);
	sp->program = opts->program != NULL ? xstrdup(opts->program) : NULL;
	sp->use_cgroups = opts->use_cgroups;
	sp->sock = sp->wake_fd = sp->starter_fd = sp->sf.fd = -1;
	sp->index = xcalloc(1, sizeof *sp->index);
	sp->known = xcalloc(STATFILE_SLOTS, sizeof *sp->known);
	sp->in = xmalloc(WIRE_INLINE_MAX);
	STAILQ_INIT(&sp->out);
	sp->retry = evtimer_new(base, on_retry, sp);
	if (sp->retry == NULL)
		die_oom();
	sp->new_to_loop = true;
	r = connect_first(sp);
	sp->new_to_loop = false;
	if (r < 0) {
		spawner_free(sp);
		return r;
	}
	*ret = sp;
	return 0;
}

void
spawner_free(struct spawner *sp)
{
	if (sp == NULL)
		return;
	disconnect(sp);
	event_drop(&sp->wake);
	event_drop(&sp->retry);
	event_drop(&sp->starter_ended);
	close_fd(&sp->wake_fd);
	close_fd(&sp->starter_fd);
	if (sp->sf.header != NULL)
		statfile_release(&sp->sf);
	free(sp->runtime_dir);
	free(sp->program);
	free(sp->index);
	free(sp->known);
	free(sp->in);
	free(sp);
}

bool
spawner_ready(const struct spawner *sp)
{
	return sp->ready;
}

const char *
spawner_containment(const struct spawner *sp)
{
	return sp->cgroups ? "cgroup" : "subreaper";
}

/* ---- orders ------------------------------------------------------------------------------ */

static size_t
count_strings(const char *const *list, struct strbuf *payload)
{
	size_t n = 0;

	for (; list[n] != NULL; n++)
		strbuf_add(payload, list[n], strlen(list[n]) + 1);
	return n;
}

int
spawner_start(struct spawner *sp, const struct run_spec *spec)
{
	struct wire_msg msg = {.type = WIRE_SPAWN, .task = spec->key.task, .run = spec->key.run};
	const int stdio[3] = {spec->stdin_fd, spec->stdout_fd, spec->stderr_fd};
	const char *title = spec->title != NULL ? spec->title : "task";
	struct strbuf payload = STRBUF_INIT;
	int fds[3], nfds = 0, r;

	if (!sp->ready)
		return -EAGAIN;
	for (int i = 0; i < 3; i++) {
		if (stdio[i] < 0)
			continue;
		msg.arg[2] |= 1 << i;
		fds[nfds++] = stdio[i];
	}
	msg.arg[0] = spec->umask;
	msg.arg[1] = spec->no_new_privs;
	strbuf_add(&payload, spec->cwd, strlen(spec->cwd) + 1);
	strbuf_add(&payload, title, strlen(title) + 1);
	msg.count[0] = (uint32_t)count_strings(spec->argv, &payload);
	msg.count[1] = (uint32_t)count_strings(spec->env, &payload);
	r = send_order(sp, &msg, payload.s, payload.len, fds, nfds);
	strbuf_release(&payload);
	return r;
}

int
spawner_deliver(struct spawner *sp, struct run_key key, const char *json, size_t json_len,
    const char *text, size_t text_len, int signo, bool tree)
{
	struct wire_msg msg = {.type = WIRE_DELIVER,
	    .task = key.task,
	    .run = key.run,
	    .arg = {signo, tree, (json != NULL ? 1 : 0) | (text != NULL ? 2 : 0)}};
	struct strbuf payload = STRBUF_INIT;
	int r;

	if (json_len > WIRE_PAYLOAD_MAX || text_len > WIRE_PAYLOAD_MAX)
		return -E2BIG;
	if (json != NULL) {
		strbuf_add(&payload, json, json_len);
		msg.count[0] = (uint32_t)json_len;
	}
	if (text != NULL) {
		strbuf_add(&payload, text, text_len);
		msg.count[1] = (uint32_t)text_len;
	}
	r = send_order(sp, &msg, payload.s, payload.len, NULL, 0);
	strbuf_release(&payload);
	return r;
}

static int
simple_order(struct spawner *sp, enum wire_type type, struct run_key key, int arg)
{
	struct wire_msg msg = {
	    .type = (uint16_t)type, .task = key.task, .run = key.run, .arg = {arg}};

	return send_order(sp, &msg, NULL, 0, NULL, 0);
}

int
spawner_signal(struct spawner *sp, struct run_key key, int signo)
{
	return simple_order(sp, WIRE_SIGNAL, key, signo);
}

int
spawner_kill(struct spawner *sp, struct run_key key)
{
	return simple_order(sp, WIRE_KILL, key, 0);
}

int
spawner_freeze(struct spawner *sp, struct run_key key, bool freeze)
{
	return simple_order(sp, WIRE_FREEZE, key, freeze);
}

int
spawner_forget(struct spawner *sp, struct run_key key)
{
	int r = simple_order(sp, WIRE_FORGET, key, 0);
	int slot = stat_index_find(sp->index, to_stat_key(key));

	if (r == 0 && slot >= 0)
		forget_slot(sp, (uint32_t)slot);
	return r;
}

/*
 * Keeps the connection to taskspawnd and turns messages and wake-ups into callbacks.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc.h"
#include "spawner_private.h"
#include "util.h"

#define CONNECT_WAIT_MS 5000
#define RETRY_MS        100 /* between attempts to connect */
#define RETRY_FD_MS     1000
#define WAKES_AT_ONCE   1024

static void retry_soon(struct spawner *sp, int ms);

/* ---- slots ------------------------------------------------------------------------------- */

void
spawner_drop_slot(struct spawner *sp, uint32_t slot)
{
	if (sp->known[slot].used)
		stat_index_remove(sp->index, slot);
	sp->known[slot] = (struct known){0};
}

static void
learn_slot(struct spawner *sp, uint32_t slot, struct stat_key key)
{
	spawner_drop_slot(sp, slot);
	sp->known[slot].used = true;
	stat_index_add(sp->index, key, slot);
}

static struct run_key
slot_key(const struct spawner *sp, uint32_t slot)
{
	return (struct run_key){.task = sp->index->key[slot].task, .run = sp->index->key[slot].run};
}

static bool
has_descriptors(const struct spawner *sp)
{
	int fd = fcntl(sp->sock, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/*
 * The end of a run must not be told before what it has said can be read: where its notify socket did
 * not arrive and can be had now, that comes first, with a new connection.
 */
static bool
waits_for_socket(struct spawner *sp, uint32_t slot)
{
	struct stat_record rec;

	if (!sp->known[slot].lacks || sp->sock < 0 || !stat_read(&sp->sf.slots[slot], &rec) ||
	    rec.phase < STAT_LEADER_ENDED || !has_descriptors(sp))
		return false;
	retry_soon(sp, 0);
	return true;
}

static void
changed(struct spawner *sp, uint32_t slot)
{
	struct known *k;

	if (slot >= STATFILE_SLOTS)
		return;
	k = &sp->known[slot];
	if (k->used && k->told && !waits_for_socket(sp, slot))
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
	spawner_drop_orders(sp);
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
	sp->writable = event_new(sp->base, sp->sock, EV_WRITE, spawner_on_writable, sp);
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
	k->lacks = fd < 0 && in->lost_fds;
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

	/* Without its descriptor a message still tells of the run; a new connection brings it later. */
	if (r == -EMFILE) {
		sp->lacks_fd = true;
		retry_soon(sp, RETRY_FD_MS);
	} else if (r != 1) {
		return r;
	}
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

	if (sp->program == NULL || sp->starter > 0 || spawner_start_program(sp) < 0)
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

/* Notify sockets could not be taken for want of descriptors: all come again with a new connection. */
static void
fetch_lacking(struct spawner *sp)
{
	if (!has_descriptors(sp)) {
		retry_soon(sp, RETRY_FD_MS);
		return;
	}
	sp->lacks_fd = false;
	lost(sp);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct spawner *sp = arg;

	(void)fd;
	(void)what;
	if (sp->lacks_fd && sp->sock >= 0)
		fetch_lacking(sp);
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
	int r = spawner_start_program(sp);

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

/*
 * The monitor of one run: executes its command, is the subreaper of its tree, carries out orders,
 * and goes when the tree is empty. Allocates nothing; survives taskspawnd and taskctld.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "monitor.h"
#include "spawnwire.h"

#define NS_MS            INT64_C(1000000)
#define TREE_GRACE       (1000 * NS_MS) /* from SIGTERM to SIGKILL for what the leader left */
#define UNKILLABLE_AFTER (5000 * NS_MS)
#define KILL_AGAIN_MIN   (5 * NS_MS)
#define KILL_AGAIN_MAX   (1000 * NS_MS)
#define GREET_AGAIN      (20 * NS_MS)

/* Where the descriptors of a monitor are, above the command's own 0, 1 and 2. */
enum { FD_WAKE = 3, FD_NOTIFY, FD_NULL, FD_CGROUP, FD_END };

struct monitor {
	struct keeper keeper;
	const struct monitor_spec *spec;
	struct stat_record rec;
	struct tree tree;
	sigset_t signals; /* what we wait for */
	bool leader_lives;
	bool childless; /* the last look found no child at all */
	bool frozen;
	int64_t kill_at;    /* when SIGKILL is due; 0: not at all */
	int64_t kill_since; /* the first SIGKILL; 0: none yet */
	int64_t kill_pause; /* between one SIGKILL and the next */
	int64_t greet_at;   /* when to try again; 0: nothing to do */
	uint32_t greeted;
};

/* ---- beginning --------------------------------------------------------------------------- */

/* Brings descriptors to where they belong and closes all others. 0 or errno. */
static int
arrange_fds(const struct monitor_spec *s, int cgfd)
{
	int from[FD_END] = {s->stdio[0], s->stdio[1], s->stdio[2], s->keeper.wake_fd, s->notify_fd,
	    s->null_fd, cgfd};

	for (int i = 0; i < FD_END; i++) {
		if (i <= 2 && from[i] < 0)
			from[i] = s->null_fd;
		if (from[i] >= 0 && from[i] < FD_END) /* out of the way of those that come here */
			from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, FD_END);
		if (from[i] < 0 && i != FD_CGROUP)
			return errno;
	}
	for (int i = 0; i < FD_END; i++)
		if (from[i] >= 0 && dup3(from[i], i, i <= 2 ? 0 : O_CLOEXEC) < 0)
			return errno;
	proc_close_from(cgfd >= 0 ? FD_END : FD_CGROUP);
	return 0;
}

static void
monitor_init(struct monitor *m, const struct monitor_spec *s)
{
	memset(m, 0, sizeof *m);
	m->spec = s;
	m->keeper = s->keeper;
	m->tree.root = getpid();
	m->tree.cgfd = -1;
	m->tree.cgpath = s->keeper.slot->cgroup_path;
	m->tree.scratch = s->keeper.scratch;
	m->greeted = atomic_load(&s->keeper.slot->orders.greet);
	sigemptyset(&m->signals);
	sigaddset(&m->signals, SIGCHLD);
	sigaddset(&m->signals, SIGUSR1);
}

/* 0, or the errno of the stage in *stage. */
static int
prepare(struct monitor *m, int *stage)
{
	const char *dir = m->keeper.slot->cgroup_dir;
	int r, cgfd = -1;

	*stage = STAT_STAGE_FORK;
	setsid();
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return errno;
	*stage = STAT_STAGE_CGROUP;
	if (dir[0] != '\0' && (cgfd = cgroup_open(dir)) < 0)
		return -cgfd;
	*stage = STAT_STAGE_STDIO;
	if ((r = arrange_fds(m->spec, cgfd)) != 0)
		return r;
	m->keeper.wake_fd = FD_WAKE;
	m->tree.cgfd = cgfd >= 0 ? FD_CGROUP : -1;
	return 0;
}

static int
start_leader(struct monitor *m, int *stage)
{
	struct leader_spec leader = m->spec->leader;
	volatile struct leader_error err = {0};

	leader.cgroup_procs = -1;
	*stage = STAT_STAGE_CGROUP;
	if (m->tree.cgfd >= 0 && (leader.cgroup_procs = cgroup_open_procs(m->tree.cgfd)) < 0)
		return -leader.cgroup_procs;
	if (leader.reset_oom) /* its file in /proc is root's as long as we are not dumpable */
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	m->rec.leader = leader_start(&leader, &err);
	if (leader.reset_oom && m->keeper.hide)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (leader.cgroup_procs >= 0)
		close(leader.cgroup_procs);
	*stage = err.stage;
	return err.stage == STAT_STAGE_NONE ? 0 : err.error;
}

/* The command's own descriptors are not ours to hold open; and we go without its arguments. */
static void
drop_command(const struct monitor_spec *s)
{
	madvise(s->message, s->message_len, MADV_DONTNEED);
	for (int fd = 0; fd <= 2; fd++)
		dup3(FD_NULL, fd, 0);
}

static void
unstarted(struct monitor *m, int stage, int error)
{
	while (m->rec.leader > 0 && waitpid(m->rec.leader, NULL, __WALL) < 0 && errno == EINTR)
		;
	m->rec.leader = 0;
	m->rec.phase = STAT_UNSTARTED;
	m->rec.stage = stage;
	m->rec.error = error;
	m->rec.ended_ns = proc_boottime_ns();
	m->rec.ended_wall_ms = proc_wall_ms();
	keeper_publish(&m->keeper, &m->rec);
}

static bool
begin(struct monitor *m)
{
	struct proc_stat st;
	int stage, r;

	if ((r = prepare(m, &stage)) != 0 || (r = start_leader(m, &stage)) != 0) {
		unstarted(m, stage, r);
		return false;
	}
	m->leader_lives = true;
	m->rec.phase = STAT_RUNNING;
	m->rec.started_ns = proc_boottime_ns();
	m->rec.started_wall_ms = proc_wall_ms();
	if (proc_stat(m->rec.leader, &st) == 0) /* not reaped yet, so it is there */
		m->rec.leader_start = st.start;
	keeper_publish(&m->keeper, &m->rec);
	drop_command(m->spec);
	return true;
}

/* ---- the leader and its tree ------------------------------------------------------------- */

static void
freeze(struct monitor *m, bool wanted)
{
	if (m->frozen == wanted)
		return;
	tree_freeze(&m->tree, wanted);
	m->frozen = wanted;
}

static void
leader_ended(struct monitor *m, int status)
{
	m->leader_lives = false;
	m->rec.ended_ns = proc_boottime_ns();
	m->rec.ended_wall_ms = proc_wall_ms();
	if (WIFSIGNALED(status)) {
		m->rec.flags |= STAT_SIGNALLED;
		m->rec.code = WTERMSIG(status);
		if (WCOREDUMP(status))
			m->rec.flags |= STAT_CORE;
	} else {
		m->rec.code = WEXITSTATUS(status);
	}
}

static bool
tree_is_empty(const struct monitor *m)
{
	return m->childless && (m->tree.cgfd < 0 || !cgroup_populated(m->tree.cgfd));
}

/* The leader has gone and others are left: name them, and ask them to end. */
static void
end_rest(struct monitor *m)
{
	m->rec.phase = STAT_LEADER_ENDED;
	if (m->kill_at == 0) { /* else they are being killed: nobody outlived anything */
		freeze(m, false);
		tree_list(&m->tree, false, &m->rec.leftover);
		keeper_publish(&m->keeper, &m->rec);
		tree_signal(&m->tree, TREE_ALL, SIGTERM, true, 0);
		m->kill_at = proc_boottime_ns() + TREE_GRACE;
	} else {
		keeper_publish(&m->keeper, &m->rec);
	}
}

static void
reap(struct monitor *m)
{
	int status;
	pid_t pid;

	m->childless = false;
	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0 || (pid < 0 && errno == EINTR))
		if (pid == m->rec.leader && m->leader_lives)
			leader_ended(m, status);
	m->childless = pid < 0 && errno == ECHILD;
}

/* ---- killing ----------------------------------------------------------------------------- */

static void
kill_tree(struct monitor *m, int64_t now)
{
	bool first = m->kill_since == 0;

	if (first) {
		m->kill_since = now;
		m->kill_pause = KILL_AGAIN_MIN;
	}
	/* cgroup.kill is complete by itself; only what is there after it may have left the cgroup. */
	tree_kill(&m->tree, first && m->leader_lives ? TREE_QUICK : TREE_ALL);
	m->frozen = false;
	m->kill_at = now + m->kill_pause;
	if ((m->kill_pause *= 2) > KILL_AGAIN_MAX)
		m->kill_pause = KILL_AGAIN_MAX;
	if (now - m->kill_since >= UNKILLABLE_AFTER &&
	    tree_list(&m->tree, true, &m->rec.unkillable))
		keeper_publish(&m->keeper, &m->rec);
}

static void
over(struct monitor *m)
{
	struct rusage ru;

	if (getrusage(RUSAGE_CHILDREN, &ru) == 0) {
		m->rec.user_us = (int64_t)ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec;
		m->rec.system_us = (int64_t)ru.ru_stime.tv_sec * 1000000 + ru.ru_stime.tv_usec;
		m->rec.max_rss = (int64_t)ru.ru_maxrss * 1024;
	}
	memset(&m->rec.unkillable, 0, sizeof m->rec.unkillable);
	m->rec.phase = STAT_OVER;
	keeper_publish(&m->keeper, &m->rec);
}

/* True when all is over. */
static bool
advance(struct monitor *m)
{
	int64_t now;

	if (!m->leader_lives) {
		if (tree_is_empty(m)) {
			over(m);
			return true;
		}
		if (m->rec.phase == STAT_RUNNING)
			end_rest(m);
	}
	if (m->kill_at != 0 && (now = proc_boottime_ns()) >= m->kill_at)
		kill_tree(m, now);
	return false;
}

/* ---- orders ------------------------------------------------------------------------------ */

static void
signal_leader(struct monitor *m, int signo, bool cont)
{
	/* Our child, and not reaped as long as leader_lives: the pid is its own. */
	if (!m->leader_lives)
		return;
	kill(m->rec.leader, signo);
	if (cont)
		kill(m->rec.leader, SIGCONT);
}

static void
deliver(struct monitor *m, uint64_t to_leader, uint64_t to_tree)
{
	freeze(m, false);
	for (int signo = 1; signo <= 64; signo++) {
		uint64_t bit = UINT64_C(1) << (signo - 1);

		if ((to_leader | to_tree) & bit)
			signal_leader(m, signo, true);
		if (to_tree & bit)
			tree_signal(&m->tree, TREE_QUICK, signo, true, m->rec.leader);
	}
}

static void
plain_signals(struct monitor *m, uint64_t signals)
{
	for (int signo = 1; signo <= 64; signo++)
		if (signals & UINT64_C(1) << (signo - 1))
			signal_leader(m, signo, false);
}

/* Shows the notify socket to the taskspawnd that asks for it. */
static int
greet(struct monitor *m)
{
	struct wire_msg msg = {.type = WIRE_GREETING,
	    .task = m->rec.task,
	    .run = m->rec.run,
	    .slot = m->keeper.slot_no};
	const struct sockaddr *to = (const struct sockaddr *)&m->spec->greetings;
	int r = 0, notify = FD_NOTIFY;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -EAGAIN;
	if (connect(fd, to, sizeof m->spec->greetings) < 0)
		r = -errno;
	else
		r = wire_send(fd, &msg, NULL, 0, &notify, 1);
	close(fd);
	return r;
}

static void
answer_greeting(struct monitor *m)
{
	uint32_t wanted = atomic_load(&m->keeper.slot->orders.greet);

	if (wanted == m->greeted)
		return;
	if (greet(m) == -EAGAIN) { /* others are in the queue before us */
		m->greet_at = proc_boottime_ns() + GREET_AGAIN;
		return;
	}
	m->greet_at = 0;
	m->greeted = wanted; /* if nobody was there, the next taskspawnd asks again */
}

static void
carry_out(struct monitor *m)
{
	struct stat_orders *o = &m->keeper.slot->orders;
	uint64_t leader, whole, plain;
	uint32_t delivers = atomic_load(&o->delivers);

	answer_greeting(m);
	if (atomic_load(&o->kill) && m->kill_since == 0) {
		if (m->leader_lives)
			m->rec.flags |= STAT_KILLED;
		m->kill_at = proc_boottime_ns();
		return;
	}
	leader = atomic_exchange(&o->deliver_leader, 0);
	whole = atomic_exchange(&o->deliver_tree, 0);
	plain = atomic_exchange(&o->plain, 0);
	if (plain != 0)
		plain_signals(m, plain);
	if ((leader | whole) != 0)
		deliver(m, leader, whole);
	if (m->leader_lives && m->kill_at == 0)
		freeze(m, atomic_load(&o->freeze) != 0);
	if (atomic_load(&m->keeper.slot->delivered) != delivers) {
		atomic_store(&m->keeper.slot->delivered, delivers);
		keeper_wake(&m->keeper);
	}
}

/* ---- waiting ----------------------------------------------------------------------------- */

static void
wait_for_signal(const struct monitor *m)
{
	int64_t at = m->kill_at, left;
	struct timespec ts;

	if (m->greet_at != 0 && (at == 0 || m->greet_at < at))
		at = m->greet_at;
	if (at == 0) {
		sigwaitinfo(&m->signals, NULL);
		return;
	}
	left = at - proc_boottime_ns();
	if (left < 0)
		left = 0;
	ts.tv_sec = left / 1000000000;
	ts.tv_nsec = left % 1000000000;
	sigtimedwait(&m->signals, NULL, &ts);
}

/* What the task said last must not be lost while there is nobody to read it. */
static void
linger(struct monitor *m)
{
	char c;

	m->kill_at = 0;
	while (atomic_load(&m->keeper.slot->forgotten) == 0 &&
	       recv(FD_NOTIFY, &c, 1, MSG_PEEK | MSG_DONTWAIT) >= 0) {
		wait_for_signal(m);
		answer_greeting(m);
	}
}

void
monitor_run(const struct monitor_spec *spec)
{
	struct monitor m;
	struct stat_slot *slot = spec->keeper.slot;

	monitor_init(&m, spec);
	if (!keeper_take_slot(&spec->keeper) || !stat_read(slot, &m.rec))
		_exit(1);
	keeper_title(&spec->keeper, spec->title);
	if (begin(&m)) {
		for (;;) {
			reap(&m);
			carry_out(&m);
			if (advance(&m))
				break;
			wait_for_signal(&m);
		}
		linger(&m);
	}
	if (slot->cgroup_dir[0] != '\0')
		cgroup_remove(slot->cgroup_dir);
	_exit(0);
}

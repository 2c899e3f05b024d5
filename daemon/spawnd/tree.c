/*
 * Looks a run's processes up and signals them. Each is opened first and then shown to belong to
 * the run, so that a signal can never hit a process that was given a reused pid.
 */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cgroup.h"
#include "tree.h"

#define FREEZE_PASSES 20

struct visit {
	struct tree *t;
	tree_fn *fn;
	void *ctx;
};

static void
visit_open(struct visit *v, int fd, const struct proc_stat *st)
{
	bool gone = (st->state == 'Z' || st->state == 'X') && st->threads <= 1;

	if (!gone && (!st->dying || v->t->dying_too) && pidset_add(&v->t->scratch->seen, st->pid))
		v->fn(v->ctx, fd, st);
}

static void
visit_cgroup_pid(void *ctx, pid_t pid)
{
	struct visit *v = ctx;
	struct proc_stat st;
	int fd = proc_open(pid);

	if (fd < 0)
		return;
	if (proc_in_cgroup(fd, v->t->cgpath) && proc_stat_at(fd, &st) == 0)
		visit_open(v, fd, &st);
	close(fd);
}

static void
visit_descendant(struct visit *v, pid_t pid)
{
	struct tree *t = v->t;
	struct proc_stat st;
	int fd = proc_open(pid);

	if (fd < 0)
		return;
	if (proc_stat_at(fd, &st) == 0 &&
	    (st.ppid == t->root || pidset_has(&t->scratch->found, st.ppid)))
		visit_open(v, fd, &st);
	close(fd);
}

static bool
visit_any(void *ctx, pid_t pid)
{
	struct visit *v = ctx;
	struct proc_stat st;
	int fd;

	if (pid == getpid() || (fd = proc_open(pid)) < 0)
		return true;
	if (proc_has_env(fd, v->t->env, 2) && proc_stat_at(fd, &st) == 0)
		visit_open(v, fd, &st);
	close(fd);
	return true;
}

/* All of /proc is read for what has left the cgroup only where that is cheap, or nothing is in the
   cgroup any more while children are. */
static bool
by_descent(const struct tree *t, enum tree_reach reach)
{
	if (t->root <= 0)
		return false;
	return t->cgfd < 0 ||
	       (reach == TREE_ALL && (proc_lists_children() || !cgroup_populated(t->cgfd)));
}

void
tree_each(struct tree *t, enum tree_reach reach, tree_fn *fn, void *ctx)
{
	struct visit v = {.t = t, .fn = fn, .ctx = ctx};
	struct pidset *found = &t->scratch->found;

	if (t->cgfd >= 0)
		cgroup_each(t->cgfd, visit_cgroup_pid, &v);
	if (by_descent(t, reach)) {
		proc_descendants(t->root, found);
		for (uint32_t i = 0; i < PIDSET_SLOTS; i++)
			if (found->slot[i] != 0)
				visit_descendant(&v, found->slot[i]);
	}
	if (t->by_env)
		proc_each(visit_any, &v);
	/* Both sets are zero again, and cost nothing while the monitor waits. */
	madvise(t->scratch, sizeof *t->scratch, MADV_DONTNEED);
}

struct shot {
	int signo;
	bool cont;
	pid_t except;
	uint32_t hit;
};

static void
shoot(void *ctx, int procfd, const struct proc_stat *st)
{
	struct shot *s = ctx;

	if (st->pid == s->except)
		return;
	s->hit++;
	if (s->signo > 0)
		proc_signal(procfd, s->signo);
	if (s->cont)
		proc_signal(procfd, SIGCONT);
}

void
tree_signal(struct tree *t, enum tree_reach reach, int signo, bool cont, pid_t except)
{
	struct shot s = {.signo = signo, .cont = cont, .except = except};

	tree_each(t, reach, shoot, &s);
}

bool
tree_kill(struct tree *t, enum tree_reach reach)
{
	struct shot s = {.signo = SIGKILL};

	if (t->cgfd >= 0 && cgroup_kill(t->cgfd) == 0 && reach == TREE_QUICK)
		return true;
	tree_each(t, reach, shoot, &s);
	return s.hit > 0;
}

static void
stop_one(void *ctx, int procfd, const struct proc_stat *st)
{
	struct shot *s = ctx;

	if (st->state == 'T')
		return;
	s->hit++;
	proc_signal(procfd, SIGSTOP);
}

void
tree_freeze(struct tree *t, bool freeze)
{
	if (t->cgfd >= 0 && cgroup_freeze(t->cgfd, freeze) == 0)
		return;
	if (!freeze) {
		tree_signal(t, TREE_QUICK, 0, true, 0);
		return;
	}
	/* Whatever was forked while we looked is found by the next look. */
	for (int pass = 0; pass < FREEZE_PASSES; pass++) {
		struct shot s = {0};

		tree_each(t, TREE_QUICK, stop_one, &s);
		if (s.hit == 0)
			return;
	}
}

static void
list_one(void *ctx, int procfd, const struct proc_stat *st)
{
	struct stat_procs *list = ctx;

	(void)procfd;
	if (list->total < STAT_PROCS_MAX) {
		list->proc[list->total].pid = st->pid;
		memcpy(list->proc[list->total].comm, st->comm, sizeof st->comm);
	}
	list->total++;
}

bool
tree_list(struct tree *t, bool dying_too, struct stat_procs *ret)
{
	struct stat_procs list;
	bool other;

	memset(&list, 0, sizeof list);
	t->dying_too = dying_too;
	tree_each(t, TREE_ALL, list_one, &list);
	t->dying_too = false;
	other = memcmp(&list, ret, sizeof list) != 0;
	*ret = list;
	return other;
}

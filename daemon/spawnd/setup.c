/*
 * What taskspawnd opens at its start: the lock, the status file, the sockets, the cgroups.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawnd.h"

#define LONGEST_RUN "18446744073709551615-4294967295"

static int
complain(const char *what, int r)
{
	spawnd_log("%s: %s", what, strerror(-r));
	return r;
}

/* ---- the process itself ------------------------------------------------------------------ */

/* As the kernel takes it: a libc keeps some signals to itself, but not what we may have inherited. */
struct raw_sigaction {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

static void
reset_dispositions(void)
{
	for (int signo = 1; signo <= 64; signo++) {
		struct raw_sigaction old = {0}, none = {0};

		if (syscall(SYS_rt_sigaction, signo, NULL, &old, sizeof old.mask) == 0 &&
		    old.handler == SIG_IGN)
			syscall(SYS_rt_sigaction, signo, &none, NULL, sizeof none.mask);
	}
}

static bool
oom_score_set(void)
{
	char buf[16] = "";
	ssize_t n;
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	n = read(fd, buf, sizeof buf - 1);
	close(fd);
	return n > 0 && strtol(buf, NULL, 10) != 0;
}

static void
setup_process(struct spawnd *sd)
{
	struct rlimit lim;

	umask(077);
	if (chdir("/") < 0) /* keep nobody's file system busy */
		spawnd_log("/: %s", strerror(errno));
	reset_dispositions();
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* for what a killed monitor leaves */
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	sd->reset_oom = oom_score_set();
#if !defined(__SANITIZE_ADDRESS__) /* whose leak check has to trace us */
	/* Out of reach of the tasks' debuggers. Not where /proc hides such processes from their own
	   user: we have to find our monitors again. */
	sd->hide = access("/proc/1/stat", R_OK) == 0;
	if (sd->hide)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

/* ---- files ------------------------------------------------------------------------------- */

static int
runtime_path(char path[PATH_MAX], const struct spawnd *sd, const char *name)
{
	return snprintf(path, PATH_MAX, "%s/%s", sd->opts->runtime_dir, name) < PATH_MAX
		   ? 0
		   : -ENAMETOOLONG;
}

static int
open_lock(struct spawnd *sd)
{
	char path[PATH_MAX], pid[16];
	int n, r = runtime_path(path, sd, "spawnd.lock");

	if (r < 0)
		return r;
	sd->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (sd->lock_fd < 0)
		return -errno;
	if (flock(sd->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EALREADY : -errno;
	/* The pid is for people; what holds is the lock. */
	n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
	if (ftruncate(sd->lock_fd, 0) < 0 || write(sd->lock_fd, pid, (size_t)n) < 0)
		return -errno;
	return 0;
}

static int
open_status(struct spawnd *sd)
{
	char path[PATH_MAX];
	bool kept;
	int r = runtime_path(path, sd, WIRE_STATUS);

	if (r < 0 || (r = statfile_open(&sd->sf, path, &kept)) < 0)
		return r;
	sd->status_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return sd->status_fd < 0 ? -errno : 0;
}

/* Kept if it is there: the monitors of our predecessor write into it. */
static int
open_wake(struct spawnd *sd)
{
	char path[PATH_MAX];
	struct stat st;
	int r = runtime_path(path, sd, WIRE_WAKE);

	if (r < 0)
		return r;
	if (lstat(path, &st) == 0 && !S_ISFIFO(st.st_mode))
		unlink(path);
	if (mkfifo(path, 0600) < 0 && errno != EEXIST)
		return -errno;
	/* For reading, too: so it never breaks, whoever else has it open. */
	sd->wake_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	return sd->wake_fd < 0 ? -errno : 0;
}

static int
open_tasks(struct spawnd *sd)
{
	char path[PATH_MAX];
	int r = runtime_path(path, sd, WIRE_TASKS);

	if (r < 0)
		return r;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	sd->tasks_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (sd->tasks_fd < 0)
		return -errno;
	sd->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return sd->null_fd < 0 ? -errno : 0;
}

static int
listen_at(const struct spawnd *sd, const char *name, uid_t owner)
{
	struct sockaddr_un addr;
	int r, fd;

	if ((r = wire_address(&addr, sd->opts->runtime_dir, name)) < 0)
		return r;
	unlink(addr.sun_path); /* we hold the lock, so nobody is listening there */
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&addr, sizeof addr) < 0 ||
	    (owner != (uid_t)-1 && chown(addr.sun_path, owner, (gid_t)-1) < 0) ||
	    listen(fd, 128) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static int
open_sockets(struct spawnd *sd)
{
	sd->greet_fd = listen_at(sd, WIRE_GREETINGS, (uid_t)-1);
	if (sd->greet_fd < 0)
		return sd->greet_fd;
	sd->listen_fd = listen_at(sd, WIRE_SOCKET, sd->opts->client_uid);
	return sd->listen_fd < 0 ? sd->listen_fd : 0;
}

static int
open_events(struct spawnd *sd)
{
	sigset_t all, ours;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL); /* for the monitors, too, which inherit that */
	sigemptyset(&ours);
	sigaddset(&ours, SIGCHLD);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sd->signal_fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
	sd->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (sd->signal_fd < 0 || sd->epoll_fd < 0)
		return -errno;
	return spawnd_watch(sd, sd->signal_fd, EPOLLIN, TAG_SIGNAL, 0);
}

/* ---- cgroups ----------------------------------------------------------------------------- */

int
setup_pool_one(struct spawnd *sd)
{
	struct pool_cgroup *cg = &sd->pool[sd->pool_count];
	char name[48];
	int r;

	if (sd->pool_count == POOL_MAX)
		return 0;
	snprintf(name, sizeof name, "%d-%" PRIu64, (int)getpid(), ++sd->cgroup_seq);
	memset(cg, 0, sizeof *cg);
	if ((r = cgroup_make(&sd->base, name, cg->dir, cg->path)) == 0)
		sd->pool_count++;
	return r;
}

/* Whether a process of ours can really move itself in: a delegation may be only half of one. */
static int
probe_join(struct spawnd *sd)
{
	const char *dir = sd->pool[0].dir;
	int status = -1, r, cgfd = cgroup_open(dir);
	pid_t pid;

	if (cgfd < 0)
		return cgfd;
	r = cgroup_open_procs(cgfd);
	close(cgfd);
	if (r < 0)
		return r;
	pid = fork();
	if (pid == 0)
		_exit(write(r, "0", 1) == 1 ? 0 : errno);
	close(r);
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	sd->pool_count = 0;
	cgroup_remove(dir);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EPERM;
}

static int
probe_cgroups(struct spawnd *sd)
{
	char name[64];
	uint64_t h = 1469598103934665603u;
	struct stat st;
	int r;

	/* One base for each runtime directory, found again by the next taskspawnd of it. */
	for (const char *p = sd->opts->runtime_dir; *p != '\0'; p++)
		h = (h ^ (unsigned char)*p) * 1099511628211u;
	if (stat(sd->opts->runtime_dir, &st) == 0)
		h = (h ^ (uint64_t)st.st_ino) * 1099511628211u ^ (uint64_t)st.st_dev;
	snprintf(name, sizeof name, "taskctl-%016" PRIx64, h);
	if ((r = cgroup_base_init(&sd->base, name)) < 0)
		return r;
	if ((r = setup_pool_one(sd)) == 0)
		r = probe_join(sd);
	if (r < 0)
		rmdir(sd->base.dir);
	return r;
}

static bool
cgroup_in_use(const struct spawnd *sd, const char *dir)
{
	for (uint32_t slot = 0; slot < atomic_load(&sd->sf.header->high); slot++)
		if (sd->run[slot].used && strcmp(sd->sf.slots[slot].cgroup_dir, dir) == 0)
			return true;
	return false;
}

/* Directories that belong to no run are a predecessor's: emptied by force and removed. */
static void
sweep_cgroups(struct spawnd *sd)
{
	char dir[CGROUP_PATH_MAX + 256];
	struct dirent *d;
	DIR *list = opendir(sd->base.dir);

	while (list != NULL && (d = readdir(list)) != NULL) {
		int fd;

		if (d->d_type != DT_DIR || d->d_name[0] == '.')
			continue;
		snprintf(dir, sizeof dir, "%s/%s", sd->base.dir, d->d_name);
		if (cgroup_in_use(sd, dir) || (fd = cgroup_open(dir)) < 0)
			continue;
		if (cgroup_populated(fd))
			cgroup_kill(fd);
		close(fd);
		cgroup_remove(dir);
	}
	if (list != NULL)
		closedir(list);
}

static void
setup_cgroups(struct spawnd *sd)
{
	int r;

	if (!sd->opts->use_cgroups)
		return;
	r = probe_cgroups(sd);
	sd->cgroups = r == 0;
	if (r == 0)
		sweep_cgroups(sd);
	else
		spawnd_log("no cgroups (%s): processes are found as descendants", strerror(-r));
}

/* What keepers inherit. Costs them nothing until they use it. */
static int
map_buffers(struct spawnd *sd)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *scratch = mmap(NULL, sizeof *sd->scratch, PROT_READ | PROT_WRITE, flags, -1, 0);
	void *in = mmap(NULL, WIRE_INLINE_MAX, PROT_READ | PROT_WRITE, flags, -1, 0);

	if (scratch == MAP_FAILED || in == MAP_FAILED)
		return -errno;
	sd->scratch = scratch;
	sd->in = in;
	return 0;
}

/* ---- all of it --------------------------------------------------------------------------- */

int
setup_open(struct spawnd *sd, const struct spawnd_options *opts)
{
	struct sockaddr_un addr;
	int r;

	sd->opts = opts;
	sd->client.fd = -1;
	sd->client.out_tail = &sd->client.out;
	setup_process(sd);
	if (mkdir(opts->runtime_dir, 0700) < 0 && errno != EEXIST)
		return complain(opts->runtime_dir, -errno);
	if ((r = wire_address(&addr, opts->runtime_dir, WIRE_TASKS "/" LONGEST_RUN "/notify")) < 0)
		return complain("the path of the runtime directory is too long for sockets", r);
	if ((r = open_lock(sd)) < 0)
		return r == -EALREADY ? r : complain("spawnd.lock", r);
	if ((r = open_status(sd)) < 0)
		return complain("the status file", r);
	if ((r = open_wake(sd)) < 0 || (r = open_tasks(sd)) < 0)
		return complain("the runtime directory", r);
	if ((r = open_events(sd)) < 0)
		return complain("events", r);
	if ((r = map_buffers(sd)) < 0)
		return complain("memory", r);
	runs_adopt(sd);
	setup_cgroups(sd);
	rundir_sweep(sd);
	if ((r = open_sockets(sd)) < 0)
		return complain("the sockets", r);
	return 0;
}

void
setup_close(struct spawnd *sd)
{
	char path[PATH_MAX];

	if (runtime_path(path, sd, WIRE_SOCKET) == 0)
		unlink(path);
	if (runtime_path(path, sd, WIRE_GREETINGS) == 0)
		unlink(path);
	while (sd->pool_count > 0)
		cgroup_remove(sd->pool[--sd->pool_count].dir);
	if (sd->cgroups)
		rmdir(sd->base.dir);
	statfile_release(&sd->sf);
}

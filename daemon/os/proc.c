/*
 * Reads /proc with fixed buffers and raw directory reads, so that a monitor can use it after it
 * has given up allocating.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "proc.h"

/* Numbers that all architectures share, for libcs whose headers are older than the calls. */
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define FLAG_EXITING    0x004 /* PF_EXITING and PF_SIGNALED of the kernel */
#define FLAG_SIGNALED   0x400
#define PENDING_SIGKILL (1u << (9 - 1))

/* As getdents64() fills it in. */
struct dirent_raw {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

static ssize_t
read_file_at(int dirfd, const char *name, char *buf, size_t size)
{
	ssize_t n;
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	do
		n = read(fd, buf, size - 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		n = -errno;
	else
		buf[n] = '\0';
	close(fd);
	return n;
}

int
proc_boot_id(char id[PROC_BOOT_ID_LEN])
{
	ssize_t n = read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", id, PROC_BOOT_ID_LEN);

	if (n < PROC_BOOT_ID_LEN - 1) {
		id[0] = '\0';
		return n < 0 ? (int)n : -ENODATA;
	}
	return 0;
}

int
proc_open(pid_t pid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof path, "/proc/%d", (int)pid);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

/* Fields are numbered as in proc(5); `p` stands behind the closing parenthesis of field 2. */
static void
parse_fields(const char *p, struct proc_stat *ret)
{
	unsigned long long value;
	char *end;

	ret->state = p[1];
	ret->dying = ret->state == 'Z' || ret->state == 'X';
	p += 2;
	for (int field = 4; field <= 31 && *p != '\0'; field++) {
		value = strtoull(p, &end, 10);
		p = end;
		switch (field) {
		case 4: ret->ppid = (pid_t)value; break;
		case 9:
			if (value & (FLAG_EXITING | FLAG_SIGNALED))
				ret->dying = true;
			break;
		case 20: ret->threads = (int)value; break;
		case 22: ret->start = value; break;
		case 31:
			if (value & PENDING_SIGKILL)
				ret->dying = true;
			break;
		default: break;
		}
	}
	/* A leading thread that has ended before the others leaves a process that is well alive. */
	if (ret->threads > 1 && ret->state == 'Z')
		ret->dying = false;
}

static int
read_stat(int dirfd, const char *name, struct proc_stat *ret)
{
	char buf[1024], *open_paren, *close_paren;
	ssize_t n = read_file_at(dirfd, name, buf, sizeof buf);
	size_t len;

	if (n < 0)
		return (int)n;
	memset(ret, 0, sizeof *ret);
	open_paren = strchr(buf, '(');
	close_paren = strrchr(buf, ')'); /* the name itself may hold parentheses */
	if (open_paren == NULL || close_paren == NULL || close_paren[1] != ' ')
		return -EPROTO;
	ret->pid = (pid_t)strtol(buf, NULL, 10);
	len = (size_t)(close_paren - open_paren - 1);
	if (len >= sizeof ret->comm)
		len = sizeof ret->comm - 1;
	memcpy(ret->comm, open_paren + 1, len);
	parse_fields(close_paren + 1, ret);
	return 0;
}

int
proc_stat_at(int procfd, struct proc_stat *ret)
{
	return read_stat(procfd, "stat", ret);
}

int
proc_stat(pid_t pid, struct proc_stat *ret)
{
	char path[32];

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	return read_stat(AT_FDCWD, path, ret);
}

bool
proc_is(pid_t pid, uint64_t start)
{
	struct proc_stat st;

	return proc_stat(pid, &st) == 0 && st.start == start &&
	       !((st.state == 'Z' || st.state == 'X') && st.threads <= 1);
}

bool
proc_gone(pid_t pid, uint64_t start)
{
	struct proc_stat st;
	int r = proc_stat(pid, &st);

	if (r < 0)
		return r == -ENOENT || r == -ESRCH;
	return st.start != start || ((st.state == 'Z' || st.state == 'X') && st.threads <= 1);
}

int
proc_pidfd(pid_t pid, uint64_t start)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return -errno;
	/* Looked at after the descriptor is there: a process of that age was there all the while. */
	if (!proc_is(pid, start)) {
		close(fd);
		return -ESRCH;
	}
	return fd;
}

int
proc_signal(int fd, int signo)
{
	return syscall(SYS_pidfd_send_signal, fd, signo, NULL, 0) < 0 ? -errno : 0;
}

/* ---- environment and cgroup of a process ------------------------------------------------- */

#define ENV_ENTRY_MAX 512

struct env_match {
	const char *const *want;
	size_t nwant;
	unsigned found; /* one bit for each wanted entry */
	size_t len;     /* of the entry being collected; counts on beyond the buffer */
	char entry[ENV_ENTRY_MAX];
};

static void
env_feed(struct env_match *m, const char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (buf[i] != '\0') {
			if (m->len < sizeof m->entry)
				m->entry[m->len] = buf[i];
			m->len++;
			continue;
		}
		for (size_t w = 0; w < m->nwant; w++)
			if (strlen(m->want[w]) == m->len && m->len <= sizeof m->entry &&
			    memcmp(m->want[w], m->entry, m->len) == 0)
				m->found |= 1u << w;
		m->len = 0;
	}
}

bool
proc_has_env(int procfd, const char *const want[], size_t nwant)
{
	struct env_match m = {.want = want, .nwant = nwant};
	char buf[4096];
	ssize_t n;
	int fd = openat(procfd, "environ", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	while ((n = read(fd, buf, sizeof buf)) > 0)
		env_feed(&m, buf, (size_t)n);
	close(fd);
	return m.found == (1u << nwant) - 1;
}

bool
proc_in_cgroup(int procfd, const char *path)
{
	char buf[4096], *line;
	size_t len = strlen(path);
	char after;

	if (read_file_at(procfd, "cgroup", buf, sizeof buf) < 0)
		return false;
	line = strncmp(buf, "0::", 3) == 0 ? buf : strstr(buf, "\n0::");
	if (line == NULL)
		return false;
	line += *line == '\n' ? 4 : 3;
	if (strncmp(line, path, len) != 0)
		return false;
	after = line[len];
	return after == '\n' || after == '/' || after == ' ' || after == '\0';
}

/* ---- directories ------------------------------------------------------------------------- */

int
proc_each_name(int dirfd, bool (*fn)(void *ctx, const char *name), void *ctx)
{
	_Alignas(8) char buf[2048];
	long n;

	while ((n = syscall(SYS_getdents64, dirfd, buf, sizeof buf)) > 0) {
		for (long at = 0; at < n;) {
			const struct dirent_raw *d = (const void *)(buf + at);

			at += d->reclen;
			if (strcmp(d->name, ".") == 0 || strcmp(d->name, "..") == 0)
				continue;
			if (!fn(ctx, d->name))
				return 0;
		}
	}
	return n < 0 ? -errno : 0;
}

struct each_pid {
	bool (*fn)(void *ctx, pid_t pid);
	void *ctx;
};

static bool
each_pid_name(void *ctx, const char *name)
{
	struct each_pid *e = ctx;
	char *end;
	long pid = strtol(name, &end, 10);

	if (*end != '\0' || pid <= 0 || pid > INT_MAX)
		return true;
	return e->fn(e->ctx, (pid_t)pid);
}

int
proc_each(bool (*fn)(void *ctx, pid_t pid), void *ctx)
{
	struct each_pid e = {.fn = fn, .ctx = ctx};
	int r, fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	r = proc_each_name(fd, each_pid_name, &e);
	close(fd);
	return r;
}

/* ---- sets of pids, descendants ----------------------------------------------------------- */

static uint32_t
pidset_place(const struct pidset *set, pid_t pid)
{
	uint32_t at = ((uint32_t)pid * 2654435761u) % PIDSET_SLOTS;

	while (set->slot[at] != 0 && set->slot[at] != pid)
		at = (at + 1) % PIDSET_SLOTS;
	return at;
}

bool
pidset_has(const struct pidset *set, pid_t pid)
{
	return set->slot[pidset_place(set, pid)] == pid;
}

bool
pidset_add(struct pidset *set, pid_t pid)
{
	uint32_t at = pidset_place(set, pid);

	if (set->slot[at] == pid || set->count >= PIDSET_MAX)
		return false;
	set->slot[at] = pid;
	set->count++;
	return true;
}

struct descent {
	struct pidset *set;
	pid_t root;
	uint64_t root_start;
	bool again; /* pids have begun anew since root started, so children may have lower ones */
	bool grown;
};

static bool
descent_look(void *ctx, pid_t pid)
{
	struct descent *d = ctx;
	struct proc_stat st;

	if (pid == d->root || pidset_has(d->set, pid) || proc_stat(pid, &st) < 0)
		return true;
	if (pid < d->root && st.start > d->root_start)
		d->again = true;
	if (st.ppid == d->root || pidset_has(d->set, st.ppid))
		d->grown |= pidset_add(d->set, pid);
	return true;
}

struct children {
	struct pidset *set;
	pid_t pid;
	bool known; /* the kernel keeps such lists */
	bool grown;
};

static void
children_read(struct children *c, int fd)
{
	char buf[1024];
	ssize_t n;
	long pid = 0;

	while ((n = read(fd, buf, sizeof buf)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] >= '0' && buf[i] <= '9') {
				pid = pid * 10 + (buf[i] - '0');
			} else if (pid > 0) {
				c->grown |= pidset_add(c->set, (pid_t)pid);
				pid = 0;
			}
		}
	}
}

static bool
children_of_thread(void *ctx, const char *tid)
{
	struct children *c = ctx;
	char path[96];
	int fd;

	snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", (int)c->pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	c->known = true;
	children_read(c, fd);
	close(fd);
	return true;
}

static void
children_of(struct children *c, pid_t pid)
{
	char path[48];
	int fd;

	c->pid = pid;
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	proc_each_name(fd, children_of_thread, c);
	close(fd);
}

bool
proc_lists_children(void)
{
	return access("/proc/thread-self/children", F_OK) == 0;
}

void
proc_descendants(pid_t root, struct pidset *set)
{
	struct children c = {.set = set};
	struct descent d = {.set = set, .root = root};
	struct proc_stat st;

	children_of(&c, root);
	while (c.known && c.grown) {
		c.grown = false;
		for (uint32_t i = 0; i < PIDSET_SLOTS; i++)
			if (set->slot[i] != 0)
				children_of(&c, set->slot[i]);
	}
	if (c.known)
		return;
	if (proc_stat(root, &st) < 0)
		return;
	d.root_start = st.start;
	do { /* in the order of pids, so one look finds all unless they have wrapped */
		d.grown = false;
		proc_each(descent_look, &d);
	} while (d.again && d.grown && set->count < PIDSET_MAX);
}

/* ---- odds and ends ----------------------------------------------------------------------- */

void
proc_close_from(int low)
{
	if (syscall(SYS_close_range, low, ~0u, 0) == 0)
		return;
	for (int fd = low; fd < 4096; fd++) /* before Linux 5.9 */
		close(fd);
}

static int64_t
clock_ns(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) < 0)
		return 0;
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t
proc_boottime_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

int64_t
proc_wall_ms(void)
{
	return clock_ns(CLOCK_REALTIME) / 1000000;
}

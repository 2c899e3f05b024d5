/*
 * Between vfork and exec: session, cgroup, limits, directory, signal mask, and the search of PATH.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "leader.h"
#include "statfile.h"

#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"
#define NOFILE_SOFT  1024 /* what programs that use select() expect */

static const char *
env_path(char *const *env)
{
	for (; *env != NULL; env++)
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	return PATH_DEFAULT;
}

/* Errors after which another directory may still have the program. */
static bool
search_on(int error)
{
	return error == ENOENT || error == ENOTDIR || error == EACCES || error == ESTALE ||
	       error == ENODEV || error == ETIMEDOUT;
}

/* As execvp(), but a file that is no program is an error and never handed to a shell. */
static int
exec_search(const struct leader_spec *s)
{
	char file[PATH_MAX];
	const char *name = s->argv[0], *dir = env_path(s->env), *end;
	size_t name_len = strlen(name);
	bool denied = false;

	if (name_len == 0)
		return ENOENT;
	if (strchr(name, '/') != NULL) {
		execve(name, s->argv, s->env);
		return errno;
	}
	for (;; dir = end + 1) {
		size_t len;

		end = strchr(dir, ':');
		len = end != NULL ? (size_t)(end - dir) : strlen(dir);
		if (len + name_len + 2 <= sizeof file) {
			memcpy(file, dir, len);
			if (len > 0) /* an empty element is the current directory */
				file[len++] = '/';
			memcpy(file + len, name, name_len + 1);
			execve(file, s->argv, s->env);
			if (!search_on(errno))
				return errno;
			denied |= errno == EACCES;
		}
		if (end == NULL)
			return denied ? EACCES : ENOENT;
	}
}

static int
join_cgroup(const struct leader_spec *s)
{
	if (s->cgroup_procs < 0)
		return 0;
	return write(s->cgroup_procs, "0", 1) == 1 ? 0 : errno;
}

static int
reset_oom(void)
{
	int r = 0, fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	if (write(fd, "0", 1) != 1)
		r = errno;
	close(fd);
	return r;
}

static int
set_limits(const struct leader_spec *s)
{
	struct rlimit lim;
	int r;

	umask(s->umask);
	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return errno;
	lim.rlim_cur = lim.rlim_max < NOFILE_SOFT ? lim.rlim_max : NOFILE_SOFT;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
		return errno;
	if (s->reset_oom && (r = reset_oom()) != 0)
		return r;
	if (s->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return errno;
	return 0;
}

/* Runs in the memory of its parent, who waits. Dispositions are the default ones throughout. */
static void
leader_exec(const struct leader_spec *s, volatile struct leader_error *err)
{
	sigset_t none;

	err->stage = STAT_STAGE_FORK;
	if (setsid() < 0) {
		err->error = errno;
		return;
	}
	err->stage = STAT_STAGE_CGROUP;
	if ((err->error = join_cgroup(s)) != 0)
		return;
	err->stage = STAT_STAGE_LIMITS;
	if ((err->error = set_limits(s)) != 0)
		return;
	err->stage = STAT_STAGE_CHDIR;
	if (chdir(s->cwd) < 0) {
		err->error = errno;
		return;
	}
	/* From here on a signal may end us, before the exec or after: either way the command has
	   begun and was ended by that signal. So success is said first and taken back if need be. */
	err->stage = STAT_STAGE_NONE;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	err->error = exec_search(s);
	err->stage = STAT_STAGE_EXEC;
}

pid_t
leader_start(const struct leader_spec *spec, volatile struct leader_error *err)
{
	pid_t pid;

	err->stage = STAT_STAGE_NONE;
	err->error = 0;
	pid = vfork();
	if (pid == 0) {
		leader_exec(spec, err);
		_exit(127);
	}
	if (pid < 0) {
		err->stage = STAT_STAGE_FORK;
		err->error = errno;
	}
	return pid;
}

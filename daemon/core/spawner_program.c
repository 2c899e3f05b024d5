/*
 * Starts the program taskspawnd, with nothing of ours: no descriptors, no environment, no signals.
 */
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <unistd.h>

#include "spawner_private.h"
#include "util.h"

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
int
spawner_start_program(struct spawner *sp)
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

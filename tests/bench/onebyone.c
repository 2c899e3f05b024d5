/*
 * Runs a command again and again, one after the other, as a script does: how many a second, and
 * with a map, how long from starting the command to the task (see stamp.c) running.
 */
#include "bench.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static void
run_once(char **argv, const posix_spawn_file_actions_t *quiet)
{
	int status, error;
	pid_t pid;

	error = posix_spawnp(&pid, argv[0], quiet, NULL, argv, environ);
	if (error != 0)
		errx(1, "%s: %s", argv[0], strerror(error));
	if (waitpid(pid, &status, 0) != pid || status != 0)
		errx(1, "%s failed with wait status %d", argv[0], status);
}

int
main(int argc, char **argv)
{
	posix_spawn_file_actions_t quiet;
	struct bench_map *map = NULL;
	double *samples;
	int64_t begin, start;
	size_t n, i;

	if (argc < 4)
		errx(2, "usage: onebyone COUNT MAP|- COMMAND...");
	n = (size_t)atol(argv[1]);
	if (strcmp(argv[2], "-") != 0)
		map = map_open(argv[2]);
	samples = must(calloc(n, sizeof(*samples)));
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	begin = now_ns();
	for (i = 0; i < n; i++) {
		if (map != NULL)
			map->stamp = 0;
		start = now_ns();
		run_once(argv + 3, &quiet);
		if (map != NULL)
			samples[i] = (double)(map_wait(&map->stamp, "the task") - start) / 1e3;
	}
	printf("{\"rate\": %.1f", (double)n / ((double)(now_ns() - begin) / 1e9));
	if (map != NULL) {
		printf(", \"p50\": %.1f", quantile(samples, n, 0.5));
		printf(", \"p99\": %.1f", quantile(samples, n, 0.99));
	}
	printf("}\n");
	return 0;
}

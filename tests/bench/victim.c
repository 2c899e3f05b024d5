/*
 * A task that notes when its SIGTERM handler begins to run, and returns.
 */
#include "bench.h"

#include <signal.h>

static struct bench_map *map;

static void
on_term(int signo)
{
	(void)signo;
	map->stamp = now_ns();
	_exit(0);
}

int
main(int argc, char **argv)
{
	if (argc != 2)
		errx(2, "usage: victim MAP");
	map = map_open(argv[1]);
	signal(SIGTERM, on_term);
	map->ready = getpid();
	for (;;)
		pause();
}

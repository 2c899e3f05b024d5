/*
 * A task that notes when it began to run, and ends.
 */
#include "bench.h"

int
main(int argc, char **argv)
{
	int64_t now = now_ns();

	if (argc != 2)
		errx(2, "usage: stamp MAP");
	map_open(argv[1])->stamp = now;
	return 0;
}

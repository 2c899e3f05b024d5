/*
 * The limit of cancelling over a socket: a server of three lines. Reads a pid, kills, answers.
 */
#include "bench.h"

#include <signal.h>

int
main(int argc, char **argv)
{
	char line[64];
	int fd, conn;

	if (argc != 2)
		errx(2, "usage: killserver SOCKET");
	fd = unix_listen(argv[1]);
	for (;;) {
		ssize_t n;

		conn = accept(fd, NULL, NULL);
		while ((n = read(conn, line, sizeof(line) - 1)) > 0) {
			line[n] = '\0';
			if (atoi(line) <= 1)
				errx(1, "not a pid: %s", line);
			kill(atoi(line), SIGTERM);
			send_all(conn, "ok\n", 3);
		}
		close(conn);
	}
}

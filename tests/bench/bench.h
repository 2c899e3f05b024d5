/*
 * What the benchmark programs share. Each of them does one thing, prints one JSON object on one
 * line, and exits with 1 and a word on stderr where anything is not as it must be.
 */
#ifndef TASKCTL_BENCH_H
#define TASKCTL_BENCH_H

#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* A file that a measured process shares with the one that measures. */
struct bench_map {
	volatile int64_t ready; /* pid of the process, once it is ready */
	volatile int64_t stamp; /* CLOCK_MONOTONIC in ns, when what is waited for has happened */
};

static inline int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static inline struct bench_map *
map_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *p;

	if (fd < 0 || ftruncate(fd, sizeof(struct bench_map)) < 0)
		err(1, "%s", path);
	p = mmap(NULL, sizeof(struct bench_map), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		err(1, "mmap %s", path);
	close(fd);
	return p;
}

/* Waits up to 10 s for a value that another process sets. */
static inline int64_t
map_wait(const volatile int64_t *value, const char *what)
{
	const struct timespec pause = {0, 50000};
	int64_t end = now_ns() + INT64_C(10000000000);

	while (*value == 0) {
		if (now_ns() > end)
			errx(1, "%s did not happen within 10 s", what);
		nanosleep(&pause, NULL);
	}
	return *value;
}

static inline void
unix_address(const char *path, struct sockaddr_un *sa)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(sa->sun_path))
		errx(1, "the socket path is too long: %s", path);
	strcpy(sa->sun_path, path);
}

static inline int
unix_dial(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa;

	unix_address(path, &sa);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		err(1, "connect %s", path);
	return fd;
}

static inline int
unix_listen(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa;

	unix_address(path, &sa);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 128) < 0)
		err(1, "listen %s", path);
	return fd;
}

static inline void
send_all(int fd, const char *data, size_t len)
{
	ssize_t n;

	for (; len > 0; data += n, len -= (size_t)n) {
		n = write(fd, data, len);
		if (n < 0)
			err(1, "write");
	}
}

/* One line, without its end; for connections that have one reply under way. */
static inline char *
read_line(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;

	do {
		n = read(fd, buf + len, size - 1 - len);
		if (n <= 0)
			errx(1, "the server closed the connection");
		len += (size_t)n;
		if (len == size - 1)
			errx(1, "the reply is too long");
	} while (buf[len - 1] != '\n');
	buf[len - 1] = '\0';
	return buf;
}

static inline int
compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts the samples; q from 0 to 1. */
static inline double
quantile(double *samples, size_t n, double q)
{
	size_t i = (size_t)(q * (double)n);

	qsort(samples, n, sizeof(*samples), compare_double);
	return samples[i < n ? i : n - 1];
}

static inline void *
must(void *p)
{
	if (p == NULL)
		err(1, "memory");
	return p;
}

#endif

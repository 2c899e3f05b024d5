/*
 * From saying "cancel" to the handler running in the task: through the daemon, through a bare
 * kill server, through the client program and through /bin/kill.
 */
#include "bench.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

struct latency {
	const char *how;
	int fd;              /* connection to the server, -1 where there is none */
	char *client;        /* program to be executed for each cancel */
	char *victim, *path; /* program and the map it is given */
	struct bench_map *map;
	long id; /* task or pid */
};

static pid_t
spawn(char **argv)
{
	posix_spawn_file_actions_t quiet;
	pid_t pid;
	int error;

	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	error = posix_spawn(&pid, argv[0], &quiet, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&quiet);
	if (error != 0)
		errx(1, "%s: %s", argv[0], strerror(error));
	return pid;
}

static char *
ask(struct latency *l, const char *request)
{
	static char buf[65536];

	send_all(l->fd, request, strlen(request));
	read_line(l->fd, buf, sizeof(buf));
	return buf;
}

static void
ask_ok(struct latency *l, const char *request)
{
	char *reply = ask(l, request);

	if (strstr(reply, "\"ok\":true") == NULL)
		errx(1, "%s: %s", request, reply);
}

static bool
is_task(const struct latency *l)
{
	return strcmp(l->how, "daemon") == 0 || strcmp(l->how, "taskctl") == 0;
}

static void
start_victim(struct latency *l)
{
	const struct timespec settle = {0, 2000000};
	char request[1024], *argv[] = {l->victim, l->path, NULL}, *id;

	l->map->ready = l->map->stamp = 0;
	if (is_task(l)) {
		snprintf(request, sizeof(request), "{\"cmd\":\"start\",\"argv\":[\"%s\",\"%s\"]}\n",
		    l->victim, l->path);
		id = strstr(ask(l, request), "\"id\":");
		if (id == NULL)
			errx(1, "the task was not started");
		l->id = atol(id + 5);
	} else {
		l->id = spawn(argv);
	}
	map_wait(&l->map->ready, "the start of the victim");
	nanosleep(&settle, NULL);
}

static void
run_client(struct latency *l)
{
	char id[24], verb[] = "cancel";
	char *cancel[] = {l->client, verb, id, NULL}, *bare[] = {l->client, id, NULL};
	int status;

	snprintf(id, sizeof(id), "%ld", l->id);
	waitpid(spawn(is_task(l) ? cancel : bare), &status, 0);
	if (status != 0)
		errx(1, "%s failed", l->client);
}

static double
sample(struct latency *l)
{
	char request[128];
	int64_t begin;

	start_victim(l);
	if (is_task(l))
		snprintf(request, sizeof(request), "{\"cmd\":\"cancel\",\"id\":%ld}\n", l->id);
	else
		snprintf(request, sizeof(request), "%ld\n", l->id);
	begin = now_ns();
	if (l->client != NULL)
		run_client(l);
	else
		ask(l, request);
	map_wait(&l->map->stamp, "the handler");
	if (is_task(l)) {
		snprintf(request, sizeof(request), "{\"cmd\":\"wait\",\"id\":%ld}\n", l->id);
		ask_ok(l, request);
	} else {
		waitpid((pid_t)l->id, NULL, 0);
	}
	return (double)(l->map->stamp - begin) / 1e3;
}

int
main(int argc, char **argv)
{
	struct latency l = {.fd = -1};
	double *samples;
	size_t n, i;

	if (argc != 7)
		errx(2, "usage: latency daemon|kill|taskctl|binkill SOCKET|- CLIENT|- COUNT VICTIM "
			"MAP");
	l.how = argv[1];
	if (strcmp(argv[2], "-") != 0)
		l.fd = unix_dial(argv[2]);
	if (strcmp(argv[3], "-") != 0)
		l.client = argv[3];
	n = (size_t)atol(argv[4]);
	l.victim = argv[5];
	l.path = argv[6];
	l.map = map_open(l.path);
	samples = must(calloc(n, sizeof(*samples)));
	for (i = 0; i < n; i++)
		samples[i] = sample(&l);
	printf("{\"p50\": %.1f, ", quantile(samples, n, 0.5));
	printf("\"p99\": %.1f}\n", quantile(samples, n, 0.99));
	return 0;
}

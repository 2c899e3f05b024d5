/*
 * Options and configuration file: the file first, then what the command line says otherwise.
 */
#include "server_options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "server.h"
#include "util.h"

static const char usage[] =
    "usage: taskctld [-c FILE] [--listen HOST:PORT]... [--no-tcp] [--socket PATH]\n"
    "                [--state-dir DIR] [--runtime-dir DIR] [--log-level LEVEL]\n"
    "                [--spawner PATH|external] [--check] [--version] [--help]\n";

static const char help[] =
    "\n"
    "Runs long tasks and speaks JSON lines over TCP and a Unix socket. In the foreground;\n"
    "the log goes to stderr.\n"
    "\n"
    "  -c, --config FILE    the configuration file\n"
    "  --listen HOST:PORT   a TCP address on loopback, instead of 127.0.0.1:8275 and [::1]:8275;\n"
    "                       may be repeated; port 0 takes a free one\n"
    "  --no-tcp             no TCP at all\n"
    "  --socket PATH        the Unix socket\n"
    "  --state-dir DIR      the database and the output of tasks\n"
    "  --runtime-dir DIR    what lives until the next boot\n"
    "  --log-level LEVEL    error, warn, info or debug\n"
    "  --spawner PATH       the taskspawnd to start; \"external\": it is a service of its own\n"
    "  --check              read the configuration, report every mistake, exit with 0 or 78\n"
    "  --version, --help\n"
    "\n"
    "SIGTERM and SIGINT cancel all tasks and exit when they have ended; a second one kills what\n"
    "is left, a third exits at once. SIGUSR1 exits and leaves the tasks running for the next\n"
    "taskctld. SIGHUP reads the configuration again.\n";

enum {
	OPT_LISTEN = 256,
	OPT_NO_TCP,
	OPT_SOCKET,
	OPT_STATE,
	OPT_RUNTIME,
	OPT_LEVEL,
	OPT_SPAWNER,
	OPT_CHECK,
	OPT_VERSION,
	OPT_HELP
};

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"no-tcp", no_argument, NULL, OPT_NO_TCP},
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"state-dir", required_argument, NULL, OPT_STATE},
    {"runtime-dir", required_argument, NULL, OPT_RUNTIME},
    {"log-level", required_argument, NULL, OPT_LEVEL},
    {"spawner", required_argument, NULL, OPT_SPAWNER},
    {"check", no_argument, NULL, OPT_CHECK},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

/* The configuration key of an option that sets one. */
static const struct {
	int option;
	const char *key;
	bool is_path;
} keys[] = {
    {OPT_LISTEN, "listen", false},
    {OPT_SOCKET, "socket", true},
    {OPT_STATE, "state_dir", true},
    {OPT_RUNTIME, "runtime_dir", true},
    {OPT_LEVEL, "log_level", false},
    {OPT_SPAWNER, "spawnd", true},
};

static void
report(void *ctx, const char *file, unsigned line, const char *text)
{
	(void)ctx;
	if (line > 0)
		fprintf(stderr, "taskctld: %s:%u: %s\n", file, line, text);
	else
		fprintf(stderr, "taskctld: %s\n", text);
}

static char *
absolute(const char *path)
{
	char cwd[PATH_MAX];

	if (path[0] == '/' || getcwd(cwd, sizeof(cwd)) == NULL)
		return xstrdup(path);
	return xasprintf("%s/%s", cwd, path);
}

/* 0 or SERVER_USAGE. */
static int
set(struct config *c, const char *key, bool is_path, const char *value)
{
	bool external = strcmp(value, "external") == 0;
	char *text = is_path && !external ? absolute(value) : xstrdup(value), *why = NULL;
	int r = config_set(c, key, text, &why);

	if (r < 0)
		fprintf(stderr, "taskctld: %s\n", why);
	free(text);
	free(why);
	return r < 0 ? SERVER_USAGE : 0;
}

static int
apply_option(struct config *c, int option, const char *value, bool *listens)
{
	if (option == OPT_NO_TCP) {
		c->no_tcp = true;
		return 0;
	}
	if (option == OPT_LISTEN && !*listens) {
		config_list_clear(&c->listen); /* options replace what the file says */
		*listens = true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].option == option)
			return set(c, keys[i].key, keys[i].is_path, value);
	return 0;
}

/* First pass: what decides before the file is read. */
static int
scan(struct server_options *o, int argc, char **argv)
{
	int option;

	optind = 1;
	while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			free(o->file);
			o->file = absolute(optarg);
			o->file_given = true;
			break;
		case OPT_CHECK: o->check_only = true; break;
		case OPT_VERSION: printf("taskctld %s\n", TASKCTL_VERSION); return -1;
		case OPT_HELP: printf("%s%s", usage, help); return -1;
		case '?': fputs(usage, stderr); return SERVER_USAGE;
		default: break;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "taskctld: %s: no such argument\n%s", argv[optind], usage);
		return SERVER_USAGE;
	}
	return 0;
}

static int
load(struct config *c, const struct server_options *o)
{
	int r = config_load(c, o->file, report, NULL);

	if (r == -ENOENT && !o->file_given)
		return 0;
	if (r < 0 && r != -EINVAL)
		fprintf(stderr, "taskctld: %s: %s\n", o->file, strerror(-r));
	return r < 0 ? SERVER_CONFIG : 0;
}

/* File, then options, into c. */
static int
build(const struct server_options *o, int argc, char **argv, struct config *c, bool *default_tcp)
{
	bool listens = false;
	int option, r = load(c, o), e;

	optind = 1;
	while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1)
		if ((e = apply_option(c, option, optarg, &listens)) != 0)
			return e;
	*default_tcp = c->listen.n == 0;
	if (config_finish(c, report, NULL) < 0)
		r = SERVER_CONFIG;
	return r;
}

int
server_options_read(struct server_options *o, int argc, char **argv)
{
	int r;

	memset(o, 0, sizeof(*o));
	o->file = config_default_path();
	if ((r = scan(o, argc, argv)) != 0)
		return r;
	config_init(&o->config);
	r = build(o, argc, argv, &o->config, &o->default_tcp);
	if (r == 0 && o->check_only) {
		printf("taskctld: the configuration is good.\n");
		return -1;
	}
	return r;
}

int
server_options_reread(const struct server_options *o, int argc, char **argv, struct config *ret)
{
	bool default_tcp;

	config_init(ret);
	return build(o, argc, argv, ret, &default_tcp);
}

void
server_options_release(struct server_options *o)
{
	config_release(&o->config);
	free(o->file);
}

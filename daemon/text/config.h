/*
 * The daemon's configuration: defaults, then a file, then options, all through one table of keys.
 *
 * The file has lines `key = value`, `#` comments, and optional [daemon], [defaults] and [limits]
 * sections; a key is called as its field below. Paths are absolute. All mistakes are reported, each with its line, not only the first. The order is
 * config_init, config_load, config_set for each option, config_finish.
 */
#ifndef TASKCTL_CONFIG_H
#define TASKCTL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "log.h"

#define CONFIG_LISTEN_MAX 16
#define CONFIG_ENV_MAX    64
#define CONFIG_PORT       8275

enum config_containment { CONFIG_CONTAIN_AUTO, CONFIG_CONTAIN_SUBREAPER };

struct config_limits {
	int64_t line_max; /* bytes of a request line of a known caller */
	int64_t connections;
	int64_t connections_per_uid;
	int64_t unanswered;   /* requests of a connection that wait for their reply */
	int64_t output_high;  /* bytes waiting to be sent: no more requests are read */
	int64_t output_close; /* ... the connection is given up */
	int64_t tasks_running;
	int64_t tasks_stored;
	int64_t output_limit; /* bytes of output kept for a task */
	int64_t events_kept;
};

struct config_list {
	char *item[CONFIG_ENV_MAX]; /* owned */
	size_t n;
};

struct config {
	/* owned; NULL where nothing was said until config_finish() */
	struct config_list listen;   /* "HOST:PORT", "[V6]:PORT"; at most CONFIG_LISTEN_MAX */
	struct config_list env_keep; /* names of variables that tasks get from the daemon */
	char *socket, *state_dir, *runtime_dir, *cwd;
	char *spawnd;         /* path of taskspawnd; NULL: beside taskctld */
	bool spawnd_external; /* it is a service of its own: connect, do not start it */
	bool no_tcp;
	bool runtime_private; /* runtime_dir is the makeshift one: create it, say it */
	enum log_level log_level;
	enum config_containment containment;
	mode_t umask;
	/* nanoseconds; CLOCK_NONE is "none" */
	int64_t grace, hook_timeout, shield_max, shutdown_timeout;
	struct config_limits limits;
};

/* Called for each mistake; line is 0 where it belongs to none. */
typedef void config_report(void *ctx, const char *file, unsigned line, const char *text);

/* The defaults for the caller: those of the system for root, else those of XDG for the user. */
void config_init(struct config *c);
void config_release(struct config *c);

/* Where the file is if no option says: the caller's to free. */
char *config_default_path(void);

/*
 * Reads the file into c. 0; -EINVAL if there were mistakes (all reported; c holds what was
 * right); another -errno if it could not be read (-ENOENT: it is not there; not reported).
 */
int config_load(struct config *c, const char *path, config_report *report, void *ctx);

/*
 * Sets one key as a line of the file would. 0, or -EINVAL with *why the sentence (the caller's to
 * free). Lists grow: config_list_clear() first where an option replaces what the file said.
 */
int config_set(struct config *c, const char *key, const char *value, char **why);
void config_list_clear(struct config_list *l);

/*
 * Fills in what follows from the rest (the socket's path, the listeners) and checks what hangs
 * together. 0 or -EINVAL, each mistake reported with line 0.
 */
int config_finish(struct config *c, config_report *report, void *ctx);

#endif

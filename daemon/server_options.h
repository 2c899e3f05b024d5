/*
 * The command line of taskctld, and the configuration that it and the file make together.
 */
#ifndef TASKCTL_SERVER_OPTIONS_H
#define TASKCTL_SERVER_OPTIONS_H

#include <stdbool.h>

#include "config.h"

struct server_options {
	struct config config; /* owned */
	char *file;           /* owned: the configuration file */
	bool file_given;      /* then it must be there */
	bool default_tcp;     /* the listeners are not of the user's choosing */
	bool check_only;
};

/*
 * Reads argv and the file. 0: go on; -1: all is said and done, exit with 0; else the exit code,
 * with the reason on stderr.
 */
int server_options_read(struct server_options *o, int argc, char **argv);
void server_options_release(struct server_options *o);

/* Reads the file again into a new configuration with the same options. As above. */
int server_options_reread(
    const struct server_options *o, int argc, char **argv, struct config *ret);

#endif

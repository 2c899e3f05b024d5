/*
 * The daemon as a whole: what it is made of, its loop, its end.
 */
#ifndef TASKCTL_SERVER_H
#define TASKCTL_SERVER_H

/* Exit codes, beside 0. */
enum server_exit {
	SERVER_FAILED = 1,       /* a failure at run time */
	SERVER_USAGE = 2,        /* the command line is wrong */
	SERVER_BUSY = 75,        /* another daemon has this state directory */
	SERVER_NOT_ALLOWED = 77, /* a directory or socket may not be used */
	SERVER_CONFIG = 78,      /* the configuration is refused */
};

/* Runs taskctld until it is told to stop; its exit code. */
int server_main(int argc, char **argv);

#endif

/*
 * The directories of the daemon: made where they are missing, checked, locked.
 */
#ifndef TASKCTL_SERVER_DIRS_H
#define TASKCTL_SERVER_DIRS_H

#include "config.h"

/*
 * Makes and checks the state and runtime directories and locks the former for this process.
 * *lock_fd is to be kept open. 0, or the exit code with the reason in the log.
 */
int server_dirs_prepare(const struct config *c, int *lock_fd);

#endif

/*
 * Connecting again: the death of the daemon ends no task and no wait; the client asks again.
 */
#ifndef TASKCTL_AGAIN_H
#define TASKCTL_AGAIN_H

struct call;
struct link;

/*
 * Closes the link and tries to open it again, as long as a daemon may take to restart (30 s), or
 * until `stop_fd` (-1: none) is readable. 0, or -1 if there is still no daemon.
 */
int again_connect(const struct call *call, struct link *l, int stop_fd);

#endif

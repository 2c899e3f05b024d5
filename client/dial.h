/*
 * Where the daemon is, and connecting to it: a Unix socket or TCP.
 */
#ifndef TASKCTL_DIAL_H
#define TASKCTL_DIAL_H

#include <stdbool.h>

struct strbuf;

/*
 * Connects. `host` is what -H said ("unix:PATH", "/PATH", "HOST:PORT", "[::1]:PORT", "HOST") or
 * NULL: then TASKCTL_HOST, TASKCTL_SOCKET (inside a task), the user's socket and the system's are
 * tried; the last two in this order, the others alone. Returns a descriptor, or -1 and in *why full
 * sentences that say what to do.
 */
int dial_open(const char *host, struct strbuf *why);

/* Is the daemon on this machine, as far as the address says? (Then our directory is its, too.) */
bool dial_is_local(const char *host);

#endif

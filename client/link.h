/*
 * A connection to the daemon as lines: requests out, replies and events in. Blocking; the caller
 * who has other things to wait for polls link.fd and uses link_fill() and link_next().
 */
#ifndef TASKCTL_LINK_H
#define TASKCTL_LINK_H

#include <stddef.h>

#include "util.h"

#define LINK_LINE_MAX (256u * 1024 * 1024) /* a longer reply is not believed */

/*
 * Requests in flight at most: below the daemon's limit, and few enough that their replies fit into
 * the socket's buffers while we still write.
 */
#define LINK_WINDOW 32

struct link {
	int fd;           /* owned; -1 is closed */
	struct strbuf in; /* what came and was not taken yet, from `start` */
	size_t start, scanned;
};

void link_init(struct link *l, int fd); /* takes the descriptor */
void link_release(struct link *l);

/* Sends it all. 0 or -errno. */
int link_send(struct link *l, const char *data, size_t len);

/* Takes one read's worth. 1, 0 at the end of input, or -errno. */
int link_fill(struct link *l);

/*
 * The next complete line that is here already, without its line end, NUL-terminated: 1, or 0 if
 * there is none. It is valid until the next call of link_fill() or link_read().
 */
int link_next(struct link *l, char **line, size_t *len);

/* As link_next(), but waits for it: 1, 0 at the end of input, or -errno. */
int link_read(struct link *l, char **line, size_t *len);

#endif

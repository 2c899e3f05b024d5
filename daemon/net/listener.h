/*
 * Listening sockets: a Unix socket, TCP on loopback, or what a service manager has opened.
 */
#ifndef TASKCTL_LISTENER_H
#define TASKCTL_LISTENER_H

struct event_base;
struct listeners;
struct strbuf;

/* fd is the callee's; it is non-blocking and close-on-exec. */
typedef void accept_cb(void *ctx, int fd);
/* Accepting failed for want of descriptors or memory; it goes on in a second. */
typedef void accept_error_cb(void *ctx, int error);

struct listeners *listeners_new(
    struct event_base *base, accept_cb *accepted, accept_error_cb *failed, void *ctx);
void listeners_free(struct listeners *ls); /* closes; removes the Unix socket that it made */

/*
 * "HOST:PORT" or "[V6]:PORT", loopback only; port 0 takes a free one. 0; -EACCES: it is not
 * loopback; -EINVAL: it cannot be understood; another -errno of bind.
 */
int listeners_add_tcp(struct listeners *ls, const char *address);
/* A Unix socket for the own user (mode 0600). -EADDRINUSE: somebody answers there. */
int listeners_add_unix(struct listeners *ls, const char *path);
int listeners_add_fd_take(struct listeners *ls, int fd); /* opened by the service manager */

void listeners_stop(struct listeners *ls); /* accept no more */
/* Where it listens, into an empty buffer: "127.0.0.1:8275, unix:/run/…". */
void listeners_describe(const struct listeners *ls, struct strbuf *out);

#endif

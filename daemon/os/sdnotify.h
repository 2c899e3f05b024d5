/*
 * The service manager's sockets, both ends: telling systemd how we are (sd_notify(3), without its
 * library), taking the sockets that it opened for us, and receiving what our tasks say.
 */
#ifndef TASKCTL_SDNOTIFY_H
#define TASKCTL_SDNOTIFY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SDNOTIFY_FDS_MAX 32

/*
 * Sends "READY=1\nSTATUS=..." to $NOTIFY_SOCKET. 0 if sent, -ENOENT if nobody asked for it,
 * another -errno if it could not be sent.
 */
int sdnotify_send(const char *text);

/* $WATCHDOG_USEC if it is meant for this process, else 0. */
uint64_t sdnotify_watchdog_usec(void);

/*
 * Descriptors passed by socket activation ($LISTEN_FDS, if $LISTEN_PID is us), made close-on-exec;
 * the variables are unset. Returns how many, 0 if none, -E2BIG if there are more than fit (then
 * none are taken). The caller's to close.
 */
int sdnotify_listen_fds(int fds[SDNOTIFY_FDS_MAX]);

/*
 * Takes one datagram off fd without blocking. Returns its length (what does not fit is cut off),
 * or -EAGAIN if there is none, or another -errno. *barrier_fd is the descriptor that came along
 * (the caller's to close) or -1; any more are closed. *pid is the sender's, 0 if unknown: that
 * needs SO_PASSCRED on fd.
 */
ssize_t notify_recv(int fd, void *buf, size_t size, int *barrier_fd, pid_t *pid);

#endif

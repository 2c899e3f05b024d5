/*
 * Who is at the other end of a connection, from the kernel.
 */
#ifndef TASKCTL_PEER_H
#define TASKCTL_PEER_H

#include <stdbool.h>
#include <sys/types.h>

/* Of a Unix socket, as it was when it connected (SO_PEERCRED). 0 or -errno. */
int peer_unix(int fd, uid_t *uid, pid_t *pid);

/* A netlink socket for peer_tcp(), or -errno. The caller's to close. */
int peer_diag_open(void);

/*
 * The uid that owns the other end of fd, a TCP connection over loopback (IPv4, IPv6, or IPv4 in
 * IPv6). Asked of the kernel's socket table, exactly: all four addresses match, the socket still
 * has an inode, and its state is one of a living connection. 0; -ENOENT if nobody is there for
 * certain or it is not loopback; another -errno if the kernel could not be asked. *uid is only
 * set on 0.
 */
int peer_tcp(int diag_fd, int fd, uid_t *uid);

/*
 * Can peer_tcp() be trusted here? A connection of our own must give our uid, one whose peer has
 * gone must give none, and we must not be in a user namespace that maps only some uids (there,
 * strangers would all look alike). Takes well under 10 ms.
 */
bool peer_diag_selftest(int diag_fd);

#endif

/*
 * Who is let in: the daemon's own user, over the Unix socket or over TCP on loopback.
 */
#ifndef TASKCTL_AUTH_H
#define TASKCTL_AUTH_H

#include <stdbool.h>

#include "conn.h"

struct auth;

/* Looks whether the owner of a TCP peer can be known here; if not, TCP callers stay strangers. */
struct auth *auth_new(void);
void auth_free(struct auth *a);
bool auth_knows_tcp(const struct auth *a);

/* Who is at the other end of a connection that was just accepted. */
void auth_identify(const struct auth *a, int fd, struct caller *ret);

/* True if nobody holds the other end any more (a half-closed one is held). */
bool auth_peer_gone(void *auth, int fd);

#endif

/*
 * Messages between taskctld, taskspawnd and the monitors: one record of a SOCK_SEQPACKET socket
 * each, a fixed head and a payload, with descriptors beside it. Both ends are on one machine and
 * of one version or refuse each other. libc only.
 */
#ifndef TASKCTL_SPAWNWIRE_H
#define TASKCTL_SPAWNWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WIRE_MAGIC       0x74736b77u
#define WIRE_VERSION     1
#define WIRE_INLINE_MAX  32768             /* a longer payload goes in a sealed memfd */
#define WIRE_PAYLOAD_MAX (4 * 1024 * 1024) /* of any kind */
#define WIRE_FDS_MAX     4
#define WIRE_SOCKET      "spawnd.sock"   /* names in the runtime directory */
#define WIRE_GREETINGS   "monitors.sock" /* where monitors show their notify sockets */
#define WIRE_STATUS      "status"
#define WIRE_WAKE        "wake"
#define WIRE_TASKS       "tasks"

enum wire_type {
	/* taskctld to taskspawnd */
	WIRE_HELLO = 1,
	WIRE_SPAWN,   /* arg: umask, no_new_privs, bits of the descriptors that come along (1, 2,
			 4: stdin, stdout, stderr); count: argc, envc; payload: cwd, title,
			 argv…, env…, each ended by NUL */
	WIRE_DELIVER, /* arg: signal, to the tree, bits of what is given (1, 2: json, text); count:
			 bytes of json, of text; payload: both */
	WIRE_SIGNAL,  /* arg: signal */
	WIRE_KILL,
	WIRE_FREEZE, /* arg: freeze or thaw */
	WIRE_FORGET,
	/* taskspawnd to taskctld */
	WIRE_WELCOME, /* arg: containment by cgroups; descriptors: status file, wake-up FIFO */
	WIRE_NOTIFY,  /* slot; arg: known from before this connection; descriptor: the notify
			 socket, or none if the run has no keeper any more */
	WIRE_REFUSED, /* arg: stage, errno */
	/* monitor to taskspawnd */
	WIRE_GREETING, /* slot; descriptor: the notify socket */
};

struct wire_msg {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t size; /* of the payload */
	uint32_t in_memfd;
	uint64_t task;
	uint32_t run;
	uint32_t slot;
	int32_t arg[4];
	uint32_t count[2];
};

struct wire_in {
	struct wire_msg msg;
	const char *payload; /* valid until wire_in_release(); msg.size bytes */
	int fds[WIRE_FDS_MAX];
	int nfds;
	bool lost_fds; /* some did not fit into our table */
	void *mapped;
};

/*
 * Sends one message; fills in magic, version and size itself. -EAGAIN: the socket is full, nothing
 * was sent. The descriptors stay the caller's.
 */
int wire_send(
    int sock, struct wire_msg *msg, const void *payload, size_t size, const int *fds, int nfds);
/* A sealed memfd with that content, or -errno. */
int wire_memfd(const void *payload, size_t size);

/*
 * Receives one message into `in`; buf must hold WIRE_INLINE_MAX bytes. 1: there is one; 0: end of file;
 * -EAGAIN: none now; -EPROTO: not one of ours; -EMFILE: descriptors were lost, the rest of the message
 * is there (as after 1).
 */
int wire_recv(int sock, struct wire_in *in, char *buf);
/* Takes the descriptor at that place out of the message, so that it is not closed; -1: none. */
int wire_take_fd(struct wire_in *in, int at);
void wire_in_release(struct wire_in *in);

/* Fills in an address; -ENAMETOOLONG where the path does not fit. */
struct sockaddr_un;
int wire_address(struct sockaddr_un *ret, const char *dir, const char *name);

/* Writes all of it to a file; 0 or -errno. */
int wire_write_all(int fd, const char *data, size_t size);

#endif

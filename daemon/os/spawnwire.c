/*
 * One message in, one message out; what does not fit into a record travels in a memfd.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "spawnwire.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Room for the descriptors of one message, aligned as the kernel wants it. */
union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
};

int
wire_write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

int
wire_memfd(const void *payload, size_t size)
{
	int r, fd = memfd_create("taskctl", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	r = wire_write_all(fd, payload, size);
	if (r == 0 && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

static void
attach_fds(struct msghdr *mh, union control *control, const int *fds, int nfds)
{
	struct cmsghdr *cm;

	if (nfds == 0)
		return;
	memset(control, 0, sizeof *control);
	mh->msg_control = control->buf;
	mh->msg_controllen = CMSG_SPACE((size_t)nfds * sizeof(int));
	cm = CMSG_FIRSTHDR(mh);
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN((size_t)nfds * sizeof(int));
	memcpy(CMSG_DATA(cm), fds, (size_t)nfds * sizeof(int));
}

static int
send_record(int sock, const struct wire_msg *msg, const void *payload, size_t size, const int *fds,
    int nfds)
{
	struct iovec iov[2] = {
	    {.iov_base = (void *)(uintptr_t)msg, .iov_len = sizeof *msg},
	    {.iov_base = (void *)(uintptr_t)payload, .iov_len = size},
	};
	struct msghdr mh = {0};
	union control control;
	ssize_t n;

	mh.msg_iov = iov;
	mh.msg_iovlen = size > 0 ? 2 : 1;
	attach_fds(&mh, &control, fds, nfds);
	do
		n = sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	/* Too many descriptors under way, or no buffer: passes as the other end reads on. */
	return errno == ETOOMANYREFS || errno == ENOBUFS ? -EAGAIN : -errno;
}

int
wire_send(
    int sock, struct wire_msg *msg, const void *payload, size_t size, const int *fds, int nfds)
{
	int all[WIRE_FDS_MAX + 1], r;

	if (size > WIRE_PAYLOAD_MAX || nfds > WIRE_FDS_MAX - 1)
		return -E2BIG;
	msg->magic = WIRE_MAGIC;
	msg->version = WIRE_VERSION;
	msg->size = (uint32_t)size;
	msg->in_memfd = size > WIRE_INLINE_MAX;
	if (!msg->in_memfd)
		return send_record(sock, msg, payload, size, fds, nfds);
	if ((all[0] = wire_memfd(payload, size)) < 0)
		return all[0];
	if (nfds > 0)
		memcpy(all + 1, fds, (size_t)nfds * sizeof(int));
	r = send_record(sock, msg, NULL, 0, all, nfds + 1);
	close(all[0]);
	return r;
}

static void
collect_fds(struct msghdr *mh, struct wire_in *in)
{
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm != NULL; cm = CMSG_NXTHDR(mh, cm)) {
		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		in->nfds = (int)((cm->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(in->fds, CMSG_DATA(cm), (size_t)in->nfds * sizeof(int));
	}
}

/* The first descriptor is the payload. Sealed, or a sender could make us fault on it. */
static int
map_payload(struct wire_in *in)
{
	struct stat st;
	int seals;

	if (in->nfds < 1 || in->msg.size > WIRE_PAYLOAD_MAX)
		return -EPROTO;
	seals = fcntl(in->fds[0], F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(in->fds[0], &st) < 0 ||
	    st.st_size != (off_t)in->msg.size)
		return -EPROTO;
	in->mapped = mmap(NULL, in->msg.size, PROT_READ, MAP_PRIVATE, in->fds[0], 0);
	if (in->mapped == MAP_FAILED) {
		in->mapped = NULL;
		return -ENOMEM;
	}
	in->payload = in->mapped;
	close(in->fds[0]);
	in->nfds--;
	memmove(in->fds, in->fds + 1, (size_t)in->nfds * sizeof(int));
	return 0;
}

static int
check_message(struct wire_in *in, size_t got, bool fds_lost)
{
	const struct wire_msg *m = &in->msg;

	if (got < sizeof *m || m->magic != WIRE_MAGIC || m->version != WIRE_VERSION)
		return -EPROTO;
	if (!m->in_memfd)
		return got != sizeof *m + m->size ? -EPROTO : fds_lost ? -EMFILE : 1;
	if (fds_lost) { /* there is no payload to look at */
		in->msg.size = 0;
		return -EMFILE;
	}
	return map_payload(in) < 0 ? -EPROTO : 1;
}

int
wire_recv(int sock, struct wire_in *in, char *buf)
{
	struct iovec iov[2] = {
	    {.iov_base = &in->msg, .iov_len = sizeof in->msg},
	    {.iov_base = buf, .iov_len = WIRE_INLINE_MAX},
	};
	struct msghdr mh = {0};
	union control control;
	ssize_t n;
	int r;

	memset(in, 0, sizeof *in);
	in->payload = buf;
	mh.msg_iov = iov;
	mh.msg_iovlen = 2;
	mh.msg_control = control.buf;
	mh.msg_controllen = sizeof control.buf;
	do /* a peer that died with messages of ours unread is told once, before its last words */
		n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	if (n == 0)
		return 0;
	collect_fds(&mh, in);
	if (mh.msg_flags & MSG_TRUNC)
		n = 0;
	in->lost_fds = (mh.msg_flags & MSG_CTRUNC) != 0;
	r = check_message(in, (size_t)n, in->lost_fds);
	if (r == -EPROTO)
		wire_in_release(in);
	return r;
}

int
wire_take_fd(struct wire_in *in, int at)
{
	int fd;

	if (at < 0 || at >= in->nfds)
		return -1;
	fd = in->fds[at];
	in->fds[at] = -1;
	return fd;
}

void
wire_in_release(struct wire_in *in)
{
	for (int i = 0; i < in->nfds; i++)
		if (in->fds[i] >= 0)
			close(in->fds[i]);
	in->nfds = 0;
	if (in->mapped != NULL)
		munmap(in->mapped, in->msg.size);
	in->mapped = NULL;
}

int
wire_address(struct sockaddr_un *ret, const char *dir, const char *name)
{
	memset(ret, 0, sizeof *ret);
	ret->sun_family = AF_UNIX;
	if (snprintf(ret->sun_path, sizeof ret->sun_path, "%s/%s", dir, name) >=
	    (int)sizeof ret->sun_path)
		return -ENAMETOOLONG;
	return 0;
}

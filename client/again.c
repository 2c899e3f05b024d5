/* Connecting again; see again.h. */
#include <poll.h>

#include "again.h"
#include "client.h"
#include "clock.h"
#include "dial.h"

#define LIMIT_NS (30 * NS_PER_SEC)
#define EVERY_MS 100 /* nothing tells when a daemon is back, so we have to look */

int
again_connect(const struct call *call, struct link *l, int stop_fd)
{
	int64_t until = clock_boot_ns() + LIMIT_NS;
	struct pollfd p = {.fd = stop_fd, .events = POLLIN};

	link_release(l);
	do {
		struct strbuf why = STRBUF_INIT;
		int fd = dial_open(call->host, &why);

		strbuf_release(&why);
		if (fd >= 0) {
			link_init(l, fd);
			return 0;
		}
	} while (poll(&p, 1, EVERY_MS) == 0 && clock_boot_ns() < until);
	return -1;
}

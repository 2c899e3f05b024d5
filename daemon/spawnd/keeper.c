/*
 * What the monitor and the undertaker have in common: the hold on the slot, the wake-up, a name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "monitor.h"

bool
keeper_take_slot(const struct keeper *k)
{
	struct proc_stat st;
	uint64_t before = k->before;

	if (proc_stat(getpid(), &st) < 0)
		return false;
	return atomic_compare_exchange_strong(
	    &k->slot->keeper, &before, stat_keeper(getpid(), st.start));
}

int
keeper_keep_only(int fd)
{
	int low = STDERR_FILENO + 1;

	if (fd != low && dup3(fd, low, O_CLOEXEC) < 0)
		return fd;
	proc_close_from(low + 1);
	return low;
}

bool
keeper_wake(const struct keeper *k)
{
	ssize_t n;

	do
		n = write(k->wake_fd, &k->slot_no, sizeof k->slot_no);
	while (n < 0 && errno == EINTR);
	return n >= 0;
}

void
keeper_publish(const struct keeper *k, const struct stat_record *rec)
{
	stat_write(k->slot, rec);
	if (keeper_wake(k))
		return;
	/* The reader looks at the counter when it has emptied the FIFO. It may have done both just
	   before we counted: then there is room again, and it has to be woken. */
	atomic_fetch_add(&k->header->overflow, 1);
	keeper_wake(k);
}

void
keeper_title(const struct keeper *k, const char *text)
{
	char name[16];
	size_t len = strlen(text);

	snprintf(name, sizeof name, "%.15s", text);
	prctl(PR_SET_NAME, name, 0, 0, 0);
	if (k->title == NULL || k->title_len < 2)
		return;
	if (len > k->title_len - 1)
		len = k->title_len - 1;
	memset(k->title, 0, k->title_len);
	for (size_t i = 0; i < len; i++) /* a task's name may hold anything */
		k->title[i] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
}

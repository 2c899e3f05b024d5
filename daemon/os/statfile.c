/*
 * Opens, checks and maps the status file, and copies records in and out of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "statfile.h"

#define HEADER_SIZE 4096
#define FILE_SIZE   (HEADER_SIZE + (size_t)STATFILE_SLOTS * sizeof(struct stat_slot))
#define CHUNK       32 /* slots that are reserved at once */

_Static_assert(sizeof(struct stat_slot) == 2048, "the slot is part of the file's format");
_Static_assert(sizeof(struct stat_record) % 8 == 0, "records are copied by words");
_Static_assert(sizeof(struct stat_header) <= HEADER_SIZE, "the header has a page");

static int
map_file(struct statfile *sf, int fd, int prot)
{
	void *at = mmap(NULL, FILE_SIZE, prot, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	sf->header = at;
	sf->slots = (struct stat_slot *)((char *)at + HEADER_SIZE);
	return 0;
}

/* The header of a file that may be anything. */
static bool
header_ok(int fd, const char *boot_id)
{
	struct stat_header h;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (size_t)st.st_size != FILE_SIZE)
		return false;
	if (pread(fd, &h, sizeof h, 0) != (ssize_t)sizeof h)
		return false;
	return h.magic == STATFILE_MAGIC && h.version == STATFILE_VERSION &&
	       h.slot_size == sizeof(struct stat_slot) && h.slots == STATFILE_SLOTS &&
	       h.high <= STATFILE_SLOTS &&
	       (boot_id == NULL || strncmp(h.boot_id, boot_id, sizeof h.boot_id) == 0);
}

static int
write_new(int fd, const char *boot_id)
{
	struct stat_header h = {.magic = STATFILE_MAGIC,
	    .version = STATFILE_VERSION,
	    .slot_size = sizeof(struct stat_slot),
	    .slots = STATFILE_SLOTS};
	char page[HEADER_SIZE] = {0};
	ssize_t n;

	snprintf(h.boot_id, sizeof h.boot_id, "%s", boot_id);
	memcpy(page, &h, sizeof h);
	n = pwrite(fd, page, sizeof page, 0);
	if (n < 0)
		return -errno;
	if (n != (ssize_t)sizeof page)
		return -ENOSPC;
	return ftruncate(fd, (off_t)FILE_SIZE) < 0 ? -errno : 0;
}

/* Under another name first: a file that is there under its own is always whole. */
static int
create_file(const char *path, const char *boot_id)
{
	char tmp[4096];
	int r, fd;

	if (snprintf(tmp, sizeof tmp, "%s.new", path) >= (int)sizeof tmp)
		return -ENAMETOOLONG;
	fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = write_new(fd, boot_id);
	if (r == 0 && rename(tmp, path) < 0)
		r = -errno;
	if (r < 0) {
		unlink(tmp);
		close(fd);
		return r;
	}
	return fd;
}

int
statfile_open(struct statfile *sf, const char *path, bool *kept)
{
	char boot_id[PROC_BOOT_ID_LEN];
	int r, fd;

	if ((r = proc_boot_id(boot_id)) < 0)
		return r;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	*kept = fd >= 0 && header_ok(fd, boot_id);
	if (!*kept) {
		if (fd >= 0)
			close(fd);
		if ((fd = create_file(path, boot_id)) < 0)
			return fd;
	}
	if ((r = map_file(sf, fd, PROT_READ | PROT_WRITE)) < 0) {
		close(fd);
		return r;
	}
	sf->fd = fd;
	return 0;
}

int
statfile_map(struct statfile *sf, int fd)
{
	sf->fd = -1;
	if (!header_ok(fd, NULL))
		return -EPROTO;
	return map_file(sf, fd, PROT_READ);
}

void
statfile_release(struct statfile *sf)
{
	if (sf->header != NULL)
		munmap(sf->header, FILE_SIZE);
	if (sf->fd >= 0)
		close(sf->fd);
	memset(sf, 0, sizeof *sf);
	sf->fd = -1;
}

int
statfile_reserve(struct statfile *sf, uint32_t slot)
{
	const off_t size = (off_t)CHUNK * (off_t)sizeof(struct stat_slot);
	char zero[4096] = {0};
	off_t start;

	if (slot < atomic_load(&sf->header->high))
		return 0;
	if (slot >= STATFILE_SLOTS)
		return -ENOSPC;
	start = HEADER_SIZE + (off_t)(slot / CHUNK) * size;
	/* `high` rises by one, so a chunk was reserved when its first slot was. */
	if (slot % CHUNK == 0 && fallocate(sf->fd, 0, start, size) < 0) {
		if (errno != EOPNOTSUPP)
			return -errno;
		for (off_t at = 0; at < size; at += (off_t)sizeof zero)
			if (pwrite(sf->fd, zero, sizeof zero, start + at) != (ssize_t)sizeof zero)
				return -ENOSPC;
	}
	atomic_store(&sf->header->high, slot + 1);
	return 0;
}

void
stat_write(struct stat_slot *slot, const struct stat_record *rec)
{
	uint32_t seq = atomic_load_explicit(&slot->seq, memory_order_relaxed);
	_Atomic uint64_t *copy = slot->record[(seq + 1) % 2];
	uint64_t words[STAT_RECORD_WORDS];

	memcpy(words, rec, sizeof words);
	/* A reader that sees one of these words must see, when it looks again, that seq has moved. */
	atomic_thread_fence(memory_order_release);
	for (size_t i = 0; i < STAT_RECORD_WORDS; i++)
		atomic_store_explicit(&copy[i], words[i], memory_order_relaxed);
	atomic_store_explicit(&slot->seq, seq + 1, memory_order_release);
}

bool
stat_read(const struct stat_slot *slot, struct stat_record *rec)
{
	return atomic_load(&slot->forgotten) == 0 && stat_read_any(slot, rec);
}

bool
stat_read_any(const struct stat_slot *slot, struct stat_record *rec)
{
	uint64_t words[STAT_RECORD_WORDS];
	uint32_t seq, again;

	if (atomic_load(&slot->used) == 0)
		return false;
	again = atomic_load_explicit(&slot->seq, memory_order_acquire);
	do {
		seq = again;
		for (size_t i = 0; i < STAT_RECORD_WORDS; i++)
			words[i] =
			    atomic_load_explicit(&slot->record[seq % 2][i], memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		again = atomic_load_explicit(&slot->seq, memory_order_acquire);
	} while (again != seq);
	memcpy(rec, words, sizeof *rec);
	return rec->phase != STAT_ABSENT;
}

bool
stat_final(uint32_t phase)
{
	return phase == STAT_OVER || phase == STAT_UNSTARTED || phase == STAT_LOST;
}

/* ---- index ------------------------------------------------------------------------------- */

static uint32_t
index_bucket(struct stat_key key)
{
	uint64_t h = (key.task ^ ((uint64_t)key.run << 40)) * 0x9e3779b97f4a7c15u;

	return (uint32_t)(h >> 32) % STATFILE_SLOTS;
}

int
stat_index_find(const struct stat_index *ix, struct stat_key key)
{
	for (uint16_t at = ix->head[index_bucket(key)]; at != 0; at = ix->next[at - 1])
		if (ix->key[at - 1].task == key.task && ix->key[at - 1].run == key.run)
			return at - 1;
	return -1;
}

void
stat_index_add(struct stat_index *ix, struct stat_key key, uint32_t slot)
{
	uint32_t bucket = index_bucket(key);

	ix->key[slot] = key;
	ix->next[slot] = ix->head[bucket];
	ix->head[bucket] = (uint16_t)(slot + 1);
}

void
stat_index_remove(struct stat_index *ix, uint32_t slot)
{
	uint16_t *at = &ix->head[index_bucket(ix->key[slot])];

	while (*at != 0 && *at != slot + 1)
		at = &ix->next[*at - 1];
	if (*at != 0)
		*at = ix->next[slot];
	ix->next[slot] = 0;
}

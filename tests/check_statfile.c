/* Unit tests of statfile.h: which files are kept, records under a concurrent writer, the index. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "check_run.h"
#include "statfile.h"

static char path[64];

static const char *
temp_path(void)
{
	snprintf(path, sizeof path, "/tmp/taskctl-statfile-%d", (int)getpid());
	unlink(path);
	return path;
}

static void
open_new(struct statfile *sf)
{
	bool kept = true;

	ck_assert_int_eq(statfile_open(sf, temp_path(), &kept), 0);
	ck_assert(!kept);
	ck_assert_int_eq(statfile_reserve(sf, 0), 0);
	atomic_store(&sf->slots[0].used, 1);
}

START_TEST(test_kept_or_replaced)
{
	static const off_t broken[] = {0, 4, 8, 12, 20}; /* magic, version, sizes, boot id */
	struct statfile sf;
	struct stat_record rec = {.task = 7, .phase = STAT_RUNNING}, got;
	bool kept;
	int fd;

	open_new(&sf);
	stat_write(&sf.slots[0], &rec);
	statfile_release(&sf);
	ck_assert_int_eq(statfile_open(&sf, path, &kept), 0);
	ck_assert(kept);
	ck_assert(stat_read(&sf.slots[0], &got));
	ck_assert_uint_eq(got.task, 7);
	statfile_release(&sf);
	for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
		fd = open(path, O_RDWR);
		ck_assert_int_eq(pwrite(fd, "\xff", 1, broken[i]), 1);
		close(fd);
		ck_assert_int_eq(statfile_open(&sf, path, &kept), 0);
		ck_assert(!kept);
		ck_assert(!stat_read(&sf.slots[0], &got));
		statfile_release(&sf);
	}
	ck_assert_int_eq(truncate(path, 5000), 0);
	ck_assert_int_eq(statfile_open(&sf, path, &kept), 0);
	ck_assert(!kept);
	statfile_release(&sf);
	unlink(path);
}
END_TEST

START_TEST(test_read_only_map)
{
	struct statfile sf, map;
	struct stat_record rec = {.task = 9, .phase = STAT_OVER}, got;
	int fd;

	open_new(&sf);
	fd = open(path, O_RDONLY);
	ck_assert_int_eq(statfile_map(&map, fd), 0);
	close(fd);
	stat_write(&sf.slots[0], &rec);
	ck_assert(stat_read(&map.slots[0], &got));
	ck_assert_mem_eq(&got, &rec, sizeof rec);
	atomic_store(&sf.slots[0].forgotten, 1);
	ck_assert(!stat_read(&map.slots[0], &got));
	ck_assert(stat_read_any(&map.slots[0], &got));
	statfile_release(&map);
	statfile_release(&sf);
	fd = open("/dev/null", O_RDONLY);
	ck_assert_int_lt(statfile_map(&map, fd), 0);
	close(fd);
	unlink(path);
}
END_TEST

START_TEST(test_sparse)
{
	struct statfile sf;
	struct stat st;

	open_new(&sf);
	for (uint32_t slot = 1; slot < 100; slot++)
		ck_assert_int_eq(statfile_reserve(&sf, slot), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_gt(st.st_size, 32 << 20);
	ck_assert_int_ge(st.st_blocks * 512, 100 * (int)sizeof(struct stat_slot));
	ck_assert_int_lt(st.st_blocks * 512, 1 << 20);
	ck_assert_int_lt(statfile_reserve(&sf, STATFILE_SLOTS), 0);
	statfile_release(&sf);
	unlink(path);
}
END_TEST

/* Every word of a record holds the same number. */
static void *
writer(void *arg)
{
	struct stat_slot *slot = arg;
	union {
		struct stat_record rec;
		uint64_t word[STAT_RECORD_WORDS];
	} u;

	for (uint64_t n = 1; n < 200000; n++) {
		for (size_t i = 0; i < STAT_RECORD_WORDS; i++)
			u.word[i] = n << 32 | n;
		stat_write(slot, &u.rec);
	}
	return NULL;
}

START_TEST(test_never_torn)
{
	struct statfile sf;
	pthread_t t;
	uint64_t last = 0;
	union {
		struct stat_record rec;
		uint64_t word[STAT_RECORD_WORDS];
	} u;

	open_new(&sf);
	ck_assert_int_eq(pthread_create(&t, NULL, writer, &sf.slots[0]), 0);
	while ((last & UINT32_MAX) < 199999) {
		if (!stat_read(&sf.slots[0], &u.rec))
			continue;
		for (size_t i = 1; i < STAT_RECORD_WORDS; i++)
			ck_assert_uint_eq(u.word[i], u.word[0]);
		ck_assert_uint_ge(u.word[0], last);
		last = u.word[0];
	}
	pthread_join(t, NULL);
	statfile_release(&sf);
	unlink(path);
}
END_TEST

/* A writer that dies before it has raised `seq` leaves what was there. */
START_TEST(test_writer_dies)
{
	struct statfile sf;
	struct stat_record rec = {.task = 3, .phase = STAT_RUNNING}, got;

	open_new(&sf);
	stat_write(&sf.slots[0], &rec);
	for (size_t i = 0; i < STAT_RECORD_WORDS / 2; i++)
		atomic_store(&sf.slots[0].record[(sf.slots[0].seq + 1) % 2][i], UINT64_MAX);
	ck_assert(stat_read(&sf.slots[0], &got));
	ck_assert_mem_eq(&got, &rec, sizeof rec);
	statfile_release(&sf);
	unlink(path);
}
END_TEST

START_TEST(test_index)
{
	static struct stat_index ix;

	for (uint32_t slot = 0; slot < STATFILE_SLOTS; slot++)
		stat_index_add(&ix, (struct stat_key){.task = slot / 3 + 1, .run = slot % 3}, slot);
	for (uint32_t slot = 0; slot < STATFILE_SLOTS; slot += 2)
		stat_index_remove(&ix, slot);
	for (uint32_t slot = 0; slot < STATFILE_SLOTS; slot++)
		ck_assert_int_eq(
		    stat_index_find(&ix, (struct stat_key){.task = slot / 3 + 1, .run = slot % 3}),
		    slot % 2 ? (int)slot : -1);
	stat_index_remove(&ix, 0); /* twice does no harm */
	ck_assert_int_eq(stat_index_find(&ix, (struct stat_key){.task = 1, .run = 1}), 1);
}
END_TEST

START_TEST(test_keeper_word)
{
	uint64_t k = stat_keeper(4194303, 123456789);

	ck_assert_int_eq(stat_keeper_pid(k), 4194303);
	ck_assert_uint_eq(stat_keeper_start(k), 123456789);
	ck_assert_int_eq(stat_keeper_pid(stat_keeper(0, 77)), 0);
}
END_TEST

CHECK_MAIN("statfile", test_kept_or_replaced, test_read_only_map, test_sparse, test_never_torn,
    test_writer_dies, test_index, test_keeper_word)

/*
 * Output files of tasks: a directory of them, reading, and the size limit of those that grow.
 *
 * The stdout and stderr of a task ARE the file, opened for appending: nothing is copied, there is
 * no pipe to block on, and the task writes at the speed of the file system. A file is named by a
 * number that is never handed out twice. Nothing here keeps a descriptor open for a task.
 *
 * Offsets count what the task has written since its start and never go back. The limit is kept by
 * punching the oldest part out of the file, so what remains keeps its offsets; `dropped` is the
 * offset of the first byte that is still there: dropped + kept = written, exactly. Bytes below it
 * read as zeros or not at all: clamp to it before reading.
 *
 * A task may truncate its own output (`echo x >/dev/stderr` in a script does so: it opens the file
 * again with O_TRUNC). Then what was there counts as dropped and offsets go on from where they
 * were; the file remembers by how much (extended attribute user.taskctl.base; where the file
 * system has none, until the daemon ends). Two things are not seen: a truncated file that has
 * outgrown its old size by the next look, and what the task wrote between the last look and the
 * truncation. Neither makes an offset go back.
 *
 * Functions return 0 or -errno and log nothing; no failure here ever disturbs the task.
 */
#ifndef TASKCTL_OUTLOG_H
#define TASKCTL_OUTLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct outlog_dir;
struct outlog_watch;

/*
 * Open the directory (made with mode 0700 where it is missing). Numbers go on from the highest of
 * `last_used` (the highest that the caller has ever stored) and the files that are there.
 */
int outlog_dir_open(const char *path, uint64_t last_used, struct outlog_dir **ret);

/* All watches must be gone. Finishes what is being dropped, removes the files kept ready. */
void outlog_dir_free(struct outlog_dir *dir);

/*
 * Make some of the files that are kept ready; to be called when there is nothing else to do, since
 * making one can cost more than starting a task. Bounded work. Returns how many are still missing
 * (call again), 0 when all are there, or -errno.
 */
int outlog_dir_refill(struct outlog_dir *dir);

/* False where the file system cannot punch holes: then no limit is kept and nothing is dropped. */
bool outlog_dir_can_drop(const struct outlog_dir *dir);

/* How many drops failed since the start (they are tried again), and the errno of the last. */
uint64_t outlog_dir_failures(const struct outlog_dir *dir, int *last_error);

/*
 * A new empty file: its number (1 and up) and a descriptor for the task, write-only, appending,
 * close-on-exec, which the caller closes.
 */
int outlog_take(struct outlog_dir *dir, uint64_t *number, int *fd);

/* A descriptor to append to a file that was taken earlier, which the caller closes; or -errno. */
int outlog_append(struct outlog_dir *dir, uint64_t number);

/*
 * Remove the file; that there is none is no error. An empty one that nobody has open any more is
 * kept ready instead, under a new number: where most tasks write nothing, remove their files when
 * they end, and no file is ever made. The watch must be gone, or it is removed for good.
 */
int outlog_remove(struct outlog_dir *dir, uint64_t number);

/*
 * Remove every file of earlier lives of the daemon that `used` denies; files made since
 * outlog_dir_open() are left alone, so it may run at any time. Returns how many, or -errno.
 */
int outlog_sweep(struct outlog_dir *dir, bool (*used)(void *ctx, uint64_t number), void *ctx);

/* How many bytes were written (dropped ones too): the offset of the next one. */
int outlog_size(struct outlog_dir *dir, uint64_t number, uint64_t *bytes);

/*
 * Read at an offset. Returns the bytes read, 0 at the end; -ENODATA for an offset that a
 * truncation has done away with; -ENOENT where the file was removed.
 */
ssize_t outlog_read(
    struct outlog_dir *dir, uint64_t number, uint64_t offset, void *buf, size_t len);

/* Called from the event loop and from outlog_watch_sync(). Must not free a watch. */
struct outlog_callbacks {
	/* `size` bytes are written by now. */
	void (*grew)(void *ctx, uint64_t size);
	/* Everything below `dropped` is gone, or is just about to be. */
	void (*dropped)(void *ctx, uint64_t dropped);
};

/*
 * Watch a file that a task may be writing, and keep it to `limit` bytes (0: no limit): at least
 * the newest `limit` bytes stay; the file takes at most a quarter (and 8 KiB) more, plus what is
 * written between two looks. `dropped` is what the caller has stored, 0 for a new file; it is corrected
 * from the file, for a daemon that died after dropping: use outlog_watch_dropped(). That is why an
 * adopted task needs a watch and a sync even when it has ended meanwhile. One watch a file.
 *
 * A file at rest costs no wake-up and no descriptor (one inotify descriptor serves the directory,
 * with a one-shot watch for each file); one that grows is looked at every 5 ms when it grows fast,
 * every 20 ms when not. Where the kernel has no more inotify watches, files are looked at 4 times
 * a second instead. Cheap: a watch on a task that is over in some milliseconds does no system call.
 */
int outlog_watch_new(struct outlog_dir *dir, struct event_base *base, uint64_t number,
    uint64_t limit, uint64_t dropped, const struct outlog_callbacks *cb, void *ctx,
    struct outlog_watch **ret);
void outlog_watch_free(struct outlog_watch *w);

/* As of the last look. */
uint64_t outlog_watch_size(const struct outlog_watch *w);
uint64_t outlog_watch_dropped(const struct outlog_watch *w);

/*
 * Look now, with callbacks if there is news: when the task has ended (then all of its output is
 * accounted for), or when somebody asks for the present size.
 */
void outlog_watch_sync(struct outlog_watch *w);

#endif

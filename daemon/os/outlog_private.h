/*
 * What outlog.c (the directory and its files) and outlog_watch.c (those that grow) share.
 */
#ifndef TASKCTL_OUTLOG_PRIVATE_H
#define TASKCTL_OUTLOG_PRIVATE_H

#include "outlog.h"

#define OUTLOG_READY    32 /* files kept ready at most: empty ones that are given back, too */
#define OUTLOG_REFILL   8  /* files made ahead of time */
#define OUTLOG_NAME_LEN 24

struct outlog_watches;

struct outlog_dir {
	int fd;
	uint64_t opened_at; /* the highest number of earlier lives */
	uint64_t last;      /* the highest number used for a file */
	bool can_drop;
	uint64_t failures;
	int last_error;
	size_t nready; /* the files are empty, their names known to nobody else */
	uint64_t ready_number[OUTLOG_READY];
	int ready_fd[OUTLOG_READY];
	struct outlog_watches *watches; /* owned; NULL until the first watch */
};

void outlog_name(uint64_t number, char name[OUTLOG_NAME_LEN]);

/* Opens a file of the directory, close-on-exec: descriptor or -errno. */
int outlog_open(const struct outlog_dir *dir, uint64_t number, int flags);

/* The offset of the file's first byte: what was cut off it by truncations. 0 where nothing was. */
uint64_t outlog_get_base(int fd);
void outlog_set_base(int fd, uint64_t base);

/* Is a watch on this file? */
bool outlog_watched(const struct outlog_watches *ws, uint64_t number);
void outlog_watches_free(struct outlog_watches *ws);

#endif

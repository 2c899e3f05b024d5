/*
 * Punches holes into files from a thread of its own: a file system may have to write the dirty
 * pages of the range back first, for which the event loop must not wait.
 */
#ifndef TASKCTL_PUNCHER_H
#define TASKCTL_PUNCHER_H

#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct puncher;

/* From the event loop. from: where the hole was to begin; error: 0 or a positive errno. */
typedef void puncher_done_cb(void *ctx, void *owner, off_t from, int error);

/* 0 or -errno. Where no thread can be had, the work is done in the caller's. */
int puncher_new(struct event_base *base, puncher_done_cb *done, void *ctx, struct puncher **ret);
void puncher_free(struct puncher *p); /* finishes what was ordered, without further callbacks */

/* Frees the bytes from..to of the file behind fd, which is the callee's from now on. */
void puncher_add_take(struct puncher *p, int fd, off_t from, off_t to, void *owner);

/* The owner goes away; what it has ordered is done all the same, and reported with owner NULL. */
void puncher_forget(struct puncher *p, const void *owner);

#endif

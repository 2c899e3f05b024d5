/*
 * Checkpoints of the write-ahead log, in a thread with a connection of its own: they take
 * milliseconds, in which the loop would answer nobody.
 */
#ifndef TASKCTL_STORE_CHECKPOINT_H
#define TASKCTL_STORE_CHECKPOINT_H

struct checkpointer;

/* NULL if there is no thread to be had: the caller leaves checkpoints to SQLite then. */
struct checkpointer *checkpointer_new(const char *path);
void checkpointer_free(struct checkpointer *c); /* waits for one under way */
/* The log has this many pages now; wakes the thread when it is time. */
void checkpointer_log_grew(struct checkpointer *c, int pages);

#endif

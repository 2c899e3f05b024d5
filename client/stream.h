/*
 * Output of tasks on our own stdout and stderr: `output` events decoded, escaped where a terminal
 * reads, with a prefix for each line where several tasks are shown.
 */
#ifndef TASKCTL_STREAM_H
#define TASKCTL_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "text.h"
#include "util.h"

struct call;
struct jv;

/* All bytes zero but for what the caller sets first: call, fd, prefix. */
struct stream {
	const struct call *call;
	int fd;             /* 1 or 2 */
	const char *prefix; /* or NULL; borrowed */
	struct text_stream escape;
	struct strbuf line; /* with a prefix: a line that is not complete yet */
	int64_t offset;     /* of what comes next: where to go on after a lost connection */
	bool broken;        /* nobody reads what we write */
};

/* Writes an event's data. Says where bytes were dropped. */
void stream_event(struct stream *s, const struct jv *event);

/* Writes bytes. */
void stream_write(struct stream *s, const char *data, size_t len);

/* Writes what is still held. */
void stream_end(struct stream *s);
void stream_release(struct stream *s);

/* Decodes base64; false if it is none. */
bool stream_base64(const char *s, size_t len, struct strbuf *out);

#endif

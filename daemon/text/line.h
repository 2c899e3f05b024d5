/*
 * Lines out of an evbuffer. Scanning goes on where it stopped, so a line that arrives a byte at a
 * time costs no more than one that arrives whole.
 *
 * A line ends with LF or CR LF; its length is counted without them. A line that line_next() gave
 * lies in the evbuffer, is not NUL-terminated, and stays valid until the next call (which drains
 * it) or until somebody else changes the evbuffer's beginning; appending to it is fine.
 */
#ifndef TASKCTL_LINE_H
#define TASKCTL_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct evbuffer;

struct line_reader {
	size_t limit;   /* bytes that a line may have */
	size_t scanned; /* bytes of the evbuffer known to hold no LF */
	size_t taken;   /* bytes of the line given last, still to be drained */
};

enum line_status {
	LINE_OK,
	LINE_NONE,     /* no whole line there yet */
	LINE_TOO_LONG, /* the line has more bytes than the limit; nothing was consumed */
};

void line_reader_init(struct line_reader *r, size_t limit);
void line_set_limit(struct line_reader *r, size_t limit); /* holds from the next call on */

/* The next line, if it is there. */
enum line_status line_next(
    struct line_reader *r, struct evbuffer *in, const char **line, size_t *len);

/* After the end of input, when line_next() has none left: what came after the last line end. */
enum line_status line_rest(
    struct line_reader *r, struct evbuffer *in, const char **line, size_t *len);

/* Drains the line given last now, rather than at the next call. */
void line_done(struct line_reader *r, struct evbuffer *in);

/* Bytes of the evbuffer that no call has given yet. */
size_t line_pending(const struct line_reader *r, struct evbuffer *in);

bool line_blank(const char *line, size_t len); /* nothing but white space, or nothing */

/* The first byte that is not given yet and no white space; -1 if there is none so far. */
int line_first_byte(const struct line_reader *r, struct evbuffer *in);

#endif

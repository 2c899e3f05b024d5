/*
 * Text for people: escaping what could steer a terminal, ages, times of day, columns.
 */
#ifndef TASKCTL_TEXT_H
#define TASKCTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct strbuf;

#define TEXT_AGE_LEN 32

/* Appends s; with `escape` every control character and every byte that is no UTF-8 as \n, \xNN. */
void text_add(struct strbuf *b, bool escape, const char *s, size_t len);

/* Characters in s, which is UTF-8 or bytes: what a column needs. */
size_t text_width(const char *s, size_t len);

/*
 * Escapes a stream that comes in pieces. Line ends and tabs stay; a carriage return right before a
 * line end is dropped; a character that is cut in two is held until its rest comes. All bytes zero
 * is the start.
 */
struct text_stream {
	char held[4];
	size_t nheld;
};

void text_stream_add(struct text_stream *t, struct strbuf *out, const char *s, size_t len);
void text_stream_end(struct text_stream *t, struct strbuf *out); /* what is still held */

/* An age for a column: "9s", "12m", "1h48m", "2d3h". Negative is "0s". */
void text_age(int64_t ms, char buf[TEXT_AGE_LEN]);

/* "14:02:10" of today, else "2026-11-22 14:02:10", in local time, rounded. */
void text_clock(int64_t wall_ms, int64_t now_ms, char buf[TEXT_AGE_LEN]);

/* The duration as value_format_duration() has it, from milliseconds. */
void text_duration(int64_t ms, char buf[TEXT_AGE_LEN]);

#endif

/*
 * UTF-8: strict decoding (no surrogates, no overlong forms, nothing above U+10FFFF) and repair.
 */
#ifndef TASKCTL_UTF8_H
#define TASKCTL_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf;

/* Decodes the character at s. Returns its length in bytes, 0 if it is not valid (or len is 0). */
size_t utf8_decode(const char *s, size_t len, uint32_t *cp);

/* True if all of it is valid: no overlong form, no surrogate; NUL is valid. */
bool utf8_valid(const char *s, size_t len);

/* Appends s; every byte that is not part of a valid character, and NUL, becomes U+FFFD. */
void utf8_repair(struct strbuf *b, const char *s, size_t len);

/* How many bytes at the end begin a character that is not complete yet; 0 to 3. */
size_t utf8_incomplete_tail(const char *s, size_t len);

/* Would the character change a terminal or the order of text (C0, DEL, C1, bidi, line breaks)? */
bool utf8_is_control(uint32_t cp);

#endif

/*
 * JSON as the protocol wants it: strict in, pure ASCII out, and building blocks that never fail.
 *
 * Strict: no duplicate keys, no invalid UTF-8, no lone surrogates, no \u0000, no numbers that do
 * not fit, nothing nested deeper than JSON_DEPTH_MAX, nothing behind the value.
 */
#ifndef TASKCTL_JSON_H
#define TASKCTL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

struct strbuf;

#define JSON_DEPTH_MAX 16 /* the outermost object or array is level 1 */

/*
 * The one object in s (a new reference), or NULL; then *why is a sentence for people, static.
 * The depth is checked before anything is built. `why` may be NULL.
 */
json_t *json_parse_object(const char *s, size_t len, const char **why);
json_t *json_parse_value(const char *s, size_t len, const char **why); /* the same, any value */

/* Append v, compact, without a line end; reals with 15 to 17 digits, as few as give them back. */
void json_dump_line(const json_t *v, struct strbuf *out); /* ASCII, also DEL escaped */
void json_dump_utf8(const json_t *v, struct strbuf *out); /* only what must be escaped */
void json_dump_string(const char *s, size_t len, struct strbuf *out); /* one, as json_dump_line */

/*
 * New values. They abort when memory is out and never return NULL. Strings that are no UTF-8 are
 * repaired (U+FFFD). A real that is not finite becomes null.
 */
json_t *jx_object(void);
json_t *jx_array(void);
json_t *jx_string(const char *s); /* NULL gives null */
json_t *jx_stringn(const char *s, size_t len);
json_t *jx_int(int64_t n);
json_t *jx_real(double d);
json_t *jx_bool(bool b);
json_t *jx_with(const char *key, json_t *value);          /* an object of one; takes the value */
json_t *jx_copy(const json_t *v);                         /* deep */
void jx_set(json_t *obj, const char *key, json_t *value); /* takes the value; NULL: null */
void jx_append(json_t *arr, json_t *value);               /* takes the value; NULL: null */

void json_set_str(json_t *obj, const char *key, const char *s); /* NULL: null */
void json_set_int(json_t *obj, const char *key, int64_t n);
void json_set_real(json_t *obj, const char *key, double d);
void json_set_bool(json_t *obj, const char *key, bool b);

/* Borrowed member of the type, or NULL / the default if it is absent or of another type. */
const char *json_get_str(const json_t *obj, const char *key);
int64_t json_get_int(const json_t *obj, const char *key, int64_t otherwise);
bool json_get_bool(const json_t *obj, const char *key, bool otherwise);

#endif

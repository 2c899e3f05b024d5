/*
 * Reading JSON: replies and events as a tree whose nodes remember their exact text.
 *
 * The client does not use jansson: without it taskctl is a small static program that starts in half
 * the time, and `-o json` can print a part of a line byte for byte as it came.
 */
#ifndef TASKCTL_JV_H
#define TASKCTL_JV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JV_DEPTH_MAX 64

enum jv_type { JV_NULL, JV_BOOL, JV_INT, JV_REAL, JV_STRING, JV_ARRAY, JV_OBJECT };

struct jv {
	enum jv_type type;
	const char *key; /* in an object: the member's name, decoded; else NULL */
	const char *raw; /* the value as it came; borrowed from the line */
	size_t raw_len;
	const char *str; /* JV_STRING: decoded, NUL-terminated */
	size_t len;      /* JV_STRING: bytes of str; JV_ARRAY, JV_OBJECT: number of children */
	int64_t n;       /* JV_INT; JV_BOOL: 0 or 1 */
	double d;        /* JV_INT, JV_REAL */
	struct jv *child, *next;
};

struct jv_block;

/* Owns the nodes of one tree. All bytes zero is an empty one. */
struct jv_doc {
	struct jv_block *blocks;
};

/*
 * Parses s, which must outlive the tree. NULL if it is not one JSON value. The tree is the
 * document's, which must be empty; jv_release() frees it and makes the document empty.
 */
struct jv *jv_parse(struct jv_doc *doc, const char *s, size_t len);
void jv_release(struct jv_doc *doc);

/* The member of an object, or NULL: if v is NULL or no object, too. */
struct jv *jv_get(const struct jv *v, const char *key);

/* The member as that type, or the default if it is absent, null or of another type. */
const char *jv_str(const struct jv *v, const char *key); /* NULL if there is none */
int64_t jv_int(const struct jv *v, const char *key, int64_t otherwise);
bool jv_bool(const struct jv *v, const char *key); /* false if there is none */

/* Has v a member of that name that is not null? */
bool jv_has(const struct jv *v, const char *key);

#endif

/*
 * Building requests: an ordered list of members, each with its value as JSON text. Setting a member
 * again replaces it in its place, so that the last of two equal options holds.
 */
#ifndef TASKCTL_REQ_H
#define TASKCTL_REQ_H

#include <stdbool.h>
#include <stdint.h>

struct strbuf;

struct req_member {
	char *key, *text;
};

/* All bytes zero is an empty request. */
struct req {
	struct req_member *v;
	int n;
};

void req_release(struct req *r);

/*
 * Set a member. Strings must be UTF-8 without NUL, or the result is false and nothing is set: the
 * protocol can carry nothing else.
 */
bool req_str(struct req *r, const char *key, const char *s);
void req_int(struct req *r, const char *key, int64_t n);
void req_bool(struct req *r, const char *key, bool b);
void req_raw(struct req *r, const char *key, const char *json); /* JSON text, copied */
void req_obj(struct req *r, const char *key, const struct req *members);

/* Names a task: digits are an id, all else a name. False as req_str(). */
bool req_task(struct req *r, const char *task);

/* Appends all members of another, replacing equal ones. */
void req_merge(struct req *r, const struct req *from);

/* Appends the object, without a line end. */
void req_print(const struct req *r, struct strbuf *out);

/* Appends s as a JSON string; false if it is not UTF-8. */
bool req_quote(const char *s, struct strbuf *out);

/* Is it digits only, without a leading zero, and small enough for an id? */
bool req_is_id(const char *task, int64_t *id);

#endif

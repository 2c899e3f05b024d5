/*
 * The members of requests: what each may be, checked before a command sees them.
 *
 * A command lists its members in a table of struct field. args_check() goes through a request by
 * that table: unknown members are refused, so are wrong types and ranges, each with the path of
 * the member ("hooks.finally.timeout", "argv[2]") and a sentence. After it, the accessors below
 * cannot fail; commands never look at JSON types.
 */
#ifndef TASKCTL_ARGS_H
#define TASKCTL_ARGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto.h"

#define ARGS_PATH_MAX 256
#define ARGS_WHY_MAX  640

/* Who is to blame, and why; filled by the first check that fails. */
struct args_error {
	bool blamed;              /* a member is to blame: */
	char path[ARGS_PATH_MAX]; /* its path */
	char why[ARGS_WHY_MAX];   /* a full sentence */
};

struct field;
/* True if v is good. `path` names it in words for the error. */
typedef bool args_check_fn(
    const struct field *f, const json_t *v, const char *path, struct args_error *e);

struct field {
	const char *name;
	args_check_fn *check;
	bool required;
	bool null_ok;                /* null has a meaning here */
	int64_t min, max;            /* of numbers, lengths, counts: by the check */
	const char *const *choices;  /* of args_choice; NULL-terminated */
	const struct field *members; /* of args_object; ends with a NULL name */
};

/* -- checks -- */
args_check_fn args_bool, args_true, args_integer, args_number, args_string, args_choice;
args_check_fn args_text;            /* any string up to max bytes; may be empty */
args_check_fn args_duration;        /* > 0, or >= 0 where min is 0, or any where min is negative */
args_check_fn args_duration_number; /* a duration; negative only as a number */
args_check_fn args_time, args_signal, args_umask, args_path, args_msg;
args_check_fn args_argv, args_ids, args_env, args_labels, args_select, args_shield, args_hooks;
args_check_fn args_object;
args_check_fn args_any; /* checked elsewhere */

/*
 * Check the members of a request by the table, and by those that every request may have ("cmd",
 * "rid", "close", "token"). False with e filled.
 */
bool args_check(const json_t *request, const struct field *fields, struct args_error *e);
bool args_rid_ok(const json_t *rid); /* a string of at most 128 bytes, or an integer */

/* For checks of a command's own; fmt is a sentence. Returns false. */
bool args_blame(struct args_error *e, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* -- accessors, after args_check() -- */
bool args_has(const json_t *args, const char *name); /* also true for null */
bool args_is_null(const json_t *args, const char *name);
int64_t args_ns(const json_t *args, const char *name, int64_t otherwise);
int args_signo(const json_t *args, const char *name, int otherwise);
/* States of a select as a bit set, 0: any. */
unsigned args_states(const json_t *select);

/* -- the table entries that several commands share -- */
#define FIELD_TASK                                                         \
	{.name = "id", .check = args_integer, .min = 1, .max = INT64_MAX}, \
	    {.name = "name", .check = args_string, .max = PROTO_NAME_MAX}, \
	{                                                                  \
		.name = "key", .check = args_string, .max = PROTO_NAME_MAX \
	}
#define FIELD_TASKS                                                            \
	FIELD_TASK, {.name = "ids", .check = args_ids, .max = PROTO_LIST_MAX}, \
	{                                                                      \
		.name = "select", .check = args_select                         \
	}
#define FIELD_MSG                                \
	{                                        \
		.name = "msg", .check = args_msg \
	}
#define FIELD_END            \
	{                    \
		.name = NULL \
	}

#endif

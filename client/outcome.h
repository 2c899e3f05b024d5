/*
 * What a reply means: exit codes, and sentences about tasks.
 */
#ifndef TASKCTL_OUTCOME_H
#define TASKCTL_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

struct call;
struct jv;
struct strbuf;

/* The exit code of a wait's answer about one task: {result, of, task}. Never 0 unless done. */
int outcome_code(const struct jv *answer);

/* The same of a task object that has ended. */
int outcome_task_code(const struct jv *task);

/* The exit code of a control verb for an error's code ("not_found", ...). */
int outcome_error_code(const char *code);

/* "nightly (41)"; without a task, or without a name in it, what it was called by. */
void outcome_label(const struct jv *task, const char *arg, struct strbuf *out);

/*
 * How a task ended, from its object: "cancelled after 3.1s: no longer needed; hooks 2 of 2 ok".
 * With a task that has not ended: its state.
 */
void outcome_sentence(const struct jv *task, struct strbuf *out);

/* "shielded until 14:02:10 ("copying WAL")", from a task's shield; adds nothing if it has none. */
void outcome_shield(const struct jv *task, struct strbuf *out);

/* A message: a string as it is, any other JSON as JSON. */
void outcome_msg(const struct jv *msg, struct strbuf *out);

/* Is it one of the terminal states? */
bool outcome_ended(const char *state);

/*
 * Merges the exit codes of several tasks: all equal: that; only done and deferred: deferred; else
 * EXIT_SOME_FAILED.
 */
int outcome_merge(int sofar, int code, bool first);

/* Says the error of a reply ("what: message"), as a control verb; returns its exit code. */
int outcome_say_error(const struct call *call, const char *what, const struct jv *reply);

/* A member that is an RFC 3339 time, in milliseconds; false if it is not there. */
bool outcome_time(const struct jv *v, const char *key, int64_t *wall_ms);

#endif

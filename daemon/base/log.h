/*
 * The log: one line a call on stderr, "<6>" in front of it where the journal reads stderr, else
 * "taskctld: " (and "error: " or the like, for all but LOG_LEVEL_INFO).
 *
 * Whatever a client sent is safe in a line: control characters, line breaks, marks that reorder
 * text, and bytes that are no UTF-8 are written as \xNN. errno is left alone. Only the program
 * (main, server, runner) logs; mechanisms return errors.
 */
#ifndef TASKCTL_LOG_H
#define TASKCTL_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_init(enum log_level level, bool journal_prefixes);
void log_set_level(enum log_level level);

/* True if stderr is the journal's ($JOURNAL_STREAM names its device and inode). */
bool log_journal_attached(void);

/* "error" "warn" (or "warning") "info" "debug": 0 or -EINVAL. */
int log_level_from_name(const char *name, enum log_level *level);
const char *log_level_name(enum log_level level);

/* One line each, of the level in its name; no line end in fmt. */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A line that is written at every level: where the daemon can be reached. */
void log_ready(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Has libevent's own messages written here; its fatal errors are logged before it exits. */
void log_libevent(void);

#endif

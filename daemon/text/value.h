/*
 * Values as people and requests write them: durations, signals, times, sizes. All pure.
 *
 * Parsers return 0, or -EINVAL or -ERANGE and then leave the result alone and set *why (unless it
 * is NULL) to a static sentence without a subject's name: "must be ...".
 */
#ifndef TASKCTL_VALUE_H
#define TASKCTL_VALUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <jansson.h>

#define VALUE_DURATION_MAX (INT64_C(3653) * 86400 * 1000000000) /* 10 years, in nanoseconds */
#define VALUE_DURATION_LEN 32
#define VALUE_SIGNAL_LEN   16

/*
 * Seconds as an integer or a real, or a string ("250ms", "1h30m", "1.5h"). A number may be
 * negative or 0, down to minus 10 years: the caller decides. What is not 0 never becomes 0.
 */
int value_duration(const json_t *v, int64_t *ns, const char **why);

/* The string form; where `bare` is true, a plain number of seconds ("90", "0") is one, too. */
int value_duration_str(const char *s, bool bare, int64_t *ns, const char **why);

/* "1h48m", "3.1s", "250ms": at most two units, rounded down; "-" in front of what is negative. */
void value_format_duration(int64_t ns, char buf[VALUE_DURATION_LEN]);

/* "TERM", "SIGTERM", "SIGRTMIN+3", "RTMAX-1" or a number, 1 to SIGRTMAX. */
int value_signal(const json_t *v, int *signo, const char **why);
int value_signal_str(const char *s, int *signo, const char **why);    /* also digits */
const char *value_signal_name(int signo, char buf[VALUE_SIGNAL_LEN]); /* "SIGTERM"; returns buf */

/* An RFC 3339 time in a string. */
int value_time(const json_t *v, int64_t *wall_ms, const char **why);

/* Bytes: "4096", "64M", "64MB", "1GiB" (all powers of 1024); up to INT64_MAX. */
int value_size_str(const char *s, int64_t *bytes, const char **why);

/* One to four octal digits, at most 0777. */
int value_umask(const char *s, mode_t *mask, const char **why);

bool value_env_name_ok(const char *s);       /* [A-Za-z_][A-Za-z0-9_]* */
bool value_env_name_reserved(const char *s); /* TASKCTL_* and NOTIFY_SOCKET: the daemon's own */

#endif

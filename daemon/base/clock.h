/*
 * The two clocks. Deadlines are kept on the boot clock, in nanoseconds, which no change of the
 * wall clock moves and which goes on while the machine sleeps. The wall clock, in milliseconds
 * since 1970, is for records and people only.
 */
#ifndef TASKCTL_CLOCK_H
#define TASKCTL_CLOCK_H

#include <stdint.h>

#define CLOCK_NONE INT64_MAX /* "no deadline" on either clock */

#define CLOCK_WALL_LEN 32

/* Now, on either clock. */
int64_t clock_boot_ns(void);
int64_t clock_wall_ms(void);

/* The wall clock time of a boot time and the other way round, as of now, to the nearest ms. */
int64_t clock_wall_of_boot(int64_t boot_ns);
int64_t clock_boot_of_wall(int64_t wall_ms);

/* base + delta, held between 0 and CLOCK_NONE; CLOCK_NONE plus anything is CLOCK_NONE. */
int64_t clock_add(int64_t base, int64_t delta);

/* RFC 3339 in UTC with milliseconds: "2026-11-22T13:40:02.118Z". Years 0 to 9999, else held there. */
void clock_format_wall(int64_t wall_ms, char buf[CLOCK_WALL_LEN]);

/*
 * RFC 3339 with Z or an offset and an optional fraction (what is finer than a millisecond is cut
 * off). 0, or -EINVAL, with *wall_ms untouched.
 */
int clock_parse_wall(const char *s, int64_t *wall_ms);

#endif

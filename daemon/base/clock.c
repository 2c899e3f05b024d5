/* The boot clock for deadlines, the wall clock for records, and RFC 3339 both ways. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "clock.h"
#include "util.h"

#define WALL_MIN_MS INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define WALL_MAX_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

int64_t
clock_boot_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

int64_t
clock_wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / NS_PER_MS;
}

/* What to add to a boot time, in ns. Rounding hides that the two clocks are not read at once. */
static int64_t
wall_offset_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec - clock_boot_ns();
}

int64_t
clock_wall_of_boot(int64_t boot_ns)
{
	int64_t ns = clock_add(boot_ns, wall_offset_ns());

	return ns == CLOCK_NONE ? CLOCK_NONE : ns / NS_PER_MS + (ns % NS_PER_MS >= NS_PER_MS / 2);
}

int64_t
clock_boot_of_wall(int64_t wall_ms)
{
	int64_t ns;

	if (__builtin_mul_overflow(wall_ms, NS_PER_MS, &ns))
		return wall_ms > 0 ? CLOCK_NONE : 0;
	return clock_add(ns, -wall_offset_ns());
}

int64_t
clock_add(int64_t base, int64_t delta)
{
	int64_t sum;

	if (base == CLOCK_NONE || delta == CLOCK_NONE)
		return CLOCK_NONE;
	if (__builtin_add_overflow(base, delta, &sum))
		return delta > 0 ? CLOCK_NONE : 0;
	return MAX(sum, 0);
}

void
clock_format_wall(int64_t wall_ms, char buf[CLOCK_WALL_LEN])
{
	struct tm tm;
	time_t sec;
	int ms;

	wall_ms = MIN(MAX(wall_ms, WALL_MIN_MS), WALL_MAX_MS);
	ms = (int)(wall_ms % 1000);
	sec = (time_t)(wall_ms / 1000);
	if (ms < 0) {
		ms += 1000;
		sec--;
	}
	gmtime_r(&sec, &tm);
	strftime(buf, CLOCK_WALL_LEN, "%Y-%m-%dT%H:%M:%S", &tm);
	/* %Y does not pad; years before 1000 are no use but must not break the format */
	if (tm.tm_year + 1900 < 1000)
		snprintf(buf, CLOCK_WALL_LEN, "%04d-%02d-%02dT%02d:%02d:%02d",
		    (tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100, tm.tm_mday % 100,
		    tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100);
	snprintf(buf + 19, CLOCK_WALL_LEN - 19, ".%03dZ", ms % 1000);
}

/* Takes `n` digits from *s. */
static bool
take_digits(const char **s, int n, int *value)
{
	*value = 0;
	while (n-- > 0) {
		if (**s < '0' || **s > '9')
			return false;
		*value = *value * 10 + (*(*s)++ - '0');
	}
	return true;
}

static bool
take_char(const char **s, const char *any)
{
	if (!**s || !strchr(any, **s))
		return false;
	(*s)++;
	return true;
}

/* The fraction of a second in milliseconds, 0 where there is none; finer digits are cut off. */
static bool
take_fraction(const char **s, int *ms)
{
	int weight = 100;

	*ms = 0;
	if (!take_char(s, "."))
		return true;
	if (**s < '0' || **s > '9')
		return false;
	for (; **s >= '0' && **s <= '9'; (*s)++, weight /= 10)
		*ms += (**s - '0') * weight;
	return true;
}

/* "Z" or "+02:00": the offset in seconds. */
static bool
take_zone(const char **s, int *offset)
{
	int hours, minutes, sign = **s == '-' ? -1 : 1;

	*offset = 0;
	if (take_char(s, "Zz"))
		return true;
	if (!take_char(s, "+-") || !take_digits(s, 2, &hours) || !take_char(s, ":") ||
	    !take_digits(s, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*offset = sign * (hours * 3600 + minutes * 60);
	return true;
}

static bool
day_exists(int year, int month, int day)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	if (month < 1 || month > 12 || day < 1)
		return false;
	return day <= days[month - 1] + (month == 2 && leap);
}

int
clock_parse_wall(const char *s, int64_t *wall_ms)
{
	int year, month, day, hour, minute, second, ms, offset;
	struct tm tm = {0};

	if (!take_digits(&s, 4, &year) || !take_char(&s, "-") || !take_digits(&s, 2, &month) ||
	    !take_char(&s, "-") || !take_digits(&s, 2, &day) || !take_char(&s, "Tt ") ||
	    !take_digits(&s, 2, &hour) || !take_char(&s, ":") || !take_digits(&s, 2, &minute) ||
	    !take_char(&s, ":") || !take_digits(&s, 2, &second) || !take_fraction(&s, &ms) ||
	    !take_zone(&s, &offset) || *s)
		return -EINVAL;
	/* 60 is a leap second, which the system's clock counts as the next one */
	if (!day_exists(year, month, day) || hour > 23 || minute > 59 || second > 60)
		return -EINVAL;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	tm.tm_hour = hour;
	tm.tm_min = minute;
	tm.tm_sec = second;
	*wall_ms = ((int64_t)timegm(&tm) - offset) * 1000 + ms;
	return 0;
}

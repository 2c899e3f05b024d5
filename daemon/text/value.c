/* Durations, signals, times, sizes and masks as people write them; pure functions. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "util.h"
#include "value.h"

static int
refuse(const char **why, const char *text, int error)
{
	if (why)
		*why = text;
	return error;
}

static const struct unit {
	const char *name;
	int64_t ns;
} units[] = {
    /* from large to small, the order in which they may follow each other */
    {"d", 86400 * NS_PER_SEC},
    {"h", 3600 * NS_PER_SEC},
    {"m", 60 * NS_PER_SEC},
    {"s", NS_PER_SEC},
    {"ms", NS_PER_MS},
};

static int
bad_duration(const char **why)
{
	return refuse(why,
	    "must be a number of seconds or a string such as \"250ms\", \"90s\" or "
	    "\"1h30m\"",
	    -EINVAL);
}

static int
long_duration(const char **why)
{
	return refuse(why, "must be at most 10 years", -ERANGE);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The unit at *s, which is moved behind it; not before units[first]. NULL if there is none. */
static const struct unit *
take_unit(const char **s, size_t first)
{
	size_t len = 0;

	while ((*s)[len] >= 'a' && (*s)[len] <= 'z')
		len++;
	for (size_t i = first; i < ARRAY_SIZE(units); i++) {
		if (strlen(units[i].name) == len && strncmp(units[i].name, *s, len) == 0) {
			*s += len;
			return &units[i];
		}
	}
	return NULL;
}

/* A number with its unit, such as "1.5h", read twice: for its end, and for its value. */
static int
take_part(const char **s, size_t *first, bool bare, int64_t *ns, const char **why)
{
	const struct unit *unit = &units[3];
	const char *p = *s, *end = p + strspn(p, "0123456789.");
	int64_t whole = 0;

	if (!is_digit(*p))
		return bad_duration(why);
	if (*end || !bare) {
		unit = take_unit(&end, *first);
		if (!unit)
			return bad_duration(why);
	}
	for (; is_digit(*p); p++) {
		whole = whole * 10 + (*p - '0');
		if (whole > VALUE_DURATION_MAX / unit->ns)
			return long_duration(why);
	}
	*ns += whole * unit->ns;
	if (*p == '.') {
		if (!is_digit(*++p))
			return bad_duration(why);
		for (int64_t weight = unit->ns / 10; is_digit(*p); p++, weight /= 10)
			*ns += (*p - '0') * weight;
		if (*p == '.')
			return bad_duration(why);
	}
	*first = (size_t)(unit - units) + 1;
	*s = end;
	return 0;
}

int
value_duration_str(const char *s, bool bare, int64_t *ns, const char **why)
{
	const char *start = s;
	size_t first = 0;
	int64_t sum = 0;

	do {
		int r = take_part(&s, &first, bare && s == start, &sum, why);

		if (r < 0)
			return r;
		if (sum > VALUE_DURATION_MAX)
			return long_duration(why);
	} while (*s);
	if (sum == 0 && strpbrk(start, "123456789"))
		sum = 1;
	*ns = sum;
	return 0;
}

static int
duration_from_real(double seconds, int64_t *ns, const char **why)
{
	int64_t n;

	if (!(fabs(seconds) <= (double)(VALUE_DURATION_MAX / NS_PER_SEC)))
		return long_duration(why);
	n = (int64_t)(seconds * (double)NS_PER_SEC + (seconds < 0 ? -0.5 : 0.5));
	if (n == 0 && seconds != 0)
		n = seconds > 0 ? 1 : -1;
	*ns = n;
	return 0;
}

int
value_duration(const json_t *v, int64_t *ns, const char **why)
{
	json_int_t n;

	if (json_is_string(v))
		return value_duration_str(json_string_value(v), false, ns, why);
	if (json_is_real(v))
		return duration_from_real(json_real_value(v), ns, why);
	if (!json_is_integer(v))
		return bad_duration(why);
	n = json_integer_value(v);
	if (n > VALUE_DURATION_MAX / NS_PER_SEC || n < -VALUE_DURATION_MAX / NS_PER_SEC)
		return long_duration(why);
	*ns = n * NS_PER_SEC;
	return 0;
}

/* "1h48m", or "2h" where the smaller unit would be 0. */
static void
format_pair(const char *sign, int64_t ns, size_t large, char buf[VALUE_DURATION_LEN])
{
	int64_t big = ns / units[large].ns;
	int64_t small = ns % units[large].ns / units[large + 1].ns;
	int n = snprintf(buf, VALUE_DURATION_LEN, "%s%" PRId64 "%s", sign, big, units[large].name);

	if (small > 0)
		snprintf(buf + n, VALUE_DURATION_LEN - (size_t)n, "%" PRId64 "%s", small,
		    units[large + 1].name);
}

void
value_format_duration(int64_t ns, char buf[VALUE_DURATION_LEN])
{
	const char *sign = ns < 0 ? "-" : "";
	int64_t tenths;

	ns = ns == INT64_MIN ? INT64_MAX : ns < 0 ? -ns : ns;
	for (size_t i = 0; i < 3; i++) {
		if (ns >= units[i].ns) {
			format_pair(sign, ns, i, buf);
			return;
		}
	}
	tenths = ns / (NS_PER_SEC / 10);
	if (ns == 0)
		snprintf(buf, VALUE_DURATION_LEN, "0s");
	else if (ns < NS_PER_MS)
		snprintf(buf, VALUE_DURATION_LEN, "%s<1ms", sign);
	else if (ns < NS_PER_SEC)
		snprintf(buf, VALUE_DURATION_LEN, "%s%" PRId64 "ms", sign, ns / NS_PER_MS);
	else if (tenths % 10 == 0)
		snprintf(buf, VALUE_DURATION_LEN, "%s%" PRId64 "s", sign, tenths / 10);
	else
		snprintf(buf, VALUE_DURATION_LEN, "%s%" PRId64 ".%" PRId64 "s", sign, tenths / 10,
		    tenths % 10);
}

/* "TERM" for SIGTERM, or NULL. Not sigabbrev_np(): the client is linked with musl, too. */
static const char *
signal_abbrev(int signo)
{
	static const char *const names[] = {
	    [SIGHUP] = "HUP",
	    [SIGINT] = "INT",
	    [SIGQUIT] = "QUIT",
	    [SIGILL] = "ILL",
	    [SIGTRAP] = "TRAP",
	    [SIGABRT] = "ABRT",
	    [SIGBUS] = "BUS",
	    [SIGFPE] = "FPE",
	    [SIGKILL] = "KILL",
	    [SIGUSR1] = "USR1",
	    [SIGSEGV] = "SEGV",
	    [SIGUSR2] = "USR2",
	    [SIGPIPE] = "PIPE",
	    [SIGALRM] = "ALRM",
	    [SIGTERM] = "TERM",
	    [SIGSTKFLT] = "STKFLT",
	    [SIGCHLD] = "CHLD",
	    [SIGCONT] = "CONT",
	    [SIGSTOP] = "STOP",
	    [SIGTSTP] = "TSTP",
	    [SIGTTIN] = "TTIN",
	    [SIGTTOU] = "TTOU",
	    [SIGURG] = "URG",
	    [SIGXCPU] = "XCPU",
	    [SIGXFSZ] = "XFSZ",
	    [SIGVTALRM] = "VTALRM",
	    [SIGPROF] = "PROF",
	    [SIGWINCH] = "WINCH",
	    [SIGPOLL] = "POLL",
	    [SIGPWR] = "PWR",
	    [SIGSYS] = "SYS",
	};

	return signo > 0 && (size_t)signo < ARRAY_SIZE(names) ? names[signo] : NULL;
}

static int
bad_signal(const char **why)
{
	return refuse(why, "must be a signal, such as \"TERM\", \"SIGTERM\" or 15", -EINVAL);
}

/* "RTMIN", "RTMIN+3", "RTMAX-1": 0 if it is none of them. */
static int
realtime_signal(const char *name)
{
	int base = strncmp(name, "RTMIN", 5) == 0 ? SIGRTMIN : SIGRTMAX;
	int64_t offset = 0;

	if (strncmp(name, "RTMIN", 5) != 0 && strncmp(name, "RTMAX", 5) != 0)
		return 0;
	name += 5;
	if (*name && *name != (base == SIGRTMIN ? '+' : '-'))
		return 0;
	if (*name && str_to_int64(name, &offset) < 0)
		return 0;
	if (offset > SIGRTMAX - SIGRTMIN || offset < SIGRTMIN - SIGRTMAX)
		return 0;
	return base + (int)offset;
}

static int
signal_from_name(const char *name)
{
	static const struct {
		const char *name;
		int signo;
	} aliases[] = {{"IOT", SIGIOT}, {"CLD", SIGCHLD}, {"IO", SIGIO}, {"POLL", SIGPOLL}};

	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	for (int i = 1; i < SIGRTMIN; i++) {
		const char *known = signal_abbrev(i);

		if (known && strcmp(known, name) == 0)
			return i;
	}
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		if (strcmp(aliases[i].name, name) == 0)
			return aliases[i].signo;
	return realtime_signal(name);
}

static int
signal_from_number(int64_t n, int *signo, const char **why)
{
	if (n < 1 || n > SIGRTMAX)
		return refuse(why, "must be a signal from 1 to 64", -ERANGE);
	*signo = (int)n;
	return 0;
}

static int
signal_by_name(const char *s, int *signo, const char **why)
{
	int found = signal_from_name(s);

	if (found == 0)
		return bad_signal(why);
	*signo = found;
	return 0;
}

int
value_signal_str(const char *s, int *signo, const char **why)
{
	int64_t n;

	if (str_to_int64(s, &n) == 0)
		return signal_from_number(n, signo, why);
	return signal_by_name(s, signo, why);
}

int
value_signal(const json_t *v, int *signo, const char **why)
{
	if (json_is_integer(v))
		return signal_from_number(json_integer_value(v), signo, why);
	if (json_is_string(v))
		return signal_by_name(json_string_value(v), signo, why);
	return bad_signal(why);
}

const char *
value_signal_name(int signo, char buf[VALUE_SIGNAL_LEN])
{
	const char *known = signal_abbrev(signo);

	if (known)
		snprintf(buf, VALUE_SIGNAL_LEN, "SIG%s", known);
	else if (signo == SIGRTMIN)
		snprintf(buf, VALUE_SIGNAL_LEN, "SIGRTMIN");
	else if (signo > SIGRTMIN && signo <= SIGRTMAX)
		snprintf(buf, VALUE_SIGNAL_LEN, "SIGRTMIN+%d", signo - SIGRTMIN);
	else
		snprintf(buf, VALUE_SIGNAL_LEN, "SIG%d", signo);
	return buf;
}

int
value_time(const json_t *v, int64_t *wall_ms, const char **why)
{
	if (!json_is_string(v) || clock_parse_wall(json_string_value(v), wall_ms) < 0)
		return refuse(why, "must be a time such as \"2026-11-22T13:40:02Z\"", -EINVAL);
	return 0;
}

/* The power of two that "", "K", "MB", "GiB" stand for, or -1. */
static int
size_shift(const char *suffix)
{
	static const char letters[] = "KMGTP";
	const char *letter;

	if (!*suffix || strcmp(suffix, "B") == 0)
		return 0;
	letter = strchr(letters, *suffix);
	if (!letter)
		return -1;
	suffix++;
	if (*suffix && strcmp(suffix, "B") != 0 && strcmp(suffix, "iB") != 0)
		return -1;
	return 10 * (int)(letter - letters + 1);
}

int
value_size_str(const char *s, int64_t *bytes, const char **why)
{
	static const char malformed[] = "must be a number of bytes such as 4096, 64K, 64M or 1G";
	const char *end = s + strspn(s, "0123456789");
	int shift = size_shift(end);
	int64_t n = 0;

	if (end == s || shift < 0)
		return refuse(why, malformed, -EINVAL);
	for (; s < end; s++) {
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *s - '0', &n))
			return refuse(why, "must be at most 8 EiB", -ERANGE);
	}
	if (n > INT64_MAX >> shift)
		return refuse(why, "must be at most 8 EiB", -ERANGE);
	*bytes = n << shift;
	return 0;
}

int
value_umask(const char *s, mode_t *mask, const char **why)
{
	size_t len = strlen(s);
	mode_t mode = 0;

	if (len < 1 || len > 4 || strspn(s, "01234567") != len)
		return refuse(why, "must be one to four octal digits, such as \"022\"", -EINVAL);
	for (; *s; s++)
		mode = mode * 8 + (mode_t)(*s - '0');
	if (mode > 0777)
		return refuse(why, "must be at most \"0777\"", -ERANGE);
	*mask = mode;
	return 0;
}

static bool
is_name_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

bool
value_env_name_ok(const char *s)
{
	if (!is_name_char(*s))
		return false;
	while (is_name_char(*s) || is_digit(*s))
		s++;
	return *s == '\0';
}

bool
value_env_name_reserved(const char *s)
{
	return strncmp(s, "TASKCTL_", 8) == 0 || strcmp(s, "NOTIFY_SOCKET") == 0;
}

/* The log on stderr: one escaped line a call, with priority prefixes where the journal listens. */
#include <errno.h>
#include <event2/event.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "log.h"
#include "utf8.h"
#include "util.h"

static const struct {
	const char *name;
	int syslog_priority;
	const char *shown; /* in front of the text where the journal does not tell the level */
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", 3, "error: "},
    [LOG_LEVEL_WARN] = {"warn", 4, "warning: "},
    [LOG_LEVEL_INFO] = {"info", 6, ""},
    [LOG_LEVEL_DEBUG] = {"debug", 7, "debug: "},
};

/* A log that had to be handed through every function would not be called where it is needed. */
static struct {
	enum log_level level;
	bool prefixes;
} state = {LOG_LEVEL_INFO, false};

void
log_init(enum log_level level, bool journal_prefixes)
{
	state.level = level;
	state.prefixes = journal_prefixes;
}

void
log_set_level(enum log_level level)
{
	state.level = level;
}

bool
log_journal_attached(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &dev, &ino) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

int
log_level_from_name(const char *name, enum log_level *level)
{
	if (strcmp(name, "warning") == 0)
		name = "warn";
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (strcmp(levels[i].name, name) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *
log_level_name(enum log_level level)
{
	return levels[level].name;
}

static void
add_escaped(struct strbuf *out, const char *s)
{
	size_t len = strlen(s), n;
	uint32_t cp;

	for (; len > 0; s += n, len -= n) {
		n = utf8_decode(s, len, &cp);
		if (n > 0 && !utf8_is_control(cp)) {
			strbuf_add(out, s, n);
			continue;
		}
		if (n == 0)
			n = 1;
		for (size_t i = 0; i < n; i++)
			strbuf_addf(out, "\\x%02x", (unsigned char)s[i]);
	}
}

/* One write, so that lines of several processes on one stderr do not mix. */
static void
write_line(const struct strbuf *line)
{
	size_t done = 0;

	while (done < line->len) {
		ssize_t n = write(STDERR_FILENO, line->s + done, line->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* there is nobody left to tell */
		done += (size_t)n;
	}
}

static void
log_text(enum log_level level, const char *text)
{
	struct strbuf line = STRBUF_INIT;

	if (state.prefixes)
		strbuf_addf(&line, "<%d>", levels[level].syslog_priority);
	else
		strbuf_addf(&line, "taskctld: %s", levels[level].shown);
	add_escaped(&line, text);
	strbuf_addch(&line, '\n');
	write_line(&line);
	strbuf_release(&line);
}

static void __attribute__((format(printf, 2, 0)))
log_va(enum log_level level, const char *fmt, va_list ap)
{
	int saved = errno;
	char *text;

	if (level > state.level)
		return;
	text = xvasprintf(fmt, ap);
	log_text(level, text);
	free(text);
	errno = saved;
}

void
log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LOG_LEVEL_ERROR, fmt, ap);
	va_end(ap);
}

void
log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LOG_LEVEL_WARN, fmt, ap);
	va_end(ap);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LOG_LEVEL_INFO, fmt, ap);
	va_end(ap);
}

void
log_ready(const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	log_text(LOG_LEVEL_INFO, text);
	free(text);
}

void
log_debug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LOG_LEVEL_DEBUG, fmt, ap);
	va_end(ap);
}

static void
from_libevent(int severity, const char *text)
{
	switch (severity) {
	case EVENT_LOG_DEBUG: log_debug("libevent: %s", text); break;
	case EVENT_LOG_MSG: log_info("libevent: %s", text); break;
	case EVENT_LOG_WARN: log_warn("libevent: %s", text); break;
	default: log_error("libevent: %s", text); break;
	}
}

void
log_libevent(void)
{
	event_set_log_callback(from_libevent);
}

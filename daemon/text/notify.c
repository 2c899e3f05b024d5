/* Parses what a task says on its notify socket, one KEY=value a line, by a table of keys. */
#include <stdlib.h>
#include <string.h>
#include "json.h"
#include "notify.h"
#include "utf8.h"
#include "util.h"
#include "value.h"

typedef void set_fn(struct notify_msg *m, const char *value, size_t len);

static bool
is_word(const char *value, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(value, word, len) == 0;
}

static void
replace_json(json_t **slot, json_t *value)
{
	json_decref(*slot);
	*slot = value;
}

static void
replace_text(char **slot, const char *value, size_t len)
{
	struct strbuf clean = STRBUF_INIT;

	utf8_repair(&clean, value, len);
	free(*slot);
	*slot = strbuf_detach(&clean);
}

static void
set_ready(struct notify_msg *m, const char *value, size_t len)
{
	m->ready |= is_word(value, len, "1");
}

static void
set_watchdog(struct notify_msg *m, const char *value, size_t len)
{
	m->watchdog |= is_word(value, len, "1");
}

static void
set_barrier(struct notify_msg *m, const char *value, size_t len)
{
	m->barrier |= is_word(value, len, "1");
}

static void
set_uncancel(struct notify_msg *m, const char *value, size_t len)
{
	m->uncancel |= is_word(value, len, "1");
}

static void
set_cancel(struct notify_msg *m, const char *value, size_t len)
{
	m->cancel |= is_word(value, len, "1");
}

static void
set_cancelled(struct notify_msg *m, const char *value, size_t len)
{
	m->cancelled |= is_word(value, len, "1");
}

static void
set_shield(struct notify_msg *m, const char *value, size_t len)
{
	if (is_word(value, len, "1"))
		m->shield = 1;
	else if (is_word(value, len, "0"))
		m->shield = 0;
}

static void
set_status(struct notify_msg *m, const char *value, size_t len)
{
	replace_text(&m->status, value, len);
}

static void
set_error(struct notify_msg *m, const char *value, size_t len)
{
	replace_text(&m->error, value, len);
}

static void
set_msg(struct notify_msg *m, const char *value, size_t len)
{
	replace_json(&m->msg, jx_stringn(value, len));
}

static void
set_result(struct notify_msg *m, const char *value, size_t len)
{
	replace_json(&m->result, jx_stringn(value, len));
}

static void
set_msg_json(struct notify_msg *m, const char *value, size_t len)
{
	json_t *v = json_parse_value(value, len, NULL);

	if (v)
		replace_json(&m->msg, v);
}

static void
set_result_json(struct notify_msg *m, const char *value, size_t len)
{
	json_t *v = json_parse_value(value, len, NULL);

	if (v)
		replace_json(&m->result, v);
}

static void
set_progress(struct notify_msg *m, const char *value, size_t len)
{
	json_t *v = json_parse_value(value, len, NULL);
	double share = json_number_value(v);

	if (json_is_number(v) && share >= 0 && share <= 1) {
		m->has_progress = true;
		m->progress = share;
	}
	json_decref(v);
}

static void
set_extend(struct notify_msg *m, const char *value, size_t len)
{
	char text[24];
	int64_t usec;

	if (len == 0 || len >= sizeof(text))
		return;
	memcpy(text, value, len);
	text[len] = '\0';
	if (str_to_int64(text, &usec) == 0 && usec > 0)
		m->extend_ns = MIN(usec, VALUE_DURATION_MAX / 1000) * 1000;
}

static const struct {
	const char *key;
	bool own; /* ours, not sd_notify's: X_ may be in front */
	set_fn *set;
} keys[] = {
    {"READY", false, set_ready},
    {"STATUS", false, set_status},
    {"WATCHDOG", false, set_watchdog},
    {"EXTEND_TIMEOUT_USEC", false, set_extend},
    {"BARRIER", false, set_barrier},
    {"SHIELD", true, set_shield},
    {"PROGRESS", true, set_progress},
    {"RESULT", true, set_result},
    {"RESULT_JSON", true, set_result_json},
    {"ERROR", true, set_error},
    {"UNCANCEL", true, set_uncancel},
    {"CANCEL", true, set_cancel},
    {"CANCELLED", true, set_cancelled},
    {"MSG", true, set_msg},
    {"MSG_JSON", true, set_msg_json},
};

static void
parse_line(const char *line, size_t len, struct notify_msg *m)
{
	const char *equals = memchr(line, '=', len), *key = line;
	size_t key_len;
	bool prefixed;

	if (!equals)
		return;
	key_len = (size_t)(equals - line);
	prefixed = key_len > 2 && memcmp(key, "X_", 2) == 0;
	if (prefixed) {
		key += 2;
		key_len -= 2;
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (is_word(key, key_len, keys[i].key) && (keys[i].own || !prefixed)) {
			keys[i].set(m, equals + 1, len - (size_t)(equals + 1 - line));
			return;
		}
	}
}

void
notify_parse(const char *buf, size_t len, struct notify_msg *m)
{
	memset(m, 0, sizeof(*m));
	m->shield = -1;
	while (len > 0) {
		const char *lf = memchr(buf, '\n', len);
		size_t n = lf ? (size_t)(lf - buf) : len;

		parse_line(buf, n, m);
		n += lf != NULL;
		buf += n;
		len -= n;
	}
}

void
notify_msg_release(struct notify_msg *m)
{
	free(m->status);
	free(m->error);
	json_decref(m->msg);
	json_decref(m->result);
	memset(m, 0, sizeof(*m));
}

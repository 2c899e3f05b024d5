/* Requests as ordered members; see req.h. */
#include <stdlib.h>
#include <string.h>

#include "req.h"
#include "utf8.h"
#include "util.h"

/* Takes the text. A handful of members: a list is fast enough. */
static void
set_take(struct req *r, const char *key, char *text)
{
	for (int i = 0; i < r->n; i++) {
		if (strcmp(r->v[i].key, key) == 0) {
			free(r->v[i].text);
			r->v[i].text = text;
			return;
		}
	}
	r->v = xrealloc(r->v, sizeof(*r->v) * (size_t)(r->n + 1));
	r->v[r->n].key = xstrdup(key);
	r->v[r->n].text = text;
	r->n++;
}

void
req_release(struct req *r)
{
	for (int i = 0; i < r->n; i++) {
		free(r->v[i].key);
		free(r->v[i].text);
	}
	free(r->v);
	r->v = NULL;
	r->n = 0;
}

/* Control characters are escaped, so that --wire is safe to look at; other text stays readable. */
static void
quote_char(const char *s, size_t n, uint32_t cp, struct strbuf *out)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *at = n == 1 ? strchr(from, *s) : NULL;

	if (at != NULL) {
		strbuf_addch(out, '\\');
		strbuf_addch(out, to[at - from]);
	} else if (cp < 0x10000 && utf8_is_control(cp)) {
		strbuf_addf(out, "\\u%04x", (unsigned)cp);
	} else {
		strbuf_add(out, s, n);
	}
}

bool
req_quote(const char *s, struct strbuf *out)
{
	size_t left = strlen(s);

	if (!utf8_valid(s, left))
		return false;
	strbuf_addch(out, '"');
	while (left > 0) {
		uint32_t cp = 0;
		size_t n = utf8_decode(s, left, &cp);

		quote_char(s, n, cp, out);
		s += n;
		left -= n;
	}
	strbuf_addch(out, '"');
	return true;
}

bool
req_str(struct req *r, const char *key, const char *s)
{
	struct strbuf b = STRBUF_INIT;

	if (!req_quote(s, &b)) {
		strbuf_release(&b);
		return false;
	}
	set_take(r, key, strbuf_detach(&b));
	return true;
}

void
req_int(struct req *r, const char *key, int64_t n)
{
	set_take(r, key, xasprintf("%lld", (long long)n));
}

void
req_bool(struct req *r, const char *key, bool b)
{
	set_take(r, key, xstrdup(b ? "true" : "false"));
}

void
req_raw(struct req *r, const char *key, const char *json)
{
	set_take(r, key, xstrdup(json));
}

void
req_obj(struct req *r, const char *key, const struct req *members)
{
	struct strbuf b = STRBUF_INIT;

	req_print(members, &b);
	set_take(r, key, strbuf_detach(&b));
}

bool
req_is_id(const char *task, int64_t *id)
{
	if (*task < '1' || *task > '9' || task[strspn(task, "0123456789")] != '\0')
		return false;
	return str_to_int64(task, id) == 0;
}

bool
req_task(struct req *r, const char *task)
{
	int64_t id;

	if (!req_is_id(task, &id))
		return req_str(r, "name", task);
	req_int(r, "id", id);
	return true;
}

void
req_merge(struct req *r, const struct req *from)
{
	for (int i = 0; i < from->n; i++)
		req_raw(r, from->v[i].key, from->v[i].text);
}

void
req_print(const struct req *r, struct strbuf *out)
{
	strbuf_addch(out, '{');
	for (int i = 0; i < r->n; i++) {
		if (i > 0)
			strbuf_addch(out, ',');
		/* Keys are ours, or were checked by the option that set them (labels, env). */
		if (!req_quote(r->v[i].key, out))
			strbuf_adds(out, "\"\"");
		strbuf_addch(out, ':');
		strbuf_adds(out, r->v[i].text);
	}
	strbuf_addch(out, '}');
}

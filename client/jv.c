/* A small JSON reader over an arena; see jv.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jv.h"
#include "util.h"

#define BLOCK_SIZE 4000 /* a short reply fits, and malloc need not map memory for it */

struct jv_block {
	struct jv_block *next;
	size_t used, size;
	char data[] __attribute__((aligned(16)));
};

struct parser {
	struct jv_doc *doc;
	const char *p, *end;
	int depth;
};

static bool parse_value(struct parser *ps, struct jv *v);

/* Nodes and strings are freed together, with the document. */
static void *
arena_get(struct jv_doc *doc, size_t size)
{
	struct jv_block *b = doc->blocks;
	void *p;

	size = (size + 15) & ~(size_t)15;
	if (b == NULL || b->size - b->used < size) {
		size_t room = MAX(size, (size_t)BLOCK_SIZE);

		b = xmalloc(sizeof(*b) + room);
		b->used = 0;
		b->size = room;
		b->next = doc->blocks;
		doc->blocks = b;
	}
	p = b->data + b->used;
	b->used += size;
	return p;
}

static struct jv *
node_new(struct parser *ps)
{
	struct jv *v = arena_get(ps->doc, sizeof(*v));

	memset(v, 0, sizeof(*v));
	return v;
}

static void
skip_space(struct parser *ps)
{
	while (ps->p < ps->end &&
	       (*ps->p == ' ' || *ps->p == '\t' || *ps->p == '\r' || *ps->p == '\n'))
		ps->p++;
}

/* Takes the character if it is next, after white space. */
static bool
eat(struct parser *ps, char c)
{
	skip_space(ps);
	if (ps->p == ps->end || *ps->p != c)
		return false;
	ps->p++;
	return true;
}

/* Four hexadecimal digits, or -1. */
static int
hex4(const char *s)
{
	int n = 0;

	for (int i = 0; i < 4; i++) {
		char c = s[i];

		if (c >= '0' && c <= '9')
			n = n * 16 + c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			n = n * 16 + (c | 32) - 'a' + 10;
		else
			return -1;
	}
	return n;
}

static char *
put_utf8(char *o, uint32_t cp)
{
	if (cp < 0x80) {
		*o++ = (char)cp;
	} else if (cp < 0x800) {
		*o++ = (char)(0xc0 | cp >> 6);
		*o++ = (char)(0x80 | (cp & 0x3f));
	} else if (cp < 0x10000) {
		*o++ = (char)(0xe0 | cp >> 12);
		*o++ = (char)(0x80 | (cp >> 6 & 0x3f));
		*o++ = (char)(0x80 | (cp & 0x3f));
	} else {
		*o++ = (char)(0xf0 | cp >> 18);
		*o++ = (char)(0x80 | (cp >> 12 & 0x3f));
		*o++ = (char)(0x80 | (cp >> 6 & 0x3f));
		*o++ = (char)(0x80 | (cp & 0x3f));
	}
	return o;
}

/* p is behind "\u"; a surrogate pair is taken as a whole, a lone surrogate becomes U+FFFD. */
static const char *
unescape_unicode(const char *p, const char *end, char **o)
{
	int hi, lo;

	if (end - p < 4 || (hi = hex4(p)) < 0)
		return NULL;
	p += 4;
	if (hi >= 0xd800 && hi < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' &&
	    (lo = hex4(p + 2)) >= 0xdc00 && lo < 0xe000) {
		*o = put_utf8(
		    *o, 0x10000u + ((uint32_t)(hi - 0xd800) << 10) + (uint32_t)(lo - 0xdc00));
		return p + 6;
	}
	*o = put_utf8(*o, hi >= 0xd800 && hi < 0xe000 ? 0xfffd : (uint32_t)hi);
	return p;
}

/* p is behind the backslash. Returns where the text goes on, or NULL if it is no escape. */
static const char *
unescape(const char *p, const char *end, char **o)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;

	if (p == end)
		return NULL;
	if (*p == 'u')
		return unescape_unicode(p + 1, end, o);
	at = *p == '\0' ? NULL : strchr(from, *p);
	if (at == NULL)
		return NULL;
	*(*o)++ = to[at - from];
	return p + 1;
}

/* At the opening quote. The decoded text is never longer than the escaped one. */
static bool
parse_string(struct parser *ps, const char **str, size_t *len)
{
	const char *p = ps->p + 1, *close = p;
	char *out, *o;

	while (close < ps->end && *close != '"')
		close += *close == '\\' ? 2 : 1;
	if (close >= ps->end)
		return false;
	out = o = arena_get(ps->doc, (size_t)(close - p) + 1);
	while (p != NULL && p < close) {
		const char *stop = memchr(p, '\\', (size_t)(close - p));
		size_t n = (size_t)((stop == NULL ? close : stop) - p);

		memcpy(o, p, n);
		o += n;
		p = stop == NULL ? close : unescape(stop + 1, close, &o);
	}
	if (p == NULL)
		return false;
	*o = '\0';
	*str = out;
	*len = (size_t)(o - out);
	ps->p = close + 1;
	return true;
}

/* strtod() takes more than JSON allows; what a daemon sends is JSON. */
static bool
parse_number(struct parser *ps, struct jv *v)
{
	char buf[64];
	size_t n = 0;
	char *end;

	while (ps->p + n < ps->end && n < sizeof(buf) - 1 &&
	       strchr("+-0123456789.eE", ps->p[n]) != NULL && ps->p[n] != '\0')
		n++;
	memcpy(buf, ps->p, n);
	buf[n] = '\0';
	v->d = strtod(buf, &end);
	if (n == 0 || *end != '\0')
		return false;
	v->type = str_to_int64(buf, &v->n) == 0 ? JV_INT : JV_REAL;
	ps->p += n;
	return true;
}

static bool
parse_word(struct parser *ps, struct jv *v)
{
	static const struct {
		const char *word;
		enum jv_type type;
		int n;
	} words[] = {{"true", JV_BOOL, 1}, {"false", JV_BOOL, 0}, {"null", JV_NULL, 0}};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t n = strlen(words[i].word);

		if ((size_t)(ps->end - ps->p) >= n && memcmp(ps->p, words[i].word, n) == 0) {
			v->type = words[i].type;
			v->n = words[i].n;
			ps->p += n;
			return true;
		}
	}
	return false;
}

/* A value, in an object with its name before it. */
static bool
parse_member(struct parser *ps, bool object, struct jv *v)
{
	size_t unused;

	if (object) {
		skip_space(ps);
		if (ps->p == ps->end || *ps->p != '"' || !parse_string(ps, &v->key, &unused) ||
		    !eat(ps, ':'))
			return false;
	}
	return parse_value(ps, v);
}

/* An object or an array, from its opening bracket. */
static bool
parse_container(struct parser *ps, struct jv *v)
{
	bool object = *ps->p++ == '{';
	char close = object ? '}' : ']';
	struct jv **tail = &v->child;

	v->type = object ? JV_OBJECT : JV_ARRAY;
	if (++ps->depth > JV_DEPTH_MAX)
		return false;
	if (!eat(ps, close)) {
		do {
			struct jv *c = node_new(ps);

			if (!parse_member(ps, object, c))
				return false;
			*tail = c;
			tail = &c->next;
			v->len++;
		} while (eat(ps, ','));
		if (!eat(ps, close))
			return false;
	}
	ps->depth--;
	return true;
}

/* Any value; remembers its exact text. */
static bool
parse_value(struct parser *ps, struct jv *v)
{
	bool ok;

	skip_space(ps);
	if (ps->p == ps->end)
		return false;
	v->raw = ps->p;
	if (*ps->p == '"') {
		v->type = JV_STRING;
		ok = parse_string(ps, &v->str, &v->len);
	} else if (*ps->p == '{' || *ps->p == '[') {
		ok = parse_container(ps, v);
	} else if (*ps->p == '-' || (*ps->p >= '0' && *ps->p <= '9')) {
		ok = parse_number(ps, v);
	} else {
		ok = parse_word(ps, v);
	}
	v->raw_len = (size_t)(ps->p - v->raw);
	return ok;
}

struct jv *
jv_parse(struct jv_doc *doc, const char *s, size_t len)
{
	struct parser ps = {.doc = doc, .p = s, .end = s + len};
	struct jv *root = node_new(&ps);

	if (!parse_value(&ps, root))
		return NULL;
	skip_space(&ps);
	return ps.p == ps.end ? root : NULL;
}

void
jv_release(struct jv_doc *doc)
{
	struct jv_block *b;

	while ((b = doc->blocks) != NULL) {
		doc->blocks = b->next;
		free(b);
	}
}

struct jv *
jv_get(const struct jv *v, const char *key)
{
	if (v == NULL || v->type != JV_OBJECT)
		return NULL;
	for (struct jv *c = v->child; c != NULL; c = c->next) {
		if (strcmp(c->key, key) == 0)
			return c;
	}
	return NULL;
}

const char *
jv_str(const struct jv *v, const char *key)
{
	const struct jv *m = jv_get(v, key);

	return m != NULL && m->type == JV_STRING ? m->str : NULL;
}

int64_t
jv_int(const struct jv *v, const char *key, int64_t otherwise)
{
	const struct jv *m = jv_get(v, key);

	return m != NULL && m->type == JV_INT ? m->n : otherwise;
}

bool
jv_bool(const struct jv *v, const char *key)
{
	const struct jv *m = jv_get(v, key);

	return m != NULL && m->type == JV_BOOL && m->n != 0;
}

bool
jv_has(const struct jv *v, const char *key)
{
	const struct jv *m = jv_get(v, key);

	return m != NULL && m->type != JV_NULL;
}

/* Strict parsing of JSON, a writer of pure ASCII, values that never fail. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "json.h"
#include "utf8.h"
#include "util.h"

/* The depth is found without building anything: brackets outside of strings. */
static bool
too_deep(const char *s, size_t len)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < len; i++) {
		if (in_string) {
			if (s[i] == '\\')
				i++;
			else if (s[i] == '"')
				in_string = false;
			continue;
		}
		switch (s[i]) {
		case '"': in_string = true; break;
		case '{':
		case '[':
			if (++depth > JSON_DEPTH_MAX)
				return true;
			break;
		case '}':
		case ']': depth--; break;
		default: break;
		}
	}
	return false;
}

static const char *
explain(const json_error_t *error)
{
	switch (json_error_code(error)) {
	case json_error_duplicate_key:
		return "The request has the same key twice in one object; give each key once.";
	case json_error_invalid_utf8: return "The request is not valid UTF-8; encode it as UTF-8.";
	case json_error_numeric_overflow:
		return "The request has a number that does not fit; integers have 64 bits.";
	case json_error_null_byte_in_key:
	case json_error_null_character:
		return "The request has a NUL character (\\u0000) in a string; leave it out.";
	case json_error_premature_end_of_input:
		return "The JSON ends too early; a request is one whole object on one line.";
	case json_error_end_of_input_expected:
		return "There is text behind the JSON; send one object a line.";
	default: break;
	}
	if (strstr(error->text, "invalid Unicode"))
		return "The request has half of a surrogate pair; write \\ud83d\\ude00 whole.";
	return "This is not valid JSON; a request is one object on one line, such as "
	       "{\"cmd\":\"hello\"}.";
}

json_t *
json_parse_value(const char *s, size_t len, const char **why)
{
	const char *unused;
	json_error_t error;
	json_t *v;

	if (!why)
		why = &unused;
	if (too_deep(s, len)) {
		*why = "The JSON is nested deeper than 16 levels; make it flatter.";
		return NULL;
	}
	v = json_loadb(s, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (v)
		return v;
	if (json_error_code(&error) == json_error_out_of_memory)
		die_oom();
	*why = explain(&error);
	return NULL;
}

json_t *
json_parse_object(const char *s, size_t len, const char **why)
{
	json_t *v = json_parse_value(s, len, why);

	if (v && !json_is_object(v)) {
		json_decref(v);
		v = NULL;
		if (why)
			*why = "A request is a JSON object, in braces, such as "
			       "{\"cmd\":\"hello\"}.";
	}
	return v;
}

static void
dump_escape(struct strbuf *out, uint32_t cp)
{
	static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (size_t i = 0; i + 1 < sizeof(shorts); i += 2) {
		if ((uint32_t)shorts[i] == cp) {
			strbuf_addch(out, '\\');
			strbuf_addch(out, shorts[i + 1]);
			return;
		}
	}
	if (cp > 0xffff) {
		cp -= 0x10000;
		strbuf_addf(out, "\\u%04x", 0xd800 + (unsigned)(cp >> 10));
		cp = 0xdc00 + (cp & 0x3ff);
	}
	strbuf_addf(out, "\\u%04x", (unsigned)cp);
}

/* May the byte stand in a string as it is? Runs of such bytes are copied at once. */
static bool
is_plain(unsigned char c, bool ascii)
{
	if (c < 0x20 || c == '"' || c == '\\')
		return false;
	return !ascii || c < 0x7f;
}

static void
dump_string(struct strbuf *out, const char *s, size_t len, bool ascii)
{
	size_t plain;
	uint32_t cp;

	strbuf_addch(out, '"');
	while (len > 0) {
		for (plain = 0; plain < len && is_plain((unsigned char)s[plain], ascii);)
			plain++;
		strbuf_add(out, s, plain);
		s += plain;
		len -= plain;
		if (len == 0)
			break;
		size_t n = utf8_decode(s, len, &cp);

		if (n == 0) {
			cp = 0xfffd;
			n = 1;
		}
		dump_escape(out, cp);
		s += n;
		len -= n;
	}
	strbuf_addch(out, '"');
}

/* As few digits, from 15 on, as give the same number when it is read again. */
static void
dump_real(struct strbuf *out, double d)
{
	char text[40];

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, d);
		if (strtod(text, NULL) == d)
			break;
	}
	strbuf_adds(out, text);
	if (!strpbrk(text, ".e"))
		strbuf_adds(out, ".0"); /* a real stays one when it is read again */
}

static void dump_value(const json_t *v, struct strbuf *out, bool ascii);

static void
dump_object(const json_t *obj, struct strbuf *out, bool ascii)
{
	/* jansson's iterators want what they do not change to be changeable */
	json_t *o = (json_t *)(uintptr_t)obj;
	const char *key;
	json_t *value;
	char lead = '{';

	json_object_foreach (o, key, value) {
		strbuf_addch(out, lead);
		dump_string(out, key, strlen(key), ascii);
		strbuf_addch(out, ':');
		dump_value(value, out, ascii);
		lead = ',';
	}
	if (lead == '{')
		strbuf_addch(out, '{');
	strbuf_addch(out, '}');
}

static void
dump_array(const json_t *arr, struct strbuf *out, bool ascii)
{
	size_t n = json_array_size(arr);

	strbuf_addch(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			strbuf_addch(out, ',');
		dump_value(json_array_get(arr, i), out, ascii);
	}
	strbuf_addch(out, ']');
}

static void
dump_value(const json_t *v, struct strbuf *out, bool ascii)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT: dump_object(v, out, ascii); break;
	case JSON_ARRAY: dump_array(v, out, ascii); break;
	case JSON_STRING:
		dump_string(out, json_string_value(v), json_string_length(v), ascii);
		break;
	case JSON_INTEGER: strbuf_addf(out, "%lld", json_integer_value(v)); break;
	case JSON_REAL: dump_real(out, json_real_value(v)); break;
	case JSON_TRUE: strbuf_adds(out, "true"); break;
	case JSON_FALSE: strbuf_adds(out, "false"); break;
	case JSON_NULL: strbuf_adds(out, "null"); break;
	}
}

void
json_dump_line(const json_t *v, struct strbuf *out)
{
	dump_value(v, out, true);
}

void
json_dump_utf8(const json_t *v, struct strbuf *out)
{
	dump_value(v, out, false);
}

void
json_dump_string(const char *s, size_t len, struct strbuf *out)
{
	dump_string(out, s, len, true);
}

/* jansson gives NULL only when memory is out, as everything else was checked before. */
static json_t *
must(json_t *v)
{
	if (!v)
		die_oom();
	return v;
}

json_t *
jx_object(void)
{
	return must(json_object());
}

json_t *
jx_array(void)
{
	return must(json_array());
}

json_t *
jx_string(const char *s)
{
	return s ? jx_stringn(s, strlen(s)) : json_null();
}

json_t *
jx_stringn(const char *s, size_t len)
{
	struct strbuf clean = STRBUF_INIT;
	json_t *v;

	if (utf8_valid(s, len) && !memchr(s, '\0', len))
		return must(json_stringn_nocheck(s, len));
	utf8_repair(&clean, s, len);
	v = must(json_stringn_nocheck(clean.s, clean.len));
	strbuf_release(&clean);
	return v;
}

json_t *
jx_int(int64_t n)
{
	return must(json_integer(n));
}

json_t *
jx_real(double d)
{
	return isfinite(d) ? must(json_real(d)) : json_null();
}

json_t *
jx_bool(bool b)
{
	return json_boolean(b);
}

json_t *
jx_with(const char *key, json_t *value)
{
	json_t *o = jx_object();

	jx_set(o, key, value);
	return o;
}

json_t *
jx_copy(const json_t *v)
{
	return must(json_deep_copy(v));
}

void
jx_set(json_t *obj, const char *key, json_t *value)
{
	if (json_object_set_new_nocheck(obj, key, value ? value : json_null()) < 0)
		die_oom();
}

void
jx_append(json_t *arr, json_t *value)
{
	if (json_array_append_new(arr, value ? value : json_null()) < 0)
		die_oom();
}

void
json_set_str(json_t *obj, const char *key, const char *s)
{
	jx_set(obj, key, jx_string(s));
}

void
json_set_int(json_t *obj, const char *key, int64_t n)
{
	jx_set(obj, key, jx_int(n));
}

void
json_set_real(json_t *obj, const char *key, double d)
{
	jx_set(obj, key, jx_real(d));
}

void
json_set_bool(json_t *obj, const char *key, bool b)
{
	jx_set(obj, key, jx_bool(b));
}

const char *
json_get_str(const json_t *obj, const char *key)
{
	return json_string_value(json_object_get(obj, key));
}

int64_t
json_get_int(const json_t *obj, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

bool
json_get_bool(const json_t *obj, const char *key, bool otherwise)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

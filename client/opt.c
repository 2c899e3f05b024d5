/* The option parser; the tables are in opt_tables.c. See opt.h. */
#include <string.h>

#include "client.h"
#include "opt.h"

struct scan {
	struct call *call;
	const struct opt *const *tables;
	char **argv;
	int argc, at;
};

/* Tables are searched in order, so that a verb can have an option of its own for a global one. */
static const struct opt *
find_long(const struct opt *const *tables, const char *name, size_t len)
{
	for (; *tables != NULL; tables++) {
		for (const struct opt *o = *tables; o->name != NULL; o++) {
			if (strlen(o->name) == len && strncmp(o->name, name, len) == 0)
				return o;
		}
	}
	return NULL;
}

static const struct opt *
find_letter(const struct opt *const *tables, char letter)
{
	for (; *tables != NULL; tables++) {
		for (const struct opt *o = *tables; o->name != NULL; o++) {
			if (o->letter == letter)
				return o;
		}
	}
	return NULL;
}

/* Hands the value over, and says what is wrong with it. */
static int
apply(struct scan *s, const struct opt *o, const char *value)
{
	const char *why = o->apply(s->call, o, value);

	if (why == NULL)
		return 0;
	return client_usage(s->call, "--%s %s: %s.", o->name, value == NULL ? "" : value, why);
}

/* The value of an option that needs one: the rest of its word, or the next word. */
static int
apply_value(struct scan *s, const struct opt *o, const char *rest)
{
	if (rest == NULL && s->at + 1 < s->argc)
		rest = s->argv[++s->at];
	if (rest == NULL)
		return client_usage(
		    s->call, "--%s needs a value: --%s %s.", o->name, o->name, o->arg);
	return apply(s, o, rest);
}

/* --name, --name VALUE, --name=VALUE. There are no abbreviations: they would break later. */
static int
parse_long(struct scan *s, const char *word)
{
	const char *eq = strchr(word, '=');
	size_t len = eq == NULL ? strlen(word) : (size_t)(eq - word);
	const struct opt *o = find_long(s->tables, word, len);

	if (o == NULL)
		return client_usage(s->call, "There is no option --%.*s here.", (int)len, word);
	if (o->kind == OPT_FLAG && eq != NULL)
		return client_usage(s->call, "--%s takes no value.", o->name);
	if (o->kind == OPT_VALUE)
		return apply_value(s, o, eq == NULL ? NULL : eq + 1);
	return apply(s, o, eq == NULL ? NULL : eq + 1);
}

/* -f, -fn5, -n 5: a letter with a value takes the rest of the word. */
static int
parse_letters(struct scan *s, const char *word)
{
	int rc = 0;

	for (; rc == 0 && *word != '\0'; word++) {
		const struct opt *o = find_letter(s->tables, *word);

		if (o == NULL)
			return client_usage(s->call,
			    "There is no option -%c here. (Before operands that begin with a minus "
			    "sign write --.)",
			    *word);
		if (o->kind == OPT_VALUE)
			return apply_value(s, o, word[1] == '\0' ? NULL : word + 1);
		rc = apply(s, o, NULL);
	}
	return rc;
}

int
opt_parse(
    struct call *call, const struct opt *const *tables, int argc, char **argv, bool stop, int *left)
{
	struct scan s = {.call = call, .tables = tables, .argv = argv, .argc = argc};
	bool ended = false;
	int n = 0, rc = 0;

	for (s.at = 0; s.at < argc && rc == 0; s.at++) {
		char *word = argv[s.at];

		if (ended || *word != '-' || word[1] == '\0') {
			argv[n++] = word;
			ended = ended || stop;
		} else if (strcmp(word, "--") == 0) {
			ended = true;
		} else if (word[1] == '-') {
			rc = parse_long(&s, word + 2);
		} else {
			rc = parse_letters(&s, word + 1);
		}
	}
	if (n < argc)
		argv[n] = NULL;
	*left = n;
	return rc;
}

/* The configuration: one table of keys drives the file, the options, their ranges and messages. */
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "clock.h"
#include "config.h"
#include "util.h"
#include "value.h"

#define LINE_MAX_BYTES 4096
#define KIB            INT64_C(1024)
#define MIB            (KIB * KIB)
#define GIB            (MIB * KIB)

enum key_type {
	KEY_PATH,
	KEY_BOOL,
	KEY_LEVEL,
	KEY_CONTAINMENT,
	KEY_SPAWND,
	KEY_UMASK,
	KEY_DURATION,      /* nanoseconds from min to max */
	KEY_DURATION_NONE, /* ... or "none" */
	KEY_NUMBER,
	KEY_SIZE,
	KEY_LISTEN,
	KEY_ENV,
};

struct key {
	const char *section, *name;
	enum key_type type;
	size_t offset;
	int64_t min, max;
};

#define FIELD(f) offsetof(struct config, f)

static const struct key keys[] = {
    {"daemon", "listen", KEY_LISTEN, FIELD(listen), 0, 0},
    {"daemon", "no_tcp", KEY_BOOL, FIELD(no_tcp), 0, 0},
    {"daemon", "socket", KEY_PATH, FIELD(socket), 0, 0},
    {"daemon", "state_dir", KEY_PATH, FIELD(state_dir), 0, 0},
    {"daemon", "runtime_dir", KEY_PATH, FIELD(runtime_dir), 0, 0},
    {"daemon", "log_level", KEY_LEVEL, FIELD(log_level), 0, 0},
    {"daemon", "spawnd", KEY_SPAWND, FIELD(spawnd), 0, 0},
    {"daemon", "containment", KEY_CONTAINMENT, FIELD(containment), 0, 0},
    {"daemon", "shutdown_timeout", KEY_DURATION, FIELD(shutdown_timeout), 1, VALUE_DURATION_MAX},
    {"defaults", "grace", KEY_DURATION_NONE, FIELD(grace), 0, VALUE_DURATION_MAX},
    {"defaults", "hook_timeout", KEY_DURATION, FIELD(hook_timeout), 1, VALUE_DURATION_MAX},
    {"defaults", "umask", KEY_UMASK, FIELD(umask), 0, 0},
    {"defaults", "cwd", KEY_PATH, FIELD(cwd), 0, 0},
    {"defaults", "env_keep", KEY_ENV, FIELD(env_keep), 0, 0},
    {"limits", "shield_max", KEY_DURATION_NONE, FIELD(shield_max), 1, VALUE_DURATION_MAX},
    {"limits", "line_max", KEY_SIZE, FIELD(limits.line_max), 4 * KIB, 16 * MIB},
    {"limits", "connections", KEY_NUMBER, FIELD(limits.connections), 1, 1000000},
    {"limits", "connections_per_uid", KEY_NUMBER, FIELD(limits.connections_per_uid), 1, 1000000},
    {"limits", "unanswered", KEY_NUMBER, FIELD(limits.unanswered), 1, 100000},
    {"limits", "output_high", KEY_SIZE, FIELD(limits.output_high), 4 * KIB, GIB},
    {"limits", "output_close", KEY_SIZE, FIELD(limits.output_close), 4 * KIB, 4 * GIB},
    {"limits", "tasks_running", KEY_NUMBER, FIELD(limits.tasks_running), 1, 1000000},
    {"limits", "tasks_stored", KEY_NUMBER, FIELD(limits.tasks_stored), 1, 100000000},
    {"limits", "output_limit", KEY_SIZE, FIELD(limits.output_limit), 64 * KIB, 1024 * GIB},
    {"limits", "events_kept", KEY_NUMBER, FIELD(limits.events_kept), 100, 10000000},
};

/* ---- defaults ---- */

static const char *
home_dir(void)
{
	const char *home = getenv("HOME");
	const struct passwd *pw;

	if (home && *home == '/')
		return home;
	pw = getpwuid(geteuid());
	return pw && pw->pw_dir && *pw->pw_dir == '/' ? pw->pw_dir : "/";
}

/* $NAME/taskctl, or HOME/fallback/taskctl; the rules of XDG have relative paths ignored. */
static char *
xdg_path(const char *name, const char *fallback, const char *tail)
{
	const char *dir = getenv(name);

	if (dir && *dir == '/')
		return xasprintf("%s/%s", dir, tail);
	return xasprintf("%s/%s/%s", home_dir(), fallback, tail);
}

static bool
is_own_dir(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

static void
user_runtime_dir(struct config *c)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	char usual[32];

	snprintf(usual, sizeof(usual), "/run/user/%u", (unsigned)geteuid());
	if (!dir || *dir != '/')
		dir = is_own_dir(usual) ? usual : NULL;
	if (dir) {
		c->runtime_dir = xasprintf("%s/taskctl", dir);
		return;
	}
	c->runtime_dir = xasprintf("/tmp/taskctl-%u", (unsigned)geteuid());
	c->runtime_private = true;
}

static void
list_add(struct config_list *l, const char *s, size_t len)
{
	l->item[l->n++] = xstrndup(s, len);
}

static void
list_add_all(struct config_list *l, const char *const items[])
{
	for (; *items; items++)
		list_add(l, *items, strlen(*items));
}

void
config_init(struct config *c)
{
	static const char *const env_keep[] = {
	    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TMPDIR", NULL};

	memset(c, 0, sizeof(*c));
	if (geteuid() == 0) {
		c->runtime_dir = xstrdup("/run/taskctl");
		c->state_dir = xstrdup("/var/lib/taskctl");
		c->cwd = xstrdup("/");
	} else {
		user_runtime_dir(c);
		c->state_dir = xdg_path("XDG_STATE_HOME", ".local/state", "taskctl");
		c->cwd = xstrdup(home_dir());
	}
	list_add_all(&c->env_keep, env_keep);
	c->log_level = LOG_LEVEL_INFO;
	c->containment = CONFIG_CONTAIN_AUTO;
	c->umask = 022;
	c->grace = 10 * NS_PER_SEC;
	c->hook_timeout = 60 * NS_PER_SEC;
	c->shield_max = 3600 * NS_PER_SEC;
	c->shutdown_timeout = 90 * NS_PER_SEC;
	c->limits = (struct config_limits){
	    .line_max = 256 * KIB,
	    .connections = 1024,
	    .connections_per_uid = 1024,
	    .unanswered = 128,
	    .output_high = 1 * MIB,
	    .output_close = 4 * MIB,
	    .tasks_running = 10000,
	    .tasks_stored = 1000000,
	    .output_limit = 64 * MIB,
	    .events_kept = 100000,
	};
}

void
config_list_clear(struct config_list *l)
{
	while (l->n > 0)
		free(l->item[--l->n]);
}

void
config_release(struct config *c)
{
	config_list_clear(&c->listen);
	config_list_clear(&c->env_keep);
	free(c->socket);
	free(c->state_dir);
	free(c->runtime_dir);
	free(c->cwd);
	free(c->spawnd);
	memset(c, 0, sizeof(*c));
}

char *
config_default_path(void)
{
	if (geteuid() == 0)
		return xstrdup("/etc/taskctl/taskctld.conf");
	return xdg_path("XDG_CONFIG_HOME", ".config", "taskctl/taskctld.conf");
}

/* ---- one value; each returns NULL, or the sentence for the mistake, without its subject ---- */

static char *
set_path(char **slot, const char *value)
{
	if (*value != '/')
		return xstrdup("must be a path that begins with /");
	free(*slot);
	*slot = xstrdup(value);
	return NULL;
}

static char *
set_bool(bool *slot, const char *value)
{
	static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(words[i], value) == 0) {
			*slot = i % 2 == 1;
			return NULL;
		}
	}
	return xstrdup("must be yes or no");
}

static char *
set_level(enum log_level *slot, const char *value)
{
	if (log_level_from_name(value, slot) < 0)
		return xstrdup("must be error, warn, info or debug");
	return NULL;
}

static char *
set_containment(enum config_containment *slot, const char *value)
{
	if (strcmp(value, "auto") == 0)
		*slot = CONFIG_CONTAIN_AUTO;
	else if (strcmp(value, "subreaper") == 0)
		*slot = CONFIG_CONTAIN_SUBREAPER;
	else
		return xstrdup("must be auto or subreaper");
	return NULL;
}

static char *
set_spawnd(struct config *c, const char *value)
{
	bool external = strcmp(value, "external") == 0;

	if (!external && *value != '/')
		return xstrdup("must be external, or the path of taskspawnd, beginning with /");
	free(c->spawnd);
	c->spawnd = external ? NULL : xstrdup(value);
	c->spawnd_external = external;
	return NULL;
}

static char *
set_umask(mode_t *slot, const char *value)
{
	const char *why;

	return value_umask(value, slot, &why) < 0 ? xstrdup(why) : NULL;
}

static char *
set_duration(const struct key *key, int64_t *slot, const char *value)
{
	const char *why;
	int64_t ns;

	if (key->type == KEY_DURATION_NONE && strcmp(value, "none") == 0) {
		*slot = CLOCK_NONE;
		return NULL;
	}
	if (value_duration_str(value, true, &ns, &why) < 0)
		return xstrdup(why);
	if (ns < key->min)
		return xstrdup("must be greater than 0");
	*slot = ns;
	return NULL;
}

static char *
set_number(const struct key *key, int64_t *slot, const char *value)
{
	const char *why;
	int64_t n;

	if (key->type == KEY_SIZE) {
		if (value_size_str(value, &n, &why) < 0)
			return xstrdup(why);
	} else if (str_to_int64(value, &n) < 0) {
		return xstrdup("must be a whole number");
	}
	if (n < key->min || n > key->max)
		return xasprintf("must be from %" PRId64 " to %" PRId64, key->min, key->max);
	*slot = n;
	return NULL;
}

/* HOST:PORT or [V6]:PORT: who they are is for the one who listens to find out. */
static bool
is_host_port(const char *s, size_t len)
{
	const char *colon = memrchr(s, ':', len);
	char digits[8];
	size_t n;
	int64_t port;

	if (!colon || colon == s)
		return false;
	n = len - (size_t)(colon + 1 - s);
	if (n < 1 || n > 5 || strspn(colon + 1, "0123456789") < n)
		return false;
	memcpy(digits, colon + 1, n);
	digits[n] = '\0';
	if (str_to_int64(digits, &port) < 0 || port > 65535)
		return false;
	if (*s == '[')
		return colon - s > 2 && colon[-1] == ']';
	return !memchr(s, ':', (size_t)(colon - s));
}

static char *
add_item(const struct key *key, struct config_list *l, const char *s, size_t len)
{
	size_t room = key->type == KEY_LISTEN ? CONFIG_LISTEN_MAX : CONFIG_ENV_MAX;

	if (l->n == room)
		return xasprintf("must have at most %zu entries", room);
	if (key->type == KEY_LISTEN) {
		if (!is_host_port(s, len))
			return xasprintf("must be HOST:PORT, such as 127.0.0.1:%d or [::1]:%d, "
					 "not %.*s",
			    CONFIG_PORT, CONFIG_PORT, (int)len, s);
	} else {
		char *item = xstrndup(s, len);
		bool good = value_env_name_ok(item) && !value_env_name_reserved(item);
		free(item);
		if (!good)
			return xasprintf("must be names of variables, which %.*s is not, or it is "
					 "one that taskctld sets itself",
			    (int)len, s);
	}
	list_add(l, s, len);
	return NULL;
}

static char *
add_items(const struct key *key, struct config_list *l, const char *value)
{
	static const char between[] = " \t,";

	value += strspn(value, between);
	while (*value) {
		size_t len = strcspn(value, between);
		char *why = add_item(key, l, value, len);

		if (why)
			return why;
		value += len;
		value += strspn(value, between);
	}
	return NULL;
}

static char *
set_value(struct config *c, const struct key *key, const char *value)
{
	void *slot = (char *)c + key->offset;

	if (!*value && key->type != KEY_ENV)
		return xstrdup("must have a value");
	switch (key->type) {
	case KEY_PATH:
		if (key->offset == FIELD(runtime_dir))
			c->runtime_private = false;
		return set_path(slot, value);
	case KEY_BOOL: return set_bool(slot, value);
	case KEY_LEVEL: return set_level(slot, value);
	case KEY_CONTAINMENT: return set_containment(slot, value);
	case KEY_SPAWND: return set_spawnd(c, value);
	case KEY_UMASK: return set_umask(slot, value);
	case KEY_DURATION:
	case KEY_DURATION_NONE: return set_duration(key, slot, value);
	case KEY_NUMBER:
	case KEY_SIZE: return set_number(key, slot, value);
	case KEY_LISTEN:
	case KEY_ENV: return add_items(key, slot, value);
	}
	return NULL;
}

static const struct key *
find_key(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

int
config_set(struct config *c, const char *name, const char *value, char **why)
{
	const struct key *key = find_key(name);
	char *mistake;

	if (!key) {
		*why = xasprintf("There is no key called %s.", name);
		return -EINVAL;
	}
	mistake = set_value(c, key, value);
	if (!mistake)
		return 0;
	*why = xasprintf("%s %s.", name, mistake);
	free(mistake);
	return -EINVAL;
}

/* ---- the file ---- */

struct reading {
	struct config *c;
	const char *path;
	unsigned line;
	const char *section;         /* of the table; NULL before the first one */
	bool seen[ARRAY_SIZE(keys)]; /* lists are replaced by their first line, then grow */
	unsigned seen_at[ARRAY_SIZE(keys)];
	unsigned mistakes;
	config_report *report;
	void *ctx;
};

static void
report_mistake(struct reading *in, const char *text)
{
	in->mistakes++;
	in->report(in->ctx, in->path, in->line, text);
}

static void
report_mistake_take(struct reading *in, char *text)
{
	report_mistake(in, text);
	free(text);
}

/* Cuts white space off both ends, in place. */
static char *
strip(char *s)
{
	size_t len;

	s += strspn(s, " \t\r\n");
	len = strlen(s);
	while (len > 0 && strchr(" \t\r\n", s[len - 1]))
		len--;
	s[len] = '\0';
	return s;
}

static void
read_section(struct reading *in, char *s)
{
	size_t len = strlen(s);

	if (len < 2 || s[len - 1] != ']') {
		report_mistake(in, "A section is written as [name].");
		return;
	}
	s[len - 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(keys[i].section, s + 1) == 0) {
			in->section = keys[i].section;
			return;
		}
	}
	in->section = NULL;
	report_mistake_take(
	    in, xasprintf("There is no section [%s]; there are [daemon], [defaults] and "
			  "[limits].",
		    s + 1));
}

/* May this line set the key? Lists may be given again, all else once. */
static bool
admit_key(struct reading *in, const struct key *key)
{
	size_t i = (size_t)(key - keys);
	bool list = key->type == KEY_LISTEN || key->type == KEY_ENV;

	if (in->section && strcmp(in->section, key->section) != 0) {
		report_mistake_take(
		    in, xasprintf("%s belongs into the section [%s].", key->name, key->section));
		return false;
	}
	if (in->seen[i] && !list) {
		report_mistake_take(
		    in, xasprintf("%s was set in line %u already; remove one of the two.",
			    key->name, in->seen_at[i]));
		return false;
	}
	if (!in->seen[i] && list)
		config_list_clear((struct config_list *)((char *)in->c + key->offset));
	in->seen[i] = true;
	in->seen_at[i] = in->line;
	return true;
}

static void
read_setting(struct reading *in, char *s)
{
	char *equals = strchr(s, '='), *name, *value, *why;
	const struct key *key;

	if (!equals) {
		report_mistake(in, "A line is written as key = value.");
		return;
	}
	*equals = '\0';
	name = strip(s);
	value = strip(equals + 1);
	key = find_key(name);
	if (key && !admit_key(in, key))
		return;
	if (config_set(in->c, name, value, &why) < 0)
		report_mistake_take(in, why);
}

static void
read_line(struct reading *in, char *s, size_t len)
{
	char *text;

	if (strlen(s) != len) {
		report_mistake(in, "The line has a NUL character; this is no text file.");
		return;
	}
	text = strip(s);
	if (!*text || *text == '#')
		return;
	if (len > LINE_MAX_BYTES)
		report_mistake(in, "The line is longer than 4096 bytes.");
	else if (*text == '[')
		read_section(in, text);
	else
		read_setting(in, text);
}

int
config_load(struct config *c, const char *path, config_report *report, void *ctx)
{
	struct reading in = {.c = c, .path = path, .report = report, .ctx = ctx};
	FILE *f = fopen(path, "re");
	char *s = NULL;
	size_t size = 0;
	ssize_t len;
	int error;

	if (!f)
		return -errno;
	errno = 0;
	while ((len = getline(&s, &size, f)) >= 0) {
		in.line++;
		read_line(&in, s, (size_t)len);
		errno = 0;
	}
	error = ferror(f) ? errno : 0;
	free(s);
	fclose(f);
	if (error)
		return -error;
	return in.mistakes ? -EINVAL : 0;
}

/* ---- what follows from the rest ---- */

static void
default_listeners(struct config *c)
{
	static const char *const usual[] = {"127.0.0.1:8275", "[::1]:8275", NULL};

	if (c->no_tcp)
		config_list_clear(&c->listen);
	else if (c->listen.n == 0)
		list_add_all(&c->listen, usual);
}

int
config_finish(struct config *c, config_report *report, void *ctx)
{
	struct reading in = {.c = c, .path = "taskctld", .report = report, .ctx = ctx};

	default_listeners(c);
	if (!c->socket)
		c->socket = xasprintf("%s/taskctl.sock", c->runtime_dir);
	if (strlen(c->socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		report_mistake_take(
		    &in, xasprintf("The path of the socket, %s, is longer than the 107 "
				   "bytes that a socket can have; choose a shorter one.",
			     c->socket));
	if (c->limits.output_close < c->limits.output_high)
		report_mistake(&in, "output_close must be at least output_high.");
	if (c->limits.output_close < c->limits.line_max)
		report_mistake(&in, "output_close must be at least line_max.");
	return in.mistakes ? -EINVAL : 0;
}

/* Every option of taskctl, and what each does with its value. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "opt.h"
#include "value.h"

#define NOT_TEXT "is not UTF-8 text, and the protocol carries only that"

static const char *
set_flag(struct call *call, const struct opt *o, const char *value)
{
	(void)value;
	*(bool *)((char *)call + o->field) = true;
	return NULL;
}

static const char *
set_string(struct call *call, const struct opt *o, const char *value)
{
	*(const char **)((char *)call + o->field) = value;
	return NULL;
}

static const char *
member_true(struct call *call, const struct opt *o, const char *value)
{
	(void)value;
	req_bool(&call->members, o->member, true);
	return NULL;
}

/* --wait is a member and changes how the answer is told. */
static const char *
member_wait(struct call *call, const struct opt *o, const char *value)
{
	call->wait = true;
	return member_true(call, o, value);
}

static const char *
member_str(struct call *call, const struct opt *o, const char *value)
{
	if (*value == '\0' && strcmp(o->member, "msg") != 0)
		return "must not be empty";
	return req_str(&call->members, o->member, value) ? NULL : NOT_TEXT;
}

static const char *
member_abs_path(struct call *call, const struct opt *o, const char *value)
{
	char *real = NULL;
	const char *why;

	/* The daemon wants an absolute one; what does not exist here may exist where it runs. */
	if (*value != '/') {
		real = realpath(value, NULL);
		if (real == NULL)
			return "is no directory here; write an absolute path";
	}
	why = member_str(call, o, real == NULL ? value : real);
	free(real);
	return why;
}

/* The shortest form: 600, -0.25. */
void
opt_seconds(struct req *r, const char *member, int64_t ns)
{
	char buf[40];
	size_t n;

	snprintf(buf, sizeof(buf), "%s%lld.%09lld", ns < 0 ? "-" : "", llabs(ns) / NS_PER_SEC,
	    llabs(ns) % NS_PER_SEC);
	n = strlen(buf);
	while (buf[n - 1] == '0')
		n--;
	buf[buf[n - 1] == '.' ? n - 1 : n] = '\0';
	req_raw(r, member, buf);
}

const char *
opt_duration(struct req *r, const char *member, const char *value, bool zero)
{
	const char *why = NULL;
	int64_t ns = 0;

	if (value_duration_str(value, true, &ns, &why) < 0)
		return why;
	if (ns < 0 || (ns == 0 && !zero))
		return "must be more than 0";
	if (value[strspn(value, "0123456789.")] != '\0')
		req_str(r, member, value);
	else
		opt_seconds(r, member, ns);
	return NULL;
}

static const char *
member_duration(struct call *call, const struct opt *o, const char *value)
{
	return opt_duration(&call->members, o->member, value, true);
}

/* Grace, which can also be unlimited. */
static const char *
member_grace(struct call *call, const struct opt *o, const char *value)
{
	if (strcmp(value, "unlimited") != 0)
		return member_duration(call, o, value);
	req_raw(&call->members, o->member, "null");
	return NULL;
}

/* The help text is the list of what is allowed. */
static const char *
member_choice(struct call *call, const struct opt *o, const char *value)
{
	size_t len = strlen(value);
	const char *at = o->arg;

	for (; at != NULL; at = strchr(at, '|')) {
		at += *at == '|';
		if (len > 0 && strncmp(at, value, len) == 0 && (at[len] == '|' || at[len] == '\0'))
			return member_str(call, o, value);
	}
	return "must be one of the words that 'taskctl help' names";
}

const char *
opt_signal(struct req *r, const char *member, const char *value)
{
	char name[VALUE_SIGNAL_LEN] = "";
	const char *why = NULL;
	int signo;

	for (size_t i = 0; value[i] != '\0' && i + 1 < sizeof(name); i++) {
		name[i] = (char)toupper((unsigned char)value[i]);
		name[i + 1] = '\0';
	}
	if (value_signal_str(name, &signo, &why) < 0)
		return why;
	req_str(r, member, value_signal_name(signo, name));
	return NULL;
}

static const char *
member_signal(struct call *call, const struct opt *o, const char *value)
{
	return opt_signal(&call->members, o->member, value);
}

static const char *
member_separate(struct call *call, const struct opt *o, const char *value)
{
	(void)value;
	call->separate = true;
	return member_str(call, o, "separate");
}

static const char *
member_attached(struct call *call, const struct opt *o, const char *value)
{
	(void)value;
	return member_str(call, o, "connection");
}

static const char *
member_own(struct call *call, const struct opt *o, const char *value)
{
	(void)value;
	return member_str(call, o, "own");
}

/* --shield alone is true, with a time an object. */
static const char *
member_shield(struct call *call, const struct opt *o, const char *value)
{
	struct req shield = {0};
	const char *why;

	if (value == NULL)
		return member_true(call, o, NULL);
	why = opt_duration(&shield, "for", value, false);
	if (why == NULL)
		req_obj(&call->members, o->member, &shield);
	req_release(&shield);
	return why;
}

/* KEY=VALUE into an object. */
static const char *
pair(struct req *r, const char *value)
{
	const char *eq = strchr(value, '='), *why = NULL;
	struct strbuf check = STRBUF_INIT;
	char *key;

	if (eq == NULL || eq == value)
		return "must be KEY=VALUE";
	key = xstrndup(value, (size_t)(eq - value));
	if (!req_quote(key, &check) || !req_str(r, key, eq + 1))
		why = NOT_TEXT;
	strbuf_release(&check);
	free(key);
	return why;
}

/* For start the labels of the task, for a selector those that it must have. */
static const char *
add_label(struct call *call, const struct opt *o, const char *value)
{
	(void)o;
	return pair(&call->labels, value);
}

static const char *
add_env(struct call *call, const struct opt *o, const char *value)
{
	char *name = xstrndup(value, strcspn(value, "="));
	const char *bare = *name == '-' ? name + 1 : name, *why = NULL;

	(void)o;
	if (!value_env_name_ok(bare))
		why = "must be NAME=VALUE, or -NAME to take a variable away";
	else if (value_env_name_reserved(bare))
		why = "is a name that only the daemon sets";
	else if (bare != name && bare[strlen(bare)] == '\0' && strchr(value, '=') == NULL)
		req_raw(&call->env, bare, "null");
	else
		why = bare != name ? "must be NAME=VALUE or -NAME" : pair(&call->env, value);
	free(name);
	return why;
}

/* [T:]CMD; what stands before the colon is a time only if it is one. */
static const char *
add_hook(struct call *call, const struct opt *o, const char *value)
{
	struct strbuf *b = &call->hooks[o->field];
	const char *colon = strchr(value, ':');
	struct req hook = {0};
	char *time = colon == NULL ? NULL : xstrndup(value, (size_t)(colon - value));
	bool ok;

	if (time != NULL && opt_duration(&hook, "timeout", time, false) == NULL)
		value = colon + 1;
	free(time);
	ok = *value != '\0' && req_str(&hook, "shell", value);
	if (ok) {
		if (call->nhooks[o->field]++ > 0)
			strbuf_addch(b, ',');
		req_print(&hook, b);
	}
	req_release(&hook);
	return ok ? NULL : "must be [TIME:]COMMAND, in UTF-8";
}

static const char *
select_str(struct call *call, const struct opt *o, const char *value)
{
	if (*value == '\0')
		return "must not be empty";
	return req_str(&call->select, o->member, value) ? NULL : NOT_TEXT;
}

/* Everything, said aloud: no verb acts on all tasks by default. */
static const char *
select_all(struct call *call, const struct opt *o, const char *value)
{
	(void)value;
	req_bool(&call->select, o->member, true);
	return NULL;
}

/* One state or several with commas; each --state adds. One alone goes out as a plain string. */
static const char *
select_state(struct call *call, const struct opt *o, const char *value)
{
	struct strbuf *b = &call->states;
	char *array;

	while (*value != '\0') {
		size_t n = strcspn(value, ",");

		if (n == 0 || strspn(value, "abcdefghijklmnopqrstuvwxyz_") < n)
			return "must be states such as running or done, with commas between";
		strbuf_addf(b, "%s\"%.*s\"", b->len == 0 ? "" : ",", (int)n, value);
		value += n + (value[n] == ',');
	}
	if (b->len == 0)
		return "must not be empty";
	array = xasprintf(strchr(b->s, ',') == NULL ? "%s" : "[%s]", b->s);
	req_raw(&call->select, o->member, array);
	free(array);
	return NULL;
}

static const char *
set_output(struct call *call, const struct opt *o, const char *value)
{
	(void)o;
	call->json = strcmp(value, "json") == 0;
	return call->json || strcmp(value, "text") == 0 ? NULL : "must be json or text";
}

static const char *
set_count(struct call *call, const struct opt *o, const char *value)
{
	int64_t n;

	if (str_to_int64(value, &n) < 0 || n < 0)
		return "must be a whole number, 0 or more";
	return set_string(call, o, value);
}

#define FIELD(f) offsetof(struct call, f)
#define END       \
	{         \
		0 \
	}

/* clang-format off */
const struct opt opt_global[] = {
	{"host", 'H', OPT_VALUE, "WHERE", set_string, NULL, FIELD(host), "the daemon: HOST:PORT or unix:PATH"},
	{"output", 'o', OPT_VALUE, "json|text", set_output, NULL, 0, "json: one wire object a line, as it came"},
	{"wire", 0, OPT_FLAG, NULL, set_flag, NULL, FIELD(wire), "print the request line, send nothing"},
	{"raw", 0, OPT_FLAG, NULL, set_flag, NULL, FIELD(raw), "do not escape control characters on a terminal"},
	{"help", 'h', OPT_FLAG, NULL, set_flag, NULL, FIELD(help), "say how this is used"},
	{"version", 0, OPT_FLAG, NULL, set_flag, NULL, FIELD(version), "say which version this is"},
	END,
};

const struct opt opt_selector[] = {
	{"label", 'l', OPT_VALUE, "KEY=VALUE", add_label, NULL, 0, "tasks with this label"},
	{"name", 0, OPT_VALUE, "NAME", select_str, "name", 0, "tasks of this name"},
	{"state", 0, OPT_VALUE, "STATE[,STATE]", select_state, "state", 0, "tasks in this state"},
	{"all", 0, OPT_FLAG, NULL, select_all, "all", 0, "all tasks"},
	{"dry-run", 0, OPT_FLAG, NULL, set_flag, NULL, FIELD(dry_run), "only list the tasks that it would be"},
	END,
};

const struct opt opt_start[] = {
	{"sh", 0, OPT_VALUE, "LINE", set_string, NULL, FIELD(shell_line), "a line for /bin/sh instead of CMD"},
	{"name", 0, OPT_VALUE, "NAME", member_str, "name", 0, "name, for people and selectors"},
	{"label", 'l', OPT_VALUE, "KEY=VALUE", add_label, NULL, 0, "label, for selectors; may be repeated"},
	{"key", 0, OPT_VALUE, "KEY", member_str, "key", 0, "start at most once under this key"},
	{"timeout", 0, OPT_VALUE, "T", member_duration, "timeout", 0, "deadline, from the start of the process"},
	{"grace", 0, OPT_VALUE, "T|unlimited", member_grace, "grace", 0, "from the cancel to SIGKILL (10s)"},
	{"signal", 0, OPT_VALUE, "SIG", member_signal, "signal", 0, "what a cancel sends (TERM)"},
	{"signal-to", 0, OPT_VALUE, "leader|tree", member_choice, "signal_to", 0, "whom it is sent to (tree)"},
	{"on-refuse", 0, OPT_VALUE, "kill|keep", member_choice, "on_refuse", 0, "when the grace is over (kill)"},
	{"shield", 0, OPT_OPTIONAL, "T", member_shield, "shield", 0, "shielded from the first instant, for T"},
	{"on-cancel", 0, OPT_VALUE, "[T:]CMD", add_hook, NULL, 0, "hook, a shell line, T its time (60s)"},
	{"on-timeout", 0, OPT_VALUE, "[T:]CMD", add_hook, NULL, 1, "hook; without one, on-cancel's runs"},
	{"on-failure", 0, OPT_VALUE, "[T:]CMD", add_hook, NULL, 2, "hook"},
	{"finally", 0, OPT_VALUE, "[T:]CMD", add_hook, NULL, 3, "hook, runs last, whatever happened"},
	{"hook-errors", 0, OPT_VALUE, "fail|warn", member_choice, "hook_errors", 0, "what a failed hook does (fail)"},
	{"cwd", 0, OPT_VALUE, "DIR", member_abs_path, "cwd", 0, "directory (here, if the daemon is here)"},
	{"env", 'e', OPT_VALUE, "NAME=VALUE", add_env, NULL, 0, "variable; -NAME takes one away"},
	{"stdin", 0, OPT_VALUE, "FILE|-", set_string, NULL, FIELD(stdin_file), "input, text, read before the start"},
	{"separate", 0, OPT_FLAG, NULL, member_separate, "output", 0, "keep stdout and stderr apart"},
	{"hold", 0, OPT_FLAG, NULL, member_true, "hold", 0, "stays pending until 'taskctl release'"},
	{"attached", 0, OPT_FLAG, NULL, member_attached, "lifetime", 0, "cancel it if this taskctl goes away"},
	END,
};

const struct opt opt_run[] = {
	{"detach-on-hup", 0, OPT_FLAG, NULL, set_flag, NULL, FIELD(detach_on_hup), "on SIGHUP leave the task alone and go"},
	END,
};

const struct opt opt_msg[] = {
	{"msg", 'm', OPT_VALUE, "MSG", member_str, "msg", 0, "message"},
	END,
};

const struct opt opt_cancel[] = {
	{"grace", 0, OPT_VALUE, "T", member_duration, "grace", 0, "shortens the time until SIGKILL"},
	{"wait", 0, OPT_FLAG, NULL, member_wait, "wait", 0, "answer when the task has ended"},
	END,
};

const struct opt opt_kill[] = {
	{"pierce", 0, OPT_FLAG, NULL, member_true, "pierce", 0, "also if it is shielded, or its hooks run"},
	END,
};

const struct opt opt_shield[] = {
	{"for", 0, OPT_VALUE, "T", member_duration, "for", 0, "the shield ends by itself after T"},
	END,
};

const struct opt opt_wait[] = {
	{"timeout", 0, OPT_VALUE, "T", member_duration, "timeout", 0, "wait no longer; exit code 75"},
	{"own", 0, OPT_FLAG, NULL, member_own, "mode", 0, "cancel the task if this wait times out or is lost"},
	{"any", 0, OPT_FLAG, NULL, set_flag, NULL, FIELD(any), "until one of them has ended"},
	END,
};

const struct opt opt_ps[] = {
	{"all", 'a', OPT_FLAG, NULL, set_flag, NULL, FIELD(every), "those that have ended, too"},
	END,
};

const struct opt opt_logs[] = {
	{"follow", 'f', OPT_FLAG, NULL, set_flag, NULL, FIELD(follow), "go on until the task has ended"},
	{"lines", 'n', OPT_VALUE, "N", set_count, NULL, FIELD(lines), "only the last N lines"},
	{"stderr", 0, OPT_FLAG, NULL, set_flag, NULL, FIELD(from_stderr), "stderr of a task with --separate"},
	END,
};

const struct opt opt_events[] = {
	{"follow", 'f', OPT_FLAG, NULL, set_flag, NULL, FIELD(follow), "go on as they happen"},
	{"since", 0, OPT_VALUE, "SEQ", set_count, NULL, FIELD(since), "those after this number"},
	END,
};
/* clang-format on */

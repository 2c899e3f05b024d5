/*
 * What is executed, and with what: command, environment, output files of tasks and hooks; and what
 * a task finds in its cancel file.
 */
#include "runner_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "log.h"
#include "util.h"

/* -- environment -- */

/* A NULL-terminated list of NAME=value strings. */
struct env {
	char **item;
	size_t n;
};

static void
env_release(struct env *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->item[i]);
	free(e->item);
}

static size_t
env_place(const struct env *e, const char *name, size_t len)
{
	size_t i = 0;

	while (i < e->n && (strncmp(e->item[i], name, len) != 0 || e->item[i][len] != '='))
		i++;
	return i;
}

static void
env_unset(struct env *e, const char *name)
{
	size_t i = env_place(e, name, strlen(name));

	if (i == e->n)
		return;
	free(e->item[i]);
	e->item[i] = e->item[--e->n];
	e->item[e->n] = NULL;
}

static void
env_set(struct env *e, const char *name, const char *value)
{
	size_t i = env_place(e, name, strlen(name));

	if (i == e->n) {
		e->item = xrealloc(e->item, (e->n + 2) * sizeof(char *));
		e->item[++e->n] = NULL;
	} else {
		free(e->item[i]);
	}
	e->item[i] = xasprintf("%s=%s", name, value);
}

static void
env_set_number(struct env *e, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	env_set(e, name, text);
}

static bool
is_kept(const struct config_list *keep, const char *entry)
{
	size_t len = strcspn(entry, "=");

	for (size_t i = 0; i < keep->n; i++) {
		size_t n = strlen(keep->item[i]);
		bool prefix = n > 0 && keep->item[i][n - 1] == '*';

		if (prefix ? strncmp(entry, keep->item[i], n - 1) == 0
			   : n == len && strncmp(entry, keep->item[i], n) == 0)
			return true;
	}
	return false;
}

char **
runner_filter_env(const struct config *c, char *const *from)
{
	struct env e = {0};

	env_set(&e, "PATH", "/usr/local/bin:/usr/bin:/bin");
	for (; *from != NULL; from++) {
		char *name = xstrndup(*from, strcspn(*from, "="));

		if (is_kept(&c->env_keep, *from) && strchr(*from, '=') != NULL)
			env_set(&e, name, strchr(*from, '=') + 1);
		free(name);
	}
	return e.item;
}

static void
env_of_task(struct env *e, const struct runner *r, const struct task *t)
{
	json_t *value, *wanted = json_object_get(t->spec, "env");
	const char *key;

	for (char **base = r->env; *base != NULL; base++) {
		e->item = xrealloc(e->item, (e->n + 2) * sizeof(char *));
		e->item[e->n++] = xstrdup(*base);
		e->item[e->n] = NULL;
	}
	json_object_foreach (wanted, key, value) {
		if (json_is_null(value))
			env_unset(e, key);
		else
			env_set(e, key, json_string_value(value));
	}
	env_set_number(e, "TASKCTL_ID", t->id);
	env_set(e, "TASKCTL_NAME", t->name);
	env_set(e, "TASKCTL_SOCKET", r->opts.socket);
}

/* A message as text: a string as it is, any other value as JSON. Appended to b. */
static void
msg_text(const json_t *msg, struct strbuf *b)
{
	if (json_is_string(msg))
		strbuf_add(b, json_string_value(msg), json_string_length(msg));
	else if (msg != NULL)
		json_dump_utf8(msg, b);
}

static void
env_of_hook(struct env *e, const struct task *t, const struct task_hook *h)
{
	const struct task_request *q = task_request(t, rules_shown_request(&t->facts));
	struct strbuf text = STRBUF_INIT;
	char name[VALUE_SIGNAL_LEN];

	env_set(e, "TASKCTL_OUTCOME", rules_state_name(t->facts.outcome));
	if (t->exit_kind == EXIT_ENDED && t->exit.signalled)
		env_set(e, "TASKCTL_EXIT_SIGNAL", value_signal_name(t->exit.code, name));
	else if (t->exit_kind == EXIT_ENDED)
		env_set_number(e, "TASKCTL_EXIT_CODE", (uint64_t)t->exit.code);
	if (q != NULL && q->msg != NULL) {
		msg_text(q->msg, &text);
		env_set(e, "TASKCTL_CANCEL_MSG", strbuf_str(&text));
	} else if (t->declared_msg != NULL) {
		msg_text(t->declared_msg, &text);
		env_set(e, "TASKCTL_CANCEL_MSG", strbuf_str(&text));
	}
	if (q != NULL)
		env_set(e, "TASKCTL_CANCEL_ORIGIN", task_origin_name(q->origin));
	else if (t->facts.deadline_out)
		env_set(e, "TASKCTL_CANCEL_ORIGIN", "deadline");
	env_set(e, "TASKCTL_HOOK", task_hook_name(h->kind));
	env_set_number(e, "TASKCTL_HOOK_ATTEMPT", h->attempts);
	strbuf_release(&text);
}

/* -- commands -- */

/* The argv of a start or hook; the array is the caller's to free, its strings are borrowed. */
static const char **
argv_of(const json_t *spec)
{
	const json_t *argv = json_object_get(spec, "argv");
	size_t n = json_array_size(argv);
	const char **list = xcalloc(MAX(n, (size_t)3) + 1, sizeof(char *));

	if (argv == NULL) {
		list[0] = "/bin/sh";
		list[1] = "-c";
		list[2] = json_get_str(spec, "shell");
	}
	for (size_t i = 0; i < n; i++)
		list[i] = json_string_value(json_array_get(argv, i));
	return list;
}

static int
umask_of(const struct runner *r, const struct task *t)
{
	const char *s = json_get_str(t->spec, "umask");
	mode_t mask = r->opts.config->umask;

	if (s != NULL)
		value_umask(s, &mask, NULL);
	return (int)mask;
}

/* The text that a task reads from its standard input: a descriptor, -1 for none, or -errno - 1. */
static int
stdin_of(const struct task *t, int *fd)
{
	const json_t *text = json_object_get(t->spec, "stdin");
	size_t len = json_string_length(text), done = 0;

	*fd = -1;
	if (text == NULL)
		return 0;
	if ((*fd = memfd_create("stdin", MFD_CLOEXEC)) < 0)
		return -errno;
	while (done < len) {
		ssize_t n = write(*fd, json_string_value(text) + done, len - done);

		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return lseek(*fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

/* -- outputs -- */

int
runner_take_outputs(struct runner *r, struct task *t)
{
	struct run *run = t->run;
	int error = outlog_take(r->opts.outputs, &t->out.file, &run->out_fd);

	if (error < 0 || !t->separate)
		return error;
	error = outlog_take(r->opts.outputs, &t->err.file, &run->err_fd);
	if (error < 0) {
		close_fd(&run->out_fd);
		outlog_remove(r->opts.outputs, t->out.file);
		t->out.file = 0;
	}
	return error;
}

int
runner_open_outputs(struct runner *r, struct task *t)
{
	struct run *run = t->run;

	if (t->out.file == 0)
		return runner_take_outputs(r, t);
	if (run->out_fd < 0)
		run->out_fd = outlog_append(r->opts.outputs, t->out.file);
	if (run->out_fd >= 0 && t->separate && run->err_fd < 0)
		run->err_fd = outlog_append(r->opts.outputs, t->err.file);
	if (run->out_fd < 0)
		return run->out_fd;
	return t->separate && run->err_fd < 0 ? run->err_fd : 0;
}

static void
close_outputs(struct run *run)
{
	close_fd(&run->out_fd);
	close_fd(&run->err_fd);
}

/* -- the task -- */

static int
start(struct runner *r, struct task *t)
{
	struct env env = {0};
	struct run_spec spec = {.key = {.task = t->id}, .no_new_privs = true};
	const char **argv = argv_of(t->spec);
	int stdin_fd, error = stdin_of(t, &stdin_fd);

	env_of_task(&env, r, t);
	spec.argv = argv;
	spec.env = (const char *const *)env.item;
	spec.cwd = t->cwd;
	spec.umask = umask_of(r, t);
	spec.stdin_fd = stdin_fd;
	spec.stdout_fd = t->run->out_fd;
	spec.stderr_fd = t->separate ? t->run->err_fd : t->run->out_fd;
	spec.title = t->name;
	if (error == 0)
		error = spawner_start(r->spawner, &spec);
	close_fd(&stdin_fd);
	env_release(&env);
	free(argv);
	return error;
}

/* It cannot even be asked to start: as if it could not be forked. */
static void
cannot_start(struct runner *r, struct task *t, int error)
{
	struct rules_input in = {.now = clock_boot_ns()};

	log_warn(
	    "task %llu: could not be started: %s", (unsigned long long)t->id, strerror(-error));
	t->exit_kind = EXIT_UNSTARTED;
	t->stage = STAGE_FORK;
	t->exit_errno = -error;
	runner_step(r, t, EV_UNSTARTED, &in);
}

void
runner_send_start(struct runner *r, struct task *t)
{
	int error;

	if (t->facts.state != TASK_STARTING)
		return;
	if ((error = runner_open_outputs(r, t)) == 0)
		error = start(r, t);
	if (error == -EAGAIN)
		return; /* taskspawnd is away: when it is back */
	close_outputs(t->run);
	if (error == 0)
		runner_watch_outputs(r, t);
	else
		cannot_start(r, t, error);
}

/* -- hooks -- */

void
runner_begin_hook(struct runner *r, struct task *t)
{
	struct task_hook *h;
	json_t *o;

	if (t->facts.hook_at >= t->nhooks)
		return;
	h = &t->hook[t->facts.hook_at];
	h->state = HOOK_RUNS;
	h->attempts++;
	h->has_exit = false;
	t->runs++;
	o = jx_object();
	json_set_str(o, "hook", task_hook_name(h->kind));
	json_set_int(o, "attempt", h->attempts);
	runner_emit(r, EVENT_HOOK_STARTED, t, o);
	runner_dirty(r, t);
}

static int64_t
hook_timeout(const struct runner *r, const json_t *spec)
{
	const json_t *v = json_object_get(spec, "timeout");
	int64_t span = r->opts.config->hook_timeout;

	if (v != NULL)
		value_duration(v, &span, NULL);
	return span;
}

static int
start_hook(struct runner *r, struct task *t, const struct task_hook *h, const json_t *hook)
{
	struct env env = {0};
	struct run_spec spec = {.key = {.task = t->id, .run = t->runs}, .no_new_privs = true};
	const char **argv = argv_of(hook);
	int error;

	env_of_task(&env, r, t);
	env_of_hook(&env, t, h);
	spec.argv = argv;
	spec.env = (const char *const *)env.item;
	spec.cwd = t->cwd;
	spec.umask = umask_of(r, t);
	spec.stdin_fd = -1;
	spec.title = task_hook_name(h->kind);
	if ((error = runner_open_outputs(r, t)) < 0)
		log_warn("task %llu: the output of hook %s is lost: %s", (unsigned long long)t->id,
		    spec.title, strerror(-error));
	spec.stdout_fd = t->run->out_fd;
	spec.stderr_fd = t->separate ? t->run->err_fd : t->run->out_fd;
	error = spawner_start(r->spawner, &spec);
	close_outputs(t->run);
	env_release(&env);
	free(argv);
	return error;
}

void
runner_send_hook(struct runner *r, struct task *t)
{
	struct rules_input in = {.now = clock_boot_ns()};
	struct task_hook *h;
	const json_t *hook;
	int error;

	if (t->facts.state != TASK_CLEANUP || t->facts.hook_at >= t->nhooks)
		return;
	h = &t->hook[t->facts.hook_at];
	if ((hook = task_hook_spec(t, h->kind, h->index)) == NULL)
		return;
	error = start_hook(r, t, h, hook);
	if (error == -EAGAIN)
		return;
	in.span = hook_timeout(r, hook);
	runner_step(r, t, EV_HOOK_BEGUN, &in);
	if (error < 0)
		runner_hook_ended(r, t, STAGE_FORK, -error, NULL);
}

/* -- cancel -- */

static json_t *
cancel_file(const struct task *t, const struct task_request *q)
{
	json_t *o = jx_object();

	jx_set(o, "msg", q != NULL && q->msg != NULL ? json_incref(q->msg) : NULL);
	json_set_str(o, "origin", q != NULL ? task_origin_name(q->origin) : "deadline");
	json_set_str(o, "by", q != NULL ? q->by : NULL);
	json_set_int(o, "requests", t->facts.requests);
	jx_set(o, "kill_at", task_boot_time(t->facts.kill_at));
	return o;
}

void
runner_send_cancel(struct runner *r, struct task *t)
{
	struct run_key key = {.task = t->id};
	const struct task_request *q = task_request(t, t->facts.delivered);
	struct strbuf json = STRBUF_INIT, text = STRBUF_INIT;
	json_t *o;
	int error;

	if (t->signal_sent || !rules_has_leader(t->facts.state))
		return;
	if (t->run->deadline_only)
		q = NULL;
	o = cancel_file(t, q);
	json_dump_utf8(o, &json);
	strbuf_addch(&json, '\n');
	json_decref(o);
	msg_text(q != NULL ? q->msg : NULL, &text);
	if (t->run->delivers == 0)
		t->run->delivers_before = spawner_delivers_asked(r->spawner, key);
	error = spawner_deliver(r->spawner, key, strbuf_str(&json), json.len, strbuf_str(&text),
	    text.len, t->facts.signo, t->to_tree);
	if (error == 0) {
		t->frozen = false;
		t->run->delivers++;
		t->signal_sent = true;
		runner_dirty_later(r, t);
	} else if (error != -EAGAIN) {
		log_error("task %llu: its cancel could not be delivered: %s",
		    (unsigned long long)t->id, strerror(-error));
	}
	strbuf_release(&json);
	strbuf_release(&text);
}

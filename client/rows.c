/* The columns of ps; see rows.h. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "clock.h"
#include "jv.h"
#include "outcome.h"
#include "rows.h"
#include "select.h"
#include "text.h"

static const char *const headings[ROWS_COLUMNS] = {
    "ID", "NAME", "STATE", "AGE", "LEFT", "PROGRESS", "COMMAND"};

typedef void cell_fn(const struct jv *task, int64_t now, struct strbuf *out);

static void
cell_id(const struct jv *task, int64_t now, struct strbuf *out)
{
	(void)now;
	strbuf_addf(out, "%lld", (long long)jv_int(task, "id", 0));
}

static void
cell_name(const struct jv *task, int64_t now, struct strbuf *out)
{
	(void)now;
	strbuf_adds(out, jv_str(task, "name") == NULL ? "-" : jv_str(task, "name"));
}

static void
cell_state(const struct jv *task, int64_t now, struct strbuf *out)
{
	(void)now;
	strbuf_adds(out, jv_str(task, "state") == NULL ? "-" : jv_str(task, "state"));
}

/* How long it has run, or ran; how long it has waited if it never did. */
static void
cell_age(const struct jv *task, int64_t now, struct strbuf *out)
{
	char buf[TEXT_AGE_LEN] = "-";
	int64_t from, to;

	if (outcome_time(task, "started", &from) || outcome_time(task, "created", &from)) {
		if (!outcome_time(task, "ended", &to))
			to = now;
		text_age(to - from, buf);
	}
	strbuf_adds(out, buf);
}

/* Until SIGKILL while it is cancelled, else until the deadline. */
static void
cell_left(const struct jv *task, int64_t now, struct strbuf *out)
{
	const struct jv *grace = jv_get(task, "grace");
	const char *state = jv_str(task, "state");
	char buf[TEXT_AGE_LEN] = "-";
	int64_t at;

	if (outcome_ended(state)) {
		strbuf_adds(out, "-");
		return;
	}
	if (state != NULL && strcmp(state, "cancelling") == 0) {
		if (grace != NULL && grace->type != JV_NULL &&
		    (outcome_time(jv_get(task, "cancel"), "at", &at) ||
			outcome_time(task, "deadline", &at)))
			text_age(at + (int64_t)(grace->d * 1000) - now, buf);
	} else if (outcome_time(task, "deadline", &at)) {
		text_age(at - now, buf);
	}
	strbuf_adds(out, buf);
}

/* What the task said of itself: how far, and with what. */
static void
cell_progress(const struct jv *task, int64_t now, struct strbuf *out)
{
	const struct jv *progress = jv_get(task, "progress");
	const char *status = jv_str(task, "status");
	size_t start = out->len;

	(void)now;
	if (progress != NULL && (progress->type == JV_REAL || progress->type == JV_INT))
		strbuf_addf(out, "%.0f%%", progress->d * 100);
	if (status != NULL && *status != '\0')
		strbuf_addf(out, "%s%s", out->len > start ? " " : "", status);
	if (out->len == start)
		strbuf_adds(out, "-");
}

/* "9120 ffmpeg, 9121 sh" */
static void
add_processes(const struct jv *list, struct strbuf *out)
{
	for (const struct jv *p = list->child; p != NULL; p = p->next) {
		const char *comm = jv_str(p, "comm");

		strbuf_addf(out, "%s%lld %s", p == list->child ? "" : ", ",
		    (long long)jv_int(p, "pid", 0), comm == NULL ? "?" : comm);
	}
}

/* What keeps a task that should be over. */
static void
add_waits_for(const struct jv *task, struct strbuf *out)
{
	const char *state = jv_str(task, "state");
	const struct jv *list = jv_get(task, "unkillable");

	if (list == NULL || list->len == 0)
		list = jv_get(task, "leftover");
	if (state == NULL || outcome_ended(state) || list == NULL || list->len == 0)
		return;
	strbuf_adds(out, out->len > 0 ? "; waits for " : "waits for ");
	add_processes(list, out);
}

void
rows_note(const struct jv *task, struct strbuf *out)
{
	const struct jv *cancel = jv_get(task, "cancel");
	struct strbuf note = STRBUF_INIT;

	if (!outcome_ended(jv_str(task, "state"))) {
		outcome_shield(task, &note);
		if (jv_bool(cancel, "deferred"))
			strbuf_addf(&note, "%s%lld cancel pending", note.len > 0 ? "; " : "",
			    (long long)jv_int(cancel, "count", 1));
		add_waits_for(task, &note);
	}
	if (note.len > 0)
		strbuf_addf(out, "   (%s)", note.s);
	strbuf_release(&note);
}

/* What runs, and behind it in parentheses what is special about it. */
static void
cell_command(const struct jv *task, int64_t now, struct strbuf *out)
{
	const struct jv *argv = jv_get(task, "argv");

	(void)now;
	if (jv_str(task, "shell") != NULL)
		strbuf_adds(out, jv_str(task, "shell"));
	else if (argv == NULL || argv->len == 0)
		strbuf_adds(out, "-");
	for (const struct jv *a = argv == NULL ? NULL : argv->child; a != NULL; a = a->next) {
		strbuf_adds(out, a == argv->child ? "" : " ");
		strbuf_adds(out, a->str == NULL ? "" : a->str);
	}
	rows_note(task, out);
}

static cell_fn *const cells[ROWS_COLUMNS] = {
    cell_id, cell_name, cell_state, cell_age, cell_left, cell_progress, cell_command};

/* A cell's text is on one line always: a name with a line end in it would be two rows. */
static char *
make_cell(const struct rows *rows, const struct jv *task, int column)
{
	struct strbuf plain = STRBUF_INIT, safe = STRBUF_INIT;

	cells[column](task, rows->now_ms, &plain);
	for (size_t i = 0; !rows->call->escape_out && i < plain.len; i++) {
		if (plain.s[i] == '\n' && !rows->call->raw)
			plain.s[i] = ' ';
	}
	text_add(&safe, rows->call->escape_out, strbuf_str(&plain), plain.len);
	strbuf_release(&plain);
	return strbuf_detach(&safe);
}

/* Two blanks between columns; the last is not padded. */
static void
put_row(const struct rows *rows, char *const *cell)
{
	for (int c = 0; c < ROWS_COLUMNS - 1; c++)
		printf("%s%*s  ", cell[c],
		    (int)(rows->width[c] - text_width(cell[c], strlen(cell[c]))), "");
	printf("%s\n", cell[ROWS_COLUMNS - 1]);
}

static void
put_header(struct rows *rows)
{
	char *cell[ROWS_COLUMNS];

	for (int c = 0; c < ROWS_COLUMNS; c++)
		cell[c] = xstrdup(headings[c]);
	put_row(rows, cell);
	for (int c = 0; c < ROWS_COLUMNS; c++)
		free(cell[c]);
	rows->headed = true;
}

bool
rows_print(void *ctx, const struct jv *reply)
{
	struct rows *rows = ctx;
	const struct jv *tasks = jv_get(reply, "tasks");
	size_t n = tasks == NULL ? 0 : tasks->len, i = 0;
	char **cell;

	if (rows->call->json) {
		for (const struct jv *t = n == 0 ? NULL : tasks->child; t != NULL; t = t->next)
			printf("%.*s\n", (int)t->raw_len, t->raw);
		return fflush(stdout) == 0;
	}
	rows->now_ms = clock_wall_ms();
	cell = xcalloc(n * ROWS_COLUMNS + 1, sizeof(*cell));
	for (const struct jv *t = n == 0 ? NULL : tasks->child; t != NULL; t = t->next, i++) {
		for (int c = 0; c < ROWS_COLUMNS; c++)
			cell[i * ROWS_COLUMNS + (size_t)c] = make_cell(rows, t, c);
	}
	for (int c = 0; c < ROWS_COLUMNS - 1; c++) {
		rows->width[c] = MAX(rows->width[c], strlen(headings[c]));
		for (i = 0; i < n; i++) {
			const char *s = cell[i * ROWS_COLUMNS + (size_t)c];

			rows->width[c] = MAX(rows->width[c], text_width(s, strlen(s)));
		}
	}
	if (!rows->headed)
		put_header(rows);
	for (i = 0; i < n; i++)
		put_row(rows, &cell[i * ROWS_COLUMNS]);
	for (i = 0; i < n * ROWS_COLUMNS; i++)
		free(cell[i]);
	free(cell);
	rows->seen += (int64_t)n;
	return fflush(stdout) == 0;
}

/* Named tasks one after the other, as if each were a list of one. */
static int
dry_run_named(const struct call *call, struct link *l, struct rows *rows)
{
	int rc = EXIT_OK;

	for (int i = 0; i < call->nargs; i++) {
		struct jv_doc doc = {0}, page_doc = {0};
		const struct jv *reply, *task;
		struct req r = {0};
		size_t len = 0;
		char *line = NULL, *page;
		int code;

		req_str(&r, "cmd", "show");
		req_task(&r, call->args[i]);
		code = client_send(call, l, &r);
		req_release(&r);
		if (code == EXIT_OK)
			code = client_read(call, l, &line, &len);
		if (code != EXIT_OK)
			return code;
		reply = jv_parse(&doc, line, len);
		task = jv_get(reply, "task");
		if (task != NULL) {
			page = xasprintf("{\"tasks\":[%.*s]}", (int)task->raw_len, task->raw);
			rows_print(rows, jv_parse(&page_doc, page, strlen(page)));
			free(page);
		} else {
			code = outcome_say_error(call, call->args[i], reply);
		}
		jv_release(&page_doc);
		jv_release(&doc);
		rc = outcome_merge(rc, code, i == 0);
	}
	return rc;
}

int
rows_dry_run(const struct call *call, struct link *l)
{
	struct rows rows = {.call = call};

	return call->nargs > 0 ? dry_run_named(call, l, &rows)
			       : select_each_page(call, l, rows_print, &rows);
}

int
ps_run(struct call *call)
{
	struct rows rows = {.call = call};
	struct req wire = {0};
	struct link l;
	int rc;

	if (call->nargs > 0)
		return client_usage(
		    call, "ps takes no operands; 'taskctl show %s' shows one task.", call->args[0]);
	select_for_list(call);
	if (call->wire) {
		select_list_request(call, &wire);
		client_wire(&wire);
		req_release(&wire);
		return EXIT_OK;
	}
	rc = client_connect(call, &l);
	if (rc == EXIT_OK)
		rc = select_each_page(call, &l, rows_print, &rows);
	link_release(&l);
	return rc;
}

/*
 * Tasks as a table: the columns of ps.
 */
#ifndef TASKCTL_ROWS_H
#define TASKCTL_ROWS_H

#include <stdbool.h>
#include <stdint.h>

struct call;
struct jv;
struct link;
struct strbuf;

#define ROWS_COLUMNS 7

/* Widths are kept from page to page, so that columns only ever grow. All bytes zero is new. */
struct rows {
	const struct call *call;
	int64_t now_ms;
	size_t width[ROWS_COLUMNS - 1];
	bool headed;  /* the header was printed */
	int64_t seen; /* tasks printed */
};

/* Prints a `list` reply's tasks; with -o json a task a line, as it came. False: stop. */
bool rows_print(void *rows, const struct jv *reply);

/* The text behind the command: "(shielded until 14:02:10 ("copying WAL"); 1 cancel pending)". */
void rows_note(const struct jv *task, struct strbuf *out);

/* Lists the tasks that the call is about, and touches none. Returns the exit code. */
int rows_dry_run(const struct call *call, struct link *l);

#endif

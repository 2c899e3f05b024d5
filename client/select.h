/*
 * Which tasks a verb is about: operands, or a selector.
 */
#ifndef TASKCTL_SELECT_H
#define TASKCTL_SELECT_H

#include <stdbool.h>
#include <stdint.h>

struct call;
struct jv;
struct link;
struct req;

/*
 * Completes call->select from --label, and adds the verb's usual states where none was given. Says
 * what is wrong if there are operands and a selector, or neither. EXIT_OK or the code for usage.
 */
int select_check(struct call *call);

/* The same for ps, which needs none, and lists what lives unless -a or --state is given. */
void select_for_list(struct call *call);

/* The request for the first page. */
void select_list_request(const struct call *call, struct req *r);

/* Is there a selector? */
bool select_given(const struct call *call);

/* Sets "select". */
void select_set(const struct call *call, struct req *r);

/*
 * Calls fn for every task that `list` gives for the selector (or for all, if there is none), page
 * by page; `reply` is the page. fn returns false to stop. EXIT_OK, or what went wrong was said.
 */
int select_each_page(const struct call *call, struct link *l,
    bool (*fn)(void *ctx, const struct jv *reply), void *ctx);

/* The ids of the selected tasks, malloc'ed, the caller's to free. EXIT_OK or another code. */
int select_ids(const struct call *call, struct link *l, int64_t **ids, int *n);

#endif

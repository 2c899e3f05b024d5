/* Selectors and paging through lists; see select.h. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "jv.h"
#include "outcome.h"
#include "select.h"

#define PAGE 500

static bool
has_member(const struct req *r, const char *key)
{
	for (int i = 0; i < r->n; i++) {
		if (strcmp(r->v[i].key, key) == 0)
			return true;
	}
	return false;
}

bool
select_given(const struct call *call)
{
	return call->select.n > 0;
}

/* A cancel means what lives, a removal what has ended, unless the user said a state. */
static void
add_states(struct call *call)
{
	static const char *const states[] = {
	    [SCOPE_LIVE] = "[\"pending\",\"running\",\"cancelling\",\"killing\",\"cleanup\"]",
	    [SCOPE_ENDED] = "[\"done\",\"failed\",\"cancelled\",\"timed_out\",\"lost\"]",
	    [SCOPE_HELD] = "\"pending\"",
	};

	if (call->verb->scope != SCOPE_ANY && !has_member(&call->select, "state"))
		req_raw(&call->select, "state", states[call->verb->scope]);
}

int
select_check(struct call *call)
{
	if (call->labels.n > 0)
		req_obj(&call->select, "label", &call->labels);
	if (call->nargs > 0 && select_given(call))
		return client_usage(call, "Name tasks, or select them with an option, not both.");
	if (call->nargs == 0 && !select_given(call))
		return client_usage(call,
		    "Name a task by its id or name, or select tasks with -l, --name, --state or "
		    "--all.");
	if (select_given(call))
		add_states(call);
	return EXIT_OK;
}

void
select_for_list(struct call *call)
{
	if (call->labels.n > 0)
		req_obj(&call->select, "label", &call->labels);
	if (!call->every)
		add_states(call);
}

void
select_set(const struct call *call, struct req *r)
{
	req_obj(r, "select", &call->select);
}

/* Full objects: the command is one of the columns. */
static void
list_request(const struct call *call, const char *after, struct req *r)
{
	req_str(r, "cmd", "list");
	if (select_given(call))
		select_set(call, r);
	req_bool(r, "full", true);
	req_int(r, "limit", PAGE);
	if (after != NULL)
		req_raw(r, "after", after);
}

void
select_list_request(const struct call *call, struct req *r)
{
	list_request(call, NULL, r);
}

/* One page: asks, hands it on, and gives the cursor of the next one, or NULL at the end. */
static int
one_page(const struct call *call, struct link *l, char **after,
    bool (*fn)(void *ctx, const struct jv *reply), void *ctx)
{
	struct jv_doc doc = {0};
	const struct jv *reply, *next;
	struct req r = {0};
	size_t len = 0;
	char *line = NULL;
	int rc;

	list_request(call, *after, &r);
	rc = client_send(call, l, &r);
	req_release(&r);
	free(*after);
	*after = NULL;
	if (rc == EXIT_OK)
		rc = client_read(call, l, &line, &len);
	if (rc != EXIT_OK)
		return rc;
	reply = jv_parse(&doc, line, len);
	next = jv_get(reply, "next");
	if (!jv_bool(reply, "ok"))
		rc = outcome_say_error(call, NULL, reply);
	else if (fn(ctx, reply) && next != NULL && next->type != JV_NULL)
		*after = xstrndup(next->raw, next->raw_len);
	jv_release(&doc);
	return rc;
}

int
select_each_page(const struct call *call, struct link *l,
    bool (*fn)(void *ctx, const struct jv *reply), void *ctx)
{
	char *after = NULL;
	int rc;

	do {
		rc = one_page(call, l, &after, fn, ctx);
	} while (after != NULL);
	return rc;
}

struct id_list {
	int64_t *v;
	int n;
};

static bool
collect_ids(void *ctx, const struct jv *reply)
{
	struct id_list *ids = ctx;
	const struct jv *tasks = jv_get(reply, "tasks");

	if (tasks == NULL || tasks->len == 0)
		return true;
	ids->v = xrealloc(ids->v, sizeof(*ids->v) * ((size_t)ids->n + tasks->len));
	for (const struct jv *t = tasks->child; t != NULL; t = t->next)
		ids->v[ids->n++] = jv_int(t, "id", 0);
	return true;
}

int
select_ids(const struct call *call, struct link *l, int64_t **ids, int *n)
{
	struct id_list list = {0};
	int rc = select_each_page(call, l, collect_ids, &list);

	*ids = list.v;
	*n = list.n;
	return rc;
}

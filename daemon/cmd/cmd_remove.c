/*
 * remove: forget tasks that have ended, and their output.
 */
#include <errno.h>
#include <stdlib.h>

#include "cmd_private.h"
#include "json.h"
#include "task.h"
#include "util.h"

/* 0; -EBUSY: it is alive. */
static int
remove_one(struct request *rq, uint64_t id)
{
	if (runner_find(rq->world->runner, id) != NULL)
		return -EBUSY;
	return runner_remove(rq->world->runner, id);
}

static void
not_ended(struct request *rq, uint64_t id)
{
	request_fail(rq, ERR_BAD_REQUEST, NULL,
	    "Task %llu has not ended; cancel it first, or wait for it.", (unsigned long long)id);
}

/* Of several, those that are alive stay, and that is no error: the answer says who went. */
static void
exec(struct request *rq)
{
	json_t *o, *removed;
	uint64_t *ids;
	bool several;
	int n = request_tasks(rq, &ids, &several);

	if (n < 0)
		return;
	removed = jx_array();
	for (int i = 0; i < n && !rq->replied; i++) {
		int error = remove_one(rq, ids[i]);

		if (error == 0)
			jx_append(removed, jx_int((int64_t)ids[i]));
		else if (error != -EBUSY)
			request_fail_errno(rq, error);
		else if (!several)
			not_ended(rq, ids[i]);
	}
	free(ids);
	if (rq->replied) {
		json_decref(removed);
		return;
	}
	o = jx_object();
	json_set_int(o, "removed", (int64_t)json_array_size(removed));
	jx_set(o, "ids", removed);
	request_reply_take(rq, o);
}

static const struct field fields[] = {FIELD_TASKS, FIELD_END};

const struct cmd_entry cmd_remove = {
    .name = "remove", .fields = fields, .durability = CMD_MUST_KEEP, .exec = exec};

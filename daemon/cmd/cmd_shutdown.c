/*
 * shutdown: end all tasks and stop, or stop and leave them running. Answered when it is done.
 */
#include <string.h>

#include "cmd_private.h"
#include "json.h"

static void
exec(struct request *rq)
{
	const struct cmd_shutdown *sd = rq->world->shutdown;
	const char *mode = json_get_str(rq->args, "mode");

	rq->state = rq; /* in the list of those that wait for it */
	TAILQ_INSERT_TAIL(&rq->cmds->stopping, rq, wait_link);
	sd->begin(sd->ctx, mode != NULL && strcmp(mode, "detach") == 0,
	    json_object_get(rq->args, "msg"), request_by(rq));
}

void
cmds_shutdown_done(struct cmds *cs)
{
	struct request *rq;

	while ((rq = TAILQ_FIRST(&cs->stopping)) != NULL) {
		TAILQ_REMOVE(&cs->stopping, rq, wait_link);
		rq->state = NULL;
		request_reply_take(rq, NULL);
	}
}

static const char *const modes[] = {"cancel", "detach", NULL};

static const struct field fields[] = {
    FIELD_MSG,
    {.name = "mode", .check = args_choice, .choices = modes},
    FIELD_END,
};

const struct cmd_entry cmd_shutdown = {.name = "shutdown", .fields = fields, .exec = exec};

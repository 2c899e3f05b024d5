/*
 * Inside cmd: what its files share.
 */
#ifndef TASKCTL_CMD_PRIVATE_H
#define TASKCTL_CMD_PRIVATE_H

#include "cmd.h"

/* A line on its way out: a reply, or an event. */
struct outgoing {
	TAILQ_ENTRY(outgoing) link;
	struct session *session;
	struct request *request; /* NULL: text */
	char *text;              /* owned; without its line end */
};

/*
 * Lines that go on coming: output that is followed, events. Embedded by its command, which frees it.
 * pump() sends what there is, as long as stream_has_room(), and calls stream_again() if a turn is
 * not enough; it is called again when there is room, too.
 */
struct stream;
TAILQ_HEAD(stream_list, stream);

struct stream {
	TAILQ_ENTRY(stream) link, again_link, topic_link;
	struct session *session;
	json_t *rid; /* owned; NULL: none */
	bool in_again;
	void (*pump)(struct stream *st);
	void (*gone)(struct stream *st); /* its connection has ended; called after stream_close() */
};

void stream_open(struct stream *st, struct request *rq); /* after pump and gone were set */
void stream_close(struct stream *st);                    /* does not free it */
bool stream_has_room(const struct stream *st);
void stream_again(struct stream *st);
/* Send a line; text is one JSON object, the rid is added. */
void stream_text(struct stream *st, const char *text);
void stream_event_take(struct stream *st, json_t *event);

/* What is kept of a connection. */
struct session {
	struct cmds *cmds;
	struct conn *conn;
	TAILQ_HEAD(, request) requests;
	struct stream_list streams;
	uint64_t *owned; /* owned array: tasks that live as long as the connection */
	size_t nowned;
	json_t *answered; /* owned; rids of answered waits */
	size_t held;      /* bytes of event lines on their way */
};

struct cmds {
	struct cmd_world world;
	TAILQ_HEAD(, request) turn;
	TAILQ_HEAD(, outgoing) out;
	struct stream_list again;
	struct stream_list followers;   /* of output, by topic_link */
	TAILQ_HEAD(, request) stopping; /* requests of shutdown, by wait_link */
	uint64_t served;
	bool polled; /* this turn */
};

/* The limits in force, for hello and stats. */
json_t *cmd_limits_object(const struct config *c);
/* Is the task one of those that a select (as a query) means? */
bool cmd_selects(const struct store_query *q, const struct task *t);
/* {"id":…, "state":…}: how the answers of most commands begin. */
json_t *cmd_task_answer(const struct task *t);

#define CMD_ENTRY(name) extern const struct cmd_entry cmd_##name;
PROTO_COMMANDS(CMD_ENTRY)

#endif

/*
 * Requests: from a line to a command, and from a command to its reply.
 *
 * A command is one file, cmd_<name>.c, with one table entry: its name, its members (args.h) and
 * what it does. exec() answers with one of the reply functions, at once or later; the reply is
 * held until what the turn has changed is committed. A request that waits sets `abandon`, which is
 * called if its connection ends first; whatever it has then set up is taken down.
 *
 * struct request is freed when its reply has been sent or its connection has ended.
 */
#ifndef TASKCTL_CMD_H
#define TASKCTL_CMD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "args.h"
#include "conn.h"
#include "proto.h"
#include "rules.h"
#include "runner.h"

struct config;
struct events;
struct store;
struct outlog_dir;
struct cmds;
struct session;
struct request;

/* What commands work on; borrowed, outlives them. */
struct cmd_world {
	struct runner *runner;
	struct events *events;
	struct store *store;
	struct outlog_dir *outputs;
	struct conns *conns;
	const struct config *config;
	const struct cmd_shutdown *shutdown;
	int64_t started_ns; /* of this process, boot clock */
};

/* How the server is asked to stop; `done` is called when it is about to. */
struct cmd_shutdown {
	void (*begin)(void *ctx, bool detach, const json_t *msg, const char *by);
	bool (*stopping)(void *ctx);
	void *ctx;
};

enum cmd_durability {
	CMD_READS,     /* changes nothing that is kept */
	CMD_MUST_KEEP, /* if it cannot be made durable, nothing was done: error storage */
	CMD_TRIES,     /* done all the same: "durable":false */
};

struct cmd_entry {
	const char *name;
	const struct field *fields;
	enum cmd_durability durability;
	bool open; /* to callers that are not known */
	/* A check across members, after the table; NULL: none. */
	bool (*check)(const json_t *args, struct args_error *e);
	void (*exec)(struct request *rq);
};

struct request {
	TAILQ_ENTRY(request) link;      /* of its session */
	TAILQ_ENTRY(request) turn_link; /* of this turn's */
	TAILQ_ENTRY(request) wait_link; /* of the command's own list */
	struct cmds *cmds;
	struct session *session;
	const struct cmd_world *world;
	const struct cmd_entry *entry;
	json_t *args; /* owned: the whole request */
	json_t *rid;  /* owned; NULL: none */
	bool close;   /* the connection, after the reply */
	bool in_turn, replied, not_durable;
	char *text;    /* owned; instead of reply: its text up to the closing brace */
	json_t *reply; /* owned; until it is sent */
	void (*abandon)(struct request *rq, bool lost); /* NULL: nothing to take down. lost: the
							    connection was, else the commit failed */
	void *state;                                    /* the command's own */
};

struct cmds *cmds_new(const struct cmd_world *world);
void cmds_free(struct cmds *cs);
/* The connections that requests come from: made after cmds_new(), since their callbacks need it. */
void cmds_set_conns(struct cmds *cs, struct conns *conns);

/* -- for the server: the callbacks of conn.h -- */
void cmds_line(void *ctx, struct conn *c, const char *line, size_t len);
void cmds_too_large(void *ctx, struct conn *c);
void cmds_drained(void *ctx, struct conn *c);
void cmds_closed(void *ctx, struct conn *c);

/* For runner_listen_to_output(). */
void cmds_output_grew(void *ctx, struct task *t);

/* After runner_settle(): send the replies of this turn; error as that gave it. */
void cmds_send_replies(struct cmds *cs, int error);
/* Go on with streams that had more to send than a turn allows; cmds_busy(): there are such. */
void cmds_run(struct cmds *cs);
bool cmds_busy(const struct cmds *cs);
/* Tell the requests of `shutdown` that it is done. */
void cmds_shutdown_done(struct cmds *cs);
uint64_t cmds_served(const struct cmds *cs); /* requests since the start */

/* -- for commands -- */

/* Takes body (an object without ok and rid, or NULL). The request is answered. */
void request_reply_take(struct request *rq, json_t *body);
/* The same for a member whose text is there already. */
void request_reply_text(struct request *rq, const char *member, const char *text);
void request_fail(struct request *rq, enum proto_error code, const char *field, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));
/* The error that the rules gave, about a task. */
void request_refuse(struct request *rq, enum proto_error code, const struct task *t);
/* The error for -errno of runner_start() and the like. */
void request_fail_errno(struct request *rq, int error);
/* An error object as it stands in a reply. */
json_t *cmd_error_object(enum proto_error code, const char *field, const char *message);
/* A sentence for what the rules refused. */
const char *cmd_refusal(enum proto_error code);

/* The caller, as requests are recorded with him: "uid:1000"; valid as long as the connection. */
const char *request_by(const struct request *rq);
struct runner_caller request_caller(const struct request *rq);

/* The task that the request names by id, name or key. NULL: the error was replied. */
struct task *request_task(struct request *rq);
/*
 * The tasks that it names: one, or several by ids or select (*several is true then). Returns how
 * many, with *ids the caller's to free; -1: the error was replied.
 */
int request_tasks(struct request *rq, uint64_t **ids, bool *several);
/* A query from a select object, without limit and cursor. */
struct store_query cmd_query(const json_t *select);

/* What cancel, kill and cancel_wait answer. */
json_t *cmd_verdict_object(const struct rules_verdict *v, const struct task *t);

/* Tasks whose life depends on this connection. */
void session_own_task(struct session *s, uint64_t id);
/* The request of this connection with that rid that waits; NULL: none. */
struct request *session_find(struct session *s, const json_t *rid, const struct cmd_entry *entry);
/* Waits of this connection that have been answered, lately: by rid. */
bool session_was_answered(const struct session *s, const json_t *rid);

extern const struct cmd_entry *const cmd_table[];

#endif

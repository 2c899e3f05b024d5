/*
 * hello: what server this is, who it takes the caller for, and what it can do.
 */
#include "clock.h"
#include "cmd_private.h"
#include "config.h"
#include "json.h"
#include "util.h"

static json_t *
caller_object(const struct caller *c)
{
	json_t *o;

	if (!c->known)
		return json_null();
	o = jx_object();
	json_set_int(o, "uid", (int64_t)c->uid);
	json_set_str(o, "scope", "start");
	return o;
}

static json_t *
command_names(void)
{
	json_t *a = jx_array();

	for (const struct cmd_entry *const *e = cmd_table; *e != NULL; e++)
		jx_append(a, jx_string((*e)->name));
	return a;
}

json_t *
cmd_limits_object(const struct config *c)
{
	const struct config_limits *l = &c->limits;
	json_t *o = jx_object();

	json_set_int(o, "line", l->line_max);
	json_set_int(o, "line_before_auth", PROTO_LINE_MAX_ANON);
	json_set_int(o, "msg", PROTO_MSG_MAX);
	json_set_int(o, "name", PROTO_NAME_MAX);
	json_set_int(o, "depth", PROTO_DEPTH_MAX);
	json_set_int(o, "list", PROTO_LIST_MAX);
	json_set_int(o, "connections", l->connections);
	json_set_int(o, "unanswered", l->unanswered);
	json_set_int(o, "output_buffered", l->output_close);
	json_set_int(o, "tasks_running", l->tasks_running);
	json_set_int(o, "tasks_stored", l->tasks_stored);
	json_set_int(o, "output", l->output_limit);
	json_set_int(o, "events_kept", l->events_kept);
	return o;
}

static void
exec(struct request *rq)
{
	json_t *o = jx_object();
	int64_t up = clock_boot_ns() - rq->world->started_ns;

	json_set_str(o, "server", "taskctld");
	json_set_str(o, "version", TASKCTL_VERSION);
	json_set_int(o, "protocol", PROTO_VERSION);
	jx_set(o, "caller", caller_object(conn_caller(rq->session->conn)));
	jx_set(o, "commands", command_names());
	jx_set(o, "limits", cmd_limits_object(rq->world->config));
	json_set_real(o, "uptime", (double)(up / NS_PER_MS) / 1000);
	request_reply_take(rq, o);
}

static const struct field fields[] = {FIELD_END};

const struct cmd_entry cmd_hello = {.name = "hello", .fields = fields, .open = true, .exec = exec};

/*
 * Inside the server: what its files share.
 */
#ifndef TASKCTL_SERVER_PRIVATE_H
#define TASKCTL_SERVER_PRIVATE_H

#include "auth.h"
#include "cmd.h"
#include "conn.h"
#include "events.h"
#include "listener.h"
#include "outlog.h"
#include "runner.h"
#include "server_options.h"
#include "store.h"

struct event;
struct event_base;

#define SERVER_SIGNALS 5

enum stop_phase {
	STOP_NO,
	STOP_ASKED,   /* begins at the end of this turn */
	STOP_WAITING, /* all tasks have got their cancel */
	STOP_KILLING, /* what is left is killed, again and again */
	STOP_DONE,
};

struct server {
	int argc;
	char **argv;
	struct server_options options;
	int lock_fd;
	struct event_base *base;
	struct store *store;
	struct events *events;
	struct outlog_dir *outputs;
	struct auth *auth;
	struct runner *runner;
	struct cmds *cmds;
	struct conns *conns;
	struct listeners *listeners;
	struct event *signals[SERVER_SIGNALS];
	char *spawnd; /* owned; path of taskspawnd, NULL: it is a service */

	/* server_stop.c */
	struct cmd_shutdown shutdown;
	struct event *stop_timer, *watchdog;
	enum stop_phase phase;
	bool detach;
	unsigned stop_signals; /* SIGTERMs and SIGINTs so far */
	json_t *stop_msg;      /* owned; NULL: none */
	char *stop_by;         /* owned */
	int64_t kill_ns;       /* when patience ends */
	int64_t alone_since;   /* without taskspawnd; 0: it is there */
	bool ready;
	uint32_t told_live; /* in the last STATUS= */
	int64_t told_ns;
};

/* server.c */
void server_apply_limits(struct server *s);

/* server_stop.c: signals, stopping, and what the service manager is told */
void server_init_stop(struct server *s);
int server_watch_signals(struct server *s); /* 0 or an exit code */
void server_unwatch_signals(struct server *s);
void server_go_on_stopping(struct server *s);
void server_tell_status(struct server *s);

#endif

/*
 * What a task says on its notify socket: the datagrams of sd_notify(3) and our own lines in them.
 * The names of our own may have X_ in front. What is not understood is ignored.
 */
#ifndef TASKCTL_NOTIFY_H
#define TASKCTL_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

struct notify_msg {
	bool ready, watchdog, barrier;
	bool uncancel, cancel, cancelled;
	int shield; /* 1 or 0 as said, -1 if not said */
	bool has_progress;
	double progress;   /* 0 to 1 */
	int64_t extend_ns; /* EXTEND_TIMEOUT_USEC, in nanoseconds; 0 if not said */
	/* owned; NULL if not said. Valid UTF-8 on one line; "" takes a former one back. */
	char *status, *error;
	json_t *msg;    /* of MSG= (a string) or MSG_JSON= (any value), the last said */
	json_t *result; /* of RESULT= or RESULT_JSON= */
};

/* Fills m (never fails; an empty message is possible). notify_msg_release() when done with it. */
void notify_parse(const char *buf, size_t len, struct notify_msg *m);
void notify_msg_release(struct notify_msg *m);

#endif

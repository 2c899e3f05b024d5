/*
 * The request that starts a task, for start and for run.
 */
#ifndef TASKCTL_START_H
#define TASKCTL_START_H

struct call;
struct req;

/* Builds it from the options and operands. EXIT_OK, or it was said what is wrong. */
int start_request(struct call *call, struct req *r);

#endif

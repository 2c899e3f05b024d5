/*
 * Carrying out one request for each of many tasks, a window of them at a time, and telling what
 * became of each.
 */
#ifndef TASKCTL_ACT_H
#define TASKCTL_ACT_H

#include <stdbool.h>

struct call;
struct jv;
struct link;
struct req;
struct strbuf;

/*
 * Says in `out`, behind the task's label, what a reply that is ok means, and returns the exit code.
 * `task` is the object, or NULL where it is not known.
 */
typedef int act_tell(const struct jv *reply, const struct jv *task, struct strbuf *out);

/* Fills in a request for a task ("41", "nightly"); false if the name cannot be sent. */
void act_request(const struct call *call, const char *task, struct req *r);

/*
 * Sends the verb's request for each of the n tasks and tells the outcomes. With `json` the replies
 * are printed as they come. Returns the merged exit code.
 */
int act_each(const struct call *call, struct link *l, char **tasks, int n, act_tell *tell);

/* Sends the verb's request once for the whole selector. */
int act_select(const struct call *call, struct link *l, act_tell *tell);

/* Tells one reply; `shown` is the reply of a `show` after it, or NULL. Returns the exit code. */
int act_report(const struct call *call, const char *arg, const struct jv *reply,
    const struct jv *task, act_tell *tell);

#endif

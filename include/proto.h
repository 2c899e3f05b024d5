/*
 * The names of the wire protocol, version 1, each in one place: states, errors, effects, origins,
 * events and commands. include/protocol.md says what they mean; a test compares the two.
 */
#ifndef TASKCTL_PROTO_H
#define TASKCTL_PROTO_H

#define PROTO_VERSION 1
#define PROTO_PORT    8275

#define PROTO_LINE_MAX      (256 * 1024) /* bytes of a request line, without its line end */
#define PROTO_LINE_MAX_ANON (4 * 1024)   /* the same before the caller is known */
#define PROTO_MSG_MAX       (64 * 1024)  /* bytes of a message */
#define PROTO_NAME_MAX      128          /* bytes of name, key, holder, rid */
#define PROTO_DEPTH_MAX     16           /* nesting of a request; the request itself is 1 */
#define PROTO_LIST_MAX      1000         /* tasks in one page of list */

/* X(constant, name): what a task is in; the last five are terminal. STARTING is "pending" on the wire. */
#define PROTO_STATES(X)             \
	X(PENDING, "pending")       \
	X(STARTING, "pending")      \
	X(RUNNING, "running")       \
	X(CANCELLING, "cancelling") \
	X(KILLING, "killing")       \
	X(CLEANUP, "cleanup")       \
	X(DONE, "done")             \
	X(FAILED, "failed")         \
	X(CANCELLED, "cancelled")   \
	X(TIMED_OUT, "timed_out")   \
	X(LOST, "lost")

#define PROTO_ERRORS(X)                       \
	X(BAD_JSON, "bad_json")               \
	X(BAD_REQUEST, "bad_request")         \
	X(TOO_LARGE, "too_large")             \
	X(UNKNOWN_COMMAND, "unknown_command") \
	X(UNAUTHENTICATED, "unauthenticated") \
	X(FORBIDDEN, "forbidden")             \
	X(NOT_FOUND, "not_found")             \
	X(EXISTS, "exists")                   \
	X(FINISHED, "finished")               \
	X(FINISHING, "finishing")             \
	X(KILLING, "killing")                 \
	X(EXPIRED, "expired")                 \
	X(SHIELDED, "shielded")               \
	X(NOT_SHIELDED, "not_shielded")       \
	X(LIMIT, "limit")                     \
	X(OVERLOADED, "overloaded")           \
	X(STORAGE, "storage")                 \
	X(STOPPING, "stopping")               \
	X(INTERNAL, "internal")

/* What a cancel, kill or cancel_wait did. */
#define PROTO_EFFECTS(X)              \
	X(DELIVERED, "delivered")     \
	X(REDELIVERED, "redelivered") \
	X(DEFERRED, "deferred")       \
	X(COALESCED, "coalesced")     \
	X(ENDED, "ended")             \
	X(KILLING, "killing")         \
	X(KILLED, "killed")           \
	X(HOOK_KILLED, "hook_killed") \
	X(NONE, "none")               \
	X(FINISHING, "finishing")     \
	X(FINISHED, "finished")       \
	X(WAIT_ENDED, "wait_ended")   \
	X(ANSWERED, "answered")

/* Who asked for a cancel. SCOPE belongs to scopes, which are not there yet. */
#define PROTO_ORIGINS(X)                \
	X(CLIENT, "client")             \
	X(WAIT, "wait")                 \
	X(WAIT_TIMEOUT, "wait_timeout") \
	X(SCOPE, "scope")               \
	X(SHUTDOWN, "shutdown")         \
	X(DISCONNECT, "disconnect")     \
	X(SELF, "self")                 \
	X(KILL, "kill")

#define PROTO_HOOKS(X)              \
	X(ON_CANCEL, "on_cancel")   \
	X(ON_TIMEOUT, "on_timeout") \
	X(ON_FAILURE, "on_failure") \
	X(FINALLY, "finally")

#define PROTO_EVENTS(X)                              \
	X(CREATED, "task.created")                   \
	X(STARTED, "task.started")                   \
	X(CANCEL_REQUESTED, "task.cancel_requested") \
	X(DEFERRED, "task.deferred")                 \
	X(CANCELLING, "task.cancelling")             \
	X(REFUSED, "task.refused")                   \
	X(UNCANCELLED, "task.uncancelled")           \
	X(KILLED, "task.killed")                     \
	X(SHIELDED, "task.shielded")                 \
	X(UNSHIELDED, "task.unshielded")             \
	X(STATUS, "task.status")                     \
	X(DEADLINE, "task.deadline")                 \
	X(EXPIRED, "task.expired")                   \
	X(HOOK_STARTED, "task.hook_started")         \
	X(HOOK_ENDED, "task.hook_ended")             \
	X(UNKILLABLE, "task.unkillable")             \
	X(ENDED, "task.ended")

/* X(name, scope it needs); "hello" and "auth" are open to everybody. */
#define PROTO_COMMANDS(X) \
	X(hello)          \
	X(auth)           \
	X(start)          \
	X(release)        \
	X(cancel)         \
	X(kill)           \
	X(uncancel)       \
	X(shield)         \
	X(unshield)       \
	X(timeout)        \
	X(wait)           \
	X(cancel_wait)    \
	X(list)           \
	X(show)           \
	X(logs)           \
	X(events)         \
	X(signal)         \
	X(pause)          \
	X(resume)         \
	X(remove)         \
	X(stats)          \
	X(shutdown)

#define PROTO_ENUM_STATE(c, n)  TASK_##c,
#define PROTO_ENUM_ERROR(c, n)  ERR_##c,
#define PROTO_ENUM_EFFECT(c, n) EFFECT_##c,
#define PROTO_ENUM_ORIGIN(c, n) ORIGIN_##c,
#define PROTO_ENUM_HOOK(c, n)   HOOK_##c,
#define PROTO_ENUM_EVENT(c, n)  EVENT_##c,

enum task_state { PROTO_STATES(PROTO_ENUM_STATE) TASK_NSTATES };
enum proto_error { ERR_NONE, PROTO_ERRORS(PROTO_ENUM_ERROR) ERR_COUNT };
enum cancel_effect { PROTO_EFFECTS(PROTO_ENUM_EFFECT) EFFECT_COUNT };
enum cancel_origin { PROTO_ORIGINS(PROTO_ENUM_ORIGIN) ORIGIN_COUNT };
enum hook_kind { PROTO_HOOKS(PROTO_ENUM_HOOK) HOOK_KINDS };
enum event_kind { PROTO_EVENTS(PROTO_ENUM_EVENT) EVENT_COUNT };

#endif

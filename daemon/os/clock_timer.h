/*
 * One timer of the event loop on the boot clock (a timerfd), for all deadlines at once: the owner
 * keeps a heap and sets the timer to its earliest. It never fires early.
 */
#ifndef TASKCTL_CLOCK_TIMER_H
#define TASKCTL_CLOCK_TIMER_H

#include <stdint.h>

struct event_base;
struct boot_timer;

typedef void boot_timer_cb(void *ctx);

/* Not set at first. NULL with errno set if there is no descriptor left. */
struct boot_timer *boot_timer_new(
    struct event_base *base, int priority, boot_timer_cb *cb, void *ctx);
void boot_timer_free(struct boot_timer *t);

/*
 * Fires once at boot_ns of clock_boot_ns() (at once, from the loop, if that has passed), or never
 * for CLOCK_NONE. Setting it again replaces the former time. Cheap if nothing changes.
 */
void boot_timer_set(struct boot_timer *t, int64_t boot_ns);

#endif

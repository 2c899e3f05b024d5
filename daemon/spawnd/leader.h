/*
 * The execution of a run's command: the first process of its tree.
 */
#ifndef TASKCTL_LEADER_H
#define TASKCTL_LEADER_H

#include <stdbool.h>
#include <sys/types.h>

/* All borrowed. Descriptors 0, 1 and 2 are already the command's, all others are close-on-exec. */
struct leader_spec {
	char *const *argv;
	char *const *env;
	const char *cwd;
	mode_t umask;
	int cgroup_procs; /* the file to write oneself into; -1: no cgroup */
	bool no_new_privs;
	bool reset_oom; /* set oom_score_adj to 0 */
};

/* Where and why it failed; stage STAT_STAGE_NONE if the command runs. */
struct leader_error {
	int stage; /* enum stat_stage */
	int error; /* errno */
};

/*
 * Makes the process and waits until it has executed the command or failed. Returns its pid (to be
 * reaped, also after a failure), or -1. All signals must be blocked in the caller; in the command none are.
 */
pid_t leader_start(const struct leader_spec *spec, volatile struct leader_error *err);

#endif

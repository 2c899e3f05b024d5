/*
 * Failures on demand, for tests: FAULT("store.commit") is 0, or the errno that the place is to
 * fail with. Without -DTASKCTL_FAULTS it is the constant 0 and costs nothing.
 *
 * The environment says what fails: TASKCTL_FAULT=name:n[:ERRNO][,...]. The n-th call of that name
 * fails, with "n+" that one and all after it. ERRNO is a name (EIO, the default) or a number.
 */
#ifndef TASKCTL_FAULT_H
#define TASKCTL_FAULT_H

#ifdef TASKCTL_FAULTS
#define FAULT(name) fault_check(name)
#else
#define FAULT(name) 0
#endif

/* Counts a call of `name`: 0, or the errno (positive) to fail with. Reads the environment once. */
int fault_check(const char *name);

/* Replaces what the environment said (tests); NULL or "" for no faults. Counters start again. */
void fault_set(const char *spec);

#endif

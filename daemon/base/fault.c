/* Failures on demand for tests: which call of which place fails, and with what errno. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "fault.h"
#include "util.h"

#define FAULT_MAX 16

struct fault {
	char *name; /* owned */
	long at;    /* the call that fails, from 1 */
	bool onward;
	int error;
	long calls;
};

/* Counters of calls from anywhere in the program have to be in one place. */
static struct {
	bool loaded;
	size_t n;
	struct fault fault[FAULT_MAX];
} state;

static int
errno_from_name(const char *name)
{
	int64_t n;

	if (str_to_int64(name, &n) == 0)
		return n > 0 && n < 4096 ? (int)n : EIO;
	for (int e = 1; e < 134; e++) {
		const char *known = strerrorname_np(e);

		if (known && strcmp(known, name) == 0)
			return e;
	}
	return EIO;
}

/* One "name:n[+][:ERRNO]"; what cannot be read is passed over, a test would notice. */
static void
add_fault(char *spec)
{
	char *count = strchr(spec, ':'), *error, *end;
	struct fault *f = &state.fault[state.n];

	if (!count || state.n == FAULT_MAX)
		return;
	*count++ = '\0';
	error = strchr(count, ':');
	if (error)
		*error++ = '\0';
	f->at = strtol(count, &end, 10);
	f->onward = *end == '+';
	f->error = error ? errno_from_name(error) : EIO;
	f->calls = 0;
	if (f->at < 1)
		return;
	f->name = xstrdup(spec);
	state.n++;
}

void
fault_set(const char *spec)
{
	char *copy = xstrdup(spec ? spec : ""), *next = NULL;

	while (state.n > 0)
		free(state.fault[--state.n].name);
	for (char *s = strtok_r(copy, ",", &next); s; s = strtok_r(NULL, ",", &next))
		add_fault(s);
	free(copy);
	state.loaded = true;
}

int
fault_check(const char *name)
{
	int error = 0;

	if (!state.loaded)
		fault_set(getenv("TASKCTL_FAULT"));
	for (size_t i = 0; i < state.n; i++) {
		struct fault *f = &state.fault[i];

		if (strcmp(f->name, name) != 0)
			continue;
		f->calls++;
		if (f->calls == f->at || (f->onward && f->calls > f->at))
			error = f->error;
	}
	return error;
}

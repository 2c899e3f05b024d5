/* Unit tests of config.h: defaults, the file with all its mistakes, options. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "check_run.h"
#include "clock.h"
#include "config.h"
#include "util.h"

static void
note(void *ctx, const char *file, unsigned line, const char *text)
{
	ck_assert_ptr_nonnull(file);
	strbuf_addf(ctx, "%u: %s\n", line, text);
}

/* Loads the text as a file; the mistakes go to `said`, one a line. */
static int
load(struct config *c, const char *text, size_t len, struct strbuf *said)
{
	char path[] = "/tmp/taskctl-check-XXXXXX";
	int fd = mkstemp(path), r;

	strbuf_reset(said);
	ck_assert_int_eq(write(fd, text, len), len);
	close(fd);
	r = config_load(c, path, note, said);
	unlink(path);
	return r;
}

START_TEST(test_defaults)
{
	struct strbuf said = STRBUF_INIT;
	struct config c;

	config_init(&c);
	ck_assert_int_eq(config_finish(&c, note, &said), 0);
	ck_assert_uint_eq(c.listen.n, 2);
	ck_assert_str_eq(c.listen.item[0], "127.0.0.1:8275");
	ck_assert_str_eq(c.listen.item[1], "[::1]:8275");
	ck_assert_int_eq(c.socket[0], '/');
	ck_assert_int_eq(c.grace, 10 * NS_PER_SEC);
	ck_assert_int_eq(c.umask, 022);
	ck_assert_int_eq(c.limits.line_max, 262144);
	ck_assert_str_eq(c.env_keep.item[0], "PATH");
	ck_assert_str_eq(strbuf_str(&said), "");
	config_release(&c);
	config_release(&c);
	strbuf_release(&said);
}
END_TEST

/* The same as root and as a user, as far as the test may become one. */
START_TEST(test_directories)
{
	struct config c;
	char *path;

	setenv("XDG_RUNTIME_DIR", "/run/x", 1);
	setenv("XDG_STATE_HOME", "not/absolute", 1);
	setenv("XDG_CONFIG_HOME", "/conf", 1);
	setenv("HOME", "/home/x", 1);
	if (geteuid() == 0) {
		config_init(&c);
		ck_assert_str_eq(c.runtime_dir, "/run/taskctl");
		ck_assert_str_eq(c.state_dir, "/var/lib/taskctl");
		config_release(&c);
		path = config_default_path();
		ck_assert_str_eq(path, "/etc/taskctl/taskctld.conf");
		free(path);
		ck_assert_int_eq(seteuid(12345), 0);
	}
	config_init(&c);
	ck_assert_str_eq(c.runtime_dir, "/run/x/taskctl");
	ck_assert_str_eq(c.state_dir, "/home/x/.local/state/taskctl");
	ck_assert_str_eq(c.cwd, "/home/x");
	ck_assert(!c.runtime_private);
	config_release(&c);
	path = config_default_path();
	ck_assert_str_eq(path, "/conf/taskctl/taskctld.conf");
	free(path);
	unsetenv("XDG_RUNTIME_DIR");
	config_init(&c);
	ck_assert(c.runtime_private == (strncmp(c.runtime_dir, "/tmp/", 5) == 0));
	config_release(&c);
	if (getuid() == 0) {
		ck_assert_int_eq(seteuid(0), 0);
		prctl(PR_SET_DUMPABLE, 1); /* the leak checker needs it, seteuid took it away */
	}
}
END_TEST

START_TEST(test_file)
{
	static const char text[] = "# comment\n"
				   "log_level = debug\n"
				   "\n"
				   "  [daemon]\r\n"
				   "listen = 127.0.0.1:0, [::1]:9000\r\n"
				   "listen=localhost:1\n"
				   "socket\t=\t/x y/z.sock  \n"
				   "spawnd = external\n"
				   "containment = subreaper\n"
				   "no_tcp = off\n"
				   "shutdown_timeout = 5\n"
				   "[defaults]\n"
				   "grace = none\n"
				   "hook_timeout = 1m30s\n"
				   "umask = 077\n"
				   "env_keep =\n"
				   "env_keep = A B\n"
				   "[limits]\n"
				   "shield_max = none\n"
				   "line_max = 64K\n"
				   "tasks_running = 7\n"
				   "output_limit = 1G";
	struct strbuf said = STRBUF_INIT;
	struct config c;

	config_init(&c);
	ck_assert_int_eq(load(&c, text, sizeof(text) - 1, &said), 0);
	ck_assert_str_eq(strbuf_str(&said), "");
	ck_assert_int_eq(config_finish(&c, note, &said), 0);
	ck_assert_int_eq(c.log_level, LOG_LEVEL_DEBUG);
	ck_assert_uint_eq(c.listen.n, 3);
	ck_assert_str_eq(c.listen.item[1], "[::1]:9000");
	ck_assert_str_eq(c.socket, "/x y/z.sock");
	ck_assert(c.spawnd_external && !c.spawnd && !c.no_tcp);
	ck_assert_int_eq(c.containment, CONFIG_CONTAIN_SUBREAPER);
	ck_assert_int_eq(c.shutdown_timeout, 5 * NS_PER_SEC);
	ck_assert_int_eq(c.grace, CLOCK_NONE);
	ck_assert_int_eq(c.hook_timeout, 90 * NS_PER_SEC);
	ck_assert_int_eq(c.umask, 077);
	ck_assert_uint_eq(c.env_keep.n, 2);
	ck_assert_str_eq(c.env_keep.item[1], "B");
	ck_assert_int_eq(c.shield_max, CLOCK_NONE);
	ck_assert_int_eq(c.limits.line_max, 65536);
	ck_assert_int_eq(c.limits.tasks_running, 7);
	ck_assert_int_eq(c.limits.output_limit, 1 << 30);
	config_release(&c);
	strbuf_release(&said);
}
END_TEST

START_TEST(test_mistakes)
{
	static const struct {
		const char *line, *word;
	} cases[] = {{"nonsense", "key = value"}, {"frob = 1", "no key called frob"},
	    {"= 1", "no key called"}, {"[nowhere]", "no section"}, {"[daemon", "[name]"},
	    {"grace =", "must have a value"}, {"grace = 5 s", "grace must be"},
	    {"grace = -5", "grace must be"}, {"hook_timeout = 0", "greater than 0"},
	    {"hook_timeout = none", "hook_timeout must be"}, {"grace = 11000d", "10 years"},
	    {"umask = 9", "octal"}, {"cwd = tmp", "begins with /"}, {"no_tcp = maybe", "yes or no"},
	    {"log_level = loud", "debug"}, {"containment = jail", "subreaper"},
	    {"spawnd = here", "external"}, {"listen = 8275", "HOST:PORT"},
	    {"listen = ::1:8275", "HOST:PORT"}, {"listen = h:65536", "HOST:PORT"},
	    {"listen = h:1x", "HOST:PORT"}, {"listen = []:1", "HOST:PORT"},
	    {"listen = :1", "HOST:PORT"}, {"listen = h:", "HOST:PORT"}, {"env_keep = A=B", "A=B"},
	    {"env_keep = TASKCTL_ID", "TASKCTL_ID"}, {"line_max = 1", "from 4096"},
	    {"line_max = 1T", "from 4096"}, {"connections = 0", "from 1"},
	    {"connections = 1K", "whole number"}, {"connections = 1.5", "whole number"}};
	struct strbuf said = STRBUF_INIT;
	struct config c;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		config_init(&c);
		ck_assert_msg(load(&c, cases[i].line, strlen(cases[i].line), &said) == -EINVAL,
		    "accepted: %s", cases[i].line);
		ck_assert_msg(strncmp(said.s, "1: ", 3) == 0 && strstr(said.s, cases[i].word) &&
				  said.len > 2 && said.s[said.len - 2] == '.',
		    "%s: %s", cases[i].line, said.s);
		config_release(&c);
	}
	strbuf_release(&said);
}
END_TEST

START_TEST(test_all_reported)
{
	static const char text[] = "grace = 1s\nfrob = 1\ngrace = 2s\n[limits]\numask = 0\n"
				   "unanswered = 5\nnul\0\n[oops]\nconnections = x\n";
	struct strbuf said = STRBUF_INIT;
	struct config c;
	char *words[7], *next = NULL;
	size_t n = 0;

	config_init(&c);
	ck_assert_int_eq(load(&c, text, sizeof(text) - 1, &said), -EINVAL);
	for (char *s = strtok_r(said.s, "\n", &next); s && n < 7; s = strtok_r(NULL, "\n", &next))
		words[n++] = s;
	ck_assert_uint_eq(n, 6);
	ck_assert_int_eq(words[0][0], '2');
	ck_assert_str_eq(words[1], "3: grace was set in line 1 already; remove one of the two.");
	ck_assert_str_eq(words[2], "5: umask belongs into the section [defaults].");
	ck_assert_int_eq(words[3][0], '7');
	ck_assert_int_eq(words[4][0], '8');
	ck_assert_int_eq(words[5][0], '9');
	/* what was right is there */
	ck_assert_int_eq(c.grace, NS_PER_SEC);
	ck_assert_int_eq(c.limits.unanswered, 5);
	config_release(&c);
	strbuf_release(&said);
}
END_TEST

START_TEST(test_unreadable)
{
	struct strbuf said = STRBUF_INIT;
	struct config c;
	char *lines = xcalloc(1, 20000);

	config_init(&c);
	ck_assert_int_eq(config_load(&c, "/tmp/taskctl-no/such", note, &said), -ENOENT);
	ck_assert_int_eq(config_load(&c, "/tmp", note, &said), -EISDIR);
	memset(lines, 'x', 19999);
	ck_assert_int_eq(load(&c, lines, 19999, &said), -EINVAL);
	ck_assert_ptr_nonnull(strstr(said.s, "longer"));
	free(lines);
	config_release(&c);
	strbuf_release(&said);
}
END_TEST

START_TEST(test_options)
{
	struct strbuf said = STRBUF_INIT;
	struct config c;
	char *why = NULL;

	config_init(&c);
	ck_assert_int_eq(load(&c, "listen = a:1\n", 13, &said), 0);
	config_list_clear(&c.listen);
	for (int i = 0; i < CONFIG_LISTEN_MAX; i++)
		ck_assert_int_eq(config_set(&c, "listen", "b:2", &why), 0);
	ck_assert_int_eq(config_set(&c, "listen", "b:2", &why), -EINVAL);
	ck_assert_str_eq(why, "listen must have at most 16 entries.");
	free(why);
	ck_assert_str_eq(c.listen.item[0], "b:2");
	ck_assert_int_eq(config_set(&c, "runtime_dir", "/r", &why), 0);
	ck_assert_int_eq(config_finish(&c, note, &said), 0);
	ck_assert_str_eq(c.socket, "/r/taskctl.sock");
	config_release(&c);
	config_init(&c);
	ck_assert_int_eq(config_set(&c, "no_tcp", "yes", &why), 0);
	ck_assert_int_eq(config_set(&c, "output_close", "64K", &why), 0);
	ck_assert_int_eq(config_set(&c, "spawnd", "/usr/bin/x", &why), 0);
	ck_assert_int_eq(config_finish(&c, note, &said), -EINVAL);
	ck_assert_ptr_nonnull(strstr(said.s, "0: output_close must be at least output_high."));
	ck_assert_uint_eq(c.listen.n, 0);
	ck_assert_str_eq(c.spawnd, "/usr/bin/x");
	config_release(&c);
	strbuf_release(&said);
}
END_TEST

START_TEST(test_long_socket)
{
	struct strbuf said = STRBUF_INIT;
	struct config c;
	char path[120], *why = NULL;

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[108] = '\0';
	config_init(&c);
	ck_assert_int_eq(config_set(&c, "socket", path, &why), 0);
	ck_assert_int_eq(config_finish(&c, note, &said), -EINVAL);
	path[107] = '\0';
	ck_assert_int_eq(config_set(&c, "socket", path, &why), 0);
	ck_assert_int_eq(config_finish(&c, note, &said), 0);
	config_release(&c);
	strbuf_release(&said);
}
END_TEST

CHECK_MAIN("config", test_defaults, test_directories, test_file, test_mistakes, test_all_reported,
    test_unreadable, test_options, test_long_socket)

/*
 * The limit of answering requests: a minimal libevent and jansson server that parses each line
 * and answers with an object, read from a file at the start, as a string made of it each time.
 */
#include "bench.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <jansson.h>

static void
answer(json_t *sample, const char *line, size_t len, struct evbuffer *out)
{
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const char *cmd = json_string_value(json_object_get(request, "cmd"));
	char *reply;

	if (cmd == NULL || strcmp(cmd, "show") != 0 || json_object_get(request, "id") == NULL) {
		evbuffer_add_printf(out, "{\"ok\":false}\n");
	} else {
		reply = must(json_dumps(sample, JSON_COMPACT | JSON_ENSURE_ASCII));
		evbuffer_add(out, reply, strlen(reply));
		evbuffer_add(out, "\n", 1);
		free(reply);
	}
	json_decref(request);
}

static void
on_read(struct bufferevent *bev, void *sample)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	char *line;
	size_t len;

	while ((line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF)) != NULL) {
		answer(sample, line, len, bufferevent_get_output(bev));
		free(line);
	}
}

static void
on_event(struct bufferevent *bev, short what, void *sample)
{
	(void)what, (void)sample;
	bufferevent_free(bev);
}

static void
on_accept(
    struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *sa, int len, void *sample)
{
	struct bufferevent *bev = must(
	    bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE));

	(void)sa, (void)len;
	bufferevent_setcb(bev, on_read, NULL, on_event, sample);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

int
main(int argc, char **argv)
{
	struct event_base *base = must(event_base_new());
	json_t *sample;
	int fd;

	if (argc != 3)
		errx(2, "usage: minserver SOCKET REPLY_FILE");
	sample = must(json_load_file(argv[2], 0, NULL));
	fd = unix_listen(argv[1]);
	evutil_make_socket_nonblocking(fd);
	must(evconnlistener_new(base, on_accept, sample, LEV_OPT_CLOSE_ON_FREE, 0, fd));
	event_base_dispatch(base);
	return 0;
}

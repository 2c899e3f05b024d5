"""Lines: what is a request, what ends one, what ends the connection (protocol.md 1)."""
import json
import random
import select
import time

import harness
from harness import wait_until

LINE_MAX = 256 * 1024


def padded(length, request=b'{"cmd":"hello","rid":"long"'):
    return request + b" " * (length - len(request) - 1) + b"}"


class Framing(harness.Case):
    def test_one_request_one_reply(self):                                           # F01
        self.c.send(b'{"cmd":"hello","rid":"a1"}\n')
        self.has(self.c.recv(), ok=True, rid="a1", protocol=1)

    def test_reply_without_rid_has_none(self):
        self.c.send(b'{"cmd":"hello"}\n')
        self.assertNotIn("rid", self.c.recv())

    def test_pipelined_in_order(self):                                              # F03
        self.c.send(b"".join(b'{"cmd":"hello","rid":%d}\n' % i for i in range(100)))
        self.assertEqual([self.c.recv()["rid"] for unused in range(100)], list(range(100)))

    def test_order_is_kept_across_commands(self):
        id = self.c.sh("exec sleep 60")
        lines, cmds = [], ["show", "list", "hello", "stats", "cancel", "show", "uncancel", "bogus"]
        for i, cmd in enumerate(cmds):
            request = {"cmd": cmd, "rid": i}
            if cmd in ("show", "cancel", "uncancel"):
                request["id"] = id
            lines.append(json.dumps(request).encode() + b"\n")
        self.c.send(b"".join(lines))
        self.assertEqual([self.c.recv()["rid"] for unused in cmds], list(range(len(cmds))))

    def test_a_waiting_reply_blocks_nothing(self):
        fifo = self.fifo()
        id = self.c.sh("read x <%s" % fifo)
        rid = self.c.ask("wait", id=id)
        self.c.ok("hello")
        self.c.ok("show", id=id)
        self.let(fifo)
        self.has(self.c.reply(rid), ok=True, result="done")

    def test_cr_lf(self):                                                           # F06
        self.c.send(b'{"cmd":"hello","rid":1}\r\n{"cmd":"hello","rid":2}\n')
        self.has(self.c.recv(), ok=True, rid=1)
        self.has(self.c.recv(), ok=True, rid=2)

    def test_blank_lines_are_ignored(self):                                         # F07
        self.c.send(b'\n\r\n  \n\t\n{"cmd":"hello","rid":1}\n\n\r\n \n{"cmd":"hello","rid":2}\n')
        self.has(self.c.recv(), rid=1)
        self.has(self.c.recv(), rid=2)
        self.c.silent(0.05)

    def test_blanks_around_the_object(self):
        self.c.send(b' \t {"cmd":"hello","rid":1} \t \n')
        self.has(self.c.recv(), ok=True, rid=1)

    def test_longest_line(self):                                                    # F08
        for end in (b"\n", b"\r\n"):
            self.c.send(padded(LINE_MAX) + end)
            self.has(self.c.recv(), ok=True, rid="long")

    def test_one_byte_too_long(self):                                               # F08
        before = self.c.ok("events")["seq"]
        c = self.conn()
        request = b'{"cmd":"start","argv":["true"]'
        c.send(b'{"cmd":"hello","rid":1}\n' + padded(LINE_MAX + 1, request) + b"\n"
               b'{"cmd":"hello","rid":2}\n')
        self.has(c.recv(), ok=True, rid=1)
        reply = self.has(c.recv(), ok=False)
        self.has(reply["error"], code="too_large")
        c.recv_eof()
        self.assertEqual(self.conn().ok("events")["seq"], before, "something was executed")

    def test_too_long_without_an_end(self):
        self.c.send(padded(LINE_MAX + 8)[:-1])
        self.has(self.c.recv()["error"], code="too_large")
        self.c.recv_eof()

    def test_nul_byte(self):                                                        # F10
        self.c.send(b'{"cmd":"hello\0"}\n')
        self.has(self.c.recv()["error"], code="bad_json")
        self.c.send(b'{"cmd":"hello"}\0\n')
        self.has(self.c.recv()["error"], code="bad_json")
        self.c.ok("hello")

    def test_text_after_the_object(self):                                           # F13
        for tail in (b" x", b"{}", b',{"cmd":"hello"}', b"]", b"}", b" //"):
            with self.subTest(tail=tail):
                self.c.send(b'{"cmd":"start","argv":["true"]}' + tail + b"\n")
                self.has(self.c.recv()["error"], code="bad_json")
        self.c.ok("hello")

    def test_first_byte(self):                                                      # F11
        for junk in (b"\xef\xbb\xbf{\"cmd\":\"hello\"}\n", b'["cmd"]\n', b'"x"\n', b"5\n",
                     b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\n\n  x\n", b"\0", b"\xff"):
            with self.subTest(junk=junk):
                c = self.conn()
                c.send(junk)
                c.recv_eof()

    def test_http_post_is_not_executed(self):                                       # A13
        seq = self.c.ok("events")["seq"]
        body = b'{"cmd":"start","argv":["true"],"name":"http"}\n'
        c = self.conn(tcp=True)
        c.send(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        c.recv_eof()
        self.assertEqual(self.conn().ok("events")["seq"], seq)

    def test_white_space_may_come_first(self):
        self.c.send(b' \r\n\t {"cmd":"hello","rid":1}\n')
        self.has(self.c.recv(), ok=True, rid=1)

    def test_array_or_scalar_later_is_bad_json(self):                               # J08
        self.c.ok("hello")
        for line in (b"[]", b'["cmd"]', b"5", b'"x"', b"null", b"true"):
            self.c.send(line + b"\n")
            self.has(self.c.recv()["error"], code="bad_json")
        self.c.ok("hello")

    def test_last_line_without_end(self):
        self.c.send(b'{"cmd":"hello","rid":1}\n{"cmd":"hello","rid":2}')
        self.c.half_close()
        self.has(self.c.recv(), rid=1)
        self.has(self.c.recv(), rid=2)
        self.c.recv_eof()

    def test_truncated_object_then_end(self):                                       # F05
        seq = self.conn().ok("events")["seq"]
        self.c.send(b'{"cmd":"start","argv":["true"]')
        self.c.half_close()
        self.has(self.c.recv()["error"], code="bad_json")
        self.c.recv_eof()
        self.assertEqual(self.conn().ok("events")["seq"], seq)

    def test_end_at_once(self):
        self.c.half_close()
        self.c.recv_eof()

    def test_pipelined_then_half_close(self):                                       # F14
        lines = [b'{"cmd":"hello","rid":%d}\n' % i for i in range(50)]
        lines[20] = b'{"cmd":"start","argv":["true"],"wait":true,"rid":20}\n'
        self.c.send(b"".join(lines))
        self.c.half_close()
        got = [self.c.recv() for unused in range(50)]
        self.assertEqual(sorted(r["rid"] for r in got), list(range(50)))
        self.has([r for r in got if r["rid"] == 20][0], ok=True, task=lambda t: True)
        self.c.recv_eof()

    def test_half_close_is_no_disconnect(self):
        """What is owed is still answered; an own wait does not cancel its task."""
        fifo = self.fifo()
        id = self.c.sh("read x <%s" % fifo)
        self.c.ask("wait", id=id, mode="own", rid="w")
        self.c.half_close()
        c = self.conn()
        self.has(c.running(id), state="running", cancel=None)
        self.let(fifo)
        self.has(self.c.reply("w"), result="done", of="task")
        self.c.recv_eof()

    def test_close_member(self):
        self.c.send(b'{"cmd":"hello","close":true,"rid":1}\n{"cmd":"hello","rid":2}\n')
        self.has(self.c.recv(), ok=True, rid=1)
        self.c.recv_eof()

    def test_close_false_keeps_it_open(self):
        self.c.ok("hello", close=False)
        self.c.ok("hello")

    def test_close_member_of_refused_requests(self):
        for request, code in ((b'{"cmd":"bogus","close":true}', "unknown_command"),
                              (b'{"cmd":"show","close":true,"id":"x"}', "bad_request"),
                              (b'{"cmd":"show","close":true,"id":987654}', "not_found"),
                              (b'{"cmd":"hello","close":true,"timout":1}', "bad_request")):
            with self.subTest(request=request):
                c = self.conn()
                c.send(request + b"\n")
                self.has(c.recv()["error"], code=code)
                c.recv_eof()

    def test_close_member_of_a_wait(self):
        fifo = self.fifo()
        id = self.c.sh("read x <%s" % fifo)
        self.c.ask("wait", id=id, rid="w", close=True)
        self.c.silent(0.05)
        self.let(fifo)
        self.has(self.c.reply("w"), result="done")
        self.c.recv_eof()

    def test_undeliverable_reply_is_carried_out(self):
        for tcp in (False, True):
            c = self.d.connect(tcp)
            c.ok("hello")                       # known, before it goes
            c.send({"cmd": "start", "argv": ["true"], "name": "orphaned-reply-%s" % tcp})
            c.close()
            wait_until(lambda: self.c.ok("list", select={"name": "orphaned-reply-%s" % tcp})
                       ["tasks"], what="the start of a client that has gone")

    def test_slow_reader_gets_everything(self):                                     # F17
        id = self.c.sh("yes 0123456789abcdef | head -c 4000000")
        self.c.ended(id)
        rid = self.c.ask("logs", id=id)
        select.select([], [], [], 0.5)          # let it fill every buffer on the way
        self.c.ask("hello", rid="after")
        self.assertEqual(self.c.reply(rid)["offset"], 4000000)
        data = "".join(e["data"] for e in self.c.events)
        self.assertEqual(data, ("0123456789abcdef\n" * 235295)[:4000000])
        self.has(self.c.reply("after"), ok=True)

    def test_any_split_gives_the_same_replies(self):                                # F18
        stream = (b'{"cmd":"hello","rid":1}\r\n\n{"cmd":"show","id":999999,"rid":"\\u00e9"}\n'
                  b'{"cmd":}\n{"cmd":"list","limit":1,"bogus":"\xc3\xa9"}\n[]\n'
                  b'{"cmd":"bogus","rid":3}\n{"cmd":"hello","rid":4,"close":true}\n')

        def replies(pieces):
            c = self.conn(tcp=True)
            for piece in pieces:
                c.send(piece)
                if len(pieces) < 40:
                    time.sleep(0.0005)          # a segment of its own, most likely
            got = []
            while True:
                try:
                    got.append(c.recv())
                except harness.Gone:
                    for r in got:
                        r.pop("uptime", None)
                    return got

        whole = replies([stream])
        self.assertEqual(len(whole), 7)
        self.assertEqual(replies([stream[i:i + 1] for i in range(len(stream))]), whole)
        rng = random.Random(18)
        for unused in range(40):
            cuts = sorted(rng.sample(range(1, len(stream)), rng.randrange(1, 8)))
            pieces = [stream[a:b] for a, b in zip([0] + cuts, cuts + [len(stream)])]
            self.assertEqual(replies(pieces), whole, "split at %r" % cuts)

    def test_tcp_speaks_the_same(self):
        c = self.conn(tcp=True)
        self.has(c.ok("hello"), protocol=1)
        self.assertEqual(c.ok("start", argv=["true"], wait=True)["task"]["state"], "done")


class Flood(harness.Case):
    """On its own: a daemon that gets stuck here should not fail every other test."""

    def test_many_requests_at_once(self):
        n = 20000
        c = self.conn()
        c.sock.setblocking(True)
        lines = b"".join(b'{"cmd":"show","id":999999,"rid":%d}\n' % i for i in range(n))
        sent = got = 0
        c.sock.setblocking(False)
        end = time.monotonic() + harness.PATIENCE
        while got < n:
            self.assertLess(time.monotonic(), end, "%d of %d" % (got, n))
            r, w, x = select.select([c.sock], [c.sock] if sent < len(lines) else [], [], 1)
            if w:
                sent += c.sock.send(lines[sent:sent + 65536])
            if r:
                got += c.sock.recv(1 << 18).count(b"\n")
        self.assertEqual(got, n)


class Hello(harness.Case):
    def test_members(self):
        hello = self.has(self.c.ok("hello"), protocol=1, server=lambda v: isinstance(v, str),
                         version=lambda v: isinstance(v, str),
                         caller=lambda v: v["uid"] == 0 or isinstance(v["uid"], int),
                         limits=lambda v: isinstance(v, dict),
                         uptime=lambda v: isinstance(v, (int, float)) and v >= 0)
        self.assertEqual(hello["caller"]["scope"], "start")
        for cmd in ("hello auth start release cancel kill uncancel shield unshield timeout wait "
                    "cancel_wait list show logs events signal pause resume remove stats "
                    "shutdown").split():
            self.assertIn(cmd, hello["commands"])

    def test_auth_is_not_here_yet(self):
        self.c.refused("unauthenticated", "auth", token="x" * 20)

    def test_unknown_command(self):
        for cmd in ("bogus", "", "HELLO", "hello ", "start\u0131"):
            self.c.refused("unknown_command", cmd)

    def test_unknown_command_with_members(self):
        self.c.refused("unknown_command", "bogus", x=1, id="y")

"""logs: what a task has written, whole, in pieces, as it comes; limits (protocol.md 4)."""
import base64
import os

import harness
from harness import now, wait_until


class Reader:
    """All output events of one logs request, joined and checked."""

    def __init__(self, conn, id, **members):
        self.conn = conn
        self.rid = conn.ask("logs", id=id, **members)
        self.end = conn.reply(self.rid, patience=40)
        assert self.end["ok"], self.end
        self.events = [e for e in conn.events if e.get("rid") == self.rid]
        conn.events = [e for e in conn.events if e.get("rid") != self.rid]
        self.gaps = [e["gap"] for e in self.events if "gap" in e]
        if members.get("encoding") == "base64":
            self.bytes = b"".join(base64.b64decode(e["data"]) for e in self.events)
        else:
            self.text = "".join(e["data"] for e in self.events)
        for e in self.events:
            assert e["event"] == "output" and e["id"] == id, e
        self.offset, self.eof = self.end["offset"], self.end["eof"]


class Logs(harness.Case):
    def read(self, id, **members):
        return Reader(self.c, id, **members)

    def done(self, line, **members):
        return self.c.ok("start", shell=line, wait=True, **members)["id"]

    def test_all_of_it(self):
        id = self.done("echo one; echo two")
        r = self.read(id)
        self.assertEqual((r.text, r.offset, r.eof), ("one\ntwo\n", 8, True))
        self.has(r.events[0], stream="output", offset=0, id=id)
        self.has(self.c.task(id), output={"bytes": 8, "dropped": 0})

    def test_none(self):
        r = self.read(self.done("true"))
        self.assertEqual((r.text, r.offset, r.eof), ("", 0, True))

    def test_offset(self):
        id = self.done("printf 0123456789")
        r = self.read(id, offset=3)
        self.assertEqual((r.text, r.offset, r.eof), ("3456789", 10, True))
        self.has(r.events[0], offset=3)
        self.assertEqual(self.read(id, offset=10).text, "")
        self.assertEqual(self.read(id, offset=0).text, "0123456789")
        r = self.read(id, offset=11)
        self.assertEqual(r.text, "")

    def test_negative_offset(self):
        id = self.done("printf 0123456789")
        r = self.read(id, offset=-4)
        self.assertEqual((r.text, r.offset), ("6789", 10))
        self.has(r.events[0], offset=6)
        self.assertEqual(self.read(id, offset=-100).text, "0123456789")

    def test_limit(self):
        id = self.done("printf 0123456789")
        r = self.read(id, limit=4)
        self.assertEqual((r.text, r.offset, r.eof), ("0123", 4, False))
        r = self.read(id, offset=r.offset, limit=6)
        self.assertEqual((r.text, r.offset), ("456789", 10))
        self.assertEqual(self.read(id, offset=-5, limit=2).text, "56")

    def test_paging_is_seamless(self):
        id = self.done("seq 100000")
        got, offset = "", 0
        while True:
            r = self.read(id, offset=offset, limit=65536)
            got += r.text
            offset = r.offset
            if r.eof:
                break
        self.assertEqual(got, "".join("%d\n" % i for i in range(1, 100001)))

    def test_offsets_of_the_events_add_up(self):
        id = self.done("seq 200000")
        r = self.read(id)
        at = 0
        for e in r.events:
            self.assertEqual(e["offset"], at)
            at += len(e["data"])
        self.assertEqual(at, r.offset)

    def test_running_task(self):
        fifo = self.fifo()
        id = self.c.sh("echo begun; read x <%s; echo ended" % fifo)
        self.c.said(id, "begun")
        r = self.read(id)
        self.assertEqual((r.text, r.eof), ("begun\n", False))
        self.let(fifo)
        self.c.ended(id)
        r = self.read(id, offset=r.offset)
        self.assertEqual((r.text, r.eof), ("ended\n", True))

    def test_bytes_of_a_running_task_are_current(self):
        id = self.c.sh("echo 12345; exec sleep 60")
        self.c.said(id, "12345")
        self.has(self.c.task(id), output={"bytes": 6, "dropped": 0})
        self.c.ok("cancel", id=id)

    def test_follow(self):
        fifo = self.fifo()
        id = self.c.sh("echo one; read x <%s; echo two; read x <%s; echo three" % (fifo, fifo))
        rid = self.c.ask("logs", id=id, follow=True)
        self.has(self.c.expect(event="output"), data="one\n", offset=0, rid=rid)
        self.let(fifo)
        self.has(self.c.expect(event="output"), data="two\n", offset=4)
        self.let(fifo)
        self.has(self.c.expect(event="output"), data="three\n", offset=8)
        self.has(self.c.reply(rid), ok=True, offset=14, eof=True)

    def test_follow_of_an_ended_task(self):
        r = self.read(self.done("echo x"), follow=True)
        self.assertEqual((r.text, r.offset, r.eof), ("x\n", 2, True))

    def test_follow_from_the_end(self):
        fifo = self.fifo()
        id = self.c.sh("echo old; read x <%s; echo new" % fifo)
        self.c.said(id, "old")
        rid = self.c.ask("logs", id=id, follow=True, offset=4)
        self.c.ok("hello")
        self.let(fifo)
        self.has(self.c.expect(event="output"), data="new\n", offset=4)
        self.has(self.c.reply(rid), eof=True, offset=8)

    def test_follow_with_limit(self):
        fifo = self.fifo()
        id = self.c.sh("printf 01234; read x <%s; printf 56789; exec sleep 60" % fifo)
        rid = self.c.ask("logs", id=id, follow=True, limit=7)
        self.c.expect(event="output")
        self.let(fifo)
        self.has(self.c.expect(event="output"), data="56", offset=5)
        self.has(self.c.reply(rid), offset=7, eof=False)
        self.c.ok("cancel", id=id)

    def test_follow_sees_hooks(self):
        id = self.c.sh("echo main", hooks={"finally": {"shell": "sleep 0.2; echo hook"}})
        self.assertEqual(self.read(id, follow=True).text, "main\nhook\n")

    def test_follow_of_a_pending_task(self):
        id = self.c.ok("start", shell="echo x", hold=True)["id"]
        rid = self.c.ask("logs", id=id, follow=True)
        self.c.ok("release", id=id)
        self.has(self.c.expect(event="output"), data="x\n")
        self.has(self.c.reply(rid), eof=True)

    def test_many_followers(self):
        fifo = self.fifo()
        id = self.c.sh("read x <%s; seq 20000" % fifo)
        conns = [self.conn() for unused in range(20)]
        rids = [c.ask("logs", id=id, follow=True) for c in conns]
        conns[-1].ok("hello")
        self.let(fifo)
        want = "".join("%d\n" % i for i in range(1, 20001))
        for c, rid in zip(conns, rids):
            self.has(c.reply(rid), eof=True, offset=len(want))
            self.assertEqual("".join(e["data"] for e in c.events), want)

    def test_follower_leaves(self):
        id = self.c.sh("while :; do echo x; sleep 0.01; done")
        c = self.conn()
        c.ask("logs", id=id, follow=True)
        c.expect(event="output")
        c.abort()
        self.has(self.c.ok("cancel", id=id, wait=True)["task"], state="cancelled")

    def test_utf8(self):
        id = self.done("printf 'a\\303\\251\\377b\\342\\202c\\033[2J\\000'")
        # How many U+FFFD stand for a sequence that was cut short is left open.
        self.assertRegex(self.read(id).text, "^a\u00e9\ufffdb\ufffd{1,2}c\x1b\\[2J\0$")
        r = self.read(id, encoding="base64")
        self.assertEqual(r.bytes, b"a\xc3\xa9\xffb\xe2\x82c\x1b[2J\0")
        self.assertEqual(r.offset, len(r.bytes))

    def test_utf8_is_not_cut(self):
        """A character across two reads or two writes is not torn while it may still come."""
        text = ("\u00e9\U0001f600\u20ac" * 30000)
        with open(self.d.dir + "/text", "w") as f:
            f.write(text)
        id = self.done("cat %s/text" % self.d.dir)
        self.assertEqual(self.read(id).text, text)
        fifo = self.fifo()
        id = self.c.sh("printf 'x\\342\\202'; read x <%s; printf '\\254y'" % fifo)
        rid = self.c.ask("logs", id=id, follow=True)
        self.c.expect(event="output")
        self.let(fifo)
        self.c.reply(rid)
        self.assertEqual("x" + "".join(e["data"] for e in self.c.events).lstrip("x"), "x\u20acy")

    def test_base64_of_everything(self):
        id = self.done("printf '" + "".join("\\%03o" % i for i in range(256)) + "'")
        self.assertEqual(self.read(id, encoding="base64").bytes, bytes(range(256)))

    def test_separate(self):                                                        # O08
        id = self.done("echo out; echo err >&2; echo out2", output="separate")
        for stream, text in (("stdout", "out\nout2\n"), ("stderr", "err\n")):
            r = self.read(id, stream=stream)
            self.assertEqual((r.text, r.offset, r.eof), (text, len(text), True))
            self.has(r.events[0], stream=stream)
        self.has(self.c.task(id)["output"], bytes=13)

    def test_stream_that_is_not_there(self):
        for output, stream in (("merged", "stdout"), ("merged", "stderr"), ("separate", "output")):
            id = self.done("echo x", output=output)
            reply = self.c.call("logs", id=id, stream=stream)
            if not reply["ok"]:
                self.has(reply["error"], code="bad_request", field="stream")

    def test_no_newline_at_all(self):                                               # O03
        id = self.done("head -c 10000000 /dev/zero | tr '\\0' x")
        r = self.read(id)
        self.assertEqual(len(r.text), 10000000)
        self.assertEqual(set(r.text), {"x"})

    def test_looks_like_a_reply(self):                                              # V07
        id = self.done("echo '{\"ok\":true,\"rid\":\"x\"}'")
        self.assertEqual(self.read(id).text, '{"ok":true,"rid":"x"}\n')

    def test_end_is_not_delayed_by_a_holder(self):                                  # O05
        begun = now()
        task = self.c.ok("start", shell="sleep 60 & echo x", wait=True)["task"]
        self.assertLess(now() - begun, 5 * harness.SLOW)
        self.assertEqual(len(task["leftover"]), 1)
        self.assertIn(task["leftover"][0]["comm"], ("sleep", "sh"))     # before its exec, perhaps

    def test_output_of_a_task_that_could_not_start(self):
        id = self.c.ok("start", argv=["/no/such"], wait=True)["id"]
        r = self.read(id)
        self.assertEqual((r.offset, r.eof), (0, True))


class Limit(harness.Case):
    """Default limit 64 MiB a task: the oldest goes, counted exactly."""

    def test_writer_of_a_gibibyte(self):                                            # O01
        size = 1 << 30
        others = self.disk()
        begun = now()
        id = self.c.ok("start", argv=["head", "-c", str(size), "/dev/zero"])["id"]
        worst = 0
        wait_rid = self.c.ask("wait", id=id)
        side = self.conn()
        while True:
            worst = max(worst, self.disk() - others)
            task = side.task(id)
            if task["state"] == "done":
                break
            self.assertIn(task["state"], ("pending", "running", "cleanup"))
            self.assertLess(now() - begun, 60 * harness.SLOW)
        self.has(self.c.reply(wait_rid), result="done")
        task = self.c.task(id)
        self.has(task, state="done", forced=False, exit={"code": 0})
        output = task["output"]
        self.assertEqual(output["bytes"], size)
        self.assertGreaterEqual(output["bytes"] - output["dropped"], 32 << 20)
        self.assertLessEqual(output["bytes"] - output["dropped"], 80 << 20)
        try:
            wait_until(lambda: self.disk() - others < (100 << 20))
        except AssertionError:
            self.fail("%d MiB on disk long after its end, %d at most; %r" % (
                (self.disk() - others) >> 20, worst >> 20, self.c.task(id)["output"]))
        self.assertLess(worst, 700 << 20, "the disk use is not bounded")
        r = Reader(self.c, id, offset=-100)
        self.assertEqual((r.text, r.offset, r.eof), ("\0" * 100, size, True))

    def disk(self):
        total = 0
        for base in (self.d.state_dir, self.d.run_dir):
            for path, unused, files in os.walk(base):
                for name in files:
                    try:
                        total += os.stat(os.path.join(path, name)).st_blocks * 512
                    except OSError:
                        pass
        return total

    def test_gap(self):
        size = 100 << 20
        id = self.c.ok("start", wait=True, patience=60, shell=(
            "echo first; yes 0123456789abcde | head -c %d; echo last" % size))["id"]
        output = self.c.task(id)["output"]
        self.assertEqual(output["bytes"], size + 11)
        dropped = output["dropped"]
        self.assertGreaterEqual(output["bytes"] - dropped, 32 << 20)
        self.assertLessEqual(output["bytes"] - dropped, 80 << 20)
        r = Reader(self.c, id, limit=1000)
        first = r.events[0]
        self.assertTrue(r.gaps, "no gap member: %r" % first)
        self.assertEqual(first["offset"], dropped)
        self.assertEqual(len(r.text), 1000)
        self.assertEqual(r.offset, dropped + 1000)
        at = (dropped - 6) % 16                 # the content at that offset is the right one
        self.assertEqual(r.text, ("0123456789abcde\n" * 70)[at:at + 1000])
        self.assertEqual(Reader(self.c, id, offset=-5).text, "last\n")
        inside = Reader(self.c, id, offset=dropped + 4321, limit=10)
        self.assertFalse(inside.gaps)
        self.assertEqual(inside.events[0]["offset"], dropped + 4321)

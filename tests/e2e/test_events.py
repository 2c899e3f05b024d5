"""events: a seq without holes, since, select, a reader that is too slow (protocol.md 4)."""
import socket

import harness


class Events(harness.Case):
    def test_seq_goes_up_by_one(self):
        seq = self.c.watch()
        side = self.conn()
        for unused in range(3):
            side.ok("start", argv=["true"], wait=True)
        names = []
        for i in range(1, 10):
            event = self.has(self.c.recv(), seq=seq + i, id=lambda v: isinstance(v, int))
            self.assertRegex(event["at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            names.append(event["event"])
        self.assertEqual(names, ["task.created", "task.started", "task.ended"] * 3)

    def test_members(self):
        self.c.watch()
        side = self.conn()
        id = side.ok("start", argv=["true"], name="watched", wait=True)["id"]
        self.has(self.c.expect(event="task.created", id=id), name="watched")
        self.has(self.c.expect(event="task.started", id=id), pid=lambda p: isinstance(p, int))
        self.has(self.c.expect(event="task.ended", id=id), state="done", exit={"code": 0},
                 forced=False)

    def test_rid_is_echoed(self):
        self.c.ok("events", rid="sub")
        self.conn().ok("start", argv=["true"])
        self.has(self.c.expect(event="task.created"), rid="sub")

    def test_since(self):
        side = self.conn()
        before = side.ok("events")["seq"]
        ids = [self.conn().ok("start", argv=["true"], wait=True)["id"] for unused in range(3)]
        reply = self.c.ok("events", since=before)
        self.assertGreaterEqual(reply["seq"], before + 9)
        got = [self.c.expect(seq=before + i) for i in range(1, 10)]
        self.assertEqual([e["id"] for e in got if e["event"] == "task.ended"], ids)
        again = self.conn()
        again.ok("events", since=before)
        for want in got:
            event = again.expect(seq=want["seq"])
            want = {k: v for k, v in want.items() if k != "rid"}
            event.pop("rid", None)
            self.assertEqual(event, want)

    def test_since_now(self):
        seq = self.conn().ok("events")["seq"]
        self.c.ok("events", since=seq)
        self.c.silent(0.05)
        self.conn().ok("start", argv=["true"])
        self.has(self.c.recv(), seq=seq + 1, event="task.created")

    def test_since_zero_has_all_or_an_overrun(self):
        self.conn().ok("start", argv=["true"], wait=True)
        self.c.ok("events", since=0)
        first = self.c.events[0] if self.c.events else self.c.recv()
        if first["event"] == "overrun":
            self.has(first, **{"from": 1})
        else:
            self.has(first, seq=1)

    def test_without_since_only_what_comes(self):
        self.conn().ok("start", argv=["true"], wait=True)
        self.c.ok("events")
        self.c.silent(0.05)

    def test_select(self):
        self.c.ok("events", select={"name": "wanted"})
        side = self.conn()
        side.ok("start", argv=["true"], name="other", wait=True)
        id = side.ok("start", argv=["true"], name="wanted", wait=True)["id"]
        self.assertEqual([(e["event"], e["id"]) for e in (self.c.recv() for unused in range(3))],
                         [("task.created", id), ("task.started", id), ("task.ended", id)])

    def test_select_label(self):
        self.c.ok("events", select={"label": {"k": "v"}})
        side = self.conn()
        side.ok("start", argv=["true"], wait=True)
        id = side.ok("start", argv=["true"], labels={"k": "v"}, wait=True)["id"]
        self.has(self.c.recv(), event="task.created", id=id)

    def test_a_life(self):
        """Everything that happens to one task, in order."""
        self.c.watch()
        side = self.conn()
        id = side.sh("trap '' TERM; echo up; exec sleep 60", grace=0.1, name="life",
                     hooks={"on_cancel": {"shell": "true"}, "finally": {"shell": "true"}})
        side.said(id, "up")
        side.ok("shield", id=id, holder="h")
        side.ok("timeout", id=id, **{"in": 100})
        side.ok("cancel", id=id, msg="m")
        side.ok("unshield", id=id, holder="h")
        side.ended(id)
        names = []
        while not names or names[-1] != "task.ended":
            event = self.c.recv()
            if event["id"] == id:
                names.append(event["event"])
        self.assertEqual(names, [
            "task.created", "task.started", "task.shielded", "task.deadline",
            "task.cancel_requested", "task.deferred", "task.unshielded", "task.cancelling",
            "task.killed", "task.hook_started", "task.hook_ended", "task.hook_started",
            "task.hook_ended", "task.ended"])

    def test_two_subscriptions_see_the_same(self):
        a, b = self.conn(), self.conn()
        seq = a.watch()
        self.assertEqual(b.watch(), seq)
        self.c.ok("start", argv=["true"], wait=True)
        for i in range(1, 4):
            ea, eb = a.recv(), b.recv()
            ea.pop("rid"), eb.pop("rid")
            self.assertEqual(ea, eb)
            self.has(ea, seq=seq + i)

    def test_slow_reader_is_told_what_it_missed(self):                              # S06
        c = self.conn()
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        seq = c.watch()
        side = self.conn()
        ids = []
        msg = "x" * 60000
        # Far more than any buffer between the daemon and a reader that does not read.
        for unused in range(4):
            id = side.ok("start", argv=["true"], hold=True, shield=True)["id"]
            ids.append(id)
        id = side.sh("trap '' TERM; echo up; exec sleep 60", grace=None)
        side.said(id, "up")
        for unused in range(300):
            side.ok("cancel", id=id, msg=msg)
        newest = side.ok("events")["seq"]
        side.ok("kill", id=id)
        at, missed = seq, 0
        while at < newest:
            event = c.recv(patience=20)
            if event["event"] == "overrun":
                self.assertEqual(event["from"], at + 1)
                self.assertGreaterEqual(event["to"], event["from"])
                missed += event["to"] - event["from"] + 1
                at = event["to"]
            else:
                self.assertEqual(event["seq"], at + 1)
                at += 1
        # What the store still has is caught up; see test_overrun_is_told for what it has not.
        side.ok("cancel", ids=ids)

    def test_slow_reader_does_not_slow_others(self):
        c = self.conn()
        c.watch()
        side = self.conn()
        begun = harness.now()
        for unused in range(100):
            side.ok("start", argv=["true"], wait=True)
        self.assertLess(harness.now() - begun, 10 * harness.SLOW)

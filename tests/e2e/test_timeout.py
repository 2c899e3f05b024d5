"""Deadlines: never early, at most a second late, movable while the task runs (R3, R11)."""
import datetime

import harness
from harness import now


def moment(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(
        tzinfo=datetime.timezone.utc).timestamp()


class Timeout(harness.Case):
    def sleeper(self, **members):
        id = self.c.sh("exec sleep 60", **members)
        self.c.running(id)
        return id

    def move(self, id, **members):
        return self.c.ok("timeout", id=id, **members)["deadline"]

    def test_timed_out(self):
        watch = self.conn()
        watch.watch()
        begun = now()
        id = self.c.sh("exec sleep 60", timeout=0.3)
        task = self.has(self.c.ended(id), state="timed_out", cancel=None, expired=True,
                        timeout=0.3, exit={"signal": "SIGTERM", "core": False}, forced=False)
        self.assertGreaterEqual(now() - begun, 0.299)
        self.assertLess(now() - begun, 0.3 + harness.SLOW)
        self.assertAlmostEqual(moment(task["deadline"]) - moment(task["started"]), 0.3, delta=0.05)
        watch.expect(event="task.expired", id=id)
        self.has(watch.expect(event="task.cancelling", id=id), origin="deadline", msg=None)
        self.has(watch.expect(event="task.ended", id=id), state="timed_out")

    def test_strings(self):
        task = self.c.ok("start", argv=["sleep", "60"], timeout="50ms", wait=True)["task"]
        self.has(task, state="timed_out", timeout=0.05)
        id = self.sleeper(timeout="1h30m")
        self.has(self.c.task(id), timeout=5400)
        self.c.ok("cancel", id=id)
        id = self.sleeper(timeout="2d")
        self.has(self.c.task(id), timeout=172800)
        self.c.ok("cancel", id=id)

    def test_half_a_millisecond(self):                                              # T03
        for unused in range(5):
            task = self.c.ok("start", argv=["sleep", "60"], timeout=0.0005, wait=True)["task"]
            self.has(task, state="timed_out", expired=True)

    def test_timeout_zero(self):
        task = self.c.ok("start", argv=["sleep", "60"], timeout=0, wait=True, patience=3)["task"]
        self.has(task, state="timed_out", expired=True)

    def test_never_early(self):
        ids = [self.c.ok("start", argv=["sleep", "60"], timeout=0.05 + 0.013 * i)["id"]
               for i in range(20)]
        for id in ids:
            task = self.has(self.c.ended(id), state="timed_out")
            took = moment(task["ended"]) - moment(task["started"])
            self.assertGreaterEqual(took, task["timeout"] - 0.002)
            self.assertLess(took, task["timeout"] + 1.0 * harness.SLOW)

    def test_counted_from_the_start_of_the_process(self):
        id = self.c.sh("exec sleep 60", hold=True, timeout=0.2)
        self.has(self.c.wait(id, timeout=0.4), result="timeout")
        self.has(self.c.task(id), state="pending", deadline=None)
        self.c.ok("release", id=id)
        self.has(self.c.ended(id), state="timed_out")

    def test_absorbed(self):
        id = self.c.up("out('up')\nterm()", timeout=60)
        self.move(id, **{"in": 0.1})
        self.has(self.c.ended(id), state="done", expired=True, cancel=None)

    def test_its_cleanup_failed(self):
        id = self.c.up("out('up')\nterm()\nsys.exit(9)", timeout=60)
        self.move(id, **{"in": 0.1})
        self.has(self.c.ended(id), state="failed", exit={"code": 9}, expired=True)

    def test_refused_and_killed(self):
        id = self.c.sh("trap '' TERM; exec sleep 60", timeout=0.2, grace=0.1)
        self.has(self.c.ended(id), state="timed_out", forced=True,
                 exit={"signal": "SIGKILL", "core": False})

    def test_cancel_beats_deadline(self):                                           # R3
        id = self.c.up("out('up')\nterm()\nout('one')\nterm()\ndie()")
        self.move(id, **{"in": 0.1})
        self.c.said(id, "one")                  # the deadline was delivered
        self.c.ok("cancel", id=id, msg="m")
        self.has(self.c.ended(id), state="cancelled", expired=True,
                 cancel=lambda c: c["msg"] == "m")

    def test_deadline_after_cancel_does_not_signal(self):
        id = self.c.up("out('up')\nterm()\nout('one')\nout(term_within(0.6))\ndie()")
        self.c.ok("cancel", id=id, msg="m")
        self.move(id, **{"in": 0.1})
        self.has(self.c.ended(id), state="cancelled", expired=True)
        self.assertTrue(self.c.output(id).endswith("one\nFalse\n"))

    def test_in(self):
        watch = self.conn()
        watch.watch()
        id = self.sleeper()
        self.has(self.c.task(id), deadline=None, timeout=None)
        deadline = self.move(id, **{"in": 50})
        self.assertEqual(self.c.task(id)["deadline"], deadline)
        self.has(watch.expect(event="task.deadline", id=id), deadline=deadline)
        self.move(id, **{"in": "150ms"})
        self.has(self.c.ended(id, patience=3), state="timed_out")

    def test_in_zero(self):                                                         # R14
        id = self.sleeper(timeout=60)
        self.move(id, **{"in": 0})
        self.has(self.c.ended(id, patience=3), state="timed_out", expired=True)

    def test_in_null(self):
        id = self.sleeper(timeout=0.4)
        self.assertIsNone(self.move(id, **{"in": None}))
        self.has(self.c.wait(id, timeout=0.7), result="timeout")
        self.has(self.c.task(id), state="running", deadline=None)
        self.c.ok("cancel", id=id)

    def test_extend(self):
        id = self.sleeper(timeout=50)
        first = moment(self.c.task(id)["deadline"])
        self.assertAlmostEqual(moment(self.move(id, extend=10)) - first, 10, delta=0.01)
        self.assertAlmostEqual(moment(self.move(id, extend="5s")) - first, 15, delta=0.01)
        self.assertAlmostEqual(moment(self.move(id, extend=-25.5)) - first, -10.5, delta=0.01)
        self.move(id, extend=-100)
        self.has(self.c.ended(id, patience=3), state="timed_out")

    def test_at(self):
        id = self.sleeper()
        year = datetime.datetime.now().year + 3
        deadline = self.move(id, at="%d-01-01T00:00:00Z" % year)
        self.assertEqual(deadline, "%d-01-01T00:00:00.000Z" % year)
        deadline = self.move(id, at="%d-12-31T23:59:59.123Z" % year)
        self.assertEqual(deadline, "%d-12-31T23:59:59.123Z" % year)
        self.move(id, at="2001-01-01T00:00:00.000Z")
        self.has(self.c.ended(id, patience=3), state="timed_out")

    def test_extend_without_a_deadline(self):
        id = self.sleeper()
        reply = self.c.call("timeout", id=id, extend=5)
        if not reply["ok"]:
            self.assertEqual(reply["error"]["code"], "bad_request")
            self.assertEqual(reply["error"]["field"], "extend")
        self.c.ok("cancel", id=id)

    def test_pending(self):
        id = self.c.ok("start", argv=["true"], hold=True,
                       hooks={"finally": {"shell": "echo hook"}})["id"]
        self.move(id, **{"in": 50})
        self.has(self.c.task(id), state="pending")
        self.move(id, **{"in": 0})
        self.has(self.c.ended(id, patience=3), state="timed_out", pid=None, hooks=[],
                 expired=True)

    def test_expired(self):
        id = self.c.up("out('up')\nterm()\nout('one')\nterm()", grace=None)
        self.move(id, **{"in": 0.1})
        self.c.said(id, "one")
        self.c.refused("expired", "timeout", id=id, **{"in": 50})
        self.c.ok("kill", id=id)
        self.has(self.c.ended(id), state="cancelled")

    def test_cancelling_is_accepted_and_noted(self):
        id = self.c.sh("trap '' TERM; echo up; exec sleep 60", grace=None)
        self.c.said(id, "up")
        self.c.ok("cancel", id=id)
        self.move(id, **{"in": 50})
        self.has(self.c.task(id), state="cancelling", deadline=lambda d: d is not None)
        self.c.ok("kill", id=id)
        self.c.ended(id)

    def test_refused_when_ended(self):
        id = self.c.ok("start", argv=["true"], wait=True)["id"]
        self.c.refused("finished", "timeout", id=id, **{"in": 5})
        self.c.refused("finished", "timeout", id=id, **{"in": None})

    def test_refused_in_cleanup(self):
        fifo = self.fifo()
        id = self.c.ok("start", argv=["true"], hooks={
            "finally": {"shell": "echo hook; read x <%s" % fifo}})["id"]
        self.c.said(id, "hook")
        self.c.refused("finishing", "timeout", id=id, **{"in": 5})
        self.let(fifo)
        self.c.ended(id)

    def test_many_at_the_same_moment(self):                                         # C06
        ids = [self.c.ok("start", argv=["sleep", "60"], timeout=1.0)["id"] for unused in range(60)]
        for id in ids:
            task = self.has(self.c.ended(id), state="timed_out")
            self.assertLess(moment(task["ended"]) - moment(task["deadline"]), 1.0 * harness.SLOW)

    def test_hooks(self):
        id = self.sleeper(timeout=0.1, hooks={"on_timeout": {"shell": "echo $TASKCTL_HOOK"},
                                              "on_cancel": {"shell": "echo wrong"}})
        self.c.ended(id)
        self.assertEqual(self.c.output(id), "on_timeout\n")
        id = self.sleeper(timeout=0.1, hooks={"on_cancel": {"shell": "echo $TASKCTL_HOOK"}})
        self.c.ended(id)
        self.assertEqual(self.c.output(id), "on_cancel\n")

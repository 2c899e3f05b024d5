"""shield and unshield: a cancel is held back and never lost (semantics 3.5)."""
import harness
from harness import now, wait_until


class Shield(harness.Case):
    def sleeper(self, **members):
        id = self.c.sh("exec sleep 60", **members)
        self.c.running(id)
        return id

    def test_deferred_and_delivered(self):                                          # R08
        watch = self.conn()
        watch.watch()
        id = self.sleeper()
        until = self.has(self.c.ok("shield", id=id, msg="copying"), holders=1)["until"]
        self.has(watch.expect(event="task.shielded", id=id), until=until,
                 holder=lambda h: isinstance(h, str))
        self.has(self.c.ok("cancel", id=id, msg="stop"), accepted=True, effect="deferred",
                 state="running")
        self.has(watch.expect(event="task.deferred", id=id), msg="stop", origin="client")
        task = self.c.task(id)
        self.has(task["cancel"], requests=1, count=1, msg="stop", delivered=False, deferred=True)
        self.has(task["shield"]["holders"][0], msg="copying", until=until)
        self.has(self.c.ok("unshield", id=id), holders=0, delivered=True)
        watch.expect(event="task.unshielded", id=id)
        self.has(watch.expect(event="task.cancelling", id=id), msg="stop")
        task = self.has(self.c.ended(id), state="cancelled", shield=None)
        self.has(task["cancel"], delivered=True, deferred=False)

    def test_several_coalesce_the_first_message_counts(self):
        id = self.c.up("out('up')\nn = 0\nwhile True:\n    term()\n    n += 1\n"
                       "    out('%d %s' % (n, reason()['msg']))\n    sys.exit(0) if n == 2 else 0")
        self.c.ok("shield", id=id)
        self.has(self.c.ok("cancel", id=id, msg="first"), effect="deferred")
        self.has(self.c.ok("cancel", id=id, msg="second"), effect="coalesced")
        self.has(self.c.ok("unshield", id=id), delivered=True)
        self.c.said(id, "1 first")
        self.has(self.c.task(id)["cancel"], requests=2, count=2, msg="first")
        self.c.ok("cancel", id=id, msg="third")
        self.has(self.c.ended(id), state="done")
        self.assertEqual(self.c.output(id), "up\n1 first\n2 third\n")

    def test_holders(self):                                                         # R12
        id = self.sleeper()
        self.has(self.c.ok("shield", id=id, holder="a"), holders=1)
        self.has(self.c.ok("shield", id=id, holder="b", msg="m"), holders=2)
        self.has(self.c.ok("shield", id=id, holder="a"), holders=2)
        self.assertEqual({h["holder"] for h in self.c.task(id)["shield"]["holders"]}, {"a", "b"})
        self.c.ok("cancel", id=id)
        self.c.refused("not_shielded", "unshield", id=id, holder="c")
        self.has(self.c.ok("unshield", id=id, holder="a"), holders=1, delivered=False)
        self.has(self.c.task(id), state="running")
        self.c.refused("not_shielded", "unshield", id=id, holder="a")
        self.has(self.c.ok("unshield", id=id, holder="b"), holders=0, delivered=True)
        self.has(self.c.ended(id), state="cancelled")

    def test_default_holder_is_the_caller(self):
        id = self.sleeper()
        self.c.ok("shield", id=id)
        self.has(self.conn().ok("unshield", id=id), holders=0)
        self.c.ok("cancel", id=id)

    def test_for(self):
        id = self.sleeper()
        begun = now()
        until = self.c.ok("shield", id=id, **{"for": 0.4})["until"]
        self.assertRegex(until, r"^\d{4}-\d\d-\d\dT.*Z$")
        self.has(self.c.ok("cancel", id=id), effect="deferred")
        self.has(self.c.ended(id, patience=3), state="cancelled")
        self.assertGreaterEqual(now() - begun, 0.39)

    def test_for_runs_out_without_a_cancel(self):
        watch = self.conn()
        watch.watch()
        id = self.sleeper()
        self.c.ok("shield", id=id, **{"for": "100ms"})
        watch.expect(event="task.unshielded", id=id)
        self.has(self.c.task(id), state="running", shield=None)
        self.has(self.c.ok("cancel", id=id), effect="delivered")

    def test_shield_again_moves_the_end(self):
        id = self.sleeper()
        self.c.ok("shield", id=id, **{"for": 0.2})
        self.c.ok("shield", id=id, **{"for": 30})
        self.has(self.c.wait(id, timeout=0.4), result="timeout")
        self.has(self.c.ok("cancel", id=id), effect="deferred")
        self.c.ok("unshield", id=id)
        self.c.ended(id)

    def test_deadline_is_deferred(self):
        watch = self.conn()
        watch.watch()
        id = self.sleeper(shield=True, timeout=0.1)
        self.has(watch.expect(event="task.deferred", id=id), origin="deadline")
        self.has(self.c.task(id), state="running", expired=True)
        self.c.refused("expired", "timeout", id=id, **{"in": 50})
        self.c.refused("expired", "timeout", id=id, **{"in": 0})
        self.has(self.c.ok("unshield", id=id), delivered=True)
        self.has(self.c.ended(id), state="timed_out", cancel=None)

    def test_a_cancel_outranks_a_deferred_deadline(self):
        id = self.sleeper(shield=True, timeout=0.05)
        wait_until(lambda: self.c.task(id)["expired"])
        self.has(self.c.ok("cancel", id=id, msg="m"), effect="deferred")
        self.c.ok("unshield", id=id)
        self.has(self.c.ended(id), state="cancelled", expired=True)

    def test_uncancel_leaves_a_deferred_deadline(self):
        id = self.sleeper(shield=True, timeout=0.05)
        wait_until(lambda: self.c.task(id)["expired"])
        self.c.ok("cancel", id=id)
        self.has(self.c.ok("uncancel", id=id), remaining=0)
        self.has(self.c.ok("unshield", id=id), delivered=True)
        self.has(self.c.ended(id), state="timed_out")

    def test_exit_wins(self):
        """The task ends by itself behind its shield: the deferred request has no effect."""
        fifo = self.fifo()
        id = self.c.sh("read x <%s; exit 5" % fifo, shield=True)
        self.c.running(id)
        self.c.ok("cancel", id=id, msg="late")
        self.let(fifo)
        task = self.has(self.c.ended(id), state="failed", exit={"code": 5})
        self.has(task["cancel"], msg="late", delivered=False, requests=1)

    def test_done_behind_the_shield_is_not_absorbed(self):
        fifo = self.fifo()
        id = self.c.sh("read x <%s" % fifo, shield=True)
        self.c.running(id)
        self.c.ok("cancel", id=id)
        self.let(fifo)
        self.has(self.c.ended(id), state="done", cancel=lambda c: c["absorbed"] is False)

    def test_grace_stands_still(self):
        id = self.c.sh("trap '' TERM; echo up; exec sleep 60", grace=0.4)
        self.c.said(id, "up")
        self.c.ok("cancel", id=id)
        self.has(self.c.ok("shield", id=id), holders=1)
        self.has(self.c.wait(id, timeout=0.7), result="timeout")
        self.has(self.c.task(id), state="cancelling")
        self.has(self.c.ok("cancel", id=id), effect="deferred")
        self.has(self.c.ok("unshield", id=id), holders=0, delivered=True)
        self.has(self.c.ended(id, patience=3), state="cancelled", forced=True)

    def test_pending(self):
        id = self.c.ok("start", argv=["sleep", "60"], hold=True)["id"]
        self.has(self.c.ok("shield", id=id), holders=1)
        self.c.ok("release", id=id)
        self.c.running(id)
        self.has(self.c.ok("cancel", id=id), effect="deferred")
        self.c.ok("unshield", id=id)
        self.has(self.c.ended(id), state="cancelled")

    def test_refusals(self):                                                        # R10
        id = self.sleeper()
        self.c.refused("not_shielded", "unshield", id=id)
        self.c.ok("kill", id=id)
        self.c.ended(id)
        self.c.refused("finished", "shield", id=id)
        self.c.refused("finished", "unshield", id=id)
        held = self.c.ok("start", argv=["true"], hold=True)["id"]
        self.c.refused("not_shielded", "unshield", id=held)

    def test_refusals_in_cleanup(self):
        fifo = self.fifo()
        id = self.c.ok("start", argv=["true"], hooks={
            "finally": {"shell": "echo hook; read x <%s" % fifo}})["id"]
        self.c.said(id, "hook")
        self.c.refused("finishing", "shield", id=id)
        self.c.refused("not_shielded", "unshield", id=id)
        self.let(fifo)
        self.c.ended(id)

    def test_holder_outlives_its_connection(self):
        id = self.sleeper()
        c = self.conn()
        c.ok("shield", id=id, holder="gone")
        c.close()
        self.has(self.c.ok("cancel", id=id), effect="deferred")
        self.c.ok("unshield", id=id, holder="gone")
        self.has(self.c.ended(id), state="cancelled")

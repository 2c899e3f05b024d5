"""wait and cancel_wait: who owns a task, what ends only the wait (protocol.md 4, semantics 3.7)."""
import harness
from harness import now, wait_until

TERMINAL_OF = {"exit 0": "done", "exit 3": "failed", "kill -TERM $$; sleep 9": "cancelled"}


class Wait(harness.Case):
    def sleeper(self, **members):
        id = self.c.sh("exec sleep 60", **members)
        self.c.running(id)
        return id

    def ignorer(self, **members):
        id = self.c.sh("trap '' TERM; echo up; exec sleep 60", **members)
        self.c.said(id, "up")
        return id

    def gated(self, code=0):
        fifo = self.fifo()
        id = self.c.sh("read x <%s; exit %d" % (fifo, code))
        self.c.running(id)
        return id, fifo

    def end(self, *ids):
        for id in ids:
            self.c.ok("kill", id=id, pierce=True)
            self.c.ended(id)

    # The result is how the task ended.

    def test_results(self):
        for line, state in TERMINAL_OF.items():
            id = self.c.sh(line)
            for mode in ("own", "shield"):
                reply = self.has(self.c.wait(id, mode=mode), id=id, result=state, of="task")
                self.has(reply["task"], id=id, state=state)
            self.has(self.c.wait(id, mode="watch"), result="finished", of="task",
                     task=lambda t: t["state"] == state)

    def test_timed_out_is_a_result_of_the_task(self):
        id = self.sleeper(timeout=0.1)
        self.has(self.c.wait(id), result="timed_out", of="task")

    def test_after_the_end_again_and_again(self):
        id = self.c.ok("start", argv=["true"], wait=True)["id"]
        for unused in range(3):
            self.has(self.c.wait(id), result="done", of="task")
            self.has(self.c.wait(id, timeout=0), result="done", of="task")

    def test_hooks_belong_to_the_task(self):
        id = self.c.sh("exit 0", hooks={"finally": {"shell": "sleep 0.2"}})
        task = self.has(self.c.wait(id), result="done")["task"]
        self.has(task, state="done", hooks=lambda h: h[0]["state"] == "done")

    def test_hundred_waiters(self):                                                 # R18
        id, fifo = self.gated(4)
        conns = [self.conn() for unused in range(50)]
        leaving = [self.d.connect() for unused in range(50)]
        rids = [c.ask("wait", id=id) for c in conns]
        for c in leaving:
            c.ask("wait", id=id)
        for c in leaving:
            c.abort()
        self.let(fifo)
        for c, rid in zip(conns, rids):
            self.has(c.reply(rid), result="failed", of="task")
            c.silent(0)

    def test_many_waits_on_one_connection(self):
        id, fifo = self.gated()
        rids = [self.c.ask("wait", id=id) for unused in range(100)]
        self.let(fifo)
        for rid in rids:
            self.has(self.c.reply(rid), result="done")

    # The wait's own timeout.

    def test_shield_times_out(self):
        id = self.sleeper()
        begun = now()
        reply = self.has(self.c.wait(id, timeout=0.2, mode="shield"), result="timeout", of="wait",
                         id=id)
        self.assertGreaterEqual(now() - begun, 0.199)
        self.has(reply["task"], state="running", cancel=None)
        self.has(self.c.task(id), state="running", cancel=None)
        self.end(id)

    def test_default_mode_is_shield(self):
        id = self.sleeper()
        self.has(self.c.wait(id, timeout=0.05), result="timeout", of="wait")
        self.has(self.c.task(id), state="running", cancel=None)
        self.end(id)

    def test_watch_times_out(self):
        id = self.sleeper()
        self.has(self.c.wait(id, timeout=0.05, mode="watch"), result="timeout", of="wait")
        self.has(self.c.task(id), cancel=None)
        self.end(id)

    def test_timeout_zero_asks(self):
        id = self.sleeper()
        for mode in ("shield", "watch"):
            self.has(self.c.wait(id, timeout=0, mode=mode), result="timeout", of="wait")
        self.end(id)

    def test_own_times_out_and_is_obeyed(self):
        id = self.sleeper()
        reply = self.has(self.c.wait(id, timeout=0.1, mode="own"), result="timeout", of="wait")
        self.has(reply["task"], state="cancelled",
                 cancel=lambda c: c["origin"] == "wait_timeout" and c["msg"] is None)

    def test_own_timeout_waits_for_the_cleanup(self):
        id = self.c.up("out('up')\nterm()\ntime.sleep(0.3)\nout('clean')\ndie()")
        self.has(self.c.wait(id, timeout=0, mode="own"), result="timeout", of="wait",
                 task=lambda t: t["state"] == "cancelled")
        self.assertEqual(self.c.output(id), "up\nclean\n")

    def test_own_timeout_caught(self):
        id = self.c.up("out('up')\nterm()")
        self.has(self.c.wait(id, timeout=0.05, mode="own"), result="done", of="task",
                 task=lambda t: t["cancel"]["absorbed"])

    def test_own_timeout_cleanup_failed(self):
        id = self.c.up("out('up')\nterm()\nsys.exit(3)")
        self.has(self.c.wait(id, timeout=0.05, mode="own"), result="failed", of="task")

    def test_own_timeout_refused_and_killed(self):
        id = self.ignorer(grace=0.1)
        self.has(self.c.wait(id, timeout=0.05, mode="own"),
                 task=lambda t: t["forced"] and t["state"] == "cancelled")

    def test_own_timeout_of_a_shielded_task(self):
        id = self.sleeper(shield=True)
        rid = self.c.ask("wait", id=id, timeout=0.05, mode="own")
        wait_until(lambda: self.conn().task(id)["cancel"])
        self.has(self.c.task(id), state="running", cancel=lambda c: c["deferred"])
        self.c.ok("unshield", id=id)
        self.has(self.c.reply(rid), result="timeout", of="wait")

    def test_own_timeout_of_a_pending_task(self):
        id = self.c.ok("start", argv=["true"], hold=True)["id"]
        self.has(self.c.wait(id, timeout=0, mode="own"), result="timeout", of="wait",
                 task=lambda t: t["state"] == "cancelled" and t["pid"] is None)

    def test_own_timeout_after_a_cancel_does_not_signal_again(self):                # R5
        id = self.c.up("out('up')\nterm()\nout('one')\nout(term_within(0.5))\ndie()")
        self.c.ok("cancel", id=id, msg="m")
        self.c.said(id, "one")
        self.has(self.c.wait(id, timeout=0.05, mode="own"), task=lambda t: (
            t["state"], t["cancel"]["msg"], t["cancel"]["requests"]) == ("cancelled", "m", 2))
        self.assertEqual(self.c.output(id), "up\none\nFalse\n")

    # cancel_wait.

    def test_cancel_wait_of_a_shield(self):
        for mode in ("shield", "watch"):
            id = self.sleeper()
            self.c.ask("wait", id=id, mode=mode, rid="w")
            self.has(self.c.ok("cancel_wait", wait="w", msg="me only"), accepted=True,
                     effect="wait_ended")
            reply = self.has(self.c.reply("w"), ok=True, result="cancelled", of="wait",
                             msg="me only", id=id)
            self.has(reply["task"], state="running", cancel=None)
            self.has(self.c.task(id), state="running", cancel=None)
            self.end(id)

    def test_cancel_wait_of_an_own(self):
        id = self.sleeper()
        self.c.ask("wait", id=id, mode="own", rid="w2")
        self.has(self.c.ok("cancel_wait", wait="w2", msg="both"), accepted=True,
                 effect="delivered")
        self.has(self.c.reply("w2"), result="cancelled", of="task", task=lambda t: (
            t["cancel"]["msg"], t["cancel"]["origin"]) == ("both", "wait"))

    def test_cancel_wait_of_an_own_again(self):
        id = self.c.up("out('up')\nterm()\nout('one')\nterm()\ndie()")
        self.c.ask("wait", id=id, mode="own", rid="w3")
        self.has(self.c.ok("cancel_wait", wait="w3"), effect="delivered")
        self.c.said(id, "one")
        self.has(self.c.ok("cancel_wait", wait="w3"), effect="redelivered")
        self.has(self.c.reply("w3"), result="cancelled", of="task")

    def test_cancel_wait_of_an_own_shielded(self):
        id = self.sleeper(shield=True)
        self.c.ask("wait", id=id, mode="own", rid="w4")
        self.has(self.c.ok("cancel_wait", wait="w4"), accepted=True, effect="deferred")
        self.has(self.c.ok("cancel_wait", wait="w4"), accepted=True, effect="coalesced")
        self.c.ok("unshield", id=id)
        self.has(self.c.reply("w4"), result="cancelled", of="task")

    def test_cancel_wait_pending(self):
        id = self.c.ok("start", argv=["true"], hold=True)["id"]
        self.c.ask("wait", id=id, mode="own", rid="w5")
        self.has(self.c.ok("cancel_wait", wait="w5", msg="m"), accepted=True, effect="ended")
        self.has(self.c.reply("w5"), result="cancelled", of="task")

    def test_cancel_wait_in_cleanup(self):
        fifo = self.fifo()
        id = self.c.ok("start", argv=["true"], hooks={
            "finally": {"shell": "echo hook; read x <%s" % fifo}})["id"]
        self.c.said(id, "hook")
        self.c.ask("wait", id=id, mode="own", rid="w6")
        self.has(self.c.ok("cancel_wait", wait="w6"), accepted=False, effect="finishing")
        self.let(fifo)
        self.has(self.c.reply("w6"), result="done", of="task")

    def test_cancel_wait_answered(self):
        id = self.c.ok("start", argv=["true"], wait=True)["id"]
        self.c.ok("wait", id=id, rid="w7")
        self.has(self.c.ok("cancel_wait", wait="w7"), accepted=False, effect="answered")

    def test_cancel_wait_of_nobody(self):
        self.c.refused("not_found", "cancel_wait", wait="none such")
        self.c.refused("not_found", "cancel_wait", wait=12345678)
        id = self.sleeper()
        self.c.ask("wait", id=id, rid="w8")
        self.conn().refused("not_found", "cancel_wait", wait="w8")     # another connection
        self.end(id)

    def test_cancel_wait_with_an_integer_rid(self):
        id = self.sleeper()
        self.c.ask("wait", id=id, rid=81)
        self.has(self.c.ok("cancel_wait", wait=81), effect="wait_ended")
        self.has(self.c.reply(81), result="cancelled", of="wait", msg=None)
        self.end(id)

    # The connection is lost.

    def test_own_wait_is_lost(self):
        for leave in ("close", "abort"):
            id = self.sleeper()
            c = self.d.connect()
            c.ask("wait", id=id, mode="own")
            c.ok("hello")
            getattr(c, leave)()
            self.has(self.c.ended(id), state="cancelled", cancel=lambda k: (
                k["origin"], k["msg"]) == ("disconnect", "client disconnected"))

    def test_other_waits_are_lost(self):
        id = self.sleeper()
        for mode in ("shield", "watch"):
            c = self.d.connect()
            c.ask("wait", id=id, mode=mode)
            c.ok("hello")
            c.abort()
        self.conn().ok("hello")
        self.has(self.c.wait(id, timeout=0.1), result="timeout")
        self.has(self.c.task(id), state="running", cancel=None)
        self.end(id)

    def test_own_wait_lost_after_the_end(self):
        c = self.d.connect()
        id = c.ok("start", argv=["true"])["id"]
        c.ok("wait", id=id, mode="own")
        c.close()
        self.has(self.c.task(id), state="done", cancel=None)


class Several(harness.Case):
    def tasks(self, *codes):
        """Gated tasks that exit with those codes when let."""
        out = []
        for code in codes:
            fifo = self.fifo()
            out.append((self.c.sh("read x <%s; exit %d" % (fifo, code)), fifo))
        return out

    def results(self, reply):
        return [(r["id"], r["result"], r["of"]) for r in reply["results"]]

    def test_all(self):
        (a, fa), (b, fb) = self.tasks(0, 3)
        rid = self.c.ask("wait", ids=[a, b], **{"for": "all"})
        self.let(fb)
        self.conn().ended(b)
        self.c.ok("hello")
        self.assertFalse([r for r in self.c.replies if r.get("rid") == rid])
        self.let(fa)
        reply = self.c.reply(rid)
        self.assertEqual(self.results(reply), [(a, "done", "task"), (b, "failed", "task")])
        for r in reply["results"]:
            self.has(r["task"], id=r["id"])

    def test_all_is_the_default(self):
        ids = [self.c.ok("start", argv=["true"])["id"] for unused in range(3)]
        reply = self.c.ok("wait", ids=ids)
        self.assertEqual(self.results(reply), [(i, "done", "task") for i in ids])

    def test_any(self):
        (a, fa), (b, fb) = self.tasks(0, 3)
        rid = self.c.ask("wait", ids=[a, b], **{"for": "any"})
        self.let(fb)
        reply = self.c.reply(rid)
        self.assertIn((b, "failed", "task"), self.results(reply))
        self.assertNotIn("done", [r["result"] for r in reply["results"]])
        self.has(self.c.task(a), state="running", cancel=None)
        self.let(fa)
        self.c.ended(a)

    def test_first_failure(self):
        (a, fa), (b, fb), (d, fd) = self.tasks(0, 3, 0)
        rid = self.c.ask("wait", ids=[a, b, d], **{"for": "first_failure"})
        self.let(fa)
        self.conn().ended(a)
        self.c.ok("hello")
        self.assertFalse([r for r in self.c.replies if r.get("rid") == rid])
        self.let(fb)
        reply = self.c.reply(rid)
        self.assertIn((b, "failed", "task"), self.results(reply))
        self.has(self.c.task(d), state="running", cancel=None)
        self.let(fd)
        self.c.ended(d)

    def test_first_failure_of_none(self):
        ids = [self.c.ok("start", argv=["true"])["id"] for unused in range(3)]
        reply = self.c.ok("wait", ids=ids, **{"for": "first_failure"})
        self.assertEqual(self.results(reply), [(i, "done", "task") for i in ids])

    def test_timeout(self):
        (a, fa), (b, fb) = self.tasks(0, 0)
        self.let(fa)
        self.c.ended(a)
        reply = self.c.ok("wait", ids=[a, b], timeout=0.1)
        self.assertIn((b, "timeout", "wait"), self.results(reply))
        self.assertIn((a, "done", "task"), self.results(reply))
        self.let(fb)
        self.c.ended(b)

    def test_own_timeout_cancels_all_that_run(self):
        ids = [self.c.sh("exec sleep 60") for unused in range(2)]
        for id in ids:
            self.c.running(id)
        reply = self.c.ok("wait", ids=ids, timeout=0.1, mode="own")
        for r in reply["results"]:
            self.has(r, result="timeout", of="wait", task=lambda t: t["state"] == "cancelled")

    def test_select(self):
        ids = [self.c.ok("start", argv=["true"], labels={"t": "sel"})["id"] for unused in range(2)]
        reply = self.c.ok("wait", select={"label": {"t": "sel"}})
        self.assertEqual(sorted(r["id"] for r in reply["results"]), ids)

    def test_own_lost(self):
        ids = [self.c.sh("exec sleep 60") for unused in range(3)]
        for id in ids:
            self.c.running(id)
        c = self.d.connect()
        c.ask("wait", ids=ids, mode="own")
        c.ok("hello")
        c.close()
        for id in ids:
            self.has(self.c.ended(id), state="cancelled",
                     cancel=lambda k: k["origin"] == "disconnect")

    def test_cancel_wait(self):
        ids = [self.c.sh("exec sleep 60") for unused in range(2)]
        self.c.ask("wait", ids=ids, rid="ws")
        self.has(self.c.ok("cancel_wait", wait="ws", msg="m"), accepted=True, effect="wait_ended")
        for r in self.c.reply("ws")["results"]:
            self.has(r, result="cancelled", of="wait")
        self.c.ok("kill", ids=ids)

    def test_one_in_ids_is_still_several(self):
        id = self.c.ok("start", argv=["true"])["id"]
        self.assertEqual(self.results(self.c.ok("wait", ids=[id])), [(id, "done", "task")])

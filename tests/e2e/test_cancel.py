"""cancel and uncancel: the request, its delivery, the task's answer (protocol.md 4, 5; R2-R7)."""
import os
import signal
import time

import harness
from harness import now, proc_alive, wait_until

IGNORES = "trap '' TERM; echo up; exec sleep 60"
CATCHES = "trap 'echo caught; exit %d' TERM; echo up; while :; do sleep 60 & wait; done"


class Cancel(harness.Case):
    def sleeper(self, **members):
        id = self.c.ok("start", argv=["sleep", "60"], **members)["id"]
        self.c.running(id)
        return id

    def ignorer(self, **members):
        id = self.c.sh(IGNORES, **members)
        self.c.said(id, "up")
        return id

    def catcher(self, code=0, **members):
        id = self.c.sh(CATCHES % code, **members)
        self.c.said(id, "up")
        return id

    def test_died_of_it(self):
        id = self.sleeper()
        self.has(self.c.ok("cancel", id=id, msg="enough"), id=id, accepted=True,
                 effect="delivered", state="cancelling")
        task = self.has(self.c.ended(id), state="cancelled", forced=False, expired=False,
                        exit={"signal": "SIGTERM", "core": False})
        self.has(task["cancel"], requests=1, count=1, msg="enough", origin="client",
                 by="uid:%d" % os.geteuid(), delivered=True, deferred=False, absorbed=False)
        self.assertRegex(task["cancel"]["at"], r"^\d{4}-.*T.*\.\d{3}Z$")

    def test_caught_and_returned(self):
        id = self.catcher()
        self.c.ok("cancel", id=id)
        self.has(self.c.ended(id), state="done", exit={"code": 0}, forced=False,
                 cancel=lambda c: c["absorbed"] is True and c["delivered"] is True)

    def test_its_cleanup_failed(self):
        id = self.catcher(3)
        self.c.ok("cancel", id=id)
        self.has(self.c.ended(id), state="failed", exit={"code": 3},
                 cancel=lambda c: c["absorbed"] is False)

    def test_exit_143_is_dying_of_it(self):
        id = self.catcher(143)
        self.c.ok("cancel", id=id, msg="m")
        self.has(self.c.ended(id), state="cancelled", exit={"code": 143})

    def test_exit_130_after_sigint(self):
        id = self.c.sh("trap 'exit 130' INT; echo up; while :; do sleep 60 & wait; done",
                       signal="INT")
        self.c.said(id, "up")
        self.c.ok("cancel", id=id)
        self.has(self.c.ended(id), state="cancelled", exit={"code": 130})

    def test_own_signal(self):
        for sig in ("USR1", "SIGUSR1", signal.SIGUSR1.value, signal.SIGRTMAX.value):
            id = self.sleeper(signal=sig)
            self.c.ok("cancel", id=id)
            self.has(self.c.ended(id), state="cancelled", forced=False)

    def test_term_when_another_signal_was_sent(self):
        """It dies of a signal that is not the cancel's: table, last but two."""
        id = self.c.up("signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\nout('up')\n"
                       "term(signal.SIGUSR1)\ndie(signal.SIGHUP)", signal="USR1")
        self.c.ok("cancel", id=id)
        self.has(self.c.ended(id), state="failed",
                 exit={"signal": "SIGHUP", "core": False})

    def test_somebody_elses_sigterm(self):
        id = self.sleeper()
        os.kill(self.c.task(id)["pid"], signal.SIGTERM)
        self.has(self.c.ended(id), state="cancelled", cancel=None,
                 exit={"signal": "SIGTERM", "core": False})

    def test_refused_and_killed(self):                                              # B06
        id = self.ignorer(grace=0.3)
        begun = now()
        self.c.ok("cancel", id=id, msg="stubborn")
        task = self.c.ended(id)
        took = now() - begun
        self.has(task, state="cancelled", forced=True, exit={"signal": "SIGKILL", "core": False},
                 cancel=lambda c: c["msg"] == "stubborn" and not c["absorbed"])
        self.assertGreaterEqual(took, 0.29)
        self.assertLess(took, 0.3 + 0.7 * harness.SLOW)

    def test_all_signals_blocked(self):                                             # B07
        id = self.c.up("signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nout('up')\n"
                       "time.sleep(60)", grace=0.1)
        self.c.ok("cancel", id=id)
        self.has(self.c.ended(id), state="cancelled", forced=True)

    def test_grace_zero(self):
        id = self.ignorer(grace=0)
        self.c.ok("cancel", id=id)
        self.has(self.c.ended(id, patience=3), state="cancelled", forced=True)

    def test_grace_of_the_request_only_shortens(self):
        id = self.ignorer(grace=60)
        self.c.ok("cancel", id=id, grace=0.1)
        self.has(self.c.ended(id, patience=3), state="cancelled", forced=True)
        id = self.ignorer(grace=0.1)
        self.c.ok("cancel", id=id, grace=60)
        self.has(self.c.ended(id, patience=3), state="cancelled", forced=True)

    def test_later_cancel_shortens(self):
        id = self.ignorer(grace=60)
        self.c.ok("cancel", id=id)
        self.has(self.c.ok("cancel", id=id, grace=0.1), effect="redelivered")
        self.has(self.c.ended(id, patience=3), state="cancelled", forced=True)

    def test_unlimited_grace(self):
        id = self.ignorer(grace=None)
        self.has(self.c.task(id), grace=None)
        self.c.ok("cancel", id=id)
        self.has(self.c.wait(id, timeout=0.4), result="timeout", of="wait")
        self.has(self.c.task(id), state="cancelling")
        self.c.ok("cancel", id=id, grace=0.05)
        self.has(self.c.ended(id), forced=True)

    def test_refusal_is_kept(self):
        watch = self.conn()
        watch.watch()
        id = self.ignorer(grace=0.1, on_refuse="keep")
        self.c.ok("cancel", id=id)
        watch.expect(event="task.refused", id=id)
        self.has(self.c.task(id), state="running")
        self.has(self.c.ok("cancel", id=id), effect="delivered")
        watch.expect(event="task.refused", id=id)
        self.c.ok("kill", id=id)
        self.c.ended(id)

    def test_redelivered(self):
        id = self.c.up("out('up')\nfor i in range(3):\n    term()\n"
                       "    out('got %d' % i)\nsys.exit(0)")
        self.has(self.c.ok("cancel", id=id, msg="one"), effect="delivered")
        self.c.said(id, "got 0")
        self.has(self.c.ok("cancel", id=id, msg="two"), effect="redelivered")
        self.c.said(id, "got 1")
        self.has(self.c.task(id)["cancel"], requests=2, count=2)
        self.c.ok("cancel", id=id, msg="three")
        task = self.has(self.c.ended(id), state="done")
        self.has(task["cancel"], requests=3, count=3, msg="three", absorbed=True)

    def test_after_the_end(self):
        id = self.c.ok("start", argv=["true"], wait=True)["id"]
        self.has(self.c.ok("cancel", id=id, msg="late"), accepted=False, effect="finished",
                 state="done", id=id)
        self.has(self.c.task(id), cancel=None)
        self.has(self.c.ok("cancel", id=id, wait=True), accepted=False, effect="finished",
                 task=lambda t: t["state"] == "done")

    def test_pending(self):                                                         # B26
        id = self.c.ok("start", shell="echo ran", hold=True,
                       hooks={"on_cancel": {"shell": "echo hook"},
                              "finally": {"shell": "echo hook"}})["id"]
        self.has(self.c.ok("cancel", id=id, msg="never mind"), accepted=True, effect="ended",
                 state="cancelled")
        task = self.has(self.c.ended(id), state="cancelled", pid=None, started=None, exit=None,
                        hooks=[], output={"bytes": 0, "dropped": 0})
        self.has(task["cancel"], msg="never mind", requests=1, delivered=False)
        self.has(self.c.ok("cancel", id=id), accepted=False, effect="finished")
        reply = self.c.call("release", id=id)
        self.assertFalse(reply["ok"], reply)

    def test_in_cleanup(self):
        fifo = self.fifo()
        id = self.c.ok("start", argv=["true"], hooks={
            "finally": {"shell": "echo hook; read x <%s" % fifo}})["id"]
        self.c.said(id, "hook")
        self.has(self.c.ok("cancel", id=id), accepted=False, effect="finishing", state="cleanup")
        self.let(fifo)
        self.has(self.c.ended(id), state="done", cancel=None)

    def test_with_wait(self):
        id = self.catcher()
        reply = self.has(self.c.ok("cancel", id=id, msg="m", wait=True), accepted=True,
                         effect="delivered", id=id)
        self.has(reply["task"], state="done", id=id)

    def test_msg_absent_is_not_empty(self):
        id = self.sleeper()
        self.c.ok("cancel", id=id)
        self.assertIsNone(self.c.ended(id)["cancel"]["msg"])
        id = self.sleeper()
        self.c.ok("cancel", id=id, msg="")
        self.assertEqual(self.c.ended(id)["cancel"]["msg"], "")

    def test_msg_of_the_last_delivered(self):
        id = self.ignorer()
        self.c.ok("cancel", id=id, msg="one")
        self.c.ok("cancel", id=id, msg={"two": [2]})
        self.has(self.c.task(id)["cancel"], msg={"two": [2]})
        self.c.ok("cancel", id=id, grace=0)
        self.c.ended(id)

    def test_signal_to_tree(self):
        """By default every process gets it: a shell's child, too."""
        id = self.c.sh("sleep 77 & echo up; wait; echo after")
        self.c.said(id, "up")
        self.c.ok("cancel", id=id)
        self.has(self.c.ended(id), state="cancelled", leftover=[])

    def test_signal_to_leader(self):
        code = ("import subprocess\n"
                "p = os.fork()\n"
                "if p == 0:\n    out('child')\n    got = term_within(20)\n"
                "    out('child got it' if got else 'child did not')\n    os._exit(0)\n"
                "out('up')\nterm()\nout('leader got it')\n"
                "out(term_within(0.2))\nos.kill(p, 9)\nos.waitpid(p, 0)\nsys.exit(0)")
        id = self.c.py(code, signal_to="leader")
        self.c.said(id, "up")
        self.c.said(id, "child")
        self.c.ok("cancel", id=id)
        self.has(self.c.ended(id), state="done")
        self.assertIn("leader got it", self.c.output(id))
        self.assertNotIn("child got it", self.c.output(id))

    def test_kill_after_grace_takes_the_tree_also_with_signal_to_leader(self):
        id = self.c.sh("trap '' TERM; sleep 78 & echo $!; exec sleep 79", signal_to="leader",
                       grace=0.1)
        child = int(self.c.said(id, "\n"))
        self.c.ok("cancel", id=id)
        self.has(self.c.ended(id), state="cancelled", forced=True)
        self.assertFalse(proc_alive(child))

    def test_stopped_task_is_continued(self):
        id = self.sleeper()
        pid = self.c.task(id)["pid"]
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: harness.proc_state(pid) == "T")
        self.c.ok("cancel", id=id)
        self.has(self.c.ended(id, patience=5), state="cancelled", forced=False)

    def test_several(self):
        ids = [self.sleeper(labels={"set": "several"}) for unused in range(3)]
        done = self.c.ok("start", argv=["true"], wait=True)["id"]
        reply = self.c.ok("cancel", ids=ids[:2] + [done], msg="some")
        results = {r["id"]: r for r in reply["results"]}
        self.assertEqual(list(results), ids[:2] + [done])
        for id in ids[:2]:
            self.has(results[id], accepted=True, effect="delivered", state="cancelling")
        self.has(results[done], accepted=False, effect="finished", state="done")
        reply = self.c.ok("cancel", select={"label": {"set": "several"}, "state": "running"},
                          wait=True)
        self.assertEqual([r["id"] for r in reply["results"]], ids[2:])
        self.has(reply["results"][0], accepted=True, task=lambda t: t["state"] == "cancelled")

    def test_several_with_an_unknown_one(self):
        id = self.sleeper()
        reply = self.c.call("cancel", ids=[id, 1 << 40])
        self.assertIn("not_found", str(reply))
        self.c.call("kill", id=id)
        self.c.ended(id)

    def test_selecting_nothing(self):
        self.assertEqual(self.c.ok("cancel", select={"name": "there is none"})["results"], [])

    def test_events(self):
        watch = self.conn()
        watch.watch()
        id = self.ignorer(grace=0.2)
        self.c.ok("cancel", id=id, msg="m")
        self.has(watch.expect(event="task.cancel_requested", id=id), msg="m", origin="client",
                 by="uid:%d" % os.geteuid(), effect="delivered")
        self.has(watch.expect(event="task.cancelling", id=id), msg="m", origin="client",
                 signal="SIGTERM")
        watch.expect(event="task.killed", id=id)
        self.has(watch.expect(event="task.ended", id=id), state="cancelled", forced=True,
                 exit={"signal": "SIGKILL", "core": False})

    def test_two_clients(self):                                                     # R04
        id = self.ignorer()
        a, b = self.conn(), self.conn()
        ra, rb = a.ask("cancel", id=id, msg="a"), b.ask("cancel", id=id, msg="b")
        effects = sorted([a.reply(ra)["effect"], b.reply(rb)["effect"]])
        self.assertIn(effects, (["delivered", "redelivered"], ["coalesced", "delivered"]))
        self.has(self.c.task(id)["cancel"], requests=2, count=2)
        self.c.ok("kill", id=id)
        self.c.ended(id)

    def test_two_in_one_turn(self):
        """Two requests that come together are one delivery with the first message, or two."""
        id = self.c.up("out('up')\nterm()\nout(json.dumps(reason()['msg']))\nterm_within(0.3)")
        self.c.send(b'{"cmd":"cancel","id":%d,"msg":"first","rid":1}\n'
                    b'{"cmd":"cancel","id":%d,"msg":"second","rid":2}\n' % (id, id))
        self.has(self.c.reply(1), effect="delivered")
        self.assertIn(self.c.reply(2)["effect"], ("coalesced", "redelivered"))
        self.has(self.c.ended(id)["cancel"], requests=2, count=2)

    def test_race_with_the_end(self):                                               # R15
        for i in range(150):
            self.c.send({"cmd": "start", "argv": ["true"], "rid": "s%d" % i})
            id = self.c.reply("s%d" % i)["id"]
            if i % 3:
                time.sleep(0.001 * (i % 3) * (i % 5) / 4)
            accepted = self.c.ok("cancel", id=id, msg=i)["accepted"]
            task = self.c.ended(id)
            self.assertIn(task["state"], ("done", "cancelled"))
            if not accepted:
                self.has(task, state="done", cancel=None)
            else:
                self.assertEqual(task["cancel"]["msg"], i)


class Uncancel(harness.Case):
    def cancelling(self, n=1, **members):
        id = self.c.sh(IGNORES, **dict({"grace": None}, **members))
        self.c.said(id, "up")
        for i in range(n):
            self.c.ok("cancel", id=id, msg="m%d" % i)
        return id

    def gone(self, id):
        self.c.ok("kill", id=id, pierce=True)
        return self.c.ended(id)

    def test_back_to_running(self):
        watch = self.conn()
        watch.watch()
        id = self.cancelling(2)
        self.has(self.c.ok("uncancel", id=id), remaining=1, revoked=False)
        self.has(self.c.task(id), state="cancelling",
                 cancel=lambda c: (c["requests"], c["count"]) == (2, 1))
        self.has(self.c.ok("uncancel", id=id), remaining=0, revoked=False)
        self.has(self.c.task(id), state="running",
                 cancel=lambda c: (c["requests"], c["count"]) == (2, 0))
        self.has(watch.expect(event="task.uncancelled", id=id), count=1)
        self.has(watch.expect(event="task.uncancelled", id=id), count=0)
        self.has(self.c.ok("uncancel", id=id), remaining=0, revoked=False)
        self.gone(id)

    def test_stops_the_grace_clock(self):
        id = self.cancelling(grace=0.5)
        self.c.ok("uncancel", id=id)
        self.has(self.c.wait(id, timeout=0.8), result="timeout")
        self.has(self.c.task(id), state="running")
        self.has(self.c.ok("cancel", id=id), effect="delivered")
        self.has(self.c.ended(id), state="cancelled", forced=True)

    def test_not_absorbed_after_it(self):
        fifo = self.fifo()
        id = self.c.up("out('up')\nterm()\nout('got')\ngate(%r)" % fifo, grace=None)
        self.c.ok("cancel", id=id)
        self.c.said(id, "got")
        self.c.ok("uncancel", id=id)
        self.let(fifo)
        self.has(self.c.ended(id), state="done", cancel=lambda c: c["absorbed"] is False)

    def test_nothing_to_take_back(self):
        id = self.c.sh("exec sleep 60")
        self.c.running(id)
        self.has(self.c.ok("uncancel", id=id), remaining=0, revoked=False)
        self.has(self.gone(id), state="cancelled")
        self.has(self.c.ok("uncancel", id=id), remaining=lambda n: n in (0, 1), revoked=False)

    def test_deferred_is_revoked(self):
        id = self.c.sh("exec sleep 60", shield=True)
        self.c.running(id)
        self.c.ok("cancel", id=id)
        self.has(self.c.ok("uncancel", id=id), remaining=0, revoked=True)
        self.has(self.c.ok("unshield", id=id), holders=0, delivered=False)
        self.has(self.c.task(id), state="running")
        self.gone(id)

"""What a task sees, and what it says of itself (protocol.md 7)."""
import json
import os

import harness
from harness import needs, now


class Sees(harness.Case):
    def test_environment(self):
        id = self.c.ok("start", argv=["env"], name="n", wait=True)["id"]
        env = dict(line.split("=", 1) for line in self.c.output(id).strip().split("\n"))
        self.has(env, TASKCTL_ID=str(id), TASKCTL_NAME="n", TASKCTL_SOCKET=self.d.socket)
        self.assertTrue(env["TASKCTL_CANCEL_FILE"].startswith(env["TASKCTL_DIR"] + "/"))
        self.assertIn("NOTIFY_SOCKET", env)

    def test_cancel_file(self):
        id = self.c.up("""
            out('up')
            term()
            out(json.dumps(reason()))
            die()
        """, grace=20)
        self.c.ok("cancel", id=id, msg={"why": ["\u00e9", 1]})
        self.c.ended(id)
        reason = json.loads(self.c.output(id).split("\n")[1])
        self.has(reason, msg={"why": ["\u00e9", 1]}, origin="client", by="uid:%d" % os.geteuid(),
                 requests=1)
        self.assertRegex(reason["kill_at"], r"^\d{4}-\d\d-\d\dT.*Z$")

    def test_cancel_file_is_there_before_the_signal(self):
        for unused in range(20):
            id = self.c.up("out('up')\nterm()\nout(reason()['msg'])\ndie()")
            self.c.ok("cancel", id=id, msg="now")
            self.c.ended(id)
            self.assertEqual(self.c.output(id), "up\nnow\n")

    def test_cancel_file_is_replaced(self):
        id = self.c.up("out('up')\nterm()\nout(reason()['msg'])\nterm()\n"
                       "r = reason()\nout('%s %d' % (r['msg'], r['requests']))\ndie()")
        self.c.ok("cancel", id=id, msg="one")
        self.c.said(id, "one")
        self.c.ok("cancel", id=id, msg="two")
        self.c.ended(id)
        self.assertEqual(self.c.output(id), "up\none\ntwo 2\n")

    def test_cancel_file_without_a_message_and_without_an_end(self):
        id = self.c.up("out('up')\nterm()\nr = reason()\nout(r['msg'])\nout(r['kill_at'])\ndie()",
                       grace=None)
        self.c.ok("cancel", id=id)
        self.c.ended(id)
        self.assertEqual(self.c.output(id), "up\nNone\nNone\n")

    def test_cancel_file_of_a_deadline(self):
        id = self.c.up("out('up')\nterm()\nr = reason()\nout(r['origin'])\n"
                       "out(r['requests'])\ndie()", timeout=60)
        self.c.ok("timeout", id=id, **{"in": 0})
        self.c.ended(id)
        self.assertEqual(self.c.output(id), "up\ndeadline\n0\n")

    def test_cancel_msg_for_shells(self):
        id = self.c.sh("trap 'cat \"$TASKCTL_DIR/cancel.msg\"; exit 0' TERM; echo up; "
                       "while :; do sleep 60 & wait; done")
        self.c.said(id, "up")
        self.c.ok("cancel", id=id, msg="bare text\n\u00e9 'quoted'")
        self.has(self.c.ended(id), state="done")
        self.assertEqual(self.c.output(id), "up\nbare text\n\u00e9 'quoted'")

    def test_big_message(self):
        text = "\u00e9" * 32768
        id = self.c.up("out('up')\nterm()\nout(len(reason()['msg']))\n"
                       "out(os.stat(os.environ['TASKCTL_DIR'] + '/cancel.msg').st_size)\ndie()")
        self.c.ok("cancel", id=id, msg=text)
        self.c.ended(id)
        self.assertEqual(self.c.output(id), "up\n32768\n65536\n")


class Says(harness.Case):
    """The task says, the barrier returns, the effect is there."""

    def test_status_progress(self):
        watch = self.conn()
        watch.watch()
        fifo = self.fifo()
        id = self.c.up("say('READY=1', 'STATUS=copying \u00e9', 'X_PROGRESS=0.37')\nbarrier()\n"
                       "out('up')\ngate(%r)" % fifo)
        self.has(self.c.task(id), status="copying \u00e9", progress=0.37)
        watch.expect(event="task.status", id=id, status="copying \u00e9", progress=0.37)
        self.let(fifo)
        self.has(self.c.ended(id), state="done", status="copying \u00e9", progress=0.37)

    def test_plain_names(self):
        id = self.c.py("say('PROGRESS=0.5')\nsay('RESULT=the result', 'STATUS=s')\nbarrier()")
        self.has(self.c.ended(id), progress=0.5, result="the result", status="s")

    def test_result_and_error(self):
        id = self.c.py("say('X_RESULT=Canceled')\nbarrier()")
        self.has(self.c.ended(id), state="done", result="Canceled")
        id = self.c.py("say('X_ERROR=no space')\nbarrier()\nsys.exit(4)")
        self.has(self.c.ended(id), state="failed", error="no space", exit={"code": 4})
        id = self.c.py("say('X_RESULT_JSON={\"a\": [1, null]}')\nbarrier()")
        self.has(self.c.ended(id), result={"a": [1, None]})
        id = self.c.py("say('X_RESULT=first')\nsay('X_RESULT=second')\nbarrier()")
        self.has(self.c.ended(id), result="second")

    def test_exit_code_decides_not_the_result(self):
        id = self.c.py("say('X_RESULT=fine')\nbarrier()\nsys.exit(4)")
        self.has(self.c.ended(id), state="failed", result="fine")

    def test_said_just_before_the_end_counts(self):                                 # R1
        for unused in range(20):
            id = self.c.py("say('X_RESULT=last words', 'X_PROGRESS=1')\nos._exit(0)")
            self.has(self.c.ended(id), result="last words", progress=lambda p: p == 1)

    def test_rubbish_is_ignored(self):
        id = self.c.py("say('X_PROGRESS=abc')\nsay('X_PROGRESS=7')\nsay('nonsense')\nsay('=')\n"
                       "say('UNKNOWN=1', 'MAINPID=1', 'WATCHDOG=trigger', 'STOPPING=1')\n"
                       "say('X_RESULT_JSON={')\nsay('X_SHIELD=maybe')\nsay('')\n"
                       "say('EXTEND_TIMEOUT_USEC=-5')\nsay('X_STATUS')\nbarrier()\nout('up')")
        self.has(self.c.ended(id), state="done", progress=None, result=None, shield=None)
        self.assertEqual(self.c.output(id), "up\n")
        self.conn().ok("hello")

    def test_barrier(self):
        """Ten thousand datagrams are not asked for: that each barrier returns is."""
        id = self.c.py("for i in range(50):\n    say('STATUS=%d' % i)\n    barrier()\n"
                       "say('STATUS=x', fds=[0])\nbarrier()")
        self.has(self.c.ended(id), state="done", status="x")

    def test_shield(self):
        id = self.c.up("say('X_SHIELD=1')\nbarrier()\nout('up')\ngate(%r)\nsay('X_SHIELD=0')\n"
                       "barrier()\nassert term_within(0), 'not signalled before the ack'\n"
                       "out(reason()['msg'])\ndie()" % self.fifo_path())
        self.has(self.c.task(id)["shield"]["holders"][0], holder="self")
        self.has(self.c.ok("cancel", id=id, msg="m"), accepted=True, effect="deferred")
        self.has(self.c.wait(id, timeout=0.1), result="timeout")
        self.let(self.path)
        self.has(self.c.ended(id), state="cancelled", cancel=lambda c: c["msg"] == "m")
        self.assertEqual(self.c.output(id), "up\nm\n")

    def fifo_path(self):
        self.path = self.fifo()
        return self.path

    def test_plain_shield(self):
        id = self.c.up("say('SHIELD=1')\nbarrier()\nout('up')\nterm()")
        self.has(self.c.ok("cancel", id=id), effect="deferred")
        self.has(self.c.ok("unshield", id=id, holder="self"), delivered=True)
        self.has(self.c.ended(id), state="done")

    def test_shield_and_unshield_without_a_cancel(self):
        id = self.c.up("say('X_SHIELD=1')\nsay('X_SHIELD=0')\nsay('X_SHIELD=0')\nbarrier()\n"
                       "out('up')\nterm()\ndie()")
        self.has(self.c.task(id), shield=None)
        self.has(self.c.ok("cancel", id=id), effect="delivered")
        self.has(self.c.ended(id), state="cancelled")

    def test_shield_in_the_cleanup(self):
        """A shield taken while cancelling: the grace clock stands still."""
        id = self.c.up("out('up')\nterm()\nsay('X_SHIELD=1')\nbarrier()\ntime.sleep(0.7)\n"
                       "out('clean')\nsay('X_SHIELD=0')\ndie()", grace=0.4)
        self.c.ok("cancel", id=id)
        self.has(self.c.ended(id), state="cancelled", forced=False)
        self.assertEqual(self.c.output(id), "up\nclean\n")

    def test_uncancel(self):
        watch = self.conn()
        watch.watch()
        fifo = self.fifo()
        id = self.c.up("out('up')\nterm()\nsay('X_UNCANCEL=1')\nbarrier()\nout('on')\ngate(%r)"
                       % fifo, grace=0.3)
        self.c.ok("cancel", id=id)
        self.c.said(id, "on")
        self.has(watch.expect(event="task.uncancelled", id=id), count=0)
        self.has(self.c.wait(id, timeout=0.5), result="timeout")
        self.has(self.c.task(id), state="running",
                 cancel=lambda c: (c["requests"], c["count"]) == (1, 0))
        self.let(fifo)
        self.has(self.c.ended(id), state="done", cancel=lambda c: c["absorbed"] is False)

    def test_cancels_itself(self):
        id = self.c.py("say('X_CANCEL=1', 'X_MSG=had enough')\nterm()\nout(reason()['msg'])\ndie()")
        task = self.has(self.c.ended(id), state="cancelled")
        self.has(task["cancel"], msg="had enough", origin="self", requests=1, delivered=True)

    def test_cancels_itself_with_json(self):
        id = self.c.py("say('X_CANCEL=1', 'X_MSG_JSON={\"a\":[1]}')\nterm()\ndie()")
        self.has(self.c.ended(id)["cancel"], msg={"a": [1]}, origin="self")

    def test_cancelled_unasked(self):
        for line in ("X_CANCELLED=1", "CANCELLED=1"):
            msg = "X_MSG=passed on" if line[0] == "X" else "MSG=passed on"
            id = self.c.py("say(%r, %r)\nbarrier()\ndie()" % (line, msg))
            task = self.has(self.c.ended(id), state="cancelled")
            self.has(task["cancel"], requests=0, origin="self", msg="passed on")

    def test_cancelled_asked(self):
        """It says CANCELLED=1 after a delivery: any end is the cancel's."""
        id = self.c.up("out('up')\nterm()\nsay('X_CANCELLED=1')\nbarrier()\nsys.exit(9)")
        self.c.ok("cancel", id=id, msg="m")
        self.has(self.c.ended(id), state="cancelled", cancel=lambda c: c["msg"] == "m")

    def test_extend_timeout_while_running(self):
        fifo = self.fifo()
        id = self.c.py("gate(%r)\nsay('EXTEND_TIMEOUT_USEC=900000000')\nbarrier()\nout('on')\n"
                       "gate(%r)" % (fifo, fifo), timeout=60)
        before = self.c.running(id)["deadline"]
        self.let(fifo)
        self.c.said(id, "on")
        self.assertGreater(self.c.task(id)["deadline"][:16], before[:16])       # minutes later
        self.let(fifo)
        self.has(self.c.ended(id), state="done", expired=False)

    def test_extend_timeout_while_cancelling(self):
        id = self.c.up("out('up')\nterm()\nsay('EXTEND_TIMEOUT_USEC=30000000')\nbarrier()\n"
                       "time.sleep(0.8)\nout('clean')\ndie()", grace=0.5)
        self.c.ok("cancel", id=id)
        self.has(self.c.ended(id), state="cancelled", forced=False)
        self.assertEqual(self.c.output(id), "up\nclean\n")

    @needs("systemd-notify")
    def test_systemd_notify(self):
        id = self.c.sh("systemd-notify --ready --status='by systemd-notify'; "
                       "systemd-notify X_PROGRESS=0.25")
        self.has(self.c.ended(id), state="done", status="by systemd-notify", progress=0.25)

    def test_a_child_may_speak(self):
        id = self.c.py("p = os.fork()\nif p == 0:\n    say('STATUS=child')\n    barrier()\n"
                       "    os._exit(0)\nos.waitpid(p, 0)")
        self.has(self.c.ended(id), status="child")

    def test_flood_does_not_block_others(self):
        id = self.c.py("while True:\n    say('STATUS=x')")
        self.c.running(id)
        begun = now()
        for unused in range(50):
            self.c.ok("hello")
        self.assertLess(now() - begun, 5 * harness.SLOW)
        self.has(self.c.ok("kill", id=id), accepted=True)
        self.c.ended(id)

    def test_hooks_may_say_status(self):
        hook = {"argv": harness.py("say('STATUS=cleaning')\nbarrier()")}
        task = self.c.ok("start", argv=["true"], wait=True, hooks={"finally": hook})["task"]
        self.has(task, state="done", status="cleaning")

    def test_the_scenario_everybody_knows(self):
        """The worker is cancelled, gets the notice, cleans up, returns "Canceled"."""
        id = self.c.up("out('up')\nassert term_within(5)\nsay('X_RESULT=Canceled')\n")
        rid = self.c.ask("wait", id=id, mode="own")
        self.conn().ok("cancel", id=id, msg="main() has had enough")
        self.has(self.c.reply(rid), result="done", of="task", task=lambda t: (
            t["result"], t["cancel"]["absorbed"]) == ("Canceled", True))

"""The daemon is killed while tasks run; the next one goes on as if nothing had happened
(issue 2, point 6; protocol.md 4, 6, 7). One test a sentence."""
import os
import signal
import time

import harness
from harness import now, proc_alive, proc_start, read_file, wait_until


class Recovery(harness.OwnCase):
    def crash(self):
        """The daemon dies as by a crash; self.c is a connection to the next one."""
        self.d.kill9()
        return self

    def back(self):
        self.d.start()
        self.c = self.conn()

    def crashed(self):
        self.crash()
        self.back()

    def gated(self, code=0, **members):
        fifo = self.fifo()
        id = self.c.sh("echo up; read x <%s; echo went on; exit %d" % (fifo, code), **members)
        self.c.said(id, "up")
        return id, fifo

    def gone(self, pid):
        wait_until(lambda: not proc_alive(pid), what="process %d to end" % pid)

    # They run on.

    def test_same_process(self):                                                    # K07
        id, fifo = self.gated()
        before = self.c.task(id)
        started = proc_start(before["pid"])
        spawnd = self.d.spawnd()
        self.crash()
        self.assertTrue(proc_alive(before["pid"]))
        self.back()
        after = self.c.task(id)
        for task in (before, after):
            task.pop("usage"), task.pop("output")
        self.assertEqual(after, before)
        self.assertEqual(proc_start(after["pid"]), started)
        self.assertEqual(self.d.spawnd(), spawnd)
        self.let(fifo)
        self.has(self.c.ended(id), state="done", exit={"code": 0})
        self.assertEqual(self.c.output(id), "up\nwent on\n")

    def test_many_times(self):                                                      # S05
        fifo = self.fifo()
        ids = [self.c.sh("read x <%s.$TASKCTL_ID; exit $((TASKCTL_ID %% 100))" % fifo)
               for unused in range(20)]
        for id in ids:
            os.mkfifo("%s.%d" % (fifo, id))
        pids = {id: self.c.running(id)["pid"] for id in ids}
        for unused in range(5):
            self.crashed()
        self.assertEqual({id: self.c.task(id)["pid"] for id in ids}, pids)
        for id in ids[:10]:
            self.let("%s.%d" % (fifo, id))
        for id in ids[:10]:
            self.has(self.c.ended(id), exit={"code": id % 100})
        for id in ids[10:]:
            self.c.ok("cancel", id=id)
            self.has(self.c.ended(id), state=lambda s: s in ("cancelled", "failed"))

    # It knows what happened meanwhile.

    def test_exit_code_meanwhile(self):
        id, fifo = self.gated(42)
        pid = self.c.task(id)["pid"]
        self.crash()
        self.let(fifo)
        self.gone(pid)
        self.back()
        self.has(self.c.ended(id), state="failed", exit={"code": 42}, forced=False, cancel=None)
        self.assertEqual(self.c.output(id), "up\nwent on\n")

    def test_signal_meanwhile(self):
        for sig, state in ((signal.SIGKILL, "failed"), (signal.SIGTERM, "cancelled"),
                           (signal.SIGSEGV, "failed")):
            id = self.c.sh("ulimit -c 0; exec sleep 60")
            pid = self.c.running(id)["pid"]
            wait_until(lambda: harness.proc_read(pid, "comm") == b"sleep\n")
            self.crash()
            os.kill(pid, sig)
            self.gone(pid)
            self.back()
            self.has(self.c.ended(id), state=state, cancel=None, forced=False,
                     exit={"signal": sig.name, "core": False})

    def test_output_without_a_gap(self):
        fifo = self.fifo()
        id = self.c.sh("seq 1 5000; read x <%s; seq 5001 10000" % fifo)
        self.c.said(id, "\n5000\n")
        rid = self.c.ask("logs", id=id, limit=1000)
        part = self.c.reply(rid)
        text = "".join(e["data"] for e in self.c.events)
        self.crash()
        self.let(fifo)
        self.back()
        self.c.ended(id)
        self.c.ask("logs", id=id, offset=part["offset"], follow=True, rid="rest")      # O11
        self.has(self.c.reply("rest"), eof=True)
        text += "".join(e["data"] for e in self.c.events)
        self.assertEqual(text, "".join("%d\n" % i for i in range(1, 10001)))

    def test_many_ended_meanwhile(self):
        fifo = self.fifo()
        ids = []
        for i in range(30):
            os.mkfifo("%s.%d" % (fifo, i))
            ids.append(self.c.sh("read x <%s.%d; exit %d" % (fifo, i, i)))
        pids = [self.c.running(id)["pid"] for id in ids]
        self.crash()
        for i in range(30):
            self.let("%s.%d" % (fifo, i))
        for pid in pids:
            self.gone(pid)
        self.back()
        for i, id in enumerate(ids):
            self.has(self.c.ended(id), exit={"code": i})

    def test_said_meanwhile(self):
        fifo = self.fifo()
        id = self.c.up("out('up')\ngate(%r)\nsay('STATUS=meanwhile', 'X_PROGRESS=0.5')\n"
                       "say('X_RESULT=unheard')\nout('said')\ngate(%r)" % (fifo, fifo))
        log = self.c.task(id)
        self.crash()
        self.let(fifo)
        time.sleep(0.3)                         # nobody there to tell that it has been said
        self.back()
        self.c.said(id, "said")
        wait_until(lambda: self.c.task(id)["status"] == "meanwhile")
        self.has(self.c.task(id), progress=0.5, pid=log["pid"])
        self.let(fifo)
        self.has(self.c.ended(id), state="done", result="unheard")

    def test_said_meanwhile_and_ended(self):
        fifo = self.fifo()
        id = self.c.up("out('up')\ngate(%r)\nsay('X_RESULT=last words')\nos._exit(0)" % fifo)
        pid = self.c.task(id)["pid"]
        self.crash()
        self.let(fifo)
        self.gone(pid)
        self.back()
        self.has(self.c.ended(id), state="done", result="last words")

    # What was acknowledged is delivered.

    def test_deferred_cancel(self):
        id = self.c.up("out('up')\nterm()\nout(reason()['msg'])\ndie()", shield=True)
        self.c.ok("cancel", id=id, msg="kept \u00e9")
        self.crashed()
        task = self.has(self.c.task(id), state="running")
        self.has(task["cancel"], msg="kept \u00e9", deferred=True, delivered=False, requests=1)
        self.has(self.c.ok("unshield", id=id), holders=0, delivered=True)
        self.has(self.c.ended(id), state="cancelled", cancel=lambda c: c["msg"] == "kept \u00e9")
        self.assertEqual(self.c.output(id), "up\nkept \u00e9\n")

    def test_shield_that_ran_out_meanwhile(self):
        id = self.c.up("out('up')\nterm()\nout('got it')\ndie()")
        self.c.ok("shield", id=id, **{"for": 0.5})
        self.has(self.c.ok("cancel", id=id, msg="m"), effect="deferred")
        self.crash()
        time.sleep(0.6)
        self.back()
        self.has(self.c.ended(id, patience=3), state="cancelled")
        self.assertEqual(self.c.output(id), "up\ngot it\n")

    def test_cancel_acknowledged_then_killed(self):                                 # K10
        for unused in range(6):
            id = self.c.up("out('up')\nterm()\nout(reason()['msg'])\ntime.sleep(0.05)\ndie()")
            self.c.ok("cancel", id=id, msg="once said")
            self.crashed()
            self.has(self.c.ended(id), state="cancelled", cancel=lambda c: c["msg"] == "once said")
            self.assertEqual(self.c.output(id), "up\nonce said\n")

    def test_cancelling_goes_on_with_its_grace(self):
        id = self.c.sh("trap '' TERM; echo up; exec sleep 60", grace=0.5)
        self.c.said(id, "up")
        self.c.ok("cancel", id=id)
        self.crashed()
        self.has(self.c.ended(id, patience=4), state="cancelled", forced=True)

    def test_absorbed_meanwhile(self):
        fifo = self.fifo()
        id = self.c.up("out('up')\nterm()\nout('got it')\ngate(%r)" % fifo, grace=None)
        self.c.ok("cancel", id=id, msg="m")
        self.c.said(id, "got it")
        pid = self.c.task(id)["pid"]
        self.crash()
        self.let(fifo)
        self.gone(pid)
        self.back()
        self.has(self.c.ended(id), state="done", cancel=lambda c: c["absorbed"] is True)

    def test_start_acknowledged_then_killed(self):                                  # K03
        for i in range(6):
            id = self.c.sh("echo ran >>%s/ran%d" % (self.d.dir, i), key="k%d" % i)
            self.crashed()
            self.has(self.c.ended(id), state="done")
            self.assertEqual(read_file("%s/ran%d" % (self.d.dir, i)), "ran\n")

    def test_start_in_flight_then_killed(self):                                     # R07, K01
        """No reply: unknown. The retry with the key tells; it ran once."""
        for i in range(6):
            c = self.conn()
            c.ask("start", shell="echo ran >>%s/x%d" % (self.d.dir, i), key="x%d" % i)
            time.sleep(0.0004 * i)
            self.crashed()
            id = self.c.sh("echo ran >>%s/x%d" % (self.d.dir, i), key="x%d" % i)
            self.has(self.c.ended(id), state="done")
            self.assertEqual(read_file("%s/x%d" % (self.d.dir, i)), "ran\n")

    # Deadlines.

    def test_deadline_passed_meanwhile(self):                                       # K09
        id = self.c.sh("exec sleep 60", timeout=0.5)
        self.c.running(id)
        self.crash()
        time.sleep(0.7)
        self.back()
        begun = now()
        self.has(self.c.ended(id, patience=3), state="timed_out", expired=True)
        self.assertLess(now() - begun, 2 * harness.SLOW)

    def test_deadline_still_to_come(self):
        begun = now()
        id = self.c.sh("exec sleep 60", timeout=3.0)
        self.c.running(id)
        deadline = self.c.task(id)["deadline"]
        self.crashed()
        self.has(self.c.task(id), deadline=deadline, state="running")
        self.has(self.c.ended(id), state="timed_out")
        self.assertGreaterEqual(now() - begun, 3.0)

    # Hooks that are owed.

    def test_hooks_of_a_task_that_ended_meanwhile(self):                            # K12
        id, fifo = self.gated(3, hooks={"on_failure": {"shell": "echo hook $TASKCTL_EXIT_CODE"},
                                        "finally": {"shell": "echo finally"}})
        pid = self.c.task(id)["pid"]
        self.crash()
        self.let(fifo)
        self.gone(pid)
        self.back()
        self.has(self.c.ended(id), state="failed", exit={"code": 3})
        self.assertEqual(self.c.output(id), "up\nwent on\nhook 3\nfinally\n")

    def test_hook_under_way_is_adopted(self):
        fifo = self.fifo()
        id = self.c.ok("start", argv=["true"], hooks={"finally": [
            {"shell": "echo first $TASKCTL_HOOK_ATTEMPT; read x <%s; echo end" % fifo},
            {"shell": "echo second"}]})["id"]
        self.c.said(id, "first")
        self.crashed()
        self.has(self.c.task(id), state="cleanup",
                 hooks=lambda h: [x["state"] for x in h] == ["running", "owed"])
        self.let(fifo)
        task = self.has(self.c.ended(id), state="done")
        self.assertEqual([(h["state"], h["attempts"]) for h in task["hooks"]],
                         [("done", 1), ("done", 1)])
        self.assertEqual(self.c.output(id), "first 1\nend\nsecond\n")

    def test_hook_that_ended_meanwhile(self):
        fifo = self.fifo()
        id = self.c.ok("start", argv=["true"], hooks={"finally": {
            "shell": "echo $$; read x <%s; exit 4" % fifo}})["id"]
        pid = int(self.c.said(id, "\n"))
        self.crash()
        self.let(fifo)
        self.gone(pid)
        self.back()
        task = self.has(self.c.ended(id), state="failed", exit={"code": 0})
        self.assertEqual(len(self.c.output(id).split()), 1, "it ran twice")
        self.has(task["hooks"][0], state="failed", exit={"code": 4}, attempts=1)

    # Waits and connections.

    def test_wait_as_if_nothing_had_happened(self):
        id, fifo = self.gated(7)
        rid = self.c.ask("wait", id=id)
        self.crash()
        try:
            self.c.reply(rid)
            self.fail("answered by a dead daemon")
        except harness.Gone:
            pass
        self.back()
        rid = self.c.ask("wait", id=id)
        self.let(fifo)
        self.has(self.c.reply(rid), result="failed", of="task", task=lambda t: t["exit"] == {
            "code": 7})

    def test_own_wait_and_lifetime_are_not_ended_by_a_crash(self):
        c = self.conn()
        a = c.ok("start", argv=["sleep", "60"], lifetime="connection")["id"]
        b = c.ok("start", argv=["sleep", "60"])["id"]
        c.ask("wait", id=b, mode="own")
        c.running(a), c.running(b)
        self.crashed()
        for id in (a, b):
            self.has(self.c.wait(id, timeout=0.2), result="timeout")
            self.has(self.c.task(id), state="running", cancel=None)

    # The rest of the state.

    def test_pending_stays_pending(self):
        id = self.c.ok("start", shell="exit 6", hold=True, name="held", labels={"a": "b"},
                       timeout=60, grace="1m", env={"X": "y"}, cwd=self.d.dir, umask="022",
                       stdin="input", output="separate", signal="USR1", signal_to="leader",
                       on_refuse="keep", hook_errors="warn",
                       hooks={"finally": {"shell": "true", "timeout": 5}})["id"]
        before = self.c.task(id)
        self.crashed()
        self.assertEqual(self.c.task(id), before)
        self.c.ok("release", id=id)
        self.has(self.c.ended(id), state="failed", exit={"code": 6},
                 hooks=lambda h: h[0]["state"] == "done")

    def test_shields_and_counts(self):
        id = self.c.up("out('up')\nwhile True:\n    term()\n    out('again')", grace=None)
        self.c.ok("cancel", id=id, msg="a")
        self.c.said(id, "again")
        self.c.ok("cancel", id=id, msg="b")
        self.c.ok("uncancel", id=id)
        self.c.ok("shield", id=id, holder="h1", msg="m1")
        self.c.ok("shield", id=id, holder="h2", **{"for": 100})
        before = self.c.task(id)
        self.crashed()
        after = self.c.task(id)
        before.pop("usage"), after.pop("usage"), before.pop("output"), after.pop("output")
        self.assertEqual(after, before)
        self.has(self.c.ok("unshield", id=id, holder="h1"), holders=1)
        self.has(self.c.ok("uncancel", id=id), remaining=0)
        self.has(self.c.task(id), state="running")

    def test_keys_and_ids(self):
        a = self.c.ok("start", argv=["true"], key="k", wait=True)["id"]
        self.crashed()
        self.has(self.c.ok("start", argv=["true"], key="k"), id=a, existing=True)
        b = self.c.ok("start", argv=["true"], wait=True)["id"]
        self.assertGreater(b, a)
        self.c.ok("remove", ids=[a, b])
        self.crashed()
        self.assertGreater(self.c.ok("start", argv=["true"])["id"], b, "an id was reused")

    def test_ended_tasks_stay_as_they_were(self):
        id = self.c.ok("start", shell="echo x; exit 3", wait=True,
                       hooks={"on_failure": {"shell": "echo y"}})["id"]
        before = self.c.task(id)
        self.crashed()
        self.assertEqual(self.c.task(id), before)
        self.assertEqual(self.c.output(id), "x\ny\n")

    def test_events_go_on(self):                                                    # R19, K15
        seq = self.c.watch()
        id, fifo = self.gated(5)
        first = [self.c.expect(event="task.created", id=id)["seq"],
                 self.c.expect(event="task.started", id=id)["seq"]]
        self.assertEqual(first, [seq + 1, seq + 2])
        pid = self.c.task(id)["pid"]
        self.crash()
        self.let(fifo)
        self.gone(pid)
        self.back()
        self.c.ok("events", since=first[-1])
        self.has(self.c.expect(event="task.ended", id=id), seq=seq + 3, state="failed",
                 exit={"code": 5})

    def test_events_since_before_the_crash(self):
        seq = self.c.ok("events")["seq"]
        c = self.conn()
        ids = [c.ok("start", argv=["true"], wait=True)["id"] for unused in range(3)]
        self.crashed()
        self.c.ok("events", since=seq)
        got = [self.c.expect(seq=seq + 1 + i) for i in range(9)]
        self.assertEqual([e["id"] for e in got if e["event"] == "task.ended"], ids)

    def test_paused_stays_paused(self):
        path = self.d.dir + "/beat"
        id = self.c.sh("while :; do echo x >>%s; sleep 0.02; done" % path)
        wait_until(lambda: os.path.exists(path))
        self.c.ok("pause", id=id)
        self.crashed()
        size = os.path.getsize(path)
        time.sleep(0.2)
        self.assertEqual(os.path.getsize(path), size)
        self.c.ok("resume", id=id)
        wait_until(lambda: os.path.getsize(path) > size)

    def test_cancel_and_kill_work_on_the_adopted(self):
        a = self.c.sh("exec sleep 60")
        b = self.c.sh("setsid sleep 60 & trap '' TERM; while :; do sleep 1; done")
        self.c.running(a), self.c.running(b)
        self.crashed()
        self.c.ok("cancel", id=a, msg="m")
        self.has(self.c.ended(a), state="cancelled", exit={"signal": "SIGTERM", "core": False})
        self.c.ok("kill", id=b)
        self.has(self.c.ended(b), state="cancelled", forced=True)

    def test_own_directory_and_cancel_file_of_the_adopted(self):
        id = self.c.up("out('up')\nterm()\nout(reason()['msg'])\nsay('X_RESULT=r')\nbarrier()")
        self.crashed()
        self.c.ok("cancel", id=id, msg="after the crash")
        self.has(self.c.ended(id), state="done", result="r")
        self.assertEqual(self.c.output(id), "up\nafter the crash\n")

    def test_nothing_to_adopt(self):
        self.crash()
        self.back()
        self.assertEqual(self.c.ok("list")["tasks"], [])
        self.has(self.c.ok("start", argv=["true"], wait=True)["task"], state="done")

    # Detached on purpose.

    def test_shutdown_detach(self):
        id, fifo = self.gated(2)
        pid = self.c.task(id)["pid"]
        self.has(self.c.call("shutdown", mode="detach"), ok=True)
        self.assertEqual(self.d.exit_status(), 0)
        self.assertTrue(proc_alive(pid))
        self.back()
        self.has(self.c.task(id), state="running", pid=pid, cancel=None)
        self.let(fifo)
        self.has(self.c.ended(id), state="failed", exit={"code": 2})

    def test_sigusr1_detaches(self):
        id, fifo = self.gated()
        pid = self.c.task(id)["pid"]
        self.assertEqual(self.d.terminate(signal.SIGUSR1), 0)
        self.assertTrue(proc_alive(pid))
        self.back()
        self.has(self.c.task(id), state="running", pid=pid, cancel=None)
        self.let(fifo)
        self.has(self.c.ended(id), state="done")

    # What cannot be known is lost.

    def monitor(self, id):
        pid = self.c.running(id)["pid"]
        return int(harness.proc_read(pid, "stat").rsplit(b")", 1)[1].split()[1])

    def test_monitor_killed(self):                                                  # M01
        id = self.c.sh("trap '' TERM; exec sleep 60", hooks={
            "on_failure": {"shell": "echo on_failure $TASKCTL_OUTCOME"},
            "finally": {"shell": "echo finally"}})
        pid = self.c.running(id)["pid"]
        os.kill(self.monitor(id), signal.SIGKILL)
        task = self.has(self.c.ended(id), state="lost")
        self.assertFalse(proc_alive(pid), "a process of a lost task is left")
        self.assertEqual(self.c.output(id), "on_failure lost\nfinally\n")
        self.assertEqual([h["state"] for h in task["hooks"]], ["done", "done"])

    def test_monitor_killed_meanwhile(self):                                        # M03
        id = self.c.sh("trap '' TERM; exec sleep 60", hooks={"finally": {"shell": "echo finally"}})
        pid = self.c.running(id)["pid"]
        monitor = self.monitor(id)
        self.crash()
        os.kill(monitor, signal.SIGKILL)
        self.back()
        self.has(self.c.ended(id), state="lost")
        self.assertFalse(proc_alive(pid))
        self.assertEqual(self.c.output(id), "finally\n")

    def test_spawner_killed(self):                                                  # M06
        id = self.c.sh("exec sleep 60")
        self.c.running(id)
        os.kill(self.d.spawnd(), signal.SIGKILL)
        reply = wait_until(lambda: (lambda r: r if r["ok"] else None)(
            self.c.call("start", argv=["true"], wait=True)), what="a start to work again")
        self.has(reply["task"], state="done")
        self.c.call("kill", id=id)
        self.has(self.c.ended(id), state=lambda s: s in ("lost", "cancelled"))


class Subreaper(harness.OwnCase):
    """The same without cgroups: what is adopted is still killed whole."""

    options = {"config": "containment = subreaper\n"}

    def test_tree_of_the_adopted(self):
        id = self.c.sh("setsid sleep 60 & echo $!; trap '' TERM; while :; do sleep 1; done")
        child = int(self.c.said(id, "\n"))
        self.d.restart()
        c = self.conn()
        c.ok("kill", id=id)
        self.has(c.ended(id), state="cancelled", forced=True)
        self.assertFalse(proc_alive(child))

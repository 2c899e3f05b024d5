"""Trees: nothing of a task is left when its end is told; pause, resume, signal (issue 2, point 5).

Everything here runs twice: with what the machine offers, and with the subreaper alone.
"""
import os
import re
import time
import unittest

import harness
from harness import now, proc_alive, proc_read, wait_until

# A leader that exits 0 on SIGTERM, with a child of the same group, a child in a session of its
# own and a double-forked daemon, all of which ignore SIGTERM. It prints "up" and their pids.
FAMILY = """
def stay(name):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open('/proc/self/comm', 'w') as f:
        f.write(name)
    out('%s %d' % (name, os.getpid()))
    while True:
        time.sleep(60)
if os.fork() == 0:
    stay('same-group')
if os.fork() == 0:
    os.setsid()
    stay('own-session')
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir('/')
        stay('daemon')
    os._exit(0)
os.wait()
term()
sys.exit(0)
"""


def writable_cgroup2():
    for line in harness.read_file("/proc/self/mounts").split("\n"):
        fields = line.split()
        if len(fields) > 3 and fields[2] == "cgroup2" and os.access(fields[1], os.W_OK) \
                and "rw" in fields[3].split(","):
            return True
    return False


class Trees:
    def family(self, **members):
        id = self.c.py(FAMILY, **members)
        text = wait_until(lambda: (lambda t: t if t.count("\n") == 3 else None)(
            self.c.output(id)), what="the family of task %d" % id)
        return id, {line.split()[0]: int(line.split()[1]) for line in text.strip().split("\n")}

    def carriers(self, id):
        mark = b"TASKCTL_ID=%d\0" % id
        here = self.d.dir.encode()
        return [int(p) for p in os.listdir("/proc") if p.isdigit()
                and mark in proc_read(p, "environ") and here in proc_read(p, "environ")
                and proc_alive(p)]

    def test_cancel_and_wait(self):
        """The acceptance of issue 2."""
        id, pids = self.family()
        self.assertEqual(len(self.carriers(id)), 4)
        reply = self.has(self.c.ok("cancel", id=id, msg="m", wait=True), accepted=True)
        alive = {n: p for n, p in pids.items() if proc_alive(p)}
        self.assertEqual(alive, {}, "alive when the reply came")
        task = self.has(reply["task"], state="done", exit={"code": 0}, unkillable=[],
                        cancel=lambda c: c["absorbed"] is True)
        self.assertEqual({p["comm"]: p["pid"] for p in task["leftover"]}, pids)

    def test_again_and_again(self):
        for unused in range(6):
            id, pids = self.family()
            self.c.ok("kill", id=id)
            self.c.ended(id)
            self.assertFalse([p for p in pids.values() if proc_alive(p)])

    def test_leader_exits_by_itself(self):                                          # B09
        id = self.c.sh("setsid sh -c 'trap \"\" TERM; echo $$; sleep 60' & sleep 0.2; exit 3")
        task = self.has(self.c.ended(id), state="failed", exit={"code": 3}, forced=False)
        pid = int(self.c.output(id))
        self.assertFalse(proc_alive(pid))
        self.assertIn(pid, [p["pid"] for p in task["leftover"]])

    def test_what_is_left_gets_sigterm_first(self):
        id = self.c.py("""
            if os.fork() == 0:
                os.setsid()
                out('up')
                term()
                time.sleep(0.2)
                out('cleaned')
                os._exit(0)
            time.sleep(0.3)
        """)
        self.has(self.c.ended(id), state="done")
        self.assertEqual(self.c.output(id), "up\ncleaned\n")

    def test_no_leftover_where_none_is(self):
        id = self.c.sh("sleep 0.05 & (setsid sleep 0.05 &) ; wait; sleep 0.2")
        self.has(self.c.ended(id), state="done", leftover=[], unkillable=[])

    def test_stopped_child(self):
        id = self.c.sh("sleep 63 & kill -STOP $!; echo $!")
        self.has(self.c.ended(id), state="done")
        self.assertFalse(proc_alive(int(self.c.output(id))))

    def test_kill_of_a_breeding_tree(self):
        """Processes that ignore SIGTERM and start new sessions as fast as they can."""
        id = self.c.py("""
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            end = time.monotonic() + 20
            for i in range(6):
                if os.fork() == 0:
                    os.setsid()
                    break
            else:
                out('up')
            while time.monotonic() < end:
                if os.fork() == 0:
                    os.setsid()
                    time.sleep(0.05)
                    os._exit(0)
                time.sleep(0.002)
        """)
        self.c.said(id, "up")
        time.sleep(0.2)                         # let it breed
        self.c.ok("kill", id=id)
        self.has(self.c.ended(id, patience=20), state="cancelled", forced=True)
        self.assertEqual(self.carriers(id), [])

    def test_orphans_are_reaped(self):                                              # B12
        id = self.c.sh("i=0; while [ $i -lt 60 ]; do (setsid true &); i=$((i+1)); done; exit 9")
        pid = self.c.running(id)["pid"]
        self.has(self.c.ended(id, patience=20), state="failed", exit={"code": 9})
        self.assertFalse(proc_alive(pid))

    def test_parent_of_zombies(self):                                               # B11
        id = self.c.sh("i=0; while [ $i -lt 300 ]; do : & i=$((i+1)); done; echo up; "
                       "exec sleep 60")
        self.c.said(id, "up")
        self.c.ok("kill", id=id)
        self.has(self.c.ended(id), state="cancelled")

    def test_leader_ends_before_grace_is_over(self):
        """The escalation ends with the tree, not with the leader."""
        id, pids = self.family(grace=30)
        begun = now()
        self.c.ok("cancel", id=id, wait=True)
        self.assertLess(now() - begun, 8 * harness.SLOW)
        self.assertFalse([p for p in pids.values() if proc_alive(p)])

    def test_shield_and_hooks_do_not_keep_leftovers(self):
        id, pids = self.family(hooks={"finally": {"shell": "echo hook"}})
        self.c.ok("cancel", id=id, wait=True)
        self.assertTrue(self.c.output(id).endswith("hook\n"))

    # pause, resume, signal

    def beating(self):
        """A tree of two that both write a beat; gives back the id and a function that reads."""
        path = "%s/beat%s" % (self.d.dir, next(harness.Conn.rids))
        id = self.c.sh("b() { while :; do echo x >>%s.$1; sleep 0.02; done; }; setsid sh -c "
                       "'while :; do echo x >>%s.2; sleep 0.02; done' & b 1" % (path, path))

        def beats():
            return [os.path.getsize(path + n) if os.path.exists(path + n) else 0
                    for n in (".1", ".2")]

        wait_until(lambda: all(beats()))
        return id, beats

    def test_pause_and_resume(self):
        id, beats = self.beating()
        self.c.ok("pause", id=id)
        time.sleep(0.05)
        before = beats()
        time.sleep(0.3)
        self.assertEqual(beats(), before, "it was not frozen")
        self.has(self.c.task(id), state="running")
        self.c.ok("resume", id=id)
        wait_until(lambda: all(a > b for a, b in zip(beats(), before)))
        self.c.ok("pause", id=id)
        self.c.ok("pause", id=id)               # once more does no harm
        self.c.ok("resume", id=id)
        self.c.ok("resume", id=id)
        self.c.ok("kill", id=id)
        self.c.ended(id)

    def test_cancel_of_a_paused_task(self):
        id = self.c.up("out('up')\nterm()\nout('clean')\ndie()")
        self.c.ok("pause", id=id)
        self.c.ok("cancel", id=id)
        self.has(self.c.ended(id, patience=5), state="cancelled", forced=False)
        self.assertEqual(self.c.output(id), "up\nclean\n")

    def test_kill_of_a_paused_task(self):
        id, unused = self.beating()
        self.c.ok("pause", id=id)
        self.c.ok("kill", id=id)
        self.has(self.c.ended(id, patience=5), state="cancelled", forced=True)

    def test_deadline_of_a_paused_task(self):
        id = self.c.sh("exec sleep 60", timeout=0.4)
        self.c.running(id)
        self.c.ok("pause", id=id)
        self.has(self.c.ended(id, patience=5), state="timed_out", forced=False)

    def test_signal_goes_to_the_leader(self):
        id = self.c.py("""
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
            p = os.fork()
            if p == 0:
                got = signal.sigtimedwait({signal.SIGUSR1}, 0.5)
                out('child got it' if got else 'child did not')
                os._exit(0)
            out('up')
            signal.sigwait({signal.SIGUSR1})
            out('leader got it')
            os.waitpid(p, 0)
        """)
        self.c.said(id, "up")
        self.c.ok("signal", id=id, signal="USR1")
        self.has(self.c.ended(id), state="done", cancel=None)
        self.assertEqual(self.c.output(id), "up\nleader got it\nchild did not\n")

    def test_signal_forms(self):
        for sig, name in (("HUP", "SIGHUP"), ("SIGHUP", "SIGHUP"), (1, "SIGHUP"),
                          ("KILL", "SIGKILL"), ("QUIT", "SIGQUIT")):
            id = self.c.sh("exec sleep 60")
            self.c.running(id)
            self.c.ok("signal", id=id, signal=sig)
            self.has(self.c.ended(id), state="failed", cancel=None, forced=False,
                     exit=lambda e: e["signal"] == name)

    def test_signal_term_is_somebody_elses(self):
        id = self.c.sh("exec sleep 60")
        self.c.running(id)
        self.c.ok("signal", id=id, signal="TERM")
        self.has(self.c.ended(id), state="cancelled", cancel=None)

    def test_ended(self):
        id = self.c.ok("start", argv=["true"], wait=True)["id"]
        self.c.refused("finished", "signal", id=id, signal="HUP")
        self.c.refused("finished", "pause", id=id)
        self.c.refused("finished", "resume", id=id)

    def test_monitor_is_small_and_ours(self):
        """Between taskspawnd and the leader there is one monitor, and it is the task's."""
        id = self.c.sh("exec sleep 60")
        pid = self.c.running(id)["pid"]
        parent = int(proc_read(pid, "stat").rsplit(b")", 1)[1].split()[1])
        self.assertNotEqual(parent, self.d.pid)
        self.assertNotEqual(parent, 1)
        self.c.ok("kill", id=id)
        self.c.ended(id)
        wait_until(lambda: not proc_alive(parent), what="the monitor to end with its task")


class Offered(Trees, harness.Case):
    def test_kind(self):
        text = str(self.c.ok("stats"))
        kind = "cgroup" if os.geteuid() == 0 and writable_cgroup2() else "(cgroup|subreaper)"
        self.assertRegex(text, kind)
        self.assertRegex(self.d.log_text(), kind)

    @unittest.skipUnless(writable_cgroup2(), "no cgroup v2 that can be written")
    def test_no_cgroup_is_left(self):
        id = self.c.sh("exec sleep 60")
        pid = self.c.running(id)["pid"]
        path = re.search(r"^0::(.*)$", proc_read(pid, "cgroup").decode(), re.M).group(1)
        self.assertNotEqual(path, re.search(r"^0::(.*)$", proc_read("self", "cgroup").decode(),
                                            re.M).group(1))
        self.c.ok("kill", id=id)
        self.c.ended(id)
        mount = next(l.split()[1] for l in harness.read_file("/proc/self/mounts").split("\n")
                     if " cgroup2 " in l)
        wait_until(lambda: not os.path.exists(mount + path) or
                   not harness.read_file(mount + path + "/cgroup.procs"))


class Subreaper(Trees, harness.Case):
    options = {"config": "containment = subreaper\n"}

    def test_kind(self):
        self.assertIn("subreaper", str(self.c.ok("stats")))
        self.assertIn("subreaper", self.d.log_text())

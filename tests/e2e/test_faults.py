"""What is not there: room on the disk, descriptors, processes. An error, and nothing half done."""
import os
import resource
import shutil
import subprocess
import time
import unittest

import harness
from harness import TERMINAL, now, proc_alive, proc_read, wait_until

MOUNT, UMOUNT = shutil.which("mount"), shutil.which("umount")


def can_mount():
    return os.geteuid() == 0 and MOUNT and subprocess.run(
        [MOUNT, "-t", "tmpfs", "tmpfs", "/proc/self/nonexistent"],
        stderr=subprocess.PIPE).stderr.find(b"denied") < 0


def cpu_seconds(pid):
    fields = proc_read(pid, "stat").rsplit(b")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class DiskCase(harness.OwnCase):
    """The state directory is a small file system of its own, which fill() fills."""

    def setUp(self):
        if not can_mount():
            self.skipTest("needs root and mount(2), for a small file system to fill")
        self.d = self.daemon(start=False)
        os.mkdir(self.d.state_dir, 0o700)
        subprocess.run([MOUNT, "-t", "tmpfs", "-o", "size=12m,mode=700,huge=never", "tmpfs",
                        self.d.state_dir], check=True)
        self.addCleanup(self.take_down)
        self.d.start()
        self.c = self.conn()
        self.events = self.conn()
        self.seq = self.events.watch()

    def take_down(self):
        try:
            if self.d in harness.alive:
                self.d.stop()
        finally:
            subprocess.run([UMOUNT, "-l", self.d.state_dir], stderr=subprocess.DEVNULL)
            shutil.rmtree(self.d.dir, ignore_errors=True)

    @property
    def filler(self):
        return self.d.state_dir + "/filler"

    def fill(self):
        fd = os.open(self.filler, os.O_WRONLY | os.O_CREAT, 0o600)
        for size in (65536, 4096, 1):
            try:
                while True:
                    os.write(fd, b"x" * size)
            except OSError:
                pass
        os.close(fd)
        # What the store has in reserve is used up, too: with ever smaller tasks that are held.
        for size in (200000, 20000, 1):
            self.until_refused("start", argv=["true"], hold=True, stdin="x" * size)
        held = self.c.ok("list", limit=1, order="-id", select={"name": "true"})["tasks"][0]["id"]
        self.until_refused("shield", id=held)
        self.before = self.c.ok("list", limit=1000)["tasks"]

    def until_refused(self, cmd, **members):
        for unused in range(300):
            reply = self.c.call(cmd, **members)
            if not reply["ok"]:
                self.assertEqual(reply["error"]["code"], "storage")
                return
        self.fail("the disk is full, and the store takes writes without end")

    def make_room(self):
        os.unlink(self.filler)
        # What was waiting is written by the daemon's own retry, or by the next command.
        wait_until(lambda: self.c.call("start", argv=["true"])["ok"], what="room to be found")

    def sleeper(self, **members):
        id = self.c.sh("exec sleep 60", **members)
        return id, self.c.running(id)["pid"]

    def kept(self):
        """All events that are kept, asked for anew. Their numbers have no gap."""
        with self.d.connect() as c:
            newest = c.ok("events", since=0)["seq"]
            got = []
            while not got or got[-1]["seq"] < newest:
                got.append(c.recv() if not c.events else c.events.pop(0))
                del got[-1]["rid"]
        self.assertEqual([e["seq"] for e in got], list(range(1, newest + 1)))
        return got

    def told_as_kept(self):
        """The reader that was there all the time was told exactly what is kept."""
        kept = [e for e in self.kept() if e["seq"] > self.seq]
        told = []
        while len(told) < len(kept):
            told.append(self.events.recv())
            del told[-1]["rid"]
        self.assertEqual(told, kept)
        return kept

    def names(self, id):
        return [e["event"] for e in self.kept() if e.get("id") == id]


class FullDisk(DiskCase):
    def test_start(self):
        mark = self.d.dir + "/mark"
        self.fill()
        for members in ({}, {"wait": True}, {"key": "k"}, {"hold": True}):
            self.c.refused("storage", "start", argv=["touch", mark], **members)
        self.assertEqual(self.c.ok("list", limit=1000)["tasks"], self.before)
        self.assertFalse(os.path.exists(mark))
        self.make_room()
        self.c.ok("start", argv=["touch", mark], key="k", wait=True)
        self.assertTrue(os.path.exists(mark))
        self.told_as_kept()
        self.assertEqual(len([e for e in self.kept() if e["event"] == "task.created"]),
                         len(self.c.ok("list", limit=1000)["tasks"]))

    def test_many_starts_at_once(self):
        self.fill()
        c = self.conn()
        for i in range(50):
            c.send({"cmd": "start", "argv": ["true"], "wait": i % 2 == 0, "rid": i})
        for i in range(50):
            self.has(c.reply(i), ok=False, error=lambda e: e["code"] == "storage")
        self.assertEqual(self.c.ok("list", limit=1000)["tasks"], self.before)
        self.make_room()
        self.told_as_kept()

    def test_wait_for_a_task_that_never_was(self):
        self.fill()
        self.c.send(b'{"cmd":"start","argv":["true"],"key":"k","rid":1}\n'
                    b'{"cmd":"wait","key":"k","rid":2}\n{"cmd":"cancel","key":"k","rid":3}\n')
        self.has(self.c.reply(1), ok=False, error=lambda e: e["code"] == "storage")
        self.assertFalse(self.c.reply(2)["ok"])
        self.c.reply(3)
        self.assertEqual(self.c.ok("list", limit=1000)["tasks"], self.before)
        self.make_room()
        self.told_as_kept()

    def test_cancel_and_kill_work(self):
        a, a_pid = self.sleeper()
        b, b_pid = self.sleeper(hooks={"finally": {"shell": "exit 0"}})
        self.fill()
        self.has(self.c.ok("cancel", id=a, msg="why"), effect="delivered", durable=False)
        self.has(self.c.ok("kill", id=b), durable=False)
        wait_until(lambda: not proc_alive(a_pid) and not proc_alive(b_pid), what="both to die")
        self.has(self.c.ended(a), state="cancelled")
        self.has(self.c.ended(b), state="cancelled", forced=True)
        self.make_room()
        self.d.kill9()
        self.d.start()
        self.c = self.conn()
        self.has(self.c.task(a), state="cancelled", cancel=lambda k: k["msg"] == "why")
        self.has(self.c.task(b), state="cancelled", hooks=lambda h: h[0]["state"] == "done")
        for id in (a, b):
            self.assertEqual(self.names(id).count("task.ended"), 1)
        self.assertIn("task.hook_ended", self.names(b))

    def test_events_follow(self):
        a, unused = self.sleeper()
        self.fill()
        self.has(self.c.ok("cancel", id=a, wait=True), durable=False)
        self.make_room()
        self.told_as_kept()
        self.assertEqual(self.names(a)[2:], ["task.cancel_requested", "task.cancelling",
                                             "task.ended"])

    def test_answers_meanwhile_lose_nothing(self):
        """A turn without a commit is not a commit."""
        a, unused = self.sleeper()
        b, unused = self.sleeper()
        self.fill()
        self.has(self.c.ok("kill", id=a), durable=False)
        for unused in range(5):
            self.has(self.c.wait(b, timeout=0.02), result="timeout")
        self.has(self.c.ended(a), state="cancelled")
        for unused in range(5):
            self.has(self.c.wait(a), result="cancelled")
        os.unlink(self.filler)
        wait_until(lambda: "takes writes again" in self.d.log_text())
        self.make_room_again()
        self.assertIn("task.ended", self.names(a))
        self.told_as_kept()
        self.d.kill9()
        self.d.start()
        self.c = self.conn()
        self.has(self.c.task(a), state="cancelled")
        self.assertEqual(self.names(a).count("task.ended"), 1)

    def make_room_again(self):
        wait_until(lambda: self.c.call("start", argv=["true"])["ok"], what="room to be found")

    def test_ends_by_itself(self):
        fifo = self.fifo()
        a = self.c.sh("read x <%s; exit 3" % fifo)
        self.c.running(a)
        self.fill()
        self.let(fifo)
        self.has(self.c.ended(a), state="failed", exit={"code": 3})
        self.make_room()
        self.told_as_kept()
        self.d.kill9()
        self.d.start()
        self.c = self.conn()
        self.has(self.c.task(a), state="failed", exit={"code": 3})

    def test_not_busy(self):
        a, unused = self.sleeper()
        self.fill()
        self.has(self.c.ok("kill", id=a, wait=True), durable=False)
        before = cpu_seconds(self.d.pid)
        time.sleep(1)
        self.assertLess(cpu_seconds(self.d.pid) - before, 0.3)

    def test_reads_work(self):
        a, unused = self.sleeper()
        self.fill()
        self.c.refused("storage", "start", argv=["true"])
        self.has(self.c.task(a), state="running")
        self.c.ok("stats")
        self.c.ok("list")
        self.c.output(a)


FAULTY = harness.ROOT + "/build-faults"


@unittest.skipUnless(os.path.exists(FAULTY + "/taskctld"), "needs a build with make FAULTS=1")
class Undone(harness.OwnCase):
    """Commands that must be kept: the very commit that they need fails, and nothing has changed.

    Each scenario is run again and again, with the first, second, … commit failing, until it is the
    command's own that does.
    """

    COMMITS = 12

    def setUp(self):
        self.c = None

    def run_with(self, n, scenario):
        """The command's reply and what to look at, with the n-th commit failing; or None."""
        self.d = self.daemon(build=FAULTY, env={"TASKCTL_FAULT": "store.commit:%d:ENOSPC" % n})
        self.c = self.d.connect()
        try:
            id, cmd, members = scenario()
            before = self.c.task(id)
        except AssertionError:      # it was another one that failed: too early
            self.finish()
            return None
        names = self.names(id)
        reply = self.c.call(cmd, id=id, **members)
        if reply["ok"] or reply["error"]["code"] != "storage":
            self.finish()
            return None
        return id, before, names

    def finish(self):
        self.c.close()
        self.d.cleanup()

    def names(self, id):
        with self.d.connect() as c:
            newest = c.ok("events", since=0)["seq"]
            got = []
            while not got or got[-1]["seq"] < newest:
                got.append(c.recv() if not c.events else c.events.pop(0))
        self.assertEqual([e["seq"] for e in got], list(range(1, newest + 1)))
        return [e["event"] for e in got if e["id"] == id]

    def first_to_fail(self, scenario):
        # How many come before it varies a little: what nobody waits for may share a commit.
        for n in 5 * list(range(2, self.COMMITS)):   # without the first it does not start
            found = self.run_with(n, scenario)
            if found is not None:
                return found
        self.fail("the command's own commit was not found")

    @staticmethod
    def fixed(task):
        for h in (task["shield"] or {"holders": []})["holders"]:
            h.pop("until", None)
        return {k: v for k, v in task.items() if k not in ("output", "usage")}

    def unchanged(self, scenario):
        id, before, names = self.first_to_fail(scenario)
        self.assertEqual(self.fixed(self.c.task(id)), self.fixed(before))
        # The disk takes writes again: nothing comes after all, and nothing is told.
        self.c.ok("start", argv=["true"], wait=True)
        self.assertEqual(self.fixed(self.c.task(id)), self.fixed(before))
        self.assertEqual(self.names(id), names, "told, though it was undone")
        return id

    def sleeper(self, **members):
        id = self.c.sh("exec sleep 60", **members)
        wait_until(lambda: "task.started" in self.names(id))
        return id

    def held_back(self):
        """A shielded task with a cancel that waits for the end of the shield."""
        id = self.c.sh("trap 'echo caught' TERM; echo up; while :; do sleep 0.05; done",
                       shield=True)
        self.c.said(id, "up")
        wait_until(lambda: "task.started" in self.names(id))
        self.has(self.c.ok("cancel", id=id, msg="later"), effect="deferred")
        return id

    def test_shield(self):
        self.unchanged(lambda: (self.sleeper(), "shield", {"holder": "h"}))

    def test_unshield(self):
        self.unchanged(lambda: (self.sleeper(shield=True), "unshield", {}))

    def test_unshield_with_a_cancel_that_waits(self):
        id, before, names = self.first_to_fail(lambda: (self.held_back(), "unshield", {}))
        time.sleep(0.2)
        self.assertNotIn("caught", self.c.output(id), "the signal was sent all the same")
        self.assertEqual(self.fixed(self.c.task(id)), self.fixed(before))
        self.c.ok("start", argv=["true"], wait=True)
        self.assertEqual(self.names(id), names, "told, though it was undone")

    def test_timeout(self):
        self.unchanged(lambda: (self.sleeper(), "timeout", {"in": 50}))

    def test_timeout_now(self):
        id = self.unchanged(lambda: (self.sleeper(), "timeout", {"in": 0}))
        self.assertTrue(proc_alive(self.c.task(id)["pid"]))

    def test_uncancel(self):
        self.unchanged(lambda: (self.held_back(), "uncancel", {}))

    def test_release(self):
        id = self.unchanged(
            lambda: (self.c.ok("start", argv=["true"], hold=True)["id"], "release", {}))
        self.c.ok("release", id=id)
        self.has(self.c.ended(id), state="done")

    def test_remove(self):
        id = self.unchanged(
            lambda: (self.c.ok("start", shell="echo kept", wait=True)["id"], "remove", {}))
        self.assertEqual(self.c.output(id), "kept\n")


class Descriptors(harness.OwnCase):
    def limit(self, more):
        used = len(os.listdir("/proc/%d/fd" % self.d.pid))
        old = resource.prlimit(self.d.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.d.pid, resource.RLIMIT_NOFILE, (used + more, old[1]))

        def give_back():
            if proc_alive(self.d.pid):
                resource.prlimit(self.d.pid, resource.RLIMIT_NOFILE, old)
        self.addCleanup(give_back)
        return give_back

    def setUp(self):
        super().setUp()
        self.c.ok("hello")                       # it has been accepted

    def test_start(self):
        """Refused as overloaded, or failed before it ran; nothing is stuck."""
        give_back = self.limit(0)
        ids, failure = [], None
        for unused in range(40):
            reply = self.c.call("start", shell="exec sleep 60")
            if not reply["ok"]:
                failure = self.has(reply, error=lambda e: e["code"] == "overloaded")
                break
            ids.append(reply["id"])
            task = self.c.running(ids[-1])
            if task["state"] != "running":
                failure = self.has(task, state="failed", pid=None,
                                   exit=lambda e: e["errno"] == "EMFILE")
                break
        # Some were made ahead: all of these may have gone well.
        self.assertTrue(failure or len(ids) == 40)
        give_back()
        for id in ids:
            self.c.ok("kill", id=id)
        self.has(self.c.ok("start", argv=["true"], wait=True)["task"], state="done")

    def test_end_what_runs(self):
        """What runs can be ended without another descriptor."""
        ids = [self.c.sh("exec sleep 60") for unused in range(3)]
        for id in ids:
            self.c.running(id)
        self.limit(0)
        for id in ids:
            self.has(self.c.ok("cancel", id=id, wait=True)["task"], state="cancelled")

    def test_what_tasks_say_is_heard(self):
        """At the latest when there are descriptors again, or at the end."""
        give_back = self.limit(0)
        ids = [self.c.py("out('up'); say('X_RESULT=made it'); barrier(); term(); out('bye')")
               for unused in range(40)]
        for id in ids:
            self.c.running(id)
        give_back()
        for id in ids:
            self.c.said(id, "up")                # from here on it does not die of a SIGTERM
            self.c.ok("cancel", id=id)
        for id in ids:
            self.has(self.c.ended(id), result="made it")

    def test_accept_does_not_spin(self):
        give_back = self.limit(0)
        waiting = self.conn()                    # is in the queue of the kernel
        before = cpu_seconds(self.d.pid)
        time.sleep(1)
        self.assertLess(cpu_seconds(self.d.pid) - before, 0.3)
        self.c.ok("hello")                       # who is in is served
        give_back()
        waiting.ok("hello")                      # and the others, a little later
        self.assertIn("No connection can be accepted", self.d.log_text())

    def test_release_after_a_restart(self):
        """A held task loses nothing when its files cannot be opened; it can still be waited for."""
        id = self.c.ok("start", argv=["true"], hold=True)["id"]
        self.d.restart()
        self.c = self.conn()
        other = self.conn()
        other.ok("hello")
        give_back = self.limit(0)
        replies = []
        spare = []
        for unused in range(300):                # until the files made ahead are used up
            reply = self.c.call("start", argv=["true"], hold=True)
            if not reply["ok"]:
                break
            spare.append(reply["id"])
        replies.append(self.c.call("release", id=id))
        rid = other.ask("wait", id=id)
        self.c.ok("hello")
        give_back()
        for i in spare:
            self.c.ok("cancel", id=i)
        if not replies[0]["ok"]:
            self.assertEqual(replies[0]["error"]["code"], "overloaded")
            self.c.ok("release", id=id)
        self.has(other.reply(rid), result="done")


class Processes(harness.OwnCase):
    UID = 54321                                  # of nobody else: its processes can be counted

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to become a user with no other processes")
        d = self.d = self.daemon(start=False, env={"XDG_CONFIG_HOME": "/nonexistent"})
        if subprocess.run(["setpriv", "--reuid", str(self.UID), "--clear-groups", "test", "-x",
                           d.build + "/taskspawnd"], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("another user cannot execute what was built")
        os.chown(d.dir, self.UID, self.UID)

        def become():
            harness._die_with_parent()
            os.setgroups([])
            os.setgid(self.UID)
            os.setuid(self.UID)
        d.start(preexec_fn=become)
        # Root may talk to it through a socket that its owner opens for it.
        connect = d.connect

        def connect_as_owner(tcp=False):
            os.seteuid(self.UID)
            try:
                return connect(tcp)
            finally:
                os.seteuid(0)
        d.connect = connect_as_owner
        self.c = self.conn()

    def limit(self, pid, processes):
        """The soft limit of one process; its owner may set it."""
        subprocess.run(["setpriv", "--reuid", str(self.UID), "--regid", str(self.UID),
                        "--clear-groups", "prlimit",
                        "--pid", str(pid), "--nproc=%s:" % processes], check=True)

    def test_fork_fails(self):
        self.has(self.c.ok("start", argv=["true"], cwd="/", wait=True)["task"], state="done")
        limited = self.d.left()
        for pid in limited:
            self.limit(pid, "1")
        for unused in range(3):
            task = self.c.ok("start", argv=["true"], cwd="/", wait=True)["task"]
            self.has(task, state="failed", pid=None,
                     exit=lambda e: e.get("stage") == "fork" and e.get("errno") == "EAGAIN")
        for pid in limited:
            if proc_alive(pid):
                self.limit(pid, "4096")
        self.has(self.c.ok("start", argv=["true"], cwd="/", wait=True)["task"], state="done")


class Flood(harness.OwnCase):
    def test_one_who_does_not_read_harms_nobody(self):
        """Requests without end whose replies are not read: others are served, nothing spins."""
        flood = self.conn()
        flood.sock.setblocking(False)
        data = b'{"cmd":"hello"}\n' * 1000
        end = now() + 2
        while now() < end:
            try:
                flood.sock.send(data)
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                break                            # it may be given up
        before = cpu_seconds(self.d.pid)
        self.c.ok("hello")
        time.sleep(0.5)
        self.assertLess(cpu_seconds(self.d.pid) - before, 0.2)

    def test_one_who_waits_for_too_much(self):
        """The same with replies that are not due yet."""
        id = self.c.sh("exec sleep 60")
        flood = self.conn()
        flood.sock.setblocking(False)
        data = b'{"cmd":"wait","id":%d}\n' % id * 1000
        end = now() + 2
        while now() < end:
            try:
                flood.sock.send(data)
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                break
        self.c.ok("hello")


if __name__ == "__main__":
    unittest.main()

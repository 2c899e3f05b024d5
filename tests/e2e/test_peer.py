"""Who is calling: the daemon's own uid is let in, others are nobody (protocol.md 3)."""
import encodings.idna  # noqa: F401 - a stranger cannot load it when a socket asks for it
import json
import os
import socket
import subprocess
import threading
import time
import traceback

import harness
from harness import needs_root

NOBODY = 65534
SOMEBODY = 12345


def as_user(uid, function):
    """Runs function() in a process of that user; gives back what it returned (JSON)."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            answer = {"value": function()}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        os.write(w, json.dumps(answer).encode())
        os._exit(0)
    os.close(w)
    with os.fdopen(r) as f:
        text = f.read()
    os.waitpid(pid, 0)
    answer = json.loads(text)
    if "error" in answer:
        raise AssertionError("as uid %d: %s" % (uid, answer["error"]))
    return answer["value"]


@needs_root
class Stranger(harness.Case):
    def setUp(self):
        super().setUp()
        os.chmod(self.d.socket, 0o666)          # so that it is the daemon that decides
        self.id = self.c.sh("exec sleep 300", name="not yours")
        self.seq = self.conn().ok("events")["seq"]
        self.c.running(self.id)
        self.addCleanup(lambda: self.c.call("kill", id=self.id))

    def lines(self, text, uid=NOBODY, tcp=False):
        """Sends text as that user, gives back all the reply lines until the daemon closes."""
        def talk():
            c = self.d.connect(tcp)
            c.send(text)
            c.half_close()
            got = []
            while True:
                try:
                    got.append(c.recv())
                except harness.Gone:
                    return got
        return as_user(uid, talk)

    def every(self, text):
        """The replies to text, for two strangers and both ways of reaching the daemon."""
        return [self.lines(text, uid, tcp) for uid in (NOBODY, SOMEBODY) for tcp in (False, True)]

    def test_hello_needs_nothing(self):
        for replies in self.every(b'{"cmd":"hello","rid":1}\n'):
            self.has(replies[0], ok=True, protocol=1, caller=None)

    def test_everything_else_is_unauthenticated(self):                              # R20
        requests = [{"cmd": "start", "argv": ["true"]}, {"cmd": "list"}, {"cmd": "stats"},
                    {"cmd": "show", "id": self.id}, {"cmd": "cancel", "id": self.id},
                    {"cmd": "kill", "id": self.id}, {"cmd": "logs", "id": self.id},
                    {"cmd": "events"}, {"cmd": "shutdown"}, {"cmd": "wait", "id": self.id},
                    {"cmd": "shield", "id": self.id}, {"cmd": "remove", "id": self.id},
                    {"cmd": "timeout", "id": self.id, "in": 0}]
        # No other member is looked at: what is wrong with it is not told.
        requests += [{"cmd": "start"}, {"cmd": "show", "id": "x"}, {"cmd": "show", "id": 1 << 40},
                     {"cmd": "start", "argv": [], "bogus": 1}, {"cmd": "bogus"}]
        for request in requests:
            for replies in self.every(json.dumps(request).encode() + b"\n"):
                self.assertEqual([r.get("error", {}).get("code") for r in replies],
                                 ["unauthenticated"], request)
        self.has(self.c.task(self.id), state="running", cancel=None, shield=None)

    def test_bad_token(self):
        for request in ({"cmd": "auth", "token": "x"},
                        {"cmd": "start", "argv": ["true"], "token": "x"}):
            for replies in self.every(json.dumps(request).encode() + b"\n"):
                self.assertEqual(replies[0]["error"]["code"], "unauthenticated", request)

    def test_line_of_4_kib(self):
        for size, code in ((4096, "unauthenticated"), (4097, "too_large")):
            line = b'{"cmd":"list"' + b" " * (size - 14) + b"}"
            self.assertEqual(len(line), size)
            for replies in self.every(line + b"\n"):
                self.assertEqual(replies[0]["error"]["code"], code)
                self.assertEqual(len(replies), 1)

    def test_first_byte(self):
        for replies in self.every(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            self.assertEqual(replies, [])

    def test_bad_json(self):
        for replies in self.every(b'{"cmd":\n'):
            self.assertEqual([r["ok"] for r in replies], [False])
            self.assertIn(replies[0]["error"]["code"], ("bad_json", "unauthenticated"))

    def test_sent_and_gone(self):
        """For a TCP peer that has gone the kernel says uid 0: it must not count."""
        def hit_and_run():
            for i in range(200):
                s = socket.create_connection(("127.0.0.1", self.d.port))
                s.sendall(b'{"cmd":"start","argv":["true"],"name":"hit-and-run"}\n')
                if i % 2:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                s.close()
            return True
        as_user(NOBODY, hit_and_run)
        time.sleep(0.2)                         # there is nothing to wait for: nothing may happen
        self.assertEqual(self.conn().ok("list", select={"name": "hit-and-run"})["tasks"], [])

    def test_sent_and_gone_while_the_daemon_was_busy(self):
        """The same when the daemon finds it late: stopped while the peer came and went."""
        def hit_and_run():
            for unused in range(20):
                s = socket.create_connection(("127.0.0.1", self.d.port))
                s.sendall(b'{"cmd":"start","argv":["true"],"name":"late"}\n')
                s.close()
            return True
        self.d.process.send_signal(harness.signal.SIGSTOP)
        try:
            as_user(NOBODY, hit_and_run)
        finally:
            self.d.process.send_signal(harness.signal.SIGCONT)
        self.conn().ok("hello")
        time.sleep(0.2)
        self.assertEqual(self.conn().ok("list", select={"name": "late"})["tasks"], [])

    def test_many_strangers_do_not_lock_us_out(self):
        def crowd():
            keep = []
            for unused in range(200):
                try:
                    s = self.d.connect(tcp=True)
                    s.send(b'{"cmd":"hello"}\n')
                    keep.append(s)
                except OSError:
                    pass
            open(self.path, "w").close()
            for unused in range(200):
                if os.path.exists(self.path + ".go"):
                    break
                time.sleep(0.05)
            return len(keep)
        self.path = "/tmp/tctl-crowd-%d" % os.getpid()
        for name in (self.path, self.path + ".go"):
            self.addCleanup(lambda name=name: os.path.exists(name) and os.unlink(name))
        thread = threading.Thread(target=as_user, args=(NOBODY, crowd))
        thread.start()
        harness.wait_until(lambda: os.path.exists(self.path), patience=15)
        try:
            for tcp in (False, True):
                c = self.conn(tcp)
                c.ok("start", argv=["true"], wait=True)
        finally:
            open(self.path + ".go", "w").close()
            thread.join()

    def test_ours(self):
        for tcp in (False, True):
            self.has(self.conn(tcp).ok("hello"),
                     caller={"uid": os.geteuid(), "scope": "start"})


@needs_root
class Unprivileged(harness.Case):
    """A daemon of an ordinary user: that user is let in, and its tasks run as that user."""

    @classmethod
    def setUpClass(cls):
        cls.d = d = harness.Daemon(start=False)
        cls.addClassCleanup(d.cleanup)
        os.mkdir(d.dir + "/bin", 0o755)
        for name in ("taskctld", "taskspawnd"):
            subprocess.run(["cp", harness.build_dir() + "/" + name, d.dir + "/bin/"], check=True)
        d.build = d.dir + "/bin"
        os.chown(d.dir, SOMEBODY, SOMEBODY)
        d.env["HOME"] = d.dir
        d.start(user=SOMEBODY, group=SOMEBODY, extra_groups=[])

    def test_own_user(self):
        def talk():
            out = []
            for tcp in (False, True):
                c = self.d.connect(tcp)
                out.append(c.ok("hello")["caller"])
                t = c.ok("start", argv=["id", "-u"], wait=True)["task"]
                out.append((t["state"], c.output(t["id"]).strip()))
            return out
        who = {"uid": SOMEBODY, "scope": "start"}
        self.assertEqual(as_user(SOMEBODY, talk), [who, ["done", str(SOMEBODY)]] * 2)

    def test_tree_without_privileges(self):
        def talk():
            c = self.d.connect()
            id = c.sh("setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & "
                      "trap 'exit 0' TERM; while :; do sleep 60 & wait; done")
            child = int(c.said(id, "\n"))
            t = c.ok("cancel", id=id, wait=True)["task"]
            return t["state"], harness.proc_alive(child), [p["pid"] for p in t["leftover"]], child
        state, alive, left, child = as_user(SOMEBODY, talk)
        self.assertEqual((state, alive), ("done", False))
        self.assertIn(child, left)

    def test_others(self):
        def talk():
            try:
                c = self.d.connect(tcp=True)
                return c.call("start", argv=["true"])["error"]["code"]
            except (OSError, harness.Gone):
                return "unauthenticated"
        self.assertEqual(as_user(NOBODY, talk), "unauthenticated")

    def setUp(self):
        pass


"""taskctld as a program: options, exit codes, signals, the service manager's side."""
import os
import signal
import socket
import stat
import subprocess
import time

import harness
from harness import build_dir, needs_root, now, proc_alive, wait_until

STUBBORN = "trap '' TERM; echo up; exec sleep 60"


class Options(harness.OwnCase):
    def setUp(self):
        self.d = None

    def daemon(self, **options):
        self.d = super().daemon(**options)
        return self.d

    def run_daemon(self, *args):
        return subprocess.run([build_dir() + "/taskctld"] + list(args), capture_output=True,
                              text=True, timeout=harness.PATIENCE, stdin=subprocess.DEVNULL)

    def fails(self, status, *args, config=None):
        """A start that must end by itself, with a word on stderr."""
        d = harness.Daemon(start=False, config=config, listen=())
        self.addCleanup(d.cleanup)
        d.args = list(args)
        argv = [a for a in d.command() if a != "--no-tcp"]
        p = subprocess.run(argv, capture_output=True, text=True, timeout=harness.PATIENCE,
                           stdin=subprocess.DEVNULL, env=d.environment())
        self.assertEqual(p.returncode, status, p.stderr)
        self.assertTrue(p.stderr.strip(), "not a word on stderr")
        return p.stderr

    def test_version(self):
        p = self.run_daemon("--version")
        self.assertEqual(p.returncode, 0)
        self.assertRegex(p.stdout, r"^taskctld \d+\.\d+")

    def test_usage(self):
        for args in (["--bogus"], ["--listen"], ["-x"], ["surplus"], ["--socket"],
                     ["--log-level", "bogus"]):
            with self.subTest(args=args):
                p = self.run_daemon(*args)
                self.assertEqual(p.returncode, 2, p.stderr)
                self.assertTrue(p.stderr.strip())
                self.assertEqual(p.stdout, "")

    def test_ready_line(self):
        d = self.daemon()
        self.assertEqual(d.addresses, ["127.0.0.1:%d" % d.port, "unix:" + d.socket])
        self.assertGreater(d.port, 0)

    def test_two_listeners_and_ipv6(self):
        d = self.daemon(listen=("127.0.0.1:0", "[::1]:0"))
        six = next(a for a in d.addresses if a.startswith("[::1]:"))
        s = socket.socket(socket.AF_INET6)
        s.settimeout(harness.PATIENCE)
        s.connect(("::1", int(six.rsplit(":", 1)[1])))
        c = harness.Conn(s)
        self.addCleanup(c.close)
        self.has(c.ok("hello"), caller={"uid": os.geteuid(), "scope": "start"})
        c.ok("start", argv=["true"], wait=True)

    def test_no_tcp(self):
        d = self.daemon(listen=())
        self.assertEqual(d.addresses, ["unix:" + d.socket])
        self.conn().ok("hello")

    def test_outside_loopback_is_refused(self):                                     # A02
        self.fails(78, "--listen", "0.0.0.0:0")
        self.fails(78, "--listen", "[::]:0")

    def test_bad_addresses(self):
        for address in ("127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x", "", "nonsense:1:2"):
            d = harness.Daemon(start=False, listen=(address,))
            self.addCleanup(d.cleanup)
            p = subprocess.run(d.command(), capture_output=True, text=True, env=d.environment(),
                               timeout=harness.PATIENCE, stdin=subprocess.DEVNULL)
            self.assertIn(p.returncode, (2, 78), "%r: %s" % (address, p.stderr))

    def test_port_taken(self):
        s = socket.socket()
        self.addCleanup(s.close)
        s.bind(("127.0.0.1", 0))
        s.listen()
        err = self.fails(1, "--listen", "127.0.0.1:%d" % s.getsockname()[1])
        self.assertIn(str(s.getsockname()[1]), err)

    def test_two_daemons(self):                                                     # L01
        d = self.daemon()
        p = subprocess.run([build_dir() + "/taskctld", "--no-tcp", "--socket", d.dir + "/s2",
                            "--state-dir", d.state_dir, "--runtime-dir", d.dir + "/run2"],
                           capture_output=True, text=True, timeout=harness.PATIENCE,
                           stdin=subprocess.DEVNULL, env=d.environment())
        self.assertEqual(p.returncode, 75, p.stderr)
        self.assertTrue(p.stderr.strip())
        self.conn().ok("hello")
        self.has(self.conn().ok("start", argv=["true"], wait=True)["task"], state="done")

    def test_no_stale_lock_or_socket(self):
        d = self.daemon()
        d.kill9()
        self.assertTrue(os.path.exists(d.socket))
        d.start()
        self.conn().ok("hello")

    def test_socket_is_gone_after_a_shutdown(self):
        d = self.daemon()
        self.assertEqual(d.terminate(), 0)
        self.assertFalse(os.path.exists(d.socket))

    def test_modes(self):                                                           # A03
        d = self.daemon()
        self.assertEqual(stat.S_IMODE(os.stat(d.state_dir).st_mode) & 0o077, 0)
        self.assertEqual(stat.S_IMODE(os.stat(d.socket).st_mode) & 0o007, 0)

    def test_check(self):
        d = harness.Daemon(start=False, config="containment = subreaper\n")
        self.addCleanup(d.cleanup)
        p = self.run_daemon("-c", d.conf, "--check")
        self.assertEqual(p.returncode, 0, p.stderr)
        with open(d.conf, "w") as f:
            f.write("# a comment\n\ncontainment = subreaper\nno_such_setting = 5\n"
                    "containment = nonsense\nthis is no setting\n")
        p = self.run_daemon("-c", d.conf, "--check")
        self.assertEqual(p.returncode, 78, p.stderr)
        for line in (4, 5, 6):                  # every mistake, with its line
            self.assertRegex(p.stderr + p.stdout, r"\b%d\b" % line)

    def test_bad_configuration(self):
        self.fails(78, "--listen", "127.0.0.1:0", config="no_such_setting = 5\n")

    def test_configuration_that_is_not_there(self):
        p = self.run_daemon("-c", "/no/such/file", "--check")
        self.assertEqual(p.returncode, 78, p.stderr)

    @needs_root
    def test_not_allowed(self):
        d = harness.Daemon(start=False, listen=())
        self.addCleanup(d.cleanup)
        os.mkdir(d.state_dir, 0o700)
        os.mkdir(d.run_dir, 0o700)
        os.mkdir(d.dir + "/bin")
        for name in ("taskctld", "taskspawnd"):
            subprocess.run(["cp", build_dir() + "/" + name, d.dir + "/bin/"], check=True)
        d.build = d.dir + "/bin"
        d.env["HOME"] = d.dir
        p = subprocess.run(d.command(), capture_output=True, text=True, env=d.environment(),
                           timeout=harness.PATIENCE, stdin=subprocess.DEVNULL, user=65534,
                           group=65534, extra_groups=[])
        self.assertEqual(p.returncode, 77, p.stderr)
        self.assertTrue(p.stderr.strip())

    def test_log_levels(self):
        d = self.daemon(args=["--log-level", "debug"])
        self.conn().ok("start", argv=["true"], wait=True)
        self.assertTrue(d.log_text())

    def test_client_text_is_one_log_line(self):                                     # V03
        d = self.daemon(args=["--log-level", "debug"])
        c = self.conn()
        c.ok("start", argv=["true"], name="x\n[ERROR] forged\x1b[2J", wait=True)
        c.call("cancel", name="y\ntaskctld: forged")
        for line in d.log_text().split("\n"):
            self.assertFalse(line.startswith(("[ERROR] forged", "taskctld: forged")), line)
            self.assertNotIn("\x1b", line)

    def test_sighup(self):                                                          # L12
        d = self.daemon(config="# nothing\n")
        c = self.conn()
        size = os.path.getsize(d.log)
        with open(d.conf, "w") as f:
            f.write("no_such_setting = 1\n")
        d.process.send_signal(signal.SIGHUP)
        wait_until(lambda: os.path.getsize(d.log) > size, what="a word about the bad file")
        self.assertIn("no_such_setting", d.log_text()[size:])
        with open(d.conf, "w") as f:
            f.write("# good again\n")
        d.process.send_signal(signal.SIGHUP)
        c.ok("hello")
        c.ok("start", argv=["true"], wait=True)
        self.assertIsNone(d.process.poll())


class Shutdown(harness.OwnCase):
    def again(self):
        """The next daemon on the same state, to see what became of the tasks."""
        self.d.start()
        self.c = self.conn()

    def stubborn(self, **members):
        id = self.c.sh(STUBBORN, **members)
        self.c.said(id, "up")
        return id

    def test_sigterm_and_sigint(self):
        for sig in (signal.SIGTERM, signal.SIGINT):
            id = self.c.sh("exec sleep 60", hooks={"on_cancel": {"shell": "sleep 0.2; echo hook"}})
            pid = self.c.running(id)["pid"]
            self.assertEqual(self.d.terminate(sig), 0)
            self.assertFalse(proc_alive(pid))
            self.assertEqual(self.d.left(), [])
            self.again()
            task = self.has(self.c.task(id), state="cancelled",
                            hooks=lambda h: h[0]["state"] == "done")
            self.has(task["cancel"], msg="daemon shutting down", origin="shutdown")
            self.assertEqual(self.c.output(id), "hook\n")

    def test_idle_ends_at_once(self):                                               # L06
        begun = now()
        self.assertEqual(self.d.terminate(), 0)
        self.assertLess(now() - begun, 2 * harness.SLOW)

    def test_grace_is_kept(self):
        id = self.stubborn(grace=0.5)
        begun = now()
        self.assertEqual(self.d.terminate(), 0)
        self.assertGreaterEqual(now() - begun, 0.49)
        self.again()
        self.has(self.c.task(id), state="cancelled", forced=True)

    def test_second_signal_kills(self):
        id = self.stubborn(grace=100)
        watch = self.conn()
        watch.watch()
        self.d.process.send_signal(signal.SIGTERM)
        watch.expect(event="task.cancelling", id=id)
        self.d.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.d.exit_status(), 0)
        self.again()
        self.has(self.c.task(id), state="cancelled", forced=True)

    def test_second_signal_pierces_a_shield(self):
        id = self.c.sh("exec sleep 60", shield=True)
        self.c.running(id)
        watch = self.conn()
        watch.watch()
        self.d.process.send_signal(signal.SIGTERM)
        watch.expect(event="task.deferred", id=id)
        self.assertIsNone(self.d.process.poll())
        self.d.process.send_signal(signal.SIGTERM)
        self.d.exit_status()
        self.again()
        self.has(self.c.task(id), state="cancelled")

    def test_third_signal_exits_at_once(self):
        id = self.c.sh("exec sleep 60", hooks={"on_cancel": {
            "shell": "trap '' TERM; echo in; exec sleep 60", "timeout": 50}})
        self.c.running(id)
        begun = now()
        for unused in range(3):
            if self.d.process.poll() is None:
                self.d.process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        self.d.exit_status()
        self.assertLess(now() - begun, 8 * harness.SLOW)
        self.d.start()                          # whatever it left is taken over

    def test_command(self):
        """The reply comes when it is done; start is refused meanwhile; waits are answered."""
        id = self.c.up("out('up')\nterm()\nout('clean')\ntime.sleep(0.4)\ndie()")
        other = self.conn()
        rid = other.ask("wait", id=id)
        side = self.conn()
        sid = side.ask("shutdown", msg="bye")
        other.said(id, "clean")
        late = self.conn()
        late.refused("stopping", "start", argv=["true"])
        self.has(other.reply(rid), result="cancelled", of="task", task=lambda t: (
            t["cancel"]["msg"], t["cancel"]["origin"]) == ("bye", "shutdown"))
        self.has(side.reply(sid), ok=True)
        self.assertEqual(self.d.exit_status(), 0)
        self.assertEqual(self.d.left(), [])

    def test_command_without_msg(self):
        id = self.c.sh("exec sleep 60")
        self.c.running(id)
        self.has(self.c.call("shutdown", mode="cancel"), ok=True)
        self.assertEqual(self.d.exit_status(), 0)
        self.again()
        self.has(self.c.task(id), state="cancelled",
                 cancel=lambda c: c["msg"] is None and c["origin"] == "shutdown")

    def test_pending_tasks_are_cancelled(self):
        id = self.c.ok("start", argv=["true"], hold=True)["id"]
        self.assertEqual(self.d.terminate(), 0)
        self.again()
        self.has(self.c.task(id), state="cancelled", pid=None)

    def test_shield_is_honoured(self):
        id = self.c.sh("exec sleep 60", shield={"for": 0.5})
        self.c.running(id)
        begun = now()
        self.assertEqual(self.d.terminate(), 0)
        self.assertGreaterEqual(now() - begun, 0.4)
        self.again()
        self.has(self.c.task(id), state="cancelled", forced=False)


class Manager(harness.OwnCase):
    """The service manager's side: NOTIFY_SOCKET, WATCHDOG_USEC, LISTEN_FDS."""

    def setUp(self):
        self.d = None

    def listen(self, **env):
        d = harness.Daemon(start=False)
        self.addCleanup(lambda: d.stop() if d in harness.alive else None)
        self.d = d
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.notify.close)
        self.notify.bind(d.dir + "/notify")
        self.notify.settimeout(harness.PATIENCE)
        d.env = dict(env, NOTIFY_SOCKET=d.dir + "/notify")
        self.heard = []
        return d

    def hear(self, line):
        """Waits for a datagram with that line; all are kept in self.heard."""
        end = now() + harness.PATIENCE
        while now() < end:
            lines = self.notify.recv(4096).decode().split("\n")
            self.heard.append(lines)
            if any(l.startswith(line) for l in lines):
                return lines
        self.fail("no %s in %r" % (line, self.heard))

    def test_ready(self):
        d = self.listen()
        d.spawn()
        self.hear("READY=1")
        with d.connect() as c:                  # ready means that it listens
            c.ok("start", argv=["true"], wait=True)
        d.ready()

    def test_stopping(self):
        d = self.listen()
        d.start()
        with d.connect() as c:
            id = c.ok("start", argv=harness.py("out('up')\nterm()\ntime.sleep(0.5)\ndie()"))["id"]
            c.said(id, "up")
            d.process.send_signal(signal.SIGTERM)
            self.hear("STOPPING=1")
        self.assertEqual(d.exit_status(), 0)

    def test_extends_its_timeout_while_it_stops(self):
        d = self.listen()
        d.start()
        with d.connect() as c:
            id = c.sh(STUBBORN, grace=1.5)
            c.said(id, "up")
        d.process.send_signal(signal.SIGTERM)
        self.hear("EXTEND_TIMEOUT_USEC=")
        self.assertEqual(d.exit_status(), 0)

    def test_status(self):
        d = self.listen()
        d.start()
        self.hear("STATUS=")

    def test_watchdog(self):
        d = self.listen(WATCHDOG_USEC="400000")
        d.start()
        for unused in range(3):
            self.hear("WATCHDOG=1")

    def test_watchdog_of_another_process(self):
        d = self.listen(WATCHDOG_USEC="100000", WATCHDOG_PID="1")
        d.start()
        self.notify.settimeout(0.4)
        try:
            while True:
                self.heard.append(self.notify.recv(4096))
        except TimeoutError:
            pass
        self.assertNotIn(b"WATCHDOG=1", b"\n".join(self.heard))

    def test_a_task_does_not_reach_it(self):                                        # L11
        d = self.listen()
        d.start()
        with d.connect() as c:
            id = c.ok("start", argv=["sh", "-c", "echo $NOTIFY_SOCKET"], wait=True)["id"]
            self.assertNotEqual(c.output(id).strip(), d.dir + "/notify")

    def test_listen_fds(self):
        d = harness.Daemon(start=False)
        self.addCleanup(lambda: d.stop() if d in harness.alive else None)
        self.d = d
        tcp, unix = socket.socket(), socket.socket(socket.AF_UNIX)
        self.addCleanup(tcp.close)
        self.addCleanup(unix.close)
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        unix.bind(d.dir + "/activated")
        unix.listen()
        d.socket = d.dir + "/activated"
        argv = [d.build + "/taskctld", "--state-dir", d.state_dir, "--runtime-dir", d.run_dir]
        # The shell moves them to 3 and 4 and knows LISTEN_PID. It needs one-digit numbers to do so.
        for s, fd in ((tcp, 8), (unix, 9)):
            os.dup2(s.fileno(), fd)
            self.addCleanup(os.close, fd)
        line = "exec 3<&8 4<&9 8<&- 9<&-; LISTEN_FDS=2 LISTEN_PID=$$ exec \"$@\""
        d.command = lambda: ["sh", "-c", line, "sh"] + argv
        d.start(pass_fds=(8, 9))
        d.port = tcp.getsockname()[1]
        for tcp_too in (False, True):
            c = d.connect(tcp_too)
            self.addCleanup(c.close)
            c.ok("start", argv=["true"], wait=True)

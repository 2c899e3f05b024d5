"""What the end-to-end tests have in common: a daemon of one's own, and connections to it.

    d = Daemon()                     # own temporary directory, ready when the call returns
    c = d.connect()                  # Unix socket; tcp=True for loopback TCP
    t = c.call("start", argv=["sleep", "60"])          # sends, gives back the reply
    c.call("cancel", id=t["id"], msg="enough")
    c.expect(event="task.ended", id=t["id"])           # an event or an unclaimed reply
    d.stop()                         # shutdown, and nothing may be left behind

Every wait is bounded. Nothing outside the standard library is needed.
"""
import atexit
import ctypes
import itertools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
# Sanitizers and a loaded machine are slow: TASKCTL_E2E_SLOW=3 triples every patience.
SLOW = float(os.environ.get("TASKCTL_E2E_SLOW", "1"))
PATIENCE = 10 * SLOW
SANITIZER = ("AddressSanitizer", "LeakSanitizer", "UndefinedBehaviorSanitizer",
             "ThreadSanitizer", "runtime error:")
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
TERMINAL = ("done", "failed", "cancelled", "timed_out", "lost")
alive = []          # daemons that have not been stopped, for the runner's report and for atexit


def build_dir():
    return os.path.join(ROOT, os.environ.get("TASKCTL_BUILD", "build"))


def now():
    return time.monotonic()


def wait_until(predicate, patience=None, what=None):
    """Polls what has no event of its own; gives back the first true value of predicate()."""
    end = now() + (PATIENCE if patience is None else patience * SLOW)
    pause = 0.002
    while True:
        value = predicate()
        if value:
            return value
        if now() > end:
            raise AssertionError("waited in vain for %s" % (what or predicate))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def subset(want, have):
    """True where every member of want is in have with the same value, objects recursively."""
    if isinstance(want, dict):
        return isinstance(have, dict) and all(
            k in have and subset(v, have[k]) for k, v in want.items())
    if callable(want):
        return bool(want(have))
    return type(want) is type(have) and want == have


def read_file(path, mode="r"):
    with open(path, mode) as f:
        return f.read()


def proc_read(pid, name):
    try:
        with open("/proc/%s/%s" % (pid, name), "rb") as f:
            return f.read()
    except OSError:
        return b""


def proc_state(pid):
    """The state letter of a process ("Z" for a zombie), or None where there is none."""
    stat = proc_read(pid, "stat")
    return stat.rsplit(b")", 1)[1].split()[0].decode() if stat else None


def proc_alive(pid):
    return proc_state(pid) not in (None, "Z", "X")


def proc_start(pid):
    """Start time of a process in clock ticks: with the pid its identity."""
    stat = proc_read(pid, "stat")
    return int(stat.rsplit(b")", 1)[1].split()[19]) if stat else None


def proc_children(pid):
    out = []
    for p in os.listdir("/proc"):
        if p.isdigit():
            stat = proc_read(p, "stat")
            if stat and int(stat.rsplit(b")", 1)[1].split()[1]) == pid:
                out.append(int(p))
    return out


def proc_of(directory):
    """Processes that carry the directory in environment, command line or open files."""
    mark = directory.encode() + b"/"
    out = []
    for p in os.listdir("/proc"):
        if not p.isdigit() or int(p) == os.getpid():
            continue
        if mark in proc_read(p, "environ") or mark in proc_read(p, "cmdline"):
            out.append(int(p))
            continue
        if b"taskspawnd" not in proc_read(p, "comm"):
            continue
        try:
            links = [os.readlink("/proc/%s/fd/%s" % (p, f)) for f in os.listdir("/proc/%s/fd" % p)]
        except OSError:
            continue
        if any(directory + "/" in link for link in links):
            out.append(int(p))
    return [p for p in out if proc_alive(p)]


def describe(pids):
    return ["%d %s %s" % (p, proc_state(p),
                          (proc_read(p, "cmdline").replace(b"\0", b" ") or
                           proc_read(p, "comm")).decode("utf-8", "replace").strip())
            for p in pids]


class Gone(AssertionError):
    """The connection was closed while something was still expected of it."""


class Conn:
    """One connection. Events and unclaimed replies are kept aside until somebody asks."""

    rids = itertools.count(1)

    def __init__(self, sock):
        self.sock = sock
        self.buf = b""
        self.eof = False
        self.events = []            # messages with "event"
        self.replies = []           # messages with "ok" that nobody has claimed

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.sock.close()

    def abort(self):
        """Closes with a reset, as a client that was killed with unread input."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def send(self, what):
        """An object (becomes a line), or bytes, sent as they are."""
        if not isinstance(what, (bytes, bytearray)):
            what = json.dumps(what).encode() + b"\n"
        self.sock.settimeout(PATIENCE)
        try:
            self.sock.sendall(what)
        except (BrokenPipeError, ConnectionResetError) as e:
            raise Gone("connection closed by the daemon: %s" % e) from None

    def _fill(self, end):
        left = end - now()
        if left <= 0 or not select.select([self.sock], [], [], left)[0]:
            raise AssertionError("nothing was received in time; kept aside: events %r, replies %r"
                                 % (self.events[-5:], self.replies[-5:]))
        try:
            got = self.sock.recv(1 << 18)
        except ConnectionResetError:
            got = b""
        if not got:
            self.eof = True
        self.buf += got

    def recv(self, patience=None):
        """The next JSON line, straight from the wire. Gone at the end of the connection."""
        end = now() + (PATIENCE if patience is None else patience * SLOW)
        while b"\n" not in self.buf:
            if self.eof:
                if self.buf:
                    raise AssertionError("an unfinished line at the end: %r" % self.buf[:200])
                raise Gone("connection closed by the daemon")
            self._fill(end)
        line, self.buf = self.buf.split(b"\n", 1)
        assert all(0x20 <= b < 0x7f for b in line), "not pure printable ASCII: %r" % line[:200]
        message = json.loads(line)
        assert isinstance(message, dict), "not an object: %r" % line[:200]
        assert ("ok" in message) != ("event" in message), "neither reply nor event: %r" % message
        return message

    def recv_eof(self, patience=None):
        """True when the daemon closes; a message before that is a failure."""
        try:
            message = self.recv(patience)
        except Gone:
            return True
        raise AssertionError("expected the connection to be closed, got %r" % message)

    def silent(self, seconds):
        """Nothing comes for that long (what is kept aside does not count)."""
        assert not self.buf, "received %r" % self.buf[:200]
        readable = select.select([self.sock], [], [], seconds)[0]
        assert not readable, "received %r" % self.sock.recv(4096)[:300]

    def _keep(self, message):
        (self.events if "event" in message else self.replies).append(message)

    def reply(self, rid, patience=None):
        """The reply with that rid; whatever else comes meanwhile is kept aside."""
        end = now() + (PATIENCE if patience is None else patience * SLOW)
        while True:
            for i, message in enumerate(self.replies):
                if message.get("rid") == rid:
                    return self.replies.pop(i)
            self._keep(self.recv(max(0.001, (end - now()) / SLOW)))

    def ask(self, cmd, **members):
        """Sends a request and gives back its rid, for reply()."""
        members.setdefault("rid", "r%d" % next(self.rids))
        request = {"cmd": cmd}
        request.update(members)
        self.send(request)
        return members["rid"]

    def call(self, cmd, patience=None, **members):
        return self.reply(self.ask(cmd, **members), patience)

    def ok(self, cmd, patience=None, **members):
        reply = self.call(cmd, patience, **members)
        assert reply["ok"] is True, "%s %r was refused: %r" % (cmd, members, reply)
        return reply

    def refused(self, code, cmd, field=None, **members):
        """The request must be refused with that code (and field); gives back the error."""
        reply = self.call(cmd, **members)
        assert reply["ok"] is False, "%s %r was not refused: %r" % (cmd, members, reply)
        error = reply["error"]
        assert error["code"] == code, "%s %r: wanted %s: %r" % (cmd, members, code, reply)
        if field is not None:
            assert error.get("field") == field, "%s: wanted field %s: %r" % (cmd, field, reply)
        assert error["message"].strip(), "no message: %r" % reply
        return error

    def expect(self, want=None, patience=None, **more):
        """The first event or unclaimed reply that has these members; it is taken out."""
        want = dict(want or {}, **more)
        end = now() + (PATIENCE if patience is None else patience * SLOW)
        for queue in (self.events, self.replies):
            for i, message in enumerate(queue):
                if subset(want, message):
                    return queue.pop(i)
        while True:
            try:
                message = self.recv(max(0.001, (end - now()) / SLOW))
            except AssertionError as e:
                raise AssertionError("expected %r: %s" % (want, e)) from None
            if subset(want, message):
                return message
            self._keep(message)

    # Short forms of what nearly every test does.

    def sh(self, line, **members):
        """Starts a shell line, gives back the id."""
        return self.ok("start", shell=line, **members)["id"]

    def py(self, code, **members):
        """Starts a Python task (see PRELUDE), gives back the id."""
        return self.ok("start", argv=py(code), **members)["id"]

    def up(self, code, text="up", **members):
        """Starts a Python task and waits until it has said "up"."""
        id = self.py(code, **members)
        self.said(id, text)
        return id

    def task(self, id):
        return self.ok("show", id=id)["task"]

    def wait(self, id, patience=None, **members):
        """Waits for the end, gives back the whole reply."""
        return self.ok("wait", patience, id=id, **members)

    def ended(self, id, patience=None):
        """Waits for the end, gives back the task."""
        return self.wait(id, patience)["task"]

    def watch(self):
        """Subscribes to all events from now on."""
        return self.ok("events")["seq"]

    def running(self, id):
        """Waits until the task runs (or is further than that)."""
        return wait_until(lambda: (lambda t: t if t["state"] != "pending" else None)(
            self.task(id)), what="task %s to run" % id)

    def output(self, id, **members):
        """All the output there is now, as text; events are taken out."""
        rid = self.ask("logs", id=id, **members)
        end = self.reply(rid)
        assert end["ok"], end
        mine = [e for e in self.events if e["event"] == "output" and e.get("rid") == rid]
        self.events = [e for e in self.events if e not in mine]
        return "".join(e["data"] for e in mine)

    def said(self, id, text, patience=None):
        """Follows the output until the text is in it; gives back all of it."""
        with self.sibling() as c:
            c.ask("logs", id=id, follow=True)
            got = ""
            while text not in got:
                message = c.recv(patience)
                assert message.get("event") == "output", "no %r in %r, then %r" % (
                    text, got, message)
                got += message["data"]
            return got

    def sibling(self):
        """Another connection to the same place."""
        s = socket.socket(self.sock.family, socket.SOCK_STREAM)
        s.settimeout(PATIENCE)
        s.connect(self.sock.getpeername())
        return Conn(s)


def _die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Daemon:
    """A taskctld with its own directory.

    args      more options; env: more environment (None removes)
    config    text of a configuration file, given with -c
    listen    addresses; default one free loopback port; () for --no-tcp
    start     False: only the directory is made; call start() later
    """

    def __init__(self, build=None, args=(), env=None, config=None, listen=("127.0.0.1:0",),
                 start=True):
        self.build = build or build_dir()
        self.args = list(args)
        self.env = dict(env or {})
        self.listen = tuple(listen)
        self.dir = tempfile.mkdtemp(prefix="tctl-")
        os.chmod(self.dir, 0o755)
        self.socket = self.dir + "/s"
        self.state_dir = self.dir + "/state"
        self.run_dir = self.dir + "/run"
        self.log = self.dir + "/log"
        self.conf = None
        if config is not None:
            self.conf = self.dir + "/conf"
            with open(self.conf, "w") as f:
                f.write(config)
        self.port = None
        self.addresses = []
        self.process = None
        alive.append(self)
        if start:
            self.start()

    @property
    def pid(self):
        return self.process.pid

    def command(self):
        argv = [self.build + "/taskctld", "--socket", self.socket,
                "--state-dir", self.state_dir, "--runtime-dir", self.run_dir]
        if not self.listen:
            argv.append("--no-tcp")
        for address in self.listen:
            argv += ["--listen", address]
        if self.conf:
            argv += ["-c", self.conf]
        return argv + self.args

    def environment(self):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("TASKCTL_", "LISTEN_", "WATCHDOG_")) and k != "NOTIFY_SOCKET"}
        env["TASKCTLD_TEST_DIR"] = self.dir + "/"       # marks everything that descends from us
        for k, v in self.env.items():
            if v is None:
                env.pop(k, None)
            else:
                env[k] = v
        return env

    def spawn(self, **popen):
        """Starts the process without waiting for it to be ready."""
        log = open(self.log, "ab")
        self.log_from = log.tell() if log.tell() else os.path.getsize(self.log)
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                        stderr=log, env=self.environment(),
                                        preexec_fn=popen.pop("preexec_fn", _die_with_parent),
                                        **popen)
        log.close()

    def start(self, **popen):
        self.spawn(**popen)
        self.ready()

    def ready(self):
        line = wait_until(self._ready_line, what="the daemon's ready line")
        self.addresses = [a.strip().rstrip(".") for a in line.split(",")]
        for address in self.addresses:
            if address.startswith("127.0.0.1:"):
                self.port = int(address.rsplit(":", 1)[1])

    def _ready_line(self):
        if self.process.poll() is not None and b"ready on" not in self.new_log():
            raise AssertionError("the daemon ended with %s before it was ready:\n%s" % (
                self.process.returncode, self.log_text()))
        for line in self.new_log().decode("utf-8", "replace").split("\n")[:-1]:
            if "taskctld: ready on " in line:
                return line.split("taskctld: ready on ", 1)[1]
        return None

    def new_log(self):
        with open(self.log, "rb") as f:
            f.seek(self.log_from)
            return f.read()

    def log_text(self):
        try:
            return read_file(self.log, "rb").decode("utf-8", "replace")
        except OSError as e:
            return "(no log: %s)" % e

    def connect(self, tcp=False):
        s = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(PATIENCE)
        s.connect(("127.0.0.1", self.port) if tcp else self.socket)
        if tcp:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Conn(s)

    def kill9(self):
        """Kills the daemon as a crash would; what it started is left alone."""
        self.process.kill()
        self.process.wait()

    def restart(self):
        """Starts it again on the same directories."""
        if self.process.poll() is None:
            self.kill9()
        self.start()

    def terminate(self, sig=signal.SIGTERM):
        """Sends the daemon a signal and gives back its exit status."""
        self.process.send_signal(sig)
        return self.exit_status()

    def exit_status(self, patience=None):
        try:
            return self.process.wait(PATIENCE * 2 if patience is None else patience * SLOW)
        except subprocess.TimeoutExpired:
            raise AssertionError("the daemon did not end; its log:\n" + self.log_text()) from None

    def left(self):
        """Processes that the daemon or its tasks have left behind."""
        return [p for p in proc_of(self.dir) if self.process is None or p != self.process.pid]

    def spawnd(self):
        """The pid of taskspawnd, or None. (Its monitors carry the same name: the oldest it is.)"""
        pids = [p for p in self.left() if proc_read(p, "comm").strip() == b"taskspawnd"]
        return min(pids, key=lambda p: (proc_start(p), p)) if pids else None

    def cleanup(self):
        """Ends whatever is left, forgets the directory. For failures and for atexit."""
        if self in alive:
            alive.remove(self)
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for unused in range(50):
            left = self.left()
            if not left:
                break
            for p in left:
                try:
                    os.kill(p, signal.SIGKILL)
                except OSError:
                    pass
            time.sleep(0.02)
        if not os.environ.get("TASKCTL_E2E_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def stop(self):
        """Shutdown; exit status 0; nothing left; no sanitizer report. Raises with the log."""
        faults = []
        try:
            if self.process.poll() is None:
                self._shutdown(faults)
            status = self.process.poll()
            if status is None:
                faults.append("the daemon did not end after a shutdown")
            elif status != 0:
                faults.append("the daemon ended with status %s" % status)
            self.check_left(faults)
            self.check_log(faults)
        finally:
            log = self.log_text()
            self.cleanup()
        if faults:
            raise AssertionError("; ".join(faults) + "\n--- the daemon's log\n" + log)

    def _shutdown(self, faults):
        try:
            with self.connect() as c:
                for t in c.ok("list", limit=1000)["tasks"]:
                    if t["state"] not in TERMINAL:      # a test's business is over
                        c.call("kill", id=t["id"], pierce=True)
                c.send({"cmd": "shutdown", "msg": "the test is over"})
                self.process.wait(PATIENCE)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as e:
            faults.append("shutdown: %s" % e)

    def check_left(self, faults):
        try:
            wait_until(lambda: not self.left(), patience=3)
        except AssertionError:
            faults.append("left behind: %s" % describe(self.left()))

    def check_log(self, faults):
        text = self.log_text()
        for word in SANITIZER:
            if word in text:
                faults.append("a sanitizer report (%s)" % word)
                break


# What a Python task of a test begins with. SIGTERM is blocked from the first line on: a task that
# has said "up" cannot be hit before it is ready, and term() takes the signal when it comes.
PRELUDE = r"""
import array, json, os, signal, socket, sys, time
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
def say(*lines, fds=None):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    path = os.environ['NOTIFY_SOCKET']
    s.connect('\0' + path[1:] if path[0] == '@' else path)
    extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
    s.sendmsg(['\n'.join(lines).encode()], extra)
    s.close()
def barrier():
    r, w = os.pipe()
    say('BARRIER=1', fds=[w])
    os.close(w)
    assert os.read(r, 1) == b''
    os.close(r)
def out(text):
    sys.stdout.write(str(text) + '\n')
    sys.stdout.flush()
def term(sig=signal.SIGTERM):
    signal.sigwait({sig})
def term_within(seconds):
    return signal.sigtimedwait({signal.SIGTERM}, seconds) is not None
def die(sig=signal.SIGTERM):
    signal.signal(sig, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {sig})
    os.kill(os.getpid(), sig)
    time.sleep(30)
def reason():
    with open(os.environ['TASKCTL_CANCEL_FILE']) as f:
        return json.load(f)
def gate(path):
    with open(path) as f:
        return f.readline()
"""


def py(code):
    """argv of a task that runs this Python code after PRELUDE."""
    lines = code.split("\n")
    while lines and not lines[0].strip():
        lines.pop(0)
    indent = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    code = "\n".join(line[indent:] for line in lines)
    return [sys.executable, "-I", "-S", "-c", PRELUDE + code]


@atexit.register
def _clean_up():
    for daemon in list(alive):
        daemon.cleanup()


def needs(*programs):
    """Skips a test, with the reason, where a program is missing."""
    missing = [p for p in programs if not shutil.which(p)]
    return unittest.skipIf(missing, "not installed: " + ", ".join(missing))


needs_root = unittest.skipUnless(os.geteuid() == 0, "needs root, to become another user")


class Case(unittest.TestCase):
    """One daemon for the class, in self.d; a connection for each test, in self.c."""

    options = {}
    longMessage = True
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.d = Daemon(**cls.options)
        cls.addClassCleanup(cls._stop)

    @classmethod
    def _stop(cls):
        if cls.d is not None and cls.d in alive:
            cls.d.stop()

    def setUp(self):
        self.c = self.d.connect()
        self.addCleanup(self.c.close)

    def conn(self, tcp=False):
        c = self.d.connect(tcp)
        self.addCleanup(c.close)
        return c

    def fifo(self):
        """A path that a task can wait at with gate(), until the test opens it with let()."""
        path = "%s/fifo%d" % (self.d.dir, next(Conn.rids))
        os.mkfifo(path)
        os.chmod(path, 0o666)
        return path

    def let(self, path, text="go"):
        fd = os.open(path, os.O_RDWR)       # open until the end of the test: nothing is lost
        self.addCleanup(os.close, fd)
        os.write(fd, text.encode() + b"\n")

    def has(self, have, want=None, **more):
        """Every member of want is in have, with that value (or a predicate true of it)."""
        want = dict(want or {}, **more)
        wrong = {k: have.get(k, "(missing)") for k, v in want.items()
                 if k not in have or not subset(v, have[k])}
        if wrong:
            self.fail("wanted %r, but it has %r; all of it: %s" % (
                {k: want[k] for k in wrong}, wrong, json.dumps(have)[:3000]))
        return have


class OwnCase(Case):
    """A daemon for each test, in self.d (for tests that end or harm it)."""

    @classmethod
    def setUpClass(cls):
        cls.d = None

    def setUp(self):
        self.d = self.daemon(**self.options)
        self.c = self.conn()

    def daemon(self, **options):
        d = Daemon(**options)
        self.addCleanup(lambda: d.stop() if d in alive else None)
        return d

"""Netcat is a full client, whichever netcat it is. What is not installed is skipped."""
import json
import select
import shutil
import socket
import subprocess

import harness
from harness import needs

START = '{"cmd":"start","argv":["sh","-c","sleep 0.2; exit 3"],"wait":true,"rid":1}\n'
CLOSING = START.replace('"rid"', '"close":true,"rid"')


class Netcat(harness.Case):
    def run_nc(self, argv, text, end=True):
        """Runs a program with text on its stdin; with end=False stdin stays open."""
        p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        self.addCleanup(lambda: (p.poll() is None and p.kill(), p.wait(), p.stdin.close(),
                                 p.stdout.close(), p.stderr.close()))
        p.stdin.write(text.encode())
        p.stdin.flush()
        if end:
            p.stdin.close()
        out = b""
        deadline = harness.now() + harness.PATIENCE
        while True:
            left = deadline - harness.now()
            if left <= 0 or not select.select([p.stdout], [], [], left)[0]:
                self.fail("%s did not end; it said %r" % (" ".join(argv), out))
            got = p.stdout.read1(65536)
            if not got:
                break
            out += got
        return [json.loads(line) for line in out.decode().split("\n") if line]

    def check(self, argv, text=START, end=True):
        replies = self.run_nc(argv, text, end)
        self.assertEqual(len(replies), 1, replies)
        self.has(replies[0], ok=True, rid=1, task=lambda t: t["exit"] == {"code": 3})

    def tcp(self):
        return ["127.0.0.1", str(self.d.port)]

    @needs("nc.openbsd")
    def test_openbsd_N(self):
        self.check(["nc.openbsd", "-N"] + self.tcp())

    @needs("nc.openbsd")
    def test_openbsd_N_unix(self):
        self.check(["nc.openbsd", "-N", "-U", self.d.socket])

    @needs("nc.openbsd")
    def test_openbsd_q0(self):
        """-q0 half-closes at the end of its input and leaves: a quick reply may still be seen."""
        seq = self.c.ok("events")["seq"]
        self.run_nc(["nc.openbsd", "-q0"] + self.tcp(), '{"cmd":"start","argv":["true"],'
                    '"name":"by-q0"}\n')
        c = self.conn()
        c.ok("events", since=seq)
        c.expect(event="task.created", name="by-q0")

    @needs("nc.openbsd")
    def test_openbsd_q_waits(self):
        self.check(["nc.openbsd", "-q5"] + self.tcp(), CLOSING)

    @needs("nc.openbsd")
    def test_openbsd_plain(self):
        self.check(["nc.openbsd"] + self.tcp(), CLOSING)

    @needs("nc.traditional")
    def test_traditional(self):
        self.check(["nc.traditional"] + self.tcp(), CLOSING)
        self.check(["nc.traditional"] + self.tcp(), CLOSING, end=False)

    @needs("nc.traditional")
    def test_traditional_q(self):
        self.check(["nc.traditional", "-q", "5"] + self.tcp(), CLOSING)

    @needs("ncat")
    def test_ncat(self):
        self.check(["ncat"] + self.tcp())
        self.check(["ncat"] + self.tcp(), CLOSING, end=False)

    @needs("ncat")
    def test_ncat_unix(self):
        self.check(["ncat", "-U", self.d.socket])

    @needs("ncat")
    def test_ncat_crlf(self):
        self.check(["ncat", "-C"] + self.tcp())

    @needs("socat")
    def test_socat(self):
        self.check(["socat", "-t60", "-", "TCP:127.0.0.1:%d" % self.d.port])
        self.check(["socat", "-t60", "-", "TCP:127.0.0.1:%d" % self.d.port], CLOSING)

    @needs("socat")
    def test_socat_unix(self):
        self.check(["socat", "-t60", "-", "UNIX-CONNECT:" + self.d.socket])

    @needs("busybox")
    def test_busybox(self):
        if subprocess.run(["busybox", "nc"], capture_output=True).returncode == 127:
            self.skipTest("this busybox has no nc")
        self.check(["busybox", "nc"] + self.tcp(), CLOSING)
        self.check(["busybox", "nc"] + self.tcp(), CLOSING, end=False)

    @needs("bash")
    def test_bash(self):
        self.check(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/%d; read -r line; "
                    "printf '%%s\\n' \"$line\" >&3; read -r reply <&3; printf '%%s\\n' \"$reply\""
                    % self.d.port])
        self.check(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/%d; cat >&3; cat <&3"
                    % self.d.port], CLOSING)

    @needs("curl")
    def test_curl_is_turned_away(self):
        p = subprocess.run(["curl", "-s", "-m", "5", "-d", START,
                            "http://127.0.0.1:%d/" % self.d.port], capture_output=True)
        self.assertNotEqual(p.returncode, 0)
        self.assertEqual(p.stdout, b"")

    def test_several_lines_at_once(self):
        tool = next((t for t in (["nc.openbsd", "-N"], ["ncat"], ["socat"]) if
                     shutil.which(t[0])), None)
        if not tool or tool[0] == "socat":
            self.skipTest("no netcat that half-closes")
        replies = self.run_nc(tool + self.tcp(), '{"cmd":"hello"}\n{"cmd":"bogus"}\n' + START)
        self.assertEqual([r["ok"] for r in replies], [True, False, True])

    def test_following_output(self):
        """What one would do in a terminal: start, follow, done."""
        id = self.c.sh("for i in 1 2 3; do echo $i; sleep 0.1; done")
        with socket.create_connection(("127.0.0.1", self.d.port)) as s:
            s.settimeout(harness.PATIENCE)
            s.sendall(b'{"cmd":"logs","id":%d,"follow":true,"close":true}\n' % id)
            lines = [json.loads(line) for line in s.makefile()]
        self.assertEqual("".join(e["data"] for e in lines[:-1]), "1\n2\n3\n")
        self.has(lines[-1], ok=True, eof=True)

"""README.md holds: its marked blocks are run in one shell, in their order, and print what it says.

A block of sh after the line <!-- test --> is run; a block of text after <!-- prints --> is what the
block before it prints, stdout and stderr together. Times and durations may differ, and so may how
many processes a leader left behind (they get the signal, too, and some are quicker than it). "…" stands
for anything within a line, or alone for any number of lines. Task ids are exact.
"""
import os
import re
import shutil
import socket
import subprocess
import unittest

import harness

BLOCK = re.compile(r"^<!-- (test|prints) -->\n```\w+\n(.*?)^```$", re.M | re.S)
SHARED = ("Makefile", "daemon", "client", "include", "tests", "examples")
LOOSE = re.compile(
    r"(?P<any>…)|(?P<stamp>\d{4}-\d\d-\d\dT[\d:.]+Z?|\b\d\d:\d\d:\d\d\b)"
    r"|(?P<span>\b\d+(?:\.\d+)?(?:ms|[dhms])\b(?:\d+(?:ms|[hms])\b)*)")
LIKE = {"any": r".*", "stamp": r"[\d:.TZ-]+", "span": r"\d[\dhms.]*"}
LEFT_BEHIND = re.compile(r" \d+ process(?:es)? ended,|; \d+ process(?:es)? ended$", re.M)


def blocks(text):
    """[(commands, what they print or None, line number)]."""
    found = []
    for m in BLOCK.finditer(text):
        if m.group(1) == "test":
            found.append([m.group(2), None, text.count("\n", 0, m.start()) + 3])
        else:
            found[-1][1] = m.group(2)
    return found


def line_pattern(line):
    out, at = "", 0
    for m in LOOSE.finditer(line):
        out += re.escape(line[at:m.start()]) + LIKE[m.lastgroup]
        at = m.end()
    # columns are as wide as what is in them
    return re.sub(r"(?:\\ ){2,}", " +", out + re.escape(line[at:])) + r"\n"


def matches(want, got):
    return re.fullmatch(pattern(LEFT_BEHIND.sub("", want)), LEFT_BEHIND.sub("", got))


def pattern(text):
    return "".join(r"(?:.*\n)*?" if line == "…" else line_pattern(line)
                   for line in text.splitlines())


class Shell:
    """One shell that runs block after block, as somebody who pastes them."""

    def __init__(self, cwd, env):
        self.process = subprocess.Popen(["sh"], cwd=cwd, env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        preexec_fn=harness._die_with_parent)
        self.file = os.path.join(cwd, "block.sh")

    def run(self, commands, patience):
        with open(self.file, "w") as f:
            f.write(commands)
        self.process.stdin.write(b". ./block.sh </dev/null\necho \"=end=\"\n")
        self.process.stdin.flush()
        return self._until_end(harness.now() + patience)

    def _until_end(self, deadline):
        out = b""
        while not out.endswith(b"=end=\n"):
            left = deadline - harness.now()
            if left <= 0 or not harness.select.select([self.process.stdout], [], [], left)[0]:
                raise AssertionError("the block did not end; so far:\n" + out.decode())
            got = os.read(self.process.stdout.fileno(), 65536)
            if not got:
                raise AssertionError("the shell ended; so far:\n" + out.decode())
            out += got
        return out[:-len(b"=end=\n")].decode("utf-8", "replace")

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(harness.PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Readme(unittest.TestCase):
    def setUp(self):
        with open(os.path.join(harness.ROOT, "README.md")) as f:
            self.blocks = blocks(f.read())
        self.d = harness.Daemon(start=False)
        self.addCleanup(self.d.cleanup)
        self.dir = os.path.join(self.d.dir, "taskctl")
        self.port = self.free_port()
        self.make_tree()

    @staticmethod
    def free_port():
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]

    def make_tree(self):
        """A directory like ours, whose build/ has our programs and a taskctld that keeps to itself."""
        os.makedirs(os.path.join(self.dir, "build"))
        os.mkdir(os.path.join(self.dir, "bin"))
        for name in SHARED:
            os.symlink(os.path.join(harness.ROOT, name), os.path.join(self.dir, name))
        os.symlink(os.path.join(harness.build_dir(), "taskctl"),
                   os.path.join(self.dir, "build", "taskctl"))
        self.d.listen = ("127.0.0.1:%d" % self.port,)
        self.program("build/taskctld", 'exec "%s" "$@"' % '" "'.join(self.d.command()))
        # what was built is what is tested; a build of other names is a real one
        self.program("bin/make", 'test $# = 0 || exec "%s" "$@"' % shutil.which("make"))

    def program(self, name, line):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write("#!/bin/sh\n" + line + "\n")
        os.chmod(path, 0o755)

    def environment(self):
        env = self.d.environment()
        env.update(HOME=self.d.dir, LC_ALL="C.UTF-8",
                   PATH=os.path.join(self.dir, "bin") + ":" + env.get("PATH", "/usr/bin:/bin"))
        for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "NO_COLOR"):
            env.pop(name, None)
        return env

    def fit(self, commands):
        """Our port in place of the usual one; a loaded machine gets more time."""
        commands = re.sub(r"\b127\.0\.0\.1([ :])8275\b", r"127.0.0.1\g<1>%d" % self.port, commands)
        return re.sub(r"\bsleep 1$", "sleep %g" % (1 * min(harness.SLOW, 3)), commands,
                      flags=re.M)

    def test_the_tour(self):
        self.assertGreater(len(self.blocks), 5, "README.md has no marked blocks")
        missing = [p for p in ("nc", "cc", "make", "tar", "gzip") if not shutil.which(p)]
        if missing:
            self.skipTest("not installed: " + ", ".join(missing))
        if "-N" not in subprocess.run(["nc", "-h"], capture_output=True, text=True).stderr:
            self.skipTest("nc is not OpenBSD's: it has no -N")
        shell = Shell(self.dir, self.environment())
        self.addCleanup(shell.close)
        for commands, prints, line in self.blocks:
            with self.subTest(line=line):
                try:
                    got = shell.run(self.fit(commands), 4 * harness.PATIENCE)
                except AssertionError as e:
                    self.fail("README.md:%d: %s\nlog: %s" % (line, e, self.log()))
                if prints is not None and not matches(prints, got):
                    self.fail("README.md:%d says\n%s\nbut this came:\n%s\nlog: %s" % (
                        line, prints, got, self.log()))
        harness.wait_until(lambda: not [p for p in self.d.left() if p != shell.process.pid],
                           what="the end of everything that the README started")

    def log(self):
        try:
            return harness.read_file(os.path.join(self.dir, "build", "try", "log"))
        except OSError:
            return "(none)"


class Links(unittest.TestCase):
    def test_what_the_readme_points_to_exists(self):
        for name in ("README.md", "include/protocol.md", "examples/README.md"):
            path = os.path.join(harness.ROOT, name)
            for target in re.findall(r"\]\(([^)#]+)\)", harness.read_file(path)):
                with self.subTest(file=name, target=target):
                    self.assertTrue(os.path.exists(os.path.join(os.path.dirname(path), target)),
                                    "%s points to %s, which is not there" % (name, target))

    def test_sections_that_the_protocol_points_to_exist(self):
        text = harness.read_file(os.path.join(harness.ROOT, "include", "protocol.md"))
        heads = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-")
                 for h in re.findall(r"^#+ (.*)$", text, re.M)}
        for target in re.findall(r"\]\(#([^)]+)\)", text):
            with self.subTest(target=target):
                self.assertIn(target, heads)


if __name__ == "__main__":
    unittest.main()

"""make install: everything is where it belongs, and works from there (issue: DESTDIR and PREFIX)."""
import glob
import os
import subprocess
import tempfile
import unittest

import harness


class Install(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="tctl-install-")
        self.addCleanup(self.dir.cleanup)
        self.root = self.dir.name + "/root"
        self.make("install")

    def make(self, target):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
        subprocess.run(["make", "-s", "-C", harness.ROOT, target, "DESTDIR=" + self.root,
                        "PREFIX=/usr"], check=True, env=environment, stdin=subprocess.DEVNULL)

    def files(self):
        return [p for p in glob.glob(self.root + "/**", recursive=True) if os.path.isfile(p)]

    def test_the_installed_daemon_runs_a_task(self):
        daemon = harness.Daemon(build=self.root + "/usr/sbin")
        try:
            c = daemon.connect()
            task = c.ok("start", argv=["true"], wait=True)["task"]
            self.assertEqual(task["state"], "done")
            shown = subprocess.run([self.root + "/usr/bin/taskctl", "-H", "unix:" + daemon.socket,
                                    "show", str(task["id"])], capture_output=True, text=True)
            self.assertEqual(shown.returncode, 0, shown.stderr)
            self.assertIn("done", shown.stdout)
        finally:
            daemon.stop()

    def test_units_name_what_is_installed(self):
        units = [p for p in self.files() if "/systemd/" in p]
        self.assertGreaterEqual(len(units), 6)
        for path in units:
            with open(path) as f:
                text = f.read()
            self.assertNotRegex(text, "@[A-Z]+@", path)
            for line in text.splitlines():
                if line.startswith(("ExecStart=", "ExecStop=")):
                    program = line.split("=", 1)[1].split()[0]
                    self.assertTrue(os.access(self.root + program, os.X_OK), line)

    def test_uninstall_leaves_nothing(self):
        self.make("uninstall")
        self.assertEqual(self.files(), [])

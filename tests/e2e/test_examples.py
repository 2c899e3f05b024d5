"""The programs of examples/, as a user would run them: the worker in three languages, and the job
that saves its state."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import ROOT, Daemon, build_dir

EXAMPLES = os.path.join(ROOT, "examples")


class Examples(unittest.TestCase):
    """A daemon and a scratch directory for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.tmp = tempfile.mkdtemp(prefix="tctl-ex-")
        cls.addClassCleanup(shutil.rmtree, cls.tmp, ignore_errors=True)
        cls.d = Daemon()
        cls.addClassCleanup(cls.d.stop)

    def setUp(self):
        self.c = self.d.connect()
        self.addCleanup(self.c.close)

    def path(self, name):
        return os.path.join(self.tmp, name)

    def start(self, argv, **members):
        """The examples use taskctl as an installed program: it is in their PATH."""
        path = build_dir() + ":" + os.environ.get("PATH", "/usr/bin:/bin")
        return self.c.ok("start", argv=argv, cwd=self.tmp, env={"PATH": path}, **members)["id"]

    def cancel(self, id, **members):
        return self.c.ok("cancel", id=id, wait=True, **members)

    def output(self, id):
        return self.c.output(id).splitlines()


class Worker:
    """Every test of this runs in each language; argv(mode, file) is the program's command line."""

    def begin(self, mode, **members):
        self.file = self.path("%s-%s.out" % (self.language, self.id().rsplit(".", 1)[1]))
        id = self.start(self.argv() + [mode, self.file], **members)
        self.c.said(id, "working")
        return id

    def clean(self, id, why):
        """It was told why, and its cleanup had ended before its task did."""
        self.assertEqual(self.output(id)[:4],
                         ["working", "cancelled: " + why, "cleaning up", "clean"])
        self.assertFalse(os.path.exists(self.file + ".part"))
        self.assertFalse(os.path.exists(self.file))

    def test_catches_the_cancel_and_returns(self):
        id = self.begin("return")
        waiter = self.c.sibling()
        self.addCleanup(waiter.close)
        rid = waiter.ask("wait", id=id)
        r = self.cancel(id, msg="no longer needed")
        self.assertEqual((r["accepted"], r["effect"]), (True, "delivered"))
        got = waiter.reply(rid)
        self.assertEqual((got["result"], got["of"]), ("done", "task"))
        task = got["task"]
        self.assertEqual((task["state"], task["result"]), ("done", "Canceled"))
        self.assertEqual(task["exit"], {"code": 0})
        self.assertIs(task["cancel"]["absorbed"], True)
        self.assertEqual(task["cancel"]["msg"], "no longer needed")
        self.clean(id, "no longer needed")

    def test_cleans_up_and_passes_the_cancel_on(self):
        id = self.begin("reraise")
        task = self.cancel(id, msg="superseded by 42")["task"]
        self.assertEqual((task["state"], task["cancel"]["msg"]), ("cancelled", "superseded by 42"))
        self.assertEqual(task["exit"]["signal"], "SIGTERM")
        self.assertFalse(task["forced"])
        self.assertFalse(task["cancel"]["absorbed"])
        self.clean(id, "superseded by 42")

    def test_without_a_message(self):
        id = self.begin("return")
        self.assertEqual(self.cancel(id)["task"]["result"], "Canceled")
        self.clean(id, "no reason given")

    def test_ignores_the_cancel_and_is_killed_after_its_grace(self):
        self.c.watch()
        id = self.begin("ignore", grace=0.6)
        rid = self.c.ask("cancel", id=id, msg="stop", wait=True)
        self.c.said(id, "going on")
        self.c.expect(event="task.killed", id=id)
        task = self.c.reply(rid)["task"]
        self.assertEqual((task["state"], task["forced"]), ("cancelled", True))
        self.assertEqual(task["exit"]["signal"], "SIGKILL")
        self.assertEqual(task["cancel"]["msg"], "stop")

    def test_times_out_after_its_cleanup(self):
        id = self.begin("reraise", timeout=2.5)
        task = self.c.ended(id)
        self.assertEqual((task["state"], task["expired"]), ("timed_out", True))
        self.assertFalse(task["forced"])
        self.clean(id, "no reason given")

    def test_returns_although_its_time_is_over(self):
        id = self.begin("return", timeout=2.5)
        task = self.c.ended(id)
        self.assertEqual((task["state"], task["result"]), ("done", "Canceled"))
        self.assertIs(task["expired"], True)
        self.clean(id, "no reason given")

    def test_finishes_when_it_is_left_alone(self):
        id = self.begin("return")
        task = self.c.ended(id, 30)
        self.assertEqual((task["state"], task["result"]), ("done", "finished"))
        self.assertIsNone(task["cancel"])
        self.assertFalse(os.path.exists(self.file + ".part"))
        with open(self.file) as f:
            self.assertEqual(len(f.read().split()), 50)


class TestWorkerInShell(Worker, Examples):
    language = "sh"

    def argv(self):
        return [os.path.join(EXAMPLES, "worker.sh")]


class TestWorkerInC(Worker, Examples):
    language = "c"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = os.path.join(cls.tmp, "worker")
        subprocess.run([os.environ.get("CC", "cc"), "-Wall", "-Wextra", "-Werror", "-o",
                        cls.program, os.path.join(EXAMPLES, "worker.c")], check=True)

    def argv(self):
        return [self.program]


class TestWorkerInPython(Worker, Examples):
    language = "py"

    def argv(self):
        return [os.path.join(EXAMPLES, "worker.py")]


class TestSaveState(Examples):
    def state(self):
        with open(self.path("job.state")) as f:
            return dict(line.split("=", 1) for line in f.read().splitlines())

    def job(self, **members):
        return self.start([os.path.join(EXAMPLES, "save-state.sh"), self.path("job.state"), "25"],
                          **members)

    def interrupted(self, id, item, why):
        self.c.said(id, "item %d\n" % item)
        task = self.cancel(id, msg=why)["task"]
        self.assertEqual((task["state"], task["cancel"]["msg"]), ("cancelled", why))
        state = self.state()
        self.assertEqual(state["reason"], why)
        return int(state["next"])

    def test_saves_and_goes_on(self):
        # the signal goes to the whole tree, the work in progress included: that item is not done
        first = self.interrupted(self.job(), 3, "the disk is needed")
        self.assertGreaterEqual(first, 3)
        # and to the shell alone: the work in progress is waited for
        again = self.job(signal_to="leader")
        second = self.interrupted(again, first + 2, "once more: it's \"$HOME\" & all")
        self.assertGreaterEqual(second, first + 2)
        self.assertEqual(self.output(again)[0], "going on with %d" % first)
        last = self.job()
        self.assertEqual(self.c.ended(last)["state"], "done")
        done = [int(n) for n in re.findall(r"^item (\d+)$", self.c.output(last), re.M)]
        self.assertEqual(done, list(range(second, 26)))
        self.assertFalse(os.path.exists(self.path("job.state")))


if __name__ == "__main__":
    unittest.main()

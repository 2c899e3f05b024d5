#!/usr/bin/env python3
"""Runs the end-to-end tests: python3 tests/e2e/run.py [-j JOBS] [--list] [PATTERN]...

Every test class of tests/e2e/test_*.py runs in a process of its own. A PATTERN is a part of
module.Class.test, or a shell pattern for it. TASKCTL_BUILD names the build directory (default
build). Prints failures with the daemon's log, the reasons of what was skipped, and at last
"N passed, M failed". Exits with 1 if anything failed or nothing ran. Up to four failures are run
once more, alone, and said to have been; TASKCTL_E2E_ONCE=1 turns that off.
"""
import argparse
import fnmatch
import glob
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True
REPEAT_MAX = 4      # failures; more are no accident
CLASS_LIMIT = 150 * float(os.environ.get("TASKCTL_E2E_SLOW", "1"))


def matches(name, patterns):
    return not patterns or any(p in name or fnmatch.fnmatchcase(name, p) for p in patterns)


def find(patterns):
    """{(module, class): [test names]} of what the patterns select."""
    found = {}
    for path in sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        module = importlib.import_module(os.path.basename(path)[:-3])
        for name, cls in vars(module).items():
            if not (isinstance(cls, type) and issubclass(cls, unittest.TestCase)):
                continue
            if cls.__module__ != module.__name__:
                continue
            tests = [t for t in unittest.defaultTestLoader.getTestCaseNames(cls)
                     if matches("%s.%s.%s" % (module.__name__, name, t), patterns)]
            if tests:
                found[(module.__name__, name)] = tests
    return found


class Report(unittest.TestResult):
    """Writes one JSON line a test into a file that the parent reads."""

    def __init__(self, out):
        super().__init__()
        self.out = out
        self.begun = time.monotonic()

    def tell(self, test, outcome, text=""):
        import harness
        if outcome == "failed" and "--- the daemon's log" not in text:
            for daemon in harness.alive:
                text += "--- the daemon's log\n" + daemon.log_text()[-8000:]
        self.out.write(json.dumps({"test": str(test), "outcome": outcome, "text": text,
                                   "time": time.monotonic() - self.begun}) + "\n")
        self.out.flush()

    def startTest(self, test):
        super().startTest(test)
        self.begun = time.monotonic()
        self.out.write(json.dumps({"test": str(test), "outcome": "begun"}) + "\n")
        self.out.flush()

    def addSuccess(self, test):
        self.tell(test, "passed")

    def addFailure(self, test, err):
        self.tell(test, "failed", self._exc_info_to_string(err, test))

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.tell(subtest, "failed", self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        self.tell(test, "skipped", reason)


def run_class(name, tests, out):
    """In the child: runs the tests of one class."""
    module, cls = name.split(":")
    cls = getattr(importlib.import_module(module), cls)
    # An end by signal still runs atexit, and with it the clean-up of daemons.
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(1))
    with open(out, "a") as f:
        unittest.TestSuite(cls(t) for t in tests).run(Report(f))


class Job:
    def __init__(self, key, tests, directory):
        self.key = key
        self.tests = tests
        self.out = os.path.join(directory, "%s.%s" % key)
        open(self.out, "w").close()
        self.stdout = open(self.out + ".stdout", "w+b")
        self.begun = time.monotonic()
        self.late = 0
        self.process = subprocess.Popen(
            [sys.executable, "-B", os.path.abspath(__file__), "--class", "%s:%s" % key,
             "--out", self.out] + tests, stdin=subprocess.DEVNULL, stdout=self.stdout,
            stderr=subprocess.STDOUT)

    def over(self):
        if self.process.poll() is not None:
            return True
        age = time.monotonic() - self.begun
        if age > CLASS_LIMIT and self.late == 0:
            self.late = 1
            self.process.terminate()
        elif age > CLASS_LIMIT + 20 and self.late == 1:
            self.late = 2
            self.process.kill()
        return False

    def results(self):
        rows = [json.loads(line) for line in open(self.out) if line.endswith("\n")]
        results = [r for r in rows if r["outcome"] != "begun"]
        seen = {r["test"] for r in results}
        for row in rows:
            if row["outcome"] == "begun" and not any(
                    s.startswith(row["test"]) for s in seen):
                results.append({"test": row["test"], "outcome": "failed", "time": 0, "text":
                                "did not end" + (" in time" if self.late else "") + "\n"
                                + self.said()})
        if not rows or (self.process.returncode and not any(
                r["outcome"] == "failed" for r in results)):
            results.append({"test": "%s.%s" % self.key, "outcome": "failed", "time": 0,
                            "text": "exit %s\n" % self.process.returncode + self.said()})
        return results

    def said(self):
        self.stdout.seek(0)
        return self.stdout.read().decode("utf-8", "replace")[-8000:]


def run_all(found, jobs):
    """Runs everything, yields the results."""
    todo = sorted(found.items(), key=lambda kv: -len(kv[1]))
    running = []
    with tempfile.TemporaryDirectory(prefix="tctl-run-") as directory:
        try:
            while todo or running:
                while todo and len(running) < jobs:
                    running.append(Job(*todo.pop(0), directory))
                for job in [j for j in running if j.over()]:
                    running.remove(job)
                    yield job, job.results()
                time.sleep(0.02)
        finally:
            for job in running:
                job.process.terminate()
            for job in running:
                job.process.wait()


def repeat(failed, count):
    """
    A few failures on a machine that is busy with the other tests may be its fault: each is run once
    more, alone. What passes then is said, and counts as passed; what fails twice has failed.
    """
    again = {}
    for key, test in failed:
        method = test.split(" ")[0]
        if not method.startswith("test_"):
            return                          # the class itself did not run
        again.setdefault(key, set()).add(method)
    for key, methods in again.items():
        for unused, results in run_all({key: sorted(methods)}, 1):
            for r in results:
                print("REPEATED %s: %s" % (r["test"], r["outcome"]))
            if all(r["outcome"] == "passed" for r in results):
                mine = [test for k, test in failed if k == key]
                count["failed"] -= len(mine)
                count["passed"] += len(methods)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-j", type=int, default=os.cpu_count() or 1, metavar="JOBS")
    parser.add_argument("--list", action="store_true", help="only say which tests there are")
    parser.add_argument("--times", action="store_true", help="say which tests took longest")
    parser.add_argument("--class", dest="cls", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    parser.add_argument("pattern", nargs="*")
    args = parser.parse_args()
    if args.cls:
        run_class(args.cls, args.pattern, args.out)
        return 0
    found = find(args.pattern)
    if args.list:
        for key, tests in found.items():
            print("\n".join("%s.%s.%s" % (key + (t,)) for t in tests))
        return 0
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(1))
    count = {"passed": 0, "failed": 0, "skipped": 0}
    skipped, times, failed = [], [], []
    for job, results in run_all(found, args.j):
        for r in results:
            count[r["outcome"]] += 1
            times.append((r["time"], r["test"]))
            if r["outcome"] == "failed":
                failed.append((job.key, r["test"]))
                print("FAILED %s\n%s" % (r["test"], r["text"]))
            elif r["outcome"] == "skipped":
                skipped.append("skipped %s: %s" % (r["test"], r["text"]))
        print("%s.%s: %d tests, %.1f s" % (job.key + (len(results),
              time.monotonic() - job.begun)), flush=True)
    if 0 < len(failed) <= REPEAT_MAX and "TASKCTL_E2E_ONCE" not in os.environ:
        repeat(failed, count)
    if args.times:
        print("\n".join("%6.2f s  %s" % t for t in sorted(times, reverse=True)[:25]))
    for line in skipped:
        print(line)
    print("%d passed, %d failed" % (count["passed"], count["failed"])
          + (", %d skipped" % count["skipped"] if count["skipped"] else ""))
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())

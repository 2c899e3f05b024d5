#!/usr/bin/env python3
"""Runs the tests: python3 tests/run.py [--build DIR] [unit|e2e|scenarios|lint]...

  unit        DIR/tests/check_*, several at a time
  e2e         tests/e2e/run.py
  scenarios   tests/scenarios/replay.py, alone: it is about time
  lint        tests/lint.py

Default: all of them. The last line is "N passed, M failed[, K skipped]", the sum. Exits with 1 if
anything failed or nothing ran. Python 3.9 or newer, standard library only."""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = re.compile(r"^skipped: .*$", re.M)
LIBCHECK = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)$", re.M)
COUNT = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)
UNIT_LIMIT_S = 120
SUITE_LIMIT_S = 900
children = set()        # what runs now, for the end by a signal
lock = threading.Lock()
stopping = False


def run(argv, limit, env, show=None):
    """(exit status or None where time ran out, output). Nothing of its group is left behind."""
    with lock:
        if stopping:
            return None, "not started: the run was ended by a signal\n"
        p = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, start_new_session=True)
        children.add(p)
    late, out = threading.Event(), []
    timer = threading.Timer(limit, lambda: (late.set(), end(p)))
    timer.start()
    for line in p.stdout:
        out.append(line.decode("utf-8", "replace"))
        if show:
            show(out[-1])
    rc = p.wait()
    timer.cancel()
    with lock:
        children.discard(p)
    signal_group(p, signal.SIGKILL)     # members of its group that outlived it
    return (None if late.is_set() else rc), "".join(out)


def signal_group(p, signo):
    try:
        os.killpg(p.pid, signo)
    except ProcessLookupError:
        pass


def end(p):
    """SIGTERM first: the suites end their daemons then."""
    signal_group(p, signal.SIGTERM)
    try:
        p.wait(20)
    except subprocess.TimeoutExpired:
        signal_group(p, signal.SIGKILL)


def on_signal(signo, scratch):
    global stopping
    stopping = True
    for p in list(children):
        end(p)
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(128 + signo)


class Total:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, passed, failed, skipped=0):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped

    def __str__(self):
        return "%d passed, %d failed" % (self.passed, self.failed) + (
            ", %d skipped" % self.skipped if self.skipped else "")


def unit(build, env, total):
    """Each program says "100%: Checks: 12, Failures: 0, Errors: 0", and "skipped: " with the reason
    for a test that passed because it could do nothing."""
    programs = sorted(p for p in (build / "tests").glob("check_*") if not p.suffix)
    if not programs:
        print("FAILED unit: there is no check_* in %s/tests; make builds them" % build)
        total.add(0, 1)
    mine = Total()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = {pool.submit(run, [str(p)], UNIT_LIMIT_S * slowness(build), env): p
                for p in programs}
        for job in concurrent.futures.as_completed(jobs):
            name, (rc, out) = jobs[job].name, job.result()
            found = LIBCHECK.search(out)
            checks, bad = (int(found[1]), int(found[2]) + int(found[3])) if found else (0, 0)
            if rc != 0 and bad == 0:
                bad, checks = 1, checks + 1
            if bad or not checks:
                print("FAILED %s (%s)\n%s" % (name, outcome(rc), out), flush=True)
            skips = SKIPPED.findall(out)
            for reason in skips:
                print("%s: %s" % (name, reason), flush=True)
            mine.add(max(0, checks - bad - len(skips)), bad if checks else 1, len(skips))
    print("unit: %d programs, %s" % (len(programs), mine), flush=True)
    total.add(mine.passed, mine.failed, mine.skipped)


def outcome(rc):
    return "time ran out" if rc is None else "signal %d" % -rc if rc < 0 else "exit %d" % rc


def suite(name, argv, build, env, total):
    """A program that says "N passed, M failed[, K skipped]" as its last line. The rest of what it
    says is shown as it comes."""
    def show(line):
        if not COUNT.match(line):
            sys.stdout.write(line)
            sys.stdout.flush()

    rc, out = run([sys.executable, "-B"] + argv, SUITE_LIMIT_S * slowness(build), env, show)
    counts = COUNT.findall(out)
    passed, failed, skipped = (int(n or 0) for n in counts[-1]) if counts else (0, 0, 0)
    if not failed and (rc != 0 or not counts):
        print("FAILED %s (%s), which counted no failure" % (name, outcome(rc)))
        failed = 1
    mine = Total()
    mine.add(passed, failed, skipped)
    print("%s: %s" % (name, mine), flush=True)
    total.add(passed, failed, skipped)


def slowness(build):
    """How much more patience is needed: sanitizers, valgrind."""
    return 3 if re.search("address|thread|undefined", build.name) else 1


def environment(build, scratch):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("TASKCTL_", "LISTEN_", "WATCHDOG_")) and k != "NOTIFY_SOCKET"}
    slow = slowness(build)
    env.update(TASKCTL_BUILD=str(build), TMPDIR=scratch, PYTHONDONTWRITEBYTECODE="1",
               TASKCTL_E2E_SLOW=os.environ.get("TASKCTL_E2E_SLOW", str(slow)),
               UBSAN_OPTIONS=env.get("UBSAN_OPTIONS", "print_stacktrace=1"))
    env.setdefault("CK_TIMEOUT_MULTIPLIER", str(2 * slow))
    return env


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build", metavar="DIR")
    parser.add_argument("suites", nargs="*", metavar="unit|e2e|scenarios|lint")
    args = parser.parse_args()
    known = {
        "unit": unit,
        "e2e": [str(HERE / "e2e" / "run.py")],
        "scenarios": [str(HERE / "scenarios" / "replay.py")],
        "lint": [str(HERE / "lint.py")],
    }
    for name in args.suites:
        if name not in known:
            parser.error("there is no %s; there are %s" % (name, ", ".join(known)))
    build = (HERE.parent / args.build).resolve()
    total = Total()
    with tempfile.TemporaryDirectory(prefix="tctl.") as scratch:
        for signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signo, lambda n, frame: on_signal(n, scratch))
        os.chmod(scratch, 0o755)        # some tests become another user
        env = environment(build, scratch)
        for name in args.suites or known:
            begun = time.monotonic()
            if name == "unit":
                unit(build, env, total)
            else:
                suite(name, known[name], build, env, total)
            print("%s took %.0f s\n" % (name, time.monotonic() - begun), flush=True)
    print(total)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())

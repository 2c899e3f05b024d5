#!/usr/bin/env python3
"""Runs the benchmarks: each beside its limit, in turns, and prints how the two compare.

    make bench                    everything, 5 rounds
    tests/bench/run.py starts     one section (see SECTIONS below); several may be named
    tests/bench/run.py -r 9 -q    9 rounds; -q: a tenth of the work, to try things out

A rate is better the higher it is, a time (in microseconds, milliseconds, seconds) the lower. The
last columns say what is aimed at and whether the median reaches it. On a machine that does other
work at the same time the figures themselves mean little, the ratios still something.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("TASKCTL_BUILD", "build"))
BENCH = os.path.join(BUILD, "tests", "bench")


def tool(name):
    return os.path.join(BENCH, name)


def output_of(args, env=None, timeout=600):
    """The JSON object that one of the benchmark programs prints."""
    done = subprocess.run(args, stdout=subprocess.PIPE, env=env, timeout=timeout, check=True)
    return json.loads(done.stdout)


class Daemon:
    """A taskctld of our own with directories of its own, the state on disk, the runtime directory
    in memory: as /var/lib and /run are."""

    def __init__(self):
        self.state = tempfile.mkdtemp(prefix="bench-", dir=BUILD)
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.runtime = tempfile.mkdtemp(prefix="taskctl-bench-", dir=memory)
        self.socket = os.path.join(self.runtime, "s")
        self.map = os.path.join(self.runtime, "map")
        self.log = open(os.path.join(self.state, "log"), "ab")
        self.env = dict(os.environ, TASKCTL_HOST="unix:" + self.socket)
        self.process, self.stopped = None, False
        self.start()

    def start(self):
        """Starts taskctld; returns the seconds until it answers a question about its tasks."""
        begin = time.monotonic()
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "taskctld"), "--no-tcp", "--socket", self.socket, "--state-dir",
             os.path.join(self.state, "state"), "--runtime-dir", self.runtime],
            stdin=subprocess.DEVNULL, stderr=self.log)
        while True:
            try:
                with Connection(self.socket) as conn:
                    conn.ask(cmd="list", limit=1)
                return time.monotonic() - begin
            except (FileNotFoundError, ConnectionError):
                if self.process.poll() is not None or time.monotonic() > begin + 30:
                    sys.exit("taskctld did not start; see " + self.log.name)
                time.sleep(0.002)

    def crash(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM: it cancels all tasks, and is gone when they are."""
        self.process.terminate()
        self.process.wait(timeout=120)
        self.stopped = True

    def remove(self):
        if self.process.poll() is not None and not self.stopped:
            self.start()  # it died, its tasks did not
        if not self.stopped:
            self.stop()
        self.log.close()
        shutil.rmtree(self.state, ignore_errors=True)
        shutil.rmtree(self.runtime, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            with open(self.log.name, encoding="utf-8", errors="replace") as log:
                sys.stderr.write("the end of taskctld's log:\n" + log.read()[-2000:])
        self.remove()


class Connection:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.file.close()
        self.sock.close()

    def send(self, **request):
        self.sock.sendall(json.dumps(request).encode() + b"\n")

    def line(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError("closed")
        return line

    def ask(self, **request):
        self.send(**request)
        reply = json.loads(self.line())
        if reply.get("ok") is not True:
            sys.exit(f"{request} was answered {reply}")
        return reply

    def start_sleepers(self, count):
        """Starts so many tasks that sleep; returns their ids when all of them run."""
        ids = []
        for _ in range(count // 100):
            for _ in range(100):
                self.send(cmd="start", argv=["sleep", "1000000"])
            for _ in range(100):
                reply = json.loads(self.line())
                if not reply.get("ok"):
                    sys.exit(f"start was answered {reply}")
                ids.append(reply["id"])
        end = time.monotonic() + 60
        for task in ids:
            while self.ask(cmd="show", id=task)["task"]["state"] != "running":
                if time.monotonic() > end:
                    sys.exit(f"task {task} does not run after 60 s")
                time.sleep(0.01)
        return ids


class Server:
    """One of the small servers that stand for the limit."""

    def __init__(self, *args):
        self.process = subprocess.Popen(args)
        end = time.monotonic() + 5
        while not self.answers(args[1]):
            if time.monotonic() > end:
                sys.exit(args[0] + " did not start")
            time.sleep(0.01)

    @staticmethod
    def answers(path):
        try:
            with Connection(path):
                return True
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.process.kill()
        self.process.wait()


class Table:
    """Collects the rows and prints each when it is there."""

    FORMAT = "{:<54} {:>9} {:>9}  {:>6} {:<15} {:<8} {}"

    def __init__(self):
        self.rows = []
        self.print("", "ours", "limit", "ratio", "[min..max]", "aim", "")

    def print(self, *cells):
        print(self.FORMAT.format(*cells).rstrip(), flush=True)

    def compare(self, name, unit, ours, limit, aim, higher):
        """Rows of a pair; ours and limit are lists, one value a round. aim: of the ratio."""
        ratios = [a / b for a, b in zip(ours, limit)]
        ratio = statistics.median(ratios)
        good = aim is None or (ratio >= aim if higher else ratio <= aim)
        self.print(f"{name}, {unit}", number(statistics.median(ours)),
                   number(statistics.median(limit)), f"{ratio:.2f}",
                   f"[{min(ratios):.2f}..{max(ratios):.2f}]",
                   "" if aim is None else (">= " if higher else "<= ") + f"{aim:g}",
                   "" if aim is None else "ok" if good else "MISSED")
        self.rows.append({"name": name, "unit": unit, "ours": ours, "limit": limit,
                          "ratio": ratio, "aim": aim, "good": good})

    def value(self, name, unit, values, aim=None):
        """A figure that stands alone, lower is better."""
        value = statistics.median(values)
        good = aim is None or value <= aim
        spread = f"[{number(min(values))}..{number(max(values))}]" if len(values) > 1 else ""
        self.print(f"{name}, {unit}", number(value), "", "", spread,
                   "" if aim is None else f"<= {aim:g}", "" if aim is None else
                   "ok" if good else "MISSED")
        self.rows.append({"name": name, "unit": unit, "ours": values, "aim": aim, "good": good})


def number(value):
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else \
        f"{value:.2f}"


def in_turns(rounds, ours, limit):
    """Runs both so often, the order changing from round to round."""
    results = ([], [])
    for i in range(rounds):
        order = ((0, ours), (1, limit)) if i % 2 == 0 else ((1, limit), (0, ours))
        for which, run in order:
            results[which].append(run())
    return results


def column(results, key):
    return [result[key] for result in results]


def bench_starts(table, opts):
    with Daemon() as daemon:
        log = os.path.join(daemon.state, "bare.log")
        for name, program, count, aim in (("/bin/true", "/bin/true", 3000, 0.6),
                                          ("a static program", tool("static_true"), 8000, 0.3)):
            count = str(count // opts.divide)
            ours, limit = in_turns(
                opts.rounds,
                lambda: output_of([tool("load"), "start", daemon.socket, count, "8", program]),
                lambda: output_of([tool("spawnloop"), count, "8", log, program]))
            table.compare(f"start to exit of {name}, 8 in flight", "1/s", column(ours, "rate"),
                          column(limit, "rate"), aim, True)


def bench_show(table, opts):
    with Daemon() as daemon, Connection(daemon.socket) as conn:
        task = conn.start_sleepers(100)[50]
        conn.send(cmd="show", id=task)
        sample = os.path.join(daemon.runtime, "sample")
        with open(sample, "wb") as file:
            file.write(conn.line())
        bare = os.path.join(daemon.runtime, "bare")
        with Server(tool("minserver"), bare, sample):
            for name, count, conns, depth in (("on one connection", 20000, 1, 1),
                                              ("on 50 connections", 60000, 50, 1),
                                              ("pipelined by 100", 100000, 1, 100)):
                def load(path):
                    return output_of([tool("load"), "show", path, str(count // opts.divide),
                                      str(conns), str(depth), str(task)])
                ours, limit = in_turns(opts.rounds, lambda: load(daemon.socket),
                                       lambda: load(bare))
                table.compare("show round trips " + name, "1/s", column(ours, "rate"),
                              column(limit, "rate"), 0.8, True)


def bench_cancel(table, opts):
    with Daemon() as daemon:
        bare = os.path.join(daemon.runtime, "bare")
        count = str(300 // opts.divide)
        with Server(tool("killserver"), bare):
            ours, limit = in_turns(
                opts.rounds,
                lambda: output_of([tool("latency"), "daemon", daemon.socket, "-", count,
                                   tool("victim"), daemon.map]),
                lambda: output_of([tool("latency"), "kill", bare, "-", count, tool("victim"),
                                   daemon.map]))
        for key in ("p50", "p99"):
            table.compare(f"cancel sent to handler running, {key}", "us", column(ours, key),
                          column(limit, key), 3, False)


def bench_clients(table, opts):
    spooler, kill = shutil.which("tsp"), "/bin/kill"
    taskctl = os.path.join(BUILD, "taskctl")
    with Daemon() as daemon:
        count = str(500 // opts.divide)
        if spooler is None:
            print("task-spooler is not installed (package task-spooler): it is left out")
        else:
            with_spooler(table, opts, daemon, taskctl, spooler)
        if os.access(kill, os.X_OK):
            ours, limit = in_turns(
                opts.rounds,
                lambda: output_of([tool("latency"), "taskctl", daemon.socket, taskctl, count,
                                   tool("victim"), daemon.map], daemon.env),
                lambda: output_of([tool("latency"), "binkill", "-", kill, count, tool("victim"),
                                   daemon.map]))
            for key in ("p50", "p99"):
                table.compare(f"taskctl cancel / kill to handler running, {key}", "us",
                              column(ours, key), column(limit, key), 1, False)


def with_spooler(table, opts, daemon, taskctl, spooler):
    env = dict(os.environ, TS_SOCKET=os.path.join(daemon.runtime, "tsp"), TMPDIR=daemon.runtime,
               TS_MAXFINISHED="10")
    count = str(500 // opts.divide)
    try:
        ours, limit = in_turns(
            opts.rounds,
            lambda: output_of([tool("onebyone"), count, "-", taskctl, "run", "--", "/bin/true"],
                              daemon.env),
            lambda: output_of([tool("onebyone"), count, "-", spooler, "-f", "/bin/true"], env))
        table.compare("taskctl run / tsp -f, one after the other", "1/s", column(ours, "rate"),
                      column(limit, "rate"), 1, True)
        stamp = [tool("stamp"), daemon.map]
        ours, limit = in_turns(
            opts.rounds,
            lambda: output_of([tool("onebyone"), count, daemon.map, taskctl, "start", "--"]
                              + stamp, daemon.env),
            lambda: output_of([tool("onebyone"), count, daemon.map, spooler] + stamp, env))
        table.compare("taskctl start / tsp, one after the other", "1/s", column(ours, "rate"),
                      column(limit, "rate"), 1, True)
        for key in ("p50", "p99"):
            table.compare(f"client started to task running, {key}", "us", column(ours, key),
                          column(limit, key), 1, False)
    finally:
        subprocess.run([spooler, "-K"], env=env, check=False)


def kib_of(pid, *keys):
    """The sum of some lines of smaps_rollup and status, in KiB."""
    total = 0
    for name in ("smaps_rollup", "status"):
        with open(f"/proc/{pid}/{name}", encoding="utf-8") as file:
            for line in file:
                if line.split(":")[0] in keys:
                    total += int(line.split()[1])
    return total


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return int(file.read().rpartition(")")[2].split()[1])


PRIVATE = ("Private_Clean", "Private_Dirty")


class Processes:
    """taskctld, taskspawnd and the monitors, found from the tasks that run."""

    def __init__(self, daemon, conn, ids):
        self.daemon = daemon.process.pid
        leaders = [conn.ask(cmd="show", id=task)["task"]["pid"] for task in ids]
        self.monitors = [parent_of(pid) for pid in leaders]
        self.spawner = parent_of(self.monitors[0])

    def switches(self):
        """How often any of them was switched to, all threads."""
        return {name: sum(switches_of(pid) for pid in pids) for name, pids in
                (("taskctld", [self.daemon]), ("taskspawnd", [self.spawner]),
                 ("monitors", self.monitors))}


def switches_of(pid):
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="utf-8") as file:
            for line in file:
                if "ctxt_switches" in line:
                    total += int(line.split()[1])
    return total


def bench_memory(table, opts):
    with Daemon() as daemon, Connection(daemon.socket) as conn:
        conn.ask(cmd="list", limit=1)
        empty = kib_of(daemon.process.pid, *PRIVATE)
        table.value("taskctld, 0 tasks: private memory", "KiB", [empty])
        ids = []
        for count in (1000 // opts.divide, 5000 // opts.divide):
            ids += conn.start_sleepers(count - len(ids))
            procs = Processes(daemon, conn, ids)
            mine = kib_of(procs.daemon, *PRIVATE)
            table.value(f"taskctld, {count} running: private memory", "KiB", [mine])
            table.value(f"taskctld, {count} running: for each task", "KiB",
                        [(mine - empty) / count], 4)
            sample = procs.monitors[::max(1, len(procs.monitors) // 50)]
            table.value(f"a monitor, {count} running: Pss", "KiB",
                        [kib_of(pid, "Pss") for pid in sample])
            table.value(f"a monitor, {count} running: private, page tables", "KiB",
                        [kib_of(pid, *PRIVATE, "VmPTE") for pid in sample], 100)
            if count <= 1000:
                bench_idle(table, procs, count, 10 if opts.divide == 1 else 2)
        begin = time.monotonic()
        daemon.stop()
        table.value(f"stop with {len(ids)} running, all cancelled", "s",
                    [time.monotonic() - begin])


def bench_idle(table, procs, count, seconds):
    time.sleep(3)
    before = procs.switches()
    time.sleep(seconds)
    after = procs.switches()
    for name, value in after.items():
        table.value(f"{name}: wake-ups in {seconds} s, {count} running", "",
                    [value - before[name]], 0)


def milliseconds(run):
    begin = time.monotonic()
    run()
    return (time.monotonic() - begin) * 1000


def bench_history(table, opts):
    ended, running = 100000 // opts.divide, 1000 // opts.divide
    with Daemon() as daemon:
        output_of([tool("load"), "start", daemon.socket, str(ended), "8", tool("static_true")])
        with Connection(daemon.socket) as conn:
            conn.start_sleepers(running)
            for name, request in (("first page", {}), ("newest first", {"order": "-id"}),
                                  ("1000 a page", {"limit": 1000})):
                table.value(f"list with {ended} ended: {name}", "ms",
                            [milliseconds(lambda: conn.ask(cmd="list", **request))
                             for _ in range(20)], 10 if name == "first page" else None)
        table.value(f"taskctld with {ended} ended: private memory", "KiB",
                    [kib_of(daemon.process.pid, *PRIVATE)])
        times = []
        for _ in range(opts.rounds):
            daemon.crash()
            times.append(daemon.start())
        table.value(f"restart, {ended} ended and {running} running", "s", times, 2)


SECTIONS = {"starts": bench_starts, "show": bench_show, "cancel": bench_cancel,
            "clients": bench_clients, "memory": bench_memory, "history": bench_history}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION",
                        help="of: " + ", ".join(SECTIONS) + " (default: all)")
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-q", "--quick", dest="divide", action="store_const", const=10, default=1)
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    opts = parser.parse_args()
    for name in opts.sections:
        if name not in SECTIONS:
            parser.error(f"there is no section {name}")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} processors, Linux {os.uname().release}, load {load:.1f}"
          + (": the machine is busy, the figures will be lower" if load > 0.5 else ""))
    table = Table()
    for name in opts.sections or SECTIONS:
        SECTIONS[name](table, opts)
    if opts.json:
        with open(opts.json, "w", encoding="utf-8") as file:
            json.dump(table.rows, file, indent=1)
    missed = [row["name"] for row in table.rows if not row["good"]]
    print(f"{len(missed)} of {len(table.rows)} missed what is aimed at" if missed else
          "all that is aimed at is reached")


if __name__ == "__main__":
    main()

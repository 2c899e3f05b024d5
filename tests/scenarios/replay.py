#!/usr/bin/env python3
"""replay.py - replays the scenarios against real taskctld daemons, with real processes as tasks.

  tests/scenarios/replay.py                 all of them
  tests/scenarios/replay.py NAME...         these
  tests/scenarios/replay.py --trace NAME    and show each line sent and received

README.md beside it says what is compared. Standard library only."""
import argparse
import asyncio
import copy
import json
import os
import pathlib
import sys

sys.dont_write_bytecode = True
from play import Play                   # noqa: E402
from wire import Broken, Daemon         # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
ATTEMPTS = 5            # the first, and four repetitions when the machine was late
RAMP_S = 0.05           # between the first starts, so that they do not all come at once


# ------------------------------------------------------------------ what is expected

def expected(sc):
    """The outcome of the file, in the form that Play gives: events by actor."""
    o, actors = sc["outcome"], {}
    for t, who, *what in o["events"]:
        actors.setdefault(who, []).append([t, *what])
    # a step of when_ended has no reply of its own there: the wait it is for was answered before
    late = [{"accepted": False, "effect": "answered"}
            for s in sc["steps"] if s["op"] == "when_ended"]
    return {"tasks": o["tasks"], "waiters": o["waiters"], "replies": o["replies"] + late,
            "events": actors}


def delivered_twice(sc):
    """Two cancels that the daemon read in two turns: two deliveries, the second interrupts."""
    o = copy.deepcopy(sc)
    out = o["outcome"]
    out["replies"][2]["effect"] = "redelivered"
    out["tasks"]["A"].update(cancels_seen=["m1", "m2"], msg="m2", end_t=3,
                             cleanup={"begun": 1, "completed": 0})
    out["replies"][4]["state"] = "cancelled"
    out["waiters"]["W"].update(msg="m2", t=3)
    out["events"] = [[0, "A", "started"], [3, "A", "cancel", "m1"], [3, "A", "cleanup_begin"],
                     [3, "A", "cancel", "m2"], [3, "A", "cleanup_interrupted"],
                     [3, "A", "end", "cancelled"], [3, "W", "got", "cancelled"]]
    return expected(o)


# scenarios in which real time allows another outcome as well
ALSO = {"cancel_twice_same_instant": delivered_twice}


def differences(want, got):
    """Lines that say where two outcomes differ."""
    out = []
    for part in ("tasks", "waiters", "events"):
        for who in sorted(set(want[part]) | set(got[part])):
            w, g = want[part].get(who), got[part].get(who)
            if isinstance(w, dict) and isinstance(g, dict):
                out += [f"{part} {who} {k}: got {show(g, k)}, expected {show(w, k)}"
                        for k in sorted(set(w) | set(g)) if show(w, k) != show(g, k)]
            elif w != g:
                out.append(f"{part} {who}: got {json.dumps(g)}, expected {json.dumps(w)}")
    for i, (w, g) in enumerate(zip(want["replies"], got["replies"])):
        if w != g:
            out.append(f"reply {i}: got {json.dumps(g)}, expected {json.dumps(w)}")
    if len(want["replies"]) != len(got["replies"]):
        out.append(f"replies: got {got['replies']}, expected {want['replies']}")
    return out


def show(obj, key):
    return json.dumps(obj[key], sort_keys=True) if key in obj else "nothing"


def without_ticks(outcome):
    """(the outcome with no tick in it, its ticks)."""
    o, ticks = copy.deepcopy(outcome), []
    for part, member in (("tasks", "end_t"), ("waiters", "t")):
        for who in sorted(o[part]):
            if o[part][who].get(member) is not None:
                ticks.append(o[part][who].pop(member))
    for who in sorted(o["events"]):
        ticks += [e.pop(0) for e in o["events"][who]]
    return o, ticks


def late_by_a_tick(want, got):
    """True where nothing is different but ticks, by one: a hook's end, for one, is nowhere else
    measured than in what is compared."""
    (w, wt), (g, gt) = without_ticks(want), without_ticks(got)
    return w == g and len(wt) == len(gt) and all(0 <= b - a <= 1 for a, b in zip(wt, gt))


def missing_reports(sc, log):
    """What a shutdown has to report, in the daemon's log."""
    return [f"reports: no line of the daemon's log tells of {r['task']}: {r['error']}"
            for r in sc["outcome"]["reports"] if not any(str(r["error"]) in s for s in log)]


# ------------------------------------------------------------------ running

class Replay:
    def __init__(self, args, build):
        self.args, self.build = args, build
        self.slots = asyncio.Semaphore(args.jobs)
        self.few = asyncio.Semaphore(4)     # repetitions: a machine that was late is given rest
        self.shared, self.lock = None, asyncio.Lock()
        self.problems = []      # of the shared daemon

    async def shared_daemon(self):
        """One daemon for all that can share it; a new one, should it have died."""
        async with self.lock:
            if self.shared is not None and self.shared.proc.returncode is not None:
                self.problems.append("the shared daemon ended by itself: "
                                     + " | ".join(self.shared.log[-10:]))
                await self.shared.destroy()
                self.shared = None
            if self.shared is None:
                self.shared = await Daemon(self.build).start()
            return self.shared

    async def attempt(self, sc, n, tick):
        """One attempt: (differences, what was late)."""
        ops = {s["op"] for s in sc["steps"]}
        own = self.args.fresh or ops & {"stall", "shutdown"}
        trace = (lambda text: print("   ", text, flush=True)) if self.args.trace else None
        daemon, diffs, play = None, [], None
        try:
            daemon = await (Daemon(self.build).start() if own else self.shared_daemon())
            play = Play(sc, daemon, self.build / "tests" / "prog", tick, n, trace)
            got = await play.run()
            allowed = [expected(sc)] + [f(sc) for n, f in ALSO.items() if n == sc["name"]]
            diffs = min((differences(want, got) for want in allowed), key=bool)
            if diffs and any(late_by_a_tick(want, got) for want in allowed):
                play.late.append("all is as expected, but a tick late")
        except (Broken, OSError) as e:
            diffs = [f"{type(e).__name__}: {e}"]
        except (KeyError, TypeError, AttributeError, IndexError) as e:
            diffs = [f"what came was not to be understood: {type(e).__name__}: {e}"]
        if own and daemon is not None:
            bad = await (daemon.gone() if "shutdown" in ops else daemon.stop())
            diffs += [bad] if bad else []
            diffs += missing_reports(sc, daemon.log)
        return diffs, play.late if play else []

    async def scenario(self, sc, delay):
        """Gives the differences that remain: none if it passed."""
        await asyncio.sleep(delay)
        async with self.slots:
            diffs, late = await self.attempt(sc, 0, self.args.tick)
            for n in range(1, ATTEMPTS):
                if not diffs or not late:
                    return diffs
                print(f"{sc['name']}: repeated, the machine was late: {late[0]}", flush=True)
                async with self.few:        # and longer ticks each time
                    diffs, late = await self.attempt(sc, n, self.args.tick * (1 + 0.5 * n))
        if not diffs or not late:
            return diffs
        return diffs + [f"the machine was late {ATTEMPTS} times: {late[0]}"]

    async def run(self, scenarios):
        async def one(i, sc):
            diffs = await self.scenario(sc, min(i, self.args.jobs) * RAMP_S)
            for d in diffs:
                print(f"{sc['name']}: {d}", flush=True)
            if self.args.verbose and not diffs:
                print(f"{sc['name']}: passed", flush=True)
            return not diffs

        results = await asyncio.gather(*[one(i, sc) for i, sc in enumerate(scenarios)])
        if self.shared is not None and (bad := await self.shared.stop()):
            self.problems.append(bad)
        for p in self.problems:
            print(f"shared daemon: {p}", flush=True)
        return results.count(True), results.count(False) + len(self.problems)


def arguments():
    p = argparse.ArgumentParser(description="Replays the scenarios against taskctld.")
    p.add_argument("names", nargs="*", metavar="NAME")
    p.add_argument("--build", default=HERE.parents[1] / os.environ.get("TASKCTL_BUILD", "build"),
                   help="the build directory ($TASKCTL_BUILD, build)")
    p.add_argument("-j", "--jobs", type=int, help="scenarios at a time (24; of a build with "
                   "sanitizers 12)")
    p.add_argument("--tick", type=float, help="length of a tick in seconds (0.15; of a build with "
                   "sanitizers 0.4)")
    p.add_argument("--fresh", action="store_true", help="a daemon of its own for each scenario")
    p.add_argument("--trace", action="store_true", help="show each line sent and received")
    p.add_argument("-v", "--verbose", action="store_true", help="name those that passed, too")
    args = p.parse_args()
    slow = any(s in pathlib.Path(args.build).name for s in ("address", "thread", "undefined"))
    args.jobs = args.jobs or (12 if slow else 24)
    args.tick = args.tick or (0.4 if slow else 0.15)
    return args


def main():
    args = arguments()
    with open(HERE / "scenarios.jsonl", encoding="utf-8") as f:
        scenarios = [json.loads(line) for line in f]
    unknown = set(args.names) - {s["name"] for s in scenarios}
    if unknown:
        sys.exit(f"replay.py: no scenario has the name {', '.join(sorted(unknown))}")
    if args.names:
        scenarios = [s for s in scenarios if s["name"] in args.names]
    # those that need a daemon of their own take longest: first
    scenarios.sort(key=lambda s: not {x["op"] for x in s["steps"]} & {"stall", "shutdown"})
    build = pathlib.Path(args.build).resolve()

    async def replay():
        return await Replay(args, build).run(scenarios)
    passed, failed = asyncio.run(replay())
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

"""play.py - plays one scenario against a daemon and says what came of it, in its terms."""
import asyncio
import json
import os
import signal
import time

from wire import Broken, Link

TERMINAL = ("done", "failed", "cancelled", "timed_out", "lost")
ANSWER_S = 15.0         # how long an answer may be overdue before it counts as missing


def pick(obj, *names):
    return {n: obj.get(n) for n in names}


def exit_of(e):
    """The daemon's `exit`, as the scenarios write it: 3, {"signal": "KILL"} for people."""
    if e and "signal" in e:
        return {"signal": e["signal"].removeprefix("SIG")}
    return {"exit": e["code"]} if e and "code" in e else e


def hook_end(h):
    """How a hook ended: its exit code, or what befell it."""
    if h["state"] in ("done", "failed"):
        code = (h.get("exit") or {}).get("code")
        return code if code is not None else h.get("exit")
    return h["state"]


def hooks_of(task):
    return [[h["hook"], hook_end(h)] for h in task.get("hooks") or []
            if h["state"] not in ("owed", "running")]


def msg_of(task):
    return (task.get("cancel") or {}).get("msg")


def error_of(task):
    if task["state"] == "timed_out":
        return "TimeoutError"
    error = task.get("error")
    if isinstance(error, dict) and "hook" in error:
        ends = dict(hooks_of(task))
        return {"hook": error["hook"], "exit": ends.get(error["hook"])}
    return error if error is not None else exit_of(task.get("exit"))


def ending_of(task):
    """What a task ended with: the member that belongs to its state, and forced."""
    state = task["state"]
    o = {"done": lambda: {"value": task.get("result")},
         "failed": lambda: {"error": error_of(task)},
         "timed_out": lambda: {"error": error_of(task)},
         "cancelled": lambda: {"msg": msg_of(task)}}.get(state, dict)()
    if task.get("forced"):
        o["forced"] = True
    return o


def context_of(task):
    """The first outcome, where a failed hook replaced it."""
    c = task["context"]
    o = {"state": c["state"]}
    if c["state"] == "done":
        o["value"] = task.get("result")
    elif c["state"] == "cancelled":
        o["msg"] = c.get("msg")
    else:
        o["error"] = exit_of(c.get("exit"))
    return o


class Play:
    """One attempt at one scenario. run() gives the outcome; `late` says what came late in it."""

    def __init__(self, scenario, daemon, prog, tick, attempt=0, trace=None):
        self.sc, self.daemon, self.prog, self.tick = scenario, daemon, prog, tick
        self.key = f"{scenario['name']}.{attempt}"
        self.trace = trace
        self.late = []
        self.tasks = {}         # scenario's id -> {"id", "pid", "end"}, from the events
        self.waits = {}         # scenario's name -> (mode, future)
        self.final = {}         # hidden waits of a scenario with shutdown
        self.expired = {}       # how many deadlines a program keeps for itself
        self.events = []        # (when, actor, what, *detail)
        self.reactions = {}     # id -> steps to send when it has ended
        self.reacted = []       # futures of their replies
        self.stalls = []        # (begin, end)
        self.has_shutdown = any(s["op"] == "shutdown" for s in scenario["steps"])
        self.n = 0

    def name(self, tid):
        return f"{self.key}.{tid}"

    def ticks(self, n):
        return max(0, n) * self.tick

    def at(self, when):
        """A moment in ticks since the first step."""
        return None if when is None else round((when - self.t0) / self.tick)

    # -- requests

    def start(self, st, hold=False):
        prog = json.loads(json.dumps(st["prog"]))
        for seg in prog["body"]:
            if "await" in seg:
                seg["await"] = self.name(seg["await"])
        r = {"cmd": "start", "name": self.name(st["id"]), "labels": {"scenario": self.key},
             "argv": [str(self.prog), json.dumps(prog), str(round(self.tick * 1000)),
                      self.ledger(st["id"])],
             "grace": None if st.get("grace") is None else self.ticks(st["grace"])}
        if st.get("hold") or hold:
            r["hold"] = True
        for k in ("on_refuse", "hook_errors"):
            if k in st:
                r[k] = st[k]
        if "hooks" in st:
            r["hooks"] = {k: self.hook(h, st.get("hook_timeout")) for k, h in st["hooks"].items()}
        deadlines = st["prog"].get("deadlines", [])
        self.expired[st["id"]] = len(deadlines)
        if deadlines and deadlines[0]["after"] is not None:
            r["timeout"] = self.ticks(deadlines[0]["after"])
        return r

    def hook(self, h, timeout):
        r = {"shell": f"sleep {self.ticks(h['ticks']):.3f}; exit {h.get('exit', 0)}"}
        return r if timeout is None else {**r, "timeout": self.ticks(timeout)}

    def ledger(self, tid):
        return str(self.daemon.dir / f"{self.name(tid)}.jsonl")

    def wait(self, st, tid):
        r = {"cmd": "wait", "rid": st["as"], "name": self.name(tid), "mode": st.get("mode", "own")}
        if st.get("timeout") is not None:
            r["timeout"] = self.ticks(st["timeout"])
        return r

    def requests(self, st):
        """The requests of a step; the first is the one whose reply is the step's."""
        op = st["op"]
        named = {"cmd": op, "name": self.name(st.get("id"))}
        if op == "start":
            return [self.start(st)]
        if op == "run":         # held until the wait is there: then the two are one step
            return [self.start(st, hold=True), self.wait(st, st["id"]), {**named, "cmd": "release"}]
        if op == "wait":
            return [self.wait(st, st["on"])]
        if op in ("cancel", "kill"):
            extra = {k: st[k] for k in ("msg", "pierce") if st.get(k) is not None}
            if st.get("grace") is not None:
                extra["grace"] = self.ticks(st["grace"])
            return [{**named, **extra}]
        if op == "cancel_wait":
            return [{"cmd": op, "wait": st["as"], "msg": st["msg"]}]
        if op in ("shield", "unshield"):
            extra = {k: st[k] for k in ("holder",) if k in st}
            if "max" in st:
                extra["for"] = self.ticks(st["max"])
            return [{**named, **extra}]
        if op == "reschedule":
            after = st["after"]
            return [{**named, "cmd": "timeout", "in": None if after is None else self.ticks(after)}]
        if op == "query":
            return [{**named, "cmd": "show"}]
        if op == "uncancel":
            return [named]
        if op == "shutdown":
            return [{"cmd": "shutdown"}]
        raise NotImplementedError(op)

    # -- replies, as the scenarios write them

    @staticmethod
    def reply_of(op, r):
        if not r["ok"]:
            return {"error": r["error"]["code"]}
        if op in ("cancel", "kill", "cancel_wait"):
            return pick(r, "accepted", "effect")
        if op == "uncancel":
            return pick(r, "remaining", "revoked")
        if op == "shield":
            return pick(r, "holders")
        if op == "unshield":
            return pick(r, "holders", "delivered")
        if op == "query":
            t = r["task"]
            return {"state": t["state"] if t["state"] in TERMINAL else "pending",
                    "cancelling": (t.get("cancel") or {}).get("count", 0)}
        return True

    @staticmethod
    def got_of(mode, r):
        """What a wait got."""
        if not r["ok"]:
            return {"got": "error", "error": r["error"]["code"]}
        result, task = r["result"], r["task"]
        o = {"target_state": task["state"] if task["state"] in TERMINAL else "pending"}
        if result == "timeout":
            return {"got": "unfinished" if mode == "watch" else "timeout", **o}
        if r["of"] == "wait":
            return {"got": "cancelled", "msg": r.get("msg"), **o}
        if result == "finished":
            return {"got": result, **o}
        o.update(ending_of(task))
        if result == "timed_out":
            del o["error"]      # the result says it
        return {"got": "result" if result == "done" else result, **o}

    # -- events of the daemon

    def on_event(self, e, at):
        what = e["event"]
        if what == "task.created":
            tid = e["name"].rsplit(".", 1)[1]
            self.tasks[tid] = {"id": e["id"], "name": tid, "ended": []}
        t = next((t for t in self.tasks.values() if t["id"] == e.get("id")), None)
        if t is None:
            return
        simple = {"task.started": lambda: ["started"], "task.refused": lambda: ["refused"],
                  "task.killed": lambda: ["killed"],
                  "task.deferred": lambda: ["deferred", e.get("msg")],
                  "task.hook_started": lambda: ["hook_begin", e["hook"]],
                  "task.hook_ended": lambda: ["hook_end", e["hook"], hook_end(e)],
                  "task.ended": lambda: ["end", e["state"]]}
        if what == "task.started":
            t["pid"] = e["pid"]
        if what in simple and not self.is_deadline(e):
            self.events.append((at, t["name"], *simple[what]()))
        if what == "task.ended":
            t["ended"].append(at)
            for st in self.reactions.pop(t["name"], []):
                self.reacted += self.link.send([self.ridded(r) for r in self.requests(st)])

    @staticmethod
    def is_deadline(e):
        """A deadline that a shield holds back is deferred, too; the scenarios tell of cancels."""
        return e["event"] == "task.deferred" and e.get("origin") == "deadline"

    # -- steps

    def ridded(self, r):
        self.n += 1
        return {"rid": f"step{self.n}", **r}

    def perform(self, batch):
        """Sends the steps of one moment, in one write. Gives (step, future or None) of each."""
        requests, firsts = [], []
        for st in batch:
            if st["op"] in ("stall", "ext_signal", "when_ended"):
                firsts.append(None)
                continue
            firsts.append(len(requests))
            requests += [self.ridded(r) for r in self.requests(st)]
            if self.has_shutdown and st["op"] == "start":
                hidden = {"cmd": "wait", "name": self.name(st["id"]), "mode": "watch",
                          "rid": f"final.{st['id']}"}
                requests.append(hidden)
        futures = self.link.send(requests) if requests else []
        for r, f in zip(requests, futures):
            if r["cmd"] == "wait" and r["rid"].startswith("final."):
                self.final[r["rid"][6:]] = f
            elif r["cmd"] == "wait":
                self.waits[r["rid"]] = (r["mode"], f)
        for st in batch:
            self.perform_local(st)
        return [(st, None if i is None or st["op"] == "wait" else futures[i], time.monotonic())
                for st, i in zip(batch, firsts)]

    def perform_local(self, st):
        """What the driver does itself."""
        if st["op"] == "stall":
            end = time.monotonic() + self.ticks(st["ticks"])
            self.stalls.append((time.monotonic(), end))
            self.daemon.stall(True)
            asyncio.get_running_loop().call_later(self.ticks(st["ticks"]), self.daemon.stall, False)
        elif st["op"] == "ext_signal":
            os.kill(self.tasks[st["id"]]["pid"], signal.Signals["SIG" + st["sig"]])
        elif st["op"] == "when_ended":
            self.reactions.setdefault(st["id"], []).append(st["step"])

    async def until(self, n):
        """Sleeps until tick n, and notes it when it wakes late."""
        due = self.t0 + n * self.tick
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        self.note_late("the driver's timer", time.monotonic() - due)

    def note_late(self, who, by):
        if by > 0.3 * self.tick:
            self.late.append(f"{who} was {by * 1000:.0f} ms late")

    async def run(self):
        self.observer = await Link(self.on_event, self.trace).open(self.daemon.socket)
        self.link = await Link(trace=self.trace).open(self.daemon.socket)
        try:
            r = await self.observer.call("events", select={"label": {"scenario": self.key}})
            if not r["ok"]:
                raise Broken(f"events: {r}")
            return await self.play()
        finally:
            for begin, end in self.stalls:
                if time.monotonic() < end:
                    self.daemon.stall(False)
            await self.link.close()
            await self.observer.close()

    async def play(self):
        sent, steps = [], list(self.sc["steps"])
        self.t0 = time.monotonic()
        while steps:
            t = steps[0]["t"]
            batch = [s for s in steps if s["t"] == t]
            steps = [s for s in steps if s["t"] != t]
            await self.until(t)
            sent += self.perform(batch)
        await self.until(self.sc["until"] + 0.5)
        replies = [await self.collect(*s) for s in sent]
        for f in self.reacted:
            r, _ = await self.answer(f, "a step of when_ended")
            replies.append(self.reply_of("cancel_wait", r))
        objects = await self.final_objects()
        return self.outcome(objects, replies)

    async def answer(self, f, what):
        try:
            return await asyncio.wait_for(asyncio.shield(f), ANSWER_S)
        except asyncio.TimeoutError:
            raise Broken(f"no answer to {what}") from None

    async def collect(self, st, f, when):
        if f is None:
            return True
        r, at = await self.answer(f, f"{st['op']} at {st['t']}")
        if st["op"] != "shutdown" and not self.stalls:
            self.note_late(f"the reply to {st['op']} at {st['t']}", at - when)
        return self.reply_of(st["op"], r)

    async def final_objects(self):
        """The task objects at the end; of a daemon that was shut down, those of the answers."""
        out = {}
        for tid in self.tasks:
            if self.has_shutdown:
                r, _ = await self.answer(self.final[tid], f"the hidden wait for {tid}")
            else:
                r = await self.link.call("show", name=self.name(tid))
            if not r["ok"]:
                raise Broken(f"{tid}: {r}")
            out[tid] = r["task"]
        return out

    # -- the outcome

    def read_ledger(self, tid):
        try:
            with open(self.ledger(tid), encoding="utf-8") as f:
                return [json.loads(line) for line in f]
        except FileNotFoundError:
            return []           # never started

    def take_ledger(self, tid, ledger):
        """Adds what the program saw to the events; gives (messages, cleanups, own deadlines)."""
        seen, cleanups, expired = [], {}, 0
        started = self.started_at(tid)
        for e in ledger:
            what = e["ev"]
            if what == "begin" and started is not None:
                self.note_late(f"the start of {tid}", e["start"] - started)
            elif what == "late":
                self.note_late(f"the program of {tid}", e["by"])
            elif what == "expired":
                expired += 1
            elif what == "cancel":
                seen.append(e["msg"])
                self.events.append((e["t"], tid, "cancel", e["msg"]))
            elif what != "begin":
                self.events.append((e["t"], tid, what))
                kind, how = what.split("_")
                c = cleanups.setdefault(kind, {"begun": 0, "completed": 0})
                c["begun"] += how == "begin"
                c["completed"] += how == "end"
        return seen, cleanups, expired

    def started_at(self, tid):
        st = next(s for s in self.sc["steps"] if s["op"] in ("start", "run") and s["id"] == tid)
        return None if st.get("hold") or st["op"] == "run" else self.t0 + st["t"] * self.tick

    def task_outcome(self, tid, task):
        seen, cleanups, expired = self.take_ledger(tid, self.read_ledger(tid))
        ended = self.tasks[tid]["ended"]
        over = task["state"] in TERMINAL
        o = {"kind": "task", "state": task["state"] if over else "pending"}
        if over:
            o.update(ending_of(task))
        if task.get("context"):
            o["context"] = context_of(task)
        o["end_t"] = self.at(ended[0]) if ended else None
        if len(ended) > 1:
            o["ended_times"] = len(ended)
        o["cancelling"] = (task.get("cancel") or {}).get("count", 0)
        o["started"] = task.get("started") is not None
        o["cancels_seen"] = seen
        o.update(cleanups)
        if n := self.expired[tid]:
            o["expired"] = [bool(task.get("expired"))] + [i < expired for i in range(n - 1)]
        if hooks := hooks_of(task):
            o["hooks"] = hooks
        return o

    def waiter_outcome(self, name):
        mode, f = self.waits[name]
        if not f.done():
            return {"got": "still_waiting"}
        r, at = f.result()
        o = self.got_of(mode, r)
        self.events.append((at, name, "got", o["got"]))
        return {**o, "t": self.at(at)}

    def outcome(self, objects, replies):
        tasks = {tid: self.task_outcome(tid, t) for tid, t in objects.items()}
        waiters = {name: self.waiter_outcome(name) for name in self.waits}
        actors = {}
        for at, who, *what in sorted(self.events, key=lambda e: e[0]):
            actors.setdefault(who, []).append([self.at(at), *what])
        if not self.stalls:
            self.note_late("the daemon or the driver", self.daemon.late_between(
                self.t0, self.t0 + self.sc["until"] * self.tick))
        return {"tasks": tasks, "waiters": waiters, "replies": replies, "events": actors}

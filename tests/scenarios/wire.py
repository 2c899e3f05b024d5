"""wire.py - a taskctld of the replay's own, and connections to it that speak JSON lines."""
import asyncio
import ctypes
import json
import os
import pathlib
import shutil
import signal
import tempfile
import time

READY_S = 20.0          # from the start of a daemon to its ready line
STOP_S = 20.0           # from shutdown to its exit
PROBE_S = 0.05          # between two looks at how late the machine is
LINE_MAX = 1 << 20
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


class Broken(Exception):
    """The daemon or its connection is not there any more, or does not answer."""


class Link:
    """One connection: requests by rid, events handed on with the time they came."""

    def __init__(self, on_event=None, trace=None):
        self.on_event = on_event or (lambda event, at: None)
        self.trace = trace or (lambda text: None)
        self.answers = {}

    async def open(self, path):
        self.reader, self.writer = await asyncio.open_unix_connection(path, limit=LINE_MAX)
        self.task = asyncio.create_task(self._read())
        return self

    async def _read(self):
        why = "the daemon closed the connection"
        try:
            while line := await self.reader.readline():
                self._take(line, time.monotonic())
        except (OSError, ValueError) as e:
            why = str(e)
        for f in self.answers.values():
            if not f.done():
                f.set_exception(Broken(why))

    def _take(self, line, at):
        self.trace(f"{at:.3f} < {line.decode().rstrip()}")
        o = json.loads(line)
        if "event" in o:
            self.on_event(o, at)
        elif o.get("rid") in self.answers and not self.answers[o["rid"]].done():
            self.answers[o["rid"]].set_result((o, at))
        else:
            raise ValueError(f"a reply that nobody asked for: {o}")

    def send(self, requests):
        """All in one write. Gives the future (reply, time) of each."""
        loop, out, data = asyncio.get_running_loop(), [], b""
        for r in requests:
            f = self.answers[r["rid"]] = loop.create_future()
            f.add_done_callback(lambda f: f.cancelled() or f.exception())   # read or not
            out.append(f)
            data += json.dumps(r).encode() + b"\n"
            self.trace(f"{time.monotonic():.3f} > {json.dumps(r)}")
        if self.task.done():
            raise Broken("the connection is closed")
        self.writer.write(data)
        return out

    async def call(self, cmd, timeout=10.0, **members):
        rid = members.setdefault("rid", f"call{len(self.answers)}")
        [f] = self.send([{"cmd": cmd, **members}])
        try:
            reply, _ = await asyncio.wait_for(f, timeout)
        except asyncio.TimeoutError:
            raise Broken(f"no reply to {cmd} (rid {rid}) within {timeout} s") from None
        return reply

    async def close(self):
        self.writer.close()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Daemon:
    """taskctld in a directory of its own; stderr is kept as `log`."""

    def __init__(self, build):
        self.build = build
        self.log = []
        self.late = []          # (when, seconds): probes that took too long
        self.probed = 0.0       # when the last one began

    async def start(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="replay."))
        self.socket = str(self.dir / "s")
        try:
            await self._spawn()
        except OSError:
            shutil.rmtree(self.dir)
            raise
        self.ready = asyncio.get_running_loop().create_future()
        self.reading = asyncio.create_task(self._read_log())
        try:
            await asyncio.wait_for(asyncio.shield(self.ready), READY_S)
        except (asyncio.TimeoutError, Broken) as e:
            await self.destroy()
            raise Broken("taskctld did not become ready: "
                         + (" | ".join(self.log[-5:]) or str(e) or "it said nothing")) from None
        self.probe_link = await Link().open(self.socket)
        self.probing = asyncio.create_task(self._probe())
        return self

    async def _spawn(self):
        self.proc = await asyncio.create_subprocess_exec(
            str(self.build / "taskctld"), "--socket", self.socket, "--listen", "127.0.0.1:0",
            "--state-dir", str(self.dir / "state"), "--runtime-dir", str(self.dir / "run"),
            stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env=self.environment(), start_new_session=True,
            preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM))

    def environment(self):
        """Nothing of a taskctl or a service manager that we run under; a mark to be found by."""
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("TASKCTL_", "LISTEN_", "WATCHDOG_")) and k != "NOTIFY_SOCKET"}
        return {**env, "REPLAY_DIR": str(self.dir)}

    async def _read_log(self):
        while line := await self.proc.stderr.readline():
            self.log.append(line.decode(errors="replace").rstrip())
            if "taskctld: ready on" in self.log[-1] and not self.ready.done():
                self.ready.set_result(True)
        if not self.ready.done():
            self.ready.set_exception(Broken("it exited"))

    async def _probe(self):
        """Asks again and again how long the daemon takes for nothing, and our own loop to sleep."""
        try:
            while True:
                self.probed = time.monotonic()
                await asyncio.sleep(PROBE_S)
                await self.probe_link.call("hello", timeout=60.0)
                took = time.monotonic() - self.probed - PROBE_S
                if took > 0.02:
                    self.late.append((self.probed, took))
        except Broken:
            self.probed = float("inf")      # it is shutting down: nothing is late any more

    def late_between(self, begin, end):
        """How much longer than it should the longest probe of that time took, or takes by now."""
        pending = (self.probed, time.monotonic() - self.probed - PROBE_S)
        return max((s for at, s in [*self.late, pending] if at < end and at + s + PROBE_S > begin),
                   default=0.0)

    def stall(self, on):
        os.kill(self.proc.pid, signal.SIGSTOP if on else signal.SIGCONT)

    async def stop(self):
        """Shutdown; gives what was wrong with it, as text, or None."""
        try:
            link = await Link().open(self.socket)
            await link.call("shutdown", timeout=STOP_S)
            await link.close()
        except (Broken, OSError) as e:
            if self.proc.returncode is None:
                await self.destroy()
                return f"shutdown: {e}"
        return await self.gone()

    async def gone(self):
        """After a shutdown: waits until all of it has gone. What is wrong, or None."""
        try:
            code = await asyncio.wait_for(self.proc.wait(), STOP_S)
            await asyncio.wait_for(self.reading, STOP_S)
        except asyncio.TimeoutError:
            await self.destroy()
            return "shutdown was answered, but the daemon does not exit"
        if code != 0 or any("Sanitizer" in s or "runtime error:" in s for s in self.log):
            await self.destroy()
            return f"the daemon ended with {code}: " + " | ".join(self.log[-30:])
        return await self.destroy()

    async def left(self):
        """Looked for in a thread: /proc is long, and others measure time meanwhile."""
        return await asyncio.to_thread(left_of, self.dir)

    async def destroy(self):
        """Ends what is left, by its pid; names it, if the daemon itself had ended."""
        bad = None
        if self.proc.returncode is None:
            self.proc.kill()
            await self.proc.wait()
        else:
            deadline = time.monotonic() + 5.0
            while (left := await self.left()) and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
            if left:
                bad = f"left after the end of the daemon: {left}"
        for _ in range(20):
            if not (left := await self.left()):
                break
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            await asyncio.sleep(0.05)
        if hasattr(self, "probing"):
            self.probing.cancel()
            await self.probe_link.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        return bad


def left_of(directory):
    """Processes whose environment or command line names the directory: {pid: command}."""
    mark, found = str(directory).encode(), {}
    for p in pathlib.Path("/proc").iterdir():
        if not p.name.isdigit() or int(p.name) == os.getpid():
            continue
        try:
            cmdline = (p / "cmdline").read_bytes()
            if mark in cmdline or mark in (p / "environ").read_bytes():
                found[int(p.name)] = cmdline.replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            pass                # it has just ended, or belongs to somebody else
    return found

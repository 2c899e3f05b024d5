#!/usr/bin/env python3
"""worker.py - works for 5 seconds, and knows what to do when it is cancelled. No library needed.

  taskctl start -- ./worker.py [MODE] [FILE]

The worker is an asyncio task that knows nothing of taskctl: taskctl's cancel, with its message, is
handed on as asyncio's, and how the asyncio task ends is how the process ends.

MODE says how it answers a cancel, or a deadline:
  return   clean up, return "Canceled"       -> done, result "Canceled" (the cancel was absorbed)
  reraise  clean up, then die of the signal  -> cancelled (timed_out, if it was the deadline)
  ignore   go on                             -> killed when its grace is over
FILE is what it makes (worker.out); FILE.part is there while it works."""
import asyncio
import json
import os
import signal
import socket
import sys

PIECE = 0.1


async def worker(mode, part):
    with open(part, "w", encoding="utf-8") as f:
        for i in range(50):
            f.write(f"{i}\n")
            try:
                await asyncio.sleep(PIECE)
            except asyncio.CancelledError as e:
                print("cancelled:", e.args[0] if e.args else "no reason given", flush=True)
                if mode == "ignore":
                    print("going on", flush=True)
                    continue
                await clean_up(part)
                if mode == "reraise":
                    raise
                return "Canceled"
    return "finished"


async def clean_up(part):
    print("cleaning up", flush=True)
    await asyncio.sleep(0.3)
    os.unlink(part)
    print("clean", flush=True)


# ---- between taskctl and asyncio

def cancel_args():
    """Why: taskctl writes the reason before it sends the signal. Without one: no argument."""
    try:
        with open(os.environ["TASKCTL_CANCEL_FILE"], encoding="utf-8") as f:
            msg = json.load(f).get("msg")
    except (KeyError, FileNotFoundError):
        msg = None
    return () if msg is None else (msg,)


def notify(text):
    """Tells taskctl something: one datagram of KEY=VALUE lines, as sd_notify(3) does."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(text.encode(), "\0" + path[1:] if path[0] == "@" else path)


async def main(mode, part):
    task = asyncio.create_task(worker(mode, part))
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, lambda: task.cancel(*cancel_args()))
    print("working", flush=True)
    return await task


if __name__ == "__main__":
    mode = sys.argv[1] if len(sys.argv) > 1 else "return"
    file = sys.argv[2] if len(sys.argv) > 2 else "worker.out"
    try:
        result = asyncio.run(main(mode, file + ".part"))
    except asyncio.CancelledError:
        # it gave in: die of the signal, as if it had never been caught
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    if result == "finished":
        os.rename(file + ".part", file)
    notify(f"X_RESULT={result}")
    print(result, flush=True)

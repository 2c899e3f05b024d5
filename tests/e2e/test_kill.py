"""kill: SIGKILL to the tree, now; what it may not touch without "pierce"."""
import harness
from harness import proc_alive


class Kill(harness.Case):
    def sleeper(self, **members):
        id = self.c.sh("trap '' TERM; exec sleep 60", **members)
        self.c.running(id)
        return id

    def test_running(self):
        watch = self.conn()
        watch.watch()
        id = self.sleeper()
        self.has(self.c.ok("kill", id=id, msg="now"), accepted=True, effect="killed", id=id,
                 state=lambda s: s in ("killing", "cleanup", "cancelled"))
        task = self.has(self.c.ended(id, patience=3), state="cancelled", forced=True,
                        exit={"signal": "SIGKILL", "core": False})
        self.has(task["cancel"], msg="now", origin="kill", requests=1)
        self.has(watch.expect(event="task.killed", id=id), msg="now")

    def test_the_whole_tree(self):
        id = self.c.sh("sleep 61 & echo $!; setsid sleep 62 & echo $!; wait")
        pids = [int(p) for p in self.c.said(id, "\n").split()]
        while len(pids) < 2:
            pids = [int(p) for p in self.c.output(id).split()]
        self.c.ok("kill", id=id)
        self.c.ended(id)
        self.assertFalse([p for p in pids if proc_alive(p)])

    def test_cancelling(self):
        id = self.sleeper(grace=None)
        self.c.ok("cancel", id=id, msg="please")
        self.has(self.c.ok("kill", id=id, msg="now"), accepted=True, effect="killed")
        self.has(self.c.ended(id), state="cancelled", forced=True,
                 cancel=lambda c: c["msg"] == "now")

    def test_pending(self):
        id = self.c.ok("start", argv=["true"], hold=True)["id"]
        self.has(self.c.ok("kill", id=id), accepted=True, effect="ended", state="cancelled")

    def test_ended(self):
        id = self.c.ok("start", argv=["true"], wait=True)["id"]
        for pierce in (False, True):
            self.has(self.c.ok("kill", id=id, pierce=pierce), accepted=False, effect="finished",
                     state="done")

    def test_shielded(self):
        id = self.sleeper(shield=True)
        self.c.refused("shielded", "kill", id=id)
        self.has(self.c.task(id), state="running", cancel=None)
        self.has(self.c.ok("kill", id=id, pierce=True), accepted=True, effect="killed")
        self.has(self.c.ended(id), state="cancelled", forced=True)

    def test_hooks_run_after_it(self):
        id = self.sleeper(hooks={"on_cancel": {"shell": "echo hook $TASKCTL_OUTCOME"}})
        self.c.ok("kill", id=id)
        self.has(self.c.ended(id), state="cancelled",
                 hooks=lambda h: [(x["hook"], x["state"]) for x in h] == [("on_cancel", "done")])
        self.assertEqual(self.c.output(id), "hook cancelled\n")

    def test_running_hooks(self):
        id = self.c.ok("start", argv=["true"], hooks={
            "finally": {"shell": "echo hook; exec sleep 60"}})["id"]
        self.c.said(id, "hook")
        self.c.refused("shielded", "kill", id=id)
        self.has(self.c.ok("kill", id=id, pierce=True), accepted=True, effect="hook_killed")
        task = self.has(self.c.ended(id), state="failed", exit={"code": 0})
        self.has(task["hooks"][0], hook="finally", state="killed")
        self.has(task["context"], state="done")
        self.has(task["error"], hook="finally")

    def test_several(self):
        ids = [self.sleeper() for unused in range(2)] + [self.sleeper(shield=True)]
        reply = self.c.ok("kill", ids=ids, msg="all")
        results = {r["id"]: r for r in reply["results"]}
        for id in ids[:2]:
            self.has(results[id], accepted=True, effect="killed")
        self.assertIn("shielded", str(results[ids[2]]))
        self.has(self.c.task(ids[2]), state="running")
        self.c.ok("kill", ids=ids[2:], pierce=True)
        for id in ids:
            self.has(self.c.ended(id), state="cancelled")

    def test_no_wait_member(self):
        self.c.refused("bad_request", "kill", id=self.sleeper(), wait=5)

    def test_paused(self):
        id = self.sleeper()
        self.c.ok("pause", id=id)
        self.c.ok("kill", id=id)
        self.has(self.c.ended(id, patience=5), state="cancelled", forced=True)

"""Hooks: which run, in which order, with what, and what their failure does (protocol.md 6)."""
import json
import os

import harness
from harness import now, proc_alive, wait_until

ALL = {name: {"shell": "echo $TASKCTL_HOOK"} for name in
       ("on_cancel", "on_timeout", "on_failure", "finally")}


class Hooks(harness.Case):
    def run_task(self, line, **members):
        return self.c.ok("start", shell=line, wait=True, **members)["task"]

    def ran(self, task):
        return [(h["hook"], h["state"]) for h in task["hooks"]]

    def cancelled(self, **members):
        id = self.c.sh("exec sleep 60", **members)
        self.c.running(id)
        self.c.ok("cancel", id=id, msg="why")
        return self.c.ended(id)

    def test_done(self):
        task = self.has(self.run_task("echo main", hooks=ALL), state="done")
        self.assertEqual(self.ran(task), [("finally", "done")])
        self.assertEqual(self.c.output(task["id"]), "main\nfinally\n")

    def test_failure(self):
        task = self.has(self.run_task("exit 3", hooks=ALL), state="failed")
        self.assertEqual(self.ran(task), [("on_failure", "done"), ("finally", "done")])

    def test_cancel(self):
        task = self.has(self.cancelled(hooks=ALL), state="cancelled")
        self.assertEqual(self.ran(task), [("on_cancel", "done"), ("finally", "done")])
        self.assertEqual(self.c.output(task["id"]), "on_cancel\nfinally\n")

    def test_timeout(self):
        task = self.has(self.run_task("exec sleep 60", timeout=0.05, hooks=ALL), state="timed_out")
        self.assertEqual(self.ran(task), [("on_timeout", "done"), ("finally", "done")])

    def test_on_cancel_stands_in_for_on_timeout(self):
        hooks = {k: v for k, v in ALL.items() if k != "on_timeout"}
        task = self.has(self.run_task("exec sleep 60", timeout=0.05, hooks=hooks),
                        state="timed_out")
        self.assertEqual(self.ran(task), [("on_cancel", "done"), ("finally", "done")])

    def test_absorbed_runs_only_finally(self):
        id = self.c.up("out('up')\nterm()", hooks=ALL)
        self.c.ok("cancel", id=id)
        self.assertEqual(self.ran(self.has(self.c.ended(id), state="done")), [("finally", "done")])

    def test_killed(self):
        id = self.c.sh("trap '' TERM; exec sleep 60", hooks=ALL)
        self.c.running(id)
        self.c.ok("kill", id=id)
        self.assertEqual(self.ran(self.c.ended(id)), [("on_cancel", "done"), ("finally", "done")])

    def test_foreign_sigterm(self):
        task = self.has(self.run_task("kill -TERM $$; sleep 9", hooks=ALL), state="cancelled")
        self.assertEqual(self.ran(task), [("on_cancel", "done"), ("finally", "done")])

    def test_several_of_a_kind(self):
        task = self.run_task("true", hooks={"finally": [
            {"shell": "echo 1"}, {"argv": ["echo", "2"]}, {"shell": "echo 3"}]})
        self.assertEqual(self.c.output(task["id"]), "1\n2\n3\n")
        self.assertEqual(self.ran(task), [("finally", "done")] * 3)

    def test_reported(self):
        task = self.run_task("true", hooks={"finally": {"shell": "true"}})
        self.assertEqual(task["hooks"], [{"hook": "finally", "state": "done",
                                          "exit": {"code": 0}, "attempts": 1}])

    def test_owed_and_running(self):
        fifo = self.fifo()
        id = self.c.sh("exit 1", hooks={"on_failure": {"shell": "echo in; read x <%s" % fifo},
                                        "finally": {"shell": "true"}})
        self.c.said(id, "in")
        task = self.has(self.c.task(id), state="cleanup", exit={"code": 1})
        self.assertEqual(self.ran(task), [("on_failure", "running"), ("finally", "owed")])
        self.let(fifo)
        self.assertEqual(self.ran(self.c.ended(id)), [("on_failure", "done"), ("finally", "done")])

    def test_events(self):
        watch = self.conn()
        watch.watch()
        id = self.run_task("true", hooks={"finally": {"shell": "exit 0"}})["id"]
        self.has(watch.expect(event="task.hook_started", id=id), hook="finally", attempt=1)
        self.has(watch.expect(event="task.hook_ended", id=id), hook="finally", state="done",
                 exit={"code": 0})
        self.has(watch.expect(event="task.ended", id=id), state="done")

    def test_environment(self):                                                     # B25
        names = ("TASKCTL_ID TASKCTL_NAME TASKCTL_OUTCOME TASKCTL_EXIT_CODE TASKCTL_EXIT_SIGNAL "
                 "TASKCTL_CANCEL_MSG TASKCTL_CANCEL_ORIGIN TASKCTL_HOOK TASKCTL_HOOK_ATTEMPT "
                 "MINE").split()
        code = "import json, os; print(json.dumps({n: os.environ.get(n) for n in %r}))" % names
        hook = {"argv": [harness.sys.executable, "-I", "-S", "-c", code]}
        id = self.c.sh("exec sleep 60", name="my name", env={"MINE": "x"},
                       hooks={"on_cancel": hook})
        self.c.running(id)
        self.c.ok("cancel", id=id, msg="two\nlines \u00e9")
        self.c.ended(id)
        env = json.loads(self.c.output(id))
        self.has(env, TASKCTL_ID=str(id), TASKCTL_NAME="my name", TASKCTL_OUTCOME="cancelled",
                 TASKCTL_CANCEL_MSG="two\nlines \u00e9", TASKCTL_CANCEL_ORIGIN="client",
                 TASKCTL_HOOK="on_cancel", TASKCTL_HOOK_ATTEMPT="1", MINE="x",
                 TASKCTL_EXIT_SIGNAL=lambda v: v in ("SIGTERM", "TERM", "15"))
        id = self.run_task("exit 7", hooks={"on_failure": hook})["id"]
        self.has(json.loads(self.c.output(id)), TASKCTL_OUTCOME="failed", TASKCTL_EXIT_CODE="7")

    def test_json_message_in_the_environment(self):
        id = self.c.sh("exec sleep 60", hooks={
            "on_cancel": {"shell": "printf %s \"$TASKCTL_CANCEL_MSG\""}})
        self.c.running(id)
        self.c.ok("cancel", id=id, msg={"a": [1, None]})
        self.c.ended(id)
        self.assertEqual(json.loads(self.c.output(id)), {"a": [1, None]})

    def test_cwd_is_the_tasks(self):
        task = self.run_task("true", cwd=self.d.dir, hooks={"finally": {"argv": ["pwd"]}})
        self.assertEqual(self.c.output(task["id"]), os.path.realpath(self.d.dir) + "\n")

    # A hook that fails.

    def test_failure_replaces_the_outcome(self):
        task = self.has(self.run_task("true", hooks={"finally": {"shell": "exit 4"}}),
                        state="failed", exit={"code": 0})
        self.has(task["context"], state="done", msg=None, exit={"code": 0})
        self.assertEqual(task["error"], {"hook": "finally", "exit": {"code": 4}})
        self.assertEqual(self.ran(task), [("finally", "failed")])

    def test_failure_keeps_the_cancel_as_context(self):
        task = self.has(self.cancelled(hooks={"on_cancel": {"shell": "exit 4"},
                                              "finally": {"shell": "echo still"}}),
                        state="failed")
        self.has(task["context"], state="cancelled", msg="why",
                 exit={"signal": "SIGTERM", "core": False})
        self.assertEqual(self.ran(task), [("on_cancel", "failed"), ("finally", "done")])
        self.assertEqual(self.c.output(task["id"]), "still\n")

    def test_warn_keeps_the_outcome(self):
        task = self.has(self.cancelled(hook_errors="warn", hooks={
            "on_cancel": {"shell": "exit 4"}}), state="cancelled", context=None)
        self.assertEqual(self.ran(task), [("on_cancel", "failed")])

    def test_timeout_of_a_hook(self):
        begun = now()
        task = self.has(self.run_task("true", hooks={"finally": {
            "shell": "trap '' TERM; echo $$; exec sleep 60", "timeout": 0.2}}), state="failed")
        self.assertLess(now() - begun, 8 * harness.SLOW)
        self.assertEqual(self.ran(task), [("finally", "timeout")])
        self.has(task["error"], hook="finally")
        self.assertFalse(proc_alive(int(self.c.output(task["id"]))))

    def test_hook_cannot_be_executed(self):
        task = self.has(self.run_task("true", hooks={"finally": {"argv": ["/no/such"]}}),
                        state="failed")
        self.has(task["hooks"][0], state="failed", exit={"stage": "exec", "errno": "ENOENT"})

    def test_hook_leaves_nothing_behind(self):
        task = self.has(self.run_task("true", hooks={"finally": {
            "shell": "setsid sleep 66 >/dev/null 2>&1 & echo $!"}}), state="done")
        pid = int(self.c.output(task["id"]))
        wait_until(lambda: not proc_alive(pid), what="the hook's child to be gone")

    def test_after_the_processes_are_gone(self):
        """The hook does not begin before the last process of the task has gone."""
        task = self.run_task("trap '' TERM; setsid sh -c 'trap \"\" TERM; while :; do "
                             "date +%%s.%%N >%s/beat; sleep 0.02; done' & sleep 0.1"
                             % self.d.dir, hooks={"finally": {"shell":
                                 "a=$(cat %s/beat); sleep 0.2; [ \"$a\" = \"$(cat %s/beat)\" ] "
                                 "&& echo silent" % (self.d.dir, self.d.dir)}})
        self.assertEqual(self.c.output(task["id"]), "silent\n")

    def test_not_cancellable(self):
        fifo = self.fifo()
        id = self.c.sh("true", timeout=0.5, hooks={
            "finally": {"shell": "echo in; read x <%s" % fifo}})
        self.c.said(id, "in")
        self.has(self.c.ok("cancel", id=id), accepted=False, effect="finishing")
        self.has(self.c.wait(id, timeout=0.7), result="timeout")        # its deadline has passed
        self.has(self.c.task(id), state="cleanup")
        self.let(fifo)
        self.has(self.c.ended(id), state="done", cancel=None)

    def test_private_directory_is_there_for_hooks(self):
        task = self.run_task("echo kept >$TASKCTL_DIR/f",
                             hooks={"finally": {"shell": "cat $TASKCTL_DIR/f"}})
        self.assertEqual(self.c.output(task["id"]), "kept\n")

"""start: what runs, with what, and what becomes of it (protocol.md 4, 5 and the task object)."""
import json
import os
import pwd
import re
import signal

import harness
from harness import proc_alive, proc_read, proc_start, py, wait_until

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
MEMBERS = ("id name labels state cwd user pid created started ended deadline timeout grace cancel "
           "shield exit forced result error status progress hooks context output leftover "
           "unkillable usage").split()


class Start(harness.Case):
    def run_task(self, *argv, **members):
        return self.c.ok("start", argv=list(argv), wait=True, **members)["task"]

    def test_reply(self):
        reply = self.has(self.c.ok("start", argv=["true"]), existing=False,
                         id=lambda v: isinstance(v, int) and v > 0)
        self.assertIn(reply["state"], ("pending", "running"))

    def test_ids_go_up(self):
        ids = [self.c.ok("start", argv=["true"])["id"] for unused in range(5)]
        self.assertEqual(ids, sorted(set(ids)))

    def test_the_task_object(self):
        id = self.c.ok("start", argv=["sleep", "60"], name="n", labels={"a": "b"}, timeout=50)["id"]
        self.c.running(id)
        task = self.c.task(id)
        for member in MEMBERS + ["argv"]:
            self.assertIn(member, task)
        self.assertNotIn("shell", task)
        self.has(task, id=id, name="n", labels={"a": "b"}, argv=["sleep", "60"], state="running",
                 user=pwd.getpwuid(os.geteuid()).pw_name, ended=None, timeout=50, grace=10,
                 cancel=None, shield=None, exit=None, forced=False, hooks=[], context=None,
                 leftover=[], unkillable=[], result=None, error=None, status=None, progress=None,
                 output={"bytes": 0, "dropped": 0})
        for member in ("created", "started", "deadline"):
            self.assertRegex(task[member], TIME)
        self.assertTrue(proc_alive(task["pid"]))
        self.c.ok("cancel", id=id)
        task = self.has(self.c.ended(id), state="cancelled",
                        usage=lambda u: all(isinstance(u[k], (int, float))
                                            for k in ("user", "system", "max_rss")))
        self.assertRegex(task["ended"], TIME)
        self.assertLessEqual(task["created"], task["started"])
        self.assertLessEqual(task["started"], task["ended"])

    def test_no_shell_around_argv(self):
        task = self.run_task("printf", "%s|", "$HOME", "a b", "*", ";", "")
        self.assertEqual(self.c.output(task["id"]), "$HOME|a b|*|;||")

    def test_shell(self):
        task = self.c.ok("start", shell="echo $((6*7)) | tr 4 5; exit 3", wait=True)["task"]
        self.has(task, shell="echo $((6*7)) | tr 4 5; exit 3", state="failed", exit={"code": 3})
        self.assertNotIn("argv", task)
        self.assertEqual(self.c.output(task["id"]), "52\n")

    def test_path_search(self):                                                     # T07
        self.has(self.run_task("true"), state="done")
        self.has(self.run_task("/bin/true"), state="done")
        with open(self.d.dir + "/x", "w") as f:
            f.write("#!/bin/sh\nexit 7\n")
        os.chmod(self.d.dir + "/x", 0o755)
        self.has(self.run_task("./x", cwd=self.d.dir), exit={"code": 7})
        self.has(self.run_task("x", cwd=self.d.dir), state="failed",
                 exit={"stage": "exec", "errno": "ENOENT"})
        self.has(self.run_task("x", env={"PATH": self.d.dir}), exit={"code": 7})

    def test_exit_codes(self):                                                      # B13
        for code in (0, 1, 2, 77, 126, 127, 128, 129, 130, 137, 143, 255):
            with self.subTest(code=code):
                task = self.c.ok("start", shell="exit %d" % code, wait=True)["task"]
                self.has(task, exit={"code": code}, state="failed" if code else "done",
                         forced=False, cancel=None)

    def test_signals(self):                                                         # B13
        for name, state in (("TERM", "cancelled"), ("KILL", "failed"), ("HUP", "failed"),
                            ("INT", "failed"), ("USR1", "failed"), ("PIPE", "failed"),
                            ("ALRM", "failed")):
            with self.subTest(signal=name):
                task = self.c.ok("start", shell="kill -%s $$; sleep 9" % name, wait=True)["task"]
                self.has(task, state=state, exit={"signal": "SIG" + name, "core": False},
                         forced=False, cancel=None)

    def test_core_flag_is_there(self):
        task = self.c.ok("start", shell="ulimit -c 0; kill -SEGV $$", wait=True)["task"]
        self.has(task, state="failed", exit={"signal": "SIGSEGV", "core": False})

    def test_realtime_signal(self):
        task = self.run_task(*py("os.kill(os.getpid(), signal.SIGRTMIN + 3); time.sleep(9)"))
        self.has(task, state="failed", exit=lambda e: e["signal"].startswith("SIGRT"))

    def test_cannot_be_executed(self):                                              # B01, B02, B04
        d = self.d.dir
        for name, text, mode in (("plain", "x", 0o644), ("noshebang", "exit 0\n", 0o755),
                                 ("nointerp", "#!/no/such/interpreter\n", 0o755)):
            with open(d + "/" + name, "w") as f:
                f.write(text)
            os.chmod(d + "/" + name, mode)
        watch = self.conn()
        watch.watch()
        for members, stage, err in (
                (dict(argv=["/no/such/program"]), "exec", "ENOENT"),
                (dict(argv=["no-such-program-anywhere"]), "exec", "ENOENT"),
                (dict(argv=[d + "/plain"]), "exec", "EACCES"),
                (dict(argv=[d]), "exec", "EACCES"),
                (dict(argv=[d + "/noshebang"]), "exec", "ENOEXEC"),
                (dict(argv=[d + "/nointerp"]), "exec", "ENOENT"),
                (dict(argv=[d + "/plain/x"]), "exec", "ENOTDIR"),
                (dict(argv=["true", "x" * 131072]), "exec", "E2BIG"),               # E11
                (dict(argv=["true"], cwd="/no/such/directory"), "chdir", "ENOENT"),
                (dict(argv=["true"], cwd=d + "/plain"), "chdir", "ENOTDIR"),
                (dict(argv=["true"], cwd="/" + "x" * 5000), "chdir", "ENAMETOOLONG")):
            with self.subTest(argv=[a[:40] for a in members["argv"]], cwd=members.get("cwd")):
                task = self.c.ok("start", wait=True, hooks={
                    "on_failure": {"argv": ["true"]}, "finally": {"argv": ["true"]}},
                    **members)["task"]
                self.has(task, state="failed", exit={"stage": stage, "errno": err}, forced=False,
                         hooks=[], cancel=None, started=None)
                watch.expect(event="task.ended", id=task["id"], state="failed")
                self.assertFalse([e for e in watch.events if e["id"] == task["id"]
                                  and e["event"] in ("task.started", "task.hook_started")])

    def test_default_name(self):
        self.has(self.run_task("/bin/echo", "x"), name="echo")
        self.has(self.run_task("true"), name="true")

    def test_name_of_128_bytes(self):                                               # T14
        name = "\u00e9" * 64
        self.has(self.run_task("true", name=name), name=name)

    def test_labels(self):
        self.has(self.run_task("true", labels={"a": "1", "b": "", "x y": "\u00e9"}),
                 labels={"a": "1", "b": "", "x y": "\u00e9"})
        self.has(self.run_task("true"), labels={})

    def test_cwd(self):
        task = self.run_task("pwd", cwd=self.d.dir)
        self.has(task, cwd=self.d.dir)
        self.assertEqual(self.c.output(task["id"]), os.path.realpath(self.d.dir) + "\n")

    def test_env(self):
        task = self.run_task("/usr/bin/env", env={"A": "1", "B_2": "x=y \u00e9", "_C": "",
                                                  "LANG": None, "NOT_THERE": None})
        lines = self.c.output(task["id"]).split("\n")
        self.assertIn("A=1", lines)
        self.assertIn("B_2=x=y \u00e9", lines)
        self.assertIn("_C=", lines)
        self.assertFalse([l for l in lines if l.startswith(("LANG=", "NOT_THERE"))])

    def test_env_value_with_newline(self):
        task = self.run_task("printenv", "X", env={"X": "a\nb\n"})
        self.assertEqual(self.c.output(task["id"]), "a\nb\n\n")

    def test_umask(self):
        self.assertEqual(self.c.output(self.c.ok(
            "start", shell="umask", umask="027", wait=True)["id"]).strip(), "0027")
        self.assertEqual(self.c.output(self.c.ok(
            "start", shell="umask", umask="0", wait=True)["id"]).strip(), "0000")

    def test_stdin(self):
        task = self.run_task("cat", stdin="line\nand more \u00e9")
        self.assertEqual(self.c.output(task["id"]), "line\nand more \u00e9")
        self.has(self.run_task("cat", stdin=""), state="done", output={"bytes": 0, "dropped": 0})

    def test_big_stdin(self):
        """More than a pipe holds, read late; and a task that never reads it ends all the same."""
        task = self.c.ok("start", shell="sleep 0.2; wc -c", stdin="x" * 200000, wait=True)["task"]
        self.assertEqual(self.c.output(task["id"]).strip(), "200000")
        self.has(self.run_task("true", stdin="x" * 200000), state="done")

    def test_stdin_is_dev_null(self):
        task = self.run_task("readlink", "/proc/self/fd/0")
        self.assertEqual(self.c.output(task["id"]), "/dev/null\n")

    def test_merged_output_is_in_order(self):
        task = self.c.ok("start", wait=True, shell="for i in 1 2 3; do echo o$i; echo e$i >&2; "
                         "done")["task"]
        self.assertEqual(self.c.output(task["id"]), "o1\ne1\no2\ne2\no3\ne3\n")

    def test_key(self):
        first = self.has(self.c.ok("start", argv=["sleep", "60"], key="k1"), existing=False)
        again = self.has(self.c.ok("start", argv=["sleep", "60"], key="k1"), existing=True,
                         id=first["id"])
        self.assertIn(again["state"], ("pending", "running"))
        self.c.refused("exists", "start", argv=["sleep", "61"], key="k1")
        self.c.refused("exists", "start", shell="sleep 60", key="k1")
        self.c.ok("cancel", key="k1")
        self.c.ended(first["id"])
        self.has(self.c.ok("start", argv=["sleep", "60"], key="k1"), existing=True,
                 id=first["id"], state="cancelled")

    def test_key_with_wait(self):
        first = self.c.ok("start", argv=["sh", "-c", "exit 4"], key="k2", wait=True)
        self.has(self.c.ok("start", argv=["sh", "-c", "exit 4"], key="k2", wait=True),
                 existing=True, id=first["id"], task=lambda t: t["exit"] == {"code": 4})

    def test_key_from_many_at_once(self):
        conns = [self.conn() for unused in range(8)]
        rids = [c.ask("start", shell="echo once >>%s/once" % self.d.dir, key="k3")
                for c in conns for unused in range(5)]
        replies = [conns[i // 5].reply(rid) for i, rid in enumerate(rids)]
        self.assertEqual(len({r["id"] for r in replies}), 1)
        self.assertEqual([r["existing"] for r in replies].count(False), 1)
        self.c.ended(replies[0]["id"])
        self.assertEqual(harness.read_file(self.d.dir + "/once"), "once\n")

    def test_named_by_key_and_name(self):
        id = self.c.ok("start", argv=["sleep", "60"], key="by-key", name="by-name")["id"]
        newer = self.c.ok("start", argv=["sleep", "60"], name="by-name")["id"]
        self.has(self.c.ok("show", key="by-key")["task"], id=id)
        self.has(self.c.ok("show", name="by-name")["task"], id=newer)
        self.c.ok("cancel", ids=[id, newer])

    def test_hold_and_release(self):
        id = self.has(self.c.ok("start", argv=["true"], hold=True), state="pending")["id"]
        self.has(self.c.task(id), state="pending", pid=None, started=None)
        self.assertIn(self.c.ok("release", id=id)["state"], ("pending", "running", "done"))
        self.has(self.c.ended(id), state="done")

    def test_hold_false(self):
        self.has(self.run_task("true", hold=False), state="done")

    def test_start_and_cancel_by_key_in_one_go(self):                               # R01
        self.c.send(b'{"cmd":"start","argv":["sleep","60"],"key":"r01","rid":"s"}\n'
                    b'{"cmd":"cancel","key":"r01","msg":"at once","rid":"c"}\n')
        id = self.has(self.c.reply("s"), ok=True)["id"]
        self.has(self.c.reply("c"), ok=True, accepted=True)
        self.has(self.c.ended(id), state="cancelled", cancel=lambda c: c["msg"] == "at once")

    def test_start_with_wait(self):
        reply = self.has(self.c.ok("start", shell="exit 5", wait=True), existing=False)
        self.has(reply["task"], id=reply["id"], state="failed", exit={"code": 5})
        self.assertEqual(reply["state"], "failed")

    def test_lifetime_connection(self):
        c = self.conn()
        id = c.ok("start", argv=["sleep", "60"], lifetime="connection")["id"]
        self.c.running(id)
        c.close()
        self.has(self.c.ended(id), state="cancelled",
                 cancel=lambda k: (k["msg"], k["origin"]) == (
                     "client disconnected", "disconnect"))

    def test_lifetime_connection_after_the_end(self):
        c = self.conn()
        id = c.ok("start", argv=["true"], lifetime="connection", wait=True)["id"]
        c.close()
        self.has(self.c.task(id), state="done", cancel=None)

    def test_lifetime_daemon(self):
        c = self.conn()
        id = c.ok("start", argv=["sleep", "60"], lifetime="daemon")["id"]
        c.close()
        self.c.running(id)
        self.conn().ok("hello")
        self.has(self.c.task(id), state="running", cancel=None)
        self.c.ok("cancel", id=id)

    def test_shield_from_the_first_instant(self):
        id = self.c.ok("start", argv=["sleep", "60"], shield={"msg": "booting", "for": 50})["id"]
        self.has(self.c.ok("cancel", id=id), accepted=True, effect="deferred")
        holder = self.c.task(id)["shield"]["holders"][0]
        self.has(holder, msg="booting")
        self.assertRegex(holder["until"], TIME)
        self.c.ok("unshield", id=id)
        self.has(self.c.ended(id), state="cancelled")

    def test_shield_true_and_false(self):
        id = self.c.ok("start", argv=["sleep", "60"], shield=True)["id"]
        self.has(self.c.ok("cancel", id=id), effect="deferred")
        self.c.ok("kill", id=id, pierce=True)
        id = self.c.ok("start", argv=["sleep", "60"], shield=False)["id"]
        self.c.running(id)
        self.has(self.c.ok("cancel", id=id), effect="delivered")

    def test_many_at_once(self):
        """200 tasks, pipelined: each ends with its own code, once."""                # B22
        for i in range(200):
            self.c.send({"cmd": "start", "argv": ["sh", "-c", "exit %d" % (i % 200)],
                         "wait": True, "rid": i})
        for i in range(200):
            self.has(self.c.reply(i, patience=40)["task"], exit={"code": i})

    def test_usage(self):
        task = self.c.ok("start", wait=True,
                         shell="i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")["task"]
        self.assertGreater(task["usage"]["user"] + task["usage"]["system"], 0.01)
        self.assertGreater(task["usage"]["max_rss"], 100000)

    def test_argv_of_4096(self):
        task = self.run_task(*(["echo"] + ["a"] * 4095))
        self.has(task, state="done", output={"bytes": 2 * 4095, "dropped": 0})


class Inherited(harness.Case):
    """What a task inherits: only what is meant (faults E)."""

    options = {"env": {"SECRET_OF_THE_DAEMON": "x", "LISTEN_PID": "1", "LISTEN_FDS": None,
                       "WATCHDOG_USEC": None, "INVOCATION_ID": "abc", "JOURNAL_STREAM": "8:1",
                       "CREDENTIALS_DIRECTORY": "/nowhere"}}

    def inside(self, code):
        id = self.c.py(code)
        self.has(self.c.ended(id), state="done")
        return self.c.output(id)

    def test_environment(self):                                                     # E02
        text = self.inside("out(json.dumps(dict(os.environ)))")
        env = json.loads(text)
        for name in env:
            self.assertNotRegex(name, "^(LISTEN_|WATCHDOG_|CREDENTIALS_|INVOCATION_ID|JOURNAL_)")
        for name in ("TASKCTL_ID", "TASKCTL_NAME", "TASKCTL_DIR", "TASKCTL_CANCEL_FILE",
                     "NOTIFY_SOCKET", "TASKCTL_SOCKET", "PATH"):
            self.assertIn(name, env)
        self.assertNotIn("TASKCTLD_TEST_DIR", env, "the daemon's own environment is handed on")
        self.assertNotIn("SECRET_OF_THE_DAEMON", env)

    def test_signals(self):                                                         # E03
        id = self.c.ok("start", argv=["cat", "/proc/self/status"], wait=True)["id"]
        status = self.c.output(id)
        for mask in ("SigBlk", "SigIgn", "SigPnd", "ShdPnd"):
            self.assertRegex(status, mask + ":\t0+\n")

    def test_no_new_privs(self):                                                    # E06
        id = self.c.ok("start", argv=["cat", "/proc/self/status"], wait=True)["id"]
        self.assertRegex(self.c.output(id), "NoNewPrivs:\t1\n")

    def test_descriptors(self):
        self.assertEqual(self.inside("fds = sorted(os.listdir('/proc/self/fd'), key=int)\n"
                                     "out(' '.join(f for f in fds if os.path.exists("
                                     "'/proc/self/fd/' + f)))").split(), ["0", "1", "2"])

    def test_session(self):
        self.inside("assert os.getsid(0) == os.getpid() == os.getpgid(0)")
        self.inside("try:\n    open('/dev/tty')\nexcept OSError:\n    pass\n"
                    "else:\n    sys.exit('has a terminal')")

    def test_priorities(self):                                                      # E04
        self.inside("assert os.nice(0) == 0")
        self.inside("assert open('/proc/self/oom_score_adj').read().strip() == '0'")

    def test_private_directory(self):
        text = self.inside("d = os.environ['TASKCTL_DIR']\n"
                           "s = os.stat(d)\nassert s.st_mode & 0o777 == 0o700, oct(s.st_mode)\n"
                           "assert s.st_uid == os.getuid()\n"
                           "assert os.path.dirname(os.environ['TASKCTL_CANCEL_FILE']) == d\n"
                           "assert not os.path.exists(os.environ['TASKCTL_CANCEL_FILE'])\n"
                           "open(d + '/mine', 'w').close()\nout(d)")
        wait_until(lambda: not os.path.exists(text.strip()), what="the directory to go")

    def test_socket_is_usable(self):
        self.assertEqual(self.inside("out(os.environ['TASKCTL_SOCKET'])").strip(), self.d.socket)
        text = self.inside(
            "s = socket.socket(socket.AF_UNIX)\ns.connect(os.environ['TASKCTL_SOCKET'])\n"
            "s.sendall(b'{\"cmd\":\"show\",\"close\":true,\"id\":%s}\\n'"
            " % os.environ['TASKCTL_ID'].encode())\n"
            "t = json.loads(s.makefile().read())['task']\nout(t['state'])\n"
            "assert t['pid'] == os.getpid(), t")
        self.assertEqual(text, "running\n")

    def test_pid_is_the_leader(self):
        id = self.c.ok("start", argv=["sleep", "60"])["id"]
        pid = self.c.running(id)["pid"]
        wait_until(lambda: proc_read(pid, "cmdline") == b"sleep\x0060\0")
        self.assertIsNotNone(proc_start(pid))
        os.kill(pid, signal.SIGKILL)
        self.has(self.c.ended(id), state="failed", forced=False, cancel=None,
                 exit={"signal": "SIGKILL", "core": False})

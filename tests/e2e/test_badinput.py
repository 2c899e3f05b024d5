"""Every command, every member, every wrong type, range, unknown or missing: bad_request with the
field and a sentence; nothing has changed and the connection is open. The tests are generated."""
import json

import harness

# Wrong values for each kind of member; (value, end of the field's path) where it is a part of it.
STRING = [5, 1.5, True, False, [], {}, None]
NAMED = STRING + ["", "x" * 129, "\u00e9" * 65]
BOOL = ["true", "", 1, 0, 1.5, [], {}, None]
TEN_YEARS = 10 * 366 * 86400
DURATION0 = [-1, -0.001, "abc", "", "5x", "-5s", "s", "1h-1m", "1 0 s x", True, False, [], {},
             TEN_YEARS, "4000d", 1e300, "99999999999999999999s"]
DURATION = DURATION0 + [0, 0.0, "0s", None]
SIGNAL = [0, -9, 65, 1000, 15.0, "", "SIGFOO", "FOO", "15x", "SIG", True, [], {}, None]
ID = ["1", "", 0, -1, 1.0, 1.5, True, [], {}, None]
IDS = [5, "1", {}, True, None, (["1"], "[0]"), ([1.0], "[0]"), ([1, None], "[1]"),
       ([0], "[0]"), ([-1], "[0]")]
SELECT = [5, "x", [], True, None, {}, ({"bogus": 1}, ".bogus"), ({"state": 5}, ".state"),
          ({"state": "bogus"}, ".state"), ({"state": ["running", 5]}, ".state[1]"),
          ({"name": 5}, ".name"), ({"label": "x"}, ".label"), ({"label": {"a": 5}}, ".label.a"),
          ({"all": "yes"}, ".all"), ({"all": 1}, ".all"), ({"state": None}, ".state")]
COMMAND = [({"shell": 5}, ".shell"), ({"shell": ""}, ".shell"), ({"argv": []}, ".argv"),
           ({"argv": "ls"}, ".argv"), ({"argv": [""]}, ".argv[0]"),
           ({"argv": ["a", 5]}, ".argv[1]"), ({"argv": ["true"], "bogus": 1}, ".bogus"),
           ({"argv": ["true"], "timeout": -1}, ".timeout"),
           ({"argv": ["true"], "timeout": 0}, ".timeout"),
           ({"argv": ["true"], "timeout": "x"}, ".timeout"),
           ({"argv": ["true"], "timeout": None}, ".timeout")]
HOOK = [5, "true", True, None] + COMMAND + [
    ([value], "[0]" + path) for value, path in COMMAND] + [([5], "[0]")]
ENUM = [5, "", "bogus", True, [], {}, None]
MSG = ["x" * 65537]
COMMON = {"rid": [[], {}, 1.5, True, None, "x" * 129], "close": BOOL}
TARGET = {"id": ID, "name": NAMED, "key": NAMED}
MANY = dict(TARGET, ids=IDS, select=SELECT)

COMMANDS = {
    "hello": {},
    "stats": {},
    "start": {
        "argv": [5, "ls", {}, True, None, [], ([""], "[0]"), ([5], "[0]"), (["a", None], "[1]"),
                 (["a", 1.5], "[1]"), (["a", []], "[1]"), ["a"] * 4097],
        "name": NAMED, "key": NAMED,
        "labels": [5, "x", [], True, None, ({"a": 5}, ".a"), ({"a": None}, ".a"),
                   ({"a": {}}, ".a")],
        "cwd": STRING + ["", "relative", "./x"],
        "env": [5, "x", [], True, None, ({"A": 5}, ".A"), ({"A": []}, ".A"), ({"": "x"}, "."),
                ({"1A": "x"}, ".1A"), ({"A=B": "x"}, ".A=B"), ({"A B": "x"}, ".A B"),
                ({"TASKCTL_X": "x"}, ".TASKCTL_X"), ({"NOTIFY_SOCKET": "x"}, ".NOTIFY_SOCKET"),
                ({"NOTIFY_SOCKET": None}, ".NOTIFY_SOCKET"), ({"\u00e9": "x"}, ".\u00e9"),
                ({"A\nB": "x"}, ".A\nB")],
        "umask": STRING + ["", "8", "0x7", "99", "77777", "-7", "22 "],
        "stdin": STRING, "output": ENUM, "timeout": DURATION0 + [None],
        "grace": [v for v in DURATION0 if v is not None], "signal": SIGNAL,
        "signal_to": ENUM, "on_refuse": ENUM, "hook_errors": ENUM, "lifetime": ENUM,
        "shield": [5, 0, "x", [], None, ({"for": -1}, ".for"), ({"for": 0}, ".for"),
                   ({"for": "x"}, ".for"), ({"for": None}, ".for"), ({"bogus": 1}, ".bogus"),
                   ({"msg": "x" * 65537}, ".msg")],
        "hooks": [5, "x", [], True, None, ({"bogus": {"argv": ["true"]}}, ".bogus")] + [
            ({hook: value[0]}, "." + hook + value[1]) if isinstance(value, tuple)
            else ({hook: value}, "." + hook)
            for hook in ("on_cancel", "on_timeout", "on_failure", "finally") for value in HOOK],
        "hold": BOOL, "wait": BOOL,
        "scope": ["x"], "queue": ["x"], "after": [[1]], "priority": [1], "delay": [1],
        "at": ["2030-01-01T00:00:00Z"], "retry": [{}], "limits": [{}], "idle_timeout": [1],
        "heartbeat": [1], "queue_timeout": [1]},
    "release": TARGET,
    "cancel": dict(MANY, msg=MSG, grace=DURATION0, wait=BOOL),
    "kill": dict(MANY, msg=MSG, pierce=BOOL),
    "uncancel": TARGET,
    "shield": dict(TARGET, holder=STRING + [""], msg=MSG, **{"for": DURATION}),
    "unshield": dict(TARGET, holder=STRING + [""]),
    "timeout": dict(TARGET, **{
        "in": [v for v in DURATION0 if v is not None],
        "extend": ["x", "", True, [], {}, None, TEN_YEARS, 1e300],
        "at": [5, "", "tomorrow", "2030-13-01T00:00:00Z", "2030-01-01", True, [], {}, None]}),
    "wait": dict(MANY, timeout=DURATION0 + [None], mode=ENUM, **{"for": ENUM}),
    "cancel_wait": {"wait": [[], {}, 1.5, True, None], "msg": MSG},
    "list": {"select": SELECT, "after": [1.5, True, [], {}, None],
             "limit": [0, -1, 1001, 1.0, "5", True, [], {}, None],
             "order": ENUM, "full": BOOL},
    "show": TARGET,
    "logs": dict(TARGET, stream=ENUM, encoding=ENUM, follow=BOOL,
                 offset=[1.5, "0", True, [], {}, None], limit=[-1, 1.5, "5", True, [], {}, None]),
    "events": {"since": [-1, 1.5, "0", True, [], {}, None], "select": SELECT},
    "signal": dict(TARGET, signal=SIGNAL),
    "pause": TARGET, "resume": TARGET,
    "remove": MANY,
    "shutdown": {"msg": MSG, "mode": ENUM},
}
# What else a request needs, so that only the member in question is at fault.
REST = {"start": {"argv": ["true"]}, "signal": {"signal": "TERM"}, "timeout": {"in": 1000},
        "cancel_wait": {"wait": "nobody"}}
NEEDS_TARGET = [c for c, m in COMMANDS.items() if "id" in m]


class BadInput(harness.Case):
    def setUp(self):
        super().setUp()
        self.id = self.c.sh("exec sleep 300", name="victim", key="victim" + self.id_suffix())
        self.c.running(self.id)
        self.before = self.snapshot()
        self.addCleanup(self.finish)

    def id_suffix(self):
        return self._testMethodName

    def snapshot(self):
        seq = self.d.connect().ok("events")["seq"]
        task = self.d.connect().ok("show", id=self.id)["task"]
        task.pop("usage", None)
        return seq, task

    def finish(self):
        c = self.d.connect()
        after = self.snapshot()
        c.ok("kill", id=self.id)
        c.ended(self.id)
        self.assertEqual(after, self.before, "a refused request has changed something")

    def request(self, cmd, member, value):
        request = {"cmd": cmd, "rid": "bad"}
        if cmd in NEEDS_TARGET and member not in ("id", "name", "key", "ids", "select"):
            request["id"] = self.id
        for k, v in REST.get(cmd, {}).items():
            if not (cmd == "timeout" and member in ("in", "extend", "at")):
                request.setdefault(k, v)
        request[member] = value
        return request

    def check(self, request, field=None):
        """Sends it on a connection of its own; it must be bad_request with the field."""
        text = json.dumps(request)[:300]
        self.c.send(request)
        try:
            reply = self.c.recv()
        except harness.Gone:
            self.c = self.conn()
            self.fail("%s: the connection was closed" % text)
        self.assertEqual(reply.get("ok"), False, "%s was taken: %r" % (text, reply))
        error = reply["error"]
        self.assertEqual(error["code"], "bad_request", "%s: %r" % (text, error))
        if field is not None:
            self.assertEqual(error.get("field"), field, "%s: %r" % (text, error))
        self.assertRegex(error["message"], r"(?s)^\S.* .*\S$", "not a sentence")
        if request.get("rid") == "bad":
            self.assertEqual(reply.get("rid"), "bad", text)

    def member(self, cmd, member, values):
        for value in values:
            path = ""
            if isinstance(value, tuple):
                value, path = value
            with self.subTest(cmd=cmd, member=member, value=json.dumps(value)[:80]):
                self.check(self.request(cmd, member, value), member + path)

    def test_common_members(self):
        for cmd in COMMANDS:
            for member, values in COMMON.items():
                self.member(cmd, member, values)

    def test_unknown_member(self):                                                  # J11
        for cmd in COMMANDS:
            for member in ("timout", "", "CMD", "Id", "x" * 200, "tags", "pid"):
                self.member(cmd, member, [1])

    def test_members_of_other_commands(self):
        every = {m for members in COMMANDS.values() for m in members}
        for cmd, members in COMMANDS.items():
            for member in sorted(every - set(members)):
                self.member(cmd, member, ["x"])

    def test_cmd_itself(self):
        for request in ({"rid": "bad"}, {"cmd": 5, "rid": "bad"}, {"cmd": None, "rid": "bad"},
                        {"cmd": ["hello"], "rid": "bad"}, {"op": "hello", "rid": "bad"},
                        {"cmd": True, "rid": "bad"}, {"cmd": {}, "rid": "bad"}):
            with self.subTest(request=request):
                self.check(request, "cmd")
        self.check({})

    def test_no_task_named(self):
        for cmd in NEEDS_TARGET:
            if cmd != "start":
                with self.subTest(cmd=cmd):
                    self.check(dict(REST.get(cmd, {}), cmd=cmd, rid="bad"))

    def test_task_named_twice(self):
        for cmd in NEEDS_TARGET:
            if cmd == "start":
                continue
            for also in ({"name": "victim"}, {"key": "victim"}):
                with self.subTest(cmd=cmd, also=also):
                    self.check(dict(REST.get(cmd, {}), cmd=cmd, id=self.id, rid="bad", **also))

    def test_missing(self):
        for request, field in (({"cmd": "start"}, None), ({"cmd": "start", "name": "x"}, None),
                               ({"cmd": "signal", "id": self.id}, "signal"),
                               ({"cmd": "timeout", "id": self.id}, None),
                               ({"cmd": "cancel_wait"}, "wait")):
            with self.subTest(request=request):
                self.check(dict(request, rid="bad"), field)

    def test_either_or(self):
        for request in ({"cmd": "start", "argv": ["true"], "shell": "true"},
                        {"cmd": "timeout", "id": self.id, "in": 5, "extend": 5},
                        {"cmd": "timeout", "id": self.id, "in": None, "extend": 5},
                        {"cmd": "start", "argv": ["true"], "hooks": {
                            "finally": {"argv": ["true"], "shell": "true"}}},
                        {"cmd": "start", "argv": ["true"], "hooks": {"finally": {}}},
                        {"cmd": "start", "argv": ["true"], "hooks": {"finally": {"timeout": 5}}}):
            with self.subTest(request=request):
                self.check(dict(request, rid="bad"))

    def test_several_waits_need_several_tasks(self):
        self.check({"cmd": "wait", "id": self.id, "for": "bogus", "rid": "bad"}, "for")

    def test_one_bad_of_many_good(self):
        """A request is checked whole before anything is done."""
        self.check({"cmd": "cancel", "id": self.id, "msg": "x", "grace": 5, "wait": True,
                    "bogus": 1, "rid": "bad"}, "bogus")
        self.check({"cmd": "kill", "id": self.id, "pierce": 1, "rid": "bad"}, "pierce")

    def test_not_found(self):
        for cmd in NEEDS_TARGET:
            if cmd == "start":
                continue
            for who in ({"id": 1 << 40}, {"name": "no such"}, {"key": "no such"}):
                with self.subTest(cmd=cmd, who=who):
                    self.c.refused("not_found", cmd, **dict(REST.get(cmd, {}), **who))
        self.c.refused("not_found", "cancel_wait", wait="nobody")


def generate():
    for cmd, members in COMMANDS.items():
        def test(self, cmd=cmd, members=members):
            for member, values in members.items():
                self.member(cmd, member, values)
            if cmd == "start":
                for values in ([5, True, [], {}, None, ""],):
                    for value in values:
                        with self.subTest(cmd=cmd, member="shell", value=value):
                            self.check({"cmd": "start", "shell": value, "rid": "bad"}, "shell")
        if members:
            setattr(BadInput, "test_%s" % cmd, test)


generate()

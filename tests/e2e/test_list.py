"""list, show, select, remove, stats."""
import harness


class List(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        c = cls.d.connect()
        cls.ids = []
        for i in range(30):
            cls.ids.append(c.ok("start", argv=["true", str(i)], hold=True, name="n%d" % (i % 3),
                                labels={"mod": str(i % 5), "all": "x"}, env={"A": "1"})["id"])
        for id in cls.ids[:6]:
            c.ok("release", id=id)
            c.ended(id)
        for id in cls.ids[6:9]:
            c.ok("cancel", id=id)
        c.close()

    def select(self, **select):
        reply = self.c.ok("list", select=select, limit=1000)
        return [t["id"] for t in reply["tasks"]]

    def test_everything(self):
        reply = self.c.ok("list", limit=1000)
        self.assertEqual([t["id"] for t in reply["tasks"]], self.ids)
        self.assertIsNone(reply["next"])

    def test_without_argv_and_env_unless_full(self):
        for task in self.c.ok("list", limit=1)["tasks"]:
            self.assertNotIn("argv", task)
            self.assertNotIn("env", task)
            self.has(task, name="n0", state="done", labels={"mod": "0", "all": "x"})
        for task in self.c.ok("list", limit=1, full=True)["tasks"]:
            self.has(task, argv=["true", "0"], env={"A": "1"})

    def test_order(self):
        self.assertEqual([t["id"] for t in self.c.ok("list", order="id")["tasks"]], self.ids)
        self.assertEqual([t["id"] for t in self.c.ok("list", order="-id")["tasks"]],
                         self.ids[::-1])

    def test_cursor(self):
        for order, want in (("id", self.ids), ("-id", self.ids[::-1])):
            got, after, pages = [], None, 0
            while True:
                members = {"limit": 7, "order": order}
                if after is not None:
                    members["after"] = after
                reply = self.c.ok("list", **members)
                got += [t["id"] for t in reply["tasks"]]
                pages += 1
                after = reply["next"]
                if after is None:
                    break
                self.assertEqual(len(reply["tasks"]), 7)
            self.assertEqual(got, want)
            self.assertEqual(pages, 5)

    def test_cursor_with_select(self):
        first = self.c.ok("list", limit=4, select={"name": "n1"})
        rest = self.c.ok("list", limit=1000, select={"name": "n1"}, after=first["next"])
        self.assertEqual([t["id"] for t in first["tasks"] + rest["tasks"]], self.ids[1::3])

    def test_select(self):
        ids = self.ids
        self.assertEqual(self.select(all=True), ids)
        self.assertEqual(self.select(state="done"), ids[:6])
        self.assertEqual(self.select(state="cancelled"), ids[6:9])
        self.assertEqual(self.select(state=["cancelled", "done"]), ids[:9])
        self.assertEqual(self.select(state="running"), [])
        self.assertEqual(self.select(name="n2"), ids[2::3])
        self.assertEqual(self.select(label={"mod": "3"}), ids[3::5])
        self.assertEqual(self.select(label={"mod": "3", "all": "x"}), ids[3::5])
        self.assertEqual(self.select(label={"mod": "3", "all": "y"}), [])
        self.assertEqual(self.select(label={"mod": "0"}, state="pending", name="n1"),
                         [i for k, i in enumerate(ids) if k % 5 == 0 and k % 3 == 1 and k > 8])
        self.assertEqual(self.select(all=True, name="n0"), ids[::3])

    def test_show(self):
        self.has(self.c.ok("show", id=self.ids[3])["task"], id=self.ids[3], argv=["true", "3"],
                 name="n0", state="done", env={"A": "1"})
        self.has(self.c.ok("show", name="n0")["task"], id=self.ids[27])     # the newest

    def test_show_unknown(self):
        self.c.refused("not_found", "show", id=99999)
        self.c.refused("not_found", "show", name="nobody")

    def test_limit(self):
        self.assertEqual(len(self.c.ok("list", limit=1)["tasks"]), 1)
        self.c.refused("bad_request", "list", field="limit", limit=1001)


class Remove(harness.Case):
    def ended(self, **members):
        return self.c.ok("start", shell="echo output", wait=True, **members)["id"]

    def test_one(self):
        id = self.ended(key="removed", name="removed")
        self.c.ok("remove", id=id)
        self.c.refused("not_found", "show", id=id)
        self.c.refused("not_found", "logs", id=id)
        self.c.refused("not_found", "show", key="removed")
        self.c.refused("not_found", "remove", id=id)
        again = self.c.ok("start", shell="echo output", wait=True, key="removed")
        self.assertGreater(again["id"], id, "an id is never reused")
        self.assertFalse(again["existing"])

    def test_not_while_it_runs(self):
        id = self.c.sh("exec sleep 60")
        self.c.running(id)
        reply = self.c.call("remove", id=id)
        self.has(self.c.task(id), state="running")
        self.assertTrue(not reply["ok"] or "results" in reply or not reply.get("accepted", True),
                        "it says that it removed a running task: %r" % reply)
        self.c.ok("kill", id=id)

    def test_several(self):
        ids = [self.ended(labels={"rm": "1"}) for unused in range(4)]
        self.c.ok("remove", ids=ids[:2])
        self.assertEqual([t["id"] for t in self.c.ok(
            "list", select={"label": {"rm": "1"}})["tasks"]], ids[2:])
        self.c.ok("remove", select={"label": {"rm": "1"}})
        self.assertEqual(self.c.ok("list", select={"label": {"rm": "1"}})["tasks"], [])

    def test_waiters_have_been_answered(self):
        c = self.conn()
        id = self.ended()
        self.has(c.wait(id), result="done")
        self.c.ok("remove", id=id)
        c.refused("not_found", "wait", id=id)


class Stats(harness.Case):
    def test_stats(self):
        a = self.c.sh("exec sleep 60")
        self.c.running(a)
        self.c.ok("start", argv=["true"], wait=True)
        self.c.ok("start", argv=["false"], wait=True)
        self.c.ok("start", argv=["true"], hold=True)
        stats = self.c.ok("stats")
        text = str(stats)
        self.assertIn("uptime", stats)
        states = next(v for v in stats.values() if isinstance(v, dict) and "running" in v)
        self.has(states, running=1, done=1, failed=1, pending=1)
        self.assertTrue("cgroup" in text or "subreaper" in text,
                        "stats does not say the containment: %s" % text)

"""What is a JSON object and what is not (protocol.md 1; bad_json leaves the connection open)."""
import json
import random
import time

import harness


class Json(harness.Case):
    def bad(self, line):
        self.c.send(line + b"\n")
        reply = self.c.recv()
        self.assertEqual(reply.get("ok"), False, "%r was taken: %r" % (line[:100], reply))
        self.assertEqual(reply["error"]["code"], "bad_json", "%r: %r" % (line[:100], reply))
        self.assertNotIn("rid", reply, "rid is not echoed with bad_json")
        self.c.ok("hello")                      # the connection stays open

    def msg(self, raw):
        """Starts a held task, cancels it with this raw JSON as msg; gives back the line."""
        id = self.c.ok("start", argv=["true"], hold=True)["id"]
        self.c.send(b'{"cmd":"cancel","id":%d,"rid":"m","msg":%s}\n' % (id, raw))
        return id, self.c.reply("m")

    def test_duplicate_keys(self):                                                  # J01
        self.bad(b'{"cmd":"hello","cmd":"hello"}')
        self.bad(b'{"cmd":"hello","rid":1,"rid":1}')
        self.bad(b'{"cmd":"hello","\\u0063md":"hello"}')
        self.bad(b'{"cmd":"start","argv":["true"],"labels":{"a":"1","a":"2"}}')

    def test_invalid_utf8(self):                                                    # J03
        for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xc3", b"\x80", b"\xf5\x80\x80\x80",
                    b"\xe2\x82", b"\xf4\x90\x80\x80"):
            self.bad(b'{"cmd":"hello","rid":"' + bad + b'"}')
            self.bad(b'{"cmd":"hello","' + bad + b'":1}')

    def test_lone_surrogates(self):                                                 # J04
        for bad in (b"\\ud800", b"\\udc00", b"\\ud800x", b"\\ud800\\u0041", b"\\udc00\\ud800"):
            self.bad(b'{"cmd":"hello","rid":"' + bad + b'"}')

    def test_surrogate_pair(self):
        self.c.send(b'{"cmd":"hello","rid":"\\ud83d\\ude00"}\n')
        self.has(self.c.recv(), ok=True, rid="\U0001f600")

    def test_nul_escape(self):
        self.bad(b'{"cmd":"hello","rid":"a\\u0000b"}')
        self.bad(b'{"cmd":"start","argv":["true"],"labels":{"a\\u0000":"x"}}')

    def test_depth(self):                                                           # J06
        id, reply = self.msg(b"[" * 15 + b"]" * 15)
        self.has(reply, ok=True)
        self.assertEqual(json.dumps(self.c.task(id)["cancel"]["msg"]), "[" * 15 + "]" * 15)
        for depth in (16, 17, 200, 2049, 100000):
            self.bad(b'{"cmd":"cancel","id":1,"msg":' + b"[" * depth + b"]" * depth + b"}")
        self.bad(b'{"cmd":"cancel","id":1,"msg":' + b'{"a":' * 16 + b"1" + b"}" * 17)

    def test_a_quarter_megabyte_of_openings(self):                                  # J07
        line = (b'{"a":' * 60000)[:256 * 1024 - 1]
        begun = time.monotonic()
        self.bad(line)
        self.assertLess(time.monotonic() - begun, 0.5 * harness.SLOW)

    def test_not_json(self):                                                        # J09
        for value in (b"NaN", b"Infinity", b"-Infinity", b"01", b"+1", b"1.", b".5", b"0x1",
                      b"1e", b"-", b"'a'", b'"a', b'"\\x41"', b'"\\u12"', b'"\t"', b'"\x01"',
                      b"tru", b"True", b"nil", b"", b"[1,]", b"{,}", b'{"a":1,}', b"[1 2]",
                      b"{1:2}", b'{"a"}', b"/*x*/1", b"1//x", b"undefined"):
            with self.subTest(value=value):
                self.bad(b'{"cmd":"hello","rid":' + value + b"}")

    def test_half_objects(self):
        for line in (b"{", b'{"cmd"', b'{"cmd":', b'{"cmd":"hello"', b'{"cmd":"hello",', b"{]",
                     b"{{}}", b"{'cmd':'hello'}", b'{"cmd":"hello"}}', b"{cmd:1}"):
            with self.subTest(line=line):
                self.bad(line)

    def test_numbers_that_do_not_fit(self):
        for number in (b"1e400", b"-1e400", b"9223372036854775808", b"-9223372036854775809",
                       b"1" + b"0" * 400):
            self.bad(b'{"cmd":"hello","rid":' + number + b"}")
        self.c.send(b'{"cmd":"hello","rid":9223372036854775807}\n')
        self.has(self.c.recv(), ok=True, rid=9223372036854775807)
        self.c.send(b'{"cmd":"hello","rid":-9223372036854775808}\n')
        self.has(self.c.recv(), ok=True, rid=-9223372036854775808)

    def test_rid(self):                                                             # J16
        for rid in ("x", "", "a" * 128, 0, -5, "\u00e9" * 64, "\u202e\ufffe", 1 << 53):
            self.assertEqual(self.c.call("hello", rid=rid)["rid"], rid)
        for rid in ([], {}, 1.5, True, None, "a" * 129, "\u00e9" * 65, 1.0):
            with self.subTest(rid=rid):
                self.c.send({"cmd": "hello", "rid": rid})
                reply = self.c.recv()
                self.has(reply, ok=False)
                self.has(reply["error"], code="bad_request", field="rid")
                self.assertNotIn("rid", reply)

    def test_unicode_comes_back_equal(self):                                        # J13
        for text in ("\u00e9", "e\u0301", "\U0001f600\U0010ffff", "\ufffe\uffff\ufffd",
                     "\u202eabc\u202c", "\u2028\u2029", "\x7f\x80\x9b", "tab\tnl\ncr\resc\x1b[2J",
                     "\x01\x02\x1f", '"\\/'):
            with self.subTest(text=text):
                id = self.c.ok("start", argv=["true", text], name=text, labels={text: text},
                               hold=True)["id"]
                self.c.ok("cancel", id=id, msg=text)
                task = self.c.ok("list", select={"name": text}, full=True)["tasks"][0]
                self.has(task, id=id, name=text, labels={text: text}, argv=["true", text])
                self.assertEqual(task["cancel"]["msg"], text)

    def test_format_strings_are_text(self):                                         # V06
        text = "%n%s{}%1000000d$(id)`id`"
        id = self.c.ok("start", argv=["printf", "%s", text], name=text)["id"]
        self.has(self.c.ended(id), name=text, state="done")
        self.assertEqual(self.c.output(id), text)

    def test_msg_is_any_json_kept_exactly(self):
        for raw in (b'""', b"0", b"false", b"true", b"[]", b"{}", b'[1,2.5,"x",null,{"a":[]}]',
                    b'{"b":1,"a":2}', b"1.5", b"-7", b"9007199254740993"):
            with self.subTest(raw=raw):
                id, reply = self.msg(raw)
                self.has(reply, ok=True)
                self.assertEqual(json.dumps(self.c.task(id)["cancel"]["msg"]),
                                 json.dumps(json.loads(raw)))

    def test_msg_sizes(self):                                                       # T13, J15
        id, reply = self.msg(b'"' + b"x" * 65536 + b'"')
        self.has(reply, ok=True)
        self.assertEqual(self.c.task(id)["cancel"]["msg"], "x" * 65536)
        id, reply = self.msg(b'"' + b"\\u0041" * 43000 + b'"')      # decoded bytes count
        self.has(reply, ok=True)
        self.assertEqual(self.c.task(id)["cancel"]["msg"], "A" * 43000)
        id, reply = self.msg(b'"' + b"x" * 65537 + b'"')
        self.has(reply["error"], code="bad_request", field="msg")
        id, reply = self.msg(b'"' + "\u00e9".encode() * 32769 + b'"')
        self.has(reply["error"], code="bad_request", field="msg")
        id, reply = self.msg(b"[" + b"1," * 40000 + b"1]")
        self.has(reply["error"], code="bad_request", field="msg")
        self.has(self.c.task(id), state="pending", cancel=None)

    def test_any_order_and_white_space(self):                                       # J14
        rng = random.Random(14)
        members = {"cmd": '"start"', "argv": '["true"]', "hold": "true", "name": '"shuffled"',
                   "labels": '{"a":"b"}', "timeout": "5", "grace": "null"}

        def space():
            return "".join(rng.choice(" \t\r") for unused in range(rng.randrange(3)))

        seen = set()
        for i in range(150):
            keys = list(members)
            rng.shuffle(keys)
            body = ",".join('%s"%s"%s:%s%s%s' % (space(), k, space(), space(), members[k], space())
                            for k in keys)
            self.c.send(("{%s,\"rid\":%d}\n" % (body, i)).encode())
            reply = self.c.reply(i)
            self.has(reply, ok=True, state="pending")
            seen.add(reply["id"])
        self.assertEqual(len(seen), 150)
        tasks = self.c.ok("list", select={"name": "shuffled"}, limit=200, full=True)["tasks"]
        self.assertEqual(len(tasks), 150)
        for task in tasks:
            self.has(task, argv=["true"], labels={"a": "b"}, timeout=5, grace=None)

    def test_random_bytes(self):
        rng = random.Random(7)
        valid = b'{"cmd":"hello","rid":"x","close":false}'
        for i in range(400):
            line = bytearray(valid)
            for unused in range(rng.randrange(1, 4)):
                line[rng.randrange(1, len(line))] = rng.randrange(256)
            if b"\n" in line:
                continue
            c = self.c if i % 10 else self.conn()
            c.send(bytes(line) + b"\n")
            try:
                self.assertIn("ok", c.recv())
            except harness.Gone:                # it may have become "close":true or the like
                self.fail("closed after %r" % line)

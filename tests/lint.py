#!/usr/bin/env python3
"""Checks of the tree itself: python3 tests/lint.py [CHECK]...

  layers    who includes whom, by layers.txt
  sizes     functions of at most 80 lines, files of at most 800; prints the median
  comments  each .c and .h opens with its purpose, each function of a header is documented
  names     the names of proto.h are all in protocol.md; no document names what does not exist
  format    clang-format-14 has nothing to change
  cppcheck  finds nothing

Prints what is wrong, file:line first. What is not installed is skipped. The last line is
"N passed, M failed[, K skipped]", of checks. Python 3.9 or newer, standard library only."""
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FUNCTION_MAX, FILE_MAX, MEDIAN_MAX = 80, 800, 15
SPEAKING = re.compile(r"_(new|free|init|release|name|[gs]et(_\w+)?|count)$")
INCLUDE = re.compile(r'^#\s*include\s+"([^"]+)"', re.M)


class Skip(Exception):
    pass


def sources(*folders, suffixes=(".c", ".h")):
    return sorted(p for f in folders for p in (ROOT / f).rglob("*") if p.suffix in suffixes)


def name_of(path):
    return str(path.relative_to(ROOT))


def text_of(path):
    return path.read_text(encoding="utf-8")


# ------------------------------------------------------------------ layers

class Section:
    """Of layers.txt: "[NAME] FOLDER...; MODULE_OF_OTHERS..." and its layers."""

    def __init__(self, head):
        self.name, rest = re.match(r"\[(\S+)\]\s*(.*)", head).groups()
        folders, _, foreign = rest.partition(";")
        self.folders, self.foreign = folders.split(), set(foreign.split())
        self.modules = []       # (layer, name, stems or None)
        self.used = set()

    def add(self, layer, line):
        for word in line.split():
            name, _, stems = word.partition("=")
            self.modules.append((layer, name, stems.split("|") if stems else None))

    def find(self, stem):
        """(layer, module) of a file: by its whole name first, else the longest beginning."""
        hits = [(len(name), layer, name) for layer, name, stems in self.modules
                if (stem in stems if stems else stem == name or stem.startswith(name + "_"))]
        whole = [(layer, name) for layer, name, stems in self.modules
                 if stem == name or stem in (stems or ())]
        if whole:
            return whole[0]
        return max(hits)[1:] if hits else None

    def files(self):
        return sorted(p for f in self.folders for p in (ROOT / f).glob("*.[ch]"))


def read_layers():
    sections = []
    for n, line in enumerate(text_of(ROOT / "tests" / "layers.txt").splitlines()):
        line = line.split("#")[0].strip()
        if line.startswith("["):
            sections.append(Section(line))
        elif line:
            sections[-1].add(n, line)
    return sections


def check_layers():
    bad, known = [], set()
    for section in read_layers():
        for path in section.files():
            known.add(path)
            bad += includes_of(section, path)
        bad += ["tests/layers.txt: [%s] has no file of module %s" % (section.name, m)
                for _, m, _ in section.modules if m not in section.used]
    bad += ["%s: its folder is not in tests/layers.txt" % name_of(p)
            for p in sources("daemon", "client") if p not in known]
    return bad


def includes_of(section, path):
    mine = section.find(path.stem)
    if mine is None:
        return ["%s: not in tests/layers.txt" % name_of(path)]
    section.used.add(mine[1])
    bad = []
    for found in INCLUDE.finditer(text_of(path)):
        header = found[1][:-2]
        theirs = section.find(header)
        at = "%s:%d: " % (name_of(path), text_of(path).count("\n", 0, found.start()) + 1)
        if header in section.foreign:
            continue
        if theirs is None:
            bad.append(at + "%s may not include %s.h at all" % (mine[1], header))
        elif theirs[1] != mine[1] and theirs[0] >= mine[0]:
            bad.append(at + "%s may not include %s.h, which is not below it" % (mine[1], header))
        elif header.endswith("_private") and not path.stem.startswith(header[:-len("_private")]):
            bad.append(at + "%s.h is private" % header)
    return bad


# ------------------------------------------------------------------ sizes

def functions(path):
    """(name, line, lines) of each definition, formatted as .clang-format has it."""
    lines = text_of(path).splitlines()
    begin = None
    for n, line in enumerate(lines):
        if line == "{":
            head, k = "", n - 1
            while k >= 0 and lines[k].strip() and not lines[k].startswith(("#", "}", "/*", " */")):
                head = lines[k] + " " + head
                k -= 1
            named = re.search(r"(\w+)\s*\(", head)
            begin = (named[1] if named else "?", n, k + 2)
            if named and named[1] == "START_TEST":
                begin = (re.search(r"START_TEST\s*\((\w+)", head)[1], n, k + 2)
        elif line.startswith("}") and begin:
            yield begin[0], begin[2], n - begin[1] - 1
            begin = None


def check_sizes():
    bad, sizes = [], {}
    for path in sources("daemon", "client", "tests", "examples", "include"):
        total = text_of(path).count("\n")
        if total > FILE_MAX:
            bad.append("%s: %d lines, %d are allowed" % (name_of(path), total, FILE_MAX))
        for name, line, lines in functions(path):
            top = name_of(path).split("/")[0]
            sizes.setdefault(top, []).append(lines)
            if lines > FUNCTION_MAX:
                bad.append("%s:%d: %s has %d lines, %d are allowed"
                           % (name_of(path), line, name, lines, FUNCTION_MAX))
    for top, s in sizes.items():
        s.sort()
        print("%s: %d functions, median %g lines, 9 of 10 up to %d, longest %d"
              % (top, len(s), statistics.median(s), s[len(s) * 9 // 10], s[-1]))
        if top in ("daemon", "client") and statistics.median(s) > MEDIAN_MAX:
            bad.append("%s: the median function has more than %d lines" % (top, MEDIAN_MAX))
    return bad


# ------------------------------------------------------------------ comments

def check_comments():
    bad = []
    for path in sources("daemon", "client", "tests", "examples", "include"):
        text = text_of(path)
        if not text.startswith("/*"):
            bad.append("%s:1: does not open with a comment of its purpose" % name_of(path))
        if path.suffix == ".h" and name_of(path).startswith(("daemon", "client", "include")):
            bad += undocumented(path, text)
    return bad


def undocumented(path, text):
    """What a paragraph of prototypes says nothing of: it has no comment, and the name is not one of
    those that say all themselves."""
    bad, line = [], 1
    for paragraph in text.split("\n\n"):
        if "/*" not in paragraph:
            for found in re.finditer(r"^[a-z][\w \t*]*?(\w+)\([^;{}]*\)[^;{}]*;", paragraph, re.M):
                if not SPEAKING.search(found[1]) and not found[0].startswith(("static", "typedef")):
                    at = line + paragraph.count("\n", 0, found.start())
                    bad.append("%s:%d: %s() is not documented" % (name_of(path), at, found[1]))
        line += paragraph.count("\n") + 2
    return bad


# ------------------------------------------------------------------ names

# words that look like a name of ours in a document and are another's
FOREIGN = """apt_get __init__ no_new_privs cgroup_kill wait_for async_io task_spooler
    sd_notify start_new_session""".split()


def proto_names():
    """{"states": [...], ...} of proto.h."""
    text = text_of(ROOT / "include" / "proto.h")
    out = {}
    for name, body in re.findall(r"#define PROTO_(\w+)\(X\)((?:.*\\\n)*.*\n)", text):
        out[name.lower()] = re.findall(r'X\(\w+, "([^"]+)"\)', body) or re.findall(
            r"X\((\w+)\)", body)
    return out


def check_names():
    contract = ROOT / "include" / "protocol.md"
    if not contract.exists():
        return ["include/protocol.md: is missing"]
    bad, names, text = [], proto_names(), text_of(contract)
    for kind, members in names.items():
        for n in members:
            if not re.search(r"`[^`\n]*(?<![\w.])%s(?!\w)[^`\n]*`" % re.escape(n), text):
                bad.append("include/protocol.md: does not mention `%s`, of the %s" % (n, kind))
    for doc in (contract, ROOT / "README.md"):
        bad += strangers(doc, names) if doc.exists() else ["%s: is missing" % name_of(doc)]
    return bad


def strangers(doc, names):
    """Names in backticks, or members of JSON, that occur nowhere in the source."""
    known = {w for p in sources("daemon", "client", "include", "examples", "tests")
             for w in re.findall(r"\w+", text_of(p))}
    bad = []
    for n, line in enumerate(text_of(doc).splitlines(), 1):
        if "*(later)*" in line:
            continue
        for quoted in re.findall(r"`([^`]+)`", line):
            for event in re.findall(r"\btask\.[a-z_]+\b(?!\.)", quoted):
                if event not in names["events"] and event.split(".")[1] not in known:
                    bad.append("%s:%d: there is no event %s" % (name_of(doc), n, event))
            for word in re.findall(r"(?<![\w$/.-])[a-z]+(?:_[a-z]+)+(?![\w/])", quoted):
                if word not in known and word not in FOREIGN:
                    bad.append("%s:%d: nothing in the source has the name %s"
                               % (name_of(doc), n, word))
    return bad + no_errors(doc, names)


def no_errors(doc, names):
    """Codes in the first column of a table of codes, and in "code":"...", that are no errors."""
    bad, table = [], False
    for n, line in enumerate(text_of(doc).splitlines(), 1):
        table = line.startswith("|") and (table or re.match(r"\|\s*(code|error)\s*\|", line))
        codes = re.findall(r'"code":\s*"(\w+)"', line)
        if table:
            codes += re.findall(r"`(\w+)`", line.split("|")[1])
        bad += ["%s:%d: there is no error %s" % (name_of(doc), n, c)
                for c in codes if c not in names["errors"]]
    return bad


# ------------------------------------------------------------------ tools

def tool(*candidates):
    for c in candidates:
        if shutil.which(c):
            return c
    raise Skip("%s is not installed" % candidates[0])


def output_of(argv):
    p = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, errors="replace")
    return p.returncode, p.stdout


def check_format():
    program = tool("clang-format-14", "clang-format")
    version = output_of([program, "--version"])[1]
    if " 14." not in version:
        raise Skip("only version 14 decides, and this is %s" % version.strip())
    files = [name_of(p) for p in sources("daemon", "client", "tests", "examples", "include")]
    rc, out = output_of([program, "--dry-run", "-Werror", "--ferror-limit=1"] + files)
    return [s for s in out.splitlines() if "error:" in s] or ([out] if rc else [])


# Finds of cppcheck 2.10 that are none, and why
SUPPRESS = [
    "missingIncludeSystem",         # it needs no system headers to judge us
    "normalCheckLevelMaxBranches",  # is about its own limits
    "invalidPointerCast",           # members found by their offset, of the type that a table says
]


def check_cppcheck():
    queue = [p for p in pathlib.Path("/usr/include").glob("*/sys/queue.h")][:1]
    rc, out = output_of(
        [tool("cppcheck"), "--enable=warning,portability,performance", "--error-exitcode=1",
         "--inline-suppr", "--quiet", "--std=c11", "-D_GNU_SOURCE", '-DTASKCTL_VERSION="x"',
         '-DTASKCTL_LIBEXECDIR="x"', "-j", str(os.cpu_count() or 1), "-Iinclude", "-Iclient",
         "--template={file}:{line}: {id}: {message}"]
        + ["--suppress=" + s for s in SUPPRESS]
        + ["--include=%s" % p for p in queue]       # its macros are control structures
        + ["-I" + name_of(p) for p in sorted((ROOT / "daemon").glob("*/")) if p.is_dir()]
        + ["-Idaemon", "daemon", "client", "examples"])
    return [s for s in out.splitlines() if s.strip()] if rc else []


CHECKS = {
    "layers": check_layers, "sizes": check_sizes, "comments": check_comments,
    "names": check_names, "format": check_format, "cppcheck": check_cppcheck,
}


def main():
    wanted = sys.argv[1:] or list(CHECKS)
    if set(wanted) - set(CHECKS):
        sys.exit(__doc__)
    passed = failed = skipped = 0
    for name in wanted:
        try:
            bad = CHECKS[name]()
        except Skip as e:
            print("skipped lint %s: %s" % (name, e), flush=True)
            skipped += 1
            continue
        for line in bad:
            print(line)
        print("lint %s: %s" % (name, "%d wrong" % len(bad) if bad else "good"), flush=True)
        passed, failed = passed + (not bad), failed + bool(bad)
    print("%d passed, %d failed" % (passed, failed) + (", %d skipped" % skipped if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Compares which lines are valid JSON with Python's own parser. Usage: json_lines_test.py MILLRACE"""

import json
import os
import pathlib
import random
import string
import subprocess
import sys
import tempfile
import unittest

MILLRACE = os.path.abspath(sys.argv.pop(1))
LINES = 6000


def random_number(rng):
    whole = rng.choice(["0", str(rng.randrange(1, 1000)), "9" * rng.randrange(15, 60), str(rng.getrandbits(80) + 1)])
    fraction = rng.choice(["", "", "." + "".join(rng.choices(string.digits, k=rng.randrange(1, 40)))])
    exponent = rng.choice(["", "", rng.choice("eE") + rng.choice(["", "+", "-"]) + str(rng.randrange(0, 2000))])
    return rng.choice(["", "-"]) + whole + fraction + exponent


def random_value(rng, depth):
    kind = rng.randrange(8 if depth else 5)
    if kind < 2:
        return random_number(rng)
    if kind == 2:
        return rng.choice(["true", "false", "null", "[]", "{}"])
    if kind < 5:
        text = "".join(rng.choice('ab "\\/\u00e9\u6c34\U0001f30a\u0001\x7f[]{}:,019') for _ in range(rng.randrange(8)))
        return json.dumps(text, ensure_ascii=rng.random() < 0.5)
    values = [random_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    blank = rng.choice(["", " ", "\t"])
    if kind == 5:
        return "{" + ",".join(f'"k{i}"{blank}:{value}' for i, value in enumerate(values)) + blank + "}"
    return "[" + blank + ("," + blank).join(values) + "]"


def random_line(rng):
    line = f'{{"n": {random_value(rng, 4)}, "text": {json.dumps("river " * rng.randrange(3))}, "m":{random_value(rng, 2)}}}'
    line = bytearray(line.encode())
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        at = rng.randrange(len(line))
        byte = rng.choice(b'0123456789+-.eE"\\u{}[],: \ttfn\xc3\xff\x00\x1f')
        change = rng.randrange(3)
        if change == 0:
            line[at] = byte
        elif change == 1:
            line.insert(at, byte)
        elif len(line) > 1:
            del line[at]
    return bytes(line)


def has_half_a_pair(value):
    if isinstance(value, str):
        return any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, list):
        return any(map(has_half_a_pair, value))
    return isinstance(value, dict) and (any(map(has_half_a_pair, value)) or any(map(has_half_a_pair, value.values())))


class NoJson(ValueError):
    pass


def refuse(constant):
    raise NoJson(constant)


def expected(line):
    """The cause of a line's reject; None if it is a document."""
    dropped = []

    def last_of(pairs):
        dropped.extend(text for pair in pairs for text in pair if has_half_a_pair(text))
        return dict(pairs)

    try:
        text = line.decode()
    except UnicodeDecodeError:
        return "bad_utf8"
    try:
        # Numbers stay text: the test is about their grammar, not their value.
        record = json.loads(text, parse_constant=refuse, parse_int=float, parse_float=float, object_pairs_hook=last_of)
    except ValueError:
        return "bad_json"
    if has_half_a_pair(record) or dropped:
        return "bad_utf8"
    if not isinstance(record, dict):
        return "not_object"
    if "text" not in record:
        return "missing_field"
    if not isinstance(record["text"], str):
        return "wrong_type"
    return None if record["text"] else "empty_text"


class Json(unittest.TestCase):
    def test_a_line_is_json_exactly_where_python_says_so(self):
        rng = random.Random(20260)
        lines = [random_line(rng) for _ in range(LINES)]
        wanted = {number: cause for number, line in enumerate(lines, 1) if (cause := expected(line))}
        self.assertGreater(len(wanted), LINES // 4)
        self.assertLess(len(wanted), LINES * 3 // 4)
        with tempfile.TemporaryDirectory(prefix="millrace-json-") as folder:
            folder = pathlib.Path(folder)
            # A valid line first, because a file's format is recognised by its beginning.
            (folder / "lines.jsonl").write_bytes(b'{"text": "first"}\n' + b"\n".join(lines) + b"\n")
            done = subprocess.run([MILLRACE, "index", folder / "lines.jsonl", "--layout", "custom", "--out", folder / "i.json"],
                                  capture_output=True, text=True, timeout=300)
            self.assertEqual(done.returncode, 0, done.stderr)
            rejects = [json.loads(line) for line in (folder / "i.rejects.jsonl").read_text().splitlines()]
        found = {reject["line"] - 1: reject["cause"] for reject in rejects}
        malformed = {"bad_json", "bad_utf8"}  # A line with both faults may have either cause.
        unlike = [(lines[n - 1], wanted.get(n), found.get(n)) for n in sorted(wanted.keys() | found.keys())
                  if wanted.get(n) != found.get(n) and not {wanted.get(n), found.get(n)} <= malformed]
        self.assertEqual(unlike[:5], [], f"{len(unlike)} of {LINES} lines")


if __name__ == "__main__":
    unittest.main(verbosity=2)

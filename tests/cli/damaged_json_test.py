"""Every JSON file that the program writes, damaged in ways that a seed draws, and every command that reads it:
damaged_json_test.py MILLRACE quick|long. Either the damage changes nothing that is read, or one message says where it is."""

import json
import os
import pathlib
import random
import shutil
import subprocess
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run

MILLRACE = sys.argv[1]
TRIALS = {"quick": 4, "long": 150}[sys.argv[2]]  # For each file and reader.
SEED = 16

# Texts that only a library or the language produces.
RAW = ("json.exception", "std::", "_M_", "basic_string", "vector", "map::at", "stoull", "stoi", "what()", "terminate",
       "bad_alloc", "unordered", "invalid argument")

VALUES = (None, True, -1, 1.5, 2**63, 2**64, 10**30, 1e300, "", "x", "\u0007\u001b[31m", [], {}, [[]], {"a": 1})


def places(value, path=()):
    """The paths of all values within a JSON value."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def with_changed_value(rng, value):
    """A copy in which one value is changed, removed or duplicated."""
    value = json.loads(json.dumps(value))
    path = rng.choice(list(places(value)))
    if not path:
        return rng.choice(VALUES)
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    kind = rng.randrange(4)
    if kind == 0:
        del parent[path[-1]]
    elif kind == 1 and isinstance(parent, list):
        parent.insert(path[-1], parent[path[-1]])
    else:
        parent[path[-1]] = rng.choice(VALUES)
    return value


def with_changed_bytes(rng, text):
    """Truncated, with a byte flipped, bytes inserted, a key duplicated, or nested too deeply."""
    kind, at = rng.randrange(6), rng.randrange(len(text))
    if kind == 0:
        return text[:at]
    if kind == 1:
        return text[:at] + bytes([text[at] ^ 1 << rng.randrange(8)]) + text[at + 1 :]
    if kind == 2:
        return text[:at] + rng.choice((b"\xff", b"\x00", b",", b"}", b"\"", b"1e999")) + text[at:]
    if kind == 3:
        return text.replace(b"{", b"{\"step\": 1, \"step\": 2, ", 1)
    if kind == 4:
        return text.replace(b":", b":" + b"[" * 100_000, 1)
    return rng.choice((b"", b"null", b"[]", b"{}", b"\n", b"7", b"\xef\xbb\xbf{}"))


def damaged(rng, text):
    """A JSON text or a text of JSON lines, damaged."""
    if rng.random() < 0.3:
        return with_changed_bytes(rng, text)
    lines = text.splitlines()
    try:
        return json.dumps(with_changed_value(rng, json.loads(text))).encode() + b"\n"
    except ValueError:
        number = rng.randrange(len(lines))
        lines[number] = json.dumps(with_changed_value(rng, json.loads(lines[number]))).encode()
        return b"\n".join(lines) + b"\n"


def damaged_safetensors(rng, content):
    (size,) = struct.unpack("<Q", content[:8])
    header = damaged(rng, content[8 : 8 + size])
    if rng.random() < 0.5:
        return content[:8] + header[:size].ljust(size) + content[8 + size :]
    return struct.pack("<Q", len(header)) + header + content[8 + size :]


class DamagedJson(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-damaged-json-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")
        cls.data = cls.folder / "input" / "data"
        text = cls.run_file.read_text().replace("15_360", "5_632").replace("every_steps = 7", "every_steps = 10")
        cls.run_file.write_text(text)
        cls.run_folder = cls.folder / "run"
        cls.done("train", cls.run_file, "--run-dir", cls.run_folder, "--threads", 1)
        state = json.loads((cls.newest() / "state.json").read_text())
        state["position"]["row"] -= 4
        (cls.run_folder / "positions.jsonl").write_text(json.dumps(state["position"]) + "\n")
        cls.row = state["position"]["row"]
        changed = ("--set", "train.max_bad_steps=3", "--accept-changes")
        cls.done("train", cls.run_file, "--run-dir", cls.run_folder, "--threads", 1, "--resume", *changed)
        cls.rows, cls.olmo, cls.mds = (cls.folder / name for name in ("rows", "olmo", "mds"))
        for format, out in (("rows", cls.rows), ("mds", cls.mds)):
            cls.done("preprocess", cls.run_file, "--format", format, "--tokens", 2048, "--out", out)
        cls.done("preprocess", cls.run_file, "--format", "olmo", "--out", cls.olmo)
        cls.index = cls.data / "millrace-index.json"
        cls.done("index", cls.data, "--out", cls.index)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def call(cls, *arguments):
        return subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, timeout=120)

    @classmethod
    def done(cls, *arguments):
        run = cls.call(*arguments)
        assert run.returncode == 0, run.stderr.decode()

    def expect_a_message(self, file, command, damage=damaged, trials=TRIALS, before=lambda: None):
        """REQUIRES: the command changes nothing but the file, which is put back, and what `before` makes anew."""
        content = file.read_bytes()
        rng = random.Random(f"{SEED} {file.name} {command[0]}")
        refused = 0
        try:
            for trial in range(trials):
                file.write_bytes(damage(rng, content) if trial > 0 else content[: len(content) // 2])
                before()
                run = self.call(*command)
                error = run.stderr.decode(errors="replace")
                with self.subTest(file=file.name, command=command[0], trial=trial, damage=self.difference(content, file.read_bytes())):
                    self.assertIn(run.returncode, (0, 1, 2), error)
                    for raw in RAW:
                        self.assertNotIn(raw, error.replace("std::cout", ""))
                    if run.returncode != 0 or file.name in error:
                        refused += 1
                        told = error + run.stdout.decode()
                        # Valid JSON that does not match the folder is reported for the folder.
                        self.assertTrue(file.name in told or str(file.parent) in told, told)
        finally:
            file.write_bytes(content)
        self.assertGreater(refused, 0, f"no damage of {file.name} is told by {command[0]}")

    @staticmethod
    def difference(before, after):
        """Where the bytes begin to differ, and some of them."""
        at = next((i for i, (a, b) in enumerate(zip(before, after)) if a != b), min(len(before), len(after)))
        return at, after[max(at - 20, 0) : at + 40]

    def resume(self):
        return "train", self.run_file, "--run-dir", self.run_folder, "--threads", 1, "--resume", *(
            "--set", "train.max_bad_steps=3")

    @classmethod
    def newest(cls):
        return sorted((cls.run_folder / "checkpoints").iterdir())[-1]

    def test_of_a_run_folder_is_told_on_resuming(self):
        for name in ("run.json", "shards.jsonl"):
            self.expect_a_message(self.run_folder / name, self.resume())

    def test_of_a_state_is_told_on_resuming(self):
        """Also where no checksum detects it first."""
        state = self.newest() / "state.json"
        copy = self.folder / "copy"

        def make_copy():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(self.run_folder, copy)
            manifest = copy / "checkpoints" / state.parent.name / "manifest.json"
            content = json.loads(manifest.read_text())
            del content["files"]["state.json"]
            manifest.write_text(json.dumps(content))

        resume = [copy if argument == self.run_folder else argument for argument in self.resume()]
        self.expect_a_message(state, resume, before=make_copy, trials=3 * TRIALS)

    def test_of_a_runs_logs_is_told_by_what_reads_them(self):
        row = "inspect", self.run_folder, "--row", self.row
        self.expect_a_message(self.run_folder / "positions.jsonl", row)
        self.expect_a_message(self.run_folder / "metrics.jsonl", row)
        self.expect_a_message(self.run_folder / "summary.json", ("report", self.run_folder, "--json"))
        self.done("report", self.run_folder, "--mixing", "--window-rows", 20)
        self.expect_a_message(self.run_folder / "mixing.json", ("report", self.run_folder, "--json"))

    def test_of_a_checkpoint_is_told_by_what_loads_it(self):
        checkpoint = self.newest()
        generate = "generate", checkpoint, "--prompt", "river mill", "--tokens", 1
        self.expect_a_message(checkpoint / "config.json", generate)
        self.expect_a_message(checkpoint / "model.safetensors", generate, damaged_safetensors)
        evaluate = "eval", checkpoint, "--run", self.run_file, "--threads", 1
        self.expect_a_message(checkpoint / "state.json", evaluate)

    def test_of_rows_and_tokens_is_told_by_the_check(self):
        for folder in (self.rows, self.olmo, self.mds):
            self.expect_a_message(folder / "preprocess.json", ("preprocess", "--check", folder))
        self.expect_a_message(self.mds / "index.json", ("preprocess", "--check", self.mds))
        self.expect_a_message(self.rows / "preprocess.json", ("inspect", self.rows, "--rows", 1))

    def test_of_an_index_is_told_by_what_uses_it(self):
        self.expect_a_message(self.index, ("mix", "plan", self.run_file))
        self.expect_a_message(self.index, ("index", self.data, "--out", self.index))

    def test_a_name_that_is_no_utf8_is_refused_before_a_file_must_hold_it(self):
        folder = self.folder / "names"
        run = tiny_run.write_run(folder)
        data = bytes(folder / "data")
        os.rename(data + b"/code.jsonl", data + b"/co\xffde.jsonl")
        mix = folder / "mix.toml"
        mix.write_text(mix.read_text().replace("code.jsonl", "co*.jsonl"))
        rows = "inspect", run, "--rows", 20, "--threads", 1
        for command in ((*rows, "--json"), (*rows, "--stats", "--json"), ("index", folder / "data", "--json"),
                        ("trace", run, "--document", "prose.jsonl:3", "--json")):
            told = self.call(*command)
            self.assertEqual(told.returncode, 2, told.stderr)
            self.assertIn(b"co\xffde.jsonl", told.stderr)
            self.assertIn(b"rename it", told.stderr)
            self.assertEqual(told.stdout, b"")
        os.rename(data + b"/co\xffde.jsonl", data + b"/code.jsonl")
        weights = bytes(folder) + b"/we\xffights"
        shutil.copytree(bytes(self.newest()), weights)
        told = subprocess.run([MILLRACE, "train", run, "--run-dir", folder / "r", "--from", weights], capture_output=True)
        self.assertEqual(told.returncode, 2)
        self.assertIn(b"rename the folder", told.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

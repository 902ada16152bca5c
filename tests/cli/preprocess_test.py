"""millrace preprocess and train --rows from outside: preprocess_test.py MILLRACE quick|long"""

import json
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run

MILLRACE = None
KILLS = 3  # Per format, one after the other ...
ROUNDS = 1  # ... and this many times from the beginning.
FORMATS = {
    "megatron": (),
    "olmo": ("--part-bytes", "100000"),
    "nanotron": (),
    "mds": ("--tokens", "30720", "--part-bytes", "60000"),
    "rows": ("--tokens", "30720", "--part-bytes", "60000"),
}
DOCUMENT_FORMATS = [format for format, options in FORMATS.items() if "--tokens" not in options]
CLOCK = ("tokens_per_s", "step_s", "data_wait_s", "limit_share", "memory_bytes")


def millrace(*arguments, code=0):
    done = subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    if done.returncode != code:
        raise AssertionError(f"{arguments}: exit code {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}")
    return done


def files_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def metrics(folder):
    lines = [json.loads(line, parse_float=str) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in CLOCK} for line in lines]


def write_damaged_shards(data):
    """Prose in three shards: plain, frames of which one is damaged, and a torn last line; in natural order 2, 10."""
    lines = (data / "prose.jsonl").read_text().splitlines(keepends=True)
    (data / "prose.jsonl").unlink()
    (data / "prose-1.jsonl").write_text("".join(lines[:500]))
    frames = [subprocess.run(["zstd", "-q", "-c"], input="".join(lines[at:at + 100]).encode(), capture_output=True,
                             check=True).stdout for at in range(500, 1500, 100)]
    middle = len(frames[4]) // 2
    frames[4] = frames[4][:middle] + bytes(b ^ 0xFF for b in frames[4][middle:middle + 8]) + frames[4][middle + 8:]
    (data / "prose-2.jsonl.zst").write_bytes(b"".join(frames))
    (data / "prose-10.jsonl").write_text("".join(lines[1500:])[:-20])


class Preprocess(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-preprocess-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")
        write_damaged_shards(cls.folder / "input/data")
        mix = cls.folder / "input/mix.toml"
        mix.write_text(mix.read_text().replace('"prose.jsonl"', '"prose-*"'))
        text = cls.run_file.read_text().replace("until = 15_360", "until = 30_720")
        text = text.replace("max_bad_fraction = 0.01", "max_bad_fraction = 0.1")  # One frame of twenty is lost.
        cls.run_file.write_text(text.replace("[train]", "[train]\ntokens = 15_360"))
        cls.whole = {}
        for format, options in FORMATS.items():
            cls.whole[format] = cls.folder / f"whole-{format}"
            millrace(*cls.command(format, cls.whole[format]), "--threads", 1)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def command(cls, format, folder):
        return ["preprocess", cls.run_file, "--out", folder, "--format", format, *FORMATS[format]]

    def expect_same(self, folder, format):
        mine, other = files_in(folder), files_in(self.whole[format])
        self.assertEqual(sorted(mine), sorted(other))
        for name in mine:
            self.assertEqual(mine[name], other[name], f"{format}: {name}")

    def expect_nothing_that_looks_complete(self, folder):
        self.assertEqual([path.name for path in folder.iterdir()], [".unfinished"])
        self.assertIn("not finished", millrace("preprocess", "--check", folder, code=2).stderr)

    def killed_again_and_again(self, format, kills, seed):
        """Returns how often the process was killed before it was done."""
        rng = random.Random(f"{format} {seed}")
        folder = self.folder / f"killed-{format}-{seed}"
        command = [*map(str, self.command(format, folder))]
        progress, killed = folder / ".unfinished" / "progress.json", 0
        for _ in range(kills):
            process = subprocess.Popen([MILLRACE, *command, "--save-seconds", "0", "--threads", str(rng.randrange(1, 4))],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            saves, seen, last = rng.randrange(6), 0, None
            while process.poll() is None and seen <= saves:
                try:
                    state = progress.stat().st_mtime_ns
                except FileNotFoundError:  # Not begun yet, or whole.
                    state = None
                seen, last = seen + (state != last), state
                time.sleep(0.0005)
            time.sleep(rng.uniform(0, 0.01))
            process.kill()
            killed += process.wait() == -signal.SIGKILL
            if (folder / "preprocess.json").exists():
                break
            if killed and folder.exists() and "preprocess.json" not in files_in(folder / ".unfinished"):
                self.assertEqual([path.name for path in folder.iterdir()], [".unfinished"])
        millrace(*command)
        self.expect_same(folder, format)
        shutil.rmtree(folder)
        return killed

    def test_killed_at_any_point_gives_the_same_bytes(self):
        for format in FORMATS:
            with self.subTest(format=format):
                killed = sum(self.killed_again_and_again(format, KILLS, seed) for seed in range(ROUNDS))
                self.assertGreater(killed, 0)

    def test_interrupted_saves_exits_130_and_goes_on(self):
        for format in ("megatron", "rows"):
            for attempt in range(10):
                folder = self.folder / f"interrupted-{format}-{attempt}"
                process = subprocess.Popen([MILLRACE, *map(str, self.command(format, folder)), "--threads", "1"],
                                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                while process.poll() is None and not (folder / ".unfinished/progress.json").exists():
                    time.sleep(0.001)
                process.send_signal(signal.SIGINT)
                log = process.communicate(timeout=60)[1]
                if process.returncode != 0:
                    break
            self.assertEqual(process.returncode, 130, log)
            self.assertIn("the same command goes on", log)
            self.expect_nothing_that_looks_complete(folder)
            millrace(*self.command(format, folder))
            self.expect_same(folder, format)

    def test_the_number_of_threads_changes_nothing(self):
        for format in FORMATS:
            folder = self.folder / f"threads-{format}"
            millrace(*self.command(format, folder), "--threads", 3)
            self.expect_same(folder, format)

    def test_a_full_disk_names_the_file_and_leaves_nothing_that_looks_complete(self):
        for format in FORMATS:
            with self.subTest(format=format):
                folder = self.folder / f"full-{format}"
                limit = 8_000 if format == "mds" else 40_000  # Its parts are compressed.
                done = subprocess.run([MILLRACE, *map(str, self.command(format, folder))], capture_output=True, text=True,
                                      preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertRegex(done.stderr, f"{folder}/.unfinished/\\S+: cannot write; make room there: .*; the same command goes on")
                self.assertIn("File too large", done.stderr)
                self.expect_nothing_that_looks_complete(folder)
                millrace(*self.command(format, folder))
                self.expect_same(folder, format)

    def test_a_complete_output_is_left_as_it_is(self):
        before = files_in(self.whole["megatron"])
        self.assertIn("complete already", millrace(*self.command("megatron", self.whole["megatron"])).stderr)
        self.assertEqual(files_in(self.whole["megatron"]), before)

    def test_another_configuration_is_refused_naming_what_differs(self):
        other = self.folder / "other.model"
        other.write_bytes(tiny_run.vocabulary(tiny_run.WORDS[::-1]))
        unfinished = self.folder / "begun"
        process = subprocess.Popen([MILLRACE, *map(str, self.command("rows", unfinished))], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        while process.poll() is None and not (unfinished / ".unfinished/progress.json").exists():
            time.sleep(0.001)
        process.kill()
        process.wait()
        for folder in (self.whole["rows"], unfinished):
            before = files_in(folder)
            for change, said in ((["--set", "seed=4"], "seed: 3 there, 4 here"),
                                 (["--set", "data.holdout=0.5"], "holdout: 0.05 there, 0.5 here"),
                                 (["--set", f"vocab={other}"], "vocabulary: vocab.model, hash"),
                                 (["--tokens", "640"], "--tokens: 30720 there, 640 here"),
                                 (["--format", "mds"], "--format: rows there, mds here")):
                command = [word for word in self.command("rows", folder)]
                for option in (change if change[0] != "--set" else []):
                    if option.startswith("--"):
                        at = command.index(option)
                        command[at:at + 2] = []
                self.assertIn(said, millrace(*command, *change, code=2).stderr)
            self.assertEqual(files_in(folder), before)

    def test_a_shard_that_changed_in_between_is_refused(self):
        source = self.folder / "changing"
        run_file = tiny_run.write_run(source)
        folder = self.folder / "changed-shards"
        millrace("preprocess", run_file, "--out", folder, "--format", "megatron")
        tiny_run.write_shards(source / "data", "prose", 9, 2000)
        refused = millrace("preprocess", run_file, "--out", folder, "--format", "megatron", code=2).stderr
        self.assertIn("prose.jsonl: changed", refused)

    def test_every_record_is_in_one_count(self):
        for format in FORMATS:
            manifest = json.loads((self.whole[format] / "preprocess.json").read_text())
            for account in manifest["accounts"]:
                self.assertEqual(account["records"], sum(account[key] for key in (
                    "documents", "held_out", "filtered", "skipped", "rejected", "tail")), account)
        manifest = json.loads((self.whole["megatron"] / "preprocess.json").read_text())
        prose, code = manifest["accounts"]
        self.assertEqual(code["records"], 2000)
        self.assertEqual(code["rejects_by_cause"], {"bad_json": 1})
        self.assertEqual((code["rejected"], code["not_reached"]), (1, 0))
        self.assertEqual(prose["records"], 1900)  # A frame's hundred records are lost with it.
        self.assertEqual(prose["rejects_by_cause"], {"damaged_frame": 1, "bad_json": 1})
        named = [json.loads(line) for line in (self.whole["megatron"] / "rejects.jsonl").read_text().splitlines()]
        self.assertEqual([(line["corpus"], line["shard"], line["cause"]) for line in named],
                         [("prose", "prose-2.jsonl.zst", "damaged_frame"), ("prose", "prose-10.jsonl", "bad_json"),
                          ("code", "code.jsonl", "bad_json")])

    def test_what_was_not_reached_is_counted_where_an_index_knows(self):
        source = self.folder / "indexed"
        run_file = tiny_run.write_run(source)
        command = ["preprocess", run_file, "--format", "megatron", "--tokens", 5000, "--json", "--out"]
        accounts = json.loads(millrace(*command, self.folder / "not-indexed").stdout)["accounts"]
        self.assertEqual([account["not_reached"] for account in accounts], [None, None])
        millrace("index", source / "data", "--out", source / "data/millrace-index.json")
        for account in json.loads(millrace(*command, self.folder / "reached").stdout)["accounts"]:
            self.assertEqual(account["records"] + account["not_reached"], 2000)
        self.assertIn("not counted", millrace(*command[:-2], "--out", self.folder / "not-indexed").stdout)

    def test_too_many_rejects_and_fail_stop_as_the_run_would(self):
        for setting, said in (("data.max_bad_fraction=0.0001", "max_bad_fraction"),
                              ('data.on_bad_data="fail"', 'on_bad_data = "skip"')):
            folder = self.folder / f"strict-{said[:3]}"
            error = millrace(*self.command("olmo", folder), "--set", setting, code=1)
            self.assertIn(said, error.stderr)
            self.expect_nothing_that_looks_complete(folder)
            millrace(*self.command("olmo", folder))  # The handling of bad data may change, as it affects no byte.
            self.expect_same(folder, "olmo")

    def expect_found(self, format, name, damaged, said):
        """Damages a file of a complete output, and repairs it again."""
        path = self.whole[format] / name
        before = path.read_bytes()
        path.unlink()
        if damaged is not None:
            path.write_bytes(damaged)
        try:
            found = json.loads(millrace("preprocess", "--check", self.whole[format], "--json", code=1).stdout)["damage"]
            self.assertTrue(any(d["file"] == name and said in d["what"] for d in found), found)
        finally:
            path.write_bytes(before)

    def test_check_finds_every_kind_of_damage_and_names_file_and_bytes(self):
        for format in FORMATS:
            self.assertIn("sound", millrace("preprocess", "--check", self.whole[format]).stdout)
            files = files_in(self.whole[format])
            alike = {}
            for name in sorted(files):
                alike.setdefault(re.sub(r"\d+", "", name), []).append(name)
            for name in {names[at] for names in alike.values() for at in (0, -1)}:  # Of parts, the first and the last.
                whole = files[name]
                middle = len(whole) // 2
                flipped = whole[:middle] + bytes(b ^ 1 for b in whole[middle:middle + 1]) + whole[middle + 1:]
                is_manifest = name == "preprocess.json"
                for kind, damaged, said in (("flipped", flipped, "damaged" if is_manifest else "not those that were written"),
                                            ("cut", whole[:-2], "damaged" if is_manifest else "bytes, but"),
                                            ("longer", whole + b"x", "damaged" if is_manifest else "bytes, but"),
                                            ("gone", None, "is missing")):
                    if damaged == whole or (is_manifest and kind == "gone"):
                        continue  # An empty file; without a manifest there is no output.
                    with self.subTest(format=format, file=name, kind=kind):
                        self.expect_found(format, name, damaged, said)

    def train(self, name, *arguments, code=0):
        folder = self.folder / f"train-{name}"
        return folder, millrace("train", self.run_file, "--run-dir", folder, *arguments, code=code)

    def test_training_from_rows_equals_training_from_shards(self):
        rows = ("--rows", self.whole["rows"])
        shards, _ = self.train("shards")
        others = [self.train("rows", *rows)[0]]
        for name, first, then in (("there", rows, ()), ("back", (), rows), ("on", rows, rows)):
            self.train(name, *first, "--set", "train.tokens=5120")
            others.append(self.train(name, *then, "--resume", "--accept-changes")[0])
        self.assertEqual(metrics(others[0]), metrics(shards))
        losses = {line["step"]: line["loss"] for line in metrics(shards) if "loss" in line}
        self.assertEqual(sorted(losses), list(range(1, 61)))
        for folder in others:
            with self.subTest(folder=folder.name):
                self.assertEqual({line["step"]: line["loss"] for line in metrics(folder) if "loss" in line}, losses)
                self.assertEqual((folder / "rejects.jsonl").read_text(), (shards / "rejects.jsonl").read_text())
                last = "checkpoints/step-000060"
                for file in ("model.safetensors", "optimizer.safetensors", "unigram.safetensors"):
                    self.assertEqual((folder / last / file).read_bytes(), (shards / last / file).read_bytes())
                mine, other = (json.loads((f / "summary.json").read_text()) for f in (folder, shards))
                for key in ("ledger", "shares", "records", "losses", "rows"):
                    self.assertEqual(mine[key], other[key], key)
                self.assertEqual((folder / "heldout.safetensors").read_bytes(), (shards / "heldout.safetensors").read_bytes())

    def test_rows_of_another_run_are_refused_before_anything_is_written(self):
        other = self.folder / "reversed.model"
        other.write_bytes(tiny_run.vocabulary(tiny_run.WORDS[::-1]))
        few = self.folder / "few-rows"
        millrace("preprocess", self.run_file, "--out", few, "--format", "rows", "--tokens", 640)
        rows = self.whole["rows"]
        for arguments, said in ((("--rows", rows, "--set", "seed=4"), "seed: 3 there, 4 here"),
                                (("--rows", rows, "--set", f"vocab={other}"), "another vocabulary"),
                                (("--rows", few), "holds 10 rows, but 240 are to be trained on"),
                                (("--rows", self.whole["megatron"]), "holds format megatron"),
                                (("--rows", self.folder), "not made by millrace preprocess")):
            folder, done = self.train("refused", *arguments, code=2)
            self.assertIn(said, done.stderr)
            self.assertFalse(folder.exists())
        self.train("settings", "--rows", rows, "--set", "train.learning_rate=1.0", "--set", "train.tokens=1024")

    def test_damaged_rows_stop_training_and_name_the_bytes(self):
        rows = self.folder / "damaged-rows"
        shutil.copytree(self.whole["rows"], rows)
        part = rows / "part-00000.rows"
        data = bytearray(part.read_bytes())
        data[96 + 3 * (20 * 64 + 8) + 5] ^= 1
        part.write_bytes(data)
        _, done = self.train("damaged", "--rows", rows, code=1)
        self.assertIn(f"part-00000.rows: bytes {96 + 3 * 1288} to {96 + 4 * 1288 - 1}: row 3 is damaged", done.stderr)

    def test_wrong_usage_exits_2_with_one_message(self):
        (self.folder / "full").mkdir(exist_ok=True)
        (self.folder / "full/file").write_text("")
        new = self.folder / "new"
        for arguments, said in (
            (["--out", new, "--format", "megatron"], "RUN is missing"),
            ([self.run_file, "--format", "megatron"], "--out is missing"),
            ([self.run_file, "--out", new], "--format is missing"),
            ([self.run_file, "--out", new, "--format", "tfrecord"], "known are megatron, olmo, nanotron, mds, mds-plain, rows\n"),
            ([self.run_file, "--out", new, "--format", "rows"], "--tokens is missing"),
            ([self.run_file, "--out", new, "--format", "rows", "--tokens", "1e9"], "last phase ends at 30720"),
            ([self.run_file, "--out", new, "--format", "megatron", "--tokens", "0"], "--tokens"),
            ([self.run_file, "--out", new, "--format", "megatron", "--tokens", "-5"], "--tokens"),
            ([self.run_file, "--out", new, "--format", "megatron", "--part-bytes", "5"], "has no parts"),
            ([self.run_file, "--out", self.folder / "full", "--format", "megatron"], "not empty"),
            ([self.run_file, "--out", self.folder / "full/file", "--format", "megatron"], "is no folder"),
            ([self.run_file, "--out", "/proc/nowhere", "--format", "megatron"], "cannot make the folder"),
            (["--check", self.whole["rows"], "--out", new], "excludes"),
            (["--check", self.folder / "nowhere"], "not made by millrace preprocess"),
            (["--check", self.folder / "full"], "not made by millrace preprocess"),
        ):
            with self.subTest(arguments=arguments):
                self.assertIn(said, millrace("preprocess", *arguments, code=2).stderr)
        self.assertFalse(new.exists())


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    if sys.argv.pop(1) == "long":
        KILLS, ROUNDS = 12, 20
    unittest.main(verbosity=2)

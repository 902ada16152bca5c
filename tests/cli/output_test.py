"""Where --out writes: through links, into devices and pipes, never replacing them: output_test.py MILLRACE"""

import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import preprocess_test
import standard_files_test
import tiny_run
from terminal import output_on_terminal

MILLRACE = None
STEPS = ("--set", "train.tokens=512", "--set", "eval.tokens=500", "--threads", 1)


def millrace(*arguments, code=0, **more):
    done = subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, text=True, timeout=300, **more)
    if done.returncode != code:
        raise AssertionError(f"{arguments}: exit code {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}")
    return done


class Output(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-output-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")
        cls.data = cls.folder / "input/data"
        cls.trained = cls.folder / "trained"
        millrace("train", cls.run_file, "--run-dir", cls.trained, *STEPS)
        cls.ids = cls.folder / "ids.safetensors"
        standard_files_test.write_ids(cls.ids)
        texts = cls.folder / "texts/usr/share/doc/mill"
        texts.mkdir(parents=True)
        for i in range(40):
            (texts / f"readme-{i}.txt").write_text(f"The mill number {i} turns its wheel in the river. " * 60)
        checkpoint = cls.trained / "checkpoints/step-000002"
        cls.files = {
            "report": lambda out: ("report", cls.trained, "--out", out),
            "index": lambda out: ("index", cls.data, "--threads", 1, "--out", out),
            "vocab train": lambda out: ("vocab", "train", "--shards", cls.data / "prose.jsonl", "--size", 300,
                                        "--megabytes", 0.02, "--out", out),
            "logits": lambda out: ("logits", checkpoint, "--ids", cls.ids, "--out", out),
        }
        cls.folders = {
            "sample": lambda out: ("sample", "--out", out, "--from", cls.folder / "texts", "--only-from", "--megabytes", 1),
            "preprocess": lambda out: ("preprocess", cls.run_file, "--out", out, "--format", "rows", "--tokens", 256),
            "train": lambda out: ("train", cls.run_file, "--run-dir", out, *STEPS),
        }

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def here(self, name):
        """An empty folder for this test."""
        folder = self.folder / self._testMethodName / name.replace(" ", "-")
        folder.mkdir(parents=True)
        return folder

    def test_a_link_is_written_through_and_stays(self):
        for name, command in self.files.items():
            for there_already in (True, False):
                with self.subTest(command=name, target_exists=there_already):
                    place = self.here(f"{name}-{there_already}")
                    (place / "real").mkdir()
                    if there_already and name != "index":  # Which reads an earlier index.
                        (place / "real/out").write_text("old")
                    (place / "link").symlink_to("real/out")
                    millrace(*command(place / "link"))
                    self.assertTrue((place / "link").is_symlink())
                    self.assertGreater((place / "real/out").stat().st_size, 3)
                    self.assertEqual([p.name for p in (place / "real").iterdir()], ["out"])

    def test_a_link_to_a_folder_is_written_through_and_stays(self):
        for name, command in self.folders.items():
            for there_already in (True, False):
                with self.subTest(command=name, target_exists=there_already):
                    place = self.here(f"{name}-{there_already}")
                    if there_already:
                        (place / "real").mkdir()
                    (place / "link").symlink_to("real")
                    millrace(*command(place / "link"))
                    self.assertTrue((place / "link").is_symlink())
                    self.assertFalse((place / "real").is_symlink())
                    self.assertGreater(len(list((place / "real").iterdir())), 1)
                    self.assertEqual(sorted(p.name for p in place.iterdir()), ["link", "real"])

    def test_a_name_that_is_too_long_is_refused_before_any_work(self):
        place = self.here("long")
        for name, command in {**self.files, **self.folders}.items():
            with self.subTest(command=name):
                self.assertIn("File name too long", millrace(*command(place / ("n" * 256)), code=2).stderr)
                self.assertEqual(list(place.iterdir()), [])

    def test_no_file_takes_the_place_of_a_device_or_pipe(self):
        for name, command in {**self.files, **self.folders}.items():
            if name == "report":
                continue
            place = self.here(name)
            os.mkfifo(place / "pipe")
            (place / "device").symlink_to("/dev/full")
            for kind in ("pipe", "device"):
                with self.subTest(command=name, kind=kind):
                    said = millrace(*command(place / kind), code=2).stderr
                    self.assertRegex(said, f"^millrace: .*{kind}")
                    self.assertEqual(sorted(p.name for p in place.iterdir()), ["device", "pipe"])
            self.assertTrue(stat.S_ISFIFO((place / "pipe").stat().st_mode))
            self.assertTrue((place / "device").is_symlink())

    def test_a_report_is_written_into_a_pipe_or_device(self):
        place = self.here("report")
        os.mkfifo(place / "pipe")
        came = []
        reader = threading.Thread(target=lambda: came.append((place / "pipe").read_text()))
        reader.start()
        millrace(*self.files["report"](place / "pipe"))
        reader.join(timeout=60)
        self.assertTrue(came[0].rstrip().endswith("</html>"))
        (place / "device").symlink_to("/dev/null")
        millrace(*self.files["report"](place / "device"))
        self.assertTrue((place / "device").is_symlink())
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))
        self.assertIn("No space left", millrace(*self.files["report"]("/dev/full"), code=1).stderr)
        self.assertIn("</html>", millrace(*self.files["report"]("/dev/stdout")).stdout)

    def test_an_output_that_is_an_open_file_is_refused(self):
        with open(self.here("open") / "file", "w") as file:
            done = subprocess.run([MILLRACE, *map(str, self.files["report"]("/dev/stdout"))], stdout=file,
                                  stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("name the file itself", done.stderr)

    def test_a_path_that_nothing_can_stand_at_is_refused_as_such(self):
        (self.folder / "loop").symlink_to("loop")
        reasons = {self.folder / ("n" * 256): "File name too long", self.folder / "loop/x": "Too many levels of symbolic"}
        asked = {**self.files, **self.folders,
                 "run": lambda path: ("train", path),
                 "--rows": lambda path: ("train", self.run_file, "--rows", path),
                 "--from": lambda path: ("train", self.run_file, "--from", path),
                 "shards": lambda path: ("index", path),
                 "mix": lambda path: ("mix", "check", path),
                 "rows": lambda path: ("inspect", path),
                 "output": lambda path: ("preprocess", "--check", path),
                 "checkpoint": lambda path: ("logits", path, "--ids", self.ids, "--out", self.folder / "never"),
                 "vocabulary": lambda path: ("vocab", "show", path)}
        before = sorted(self.folder.rglob("*"))
        for name, command in asked.items():
            for path, reason in reasons.items():
                with self.subTest(command=name, path=path.name[:4]):
                    said = millrace(*command(path), code=2).stderr
                    self.assertIn(reason, said)
                    self.assertNotIn("filesystem error", said)
                    self.assertNotIn("goes on from", said)
        self.assertEqual(sorted(self.folder.rglob("*")), before)
        (self.folder / "loop").unlink()

    def test_a_folder_is_no_file_and_a_file_no_folder(self):
        for name, command in self.files.items():
            place = self.here(name)
            self.assertIn("Is a directory", millrace(*command(place), code=2).stderr)
            self.assertEqual(list(place.iterdir()), [])
        for name, command in self.folders.items():
            file = self.here(name) / "file"
            file.write_text("somebody's")
            millrace(*command(file), code=2)
            self.assertEqual(file.read_text(), "somebody's")

    def test_files_of_other_names_stay(self):
        """Files next to an output, or named like unfinished ones, belong to the user and must stay."""
        for name, command in {**self.files, **self.folders}.items():
            with self.subTest(command=name):
                place = self.here(name)
                for other in ("out.partial", "out.tmp", "out.1.tmp", "out.unfinished"):
                    (place / other).mkdir()
                    (place / other / "note").write_text("somebody's")
                millrace(*command(place / "out"))
                for other in ("out.partial", "out.tmp", "out.1.tmp", "out.unfinished"):
                    self.assertEqual((place / other / "note").read_text(), "somebody's")
                hidden = [p.name for p in place.iterdir() if p.name.startswith(".")]
                self.assertEqual(hidden, [])


class Names(unittest.TestCase):
    """A corpus's name and the files named after it."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-names-"))
        self.run_file = tiny_run.write_run(self.folder / "input")
        self.mix = (self.folder / "input/mix.toml").read_text()

    def tearDown(self):
        shutil.rmtree(self.folder)

    def call(self, prose, code="code"):
        text = self.mix.replace('name = "prose"', f"name = {prose}").replace('name = "code"', f'name = "{code}"')
        (self.folder / "input/mix.toml").write_text(text)

    def test_no_format_loses_its_output_to_a_name(self):
        self.call('"unfinished"', "part-00-00000")
        for format in preprocess_test.DOCUMENT_FORMATS:
            out = self.folder / format
            millrace("preprocess", self.run_file, "--out", out, "--format", format)
            millrace("preprocess", "--check", out)
            self.assertTrue(any("unfinished" in str(path.relative_to(out)) for path in out.rglob("*")))
        for name in ("preprocess.json", "rejects.jsonl", "progress.json", "REJECTS.jsonl"):
            self.call(f'"{name}"')
            for format in preprocess_test.DOCUMENT_FORMATS:
                out = self.folder / "none"
                said = millrace("preprocess", self.run_file, "--out", out, "--format", format, code=2).stderr
                self.assertIn("mix.toml:3:1: [[corpus]] name", said)
                self.assertFalse(out.exists())

    def test_two_names_that_differ_in_capitals_only_are_refused_where_files_are_called_after_them(self):
        self.call('"Code"')
        for format in preprocess_test.DOCUMENT_FORMATS:
            said = millrace("preprocess", self.run_file, "--out", self.folder / "none", "--format", format, code=2).stderr
            self.assertIn('"Code" and "code" differ in capitals only', said)
        millrace("preprocess", self.run_file, "--out", self.folder / "rows", "--format", "rows", "--tokens", 256)

    def test_names_that_no_file_can_have_are_refused_with_their_place(self):
        for name in ('""', '"../up"', '".hidden"', '"a b"', '"a\\u0000b"', '"a\\nb"', '"é"'):
            self.call(name)
            said = millrace("mix", "check", self.folder / "input/mix.toml", code=2).stderr
            self.assertIn("mix.toml:3:1: [[corpus]] name", said)


class HostileText(unittest.TestCase):
    """Paths, names and texts can be read back from the output unchanged, and no control characters reach a terminal."""

    NASTY = 'q"uo\\te\tt\x1b[31mn\nl\x7f\u009b=#[]{}\'é'

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-hostile-"))
        cls.input = cls.folder / ("in " + cls.NASTY)
        cls.run_file = tiny_run.write_run(cls.folder / "plain")
        (cls.folder / "plain").rename(cls.input)
        cls.run_file = cls.input / "run.toml"
        text = cls.run_file.read_text().replace(f'directory = "{cls.folder}/plain/data"', 'directory = "data"')
        quoted = '"' + "".join(f"\\u{ord(c):04x}" for c in cls.NASTY) + '"'
        cls.run_file.write_text(text.replace('name = "tiny"', f"name = {quoted}"))
        for file in ("mix.toml", "ul2.toml", "causal.toml"):
            text = (cls.input / file).read_text()
            for name in ('"tiny"', '"ul2"', '"span"', '"prefix"'):
                text = text.replace(f"name = {name}", f"name = {name[:-1]}{quoted[1:]}")
            (cls.input / file).write_text(text)
        (cls.input / "data/prose.jsonl").rename(cls.input / f"data/prose{cls.NASTY}.jsonl")
        mix = (cls.input / "mix.toml").read_text()
        (cls.input / "mix.toml").write_text(mix.replace('"prose.jsonl"', f'"prose{quoted[1:-1]}.jsonl"'))
        code = (cls.input / "data/code.jsonl").read_text()
        (cls.input / "data/code.jsonl").write_text(
            code.replace('"text": "', '"text": "\\u001b[31m \\u009b2J \\u0007 \\r '))
        (cls.input / "vocab.model").rename(cls.input / f"vocab{cls.NASTY}.model")
        text = cls.run_file.read_text()
        cls.run_file.write_text(text.replace('"vocab.model"', f'"vocab{quoted[1:-1]}.model"'))
        cls.run_dir = cls.folder / ("run " + cls.NASTY)
        cls.trained = millrace("train", cls.run_file, "--run-dir", cls.run_dir, *STEPS)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def expect_shown(self, text):
        self.assertIsNone(re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text))

    def test_a_run_folder_can_be_opened_again(self):
        resolved = (self.run_dir / "run.toml").read_bytes()
        millrace("train", self.run_dir, "--resume")
        millrace("train", self.run_file, "--run-dir", self.run_dir, "--resume", *STEPS)
        self.assertEqual((self.run_dir / "run.toml").read_bytes(), resolved)
        done = millrace("report", self.run_dir)
        self.expect_shown(done.stdout)
        self.assertTrue((self.run_dir / "report.html").exists())
        for arguments in (("inspect", self.run_dir, "--rows", 2), ("inspect", self.run_dir, "--stats", "--rows", 8),
                          ("mix", "check", self.run_dir), ("mix", "plan", self.run_dir, "--json"),
                          ("trace", self.run_dir, "--document", f"prose{self.NASTY}.jsonl:0"),
                          ("trace", self.run_dir, "--document", f"prose{self.NASTY}.jsonl:0", "--json"),
                          ("eval", self.run_dir / "checkpoints/step-000002", "--run", self.run_dir, "--tokens", 100)):
            done = millrace(*arguments)
            self.expect_shown(done.stdout + done.stderr)
        self.expect_shown(self.trained.stdout + self.trained.stderr)
        self.expect_shown((self.run_dir / "train.log").read_text())

    def test_names_come_back_from_json(self):
        out = self.folder / ("rows " + self.NASTY)
        manifest = json.loads(millrace("preprocess", self.run_file, "--out", out, "--format", "rows", "--tokens", 256,
                                       "--json").stdout)
        self.assertEqual(manifest["identity"]["run"], self.NASTY)
        self.assertIn(f"prose{self.NASTY}.jsonl", {json.loads(line)["shard"] for line in manifest["identity"]["shards"].splitlines()})
        millrace("preprocess", "--check", out)
        row = json.loads(millrace("inspect", out, "--json", "--rows", 1).stdout.splitlines()[0])
        self.assertTrue(row["examples"][0]["denoiser"].endswith(self.NASTY))
        millrace("train", self.run_file, "--run-dir", self.folder / "from rows", "--rows", out, *STEPS[:1],
                 "train.tokens=256", *STEPS[2:])
        index = json.loads(millrace("index", self.input / "data", "--json").stdout)
        self.assertIn(f"prose{self.NASTY}.jsonl", {shard["path"] for shard in index["shards"]})
        report = json.loads(millrace("report", self.run_dir, "--json").stdout)
        self.assertEqual(report["name"], self.NASTY)

    def test_escapes_in_documents_are_shown_not_executed(self):
        for arguments in (("inspect", self.run_file, "--rows", 12), ("inspect", self.run_file, "--rows", 4, "--json"),
                          ("tokenize", "--pieces", "--vocab", next(self.input.glob("vocab*")), "--in",
                           self.input / "data/code.jsonl"),
                          ("index", self.input / "data", "--by", "text")):
            done = millrace(*arguments)
            self.expect_shown(done.stdout + done.stderr)
        self.assertIn("\\u001b[31m", millrace("inspect", self.run_file, "--rows", 12).stdout)

    def test_a_text_that_is_generated_is_itself_but_on_a_terminal(self):
        arguments = ("generate", self.run_dir / "checkpoints/step-000002", "--prompt", "mill\x1b[31m\x9b", "--tokens", 1)
        self.assertIn("\x1b[31m", millrace(*arguments).stdout)
        self.expect_shown(output_on_terminal([MILLRACE, *arguments]).replace("\r\n", "\n"))

    def test_a_run_folder_is_not_begun_with_what_cannot_come_back(self):
        folder = self.folder / "latin"
        latin = os.fsdecode(os.fsencode(str(self.folder / "data-")) + b"\xe9")
        os.symlink(self.input / "data", latin)
        said = subprocess.run([MILLRACE, "train", self.run_file, "--run-dir", folder, "--data", latin, *map(str, STEPS)],
                              capture_output=True)
        self.assertEqual(said.returncode, 2, said.stderr)
        self.assertIn(b"not valid UTF-8", said.stderr)
        self.assertFalse(folder.exists())

    def test_a_shard_that_cannot_be_named_is_refused_before_anything_is_made(self):
        data = self.folder / "latin-shards"
        data.mkdir()
        shutil.copy(self.input / "data/code.jsonl", os.fsencode(data) + b"/caf\xe9.jsonl")
        mix = self.folder / "latin.toml"
        mix.write_text('name = "m"\n[[corpus]]\nname = "a"\nshare = 100\nshards = ["*.jsonl"]\n')
        for arguments in (("mix", "check", mix, "--data", data), ("index", data, "--out", self.folder / "latin.json")):
            done = subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(b"caf\xe9.jsonl: its path is not valid UTF-8", done.stderr)
        self.assertFalse((self.folder / "latin.json").exists())

    def test_a_run_is_called_as_a_folder_can_be(self):
        for name in (".", "..", "a/b", ""):
            said = millrace("mix", "check", self.run_file, "--set", f'name="{name}"', code=2).stderr
            self.assertIn("which no folder can be called", said)


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    unittest.main()

"""What millrace does with standard files that are full, closed or unread, and with files that may not grow:
standard_files_test.py MILLRACE"""

import itertools
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run
from terminal import output_on_terminal

MILLRACE = None
NUMBERS = itertools.count()
STEPS = ("--set", "train.tokens=1536", "--set", "eval.tokens=500", "--threads", 1)


def run(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, most_bytes=None, closed=None):
    """Runs millrace; `closed` is a descriptor that it finds closed, `most_bytes` how long files may become."""

    def prepare():
        if most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        if closed is not None:
            os.close(closed)

    return subprocess.run([MILLRACE, *map(str, arguments)], stdout=stdout, stderr=stderr, text=True, timeout=300,
                          preexec_fn=prepare, errors="replace")


def unread_pipe():
    """The end of a pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def broken(name, descriptor):
    """Arguments for run() with one of the standard files full, closed, or a pipe that nobody reads."""
    stream = "stdout" if descriptor == 1 else "stderr"
    if name == "closed":
        return {"closed": descriptor}
    return {stream: os.open("/dev/full", os.O_WRONLY) if name == "full" else unread_pipe()}


def write_ids(path):
    ids = [300, 301, 302, 303]
    header = b'{"input_ids":{"dtype":"I32","shape":[1,4],"data_offsets":[0,16]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"".join(i.to_bytes(4, "little") for i in ids[:4]))


class StandardFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-standard-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")
        cls.vocabulary = cls.folder / "input/vocab.model"
        cls.data = cls.folder / "input/data"
        cls.trained, cls.rows, cls.megatron = (cls.folder / name for name in ("trained", "rows", "megatron"))
        for arguments in (("train", cls.run_file, "--run-dir", cls.trained, *STEPS),
                          ("preprocess", cls.run_file, "--out", cls.rows, "--format", "rows", "--tokens", 2048),
                          ("preprocess", cls.run_file, "--out", cls.megatron, "--format", "megatron")):
            done = run(*arguments)
            assert done.returncode == 0, done.stderr
        cls.checkpoint = cls.trained / "checkpoints/step-000006"
        write_ids(cls.folder / "ids.safetensors")
        texts = cls.folder / "texts/usr/share/doc/mill"
        texts.mkdir(parents=True)
        for i in range(40):
            (texts / f"readme-{i}.txt").write_text(f"The mill number {i} turns its wheel in the river. " * 60)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def fresh(self, name):
        """A path not used before."""
        return self.folder / f"{name}-{next(NUMBERS)}"

    def commands(self):
        """Every command, by name; those that write files write new ones."""
        return {
            "version": ("--version",),
            "help": ("train", "--help"),
            "sample": ("sample", "--out", self.fresh("sample"), "--from", self.folder / "texts", "--only-from",
                       "--megabytes", 1),
            "index": ("index", self.data, "--threads", 1),
            "index --json": ("index", self.data, "--threads", 1, "--json"),
            "vocab show": ("vocab", "show", self.vocabulary),
            "vocab train": ("vocab", "train", "--shards", self.data / "prose.jsonl", "--size", 300, "--megabytes", 0.02,
                            "--out", self.fresh("vocab")),
            "tokenize": ("tokenize", "--vocab", self.vocabulary, "--in", self.data / "code.jsonl", "--threads", 1),
            "mix check": ("mix", "check", self.run_file),
            "mix plan": ("mix", "plan", self.run_file),
            "mix diff": ("mix", "diff", self.folder / "input/mix.toml", self.folder / "input/mix.toml"),
            "inspect": ("inspect", self.run_file, "--rows", 2),
            "inspect --stats": ("inspect", self.run_file, "--rows", 8, "--stats"),
            "inspect ROWS": ("inspect", self.rows, "--json", "--rows", 2),
            "trace": ("trace", self.trained, "--document", "prose.jsonl:3"),
            "preprocess": ("preprocess", self.run_file, "--out", self.fresh("rows"), "--format", "rows", "--tokens", 256),
            "preprocess --check": ("preprocess", "--check", self.rows),
            "train": ("train", self.run_file, "--run-dir", self.fresh("run"), *STEPS),
            "eval": ("eval", self.checkpoint, "--run", self.trained, "--tokens", 200),
            "generate": ("generate", self.checkpoint, "--prompt", "river", "--tokens", 2),
            "generate --json": ("generate", self.checkpoint, "--prompt", "river", "--tokens", 2, "--json"),
            "logits": ("logits", self.checkpoint, "--ids", self.folder / "ids.safetensors", "--out", self.fresh("logits")),
            "report": ("report", self.trained, "--out", self.fresh("report")),
            "report --json": ("report", self.trained, "--json"),
        }

    def test_results_that_cannot_be_written_whole_are_a_failure_with_one_message(self):
        for name in self.commands():
            for how in ("full", "closed", "unread"):
                with self.subTest(command=name, standard_output=how):
                    done = run(*self.commands()[name], **broken(how, 1))
                    self.assertEqual(done.returncode, 1, done.stderr)
                    complaints = [line for line in done.stderr.splitlines() if line.startswith("millrace: ")]
                    self.assertEqual(len(complaints), 1, done.stderr)
                    self.assertRegex(complaints[0], "^millrace: standard output: cannot write")

    def test_messages_that_cannot_be_written_change_nothing_else(self):
        for name in self.commands():
            for how in ("full", "closed", "unread"):
                with self.subTest(command=name, standard_error=how):
                    done = run(*self.commands()[name], **broken(how, 2))
                    self.assertEqual(done.returncode, 0, done.stdout)
                    self.assertNotEqual(done.stdout, "")

    def test_a_wrong_use_is_one_whoever_can_hear_of_it(self):
        for how in ("full", "closed", "unread"):
            self.assertEqual(run("train", "nowhere.toml", **broken(how, 2)).returncode, 2)
            self.assertEqual(run("train", "nowhere.toml", **broken(how, 1)).returncode, 2)
            self.assertEqual(run("no-such-command", **broken(how, 2)).returncode, 2)

    def test_a_closed_standard_file_is_no_file_that_is_opened_later(self):
        for closed in (0, 1, 2):
            folder = self.fresh("closed")
            run("train", self.run_file, "--run-dir", folder, *STEPS, closed=closed)
            for name in ("config.json", "model.safetensors"):
                self.assertEqual((folder / "checkpoints/step-000006" / name).read_bytes(),
                                 (self.checkpoint / name).read_bytes(), f"{name} with {closed} closed")
            for line in (folder / "metrics.jsonl").read_text().splitlines():
                self.assertTrue(line.startswith('{"step":'), line)

    def test_a_training_run_tells_once_in_its_log_that_it_cannot_be_heard(self):
        for how in ("full", "closed", "unread"):
            folder = self.fresh("unheard")
            self.assertEqual(run("train", self.run_file, "--run-dir", folder, *STEPS, **broken(how, 2)).returncode, 0)
            log = (folder / "train.log").read_text()
            self.assertEqual(log.count("standard error: cannot write"), 1, log)
            self.assertTrue((folder / "checkpoints/step-000006/manifest.json").exists())

    def test_a_training_run_outlives_its_logs_and_says_so_once(self):
        for name in ("train.log", "metrics.jsonl"):
            folder = self.fresh("logless")
            folder.mkdir()
            (folder / name).symlink_to("/dev/full")
            done = run("train", self.run_file, "--run-dir", folder, *STEPS)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stderr.count(f"{name}: cannot write"), 1, done.stderr)
            self.assertTrue((folder / "checkpoints/step-000006/manifest.json").exists())

    def test_a_training_run_that_nobody_hears_at_all_still_saves(self):
        folder = self.fresh("mute")
        folder.mkdir()
        (folder / "train.log").symlink_to("/dev/full")
        full = os.open("/dev/full", os.O_WRONLY)
        self.assertEqual(run("train", self.run_file, "--run-dir", folder, *STEPS, stdout=full, stderr=full).returncode, 1)
        self.assertTrue((folder / "checkpoints/step-000006/manifest.json").exists())

    def test_files_that_may_not_grow_are_a_message_and_nothing_half_made(self):
        commands = self.commands() | {
            "index": ("index", self.data, "--threads", 1, "--out", self.fresh("index")),
            "report": ("report", self.trained, "--out", self.fresh("report")),
        }
        for name, most in {"sample": 100, "index": 100, "vocab train": 100, "preprocess": 100, "preprocess rows": 4000,
                           "logits": 100, "report": 1000}.items():
            with self.subTest(command=name):
                arguments = commands[name.removesuffix(" rows")]
                out = pathlib.Path(arguments[arguments.index("--out") + 1])
                before = set(self.folder.iterdir())
                done = run(*arguments, most_bytes=most)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertEqual(done.stderr.count("millrace: "), 1, done.stderr)
                self.assertRegex(done.stderr, "make room there: File too large|File too large")
                left = set(self.folder.iterdir()) - before
                if name.startswith("preprocess"):  # Partially done; the same command continues it.
                    self.assertLessEqual(left, {out})
                    self.assertFalse((out / "preprocess.json").exists())
                else:
                    self.assertEqual(left, set())

    def test_a_run_whose_files_may_not_grow_ends_with_a_message(self):
        for most in (0, 100, 3000, 30_000, 100_000):
            with self.subTest(most=most):
                folder = self.fresh("limited")
                done = run("train", self.run_file, "--run-dir", folder, *STEPS, most_bytes=most)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertEqual(done.stderr.count("millrace: "), 1, done.stderr)
                self.assertEqual([path.name for path in folder.glob("checkpoints/step-*")], [])

    def test_results_on_a_terminal_come_at_once_and_whole(self):
        self.assertIn("umT5", output_on_terminal([MILLRACE, "vocab", "show", self.vocabulary]))


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    unittest.main()

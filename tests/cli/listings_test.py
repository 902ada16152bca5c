"""Every command lists a run's shards once: listings_test.py MILLRACE LIBRARY (listed_folders.cpp, to be preloaded)"""

import collections
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run

MILLRACE = LIBRARY = None


class Shards(unittest.TestCase):
    """A run whose corpora are folders. What one listing of them opens is what `mix check` opens."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-listings-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input", three_phases=True)
        cls.data = cls.folder / "input" / "data"
        for corpus in ("prose", "code", "verse"):
            (cls.data / corpus / "deep").mkdir(parents=True)
            (cls.data / f"{corpus}.jsonl").rename(cls.data / corpus / "deep" / "part.jsonl")
        for mix in ("mix.toml", "verse.toml"):
            file = cls.folder / "input" / mix
            file.write_text(file.read_text().replace('.jsonl"]', '"]'))
        cls.once = cls.listed("mix", "check", cls.run_file)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def listed(cls, *arguments):
        """How often each folder of the data was listed."""
        file = cls.folder / "listed"
        file.unlink(missing_ok=True)
        environment = dict(os.environ, LD_PRELOAD=LIBRARY, MILLRACE_LISTED=str(file))
        done = subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        lines = file.read_text().splitlines() if file.exists() else []
        return collections.Counter(line for line in lines if line.startswith(f"{cls.data}/"))

    def test_are_there_to_be_listed(self):
        self.assertEqual(set(self.once), {f"{self.data}/{corpus}{deep}" for corpus in ("prose", "code", "verse")
                                          for deep in ("", "/deep")})

    def test_are_listed_once_by_commands_on_a_run_file(self):
        rows = self.folder / "rows"
        for command in (
            ("mix", "plan", self.run_file),
            ("train", self.run_file, "--dry-run"),
            ("inspect", self.run_file, "--rows", 2),
            ("trace", self.run_file, "--document", "prose/deep/part.jsonl:3"),
            ("preprocess", self.run_file, "--format", "megatron", "--out", self.folder / "megatron"),
            ("preprocess", self.run_file, "--format", "rows", "--tokens", 15_360, "--out", rows),
            ("train", self.run_file, "--rows", rows, "--run-dir", self.folder / "of-rows"),
        ):
            self.assertEqual(self.listed(*command), self.once, command)

    def test_are_listed_once_by_commands_on_a_run_folder(self):
        trained = self.folder / "trained"
        self.assertEqual(self.listed("train", self.run_file, "--run-dir", trained), self.once)
        checkpoint = max((trained / "checkpoints").iterdir())
        for command in (
            ("train", trained, "--resume"),
            ("train", trained, "--resume", "--accept-changes", "--set", "eval.tokens=1000"),
            ("eval", checkpoint, "--run", trained, "--tokens", 500),
            ("inspect", trained, "--row", 100),
            ("trace", trained, "--document", "prose/deep/part.jsonl:3"),
        ):
            self.assertEqual(self.listed(*command), self.once, command)

    def test_are_not_listed_where_none_is_needed(self):
        trained = self.folder / "shown"
        self.listed("train", self.run_file, "--run-dir", trained)
        checkpoint = max((trained / "checkpoints").iterdir())
        for command in (("eval", checkpoint, "--run", trained), ("report", trained, "--out", self.folder / "page.html")):
            self.assertFalse(self.listed(*command), command)


if __name__ == "__main__":
    MILLRACE, LIBRARY = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1])

"""Missing inputs, for every command: missing_input_test.py MILLRACE"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import standard_files_test
import tiny_run

MILLRACE = None


class MissingInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-missing-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")
        cls.ids = cls.folder / "ids.safetensors"
        standard_files_test.write_ids(cls.ids)
        cls.trained = cls.folder / "trained"
        cls.millrace("train", cls.run_file, "--run-dir", cls.trained, "--set", "train.tokens=256",
                     "--set", "eval.tokens=100", "--threads", 1, code=0)
        cls.checkpoint = cls.trained / "checkpoints/step-000001"

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def millrace(cls, *arguments, code):
        done = subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, cwd=cls.folder)
        if done.returncode != code:
            raise AssertionError(f"{arguments}: exit code {done.returncode}, expected {code}\n{done.stderr}")
        return done

    def commands(self, missing):
        run, checkpoint, mix = self.run_file, self.checkpoint, self.run_file.with_name("mix.toml")
        vocabulary, shard = run.with_name("vocab.model"), run.with_name("data") / "prose.jsonl"
        return [
            ("train", missing),
            ("train", missing, "--resume"),
            ("train", run, "--run-dir", "new", "--from", missing),
            ("train", run, "--run-dir", "new", "--rows", missing),
            ("train", run, "--run-dir", "new", "--data", missing),
            ("train", run, "--run-dir", "new", "--set", f"vocab={missing}"),
            ("inspect", missing),
            ("inspect", run, "--data", missing),
            ("trace", missing, "--document", "prose:0"),
            ("index", missing),
            ("index", shard, "--vocab", missing),
            ("vocab", "train", "--shards", missing, "--out", "new"),
            ("vocab", "show", missing),
            ("tokenize", "--vocab", missing, "--in", shard),
            ("tokenize", "--vocab", vocabulary, "--in", missing),
            ("mix", "check", missing),
            ("mix", "plan", missing),
            ("mix", "plan", run, "--vocab", missing),
            ("mix", "diff", mix, missing),
            ("mix", "diff", missing, mix),
            ("preprocess", missing, "--out", "new", "--format", "rows", "--tokens", 100),
            ("preprocess", "--check", missing),
            ("eval", missing, "--run", run),
            ("eval", checkpoint, "--run", missing),
            ("generate", missing, "--prompt", "x"),
            ("generate", checkpoint, "--prompt", "x", "--vocab", missing),
            ("logits", missing, "--ids", self.ids, "--out", "new"),
            ("logits", checkpoint, "--ids", missing, "--out", "new"),
            ("report", missing),
            ("sample", "--out", "new", "--only-from", "--from", missing),
        ]

    def test_is_wrong_use_in_every_command_and_makes_nothing(self):
        for command in self.commands("nothing-there"):
            with self.subTest(command=command):
                said = self.millrace(*command, code=2).stderr
                self.assertRegex(said, "^millrace: .*nothing-there")
                self.assertFalse((self.folder / "new").exists())

    def test_a_folder_in_place_of_a_file_is_wrong_use_too(self):
        (self.folder / "a-folder").mkdir(exist_ok=True)
        for command in self.commands("a-folder"):
            if command[0] != "sample":  # Which reads a folder, and finds no text in it.
                with self.subTest(command=command):
                    self.assertRegex(self.millrace(*command, code=2).stderr, "^millrace: .*a-folder")

    def test_a_part_of_a_checkpoint_that_is_not_there_is_wrong_use_where_no_sums_are_held_against_it(self):
        for name in ("config.json", "model.safetensors"):
            part = self.folder / f"without-{name}"
            shutil.copytree(self.checkpoint, part)
            (part / name).unlink()
            for command in (("generate", part, "--prompt", "x", "--vocab", self.run_file.with_name("vocab.model")),
                            ("logits", part, "--ids", self.ids, "--out", "new"),
                            ("train", self.run_file, "--run-dir", "new", "--from", part)):
                with self.subTest(command=command[0], missing=name):
                    self.assertIn(name, self.millrace(*command, code=2).stderr)
                    shutil.rmtree(self.folder / "new", ignore_errors=True)


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    unittest.main(verbosity=2)

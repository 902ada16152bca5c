"""Plans of mixes in Python: plans_test.py MILLRACE"""

import json
import pathlib
import shutil
import tempfile
import unittest

from python_run import program

import millrace
import tiny_run


class Plans(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-python-"))
        cls.run_file = tiny_run.write_run(cls.folder)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def expect_plan(self, plan, *arguments):
        printed = json.loads(program("mix", "plan", *arguments, "--json"))
        for of_a_model in "parameters", "memory":
            del printed[of_a_model]
        self.assertEqual(plan, printed)

    def test_a_plan_is_what_the_program_prints(self):
        mix, vocabulary = self.folder / "mix.toml", self.folder / "vocab.model"
        self.expect_plan(millrace.mix_plan(self.run_file), self.run_file)
        self.expect_plan(millrace.mix_plan(self.run_file, tokens=1e6, sets=["phase.0.until=6400"]),
                         self.run_file, "--tokens", "1e6", "--set", "phase.0.until=6400")
        self.expect_plan(millrace.mix_plan(self.run_file, sets=["train.tokens=8192"]), self.run_file, "--set", "train.tokens=8192")
        self.expect_plan(millrace.mix_plan(mix), mix)
        data = self.folder / "data"
        self.expect_plan(millrace.mix_check(mix, data=data, tokens=5000, vocab=vocabulary),
                         mix, "--data", data, "--tokens", 5000, "--vocab", vocabulary)

    def test_what_is_wrong_is_named(self):
        mix = self.folder / "wrong.toml"
        mix.write_text((self.folder / "mix.toml").read_text().replace("share = 30", "share = 31"))
        message = program("mix", "check", mix, code=2).strip().removeprefix("millrace: ")
        with self.assertRaises(millrace.ConfigError) as raised:
            millrace.mix_check(mix)
        self.assertEqual(str(raised.exception), message)
        self.assertRaises(ValueError, millrace.mix_plan, mix, tokens=1.5)


if __name__ == "__main__":
    unittest.main(verbosity=2)

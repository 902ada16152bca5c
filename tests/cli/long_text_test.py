"""Memory that one long word takes: long_text_test.py MILLRACE"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run

MILLRACE = None
SIZE = 16 << 20
CAUSAL = 'name = "causal"\nlayout = "full"\n[[denoiser]]\nname = "causal"\nkind = "causal"\nshare = 100\n'
MIX = 'name = "mix"\n[[corpus]]\nname = "corpus"\nkind = "text"\nshare = 100\nshards = ["text.jsonl"]\n'
RUN = """name = "run"
seed = 1
vocab = "vocab.model"
sequence_length = 64
[[phase]]
until = 6_400
mix = "mix.toml"
objective = "causal.toml"
[data]
directory = "data"
holdout = 0
"""


class LongText(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-long-text-"))
        (self.folder / "data").mkdir()
        # "aaaa" is a piece: a run of "a" is one word, which is searched whole.
        (self.folder / "vocab.model").write_bytes(tiny_run.vocabulary([*tiny_run.WORDS, "aaaa"]))
        for name, text in (("mix.toml", MIX), ("causal.toml", CAUSAL), ("run.toml", RUN)):
            (self.folder / name).write_text(text)

    def tearDown(self):
        shutil.rmtree(self.folder)

    def peak(self, text, command):
        """Bytes that the command had at its peak, and its output."""
        (self.folder / "data" / "text.jsonl").write_text(json.dumps({"text": text}, ensure_ascii=False) + "\n")
        with open(self.folder / "out", "wb") as out:
            process = subprocess.Popen([MILLRACE, *command], cwd=self.folder, stdout=out, stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0, command)
        return usage.ru_maxrss * 1024, (self.folder / "out").read_bytes()

    def assert_in_bounds(self, command, character, ids):
        empty, _ = self.peak("the", command)
        shutil.rmtree(self.folder / "tokens", ignore_errors=True)
        text = character * (SIZE // len(character.encode()))
        peak, out = self.peak(text, command)
        self.assertLessEqual(peak - empty, 4 * SIZE + 4 * ids, (command, character))
        return out

    def test_tokenize_takes_four_times_the_text_and_four_bytes_an_id(self):
        for threads, characters in ((1, "aq\u00e9 "), (2, "a")):
            command = ["tokenize", "--vocab", "vocab.model", "--in", "data/text.jsonl", "--threads", str(threads)]
            for character in characters:
                out = self.assert_in_bounds(command, character, SIZE)
                self.assertGreater(out.count(b","), SIZE - 10)

    def test_index_and_preprocess_take_no_more(self):
        self.assert_in_bounds(["index", "data", "--vocab", "vocab.model"], "a", SIZE)
        self.assert_in_bounds(["preprocess", "run.toml", "--out", "tokens", "--format", "megatron"], "a", SIZE)


if __name__ == "__main__":
    MILLRACE = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)

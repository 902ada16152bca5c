"""vocab train, vocab show and tokenize, as a user runs them. Usage: vocabulary_test.py MILLRACE"""

import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

MILLRACE = os.path.abspath(sys.argv.pop(1))


def run(*arguments, cwd=None):
    return subprocess.run([MILLRACE, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120)


def write_shards(folder):
    """Two shards of made-up prose and code, the same every time."""
    draw = random.Random(1)
    syllables = ["ba", "do", "ki", "lu", "mer", "nos", "pat", "quin", "rost", "sel", "tum", "vor"]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(800)]
    os.makedirs(os.path.join(folder, "shards"))
    for shard in range(2):
        with gzip.open(os.path.join(folder, "shards", f"part-{shard}.jsonl.gz"), "wt") as out:
            for number in range(300):
                text = " ".join(draw.choices(words, k=80)) + f"\n    if x == {number}:\n\treturn {words[number]}\n"
                out.write(json.dumps({"text": text}) + "\n")


class Vocabulary(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = cls.temporary.name
        write_shards(cls.folder)
        cls.model = os.path.join(cls.folder, "v.model")
        cls.trained = run("vocab", "train", "--shards", os.path.join(cls.folder, "shards"), "--size", "700", "--out", cls.model)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_training_says_what_it_made(self):
        self.assertEqual(self.trained.returncode, 0, self.trained.stderr)
        self.assertIn("700 pieces, 1000 with sentinels", self.trained.stdout)

    def test_the_same_shards_elsewhere_give_the_same_bytes_and_no_path(self):
        with tempfile.TemporaryDirectory() as elsewhere:
            write_shards(elsewhere)
            run("vocab", "train", "--shards", "shards/*.gz", "--size", "700", "--out", "other.model", cwd=elsewhere)
            with open(self.model, "rb") as one, open(os.path.join(elsewhere, "other.model"), "rb") as other:
                model = one.read()
                self.assertEqual(model, other.read())
            self.assertEqual(sorted(os.listdir(elsewhere)), ["other.model", "shards"])
        for trace in (self.folder, "shards", "part-0", ".model"):
            self.assertNotIn(trace.encode(), model)

    def test_show_names_kind_size_and_special_ids(self):
        shown = run("vocab", "show", self.model).stdout
        for fact in ("unigram", "700 (normal", "byte 256", "<extra_id_0> = 999", "0, 1, 2, 3", "identity"):
            self.assertIn(fact, shown)

    def test_show_says_how_words_and_umt5_stand_to_it(self):
        shown = run("vocab", "show", self.model).stdout
        for fact in ("Millrace's own", "no piece crosses a blank", "no: 700 pieces instead of 256000"):
            self.assertIn(fact, shown)
        facts = json.loads(run("vocab", "show", self.model, "--json").stdout)
        self.assertEqual((facts["pieces"], facts["special_ids"]["pad"], facts["of_type"]["byte"]), (700, 0, 256))
        self.assertTrue(facts["words_independent"])
        self.assertEqual(facts["slow_because"], "")
        self.assertEqual(facts["ids_as"], "libsentencepiece 0.1.97 to 0.2.1")

    def tokenize(self, content, *options):
        path = os.path.join(self.folder, "in.jsonl")
        with open(path, "w", encoding="utf-8") as out:
            out.write(content)
        return run("tokenize", "--vocab", self.model, "--in", path, *options)

    def test_tokenize_prints_an_array_a_record_and_null_for_a_bad_one(self):
        done = self.tokenize('{"text": "bado"}\n{"text": 5}\n\n{broken\n{"text": "a\\n\\tb"}')
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([line is None for line in lines], [False, True, True, False])
        self.assertIn("1 bad_json", done.stderr)
        self.assertEqual(lines[3][-3:-1], [27, 26])

    def test_tokenize_keeps_the_order_with_any_number_of_threads(self):
        content = "".join(json.dumps({"text": f"bado {i} " * (i % 50 + 1)}) + "\n" for i in range(9000))
        one = self.tokenize(content, "--threads", "1").stdout
        self.assertEqual(one.count("\n"), 9000)
        self.assertEqual(one, self.tokenize(content, "--threads", "3").stdout)

    def test_tokenize_reads_another_field_and_prints_pieces(self):
        done = self.tokenize('{"a": {"b": "[code] 12"}}', "--field", "a.b", "--pieces")
        self.assertEqual(json.loads(done.stdout), ["▁", "[code]", "▁", "1", "2"])

    def test_wrong_usage_exits_with_2_and_one_line(self):
        missing = os.path.join(self.folder, "missing")
        shards = os.path.join(self.folder, "shards")
        for arguments in (
            ("vocab", "show", missing),
            ("vocab", "show", os.path.join(shards, "part-0.jsonl.gz")),
            ("vocab", "train", "--shards", missing, "--size", "700", "--out", missing),
            ("vocab", "train", "--shards", shards, "--size", "99999", "--out", missing),
            ("vocab", "train", "--shards", shards, "--size", "700", "--out", "/proc/v.model"),
            ("vocab", "train", "--shards", shards, "--size", "700", "--out", self.folder),
            ("tokenize", "--vocab", missing, "--in", missing),
            ("tokenize", "--vocab", self.model, "--in", missing),
        ):
            done = run(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertEqual(done.stderr.count("millrace: "), 1, done.stderr)
        self.assertFalse(os.path.exists(missing))

    def test_help_has_an_example(self):
        for command in (("vocab",), ("vocab", "train"), ("vocab", "show"), ("tokenize",)):
            self.assertIn("Example:", run(*command, "--help").stdout)


if __name__ == "__main__":
    unittest.main()

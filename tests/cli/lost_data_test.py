"""Lost data and the end of a stream, as train, preprocess and index report them: lost_data_test.py MILLRACE"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run

MILLRACE = None


def millrace(*arguments, code=0):
    done = subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    if done.returncode != code:
        raise AssertionError(f"{arguments}: exit code {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}")
    return done


def json_lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


class LostData(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-lost-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.run_file = tiny_run.write_run(self.folder)
        self.data = self.folder / "data"

    def shard(self, name, documents, bad=0):
        """A shard with `bad` lines after its documents."""
        tiny_run.write_shards(self.data, name, 7, documents)
        with open(self.data / f"{name}.jsonl", "a") as file:
            file.write("no json\n" * bad)

    def use_one_corpus(self, shards, more=""):
        self.folder.joinpath("mix.toml").write_text(
            'name = "one"\n[[corpus]]\nname = "all"\nkind = "text"\nshare = 100\n'
            f'shards = {json.dumps(shards)}\n{more}\n')

    def train(self, name, *arguments, code=0):
        return millrace("train", self.run_file, "--run-dir", self.folder / name, "--threads", 2, *arguments, code=code)

    def summary(self, name):
        return json.loads((self.folder / name / "summary.json").read_text())

    def test_a_stream_that_ends_drops_what_makes_no_batch_and_says_so(self):
        self.shard("ends", 97, bad=12)
        self.use_one_corpus(["ends.jsonl"], 'max_epochs = 1\nat_end = "stop"')
        sets = ["--set", "train.batch_rows=8", "--set", "train.micro_rows=4", "--set", "data.max_bad_fraction=0.5",
                "--set", "eval.tokens=0"]
        millrace("preprocess", self.run_file, "--out", self.folder / "rows", "--format", "rows", "--tokens", 15_000, *sets)
        manifest = json.loads((self.folder / "rows" / "preprocess.json").read_text())
        account = manifest["accounts"][0]
        self.assertTrue(manifest["stream_ended"])
        self.assertNotEqual(manifest["rows"] % 8, 0)

        self.train("streamed", *sets)
        self.train("from-rows", *sets, "--rows", self.folder / "rows")
        for name in ("streamed", "from-rows"):
            summary = self.summary(name)
            self.assertEqual(summary["end"], "stream_ended")
            self.assertEqual(summary["rows"], manifest["rows"] // 8 * 8)
            self.assertEqual(summary["dropped_rows"], manifest["rows"] % 8)
            records = summary["records"]["all"]
            self.assertEqual(records["read"], 97 + 12)
            self.assertEqual(records["rejected"], {"bad_json": 12})
            self.assertEqual((records["tail_tokens"], records["tail_documents"]),
                             (account["tail_tokens"], account["tail"]))
            rejects = json_lines(self.folder / name / "rejects.jsonl")
            self.assertEqual(sorted(reject["line"] for reject in rejects), list(range(98, 110)))
            log = (self.folder / name / "train.log").read_text()
            self.assertEqual(log.count("rejected in corpus \"all\""), 2, "the first and the tenth")
        self.assertEqual(sorted(r["line"] for r in json_lines(self.folder / "rows" / "rejects.jsonl")),
                         list(range(98, 110)))

    def test_rows_that_make_no_whole_step_are_counted_at_the_run_s_last_step_too(self):
        rows = 207
        sets = ["--set", "train.batch_rows=8", "--set", "train.micro_rows=4", "--set", f"train.tokens={rows * 64}",
                "--set", "eval.tokens=0"]
        millrace("preprocess", self.run_file, "--out", self.folder / "rows", "--format", "rows", "--tokens", 15_000, *sets)
        self.train("streamed", *sets)
        self.train("from-rows", *sets, "--rows", self.folder / "rows")
        for name in ("streamed", "from-rows"):
            summary = self.summary(name)
            self.assertEqual((summary["end"], summary["rows"], summary["dropped_rows"]), ("complete", 200, 7))
        self.assertEqual(self.summary("streamed")["records"], self.summary("from-rows")["records"])

    def test_training_stops_at_a_shard_of_which_nothing_can_be_read_unless_it_is_allowed(self):
        self.shard("good", 300)
        (self.data / "cut.jsonl").write_bytes(zlib.compress(b"x" * 100, wbits=31)[:14])
        self.use_one_corpus(["good.jsonl", "cut.jsonl"])
        said = self.train("refused", "--set", "data.max_bad_fraction=1", code=1).stderr
        self.assertIn("cut.jsonl", said)
        self.assertIn("truncated", said)
        self.assertIn('allow_unreadable = ["cut.jsonl"]', said)
        named = [reject["shard"] for reject in json_lines(self.folder / "refused" / "rejects.jsonl")]
        self.assertTrue(named and all(shard.endswith("cut.jsonl") for shard in named))
        allowed = ["--set", 'data.allow_unreadable=["cut.jsonl"]', "--set", "data.max_bad_fraction=0"]
        self.train("allowed", *allowed)
        self.assertIn('allow_unreadable = ["cut.jsonl"]', (self.folder / "allowed" / "run.toml").read_text())
        self.assertEqual(self.summary("allowed")["records"]["all"]["lost_content"], 0)
        said = millrace("preprocess", self.run_file, "--out", self.folder / "out", "--format", "olmo", code=1).stderr
        self.assertIn("cut.jsonl", said)

    def test_index_fails_where_a_whole_shard_cannot_be_read_and_shows_what_part_is_lost(self):
        folder = self.folder / "shards"
        folder.mkdir()
        lines = b'{"text": "the mill"}\n' * 1000
        (folder / "a.jsonl").write_bytes(lines)
        (folder / "b.jsonl").write_bytes(lines + b'{"body": 1}\n')
        self.assertIn("0.05 %", millrace("index", folder).stdout)
        (folder / "c.jsonl").write_bytes(b'{"body": "no text"}\n' * 3)
        manifest = self.folder / "index.json"
        done = millrace("index", folder, "--out", manifest, code=1)
        self.assertIn("c.jsonl", done.stdout)
        self.assertIn("1 of 3 shards could not be read", done.stderr)
        self.assertIn("c.jsonl", done.stderr)
        self.assertNotIn("b.jsonl", done.stderr)
        again = millrace("index", folder, "--out", manifest, code=1)  # From the stored index.
        self.assertIn("3 of them taken over", again.stderr)
        self.assertEqual(again.stdout, done.stdout)

    def test_what_is_lost_is_told_with_its_file_and_cause(self):
        self.shard("half", 100, bad=100)
        self.use_one_corpus(["half.jsonl"])
        said = self.train("half", code=1).stderr
        for part in (r"half\.jsonl:\d+ ", "bad_json", "100 of 200 records", "max_bad_fraction = 0.01"):
            self.assertRegex(said, part)

    def test_fractions_outside_0_to_1_are_refused(self):
        for setting in ("data.max_bad_fraction=1.5", "data.max_bad_fraction=-0.1", "data.max_bad_fraction=nan",
                        "data.holdout=1.0", "data.holdout=-1e-9", "data.holdout=nan"):
            said = self.train("refused", "--set", setting, code=2).stderr
            self.assertIn(setting.split("=")[0].split(".")[1], said)
            self.assertRegex(said, "expected|not finite")
            self.assertFalse((self.folder / "refused").exists())

    def test_a_tenth_of_an_epoch_has_documents_where_a_tenth_is_held_out(self):
        self.shard("many", 1000)
        self.use_one_corpus(["many.jsonl"], 'max_epochs = 0.1\nat_end = "stop"')
        millrace("preprocess", self.run_file, "--out", self.folder / "rows", "--format", "rows", "--tokens", 15_000,
                 "--set", "data.holdout=0.1")
        account = json.loads((self.folder / "rows" / "preprocess.json").read_text())["accounts"][0]
        self.assertGreater(account["documents"] + account["tail"], 50)
        self.assertGreater(account["held_out"], 50)
        self.assertGreater(account["skipped"], 700)


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    unittest.main()

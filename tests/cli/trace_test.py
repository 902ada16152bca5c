"""millrace inspect --row and millrace trace on a run that was trained: trace_test.py MILLRACE"""

import collections
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run

MILLRACE = None
ROWS = 3200  # The run records a position every 1,000.


def millrace(*arguments, code=0):
    done = subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


class Provenance(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-trace-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")
        text = cls.run_file.read_text().replace("until = 15_360", f"until = {ROWS * 64}")
        text = text.replace("batch_rows = 4", "batch_rows = 64").replace("micro_rows = 2", "micro_rows = 64")
        cls.run_file.write_text(text)
        cls.trained = cls.folder / "run"
        millrace("train", cls.run_file, "--run-dir", cls.trained)
        replay = millrace("inspect", cls.run_file, "--json", "--examples", ROWS).stdout
        cls.rows = [json.loads(line) for line in replay.splitlines()]
        cls.holders = collections.defaultdict(list)
        for row in cls.rows:
            for example in row["examples"]:
                for document in example["documents"]:
                    cls.holders[document["shard"], document["record"]].append(
                        (row["row"], document["from"], document["to"], example["denoiser"]))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def trace(self, shard, record):
        done = millrace("trace", self.trained, "--document", f"{shard}:{record}", "--json")
        found = json.loads(done.stdout)
        self.assertEqual(found["rows_trained"], ROWS)
        return found["documents"][0], done.stderr

    def test_a_row_is_made_again_from_the_last_recorded_position(self):
        for number in (0, 5, 999, 1000, 1001, 2345, ROWS - 1):
            done = millrace("inspect", self.trained, "--row", number, "--json")
            self.assertEqual(json.loads(done.stdout), self.rows[number])
            if number % 1000:
                self.assertIn(f"making rows {number // 1000 * 1000} to {number} again", done.stderr)

    def test_a_run_that_never_ran_is_replayed_from_row_0_and_says_so(self):
        error = millrace("inspect", self.run_file, "--row", 7, "--json").stderr
        self.assertIn("this run never ran: making rows 0 to 7 again", error)

    def test_spans_cover_the_row_and_name_its_sentinels(self):
        for row in self.rows[:200]:
            spans = row["examples"][0]["spans"]
            self.assertEqual([span["from"] for span in spans], [0] + [span["to"] for span in spans[:-1]])
            self.assertEqual(spans[-1]["to"], 64)
            kinds = {span["kind"] for span in spans}
            if row["examples"][0]["denoiser"] == "span":
                noise = [span["sentinel"] for span in spans if span["kind"] == "noise"]
                self.assertEqual(noise, [span["sentinel"] for span in spans if span["kind"] == "sentinel"])
                self.assertTrue(noise and noise == sorted(noise, reverse=True))
                for span in spans:
                    if span["kind"] == "noise":
                        self.assertEqual(row["labels"][span["from"]], span["sentinel"])
                        self.assertTrue(all(row["loss_weights"][span["from"]:span["to"]]))
            else:
                self.assertIn("target", kinds)

    def test_trace_finds_exactly_the_rows_that_held_a_document(self):
        often = sorted(self.holders, key=lambda document: -len(self.holders[document]))
        for document in often[:2] + often[len(often) // 2:len(often) // 2 + 2] + often[-2:]:
            found, _ = self.trace(*document)
            self.assertEqual([(hit["row"], hit["from"], hit["to"], hit["denoiser"]) for hit in found["rows"]],
                             self.holders[document], document)

    def test_trace_says_why_a_document_is_in_no_row(self):
        rejected, _ = self.trace("code.jsonl", 5)
        self.assertIn("bad_json", rejected["never_read_because"])
        read = {record for shard, record in self.holders if shard == "prose.jsonl"}
        held_out = next(record for record in range(2000)
                        if record not in read and self.trace("prose.jsonl", record)[0]["never_read_because"])
        self.assertEqual(self.trace("prose.jsonl", held_out)[0]["never_read_because"], "held out for evaluation")

    def test_wrong_names_exit_2(self):
        for document, complaint in (("prose.jsonl", "expected SHARD:RECORD"), ("prose.json:1", 'did you mean "prose.jsonl"'),
                                    ("prose.jsonl:2000", "has no record 2000; it ends before record 2000")):
            self.assertIn(complaint, millrace("trace", self.trained, "--document", document, code=2).stderr)

    def test_a_stream_of_another_version_is_not_made_again(self):
        state = sorted((self.trained / "checkpoints").glob("step-*"))[-1] / "state.json"
        before = state.read_text()
        self.assertIn('"stream_version":', before.replace(" ", ""))
        state.write_text(re.sub(r'"stream_version": ?\d+', '"stream_version":1', before))
        try:
            self.assertIn("made with version 1 of the stream", millrace("inspect", self.trained, "--row", 5, code=2).stderr)
        finally:
            state.write_text(before)

    def test_a_shard_that_changed_is_not_believed(self):
        shard = self.folder / "input/data/prose.jsonl"
        before = shard.read_bytes()
        shard.write_bytes(before.replace(b"river", b"rivet", 1))
        try:
            for command in (["inspect", self.trained, "--row", 5], ["trace", self.trained, "--document", "prose.jsonl:1"]):
                self.assertIn("prose.jsonl: changed", millrace(*command, code=2).stderr)
        finally:
            shard.write_bytes(before)


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    unittest.main(verbosity=2)

"""From which states a stream goes on: states_test.py MILLRACE"""

import json
import pathlib
import shutil
import tempfile
import unittest

from python_run import expect_batch, inspected, program

import millrace
import tiny_run


class States(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-python-"))
        cls.run_file = tiny_run.write_run(cls.folder)
        cls.rows = inspected(cls.run_file, 240)
        with millrace.Stream(cls.run_file) as stream:  # Four rows a batch; the second phase begins with row 80.
            for _ in range(5):
                next(stream)
            cls.state = stream.state()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def copy(self, name, *changes):
        """The run in a folder of its own, with texts of its files replaced: (file, before, after)."""
        folder = self.folder / name
        shutil.copytree(self.folder, folder, ignore=lambda _, names: set(names) - {
            "data", "prose.jsonl", "code.jsonl", "mix.toml", "ul2.toml", "causal.toml", "run.toml", "vocab.model"})
        run = folder / "run.toml"
        run.write_text(run.read_text().replace(str(self.folder / "data"), str(folder / "data")))
        for file, before, after in changes:
            text = (folder / file).read_text()
            self.assertIn(before, text)
            (folder / file).write_text(text.replace(before, after))
        return run

    def refusal(self, run, state=None, **options):
        with self.assertRaises(millrace.ConfigError) as raised:
            millrace.Stream(run, start=self.state if state is None else state, **options)
        return str(raised.exception)

    def test_a_state_opens_where_its_data_was_moved_to(self):
        with millrace.Stream(self.copy("moved"), start=self.state, batch_rows=10) as stream:
            expect_batch(self, next(stream), self.rows[20:30])

    def test_a_state_that_was_opened_is_the_same_again(self):
        with millrace.Stream(self.run_file, start=self.state, batch_rows=3, threads=2) as stream:
            self.assertEqual(stream.state(), self.state)

    def test_what_would_change_the_rows_is_refused_by_name(self):
        self.assertIn("seed: 3 there, 4 here", self.refusal(self.run_file, sets=["seed=4"]))
        self.assertIn("phase 1 objective", self.refusal(self.run_file, sets=["phase.0.objective.denoiser.span.mean_span=4"]))
        self.assertIn("phase 1 until: 5120 there, 1280 here", self.refusal(self.run_file, sets=["phase.0.until=1280"]))
        message = self.refusal(self.copy("longer", ("data/code.jsonl", "mill", "mills")))
        self.assertIn('corpus "code": its shards were changed', message)
        self.assertNotIn("prose", message)
        run = self.copy("words")
        run.with_name("vocab.model").write_bytes(tiny_run.vocabulary(tiny_run.WORDS[::-1]))
        self.assertIn("vocabulary: hash", self.refusal(run))
        other = dict(self.state, stream_version=3)
        self.assertIn("version 3 of the stream", self.refusal(self.run_file, other))

    def test_phases_to_come_may_be_changed(self):
        for change in "phase.0.until=6400", "phase.1.until=20480", "phase.1.objective.separator=none":
            with millrace.Stream(self.run_file, start=self.state, sets=[change]) as stream:
                self.assertEqual(stream.row, 20)
                expect_batch(self, next(stream), self.rows[20:24])

    def test_positions_that_the_program_wrote_open(self):
        run_folder = self.folder / "trained"
        program("train", self.run_file, "--run-dir", run_folder, "--set", "train.tokens=8192", "--set", "eval.tokens=0")
        states = sorted(run_folder.glob("checkpoints/*/state.json"))
        self.assertEqual(len(states), 2)
        for state in states:
            position = json.loads(state.read_text())["position"]  # As a line of positions.jsonl.
            if position["row"] == 128:
                continue
            with millrace.Stream(self.run_file, start=position, batch_rows=3) as stream:
                expect_batch(self, next(stream), self.rows[position["row"]:position["row"] + 3])
        with millrace.Stream(run_folder / "run.toml", start=position) as stream:
            self.assertEqual(stream.rows, 128)  # It ends where training does.

    def test_a_run_folder_opens_and_goes_on_from_its_newest_checkpoint_or_any(self):
        run = self.copy("of_folder")
        folder = self.folder / "run folder"
        program("train", run, "--run-dir", folder, "--set", "train.tokens=8192", "--set", "eval.tokens=0")
        with millrace.Stream(folder) as stream:  # It is complete in itself.
            self.assertEqual((stream.rows, stream.batch_rows), (128, 4))
            expect_batch(self, next(stream), self.rows[:4])
        first, last = sorted((folder / "checkpoints").glob("step-*"))
        with millrace.Stream(folder, start=first) as stream:
            at = stream.row
            self.assertEqual(at, json.loads((first / "state.json").read_text())["position"]["row"])
            self.assertEqual(stream.ledger()["rows"], at)
            expect_batch(self, next(stream), self.rows[at:at + 4])
        with millrace.Stream(folder, start=str(folder)) as stream:  # The newest one is behind the last row.
            self.assertEqual(stream.row, 128)
        with millrace.Stream(run, start=folder, sets=["train.tokens=15360"]) as stream:
            expect_batch(self, next(stream), self.rows[128:132])

        damaged = self.folder / "damaged"
        shutil.copytree(last, damaged)
        state = json.loads((damaged / "state.json").read_text())
        for change, message in (({"stream_version": 3}, "version 3 of the stream"), ({"vocabulary_hash": "x"}, "vocabulary: hash x")):
            (damaged / "state.json").write_text(json.dumps(dict(state, run=dict(state["run"], **change))))
            self.assertIn(message, self.refusal(folder, damaged))
        (damaged / "state.json").write_text("{")
        self.assertIn("state.json: damaged", self.refusal(folder, damaged))
        (damaged / "state.json").unlink()
        self.assertIn("expected a checkpoint", self.refusal(folder, damaged))
        shutil.rmtree(last)
        shutil.rmtree(first)
        self.assertIn("no checkpoint yet", self.refusal(folder, folder))
        shard = run.parent / "data/code.jsonl"
        shard.write_text(shard.read_text().replace("mill", "mall"))
        self.assertIn("code.jsonl", self.refusal(folder))

    def test_damage_of_a_state_is_named(self):
        for damage, message in ((lambda state: state.pop("ledger"), "ledger"),
                                (lambda state: state["position"].update(row=-1), "position.row is -1"),
                                (lambda state: state["position"]["corpora"][0].update(epoch="x"), "corpora[0].epoch"),
                                (lambda state: state.update(run={}), "run is empty"),
                                (lambda state: state.clear(), "stream_version")):
            state = json.loads(json.dumps(self.state))
            damage(state)
            with self.subTest(message=message):
                found = self.refusal(self.run_file, state or {"x": 1})
                self.assertTrue(found.startswith("start: "), found)
                self.assertIn(message, found)


if __name__ == "__main__":
    unittest.main(verbosity=2)

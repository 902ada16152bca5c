"""Rows in Python are those that inspect shows: stream_test.py MILLRACE quick|long"""

import itertools
import json
import logging
import pathlib
import random
import resource
import shutil
import sys
import tempfile
import unittest

from python_run import expect_batch, inspected, numpy, program

import millrace
import tiny_run

ROWS = 240  # Of the run as it stands; both objectives and their border.


class Stream(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-python-"))
        cls.run_file = tiny_run.write_run(cls.folder)
        cls.sets = [f"phase.1.until={cls.count() * 64}"]
        cls.rows = inspected(cls.run_file, cls.count(), 0, "--set", cls.sets[0])

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @staticmethod
    def count():
        return ROWS

    def stream(self, **options):
        return millrace.Stream(self.run_file, sets=self.sets, **options)

    def expect_rest(self, stream, first):
        """The stream's batches from its next row to its end."""
        at = first
        for batch in stream:
            expect_batch(self, batch, self.rows[at:at + len(batch)])
            at += len(batch)
        self.assertEqual(at, len(self.rows))

    def test_rows_are_those_of_inspect_whatever_the_threads_and_the_batches(self):
        for threads, batch_rows in (1, None), (8, 7):
            with self.stream(threads=threads, batch_rows=batch_rows) as stream:
                self.assertEqual(stream.batch_rows, batch_rows or 4)
                self.assertEqual((stream.rows, stream.row), (len(self.rows), 0))
                self.expect_rest(stream, 0)
                self.assertEqual(stream.row, len(self.rows))
                self.assertRaises(StopIteration, next, stream)

    def test_a_stream_goes_on_from_its_state(self):
        rng = random.Random(1)
        for threads in 1, 8:
            start, at = None, 0
            while at < len(self.rows):
                batch_rows = rng.randrange(1, 9)
                with self.stream(start=start, threads=threads, batch_rows=batch_rows) as stream:
                    self.assertEqual(stream.row, at)
                    for batch in itertools.islice(stream, rng.randrange(1, max(2, len(self.rows) // 32))):
                        expect_batch(self, batch, self.rows[at:at + len(batch)])
                        at += len(batch)
                    start = json.loads(json.dumps(stream.state()))
            self.assertLess(len(json.dumps(start)), 4096)
            with self.stream(start=start) as stream:
                self.assertRaises(StopIteration, next, stream)

    def test_the_ledger_counts_what_was_handed_out(self):
        with self.stream(batch_rows=10) as stream:
            for _ in itertools.islice(stream, 9):
                pass
            start = stream.state()
        with self.stream(batch_rows=5, start=start) as stream:
            next(stream)
            ledger = stream.ledger()
        rows = self.rows[:95]
        self.assertEqual((ledger["rows"], ledger["positions"]), (95, 95 * 64))
        self.assertEqual(ledger["loss_tokens"], sum(sum(row["loss_weights"]) for row in rows))
        self.assertEqual({entry["corpus"] for entry in ledger["entries"]}, {"prose", "code"})
        for entry in ledger["entries"]:
            mine = [example for row in rows for example in row["examples"]
                    if (example["corpus"], example["denoiser"]) == (entry["corpus"], entry["denoiser"])]
            self.assertEqual(entry["examples"], len(mine))

    def test_arrays_belong_to_their_batch_and_are_handed_on_without_a_copy(self):
        with self.stream(batch_rows=3) as stream:
            first, second = next(stream), next(stream)
        kept = first.tokens.copy()
        second.tokens[:] = 0
        self.assertTrue((first.tokens == kept).all())
        types = {"tokens": "int32", "labels": "int32", "loss_weights": "float32", "segment_ids": "int32", "positions": "int32"}
        for name, array in first.items():
            self.assertEqual((array.shape, str(array.dtype)), ((3, 64), types[name]))
            self.assertTrue(array.flags.c_contiguous and array.flags.writeable)
            self.assertFalse(array.flags.owndata)  # Its memory is the stream's own row arrays.
            self.assertTrue(numpy.shares_memory(array, numpy.from_dlpack(array)))

    def test_what_is_rejected_is_told(self):
        with self.assertLogs("millrace", logging.WARNING) as log, self.stream(batch_rows=16) as stream:
            rejects = [reject for batch in stream for reject in batch.rejects()]
        self.assertIn('rejected in corpus "code", first of its cause', log.output[0])
        self.assertEqual({(reject["corpus"], reject["record"], reject["cause"]) for reject in rejects}, {("code", 5, "bad_json")})

    def test_a_run_without_batches_wants_their_rows(self):
        run = self.folder / "bare.toml"
        run.write_text(self.run_file.read_text().split("[model]")[0])
        with self.assertRaisesRegex(millrace.ConfigError, "batch_rows=8"):
            millrace.Stream(run)
        with millrace.Stream(run, batch_rows=2) as stream:
            expect_batch(self, next(stream), self.rows[:2])

    def test_errors_are_the_programs(self):
        cases = {
            "typo.toml": ("seed = 3", "sede = 3"),
            "gone.toml": ('mix = "mix.toml"', 'mix = "mixes.toml"'),
            "vocabulary.toml": ("vocab.model", "vocab.mode"),
        }
        for name, (before, after) in cases.items():
            run = self.folder / name
            run.write_text(self.run_file.read_text().replace(before, after))
            message = program("inspect", run, code=2).strip().removeprefix("millrace: ")
            with self.assertRaises(millrace.ConfigError) as raised:
                millrace.Stream(run)
            self.assertEqual(str(raised.exception), message)
        with self.assertRaisesRegex(millrace.ConfigError, "a folder without run.toml"):
            millrace.Stream(self.folder / "data")
        self.assertTrue(issubclass(millrace.ConfigError, ValueError) and issubclass(millrace.DataError, RuntimeError))

    def test_bad_data_ends_the_stream_behind_the_rows_before_it(self):
        shutil.copytree(self.folder / "data", self.folder / "torn")
        shard = self.folder / "torn/prose.jsonl"
        lines = shard.read_text().splitlines()
        lines[300:] = ["{"] * (len(lines) - 300)
        shard.write_text("\n".join(lines) + "\n")
        with self.assertRaises(millrace.DataError) as raised, self.assertLogs("millrace"):
            for batch in millrace.Stream(self.run_file, data=self.folder / "torn", batch_rows=1, sets=["phase.1.until=9e6"]):
                row = batch.row_numbers[0]
        self.assertIn("prose", str(raised.exception))
        self.assertGreater(row, 0)

    def test_a_closed_stream_says_so(self):
        stream = self.stream()
        next(stream)
        state = stream.state()
        stream.close()
        stream.close()
        self.assertEqual(stream.state(), state)
        with self.assertRaisesRegex(ValueError, "closed"):
            next(stream)


class StreamLong(Stream):
    @staticmethod
    def count():
        return 2000

    def test_memory_does_not_grow_with_the_batches(self):
        sets = ["phase.1.until=9e9"]
        with millrace.Stream(self.run_file, sets=sets, batch_rows=2) as stream:
            for number, batch in enumerate(itertools.islice(stream, 100_000)):
                batch.provenance(0)
                if number == 10_000:
                    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.assertLess(after - before, 20 << 10)  # KiB


if __name__ == "__main__":
    which = sys.argv.pop(1)
    unittest.main(argv=[sys.argv[0], *(["Stream"] if which == "quick" else ["StreamLong"]), *sys.argv[1:]], verbosity=2)

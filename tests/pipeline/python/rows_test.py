"""Random access to rows that preprocess wrote: rows_test.py MILLRACE"""

import os
import pathlib
import pickle
import shutil
import tempfile
import unittest

from python_run import expect_batch, expect_row, inspected, program

import millrace
import tiny_run


class Rows(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-python-"))
        run = tiny_run.write_run(cls.folder)
        cls.rows_folder = cls.folder / "rows"
        program("preprocess", run, "--out", cls.rows_folder, "--format", "rows", "--tokens", 15_360, "--part-bytes", 30_000)
        cls.expected = inspected(run, 240)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_any_row_is_that_of_inspect(self):
        rows = millrace.Rows(self.rows_folder)
        self.assertEqual((len(rows), rows.sequence_length), (240, 64))
        for number in (239, 0, 80, 79, 23, -1, -240):
            row = rows[number]
            self.assertEqual(row.number, number % 240)
            expect_row(self, {name: getattr(row, name) for name in millrace.ARRAYS}, row.provenance, self.expected[number])
        expect_batch(self, rows[70:90], self.expected[70:90])
        expect_batch(self, rows[::-40], self.expected[::-40])
        expect_batch(self, rows.batch([5, 200, 5]), [self.expected[i] for i in (5, 200, 5)])
        self.assertEqual(sum(1 for _ in rows), 240)

    def test_what_it_is_of_is_told(self):
        about = millrace.Rows(self.rows_folder).about()
        self.assertEqual((about["run"], about["corpora"]), ("tiny", ["prose", "code"]))
        self.assertEqual(about["vocabulary"], millrace.Tokenizer(self.folder / "vocab.model").hash)

    def test_a_row_that_is_not_there_is_refused(self):
        rows = millrace.Rows(self.rows_folder)
        for number in (240, -241):
            with self.assertRaisesRegex(IndexError, f"holds 240 rows: there is no row {number}"):
                rows[number]
        with self.assertRaisesRegex(ValueError, "at least one"):
            rows[5:5]
        with self.assertRaisesRegex(millrace.ConfigError, "no"):
            millrace.Rows(self.folder / "data")

    def test_a_damaged_row_is_named_and_the_others_are_read(self):
        damaged = self.folder / "damaged"
        shutil.copytree(self.rows_folder, damaged)
        part = sorted(damaged.glob("*.rows"))[0]
        content = bytearray(part.read_bytes())
        content[96 + 3 * (20 * 64 + 8) + 10] ^= 1
        part.write_bytes(content)
        rows = millrace.Rows(damaged)
        with self.assertRaisesRegex(millrace.DataError, "row 3 is damaged"):
            rows[3]
        expect_batch(self, rows[4:6], self.expected[4:6])

    def test_a_pickled_one_and_a_forked_child_read_on(self):
        rows = pickle.loads(pickle.dumps(millrace.Rows(self.rows_folder)))
        self.assertEqual(rows[3].tokens.tolist(), self.expected[3]["tokens"])
        child = os.fork()
        if child == 0:
            os._exit(0 if rows[200].tokens.tolist() == self.expected[200]["tokens"] else 1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""One feeder a node, many readers: feeder_test.py MILLRACE"""

import json
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from python_run import inspected

import millrace
import tiny_run
from millrace.feeder import FedBatch, FeederError, Job, Reader
from millrace.memory import borrow

ROWS = 240
MARK = "MILLRACE_FEEDER_TEST"


def shared_memory():
    """Files of shared memory as Python or this module would name them."""
    return {name for name in os.listdir("/dev/shm") if name.startswith(("psm_", "millrace"))}


def job(run, **changes):
    """A job of one rank in batches of four rows, with changes."""
    world = changes.get("world_size", 1)
    return Job(**{"run": str(run), "data": None, "sets": (), "batch_rows": 4, "threads": 1, "world_size": 1,
                  "local_world_size": world, "workers": 1, "drop_last": False, "timeout": 120.0, **changes})


def reader_that_dies(name, job, rank, loader):
    reader = Reader(name, job, rank, 0, None, loader)
    next(reader)
    os.kill(os.getpid(), signal.SIGKILL)


def reader_that_lends_and_waits(name, job, places):
    slot = Reader(name, job, 0, 0, None).next_slot()
    view = slot.view()
    for _ in range(2):
        places.put(slot.lend())
    time.sleep(600)
    del view


def feeders():
    """Processes of feeders that this test began: they have its environment."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            environment = (folder / "environ").read_bytes()
            state = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if b"millrace.feeder" in command and f"{MARK}={os.getpid()}".encode() in environment.split(b"\0") and state != "Z":
            found.append(int(folder.name))
    return found


class Feeder(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-python-"))
        cls.run_file = tiny_run.write_run(cls.folder)
        cls.rows = inspected(cls.run_file, ROWS)
        cls.before = shared_memory()
        os.environ[MARK] = str(os.getpid())

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def tearDown(self):
        until = time.monotonic() + 60
        while feeders() and time.monotonic() < until:
            time.sleep(0.05)
        self.assertEqual(feeders(), [], "a feeder is left")
        self.assertEqual(shared_memory() - self.before, set())

    def name(self):
        return f"test-{os.getpid()}-{self.id().rsplit('.', 1)[1]}"

    def expect_rows(self, batch, first):
        rows = self.rows[first:first + len(batch.tokens)]
        self.assertEqual(batch.first_row, first)
        for name, array in batch.items():
            self.assertEqual(array.tolist(), [row[name] for row in rows], name)

    def open_all(self, job, starts):
        """Readers of all ranks and workers: [rank][worker]. `starts`: likewise, or one for all."""
        readers = [[None] * job.workers for _ in range(job.world_size)]
        for rank in range(job.world_size):
            for worker in range(job.workers):
                start = starts[rank][worker] if isinstance(starts, list) else starts
                readers[rank][worker] = Reader(self.name(), job, rank, worker, start)
        return readers

    def take(self, readers, turn, steps, first, each):
        """Steps as DataLoader takes them: worker after worker. Returns the next row, and whose turn it is."""
        at = first
        for _ in range(steps):
            taken = 0
            for rank, workers in enumerate(readers):
                batch = next(workers[turn], None)
                if batch is not None:
                    self.expect_rows(batch, at + rank * each)
                    taken += len(batch.tokens)
            at += taken
            turn = (turn + 1) % len(readers[0])
            if taken == 0:
                break
        return at, turn

    def test_each_row_is_handed_out_once_in_order_whatever_the_ranks_and_workers(self):
        for world, workers in (1, 1), (2, 2), (3, 4):
            with self.subTest(world=world, workers=workers):
                readers = self.open_all(job(self.run_file, world_size=world, workers=workers, batch_rows=3), None)
                at, _ = self.take(readers, 0, 1000, 0, 3)
                self.assertEqual(at, ROWS)
                for one in (one for all_of_rank in readers for one in all_of_rank):
                    self.assertRaises(StopIteration, next, one)

    def test_another_world_size_goes_on_behind_the_last_step(self):
        rng = random.Random(2)
        starts, turn, at = None, 0, 0
        for world, workers in (1, 1), (2, 3), (8, 3), (3, 1), (2, 1):
            readers = self.open_all(job(self.run_file, world_size=world, workers=workers, batch_rows=2), starts)
            at, turn = self.take(readers, 0 if isinstance(starts, dict) or starts is None else turn, rng.randrange(1, 5), at, 2)
            states = [json.loads(json.dumps([one.state() for one in all_of_rank])) for all_of_rank in readers]
            for all_of_rank in states:
                self.assertEqual(max(state["row"] for state in all_of_rank if state), at)
                self.assertEqual(all_of_rank, states[0])  # The same on all ranks.
            for one in (one for all_of_rank in readers for one in all_of_rank):
                one.close()
            # As StatefulDataLoader keeps them for each worker; with one worker, any rank's opens in any number of workers.
            starts = [states[0]] * 8 if workers == 3 and world == 2 else max(filter(None, states[0]), key=lambda state: state["row"])
        self.assertGreater(at, 40)

    def test_the_last_rows_are_left_out_where_they_are_no_whole_step(self):
        readers = self.open_all(job(self.run_file, world_size=7, batch_rows=2, drop_last=True), None)
        at, _ = self.take(readers, 0, 1000, 0, 2)
        self.assertEqual(at, ROWS // 14 * 14)

    def test_errors_of_the_stream_reach_all_readers(self):
        wrong = job(self.run_file, world_size=2, sets=("seed=x",))
        readers = self.open_all(wrong, None)
        for workers in readers:
            with self.assertRaisesRegex(millrace.ConfigError, "seed"):
                next(workers[0])

    def test_readers_that_want_different_streams_are_told(self):
        one = Reader(self.name(), job(self.run_file, world_size=2), 0, 0, None)
        other = Reader(self.name(), job(self.run_file, world_size=2, batch_rows=5), 1, 0, None)
        for reader in one, other:
            with self.assertRaisesRegex(FeederError, "rank 1, worker 0 .* batch_rows differ"):
                next(reader)

    def test_a_rank_that_is_there_twice_is_told(self):
        readers = [Reader(self.name(), job(self.run_file, world_size=2), 0, 0, None) for _ in range(2)]
        for reader in readers:
            with self.assertRaisesRegex(FeederError, "there twice"):
                next(reader)

    def test_readers_that_do_not_come_are_missed(self):
        reader = Reader(self.name(), job(self.run_file, world_size=2, timeout=0.5), 0, 0, None)
        with self.assertRaisesRegex(FeederError, "waited .* here: rank 0 worker 0"):
            next(reader)

    def test_a_reader_that_crashes_is_named_to_the_others(self):
        """A worker whose loader goes on, too."""
        for loader in None, os.getpid():
            with self.subTest(loader=loader):
                two = self.endless(world_size=2)
                process = multiprocessing.get_context("spawn").Process(target=reader_that_dies, args=(self.name(), two, 1, loader))
                process.start()
                reader = Reader(self.name(), two, 0, 0, None)
                with self.assertRaisesRegex(FeederError, f"rank 1, worker 0 .process {process.pid}. crashed"):
                    for _ in reader:
                        time.sleep(0.02)
                process.join()

    def test_a_feeder_that_crashes_is_named(self):
        reader = Reader(self.name(), job(self.run_file, sets=("phase.1.until=9e9",)), 0, 0, None)
        next(reader)
        (feeder,) = feeders()
        os.kill(feeder, signal.SIGKILL)
        with self.assertRaisesRegex(FeederError, "crashed or was killed"):
            for _ in reader:
                pass

    def endless(self, **changes):
        return job(self.run_file, sets=("phase.1.until=9e9",), **changes)

    def test_rows_that_are_held_are_not_written_over_and_others_slots_are_used_again(self):
        reader = Reader(self.name(), job(self.run_file), 0, 0, None)
        held, let_go = [], set()
        for number, slot in enumerate(iter(reader.next_slot, None)):
            batch = FedBatch(slot.first_row, slot.view())
            self.expect_rows(batch, 4 * number)
            if number % 10 == 3:
                held.append((slot.offset, batch.tokens[1:], batch.first_row + 1))  # A part keeps the whole.
            else:
                let_go.add(slot.offset)
            del batch
        self.assertEqual(number, ROWS // 4 - 1)
        self.assertLessEqual(len(let_go), 4 + len(held))
        for offset, tokens, first in held:
            self.assertEqual(tokens.tolist(), [row["tokens"] for row in self.rows[first:first + 3]])
        self.assertEqual(len({offset for offset, _, _ in held}), len(held))

    def test_rows_that_were_lent_are_not_written_over_until_they_are_taken(self):
        reader = Reader(self.name(), job(self.run_file), 0, 0, None)
        places = {}
        for number in range(20):
            slot = reader.next_slot()
            view = slot.view()
            if number % 5 == 0:
                places[slot.first_row] = slot.lend()
            del view
        for first, place in places.items():
            self.expect_rows(FedBatch(first, borrow(*place).read()), first)
            with self.assertRaisesRegex(FeederError, "can be taken once"):
                borrow(*place).read()
        others = {reader.next_slot().offset for _ in range(10)}  # Unread, so each has another one.
        self.assertEqual(len(others), 10)
        self.assertTrue({place[2] for place in places.values()} <= others)

    def test_lent_rows_outlive_the_reader_object_that_had_them(self):
        reader = Reader(self.name(), job(self.run_file), 0, 0, None)
        slot = reader.next_slot()
        view = slot.view()
        place = slot.lend()
        reader.close()
        del reader, slot, view
        other = Reader(self.name() + "-other", job(self.run_file), 0, 0, None)
        self.expect_rows(next(other), 0)
        self.expect_rows(FedBatch(0, borrow(*place).read()), 0)
        other.close()

    def test_a_feeder_that_is_killed_leaves_the_rows_that_are_in_use(self):
        reader = Reader(self.name(), self.endless(), 0, 0, None)
        kept, lent = reader.next_slot(), reader.next_slot()
        batch, place, view = FedBatch(0, kept.view()), lent.lend(), lent.view()
        (feeder,) = feeders()
        os.kill(feeder, signal.SIGKILL)
        with self.assertRaisesRegex(FeederError, "crashed or was killed"):
            while reader.next_slot() is not None:
                pass
        self.assertEqual(batch.tokens.tolist(), [row["tokens"] for row in self.rows[:4]])
        self.assertEqual(borrow(*place).read()[0].tolist(), view[0].tolist())

    def test_a_reader_that_is_killed_is_named_to_who_takes_what_it_lent(self):
        context = multiprocessing.get_context("spawn")
        places = context.Queue()
        process = context.Process(target=reader_that_lends_and_waits, args=(self.name(), self.endless(), places))
        process.start()
        place, again = places.get(timeout=120), places.get(timeout=120)
        self.expect_rows(FedBatch(0, borrow(*place).read()), 0)
        process.kill()
        process.join()
        with self.assertRaisesRegex(FeederError, f"process {process.pid} ended"):
            borrow(*again)

    def test_a_reader_that_leaves_early_leaves_the_others_their_rows(self):
        readers = self.open_all(job(self.run_file, world_size=2), None)
        next(readers[1][0])
        readers[1][0].close()
        firsts = [batch.first_row for batch in readers[0][0]]
        self.assertEqual(firsts, [*range(0, ROWS, 8)])


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""Each row once, in order within a rank, whatever the ranks and workers and wherever they change: grid_test.py MILLRACE

Readers are tried in any Python; DataLoader's workers where there is a PyTorch, and StatefulDataLoader's states where there is a
torchdata for it.
"""

import itertools
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import unittest

from python_run import inspected

import millrace
import tiny_run
from millrace.feeder import Job, Reader

try:
    import millrace.torch
    from torch.utils.data import DataLoader
except ImportError:
    DataLoader = None
try:
    from torchdata.stateful_dataloader import StatefulDataLoader
except (ImportError, AttributeError):  # Not there, or for another PyTorch.
    StatefulDataLoader = None

ROWS = 2000
WORLDS = 1, 2, 3, 8
WORKERS = 0, 2, 4


class Grid(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-python-"))
        cls.run_file = tiny_run.write_run(cls.folder)
        cls.sets = (f"phase.1.until={ROWS * 64}",)
        cls.rows = inspected(cls.run_file, ROWS, 0, "--set", cls.sets[0])
        cls.groups = itertools.count()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def group(self):
        return f"grid-{os.getpid()}-{next(self.groups)}"

    def expect_rows(self, arrays, first):
        """Arrays by their names hold the rows from this one on. Returns how many."""
        arrays = dict(arrays)
        count = len(arrays["tokens"])
        for name in millrace.ARRAYS:
            self.assertEqual(arrays[name].tolist(), [row[name] for row in self.rows[first:first + count]], f"row {first}: {name}")
        return count

    def expect_steps(self, iterators, at, each, steps):
        """So many steps, or up to the end; the first rank's rows come first. Returns the row behind them."""
        for _ in range(steps):
            batches = [next(iterator, None) for iterator in iterators]
            taken = sum(self.expect_rows(batch.items(), at + rank * each)
                        for rank, batch in enumerate(batches) if batch is not None)
            at += taken
            if taken == 0:
                break
        return at

    def shapes(self, rng, workers):
        """(world size, workers, rows of a rank's batch, steps), each pair of the first two at least once, in random order."""
        pairs = list(itertools.product(WORLDS, workers))
        while True:
            rng.shuffle(pairs)
            for world, count in pairs:
                each = rng.randrange(1, 4)
                yield world, count, each, rng.randrange(1, max(2, ROWS // len(pairs) // world // each))

    def test_readers(self):
        rng = random.Random(5)
        at, start, seen = 0, None, set()
        for world, workers, each, steps in self.shapes(rng, [max(1, count) for count in WORKERS]):
            job = Job(run=str(self.run_file), data=None, sets=self.sets, batch_rows=each, threads=rng.choice([1, 8]),
                      world_size=world, local_world_size=world, workers=workers, drop_last=False, timeout=300.0)
            group = self.group()
            readers = [[Reader(group, job, rank, worker, start) for worker in range(workers)] for rank in range(world)]
            turns = [itertools.cycle(of_rank) for of_rank in readers]
            before = at
            for _ in range(steps):
                at = self.expect_steps([next(turn) for turn in turns], at, each, 1)
            states = [max((reader.state() for reader in of_rank), key=lambda state: state["row"] if state else -1)
                      for of_rank in readers]
            for of_rank in readers:
                for reader in of_rank:
                    reader.close()
            seen.add((world, workers))
            if at == before:
                break
            if at < ROWS:  # The last step is not whole: some ranks have no batch of it.
                self.assertTrue(all(state["row"] == at for state in states))
            start = json.loads(json.dumps(max(states, key=lambda state: state["row"]))) | {"workers": 0}
        self.assertEqual(at, ROWS)
        self.assertEqual(len(seen), len(WORLDS) * len(WORKERS))

    def dataset(self, each, rank, world, group, **options):
        return millrace.torch.IterableDataset(self.run_file, batch_rows=each, rank=rank, world_size=world, group=group,
                                              sets=self.sets, timeout=300, drop_last=False, **options)

    def state_at(self, row):
        """A Stream's state there."""
        with millrace.Stream(self.run_file, sets=self.sets, batch_rows=row) as stream:
            next(stream)
            return {"stream": json.loads(json.dumps(stream.state()))}

    @unittest.skipIf(DataLoader is None, "skipped: this Python has no torch")
    def test_loaders(self):
        rng = random.Random(6)
        at, seen = 0, set()
        for world, workers, each, steps in self.shapes(rng, WORKERS):
            start = self.state_at(at) if at > 0 else None
            group = self.group()
            iterators = [iter(DataLoader(self.dataset(each, rank, world, group, start=start), batch_size=None,
                                         num_workers=workers)) for rank in range(world)]
            at = self.expect_steps(iterators, at, each, steps)
            del iterators
            seen.add((world, workers))
            if at == ROWS:
                break
        self.assertEqual(len(seen), len(WORLDS) * len(WORKERS))

    @unittest.skipIf(DataLoader is None or StatefulDataLoader is None, "skipped: this Python has no torchdata, or for another torch")
    def test_stateful_loaders(self):
        for workers in WORKERS:
            rng = random.Random(workers)
            at, states = 0, None
            for world, _, each, steps in self.shapes(rng, [workers]):
                group = self.group()
                loaders = [StatefulDataLoader(self.dataset(each, rank, world, group), batch_size=None, num_workers=workers)
                           for rank in range(world)]
                if states is not None:
                    for loader in loaders:
                        loader.load_state_dict(states)
                iterators = [iter(loader) for loader in loaders]
                steps = max(1, min(steps, (ROWS - at) // (world * each)))
                at = self.expect_steps(iterators, at, each, steps)
                states = rng.choice(loaders).state_dict()
                del iterators
                if at == ROWS:
                    break
            self.assertEqual(at, ROWS)


if __name__ == "__main__":
    unittest.main(verbosity=2)

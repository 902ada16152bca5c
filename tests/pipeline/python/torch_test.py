"""The PyTorch dataset: torch_test.py MILLRACE      skipped where this Python has no PyTorch"""

import copy
import itertools
import json
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import tempfile
import unittest

from python_run import inspected

try:
    import torch
    from torch.utils.data import DataLoader
except ImportError:
    print("skipped: this Python has no torch")
    sys.exit(77)
try:
    from torchdata.stateful_dataloader import StatefulDataLoader
except (ImportError, AttributeError):  # Not there, or for another PyTorch.
    StatefulDataLoader = None

import millrace.torch
import tiny_run

ROWS = 240
KILLED_WORKER = """
import os, signal, sys
import millrace.torch
from torch.utils.data import DataLoader
dataset = millrace.torch.IterableDataset(sys.argv[1], batch_rows=4, threads=1, timeout=300, sets=("phase.1.until=9e9",))
batches = iter(DataLoader(dataset, batch_size=None, num_workers=2))
next(batches)
os.kill(batches._workers[1].pid, signal.SIGKILL)
for _ in batches:
    pass
print("the stream ended")
"""
ENDS = """
import sys
import millrace.torch
from torch.utils.data import DataLoader
run, workers, rank, ranks, group, batches = sys.argv[1:]
dataset = millrace.torch.IterableDataset(run, batch_rows=4, rank=int(rank), world_size=int(ranks), group=group, threads=1, timeout=300)
loader = iter(DataLoader(dataset, batch_size=None, num_workers=int(workers)))
kept = [next(loader) for _ in range(int(batches))]
print(len(kept), sum(1 for _ in loader) if rank == "1" else "")
"""


class Torch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-python-"))
        cls.run_file = tiny_run.write_run(cls.folder)
        cls.rows = inspected(cls.run_file, ROWS)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def dataset(self, batch_rows=4, **options):
        return millrace.torch.IterableDataset(self.run_file, batch_rows=batch_rows, threads=1, timeout=300, **options)

    def expect(self, batch, first):
        types = {"loss_weights": torch.float32}
        rows = self.rows[first:first + len(batch["tokens"])]
        for name in millrace.ARRAYS:
            self.assertEqual(batch[name].dtype, types.get(name, torch.int32))
            self.assertEqual(batch[name].tolist(), [row[name] for row in rows])
        return first + len(rows)

    def test_batches_come_in_order_from_any_number_of_workers(self):
        for workers in 0, 2, 4:
            at = 0
            for batch in DataLoader(self.dataset(), batch_size=None, num_workers=workers):
                at = self.expect(batch, at)
            self.assertEqual(at, ROWS)

    def test_what_a_worker_changed_comes_to_its_loader(self):
        def shorten(batch):
            batch["tokens"] = batch["tokens"][:, :10]
            batch["more"] = 7
            batch["labels"] += 1
            return batch

        (batch,) = itertools.islice(DataLoader(self.dataset(), batch_size=None, num_workers=1, collate_fn=shorten), 1)
        self.assertEqual(set(batch), {*millrace.ARRAYS, "more"})
        self.assertEqual(batch["tokens"].tolist(), [row["tokens"][:10] for row in self.rows[:4]])
        self.assertEqual(batch["labels"].tolist(), [[label + 1 for label in row["labels"]] for row in self.rows[:4]])
        changes = (lambda batch: None, lambda batch: batch["labels"].add_(1), lambda batch: batch.pop("labels"),
                   lambda batch: batch.update(labels=batch["labels"][:, ::2]))
        sends = (lambda batch: batch), copy.copy, (lambda batch: pickle.loads(pickle.dumps(batch)))
        ways = list(itertools.product(changes, sends))
        left = itertools.cycle(ways)

        def change_and_send(batch):
            change, send = next(left)
            change(batch)
            return send(batch)

        changed = DataLoader(self.dataset(), batch_size=None, num_workers=1, collate_fn=change_and_send)
        for (change, _), expected, batch in zip(ways, self.dataset(), changed):
            change(expected)
            self.assertEqual({name: tensor.tolist() for name, tensor in batch.items()},
                             {name: tensor.tolist() for name, tensor in expected.items()})

    def test_batches_that_are_kept_stay_as_they_are(self):
        kept_there = []

        def keep(batch):  # In the worker.
            kept_there.append(batch["tokens"])
            return {**batch, "before": kept_there[-3:][0].clone()} if len(kept_there) % 2 else batch

        for collate, context in (None, "fork"), (keep, "fork"), (None, "spawn"):
            batches = list(DataLoader(self.dataset(), batch_size=None, num_workers=2, collate_fn=collate,
                                      multiprocessing_context=context))
            at = 0
            for number, batch in enumerate(batches):
                at = self.expect(batch, at)
                if "before" in batch:
                    self.assertEqual(batch["before"].tolist(), batches[max(number % 2, number - 4)]["tokens"].tolist())
            self.assertEqual(at, ROWS)

    def test_workers_that_stay_begin_anew_though_batches_were_on_their_way(self):
        loader = DataLoader(self.dataset(), batch_size=None, num_workers=2, prefetch_factor=4, persistent_workers=True)
        for _ in range(3):
            at = None
            for batch in itertools.islice(loader, 4):  # Twelve were asked for: the next one is the first worker's.
                at = self.first_of(batch) if at is None else at
                at = self.expect(batch, at)

    def first_of(self, batch):
        tokens = batch["tokens"].tolist()
        return next(row["row"] for row in self.rows if [after["tokens"] for after in self.rows[row["row"]:row["row"] + 4]] == tokens)

    def test_a_worker_that_is_killed_is_told_and_nothing_hangs(self):
        """In a process of its own: PyTorch raises at any time after a worker's death. A batch that it was handing over has its own error."""
        before = set(os.listdir("/dev/shm"))
        done = subprocess.run([sys.executable, "-c", KILLED_WORKER, self.run_file], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertNotIn("the stream ended", done.stdout)
        self.assertRegex(done.stderr, r"worker.*(exited unexpectedly|killed by signal)|ConnectionResetError|EOFError")
        self.assertEqual({name for name in set(os.listdir("/dev/shm")) - before if name.startswith(("torch", "millrace"))}, set())

    def ending(self, workers, rank, ranks, group, batches):
        return subprocess.Popen([sys.executable, "-W", "ignore", "-c", ENDS, self.run_file, *map(str, (workers, rank, ranks, group, batches))],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def expect_the_end(self, process, printed):
        """Without another word than what is said of the data."""
        out, said = process.communicate(timeout=120)
        self.assertEqual((process.returncode, out), (0, printed), said)
        self.assertNotRegex(said, "millrace:|Exception|Traceback")

    def test_a_script_may_end_in_the_midst_of_the_stream(self):
        for workers in 0, 2:
            with self.subTest(workers=workers):
                self.expect_the_end(self.ending(workers, 0, 1, f"ending-{os.getpid()}", 3), "3 \n")

    def test_a_rank_that_ends_before_the_others_stops_none_of_them(self):
        group = f"ending-{os.getpid()}"
        first, second = self.ending(2, 0, 2, group, 2), self.ending(2, 1, 2, group, 2)
        self.expect_the_end(first, "2 \n")
        self.expect_the_end(second, f"2 {ROWS // 8 - 2}\n")

    def test_ranks_have_their_part_of_each_step(self):
        group = f"torch-{os.getpid()}"
        loaders = [DataLoader(self.dataset(3, rank=rank, world_size=2, group=group), batch_size=None, num_workers=2)
                   for rank in range(2)]
        for step, batches in enumerate(zip(*loaders)):
            for rank, batch in enumerate(batches):
                self.expect(batch, step * 6 + rank * 3)
        self.assertEqual(step, ROWS // 6 - 1)

    def test_a_dataset_goes_on_from_a_state_of_another_rank(self):
        group = f"torch-{os.getpid()}-"
        ranks = [self.dataset(2, rank=rank, world_size=3, group=group + "a") for rank in range(3)]
        self.assertEqual(ranks[1].state_dict(), {})
        for _ in itertools.islice(zip(*ranks), 5):
            pass
        states = [json.loads(json.dumps(dataset.state_dict())) for dataset in ranks]
        self.assertEqual(states, [states[0]] * 3)
        self.assertEqual(states[0]["row"], 30)
        for workers in 0, 2:
            dataset = self.dataset(5)
            dataset.load_state_dict(states[2])
            at = 30
            for batch in itertools.islice(DataLoader(dataset, batch_size=None, num_workers=workers), 7):
                at = self.expect(batch, at)
            self.assertEqual(at, 65)
        with millrace.Stream(self.run_file, start=states[1]["stream"], batch_rows=1) as stream:
            self.assertEqual(next(stream).first_row, 30)
            dataset = self.dataset(4, start={"stream": stream.state()})
        self.expect(next(iter(dataset)), 31)

    def test_an_iterator_goes_on_where_the_last_one_stood(self):
        dataset = self.dataset()
        for batch in itertools.islice(dataset, 2):
            pass
        self.expect(next(iter(dataset)), 8)

    @unittest.skipIf(StatefulDataLoader is None, "torchdata is not there")
    def test_stateful_loaders_of_other_world_sizes_go_on(self):
        for workers in 0, 2, 3:
            at, states = 0, None
            for world, steps in (2, 5), (3, 4), (1, 8), (2, 3):
                group = f"torch-{os.getpid()}-{workers}-{world}-{at}"
                loaders = [StatefulDataLoader(self.dataset(2, rank=rank, world_size=world, group=group), batch_size=None,
                                              num_workers=workers) for rank in range(world)]
                if states is not None:
                    for loader in loaders:
                        loader.load_state_dict(states)
                iterators = [iter(loader) for loader in loaders]
                for _ in range(steps):
                    for iterator in iterators:
                        at = self.expect(next(iterator), at)
                states = loaders[-1].state_dict()
                del iterators

    def test_what_cannot_be_is_refused(self):
        for options, message in (({"rank": 2, "world_size": 2, "group": "x"}, "rank is 2, expected 0 to 1"),
                                 ({"batch_rows": 0}, "batch_rows is 0"), ({"world_size": 2}, "group="),
                                 ({"start": {"row": 3}}, "expected a state")):
            with self.assertRaisesRegex(ValueError, message):
                self.dataset(**options)


if __name__ == "__main__":
    unittest.main(verbosity=2)

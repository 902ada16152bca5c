"""The iterator for JAX, with Grain and JAX where this Python has them, and without: jax_test.py MILLRACE [all]

With `all` it is skipped where they are missing.
"""

import importlib.util
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

from python_run import inspected, numpy

import millrace
import tiny_run

ROWS = 240
HAS = {name: importlib.util.find_spec(name) is not None for name in ("grain", "jax")}
if sys.argv[1:2] == ["all"]:
    sys.argv.pop(1)
    if not all(HAS.values()):
        print("skipped: this Python has no grain or no jax; scripts/deps.sh jax brings grain 0.2.18 and jax 0.10.2, then configure again")
        sys.exit(77)
import millrace.jax


class Jax(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-python-"))
        cls.run_file = tiny_run.write_run(cls.folder)
        cls.rows = inspected(cls.run_file, ROWS)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def iterator(self, batch_rows=4, **options):
        iterator = millrace.jax.DatasetIterator(self.run_file, batch_rows=batch_rows, threads=1, timeout=300, **options)
        self.addCleanup(iterator.close)
        return iterator

    def expect(self, batch, first):
        rows = self.rows[first:first + len(batch["tokens"])]
        for name in millrace.ARRAYS:
            self.assertEqual(str(batch[name].dtype), "float32" if name == "loss_weights" else "int32")
            self.assertEqual(batch[name].tolist(), [row[name] for row in rows])
        return first + len(rows)

    def test_batches_are_the_rows_in_order_and_then_it_ends(self):
        at = 0
        iterator = self.iterator()
        for batch in iterator:
            self.assertIsInstance(batch["tokens"], numpy.ndarray)
            at = self.expect(batch, at)
        self.assertEqual(at, ROWS)
        self.assertRaises(StopIteration, next, iterator)

    def test_any_processes_state_goes_on_in_any_number_of_processes(self):
        at, state = 0, {}
        for world, each, steps in (1, 3, 4), (3, 2, 5), (2, 5, 3), (1, 4, 2):
            group = f"jax-{os.getpid()}-{at}"
            iterators = [self.iterator(each, rank=rank, world_size=world, local_world_size=world, group=group)
                         for rank in range(world)]
            for iterator in iterators:
                iterator.set_state(state)
                iterator.start_prefetch()
            for _ in range(steps):
                for iterator in iterators:
                    at = self.expect(next(iterator), at)
            states = [json.loads(json.dumps(iterator.get_state())) for iterator in iterators]
            self.assertEqual(states, [states[0]] * world)
            for iterator in iterators:
                iterator.close()
            state = states[-1]
        self.assertEqual(state["row"], at)
        with millrace.Stream(self.run_file, start=state["stream"], batch_rows=1) as stream:
            self.assertEqual(next(stream).first_row, at)

    def test_set_state_goes_back_and_forth(self):
        iterator = self.iterator()
        self.assertEqual(iterator.get_state(), {})
        at = self.expect(next(iterator), 0)
        state = iterator.get_state()
        for _ in range(3):
            at = self.expect(next(iterator), at)
        iterator.set_state(state)
        self.assertEqual(iterator.get_state()["row"], 4)
        self.expect(next(iterator), 4)
        iterator.set_state({})
        self.expect(next(iterator), 0)

    def test_what_cannot_be_is_refused(self):
        for options, message in (({"rank": 2, "world_size": 2}, "rank is 2"), ({"arrays": "torch"}, 'expected "numpy" or "jax"'),
                                 ({"rank": 0, "world_size": 2, "local_world_size": 2}, "JAX_COORDINATOR_ADDRESS"),
                                 ({"start": {"row": 3}}, "expected a state")):
            with self.assertRaisesRegex(ValueError, message):
                self.iterator(**options)
        iterator = self.iterator()
        iterator.close()
        with self.assertRaisesRegex(ValueError, "closed"):
            next(iterator)

    def test_neither_grain_nor_jax_is_needed(self):
        script = """
            import sys
            sys.modules["jax"] = sys.modules["grain"] = None  # Importing them fails.
            import millrace.jax
            iterator = millrace.jax.DatasetIterator(sys.argv[1], batch_rows=4)
            print(type(iterator).__mro__[1].__module__, next(iterator)["tokens"].shape, iterator.get_state()["row"])
            iterator.close()
        """
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), self.run_file], capture_output=True, text=True)
        self.assertEqual((done.stdout, done.stderr), ("collections.abc (4, 64) 4\n", ""))

    @unittest.skipUnless(HAS["jax"], "skipped: this Python has no jax")
    def test_arrays_of_jax_hold_the_same_rows(self):
        import jax

        self.assertEqual(jax.process_count(), 1)  # Where rank and world_size come from.
        at = 0
        for batch in itertools.islice(self.iterator(arrays="jax"), 20):
            self.assertIsInstance(batch["tokens"], jax.Array)
            at = self.expect(batch, at)
        mesh = jax.make_mesh((1,), ("data",))
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
        batch = next(self.iterator())
        whole = {name: jax.make_array_from_process_local_data(sharding, array) for name, array in batch.items()}
        self.expect(whole, 0)

    @unittest.skipUnless(HAS["grain"], "skipped: this Python has no grain")
    def test_grains_checkpoints_take_it(self):
        import grain

        iterator = self.iterator()
        self.assertIsInstance(iterator, grain.DatasetIterator)
        at = 0
        for batch in itertools.islice(iterator, 5):
            at = self.expect(batch, at)
        handler = grain.checkpoint.CheckpointHandler()
        checkpoint = self.folder / "checkpoint"
        checkpoint.mkdir()
        handler.save(checkpoint, item=iterator)
        restored = handler.restore(checkpoint, item=self.iterator(7))
        self.expect(next(restored), at)


if __name__ == "__main__":
    unittest.main(verbosity=2)

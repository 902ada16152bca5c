"""Memory of several ranks: refused in advance, planned and seen. ranks_memory_test.py MILLRACE quick|long. Exit status
77: there is no mpirun."""

import json
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import ranks_test
import tiny_run
import train_test
from ranks_test import processes_of, start, words

RANKS = 2
STEPS = 4
# Rank 1's plan is above a gigabyte, too.
LARGE = ["sequence_length=256", "model.hidden_size=512", "model.intermediate_size=1024", "model.num_hidden_layers=8",
         "model.num_attention_heads=8", "model.head_dim=64", "model.num_experts=16", "model.moe_layer_interval=2",
         "train.batch_rows=16", f"train.tokens={STEPS * 16 * 256}", f"phase.0.until={2 * 16 * 256}",
         f"phase.1.until={STEPS * 16 * 256}", f"train.lanes={RANKS}", 'train.precision="f32"',
         "eval.tokens=500"]


class RanksMemory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-ranks-memory-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def start(self, folder, *sets, **options):
        return start(RANKS, "train", self.run_file, "--run-dir", folder, "--threads", 1, *words(*sets), **options)


class Refused(RanksMemory):
    def test_ranks_that_do_not_fit_are_refused_with_what_they_take_and_what_would_fit(self):
        wide = ["train.batch_rows=64", "train.micro_rows=32", "train.tokens=8192", "sequence_length=128", "train.lanes=2",
                "model.hidden_size=2048", "model.intermediate_size=4096"]
        small = lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        process = self.start(self.folder / "large", *wide, preexec_fn=small)
        said = process.communicate(timeout=300)[1]
        self.assertEqual(process.returncode, 2, said)
        for part in ("the ranks have too little memory", "rank 0", "rank 1", "weights", "gradients", "lanes", "optimizer",
                     "activations", "checkpoint copy", "sum", "2 ranks take", "it has", "may take", "(ulimit)"):
            self.assertIn(part, said)
        self.assertRegex(said, "these ranks fit with --set|take a smaller")
        self.assertFalse((self.folder / "large").exists())


class PlannedAndSeen(RanksMemory):
    def peaks(self, process):
        """The most that each rank ever held, as the system counts it, by rank."""
        peaks = {}
        while process.poll() is None:
            for rank, number in processes_of(process).items():
                try:
                    status = pathlib.Path(f"/proc/{number}/status").read_text()
                except OSError:
                    continue
                for line in status.splitlines():
                    if line.startswith("VmHWM:"):
                        peaks[rank] = max(peaks.get(rank, 0), int(line.split()[1]) * 1024)
            time.sleep(0.02)
        return peaks

    def test_ranks_of_more_than_a_gigabyte_hold_what_is_planned_within_a_twentieth(self):
        """Of a run that saves while it trains: only then all of what is planned is held at once."""
        cluster = self.folder / "cluster.toml"
        cluster.write_text('ranks_per_machine = 2\nprecision = "f32"\nthreads = 1\nmemory = 64e9\noperations = 1e11\n'
                           "memory_bandwidth = 1e10\n[inside]\nlatency = 2e-6\nbandwidth = 5e9\n")
        for micro_rows in (1, 8):
            with self.subTest(micro_rows=micro_rows):
                settings = [*LARGE, f"train.micro_rows={micro_rows}", "checkpoint.every_steps=1"]
                plan = subprocess.run([train_test.MILLRACE, "plan-cluster", self.run_file, "--ranks", str(RANKS), "--grid",
                                       f"data={RANKS}", "--cluster", cluster, "--json", *words(*settings)],
                                      capture_output=True, text=True, check=True).stdout
                planned = {one["rank"]: one for one in json.loads(plan)["grids"][0]["memory_of_ranks"]}
                folder = self.folder / f"of-{micro_rows}"
                with open(self.folder / "said", "w") as said:
                    process = subprocess.Popen(
                        ["mpirun", "-n", str(RANKS), "--oversubscribe", "--bind-to", "none", train_test.MILLRACE, "train",
                         self.run_file, "--run-dir", folder, "--threads", "1", *words(*settings)],
                        env=ranks_test.ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=said)
                    seen = self.peaks(process)
                self.assertEqual(process.returncode, 0, (self.folder / "said").read_text())
                for rank in range(RANKS):
                    needed = planned[rank]["needed"]
                    print(f"micro_rows {micro_rows}, rank {rank}: planned {needed / 1e9:.3f} GB, seen {seen[rank] / 1e9:.3f} GB, "
                          f"{100 * (needed / seen[rank] - 1):+.1f} %")
                    self.assertGreater(needed, 1e9)
                    self.assertLess(abs(needed / seen[rank] - 1), 0.05, f"planned {planned[rank]}, seen {seen[rank]}")
                shutil.rmtree(folder)

    def test_a_cluster_that_ranks_measured_is_one_to_plan_with(self):
        cluster = self.folder / "measured.toml"
        began = time.monotonic()
        said = ranks_test.run(RANKS, "plan-cluster", "--measure", "--out", cluster, "--threads", 1)
        print(f"measured in {time.monotonic() - began:.1f} s")
        self.assertIn("[between]", said)
        text = cluster.read_text()
        self.assertIn("ranks_per_machine = 2", text)
        self.assertIn("[inside]", text)
        plan = subprocess.run([train_test.MILLRACE, "plan-cluster", self.run_file, "--ranks", "2", "--cluster", cluster],
                              capture_output=True, text=True, check=True).stdout
        self.assertIn(str(cluster), plan)
        refused = subprocess.run([train_test.MILLRACE, "plan-cluster", self.run_file, "--ranks", "4", "--cluster", cluster],
                                 capture_output=True, text=True)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("no [between]", refused.stderr)


if __name__ == "__main__":
    train_test.MILLRACE, how_long = sys.argv[1:3]
    if shutil.which("mpirun") is None:
        print("skipped: no mpirun; scripts/deps.sh cluster installs it")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], defaultTest={"quick": "Refused", "long": "PlannedAndSeen"}[how_long], verbosity=2)

"""What train's options for speed and memory change, and what they must not change: train_options_test.py MILLRACE"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run

MILLRACE = None
PARTS = ["attention", "dense_ffn", "router", "dispatch", "experts", "head_and_loss", "optimizer", "data_wait"]
LOSSES = ("loss", "ce", "aux_loss", "router_z_loss", "z_loss", "grad_norm")
HAS_BF16 = "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text()


class TrainOptions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-options-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def train(self, name, *options, code=0, environment=None):
        """Six steps: the run's folder, its training lines, and its messages."""
        folder = self.folder / name
        done = subprocess.run([MILLRACE, "train", self.run_file, "--run-dir", folder, "--set", "train.tokens=1536",
                               "--threads", "2", *options], capture_output=True, text=True, timeout=300,
                              env={**os.environ, **(environment or {})})
        self.assertEqual(done.returncode, code, done.stderr)
        if code != 0:
            return folder, [], done.stderr
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return folder, [line for line in lines if "loss" in line], done.stderr

    def losses(self, lines):
        return [[line[name] for name in LOSSES] for line in lines]

    def weights(self, folder):
        return sorted((folder / "checkpoints").glob("step-*"))[-1].joinpath("model.safetensors").read_bytes()

    def test_the_process_is_called_millrace(self):
        process = subprocess.Popen([MILLRACE, "train", self.run_file, "--run-dir", self.folder / "named", "--threads", "2"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        process.stderr.readline()  # It has started, and so have its threads.
        names = {task.joinpath("comm").read_text() for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir()}
        process.kill()
        process.communicate()
        self.assertEqual(names, {"millrace\n"})

    def test_a_profile_is_a_table_and_a_part_of_each_line(self):
        _, lines, said = self.train("profile", "--profile")
        self.assertEqual(len(lines), 6)
        table = dict(line.split(maxsplit=1) for line in said.splitlines() if line.split(" ")[0] in PARTS)
        self.assertEqual(list(table), PARTS)
        shares = [float(row.split()[1]) for row in table.values()]
        self.assertAlmostEqual(sum(shares), 100, delta=0.5)
        for line in lines:
            self.assertEqual(list(line["profile"]), PARTS)
            self.assertTrue(all(seconds >= 0 for seconds in line["profile"].values()))
            self.assertGreater(line["profile"]["attention"], 0)
            self.assertLessEqual(sum(line["profile"].values()), line["step_s"] * 1.001)
        for part in PARTS:
            total = sum(line["profile"][part] for line in lines)
            self.assertAlmostEqual(float(table[part].split()[0]), total, delta=0.0051)

    def test_without_a_profile_nothing_is_said_of_it_and_nothing_else_changes(self):
        _, with_profile, _ = self.train("with", "--profile")
        _, lines, said = self.train("without")
        self.assertNotIn("head_and_loss", said)
        self.assertFalse(any("profile" in line for line in lines))
        self.assertEqual(self.losses(lines), self.losses(with_profile))

    def test_takes_the_threads_that_openmp_grants_and_changes_nothing(self):
        _, expected, _ = self.train("all-threads")
        _, lines, said = self.train("one-thread", environment={"OMP_THREAD_LIMIT": "1", "OMP_DYNAMIC": "true"})
        self.assertIn("1 threads", said)
        self.assertEqual(self.losses(lines), self.losses(expected))

    def test_running_layers_again_gives_the_same_losses_and_weights(self):
        kept, lines, _ = self.train("kept")
        again, again_lines, _ = self.train("again", "--set", "train.recompute=true")
        self.assertIn("recompute = true", (again / "run.toml").read_text())
        self.assertEqual(self.losses(again_lines), self.losses(lines))
        self.assertEqual(self.weights(again), self.weights(kept))

    def test_full_precision_is_there_on_every_processor(self):
        folder, lines, _ = self.train("f32", "--set", 'train.precision="f32"')
        self.assertIn('precision = "f32"', (folder / "run.toml").read_text())
        _, automatic, _ = self.train("auto", "--set", 'train.precision="auto"')
        same = self.losses(lines) == self.losses(automatic)
        self.assertEqual(same, not HAS_BF16)
        for full, chosen in zip(lines, automatic, strict=True):
            self.assertLess(abs(chosen["loss"] / full["loss"] - 1), 0.01)

    def test_bf16_is_what_auto_takes_where_there_is_any_and_refused_elsewhere(self):
        if not HAS_BF16:
            self.assertIn("precision", self.train("bf16", "--set", 'train.precision="bf16"', code=2)[2])
            return
        folder, lines, _ = self.train("bf16", "--set", 'train.precision="bf16"')
        automatic_folder, automatic, _ = self.train("auto-bf16", "--set", 'train.precision="auto"')
        self.assertEqual(self.losses(lines), self.losses(automatic))
        self.assertEqual(self.weights(folder), self.weights(automatic_folder))

    def test_another_precision_is_refused_by_name(self):
        said = self.train("f16", "--set", 'train.precision="f16"', code=2)[2]
        for word in ("precision", "f16", "bf16", "f32"):
            self.assertIn(word, said)

    def test_padding_is_routed_unless_the_run_says_otherwise(self):
        routed, lines, _ = self.train("pads")
        left_out, other, _ = self.train("no-pads", "--set", "model.pads_routed=false")
        config = lambda folder: json.loads(
            sorted((folder / "checkpoints").glob("step-*"))[-1].joinpath("config.json").read_text())
        self.assertIs(config(routed)["pads_routed"], True)
        self.assertIs(config(left_out)["pads_routed"], False)
        self.assertNotEqual(lines[0]["aux_loss"], other[0]["aux_loss"])
        # Run folders written before this key existed can be resumed.
        self.assertNotIn("pads_routed", (routed / "run.toml").read_text())
        self.assertIn("pads_routed = false", (left_out / "run.toml").read_text())


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    unittest.main(verbosity=2)

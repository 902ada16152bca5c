"""The TensorBoard event files of a run, read back: events_test.py MILLRACE"""

import json
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import event_files
import tiny_run

MILLRACE = None
STEPS = 60
SCALARS = {
    "loss/total": "loss", "loss/ce": "ce", "loss/z": "z_loss", "loss/load_balance": "aux_loss",
    "loss/router_z": "router_z_loss", "accuracy/train": "accuracy", "optimizer/learning_rate": "lr", "optimizer/gradient_norm": "grad_norm",
    "optimizer/parameter_norm": "param_norm", "optimizer/update_norm": "update_norm",
    "speed/tokens_per_s": "tokens_per_s", "speed/limit_share": "limit_share", "speed/step_s": "step_s",
    "speed/data_wait_s": "data_wait_s", "speed/memory_bytes": "memory_bytes", "data/tokens": "tokens",
    "data/raw_tokens": "raw_tokens", "data/loss_tokens": "loss_tokens",
}


def as_float(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


class Events(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-events-"))
        run_file = tiny_run.write_run(cls.folder / "input", three_phases=True)
        cls.run_folder = cls.folder / "run"
        cls.command = [MILLRACE, "train", str(run_file), "--run-dir", str(cls.run_folder), "--resume", "--threads", "2"]
        while not all(cls.killed_at(lines) for lines in (12, 30)):  # A busy machine may let the run end first.
            shutil.rmtree(cls.run_folder)
        subprocess.run(cls.command, check=True, capture_output=True, timeout=300)
        lines = [json.loads(line) for line in (cls.run_folder / "metrics.jsonl").read_text().splitlines()]
        cls.steps = [line for line in lines if "eval" not in line]
        cls.evaluations = [line for line in lines if "eval" in line]
        cls.series = event_files.read_folder(cls.run_folder)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def killed_at(cls, lines):
        """Ends the run with SIGKILL once metrics.jsonl has so many lines; false if the run was over before."""
        log = cls.run_folder / "metrics.jsonl"
        process = subprocess.Popen(cls.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and (log.read_text().count("\n") if log.exists() else 0) < lines:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        code = process.wait()
        if code not in (0, -signal.SIGKILL):
            raise AssertionError(f"exit code {code}")
        return code != 0

    def files(self):
        return sorted(self.run_folder.glob("events.out.tfevents.*"))

    def expect_series(self, tag, expected):
        self.assertEqual(self.series[tag], [(step, as_float(value)) for step, value in expected], tag)

    def test_every_session_begins_a_file_with_version_and_start(self):
        self.assertEqual(len(self.files()), 3)
        starts = []
        for path in self.files():
            version, start = list(event_files.events(path))[:2]
            self.assertEqual(version["version"], "brain.Event:2")
            self.assertAlmostEqual(version["wall_time"], time.time(), delta=300)
            starts.append(start["step"])
            self.assertTrue(start["start"])
        self.assertEqual(starts[0], 0)
        for step in starts[1:]:
            self.assertTrue(step == 0 or step % 7 == 1, f"{step} is not the step behind a checkpoint")
        self.assertEqual(self.files()[-1].name.split(".")[2], "tfevents")

    def test_every_number_of_a_step_stands_there_once(self):
        self.assertEqual([line["step"] for line in self.steps], list(range(1, STEPS + 1)))
        for tag, key in SCALARS.items():
            self.expect_series(tag, [(line["step"], line[key]) for line in self.steps])
        for owner, names in (("corpus", {"prose", "code", "verse"}), ("denoiser", {"span", "prefix", "causal"})):
            key = f"ce_by_{owner}"
            self.assertEqual({name for line in self.steps for name in line[key]}, names)
            for name in names:
                self.expect_series(f"loss_by_{owner}/{name}",
                                   [(line["step"], line[key][name]) for line in self.steps if name in line[key]])
        for key in ("load_balance", "z", "entropy", "dropped", "left_behind", "expert_usage", "confidence"):
            self.expect_series(f"router_{key}/moe_0", [(line["step"], line["router"][key][0]) for line in self.steps])

    def test_phases_count_from_one(self):
        self.expect_series("data/phase", [(line["step"], line["phase"] + 1) for line in self.steps])
        self.assertEqual({value for _, value in self.series["data/phase"]}, {1, 2, 3})

    def test_the_resolved_run_stands_there_as_text_and_as_hyperparameters(self):
        files = [path for path in self.run_folder.rglob("*.toml")]
        self.assertGreater(len(files), 4)
        for path in files:
            texts = self.series[f"run/{path.relative_to(self.run_folder)}"]
            self.assertEqual(texts[-1][1], f"```toml\n{path.read_text()}```\n")
        settings = self.series["_hparams_/session_start_info"][-1][1]
        self.assertEqual((settings["model.hidden_size"], settings["train.batch_rows"], settings["seed"]), (32, 4, 3))
        self.assertEqual((settings["train.learning_rate"], settings["train.optimizer"]), (4, "adafactor"))
        self.assertIs(settings["model.pads_routed"], True)

    def test_evaluations_stand_there_once(self):
        self.assertEqual(sorted({line["step"] for line in self.evaluations}), [0, 25, 50, 60])
        expected = {}
        for line in self.evaluations:
            for corpus, scores in [*line["eval"].items(), ("(overall)", line["overall"])]:
                for key, value in (scores or {}).items():
                    if key not in ("objective", "tokens") and value is not None:
                        tag = f"eval_{scores['objective']}_{key}/{corpus}"
                        expected.setdefault(tag, []).append((line["step"], value))
        self.assertIn("eval_causal_bits_per_byte/prose", expected)
        self.assertIn("eval_causal_loss/(overall)", expected)
        for tag, values in expected.items():
            self.expect_series(tag, values)
        self.assertEqual(set(expected), {tag for tag in self.series if tag.startswith("eval_")})

    def test_expert_loads_stand_there_as_histograms(self):
        detailed = [line for line in self.steps if "experts" in line]
        self.assertEqual([line["step"] for line in detailed], [10, 20, 30, 40, 50, 60])
        histograms = self.series["expert_load/moe_0"]
        self.assertEqual([step for step, _ in histograms], [line["step"] for line in detailed])
        for (_, histogram), line in zip(histograms, detailed):
            loads = line["experts"][0]
            self.assertEqual((histogram["min"], histogram["max"]), (min(loads), max(loads)))
            self.assertEqual((histogram["num"], sum(histogram["counts"])), (len(loads), len(loads)))
            self.assertAlmostEqual(histogram["sum"], sum(loads), places=12)
            self.assertAlmostEqual(histogram["sum_squares"], sum(x * x for x in loads), places=12)
            edges = [histogram["min"], *histogram["limits"]]
            self.assertEqual(edges, sorted(edges))
            self.assertEqual(histogram["limits"][-1], histogram["max"])
            below = [sum(load <= limit for load in loads) for limit in histogram["limits"]]
            self.assertEqual(below, [sum(histogram["counts"][:i + 1]) for i in range(len(below))])

    def test_steps_that_were_made_twice_need_the_starts(self):
        twice = [step for step, _ in event_files.read_folder(self.run_folder, honour_starts=False)["loss/total"]]
        self.assertGreater(len(twice), STEPS, "the runs were killed behind a checkpoint")

    def test_a_kill_loses_at_most_a_torn_last_record(self):
        whole = self.files()[-1].read_bytes()
        count = len(list(event_files.records(whole)))
        for lost in (1, 15):
            self.assertEqual(len(list(event_files.records(whole[:-lost]))), count - 1)
        damaged = whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:]
        self.assertRaises(ValueError, lambda: list(event_files.records(damaged)))


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    unittest.main(verbosity=2)

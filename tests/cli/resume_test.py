"""Runs that are killed, that find the disk full, or whose numbers go wrong: resume_test.py MILLRACE quick|long"""

import json
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run
import train_test
from train_test import STEPS, metrics, millrace

KILLS = 3


class Resume(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-resume-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input", three_phases=True)
        cls.whole = cls.folder / "whole"
        started = time.monotonic()
        millrace("train", cls.run_file, "--run-dir", cls.whole, "--threads", 2)
        cls.seconds = time.monotonic() - started

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def expect_whole_run(self, folder):
        self.assertEqual([line["step"] for line in metrics(folder) if "eval" not in line], list(range(1, STEPS + 1)))
        self.assertEqual(metrics(folder), metrics(self.whole))
        for file in ("rejects.jsonl", "positions.jsonl"):
            self.assertEqual((folder / file).read_text(), (self.whole / file).read_text(), file)
        last, expected = (run / "checkpoints" / f"step-{STEPS:06}" for run in (folder, self.whole))
        for file in ("model.safetensors", "optimizer.safetensors", "unigram.safetensors"):
            self.assertEqual((last / file).read_bytes(), (expected / file).read_bytes(), file)
        states = [json.loads((checkpoint / "state.json").read_text()) for checkpoint in (last, expected)]
        self.assertEqual(states[0]["position"], states[1]["position"])
        self.assertEqual(*states)
        summaries = [json.loads((run / "summary.json").read_text()) for run in (folder, self.whole)]
        for key in ("ledger", "shares", "records", "losses", "evaluations", "rows", "skipped_steps"):
            self.assertEqual(summaries[0][key], summaries[1][key], key)

    def start(self, folder, *arguments, **options):
        command = [train_test.MILLRACE, "train", self.run_file, "--run-dir", folder, "--resume", *arguments]
        return subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, **options)

    def wait_for(self, process, happened):
        while process.poll() is None and not happened():
            time.sleep(0.0005)

    def kill_sometime(self, kind, rng, folder, threads):
        """Starts or resumes the run and kills it; returns how it ended and whether a checkpoint was half-written."""
        checkpoints = folder / "checkpoints"
        process = self.start(folder, "--threads", threads, stderr=subprocess.DEVNULL)
        if kind == "time":
            instant = time.monotonic() + rng.uniform(0, self.seconds)
            self.wait_for(process, lambda: time.monotonic() > instant)
        elif kind == "step":
            log, wanted = folder / "metrics.jsonl", rng.randrange(STEPS)
            self.wait_for(process, lambda: log.exists() and len(log.read_bytes().splitlines()) > wanted)
            time.sleep(rng.uniform(0, 0.02))
        else:
            for _ in range(rng.randrange(3)):  # The save to kill in: earlier ones begin and end.
                self.wait_for(process, lambda: any(checkpoints.glob(".unfinished-*")))
                self.wait_for(process, lambda: not any(checkpoints.glob(".unfinished-*")))
            self.wait_for(process, lambda: any(checkpoints.glob(".unfinished-*")))
            time.sleep(rng.uniform(0, 0.004))
        process.send_signal(signal.SIGKILL)
        return process.wait(), any(checkpoints.glob(".unfinished-*"))

    def kill_and_compare(self, threads, seed):
        rng = random.Random(seed)
        kinds = ["saving", "step", "time"]
        killed = while_saving = runs = 0
        while killed < KILLS:
            folder = self.folder / f"killed-{threads}-{runs}"
            code, saving = self.kill_sometime(kinds[killed % 3], rng, folder, threads)
            self.assertIn(code, (0, -signal.SIGKILL))
            killed += code != 0
            while_saving += saving
            if code == 0:
                self.expect_whole_run(folder)
                runs += 1
        folder = self.folder / f"killed-{threads}-{runs}"
        millrace("train", self.run_file, "--run-dir", folder, "--resume", "--threads", threads)
        self.expect_whole_run(folder)
        self.assertFalse(any((folder / "checkpoints").glob(".unfinished-*")))
        if KILLS > 10:
            self.assertGreater(while_saving, 0, "no kill hit a checkpoint that was being written")

    def test_killed_runs_equal_an_undisturbed_one_with_2_threads(self):
        self.kill_and_compare(2, 1)

    def test_killed_runs_equal_an_undisturbed_one_with_1_thread(self):
        self.kill_and_compare(1, 2)

    def fill_the_disk(self, process, bytes_a_file):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (bytes_a_file, resource.RLIM_INFINITY))

    def start_and_fill_the_disk(self, folder, *arguments):
        """A run whose files cannot grow any more once it has made some steps. Python has SIGXFSZ ignored."""
        process = self.start(folder, *arguments, stderr=subprocess.PIPE, text=True, restore_signals=False)
        log = folder / "metrics.jsonl"
        self.wait_for(process, lambda: log.exists() and len(log.read_bytes().splitlines()) > 3)
        self.fill_the_disk(process, 100)
        return process

    def test_goes_on_while_the_disk_is_full_and_saves_when_there_is_room_again(self):
        folder = self.folder / "full-for-a-while"
        process = self.start_and_fill_the_disk(folder)
        said = ""
        with process:
            for line in process.stderr:
                said += line
                if "WAS NOT SAVED" in line:
                    self.fill_the_disk(process, resource.RLIM_INFINITY)
        self.assertEqual(process.returncode, 0, said)
        self.assertIn("File too large", said)
        self.assertGreater(json.loads((folder / "summary.json").read_text())["failed_saves"], 0)
        self.expect_whole_run(folder)

    def test_ends_with_an_error_if_the_last_step_cannot_be_saved_and_can_be_resumed(self):
        folder = self.folder / "full"
        process = self.start_and_fill_the_disk(folder)
        said = process.communicate(timeout=120)[1]
        self.assertEqual(process.returncode, 1, said)
        self.assertIn(f"the last step, {STEPS}, could not be saved", said)
        millrace("train", self.run_file, "--run-dir", folder, "--resume")
        self.expect_whole_run(folder)

    def test_stops_when_the_numbers_go_wrong_and_says_what_the_batch_was_made_of(self):
        folder = self.folder / "exploding"
        run = ("train", self.run_file, "--run-dir", folder, "--set", "train.max_bad_steps=3", "--set")
        said = millrace(*run, "train.learning_rate=1e30", code=1).stderr
        self.assertIn("3 steps in a row were skipped", said)
        self.assertIn("bad_batch.json", said)
        self.assertIn("--accept-changes --set train.learning_rate=5e+29", said)
        skipped = [line for line in metrics(folder) if "skipped" in line]
        self.assertEqual([line["step"] for line in skipped], list(range(skipped[0]["step"], skipped[0]["step"] + 3)))
        self.assertRegex(skipped[0]["skipped"], "^(loss is|gradient norm is|the update would leave) ")
        bad = json.loads((folder / "bad_batch.json").read_text())
        self.assertEqual(bad["step"], skipped[-1]["step"])
        self.assertEqual([row["row"] for row in bad["rows"]], list(range(4 * bad["step"] - 4, 4 * bad["step"])))
        summary = json.loads((folder / "summary.json").read_text())
        self.assertEqual((summary["end"], summary["skipped_steps"]), ("bad_steps", 3))
        shown = json.loads(millrace("inspect", folder, "--row", bad["rows"][0]["row"], "--json").stdout.splitlines()[0])
        for mine, other in zip(bad["rows"][0]["examples"], shown["examples"], strict=True):
            self.assertEqual((mine["corpus"], mine["denoiser"]), (other["corpus"], other["denoiser"]))
            for a, b in zip(mine["documents"], other["documents"], strict=True):
                self.assertEqual([a[key] for key in ("shard", "record", "from", "to")],
                                 [b[key] for key in ("shard", "record", "from", "to")])
        millrace(*run, "train.learning_rate=4", "--resume", "--accept-changes", "--set", "train.tokens=5120")
        self.assertNotIn("skipped", metrics(folder)[-2])

    def test_goes_on_with_adamw_clipping_and_a_schedule_as_if_there_had_been_no_stop(self):
        recipe = ("optimizer=adamw", "learning_rate=0.003", "schedule=wsd", "warmup_steps=5", "final_learning_rate=1e-5",
                  "decay_share=0.5", "clip_norm=1", "weight_decay=0.2", "tokens=5120")
        sets = [word for key in recipe for word in ("--set", f"train.{key}")]
        whole, halves = self.folder / "adamw", self.folder / "adamw-killed"
        millrace("train", self.run_file, "--run-dir", whole, *sets)
        rates = [float(line["lr"]) for line in metrics(whole) if "lr" in line]
        self.assertEqual([round(rate, 12) for rate in (rates[0], rates[4], rates[9])], [0.0006, 0.003, 0.003])
        self.assertAlmostEqual(rates[-1], 1e-5 + (0.003 - 1e-5) / 10)
        process = self.start(halves, *sets, stderr=subprocess.DEVNULL)
        self.wait_for(process, lambda: any((halves / "checkpoints").glob("step-*")))
        process.kill()
        process.wait()
        millrace("train", halves, "--resume")
        self.assertEqual(metrics(halves), metrics(whole))
        for file in ("model.safetensors", "optimizer.safetensors"):
            one, other = ((run / "checkpoints" / "step-000020" / file).read_bytes() for run in (halves, whole))
            self.assertEqual(one, other)

    def test_refuses_keys_that_would_do_nothing(self):
        for key, said in (("beta1=0.8", 'optimizer = "adamw"'), ("decay_share=0.2", 'schedule = "wsd"'),
                          ("final_learning_rate=0.1", '"cosine"'), ("max_bad_steps=0", "expected a whole number from 1"),
                          ("schedule=cosine", "10000")):
            refused = millrace("train", self.run_file, "--run-dir", self.folder / "new", "--set", f"train.{key}", code=2)
            self.assertIn(said, refused.stderr)


if __name__ == "__main__":
    train_test.MILLRACE = sys.argv.pop(1)
    if sys.argv.pop(1) == "long":
        KILLS = 20
    unittest.main(verbosity=2)

"""How soon an interrupted program ends, in any phase of its work: stopping_test.py MILLRACE"""

import json
import os
import pathlib
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
from train_test import metrics, millrace

SECONDS = 5
# A step takes minutes, a micro-batch seconds.
LARGE = ("model.hidden_size=512", "model.intermediate_size=1024", "model.head_dim=64", "train.batch_rows=12800",
         "train.micro_rows=128", "train.learning_rate=1")


class Stopping(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-stopping-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")
        text = cls.run_file.read_text()
        for until in ("15_360", "5_120"):
            text = text.replace(f"until = {until}", f"until = {until}_000")
        cls.run_file.write_text(text)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def start(self, *arguments):
        process = subprocess.Popen([train_test.MILLRACE, *map(str, arguments)], text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(lambda: process.poll() is not None or process.kill())
        return process

    def start_to_wait(self, pipe, *arguments):
        """A program that handles signals and waits for a pipe without a writer."""
        def takes_signals():
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            return int(status.split("SigBlk:")[1].split()[0], 16) >> (signal.SIGINT - 1) & 1

        os.mkfifo(pipe)
        process = self.start(*arguments)
        self.wait_for(process, takes_signals)
        time.sleep(0.2)
        return process

    def train(self, folder, *sets):
        words = [word for key in sets for word in ("--set", key)]
        return self.start("train", self.run_file, "--run-dir", folder, *words)

    def wait_for(self, process, happened):
        while not happened():
            self.assertIsNone(process.poll(), "it ended by itself")
            time.sleep(0.01)

    def interrupt(self, process, which=signal.SIGINT):
        """Its output; it must end in time."""
        started = time.monotonic()
        process.send_signal(which)
        said = process.communicate(timeout=60)[1]
        seconds = time.monotonic() - started
        self.assertEqual(process.returncode, 130, said)
        self.assertLess(seconds, SECONDS, said)
        return said

    def test_a_long_step_is_given_up_and_the_last_whole_one_saved(self):
        folder = self.folder / "large"
        process = self.train(folder, *LARGE, "eval.tokens=100")
        log = folder / "metrics.jsonl"
        self.wait_for(process, lambda: log.exists() and log.stat().st_size > 0)
        time.sleep(3)
        said = self.interrupt(process, signal.SIGTERM)
        self.assertIn("interrupted after step 0", said)
        self.assertEqual([line["step"] for line in metrics(folder)], [0, 0], "the step under way was given up")

    def test_an_evaluation_is_given_up(self):
        folder = self.folder / "evaluation"
        process = self.train(folder, *LARGE, "data.holdout=0.9", "eval.tokens=1000000")
        self.wait_for(process, lambda: (folder / "metrics.jsonl").exists())
        time.sleep(1)
        said = self.interrupt(process)
        self.assertIn("--resume", said)
        self.assertEqual((folder / "metrics.jsonl").read_text(), "")

    def test_a_wait_for_a_pipe_is_ended(self):
        """There is nothing to save."""
        pipes = [self.folder / f"{number}.model" for number in (1, 2)]
        shard = self.run_file.parent / "data" / "prose.jsonl"
        for pipe, arguments in zip(pipes, (
            ("tokenize", "--vocab", pipes[0], "--in", shard),
            ("train", self.run_file, "--run-dir", self.folder / "piped", "--set", f"vocab={pipes[1]}"),
        )):
            self.interrupt(self.start_to_wait(pipe, *arguments))
        self.assertFalse((self.folder / "piped").exists())

    def test_a_second_signal_some_time_after_the_first_ends_at_once(self):
        pipe = self.folder / "another.model"
        process = self.start_to_wait(pipe, "tokenize", "--vocab", pipe, "--in", self.run_file)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=10)[1]
        self.assertEqual(process.returncode, 130)
        self.assertLess(time.monotonic() - started, 2.5)
        self.assertIn("once more ends at once", said)

    def test_stop_ends_a_run_after_its_step_and_status_says_where_it_stands(self):
        folder = self.folder / "asked"
        process = self.train(folder)
        log = folder / "metrics.jsonl"
        self.wait_for(process, lambda: log.exists() and b'"loss"' in log.read_bytes())
        said = json.loads(millrace("status", folder, "--json").stdout)
        self.assertTrue(said["being_trained"])
        self.assertGreater(said["tokens_per_s"], 0)
        self.assertEqual(said["ranks"], [])
        self.assertIn("being trained, step", millrace("status", folder).stdout)
        self.assertIn("it has ended; the newest checkpoint is that of step", millrace("stop", folder, "--wait").stdout)
        output = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 130, output)
        now = json.loads(millrace("status", folder, "--json").stdout)
        steps = [line for line in map(json.loads, log.read_text().splitlines()) if "loss" in line]
        self.assertFalse(now["being_trained"])
        self.assertEqual((now["step"], now["checkpoint"]), (steps[-1]["step"], steps[-1]["step"]))
        self.assertEqual((now["loss"], now["tokens"]), (steps[-1]["loss"], steps[-1]["tokens"]))
        self.assertIn("nobody trains it: there is nothing to stop", millrace("stop", folder, code=2).stderr)
        self.assertIn("is no run folder", millrace("stop", self.folder, code=2).stderr)

    def test_stop_gives_up_waiting_when_it_is_to_and_can_be_interrupted(self):
        folder = self.folder / "slow"
        process = self.train(folder, *LARGE, "eval.tokens=100")
        log = folder / "metrics.jsonl"
        self.wait_for(process, lambda: log.exists() and len(log.read_bytes().splitlines()) == 2)
        time.sleep(1)
        said = millrace("stop", folder, "--wait", "--timeout", 0.3, code=1).stderr
        self.assertRegex(said, "was asked to end 0 s ago and is still being trained")
        (folder / "stop").unlink()
        waiting = self.start("stop", folder, "--wait")
        self.wait_for(waiting, lambda: (folder / "stop").exists())
        waiting.send_signal(signal.SIGINT)
        self.assertEqual(waiting.wait(timeout=10), 130)
        self.assertIsNone(process.poll(), "a step takes minutes")
        process.kill()
        process.communicate()

    def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(self):
        whole, stopped = self.folder / "whole", self.folder / "stopped"
        sets = ("train.tokens=7680", "eval.every_steps=4")
        millrace("train", self.run_file, "--run-dir", whole, *[word for key in sets for word in ("--set", key)])
        process = self.train(stopped, *sets)
        log = stopped / "metrics.jsonl"
        self.wait_for(process, lambda: log.exists() and len(log.read_bytes().splitlines()) > 8)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
        if process.returncode == 0:
            self.skipTest("the run was over before the signal came")
        self.assertEqual(process.returncode, 130, said)
        millrace("train", stopped, "--resume")
        self.assertEqual(metrics(stopped), metrics(whole))
        step = "step-000030"
        for file in ("model.safetensors", "optimizer.safetensors"):
            self.assertEqual((stopped / "checkpoints" / step / file).read_bytes(),
                             (whole / "checkpoints" / step / file).read_bytes())
        self.assertEqual(json.loads((stopped / "summary.json").read_text())["evaluations"],
                         json.loads((whole / "summary.json").read_text())["evaluations"])


if __name__ == "__main__":
    train_test.MILLRACE = sys.argv.pop(1)
    unittest.main()

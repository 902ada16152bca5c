"""millrace train --from, which goes on with a checkpoint's steps in a stream of its own: from_test.py MILLRACE"""

import json
import math
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import checkpoint_files
import tiny_run
import train_test
from train_test import STEPS, metrics, millrace

OWN_STEPS = 26
LAST = STEPS + OWN_STEPS
TOKENS = ("--set", f"train.tokens={OWN_STEPS * 256}")
ONE_STEP = ("--set", "train.tokens=256")


def change_json(checkpoint, change):
    """Changes state.json; the manifest then covers only the other files."""
    state = json.loads((checkpoint / "state.json").read_text())
    change(state)
    (checkpoint / "state.json").write_text(json.dumps(state))
    forget(checkpoint, "state.json")


def forget(checkpoint, name):
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    manifest["files"].pop(name)
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


class From(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-from-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input", three_phases=True)
        cls.first = cls.folder / "first"
        millrace("train", cls.run_file, "--run-dir", cls.first, "--threads", 2)
        cls.checkpoint = cls.first / "checkpoints" / f"step-{STEPS:06}"
        cls.begun = cls.folder / "begun"
        started = time.monotonic()
        cls.done = millrace("train", cls.run_file, "--run-dir", cls.begun, "--from", cls.checkpoint, *TOKENS)
        cls.seconds = time.monotonic() - started

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def copy_of(self, name):
        copy = self.folder / name
        shutil.copytree(self.checkpoint, copy)
        return copy

    def train(self, name, checkpoint, *arguments, tokens=TOKENS, code=0):
        return millrace("train", self.run_file, "--run-dir", self.folder / name, "--from", checkpoint, *tokens,
                        *arguments, code=code)

    def expect_refused(self, checkpoint, *said):
        """Before anything is made, and with the way out, which is then tried."""
        name = f"refused-{checkpoint.name}"
        error = self.train(name, checkpoint, tokens=ONE_STEP, code=2).stderr
        for words in (*said, "--weights-only", str(checkpoint)):
            self.assertIn(words, error)
        self.assertFalse((self.folder / name).exists())
        self.train(name, checkpoint, "--weights-only", tokens=ONE_STEP)

    def test_steps_go_on_and_the_stream_is_the_runs_own(self):
        lines = metrics(self.begun)
        steps = [line for line in lines if "eval" not in line]
        self.assertEqual([line["step"] for line in steps], list(range(STEPS + 1, LAST + 1)))
        self.assertEqual([line["tokens"] for line in steps], list(range(256, OWN_STEPS * 256 + 1, 256)))
        self.assertEqual([(line["step"], line["overall"]["objective"]) for line in lines if "eval" in line],
                         [(STEPS, "causal"), (STEPS, "ul2"), (75, "causal"), (75, "ul2"), (LAST, "causal")])
        kept = sorted(folder.name for folder in (self.begun / "checkpoints").iterdir())
        self.assertEqual(kept, ["step-000084", f"step-{LAST:06}"])
        state = json.loads((self.begun / "checkpoints" / kept[-1] / "state.json").read_text())
        self.assertEqual((state["step"], state["before"]), (LAST, {"steps": STEPS, "updates": STEPS}))
        self.assertEqual(state["position"]["row"], 4 * OWN_STEPS)
        drawn = next(float(line["loss"]) for line in metrics(self.first) if "loss" in line)
        self.assertLess(float(steps[0]["loss"]), 0.8 * drawn)

    def test_a_checkpoint_in_several_files_is_taken_and_gone_on_with(self):
        cut = self.copy_of("in-files")
        checkpoint_files.cut(cut, "model", 3)
        checkpoint_files.cut(cut, "optimizer", 2)
        self.train("from-files", cut)
        last = pathlib.Path("checkpoints") / f"step-{LAST:06}"
        for file in ("model.safetensors", "optimizer.safetensors"):
            self.assertEqual((self.folder / "from-files" / last / file).read_bytes(), (self.begun / last / file).read_bytes())
        (cut / "optimizer-00002-of-00002.safetensors").unlink()
        self.expect_refused(cut, "names optimizer-00002-of-00002.safetensors, which is not there")

    def test_it_is_said_what_is_taken(self):
        taken = f"weights, optimizer (adafactor) and step {STEPS} of {self.checkpoint.resolve()}, stream version 4"
        for said in (self.done.stderr, (self.begun / "train.log").read_text()):
            self.assertIn(taken, said)
            self.assertIn("from row 0", said)
            self.assertIn(f"steps {STEPS + 1} to {LAST} of 4 x 64 tokens", said)
        self.assertIn(f"{LAST} of {LAST} steps (the first {STEPS} before this run), 6.66 k tokens", self.done.stdout)
        summary = json.loads((self.begun / "summary.json").read_text())
        self.assertEqual(summary["from"], {"checkpoint": str(self.checkpoint.resolve()), "step": STEPS})
        self.assertEqual((summary["steps"], summary["total_steps"], summary["rows"]), (LAST, LAST, 4 * OWN_STEPS))
        self.assertEqual((summary["tokens"], summary["skipped_steps"]), (256 * OWN_STEPS, 0))
        self.assertIsNone(json.loads((self.first / "summary.json").read_text())["from"])

    def test_the_dry_run_says_it_too(self):
        arguments = "train", self.run_file, "--run-dir", self.folder / "dry", "--from", self.checkpoint, "--dry-run", *TOKENS
        text = millrace(*arguments).stdout
        self.assertIn(f"begins with the weights, optimizer and step {STEPS} of {self.checkpoint.resolve()}", text)
        self.assertIn(f"steps {STEPS + 1} to {LAST} of 4 x 64 tokens", text)
        # Evaluations at 60, 75 and 86; checkpoints at 63, 70, 77, 84 and 86.
        self.assertIn("3 evaluations, 5 checkpoints", text)
        dry = json.loads(millrace(*arguments, "--json").stdout)
        self.assertEqual((dry["steps"], dry["from"]["step"]), (OWN_STEPS, STEPS))
        self.assertFalse((self.folder / "dry").exists())
        resumed = millrace("train", self.begun, "--resume", "--dry-run").stdout
        self.assertIn(f"steps {STEPS + 1} to {LAST}", resumed)

    def test_the_schedule_goes_on(self):
        recipe = ("--set", "train.schedule=cosine", "--set", "train.warmup_steps=10", "--set", "train.learning_rate=0.5")
        self.train("cosine", self.checkpoint, *recipe)
        rates = [float(line["lr"]) for line in metrics(self.folder / "cosine") if "lr" in line]
        whole = [0.25 * (1 + math.cos(math.pi * (step - 10) / (LAST - 10))) for step in range(STEPS, LAST)]
        for rate, expected in zip(rates, whole, strict=True):
            self.assertAlmostEqual(rate, expected, 12)
        # The run's own steps alone would be too few for this warm-up.
        self.train("warm", self.checkpoint, *recipe, "--set", "train.warmup_steps=40")

    def test_a_killed_run_equals_an_undisturbed_one(self):
        rng = random.Random(5)
        wanted = [0, 2, 9, 20]  # Lines of metrics.jsonl: before the first step, before the first checkpoint, and later.
        for lines in wanted:
            folder = self.folder / f"killed-{lines}"
            command = [train_test.MILLRACE, "train", self.run_file, "--run-dir", folder, "--from", self.checkpoint, *TOKENS]
            process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            log = folder / "metrics.jsonl"
            until = time.monotonic() + 100
            while process.poll() is None and time.monotonic() < until:
                if (folder / "run.toml").exists() and (lines == 0 or log.exists() and len(log.read_bytes().splitlines()) > lines):
                    break
                time.sleep(0.0005)
            time.sleep(rng.uniform(0, 0.01))
            process.send_signal(signal.SIGKILL)
            process.wait()
            millrace("train", folder, "--resume", "--threads", 1)
            self.assertEqual(metrics(folder), metrics(self.begun))
            last, expected = (run / "checkpoints" / f"step-{LAST:06}" for run in (folder, self.begun))
            for file in ("model.safetensors", "optimizer.safetensors", "unigram.safetensors"):
                self.assertEqual((last / file).read_bytes(), (expected / file).read_bytes(), file)
            states = [json.loads((one / "state.json").read_text()) for one in (last, expected)]
            self.assertEqual(*states)
            summaries = [json.loads((run / "summary.json").read_text()) for run in (folder, self.begun)]
            for key in ("from", "steps", "total_steps", "ledger", "shares", "records", "losses", "rows"):
                self.assertEqual(summaries[0][key], summaries[1][key], key)

    def test_an_older_stream_is_refused_by_resume_and_taken_by_from(self):
        older = self.folder / "older"
        shutil.copytree(self.first, older)
        shutil.rmtree(older / "checkpoints" / "step-000056")
        checkpoint = older / "checkpoints" / self.checkpoint.name

        def as_version_3(state):
            state["run"]["stream_version"] = 3
            state["position"] = {"row": 240, "example": 300, "phase": 2, "corpora": [{"corpus": "prose", "turn": 17}]}
        change_json(checkpoint, as_version_3)
        refused = millrace("train", older, "--resume", code=2).stderr
        self.assertIn("version 3", refused)
        self.assertIn(f"its weights, optimizer and step in a new stream: train --from {checkpoint}", refused)
        done = self.train("newer", checkpoint)
        self.assertIn(f"and step {STEPS} of {checkpoint.resolve()}, stream version 3; this run", done.stderr)
        new, same = self.folder / "newer", self.begun
        self.assertEqual(metrics(new), metrics(same))

    def test_a_checkpoint_of_other_arithmetic_goes_on_with_a_warning(self):
        older = self.folder / "older_arithmetic"
        shutil.copytree(self.first, older)
        shutil.rmtree(older / "checkpoints" / "step-000056")
        change_json(older / "checkpoints" / self.checkpoint.name, lambda state: state["run"].pop("arithmetic_version"))
        done = millrace("train", older, "--resume")
        self.assertRegex(done.stderr,
                         r"resuming with version \d+ of the arithmetic \(before: 1\): losses differ in the last digits")

    def test_a_run_that_was_begun_before_loss_rows_goes_on_with_its_own(self):
        older, micro = self.folder / "older_losses", ("--set", "train.micro_rows=2")
        begun = millrace("train", self.run_file, "--run-dir", older, *micro, *ONE_STEP)
        self.assertNotIn("loss_rows", begun.stderr)
        text = (older / "run.toml").read_text()
        self.assertIn("loss_rows = 4\n", text)  # All rows of the step.
        (older / "run.toml").write_text(text.replace("loss_rows = 4\n", ""))
        for run in (older, self.run_file):
            done = millrace("train", run, "--run-dir", older, *micro, *ONE_STEP, "--resume")
            self.assertIn("loss_rows = 2: the run was begun before that key was", done.stderr)
        refused = millrace("train", older, *micro, *ONE_STEP, "--set", "train.loss_rows=4", "--resume", code=2).stderr
        self.assertIn("loss_rows", refused)
        self.assertIn("--accept-changes", refused)

    def test_rows_are_those_of_a_run_that_began_with_nothing(self):
        plain = self.folder / "plain"
        millrace("train", self.run_file, "--run-dir", plain, *TOKENS)
        for arguments in (("--rows", 4 * OWN_STEPS, "--json"), ("--row", 100, "--json"),
                          ("--stats", "--rows", 4 * OWN_STEPS, "--json")):
            ours, other = (millrace("inspect", run, *arguments).stdout for run in (self.begun, plain))
            self.assertEqual(ours, other)
        row = json.loads(millrace("inspect", plain, "--row", 100, "--json").stdout)
        document = row["examples"][0]["documents"][0]
        name = f"{document['shard']}:{document['record']}"
        ours, other = (json.loads(millrace("trace", run, "--document", name, "--json").stdout) for run in (self.begun, plain))
        self.assertEqual(ours, other)
        self.assertEqual(ours["rows_trained"], 4 * OWN_STEPS)
        rows = self.folder / "rows"
        millrace("preprocess", self.run_file, *TOKENS, "--format", "rows", "--out", rows, "--tokens", OWN_STEPS * 256)
        self.train("of-rows", self.checkpoint, "--rows", rows)
        self.assertEqual(metrics(self.folder / "of-rows"), metrics(self.begun))

    def test_the_report_counts_from_the_runs_first_step(self):
        data = json.loads(millrace("report", self.begun, "--json").stdout)
        self.assertEqual((data["status"], data["step"], data["total_steps"]), ("complete", LAST, LAST))
        self.assertEqual(data["from"]["step"], STEPS)
        self.assertEqual([(phase["from_step"], phase["to_step"]) for phase in data["phases"]], [(60, 80), (80, 86)])
        self.assertEqual((data["tokens"], data["total_tokens"]), (256 * OWN_STEPS, 256 * OWN_STEPS))
        self.assertEqual(data["metrics"]["steps"]["step"], list(range(STEPS + 1, LAST + 1)))

    def test_a_run_that_was_begun_so_can_be_extended_and_gone_on_from(self):
        folder = self.folder / "extended"
        shutil.copytree(self.begun, folder)
        millrace("train", folder, "--resume", "--accept-changes", "--set", f"train.tokens={(OWN_STEPS + 4) * 256}")
        self.assertEqual([line["step"] for line in metrics(folder) if "loss" in line], list(range(STEPS + 1, LAST + 5)))
        change, = map(json.loads, (folder / "changes.jsonl").read_text().splitlines())
        self.assertEqual(change["step"], LAST)
        again = self.folder / "third"
        millrace("train", self.run_file, "--run-dir", again, "--from", folder / "checkpoints" / f"step-{LAST + 4:06}",
                 "--set", "train.tokens=512")
        state = json.loads((again / "checkpoints" / f"step-{LAST + 6:06}" / "state.json").read_text())
        self.assertEqual(state["before"], {"steps": LAST + 4, "updates": LAST + 4})

    def test_weights_alone_begin_at_step_0(self):
        done = self.train("weights", self.checkpoint, "--weights-only")
        self.assertIn(f"starting with the weights of {self.checkpoint.resolve()} alone", done.stderr)
        steps = [line["step"] for line in metrics(self.folder / "weights") if "loss" in line]
        self.assertEqual(steps, list(range(1, OWN_STEPS + 1)))
        summary = json.loads((self.folder / "weights" / "summary.json").read_text())
        self.assertEqual(summary["from"], {"checkpoint": str(self.checkpoint.resolve()), "step": None})
        self.assertIn("name it with --from", millrace("train", self.run_file, "--weights-only", code=2).stderr)

    def test_a_folder_with_a_model_and_nothing_else_gives_its_weights(self):
        model = self.copy_of("model")
        for file in model.iterdir():
            if file.name not in ("config.json", "model.safetensors"):
                file.unlink()
        done = self.train("of-a-model", model, tokens=ONE_STEP)
        self.assertIn(f"starting with the weights of {model.resolve()} alone", done.stderr)
        self.train("weights-again", self.checkpoint, "--weights-only", tokens=ONE_STEP)
        self.assertEqual(metrics(self.folder / "of-a-model"), metrics(self.folder / "weights-again"))

    def test_what_a_run_was_begun_with_cannot_be_changed(self):
        for arguments in (("--weights-only",), ()):
            name = f"kept-{len(arguments)}"
            self.train(name, self.checkpoint, *arguments, tokens=ONE_STEP)
            other = () if arguments else ("--weights-only",)
            self.train(name, self.checkpoint, *arguments, "--resume", tokens=ONE_STEP)
            said = self.train(name, self.checkpoint, *other, "--resume", tokens=ONE_STEP, code=2).stderr
            self.assertIn("the run was begun with the weights", said)
            self.assertIn(f"and step {STEPS}", said)

    def test_another_optimizers_state_is_refused(self):
        for name, optimizer in (("to-adamw", "adamw"), ("to-adafactor", "adafactor")):
            checkpoint = self.checkpoint
            if optimizer == "adafactor":
                millrace("train", self.run_file, "--run-dir", self.folder / "adamw", "--set", "train.optimizer=adamw",
                         "--set", "train.learning_rate=0.001", *ONE_STEP)
                checkpoint = self.folder / "adamw" / "checkpoints" / "step-000001"
            recipe = ("--set", f"train.optimizer={optimizer}", "--set", "train.learning_rate=0.001")
            error = self.train(name, checkpoint, *recipe, tokens=ONE_STEP, code=2).stderr
            self.assertIn(f'train.optimizer = "{optimizer}"', error)
            self.assertIn("trained with another optimizer", error)
            self.assertFalse((self.folder / name).exists())
            self.assertIn("--weights-only", error)
            self.train(name, checkpoint, *recipe, "--weights-only", tokens=ONE_STEP)

    def test_half_a_checkpoint_is_refused(self):
        for gone, said in (("state.json", "no state.json"), ("optimizer.safetensors", "no optimizer.safetensors")):
            half = self.copy_of(f"without-{gone}")
            (half / gone).unlink()
            self.expect_refused(half, f"{gone} is missing")
            (half / "manifest.json").unlink()
            shutil.rmtree(self.folder / f"refused-{half.name}")
            self.expect_refused(half, said)

    def test_a_damaged_checkpoint_is_refused(self):
        damaged = self.copy_of("damaged")
        content = bytearray((damaged / "optimizer.safetensors").read_bytes())
        content[-5] ^= 1
        (damaged / "optimizer.safetensors").write_bytes(content)
        self.expect_refused(damaged, "optimizer.safetensors is damaged")

    def test_a_run_that_an_earlier_program_began_with_weights_is_begun_again_so(self):
        """Killed before its first checkpoint. Its run.json has no step."""
        folder = self.folder / "earlier"
        self.train("earlier", self.checkpoint, "--weights-only", tokens=ONE_STEP)
        before = metrics(folder)
        for checkpoint in (folder / "checkpoints").iterdir():
            shutil.rmtree(checkpoint)
        kept = json.loads((folder / "run.json").read_text())
        self.assertEqual(set(kept), {"run_hash", "vocabulary_hash", "from"})
        millrace("train", folder, "--resume")
        self.assertEqual(metrics(folder), before)


if __name__ == "__main__":
    train_test.MILLRACE = sys.argv.pop(1)
    unittest.main(verbosity=2)

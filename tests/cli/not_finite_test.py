"""Weights, losses, evaluations that are not finite, and evaluating as the run does: not_finite_test.py MILLRACE"""

import json
import math
import pathlib
import shutil
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import checkpoint_files
import tiny_run
import train_test
from train_test import metrics, millrace

NORM = "model.norm.weight"


def put(checkpoint, name, number, at=0):
    """Changes a number in a tensor; the manifest then covers only the other files."""
    path = checkpoint / "model.safetensors"
    tensors = checkpoint_files.read_safetensors(path)
    kind, shape, content = tensors[name]
    content = bytearray(content)
    content[4 * at : 4 * at + 4] = struct.pack("<f", number)
    tensors[name] = (kind, shape, bytes(content))
    checkpoint_files.write_safetensors(path, tensors)
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    manifest["files"].pop("model.safetensors", None)
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


class NotFinite(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-not-finite-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")
        cls.run_dir = cls.folder / "run"
        millrace("train", cls.run_file, "--run-dir", cls.run_dir, "--set", "train.tokens=5120")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def hurt_run(self, name, *numbers):
        """A copy of the run whose newest checkpoint has these (tensor, number, element); the run and the checkpoint."""
        run = self.folder / name
        shutil.copytree(self.run_dir, run)
        newest = sorted((run / "checkpoints").glob("step-*"))[-1]
        for number in numbers:
            put(newest, *number)
        return run, newest

    def test_a_run_does_not_start_from_them_and_names_the_tensors(self):
        _, checkpoint = self.hurt_run("from", (NORM, math.nan), ("lm_head.weight", math.inf, 7))
        said = millrace("train", self.run_file, "--run-dir", self.folder / "new", "--from", checkpoint, code=2).stderr
        self.assertIn(f'tensor "{NORM}" holds 1 number that is not finite: nan at element 0 of 32', said)
        self.assertIn('tensor "lm_head.weight" holds 1 number that is not finite: inf at element 7', said)

    def test_a_run_goes_on_from_the_checkpoint_before_and_names_the_tensors(self):
        run, checkpoint = self.hurt_run("resume", ("model.embed_tokens.weight", math.nan, 5))
        said = millrace("train", run, "--resume").stderr
        self.assertIn(f"damaged checkpoint passed over: {checkpoint}", said)
        self.assertIn('tensor "model.embed_tokens.weight" holds 1 number that is not finite: nan at element 5', said)
        self.assertEqual(metrics(run), metrics(self.run_dir))
        for older in sorted((run / "checkpoints").glob("step-*")):
            put(older, NORM, math.nan)
        said = millrace("train", run, "--resume", code=2).stderr
        self.assertIn(NORM, said)
        self.assertIn("none of the", said)

    def test_generate_says_so_and_draws_nothing(self):
        _, checkpoint = self.hurt_run("generate", (NORM, math.nan))
        for options in ((), ("--json",), ("--temperature", 0)):
            done = millrace("generate", checkpoint, "--prompt", "river", *options, code=1)
            self.assertIn(f'tensor "{NORM}" holds 1 number that is not finite', done.stderr)
            self.assertIn("the model's logits are not finite", done.stderr)
            self.assertEqual(done.stdout, "" if options == ("--json",) else "river\n")

    def test_eval_shows_null_and_says_which_tensors(self):
        run, checkpoint = self.hurt_run("eval", (NORM, math.nan))
        done = millrace("eval", checkpoint, "--run", run, "--json")
        self.assertIn(f'tensor "{NORM}" holds 1 number that is not finite', done.stderr)
        scores = json.loads(done.stdout)
        for score in (scores["overall"], *scores["eval"].values()):
            self.assertEqual([score[key] for key in ("loss", "perplexity", "bits_per_byte", "accuracy")],
                             [None, None, None, 0.0])
        table = millrace("eval", checkpoint, "--run", run).stdout
        self.assertIn("not finite", table)
        self.assertNotIn("nan", table)

    def test_a_run_whose_evaluation_is_not_finite_shows_it_everywhere(self):
        run = self.folder / "too-fast"
        train = ("train", self.run_file, "--run-dir", run, "--set", "train.schedule=constant", "--set",
                 "train.learning_rate=1e15", "--set", "train.tokens=256", "--set", "eval.every_steps=1")
        done = millrace(*train)
        self.assertIn("held-out loss not finite", done.stderr)
        self.assertIn("not finite", done.stdout)
        self.assertNotIn("nan", done.stdout)
        last = [line for line in metrics(run) if "eval" in line and line["step"] == 1][0]
        self.assertIsNone(last["overall"]["loss"])
        self.assertIsNone(json.loads((run / "summary.json").read_text())["evaluations"]["last"]["overall"]["loss"])
        curves = json.loads(millrace("report", run, "--json").stdout)["metrics"]["evaluations"]["curves"]
        self.assertIsNotNone(curves["causal/loss/"]["value"][0])
        self.assertIsNone(curves["causal/loss/"]["value"][1])
        millrace("report", run)

    def test_a_rate_that_leads_beyond_all_numbers_keeps_the_weights_and_is_told(self):
        for recipe in (("optimizer=adafactor",), ("optimizer=adamw",)):
            run = self.folder / recipe[0]
            keys = (*recipe, "schedule=constant", "learning_rate=1e36", "tokens=1280", "max_bad_steps=3")
            sets = [word for key in keys for word in ("--set", f"train.{key}")]
            said = millrace("train", self.run_file, "--run-dir", run, *sets, code=1).stderr
            self.assertIn("step 1 skipped, 1 in a row: the update would leave", said)
            self.assertIn("loss, gradients or new weights were not finite", said)
            self.assertFalse(list((run / "checkpoints").glob("step-*")), "nothing of it is saved")
            skipped = json.loads(millrace("report", run, "--json").stdout)["skipped"]
            self.assertEqual(skipped["count"], 3)

    def test_a_skipped_step_is_a_gap_in_the_reports_curves(self):
        run = self.folder / "gap"
        shutil.copytree(self.run_dir, run)
        lines = (run / "metrics.jsonl").read_text().splitlines()
        at = next(i for i, line in enumerate(lines) if json.loads(line)["step"] == 3)
        lines[at] = json.dumps({"step": 3, "tokens": 768, "skipped": "loss is nan", "step_s": 0.1, "data_wait_s": 0.0})
        (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        steps = json.loads(millrace("report", run, "--json").stdout)["metrics"]["steps"]
        self.assertEqual(steps["step"][:4], [1, 2, 3, 4])
        self.assertEqual([value is None for value in steps["curves"]["loss"]["value"][:4]], [False, False, True, False])

    def test_evaluating_a_checkpoint_gives_the_runs_own_figures_in_its_precision(self):
        has_bf16 = "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text()
        for precision in ("f32", "bf16") if has_bf16 else ("f32",):
            run = self.folder / f"own-{precision}"
            millrace("train", self.run_file, "--run-dir", run, "--set", "train.tokens=5120", "--set",
                     f"train.precision={precision}")
            step = 20
            last = [line for line in metrics(run) if "eval" in line and line["step"] == step]
            own = {line["overall"]["objective"]: line for line in last}
            for threads in (1, 2):
                done = millrace("eval", run / "checkpoints" / f"step-{step:06}", "--run", run, "--json", "--threads",
                                threads)
                scores = json.loads(done.stdout, parse_float=str)
                for key in ("eval", "overall"):
                    self.assertEqual(scores[key], own["causal"][key], precision)
                    self.assertEqual(scores["own"][key], own["ul2"][key], precision)
        if not has_bf16:
            self.skipTest("this processor has no bf16 products: f32 alone was compared")

    def test_a_schedule_without_a_default_asks_for_a_learning_rate(self):
        text = self.run_file.read_text().replace("learning_rate = 4.0\n", "")
        without = self.run_file.parent / "without-rate.toml"
        for schedule in ("constant", "cosine", "wsd"):
            without.write_text(text.replace("[train]\n", f'[train]\nschedule = "{schedule}"\n'))
            said = millrace("train", without, "--run-dir", self.folder / "asked", code=2).stderr
            self.assertIn("learning_rate", said)
            self.assertIn('only schedule "rsqrt" has a default', said)
            self.assertFalse((self.folder / "asked").exists())
        without.write_text(text)
        millrace("train", without, "--run-dir", self.folder / "default", "--set", "train.tokens=512")


if __name__ == "__main__":
    train_test.MILLRACE = sys.argv.pop(1)
    unittest.main()

"""Memory of a run: planned, reported and measured. memory_test.py MILLRACE quick|long"""

import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run

MILLRACE = None
HOW_LONG = None
PARTS = ["weights", "gradients", "optimizer", "activations", "checkpoint", "pipeline", "program"]

# Half of the memory is activations, half weights, gradients and optimizer state.
QUICK = ["sequence_length=256", "model.hidden_size=512", "model.intermediate_size=1024", "model.num_hidden_layers=4",
         "model.num_attention_heads=8", "model.head_dim=64", "model.num_experts=8", "train.batch_rows=8",
         "train.micro_rows=8", "train.tokens=4096"]
LONG = ["sequence_length=512", "model.hidden_size=256", "model.intermediate_size=512", "model.num_hidden_layers=24",
        "model.num_attention_heads=4", "model.head_dim=64", "model.num_experts=64", "model.moe_layer_interval=6",
        "train.batch_rows=10", "train.tokens=10240", 'train.optimizer="adamw"', "train.learning_rate=0.001"]


def sets(keys):
    return [word for key in keys for word in ("--set", key)]


class Memory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-memory-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def train(self, name, *arguments, code=0, **options):
        done = subprocess.run([MILLRACE, "train", self.run_file, "--run-dir", self.folder / name, "--threads", "2",
                               *map(str, arguments)], capture_output=True, text=True, timeout=1800, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def planned(self, *arguments):
        return json.loads(self.train("dry", "--dry-run", "--json", *arguments).stdout)["memory"]

    def peak(self, name, *arguments):
        """Peak memory of a run in bytes, as it reports it: the system's count."""
        self.train(name, *arguments)
        peak = json.loads((self.folder / name / "summary.json").read_text())["peak_memory_bytes"]
        shutil.rmtree(self.folder / name)
        return peak


class Plan(Memory):
    def test_a_dry_run_says_what_would_be_done_and_creates_nothing(self):
        before = sorted(self.folder.rglob("*"))
        said = self.train("dry", "--dry-run").stdout
        for word in ("60 steps of 4 x 64 tokens", "micro-batches of 2 rows", "adafactor", "would be begun",
                     "nothing was created", "this machine", *PARTS):
            self.assertIn(word, said)
        memory = self.planned()
        self.assertEqual(list(memory), PARTS + ["total", "available", "available_limit"])
        self.assertEqual(sum(memory[part] for part in PARTS), memory["total"])
        self.assertEqual(sorted(self.folder.rglob("*")), before)

    def test_training_and_mix_plan_say_the_memory_of_each_part(self):
        said = self.train("said").stderr
        self.assertIn("memory: ", said)
        for part in PARTS:
            self.assertIn(part, said)
        plan = subprocess.run([MILLRACE, "mix", "plan", self.run_file], capture_output=True, text=True, check=True).stdout
        for part in PARTS:
            self.assertIn(part, plan)
        self.assertIn("this machine", plan)
        plan = subprocess.run([MILLRACE, "mix", "plan", self.run_file, "--json"], capture_output=True, text=True,
                              check=True).stdout
        self.assertEqual(list(json.loads(plan)["memory"]), PARTS + ["total", "available", "available_limit"])

    def test_what_does_not_fit_is_refused_with_what_to_change_before_anything_is_made(self):
        wide = sets(["train.batch_rows=64", "train.micro_rows=64", "train.tokens=8192", "sequence_length=128",
                     "model.hidden_size=2048", "model.intermediate_size=4096"])
        small = lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        said = self.train("large", *wide, code=2, preexec_fn=small).stderr
        self.assertIn("ulimit -v", said)
        self.assertIn("it would fit with --set train.micro_rows=", said)
        self.assertFalse((self.folder / "large").exists())
        advice = said.split("it would fit with ")[1].splitlines()[0].split()
        self.train("dry", "--dry-run", *wide, *advice, preexec_fn=small)
        # No setting makes this run fit on a machine that runs the test.
        huge = sets(["model.hidden_size=65536", "model.intermediate_size=262144"])
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = self.train("large", *huge, code=2).stderr
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.assertIn("take a smaller [model]", said)
        self.assertFalse((self.folder / "large").exists())
        self.assertLess(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1)
        plan = subprocess.run([MILLRACE, "mix", "plan", self.run_file, *huge], capture_output=True, text=True, check=True)
        self.assertIn("this machine has too little", plan.stdout)

    def test_a_run_holds_about_what_was_planned(self):
        planned = self.planned(*sets(QUICK))["total"]
        seen = self.peak("quick", *sets(QUICK))
        # The libraries' share is large here, and differs between machines.
        self.assertLess(abs(seen - planned), 0.1 * planned + (60 << 20), f"planned {planned}, seen {seen}")


    def test_rows_from_a_folder_are_planned_as_what_they_take(self):
        settings = sets(["train.batch_rows=64", "train.micro_rows=1", "sequence_length=1024", "phase=[{until=2_000_000, "
                         'mix="mix.toml", objective="causal.toml"}]', "train.tokens=262144", "eval.tokens=2000",
                         "train.learning_rate=0.1"])
        rows = self.folder / "rows"
        subprocess.run([MILLRACE, "preprocess", self.run_file, "--format", "rows", "--tokens", "262144", "--out", rows,
                        *settings], capture_output=True, check=True)
        planned = self.planned(*settings, "--rows", rows)
        self.assertLess(planned["pipeline"], self.planned(*settings)["pipeline"] // 4)
        seen = self.peak("of-rows", *settings, "--rows", rows)
        self.assertLess(abs(seen - planned["total"]), 0.1 * planned["total"] + (60 << 20), f"planned {planned}, seen {seen}")


class PlanOfLargeRuns(Memory):
    def test_runs_of_more_than_four_gigabytes_hold_what_was_planned_within_a_tenth(self):
        for settings in (["train.micro_rows=10"], ["train.micro_rows=5"], ["train.micro_rows=5", "train.recompute=true"]):
            with self.subTest(settings=settings):
                plan = self.planned(*sets(LONG + settings))
                self.assertGreater(plan["total"], 4 << 30)
                seen = self.peak("long", *sets(LONG + settings))
                self.assertLess(abs(seen / plan["total"] - 1), 0.1, f"planned {plan}, seen {seen}")


if __name__ == "__main__":
    MILLRACE, HOW_LONG = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1], defaultTest={"quick": "Plan", "long": "PlanOfLargeRuns"}[HOW_LONG], verbosity=2)

"""OpenMoE's runs as they were trained, made small: as_trained_test.py MILLRACE

Twenty steps of each on ../shared/data, whose wikipedia stands in for the mixes' wikipedia_en. All that is changed is
sizes, by --set: the nano model, 32,000 pieces, 128 rows of 256 a step, a switch after step 10.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

MILLRACE = None
ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("MILLRACE_SHARED", ROOT.parent / "shared"))
ROWS, LENGTH, STEPS, SWITCH = 128, 256, 20, 10


def millrace(*arguments):
    done = subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def small(phases):
    sets = [f"sequence_length={LENGTH}", "model.preset=openmoe-nano", "model.router_group_size=512",
            f"train.batch_rows={ROWS}", "train.micro_rows=32", "eval.tokens=2000", "train.precision=f32",
            "phase.0.objective.inputs=128", "phase.0.objective.targets=128"]
    ends = [SWITCH, STEPS] if phases == 2 else [STEPS]
    sets += [f"phase.{phase}.until={end * ROWS * LENGTH}" for phase, end in enumerate(ends)]
    sets += [f"phase.1.objective.targets={LENGTH}"] if phases == 2 else []
    return [argument for one in sets for argument in ("--set", one)]


@unittest.skipUnless((SHARED / "data").is_dir(), "needs ../shared/data")
class AsTrained(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="millrace-as-trained-")
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.data = cls.folder / "data"
        cls.data.mkdir()
        for name in ("redpajama", "the_stack"):
            (cls.data / name).symlink_to(SHARED / "data" / name)
        (cls.data / "wikipedia_en").symlink_to(SHARED / "data/redpajama/wikipedia")
        cls.vocabulary = cls.folder / "vocab.model"
        millrace("vocab", "train", "--shards", cls.data / "redpajama", "--size", 32_000, "--megabytes", 4, "--out",
                 cls.vocabulary)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def steps_of(self, name, phases):
        """Trains, and returns the lines of its steps and the log."""
        run = self.folder / name
        millrace("train", ROOT / f"mixes/runs/openmoe-{name}-as-trained.toml", "--data", self.data, "--run-dir", run,
                 "--set", f"vocab={self.vocabulary}", *small(phases))
        summary = json.loads((run / "summary.json").read_text())
        self.assertEqual((summary["end"], summary["rows"]), ("complete", ROWS * STEPS))
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        steps = [line for line in lines if "eval" not in line]
        self.assertEqual([step["step"] for step in steps], list(range(1, STEPS + 1)))
        self.assertLess(steps[-1]["loss"], steps[0]["loss"])
        return steps, (run / "train.log").read_text()

    def expect_factors(self, steps, router_z_factors):
        """That the loss of each step is made with its factor of the router's z-loss."""
        for step, factor in zip(steps, router_z_factors, strict=True):
            expected = step["ce"] + step["z_loss"] + 0.01 * step["aux_loss"] + factor * step["router_z_loss"]
            self.assertAlmostEqual(step["loss"], expected, delta=1e-9, msg=f"step {step['step']}")

    def test_base_has_one_phase(self):
        steps, _ = self.steps_of("base", 1)
        self.assertEqual({step["phase"] for step in steps}, {0})
        self.expect_factors(steps, [1e-4] * STEPS)

    def test_8b_changes_mix_and_objective_and_no_key(self):
        steps, _ = self.steps_of("8b", 2)
        self.assertEqual([step["phase"] for step in steps], [0] * SWITCH + [1] * (STEPS - SWITCH))
        self.assertEqual({name for step in steps[SWITCH:] for name in step["ce_by_denoiser"]}, {"causal"})
        self.assertFalse(any("keys" in step for step in steps))
        self.expect_factors(steps, [1e-4] * STEPS)

    def test_34b_changes_the_router_z_loss_at_the_switch(self):
        steps, log = self.steps_of("34b", 2)
        self.assertEqual([step["phase"] for step in steps], [0] * SWITCH + [1] * (STEPS - SWITCH))
        self.assertEqual({step["step"]: step["keys"] for step in steps if "keys" in step},
                         {SWITCH + 1: {"router_z_loss_factor": 1e-3}})
        self.assertIn(f"from step {SWITCH + 1}: router_z_loss_factor 0.001", log)
        self.expect_factors(steps, [1e-4] * SWITCH + [1e-3] * (STEPS - SWITCH))


if __name__ == "__main__":
    MILLRACE = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=2)

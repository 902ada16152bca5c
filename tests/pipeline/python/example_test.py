"""The example trains, and goes on: example_test.py MILLRACE EXAMPLE      skipped where this Python has no PyTorch"""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

from python_run import PROGRAM  # noqa: F401  Takes the program's path from the command line.

import tiny_run

EXAMPLE = pathlib.Path(sys.argv.pop(1))
try:
    import torch  # noqa: F401
except ImportError:
    print("skipped: this Python has no torch")
    sys.exit(77)


class Example(unittest.TestCase):
    def losses(self, folder, run, steps, save):
        command = [sys.executable, EXAMPLE, run, "--steps", steps, "--save", folder / save, "--batch-rows", 8, "--width", 64,
                   "--layers", 2, "--heads", 2]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = re.findall(r"^step (\d+): loss ([\d.]+)$", done.stdout, re.MULTILINE)
        return {int(step): float(loss) for step, loss in found}

    def test_its_loss_falls_and_a_second_start_goes_on_as_if_there_had_been_no_stop(self):
        with tempfile.TemporaryDirectory(prefix="millrace-python-") as name:
            folder = pathlib.Path(name)
            run = tiny_run.write_run(folder / "tiny")
            run.write_text(run.read_text().replace("until = 15_360", "until = 30_720"))
            whole = self.losses(folder, run, 40, "whole.pt")
            self.assertEqual(list(whole), [*range(1, 41)])
            self.assertLess(sum(list(whole.values())[-5:]) / 5, 0.7 * whole[1])
            first = self.losses(folder, run, 25, "parts.pt")
            second = self.losses(folder, run, 40, "parts.pt")
            self.assertEqual(list(second), [*range(26, 41)])
            for step, loss in {**first, **second}.items():
                self.assertAlmostEqual(loss, whole[step], places=3)


if __name__ == "__main__":
    unittest.main(verbosity=2)

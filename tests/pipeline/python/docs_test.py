"""The documentation's Python does what it says: docs_test.py MILLRACE SOURCE_FOLDER

Blocks and docstrings that want PyTorch, JAX or Lightning are executed where this Python has them.
"""

import contextlib
import doctest
import importlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from python_run import numpy, program

import millrace
import tiny_run

SOURCE = pathlib.Path(sys.argv.pop(1))
NOT_RUN = "# Not run"


def python_blocks(page):
    """(line, text) of each block of Python."""
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start()) + 2, found[1])
            for found in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]


def has(module):
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def train_on(*arrays):
    """Stands for a training step."""
    assert len(arrays) == 3 and all(array.shape == arrays[0].shape for array in arrays)
    return 0.0


class Docs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.before = os.getcwd()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-python-"))
        run = tiny_run.write_run(cls.folder)
        program("preprocess", run, "--tokens", 15_360, "--format", "rows", "--out", cls.folder / "rows")
        program("train", run, "--run-dir", cls.folder / "runs/mine", "--set", "train.tokens=8192", "--set", "eval.tokens=0",
                "--set", "checkpoint.keep_last=9")
        os.chdir(cls.folder)

    @classmethod
    def tearDownClass(cls):
        os.chdir(cls.before)
        shutil.rmtree(cls.folder)

    def test_blocks_of_the_page(self):
        page = SOURCE / "docs/python.md"
        blocks = python_blocks(page)
        self.assertGreater(len(blocks), 10)
        names = {"train_on": train_on}
        run = skipped = 0
        for line, text in blocks:
            code = compile("\n" * (line - 1) + text, str(page), "exec")
            wanted = {"lightning": "lightning", "jax": "import jax", "torch": "torch"}
            missing = [module for module, mark in wanted.items() if mark in text and not has(module)]
            if text.startswith(NOT_RUN) or missing:
                skipped += 1
                print(f"python.md:{line}: not run{', no ' if missing else ''}{', '.join(missing)}", file=sys.stderr)
                continue
            with contextlib.redirect_stdout(io.StringIO()):
                exec(code, names)
            run += 1
        self.assertGreaterEqual(run, 7)
        if "MillraceDataset" in names:
            dataset = names["train_valid_test_datasets_provider"](None)[0]
            with millrace.Stream("run.toml", batch_rows=len(dataset)) as stream:
                batch = next(stream)
            for number in 0, 7, len(dataset) - 1:
                for mine, theirs in (("tokens",) * 2, ("labels",) * 2, ("loss_weights", "loss_mask"), ("positions", "position_ids")):
                    self.assertTrue((getattr(batch, mine)[number] == dataset[number][theirs].numpy()).all())
        if "MillraceRows" in names:
            self.expect_lightning(names["MillraceRows"])

    def expect_lightning(self, module):
        """Stopped at any step, it goes on with the next row."""
        import lightning
        import torch

        class Model(lightning.LightningModule):
            def __init__(self):
                super().__init__()
                self.weight = torch.nn.Parameter(torch.zeros(1))
                self.seen = []

            def training_step(self, batch, _):
                self.seen.extend(batch["tokens"].tolist())
                return (self.weight * batch["loss_weights"]).mean()

            def configure_optimizers(self):
                return torch.optim.SGD(self.parameters(), lr=0.1)

        def fit(steps, checkpoint=None):
            model, rows = Model(), module("run.toml", data="data", batch_rows=4)
            trainer = lightning.Trainer(max_steps=steps, logger=False, enable_checkpointing=False, enable_progress_bar=False,
                                        enable_model_summary=False, accelerator="cpu")
            trainer.fit(model, rows, ckpt_path=checkpoint)
            trainer.save_checkpoint("lightning.ckpt")
            return model.seen

        seen = fit(7) + fit(12, "lightning.ckpt")
        with millrace.Stream("run.toml", batch_rows=48) as stream:
            self.assertEqual(seen, next(stream).tokens.tolist())

    def test_docstrings(self):
        names = {"millrace": millrace, "train_on": train_on, "numpy": numpy}
        for module in "millrace", "millrace.torch", "millrace.jax":
            if module == "millrace.torch" and not has("torch"):
                print("docstrings of millrace.torch: not run, no torch", file=sys.stderr)
                continue
            if module == "millrace.torch":
                names["DataLoader"] = importlib.import_module("torch.utils.data").DataLoader
            found = importlib.import_module(module)
            result = doctest.testmod(found, extraglobs=names, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
            self.assertEqual(result.failed, 0, module)
            self.assertGreater(result.attempted, 1, module)

    def test_the_readmes_first_stream_runs_as_printed_in_a_checkout(self):
        """In a folder like a checkout in which the quickstart has made small shards."""
        (line, block), *_ = [found for found in python_blocks(SOURCE / "README.md") if "millrace.Stream" in found[1]]
        checkout = self.folder / "checkout"
        shutil.copytree(SOURCE / "mixes", checkout / "mixes")
        quickstart = checkout / "build/quickstart"
        program("sample", "--out", quickstart / "data", "--megabytes", 2)
        (quickstart / "vocab.model").write_bytes(tiny_run.vocabulary())
        done = subprocess.run([sys.executable, "-c", block], cwd=checkout, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""), f"README.md:{line}")
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], "(16, 256) (16, 256) (16, 256)")
        self.assertIn("'shard':", lines[1])
        self.assertEqual(lines[2].split()[0], "16")
        self.assertGreater(int(lines[2].split()[1]), 16 * 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)

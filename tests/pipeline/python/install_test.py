"""`pip install .` without network, and what is installed: install_test.py MILLRACE SOURCE_FOLDER"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

from python_run import program

import tiny_run

SOURCE = pathlib.Path(sys.argv.pop(1))
WHEELS = SOURCE / "build/deps/python"


class Install(unittest.TestCase):
    def test_a_fresh_environment_has_the_stream_after_pip_install(self):
        with tempfile.TemporaryDirectory(prefix="millrace-python-") as name:
            folder = pathlib.Path(name)
            run = tiny_run.write_run(folder / "tiny")
            subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
            python = folder / "venv/bin/python"
            subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", WHEELS, SOURCE], check=True)
            environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            script = ("import sys, millrace; print(millrace.__version__, next(millrace.Stream(sys.argv[1])).tokens.shape)")
            done = subprocess.run([python, "-c", script, run], cwd=folder, env=environment, check=True, capture_output=True,
                                  text=True)
            version = program("--version").strip().split()[-1]
            self.assertEqual(done.stdout, f"{version} (4, 64)\n")
            self.expect_readme(python, environment)

    def expect_readme(self, python, environment):
        """The README's Python runs as printed, in the checkout, once the quickstart made its shards."""
        blocks = re.findall(r"```python\n(.*?)```", (SOURCE / "README.md").read_text(), re.DOTALL)
        block = next(block for block in blocks if "millrace.Stream" in block)
        if not (SOURCE / "build/quickstart/data").is_dir():
            self.skipTest("scripts/quickstart.sh was not run: the README's Python was not tried")
        done = subprocess.run([python, "-c", block], cwd=SOURCE, env=environment, check=True, capture_output=True, text=True)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], "(16, 256) (16, 256) (16, 256)")
        self.assertIn("'shard':", lines[1])
        self.assertEqual(lines[2].split()[0], "16")


if __name__ == "__main__":
    if not WHEELS.is_dir():
        print("skipped: no wheels in build/deps/python; scripts/deps.sh python brings them")
        sys.exit(77)
    unittest.main(verbosity=2)

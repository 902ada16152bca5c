"""scripts/wheel.sh, and its wheel in a fresh environment outside the checkout: wheel_test.py MILLRACE SOURCE_FOLDER"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import zipfile

from python_run import inspected, program

import tiny_run

SOURCE = pathlib.Path(sys.argv.pop(1))
WHEELS = SOURCE / "build/deps/python"
OF_THE_SYSTEM = {"libc.so", "libm.so", "libgcc_s.so", "libstdc++.so", "libz.so", "libdl.so", "librt.so", "libpthread.so",
                 "ld-linux-x86-64.so", "ld-linux-aarch64.so"}


class Wheel(unittest.TestCase):
    def test_it_works_in_a_fresh_environment_outside_the_checkout(self):
        with tempfile.TemporaryDirectory(prefix="millrace-python-") as name:
            folder = pathlib.Path(name)
            subprocess.run([SOURCE / "scripts/wheel.sh", folder / "wheel"], check=True)
            (wheel,) = (folder / "wheel").iterdir()
            version = program("--version").strip().split()[-1]
            python = f"cp3{sys.version_info.minor}"
            self.assertRegex(wheel.name, rf"^millrace-{re.escape(version)}-{python}-{python}-manylinux_2_36_{os.uname().machine}\.whl$")
            with zipfile.ZipFile(wheel) as held:
                files = held.namelist()
            for wanted in ("millrace/_core.pyi", "millrace/py.typed", "millrace/torch.py", "millrace/jax.py"):
                self.assertIn(wanted, files)
            self.assertTrue(any("licenses/libsentencepiece" in file for file in files), files)

            run = tiny_run.write_run(folder / "tiny")
            subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
            python = folder / "venv/bin/python"
            subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", WHEELS, wheel], check=True)
            environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "LD_LIBRARY_PATH")}
            script = """
                import re, sys, millrace, millrace.jax
                print(millrace.__version__)
                print(next(millrace.Stream(sys.argv[1])).tokens.tolist())
                print(next(millrace.jax.DatasetIterator(sys.argv[1], batch_rows=4))["tokens"].tolist())
                print(sorted(set(re.findall(r"/\\S+\\.so\\S*", open("/proc/self/maps").read()))))
            """.replace("\n                ", "\n")
            done = subprocess.run([python, "-c", script, run], cwd=folder, env=environment, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            lines = done.stdout.splitlines()
            self.assertEqual(lines[0], version)
            rows = [row["tokens"] for row in inspected(run, 4)]
            self.assertEqual((eval(lines[1]), eval(lines[2])), (rows, rows))
            inside = str(folder / "venv")
            outside = {re.sub(r"\.so.*", ".so", path.rsplit("/", 1)[1]) for path in eval(lines[3])
                       if not path.startswith(inside) and "/lib-dynload/" not in path}
            of_python = {name for name in outside if name.startswith(("libpython", "libexpat", "libcrypto", "libssl", "libffi",
                                                                    "libuuid", "libbz2", "liblzma"))}
            self.assertEqual(outside - of_python - OF_THE_SYSTEM, set())


if __name__ == "__main__":
    if not WHEELS.is_dir():
        print("skipped: no wheels in build/deps/python; scripts/deps.sh python brings them")
        sys.exit(77)
    unittest.main(verbosity=2)

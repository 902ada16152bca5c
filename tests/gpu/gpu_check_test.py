"""scripts/gpu_check.py over programs that are made up here: what becomes of parts that fail, crash, take too long."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/gpu_check.py"

# A gpu_check with a part of each kind.
PROGRAM = """#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    --list) printf 'good part\\nbad part\\ncrashing part\\nskipped part\\nslow part\\nlate part\\n'; exit 0 ;;
    --only) part=$2; shift ;;
  esac
  shift
done
case $part in
  good*) echo "== good part: pass (0.1 s) as it should be" ;;
  bad*) echo "== bad part: FAIL (0.1 s) 3 is not 4"; exit 1 ;;
  crashing*) echo "about to crash"; kill -SEGV $$ ;;
  skipped*) echo "== skipped part: skip (0.0 s) no room" ;;
  slow*) echo "about to sleep"; sleep 60 ;;
  late*) echo "== late part: pass (0.0 s) never seen" ;;
esac
"""


class GpuCheck(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="millrace-gpu-check-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "check").mkdir()
        (self.folder / "run").mkdir()
        self.program = self.folder / "check/gpu_check"
        self.program.write_text(PROGRAM)
        self.program.chmod(0o755)

    def check(self, *words):
        done = subprocess.run([sys.executable, SCRIPT, "--host", "--bundles", self.folder, "--out", self.folder / "out", *words],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stderr, "")
        table = json.loads((self.folder / "out/gpu_check.json").read_text())
        return done, {row["part"]: (row["verdict"], row["text"]) for row in table}

    def test_gives_each_part_a_verdict_of_its_own_whatever_becomes_of_the_others(self):
        done, table = self.check("--only", " part", "--seconds", "3.5")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(table, {"good part": ("pass", "as it should be"),
                                 "bad part": ("FAIL", "3 is not 4"),
                                 "crashing part": ("FAIL", "died of SIGSEGV: about to crash"),
                                 "skipped part": ("skip", "no room"),
                                 "slow part": ("FAIL", "took too long: about to sleep"),
                                 "late part": ("skip", "no time is left")})
        last = done.stdout.strip().splitlines()[-6:]
        self.assertEqual([line.split(" part")[0] for line in last], ["good", "bad", "crashing", "skipped", "slow", "late"])
        self.assertIn("about to crash", (self.folder / "out/gpu_check.log").read_text())

    def test_ends_well_where_no_part_failed(self):
        done, table = self.check("--only", "good")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(list(table), ["good part"])

    def test_says_what_it_could_not_start_and_goes_on(self):
        self.program.unlink()
        done, table = self.check()
        self.assertEqual(done.returncode, 1)
        self.assertEqual(table["gpu_check"][0], "FAIL")
        self.assertIn("gpu_check", table["gpu_check"][1])
        self.assertEqual(table["train, base, 100 steps"][0], "FAIL")
        self.assertEqual(table["peer, base"], ("skip", "no --peer was given"))

    def test_runs_nothing_for_a_part_that_is_not_there(self):
        done = subprocess.run([sys.executable, SCRIPT, "--host", "--bundles", self.folder, "--out", self.folder / "out",
                               "--only", "nonesuch"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--list names them", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)

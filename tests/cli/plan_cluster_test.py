"""millrace plan-cluster from outside: plan_cluster_test.py MILLRACE"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run

MILLRACE = None
ROOT = pathlib.Path(__file__).resolve().parents[2]
RUNS = ROOT / "mixes/runs"
UMT5 = ("--set", "model.vocab_size=256384")
CLUSTER = """
ranks_per_machine = 2
precision = "f32"
memory = 8e9
operations = 1e11
memory_bandwidth = 1e10
[inside]
latency = 2e-6
bandwidth = 5e9
[between]
latency = 5e-5
bandwidth = 1.25e8
"""


def plan(run, *arguments, code=0):
    done = subprocess.run([MILLRACE, "plan-cluster", str(run), *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def planned(run, *arguments):
    return json.loads(plan(run, *arguments, "--json").stdout)


def measured(*arguments, code=0):
    done = subprocess.run([MILLRACE, "plan-cluster", "--measure", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


class PlanCluster(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory(prefix="millrace-plan-")
        folder = pathlib.Path(cls.holder.name)
        cls.run_file = tiny_run.write_run(folder)
        cls.cluster = folder / "cluster.toml"
        cls.cluster.write_text(CLUSTER)
        cls.tiny = (cls.run_file, "--cluster", cls.cluster, "--set", "train.batch_rows=16", "--set", "train.micro_rows=1")

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def test_a_run_of_ones_own_with_a_cluster_file(self):
        result = planned(*self.tiny, "--ranks", 4, "--best", 0)
        self.assertEqual(len({json.dumps(one["grid"]) for one in result["grids"] + result["excluded"]}), 6)
        steps = [one["seconds"]["step"] for one in result["grids"]]
        self.assertEqual(steps, sorted(steps))
        for one in result["grids"]:
            seconds = one["seconds"]
            self.assertAlmostEqual(sum(value for name, value in seconds.items() if name != "step"), seconds["step"], 9)
            grid = one["grid"]
            self.assertEqual(grid["data"] * grid["expert"] * grid["pipeline"], 4)
            self.assertIsNone(one["not_built"])
        data = next(one for one in result["grids"] if one["grid"]["data"] == 4)
        self.assertEqual(data["set"], ["train.lanes=4"])
        # Two machines of two: of three others one is inside.
        self.assertAlmostEqual(data["bytes"]["gradients"]["between"], 2 * data["bytes"]["gradients"]["inside"], 3)

    def test_the_text_names_grid_memory_bytes_and_what_is_not_built(self):
        text = plan(*self.tiny, "--ranks", 4).stdout
        self.assertIn("not yet", plan(self.run_file, "--ranks", 2, "--cluster", "h100-8x400g").stdout)
        for words in ("data x expert x pipeline", "positions/s", "with --set", "train.lanes=4", "memory of the rank that takes most",
                      "bytes of a step, of all ranks together"):
            self.assertIn(words, text)

    def test_one_grid(self):
        result = planned(*self.tiny, "--ranks", 4, "--grid", "data=2,expert=2")
        self.assertEqual([one["grid"]["expert"] for one in result["grids"] + result["excluded"]], [2])

    def test_lanes_of_the_run_exclude_wider_grids(self):
        result = planned(*self.tiny, "--ranks", 4, "--set", "train.lanes=2", "--grid", "data=4")
        self.assertEqual(result["grids"], [])
        self.assertIn("does not divide train.lanes = 2", result["excluded"][0]["excluded"])

    def test_wrong_use_is_said_with_what_there_is(self):
        for arguments, words in [
            (("--ranks", 4, "--cluster", "h100"), 'cluster "h100" is neither a file nor one of h100-8x400g'),
            (("--ranks", 4, "--cluster", "cpu-10g", "--grid", "rows=2"), "expected data=N"),
            (("--ranks", 4, "--cluster", "cpu-10g", "--grid", "data=3"), "is no grid of 4 ranks"),
            (("--ranks", 0, "--cluster", "cpu-10g"), "--ranks"),
            (("--cluster", "cpu-10g"), "--ranks is required"),
            (("--ranks", 4), "--cluster is required"),
            (("--ranks", 4, "--cluster", "cpu-10g", "--out", "x.toml"), "there is no --measure"),
            (("--measure",), "no RUN, --ranks or --cluster goes with it"),
        ]:
            with self.subTest(words=words):
                self.assertIn(words, plan(self.run_file, *arguments, code=2).stderr)
        said = plan(RUNS / "openmoe-8b.toml", "--ranks", 4, "--cluster", "cpu-10g", code=2).stderr
        self.assertIn("--set model.vocab_size=256384", said)

    def test_one_process_measures_what_it_can_and_says_what_it_did_not(self):
        file = self.cluster.parent / "measured.toml"
        done = measured("--out", file, "--threads", 1)
        self.assertEqual(done.stdout, file.read_text())
        for link in ("[inside]", "[between]"):
            self.assertIn(f"not measured: {link}", done.stderr)
            self.assertIn(f"# Not measured: {link}", done.stdout)
        self.assertIn("measuring", done.stderr)
        self.assertIn("--cluster", done.stderr)
        alone = planned(self.run_file, "--ranks", 1, "--cluster", file)
        self.assertEqual(alone["cluster"]["ranks_per_machine"], 1)
        self.assertIn("no [between]", plan(self.run_file, "--ranks", 2, "--cluster", file, code=2).stderr)
        as_json = json.loads(measured("--json", "--precision", "f32").stdout)
        self.assertEqual(as_json["cluster"]["precision"], "f32")
        self.assertIsNone(as_json["cluster"]["inside"])
        self.assertEqual(len(as_json["not_measured"]), 2)

    def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(self):
        said = measured("--out", self.cluster.parent / "no" / "cluster.toml", code=2).stderr
        self.assertIn("there is no folder", said)
        self.assertNotIn("measuring", said)

    def test_the_tables_of_the_documentation_are_what_it_says(self):
        """Each row: | 8B | ranks | grid | GB a rank | s a step | M positions/s | days |"""
        text = (ROOT / "docs/cluster.md").read_text()
        rows = re.findall(r"^\| (8B|34B) \| (\d+) \| (\d+) x (\d+) x (\d+) \|(.*)\|$", text, re.M)
        self.assertGreaterEqual(len(rows), 6)
        for model, ranks, *grid, rest in rows:
            with self.subTest(model=model, ranks=ranks):
                wish = "data={},expert={},pipeline={}".format(*grid)
                best = planned(RUNS / f"openmoe-{model.lower()}-as-trained.toml", "--ranks", ranks, "--cluster",
                               "h100-8x400g", "--grid", wish, *UMT5)["grids"][0]
                self.assertEqual([cell.strip() for cell in rest.split("|")],
                                 [f"{best['memory']['needed'] / 1e9:.0f}", f"{best['seconds']['step']:.2f}",
                                  f"{best['positions_per_second'] / 1e6:.2f}", f"{best['days']:.1f}"])

    def test_the_first_row_of_the_documentation_is_the_fastest_grid(self):
        row = re.search(r"^\| 8B \| (\d+) \| (\d+) x (\d+) x (\d+) \|", (ROOT / "docs/cluster.md").read_text(), re.M)
        best = planned(RUNS / "openmoe-8b-as-trained.toml", "--ranks", row[1], "--cluster", "h100-8x400g", "--best", 1,
                       *UMT5)["grids"]
        self.assertEqual([best[0]["grid"][width] for width in ("data", "expert", "pipeline")],
                         [int(row[number]) for number in (2, 3, 4)])


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    unittest.main()

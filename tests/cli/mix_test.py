"""millrace mix check, plan and diff from outside: mix_test.py MILLRACE"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import tomllib
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run

MILLRACE = None
ROOT = pathlib.Path(__file__).resolve().parents[2]
MIXES = ROOT / "mixes"
SHARED = pathlib.Path(os.environ.get("MILLRACE_SHARED", ROOT.parent / "shared"))


def mix(*arguments, code=0):
    environment = {key: value for key, value in os.environ.items() if key != "MILLRACE_DATA"}
    done = subprocess.run([MILLRACE, "mix", *map(str, arguments)], capture_output=True, text=True, env=environment)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def totals(run, tokens):
    plan = json.loads(mix("plan", run, "--tokens", tokens, "--json").stdout)
    return plan, {corpus["name"]: corpus["tokens"] for corpus in plan["corpora"]}


class OpenMoe(unittest.TestCase):
    def expect(self, found, paper):
        self.assertAlmostEqual(found / paper, 1, delta=0.025)

    def test_plan_gives_the_papers_totals_for_8b(self):
        plan, tokens = totals(MIXES / "runs/openmoe-8b.toml", "1.1e12")
        self.expect(plan["by_kind"]["code"], 456e9)
        self.expect(plan["by_kind"]["text"], 644e9)
        self.expect(tokens["wikipedia"] + tokens["wikipedia_en"], 58e9)
        self.assertEqual([phase["to_tokens"] for phase in plan["phases"]], [780_000_000_000, 1_100_000_000_000])

    def test_plan_gives_the_papers_totals_for_34b(self):
        plan, tokens = totals(MIXES / "runs/openmoe-34b.toml", "200e9")
        self.expect(plan["by_kind"]["code"], 70e9)
        self.expect(tokens["wikipedia"] + tokens["wikipedia_en"], 14e9)

    def test_plan_says_what_a_token_uses_and_what_the_run_takes(self):
        run = MIXES / "runs/openmoe-base.toml"
        known = json.loads(mix("plan", run, "--set", "model.vocab_size=256384", "--json").stdout)["parameters"]
        self.assertEqual((known["all"], round(known["activated"] / 1e6), round(known["activated_layers"] / 1e6)),
                         (799_663_104, 339, 142), "the paper's table 11 has 339M and 142M")
        self.assertEqual(known["positions"], 500_000 * 128 * 2048)
        self.assertEqual(known["operations"], 6 * known["activated"] * known["positions"])
        self.assertEqual(known["activated_x_positions"], known["activated"] * known["positions"])
        self.assertRegex(mix("plan", run, "--set", "model.vocab_size=256384").stdout,
                         r"\nactivated +339 M +4.44e\+19 +2.66e\+20 ")

    def test_plan_knows_the_layers_alone_without_a_vocabulary(self):
        found = json.loads(mix("plan", MIXES / "runs/openmoe-base.toml", "--json").stdout)["parameters"]
        self.assertEqual(round(found["activated_layers"] / 1e6), 142)
        self.assertEqual((found["all"], found["activated"], found["operations"]), (None, None, None))
        self.assertIsNone(json.loads(mix("plan", MIXES / "openmoe-v1.toml", "--json").stdout)["parameters"])

    def test_plan_takes_less_than_a_second(self):
        started = time.monotonic()
        mix("plan", MIXES / "runs/openmoe-8b.toml", "--tokens", "1.1e12")
        self.assertLess(time.monotonic() - started, 1)

    def test_diff_says_what_changed_from_version_1_to_2(self):
        words = mix("diff", MIXES / "openmoe-v1.toml", MIXES / "openmoe-v2.toml").stdout
        self.assertIn("code falls from 52.25 % to 15 %", words)
        self.assertIn("the_stack falls from 50 % to 10 %", words)
        self.assertIn("wikipedia_en is new, with 6.5 %", words)
        back = json.loads(mix("diff", MIXES / "openmoe-v2.toml", MIXES / "openmoe-v1.toml", "--json").stdout)
        self.assertIn("wikipedia_en is gone; it had 6.5 %", back["words"])
        self.assertEqual({corpus["name"]: corpus["share_b"] for corpus in back["corpora"]}["wikipedia_en"], None)

    def test_diff_of_a_mix_with_itself_finds_nothing(self):
        self.assertIn("the two mixes are the same", mix("diff", MIXES / "openmoe-v1.toml", MIXES / "openmoe-v1.toml").stdout)

    def test_every_run_that_comes_along_can_be_planned(self):
        for run in sorted((MIXES / "runs").glob("*.toml")):
            self.assertTrue(json.loads(mix("plan", run, "--json").stdout)["corpora"], run)

    def test_set_reaches_a_mix_and_one_phase_of_a_run(self):
        shares = ["--set", "corpus.c4.share=17.5", "--set", "corpus.the_stack.share=40", "--json"]
        corpora = json.loads(mix("plan", MIXES / "openmoe-v1.toml", *shares).stdout)["corpora"]
        self.assertEqual({corpus["name"]: corpus["share"] for corpus in corpora}["the_stack"], 0.4)
        run = MIXES / "runs/openmoe-8b.toml"
        changed = json.loads(mix("plan", run, "--set", "phase.0.until=1e12", "--json").stdout)
        self.assertEqual([phase["to_tokens"] for phase in changed["phases"]], [1_000_000_000_000, 1_100_000_000_000])
        error = mix("plan", run, "--set", "phase.1.mix.corpus.the_stack.share=11", code=2).stderr
        self.assertRegex(error, r"openmoe-v2.toml:\d+:\d+: corpus shares sum to 101 %")
        error = mix("plan", run, "--set", "phase.5.until=1e12", code=2).stderr
        self.assertIn("there is no phase.5: phase has 2 tables, 0 and 1", error)

    def test_runs_as_trained_have_the_authors_steps_rows_and_objectives(self):
        ul2, causal = "../objectives/ul2-openmoe-packed.toml", "../objectives/causal-openmoe-packed.toml"
        for name, rows, divisor, phases in (
                ("base", 128, 128, [(500_000, "../openmoe-v1.toml", ul2)]),
                ("8b", 1024, 128, [(390_000, "../openmoe-v1.toml", ul2), (550_000, "../openmoe-v2.toml", causal)]),
                ("34b", 1024, 64, [(25_000, "../openmoe-v3.toml", ul2), (100_000, "../openmoe-v3.toml", causal)])):
            run = tomllib.loads((MIXES / f"runs/openmoe-{name}-as-trained.toml").read_text())
            train, model = run["train"], run["model"]
            self.assertEqual((train["batch_rows"], train["loss_rows"]), (rows, divisor), name)
            self.assertEqual(train["micro_rows"] * 2048 % model.get("router_group_size", 4096), 0,
                             f"{name}: whole pools, or micro_rows would change more than last digits")
            self.assertEqual([(phase["until"] / (rows * 2048), phase["mix"], phase["objective"]) for phase in run["phase"]],
                             phases)
            factors = [phase.get("model", model).get("router_z_loss_factor", 1e-4) for phase in run["phase"]]
            self.assertEqual(factors, {"base": [1e-4], "8b": [1e-4] * 2, "34b": [1e-4, 1e-3]}[name])

    @unittest.skipUnless((SHARED / "data").is_dir(), "needs ../shared/data")
    def test_every_openmoe_run_finds_its_corpora(self):
        with tempfile.TemporaryDirectory(prefix="millrace-mix-") as data:
            for name in ("redpajama", "the_stack"):
                (pathlib.Path(data) / name).symlink_to(SHARED / "data" / name)
            (pathlib.Path(data) / "wikipedia_en").symlink_to(SHARED / "data/redpajama/wikipedia")
            for run in sorted((MIXES / "runs").glob("openmoe-*.toml")):
                found = json.loads(mix("check", run, "--data", data, "--json").stdout)
                self.assertTrue(all(corpus["shards"] > 0 for corpus in found["corpora"]), run)

    @unittest.skipUnless((SHARED / "data").is_dir(), "needs ../shared/data")
    def test_check_finds_version_1_and_misses_wikipedia_en_in_2_and_3(self):
        plan = json.loads(mix("check", MIXES / "openmoe-v1.toml", "--data", SHARED / "data", "--json").stdout)
        shares = {corpus["name"]: round(100 * corpus["share"], 9) for corpus in plan["corpora"]}
        self.assertEqual(shares, {"c4": 7.5, "wikipedia": 2.25, "stackexchange": 1.0, "arxiv": 1.25, "book": 2.25,
                                  "github": 2.25, "common_crawl": 33.5, "the_stack": 50.0})
        stack = next(corpus for corpus in plan["corpora"] if corpus["name"] == "the_stack")
        self.assertEqual(stack["shards"], len(list((SHARED / "data/the_stack/data").rglob("*.parquet"))))
        for version in ("v2", "v3"):
            error = mix("check", MIXES / f"openmoe-{version}.toml", "--data", SHARED / "data", code=2).stderr
            self.assertRegex(error, rf'openmoe-{version}.toml:\d+:\d+: corpus "wikipedia_en": no shard matches')


class Data(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="millrace-mix-")
        self.folder = pathlib.Path(self.temporary.name)
        self.run_file = tiny_run.write_run(self.folder)
        self.data = self.folder / "data"

    def tearDown(self):
        self.temporary.cleanup()

    def plan(self):
        plan = json.loads(mix("plan", self.run_file, "--json").stdout)
        return {corpus["name"]: corpus for corpus in plan["corpora"]}

    def test_estimates_lie_within_their_error_of_what_an_index_counts(self):
        estimated = self.plan()
        subprocess.run([MILLRACE, "index", self.data, "--vocab", self.folder / "vocab.model", "--holdout", "0.05", "--out",
                        self.data / "millrace-index.json"], check=True, capture_output=True)
        counted = self.plan()
        for name, corpus in counted.items():
            self.assertTrue(corpus["from_manifest"])
            self.assertEqual(corpus["available_error"], 0)
            self.assertFalse(estimated[name]["from_manifest"])
            self.assertAlmostEqual(estimated[name]["available_tokens"] / corpus["available_tokens"], 1,
                                   delta=estimated[name]["available_error"])

    def test_epochs_are_raw_tokens_by_available_tokens(self):
        for corpus in self.plan().values():
            self.assertAlmostEqual(corpus["epochs"], corpus["raw_tokens"] / corpus["available_tokens"])

    def test_the_table_says_where_its_figures_come_from(self):
        self.assertIn("available tokens: estimated from a sample", mix("check", self.run_file).stdout + mix("plan", self.run_file).stdout)
        self.assertIn("no --data folder given", mix("check", self.folder / "mix.toml").stdout)

    def test_wrong_mixes_exit_2_naming_line_and_column(self):
        base = '[[corpus]]\nname = "{}"\nshare = {}\nshards = ["prose.jsonl"]\n'
        cases = [
            (base.format("a", 0), "wrong.toml:4:1: [[corpus]] share is 0"),
            (base.format("a", 60), "shares sum to 60 %, expected 100: correct them, or set normalize = true"),
            (base.format("a", 50) + base.format("a", 50), 'wrong.toml:7:1: [[corpus]] name "a" names two'),
            ("normalise = true\n" + base.format("a", 100), 'did you mean "normalize"'),
            ('extend = "wrong.toml"\n', "wrong.toml:2:1: extend names"),
            (base.format("a", 100) + "where = \"size > 3 AND random() < 0.5\"\n",
             'wrong.toml:6:1: [[corpus]] where = "size > 3 AND random() < 0.5": byte 14: random() is none of the functions'),
            (base.format("a", 100) + "where = \"size = 1) OR (true\"\n", "wrong.toml:6:1: [[corpus]] where"),
            (base.format("a", 100).replace("prose", "verse"), 'wrong.toml:5:1: corpus "a": no shard matches "verse.jsonl"'),
        ]
        for text, complaint in cases:
            (self.folder / "wrong.toml").write_text('name = "wrong"\n' + text)
            self.assertIn(complaint, mix("check", self.folder / "wrong.toml", "--data", self.data, code=2).stderr)


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    unittest.main(verbosity=2)

"""millrace report from outside, its page in headless Chromium: report_test.py MILLRACE"""

import fcntl
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import browser
import synthetic_run
import tiny_run

MILLRACE = None
ALL_CHARTS = {"loss", "heldout", "lr", "loss_by_corpus", "loss_by_denoiser", "shares", "denoisers", "throughput", "limit",
              "data_wait", "memory", "norms", "param_norm", "router_entropy", "router_load_balance", "router_z",
              "router_dropped", "router_left_behind", "router_expert_usage", "router_confidence", "router_losses",
              "accuracy", "dropped_by_position", "mixing_shard", "mixing_field"}
EXPERT_VALUE = r"step [\d,]+ · expert \d+ · [\d.]+ %"
CHARTS_OF_ANY_RUN = {"loss", "accuracy", "heldout", "lr", "shares", "denoisers", "throughput", "data_wait", "norms", "router_losses"}
BYTES_AT_MOST = 8_000_000


def millrace(*arguments, code=0):
    done = subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    if done.returncode != code:
        raise AssertionError(f"{arguments}: exit code {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}")
    return done


def data_of(folder):
    return json.loads(millrace("report", folder, "--json").stdout)


class InFolder(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-report-"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)
        super().tearDownClass()


class Reported(InFolder):
    """A long run and its report."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.long = synthetic_run.write(cls.folder / "long")
        cls.page_of_long = pathlib.Path(millrace("report", cls.long).stdout.strip())
        cls.data = data_of(cls.long)


class Report(Reported):
    def test_shows_where_the_run_stands(self):
        data = self.data
        self.assertEqual((data["name"], data["step"], data["total_steps"]), ("mill-8b", 20_000, 20_000))
        self.assertEqual(data["status"], "interrupted", "no process holds it, and no summary says that it ended")
        self.assertEqual([phase["from_step"] for phase in data["phases"]], [0, 12_000])
        self.assertEqual(data["skipped"]["count"], 2)
        self.assertEqual(data["rejects"]["counts"], {"code": {"missing_field": 13}, "prose": {"bad_json": 40, "bad_utf8": 26}})
        self.assertEqual([bool(one["damage"]) for one in data["checkpoints"]], [True, False])

    def test_says_what_was_changed_on_the_way(self):
        old, new = self.data["changes"]
        self.assertEqual((old["step"], old["time"], old["changes"]), (None, None, ["run.toml: + seed = 3"]))
        self.assertEqual((new["step"], new["time"]), (10_000, "2026-01-02T03:04:05Z"))
        self.assertEqual(new["changes"][0], "train.learning_rate 4 -> 2")
        self.assertEqual((old["free"], new["free"]), ([], ['name "a" -> "b"']))

    def test_a_run_is_running_while_a_process_holds_it(self):
        folder = synthetic_run.write(self.folder / "running", steps=4000, done=3000)
        with open(folder / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            running = data_of(folder)
        self.assertEqual(running["status"], "running")
        self.assertAlmostEqual(running["seconds_left"], 1000 * 0.315, delta=20)
        (folder / "summary.json").write_text('{"end": "complete", "steps": 3000}')
        self.assertEqual(data_of(folder)["status"], "complete")
        (folder / "summary.json").write_text('{"end": "bad_steps", "steps": 3000}')
        self.assertEqual(data_of(folder)["status"], "interrupted", "train says how it goes on")

    def test_json_of_another_shape_does_no_harm(self):
        folder = synthetic_run.write(self.folder / "odd", steps=40, done=30)
        before = data_of(folder)
        with open(folder / "metrics.jsonl", "a") as lines:
            lines.write('\n{"step": 31, "tokens": 1, "ledger": {"a": {"b": 1, "c": [1]}}}\n')
        with open(folder / "rejects.jsonl", "a") as lines:
            lines.write('\n{"corpus": null, "cause": 3}\n')
        (folder / "summary.json").write_text('{"end": 1, "steps": 31}')
        after = data_of(folder)
        self.assertEqual(after["status"], "interrupted")
        self.assertEqual(after["rejects"]["counts"], before["rejects"]["counts"])

    def test_thinning_keeps_extremes_and_means_and_each_step_once(self):
        lines = [json.loads(line) for line in (self.long / "metrics.jsonl").read_text().splitlines()[:-1]]
        losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
        steps = self.data["metrics"]["steps"]
        curve = steps["curves"]["loss"]
        self.assertLess(len(steps["step"]), 4097)
        self.assertEqual(steps["step"], sorted(steps["step"]))
        self.assertAlmostEqual(max(curve["value"]), max(losses.values()), delta=1e-5)
        self.assertAlmostEqual(min(curve["value"]), min(losses.values()), delta=1e-5)
        width = steps["rows_per_bucket"]
        first = [losses[step] for step in sorted(losses)[:width]]
        self.assertAlmostEqual(curve["mean"][0], sum(first) / width, delta=1e-5)
        self.assertEqual(len(curve["mean"]), -(-len(losses) // width))

    def test_shares_are_counted_within_each_phase(self):
        shares = self.data["metrics"]["shares"]
        for corpus, share in synthetic_run.SHARES[1].items():
            self.assertAlmostEqual(shares["curves"][f"corpus/{corpus}"]["value"][-1], share, delta=0.01)
        self.assertAlmostEqual(shares["curves"]["denoiser/causal"]["value"][-1], 1, delta=1e-6)

    def test_the_page_is_one_bounded_file(self):
        text = self.page_of_long.read_text()
        self.assertLess(len(text), BYTES_AT_MOST)
        self.assertEqual(self.page_of_long, self.long / "report.html")
        self.assertIn("Copyright (c) 2022 Leon Sorokin", text)
        self.assertNotRegex(text, r'(src|href)="(?!data:)')
        elsewhere = self.folder / "elsewhere.html"
        millrace("report", self.long, "--out", elsewhere)
        self.assertTrue(elsewhere.exists())

    def test_refuses_what_is_no_run_folder(self):
        (self.folder / "other").mkdir()
        self.assertIn("no such folder", millrace("report", self.folder / "nowhere", code=2).stderr)
        self.assertIn("not a run folder", millrace("report", self.folder / "other", code=2).stderr)


class Mixing(InFolder):
    """How well rows are mixed: what inspect --stats says of them, kept for the page."""

    ROWS, WINDOW = 240, 30

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.run_file = tiny_run.write_run(cls.folder / "input")
        cls.data = cls.folder / "input/data"
        documents = [json.loads(line) for line in (cls.data / "prose.jsonl").read_text().splitlines()]
        (cls.data / "prose.jsonl").write_text("".join(
            json.dumps({**document, "lang": "de" if i < 100 else "en"}) + "\n" for i, document in enumerate(documents)))
        cls.run_folder = cls.folder / "run"
        cls.kept = cls.run_folder / "mixing.json"
        millrace("train", cls.run_file, "--run-dir", cls.run_folder)

    def setUp(self):
        self.kept.unlink(missing_ok=True)

    def report(self, *arguments, code=0):
        return millrace("report", self.run_folder, "--json", *arguments, code=code)

    def mixing(self, *arguments):
        return json.loads(self.report(*arguments).stdout)["mixing"]

    def inspect(self, *arguments):
        done = millrace("inspect", self.run_file, "--stats", "--json", "--window-rows", self.WINDOW, *arguments)
        return json.loads(done.stdout)["mixing"]

    def expect_the_same(self, mixing, inspected):
        for key in ("first_row", "rows", "batch_rows", "window_rows", "shuffles"):
            self.assertEqual(mixing[key], inspected[key])
        for corpus, wanted in zip(mixing["corpora"], inspected["corpora"], strict=True):
            for i, distance in enumerate(wanted["distances"]):
                curves = mixing["curves"][i]["from_rows"]
                self.assertEqual((mixing["curves"][i]["by"], distance["by"]), (("shard", "lang")[i],) * 2)
                for key in ("found", "shuffled"):
                    values = dict(zip(curves["step"], curves["curves"][f"{key}/{corpus['name']}"]["value"]))
                    for window in distance["windows"]:
                        self.assertAlmostEqual(values[-(-window["end_row"] // 4)], window["from_rows"][key], delta=1e-6)
                distance["windows"] = len(distance["windows"])
            self.assertEqual(corpus, wanted)

    def test_is_that_of_the_rows_trained_on(self):
        self.expect_the_same(self.mixing("--mixing", "--window-rows", self.WINDOW, "--by", "lang"),
                             self.inspect("--rows", self.ROWS, "--by", "lang"))
        self.expect_the_same(self.mixing("--mixing", "--window-rows", self.WINDOW, "--rows", 100),
                             self.inspect("--from", 140, "--rows", 100))

    def test_is_compared_with_an_epoch_that_an_index_counted(self):
        index = self.data / "millrace-index.json"
        millrace("index", self.data, "--vocab", self.folder / "input/vocab.model", "--holdout", 0.05, "--out", index)
        try:
            mixing = self.mixing("--mixing", "--window-rows", self.WINDOW, "--by", "lang")
        finally:
            index.unlink()
            index.with_name("millrace-index.rejects.jsonl").unlink()
        for curves in mixing["curves"]:
            self.assertEqual(curves["from_epoch"]["step"], curves["from_rows"]["step"])
        self.assertGreater(mixing["corpora"][0]["distances"][1]["from_epoch"]["mean"]["found"], 0)

    def test_is_kept_for_later_reports_until_the_run_is_another(self):
        self.assertIsNone(self.mixing())
        measured = self.mixing("--mixing", "--window-rows", self.WINDOW)
        self.assertFalse(measured["run_changed"])
        self.data.rename(self.data.with_name("gone"))
        try:
            self.assertEqual(self.mixing(), measured)
            self.assertIn("data", self.report("--mixing", code=2).stderr)
            self.assertEqual(self.mixing(), measured, "measuring again failed")
        finally:
            self.data.with_name("gone").rename(self.data)
        text = (self.run_folder / "run.toml").read_text()
        (self.run_folder / "run.toml").write_text(text.replace("shuffle_tokens = 2000", "shuffle_tokens = 2001"))
        self.assertTrue(self.mixing()["run_changed"])
        (self.run_folder / "run.toml").write_text(text)

    def test_windows_end_at_steps_of_the_run(self):
        """Also where its first row comes behind another run's steps."""
        checkpoint = sorted((self.run_folder / "checkpoints").iterdir())[-1]
        run = self.folder / "behind"
        millrace("train", self.run_file, "--run-dir", run, "--from", checkpoint, "--set", "train.tokens=2048")
        mixing = json.loads(millrace("report", run, "--json", "--mixing", "--window-rows", 16).stdout)["mixing"]
        self.assertEqual((mixing["first_row"], mixing["rows"]), (0, 32))
        before = int(checkpoint.name.split("-")[1])
        self.assertGreater(before, 0)
        self.assertEqual(mixing["curves"][0]["from_rows"]["step"], [before + 4, before + 8])

    def test_too_few_rows_for_windows_have_pairs_alone(self):
        mixing = self.mixing("--mixing")
        self.assertEqual((mixing["window_rows"], mixing["curves"]), (1000, []))
        self.assertGreater(mixing["corpora"][0]["pairs"]["found"], 0)

    def test_what_is_mixed_badly_is_told_with_what_to_do(self):
        run_file = self.folder / "input/plain.toml"
        run_file.write_text(self.run_file.read_text().replace("shuffle_tokens = 2000", "shuffle_tokens = 0").replace("15_360", "10_240"))
        run = self.folder / "plain"
        millrace("train", run_file, "--run-dir", run)
        advice = json.loads(millrace("report", run, "--json", "--mixing").stdout)["mixing"]["advice"]
        self.assertTrue(any(one.startswith("prose: ") and "raise shuffle_tokens" in one for one in advice), advice)

    def test_needs_a_trained_run_and_is_asked_for(self):
        for arguments in (("--by", "lang"), ("--rows", 10), ("--window-rows", 10)):
            self.assertIn(f"{arguments[0]} says how --mixing measures", self.report(*arguments, code=2).stderr)
        begun = self.folder / "begun"
        shutil.copytree(self.run_folder, begun)
        (begun / "metrics.jsonl").write_text("")
        self.assertIn("not trained on any row yet", millrace("report", begun, "--mixing", code=2).stderr)
        self.assertFalse((begun / "mixing.json").exists())
        self.assertIn("not a run folder", millrace("report", self.data, "--mixing", code=2).stderr)
        self.assertFalse((self.data / "mixing.json").exists())


@unittest.skipIf(browser.chromium() is None, "no Chromium here: scripts/deps.sh test installs it")
class Shown(InFolder):
    """Pages in a browser."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser = browser.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.__exit__()
        super().tearDownClass()

    def expect_quiet(self):
        self.assertEqual(self.browser.errors, [])
        self.assertEqual(self.browser.network(), [])

    def hover(self, selector, down=0.5):
        self.browser.run(f"document.querySelector('{selector}').scrollIntoView({{block: 'center'}})")
        self.browser.frames()
        place = self.browser.run(
            f"(() => {{ const box = document.querySelector('{selector}').getBoundingClientRect();"
            f" return [box.left + box.width / 2, box.top + box.height * {down}]; }})()")
        self.browser.hover(*place)
        self.browser.frames()

    def legend(self, chart):
        return self.browser.run(f"[...document.querySelectorAll('#{chart} .u-legend .u-value')].map((one) => one.textContent)")

    def expect_charts(self, wanted):
        drawn = self.browser.run(
            "Object.entries(charts).filter(([, one]) => one.data).map(([id, one]) =>"
            " [id, one.data.slice(1).some((ys) => ys.some((y) => y !== null))])")
        self.assertEqual({name for name, has_data in drawn if has_data}, wanted)
        for chart in wanted:
            with self.subTest(chart=chart):
                self.browser.hover(0, 0)
                self.browser.frames()
                at_rest = self.legend(chart)
                self.hover(f"#{chart} .u-over")
                values = self.legend(chart)
                self.assertNotEqual(values[0], at_rest[0], "another step than the last")
                self.assertTrue(any(re.search(r"\d", value) for value in values[1:]), values)

    def expect_page_of_a_run(self, run, charts, *arguments):
        """At least these charts are drawn, and every chart has data."""
        self.browser.open(millrace("report", run, "--out", self.folder / "of-a-run.html", *arguments).stdout.strip())
        drawn = set(self.browser.run("Object.keys(charts)")) - {"experts"}
        self.assertLessEqual(charts, drawn)
        self.expect_charts(drawn)
        self.hover("#experts canvas", 0.3)
        self.assertRegex(self.browser.run("document.querySelector('#experts .value').textContent"), EXPERT_VALUE)
        self.expect_quiet()


class Page(Reported, Shown):
    def test_every_chart_has_data_and_shows_values(self):
        self.browser.open(self.page_of_long)
        self.expect_charts(ALL_CHARTS)
        self.assertEqual(self.browser.run("charts.experts.map((one) => [one.experts.length, one.steps.length > 50])"),
                         [[synthetic_run.EXPERTS, True]] * synthetic_run.LAYERS)
        self.hover("#experts canvas", 0.3)
        self.assertRegex(self.browser.run("document.querySelector('#experts .value').textContent"), EXPERT_VALUE)
        self.assertEqual(self.browser.run("[...document.querySelectorAll('#rejects .bars b')].map((one) => one.textContent)"),
                         ["40", "26", "13"])
        self.assertEqual(self.browser.run("document.querySelectorAll('#checkpoints tbody tr').length"), 2)
        self.assertEqual(self.browser.run("document.querySelectorAll('#changes tbody tr').length"), 2)
        self.assertEqual(self.browser.run("changedSteps().join()"), "10000")
        self.assertIn("batch_rows", self.browser.run("document.querySelector('#settings').textContent"))
        self.assertEqual(self.browser.run("[...document.querySelectorAll('#mixing table')].map((one) => one.querySelectorAll('tbody tr').length)"),
                         [3, 12])
        far, changed = self.browser.run("[...document.querySelectorAll('#mixing .note')].map((one) => one.textContent)")
        self.assertRegex(far, r"^code: windows are 0\.\d+ from all these rows by lang, .* raise shuffle_memory")
        self.assertRegex(changed, r"^The run was changed since.* millrace report .* --mixing$")
        self.browser.run("(() => { const made = document.querySelector('#mixing_field select'); made.value = 'from_epoch';"
                         " made.dispatchEvent(new Event('change')); })()")
        self.assertIn("the corpus's epoch", self.browser.run("document.querySelector('#mixing_field .about').textContent"))
        self.expect_quiet()

    def test_switches_work_and_nothing_overflows(self):
        self.browser.open(self.page_of_long)
        background = "getComputedStyle(document.body).backgroundColor"
        light = self.browser.run(background)
        self.browser.run("byId('log').click()")
        self.assertEqual(self.browser.run("[charts.loss.scales.y.distr, charts.memory.scales.y.distr]"), [3, 1])
        before = self.browser.run("charts.loss.data[2].slice(0, 50)")
        self.browser.run("byId('smoothing').value = 95; byId('smoothing').dispatchEvent(new Event('input'))")
        self.assertNotEqual(self.browser.run("charts.loss.data[2].slice(0, 50)"), before)
        self.browser.run("byId('theme').click()")
        self.assertNotEqual(self.browser.run(background), light)
        self.expect_charts(ALL_CHARTS)
        self.assertEqual(self.browser.run("document.documentElement.scrollWidth"), 1280)
        self.expect_quiet()

    def test_follows_the_system_to_dark(self):
        with browser.Browser(dark=True) as dark:
            dark.open(self.page_of_long)
            self.assertTrue(dark.run("isDark()"))
            self.assertEqual(dark.errors, [])

    def test_shows_a_real_run(self):
        run_file = tiny_run.write_run(self.folder / "tiny-input")
        run = self.folder / "tiny"
        millrace("train", run_file, "--run-dir", run)
        self.expect_page_of_a_run(run, CHARTS_OF_ANY_RUN)
        command = self.browser.run("document.querySelector('#mixing .empty').textContent").split("with: ")[1]
        self.assertEqual(command, f"millrace report {run} --mixing")
        self.expect_page_of_a_run(run, CHARTS_OF_ANY_RUN | {"mixing_shard"}, *command.split()[3:], "--window-rows", 30)
        self.assertEqual(self.browser.run("[...document.querySelectorAll('#mixing tbody td:first-child')].map((one) => one.textContent)"),
                         ["prose", "code"] * 2)
        self.assertEqual(self.browser.run("byId('status').textContent"), "complete")
        self.assertIn("code: bad_json", self.browser.run("document.querySelector('#rejects').textContent"))
        self.assertTrue(all(one["damage"] == "" for one in data_of(run)["checkpoints"]))

    def test_says_what_a_run_began_with(self):
        run_file = tiny_run.write_run(self.folder / "from-input")
        old, new = self.folder / "from-old", self.folder / "from-new"
        millrace("train", run_file, "--run-dir", old, "--set", "train.tokens=1024")
        millrace("train", run_file, "--run-dir", new, "--from", old / "checkpoints/step-000004", "--set", "train.tokens=512")
        self.browser.open(millrace("report", new).stdout.strip())
        self.assertIn("weights, optimizer and step 4 of", self.browser.run("byId('notes').textContent"))
        self.assertEqual(self.browser.run("document.querySelector('progress').value"), 1)
        self.assertIn("6of 6 (100", self.browser.run("byId('glance').textContent"))
        (new / "metrics.jsonl").write_text("")
        self.browser.open(millrace("report", new).stdout.strip())
        self.assertIn("No step has been logged yet", self.browser.run("byId('notes').textContent"))
        self.assertEqual(self.browser.run("document.querySelector('progress').value"), 0)

    def test_says_that_an_empty_run_is_empty(self):
        folder = self.folder / "empty"
        synthetic_run.write_configuration(folder, 100)
        self.browser.open(millrace("report", folder).stdout.strip())
        self.assertIn("No step has been logged yet", self.browser.run("byId('notes').textContent"))
        self.expect_quiet()


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    unittest.main(verbosity=2)

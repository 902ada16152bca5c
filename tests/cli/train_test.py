"""millrace train, eval and generate from outside: train_test.py MILLRACE"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run

MILLRACE = None
CLOCK = ("tokens_per_s", "step_s", "data_wait_s", "limit_share", "memory_bytes", "ranks",
         "exchange_s")
STEPS = 60


def millrace(*arguments, code=0):
    done = subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    if done.returncode != code:
        raise AssertionError(f"{arguments}: exit code {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}")
    return done


def metrics(folder):
    """The lines of metrics.jsonl as text, without what depends on the clock: digits are compared as they are written."""
    lines = []
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line, parse_float=str)
        lines.append({key: value for key, value in record.items() if key not in CLOCK})
    return lines


class Train(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-train-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input", three_phases=True)
        cls.whole = cls.folder / "whole"
        cls.output = millrace("train", cls.run_file, "--run-dir", cls.whole, "--threads", 2).stdout

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def newest(self):
        return sorted((self.whole / "checkpoints").glob("step-*"))[-1]

    def expect_same_run(self, folder):
        self.assertEqual(metrics(folder), metrics(self.whole))
        step = f"step-{STEPS:06}"
        for file in ("model.safetensors", "optimizer.safetensors", "unigram.safetensors"):
            self.assertEqual((folder / "checkpoints" / step / file).read_bytes(),
                             (self.whole / "checkpoints" / step / file).read_bytes())
        mine, other = (json.loads((f / "summary.json").read_text()) for f in (folder, self.whole))
        self.assertEqual({entry["phase"] for entry in mine["ledger"]}, {0, 1, 2})
        for key in ("ledger", "shares", "records", "losses", "evaluations", "unigram", "rows"):
            self.assertEqual(mine[key], other[key], key)
        self.assertEqual((folder / "rejects.jsonl").read_text(), (self.whole / "rejects.jsonl").read_text())

    def test_later_phases_can_be_changed_and_the_past_cannot(self):
        folder = self.folder / "changed"
        source = self.folder / "changed-input"
        run_file = tiny_run.write_run(source)
        millrace("train", run_file, "--run-dir", folder, "--set", "train.tokens=2560")
        tiny_run.write_shards(source / "data", "poems", 3, 500)
        (source / "later.toml").write_text(
            'name = "later"\nextend = "mix.toml"\nremove = ["code"]\nnormalize = true\n'
            '[[corpus]]\nname = "poems"\nshare = 70\nshards = ["poems.jsonl"]\n'
        )
        text = run_file.read_text()
        second = text.index("[[phase]]", text.index("[[phase]]") + 1)
        run_file.write_text(text[:second] + text[second:].replace('"mix.toml"', '"later.toml"', 1))
        resume = ("train", run_file, "--run-dir", folder, "--resume")
        self.assertIn('phase.1.mix.corpus ["prose", "code"] -> ["prose", "poems"]', millrace(*resume, code=2).stderr)
        before = (folder / "run.toml").read_text()
        error = millrace(*resume, "--accept-changes", "--set", "seed=4", code=2).stderr
        self.assertIn("rows that were already trained on", error)
        self.assertIn("seed 3 -> 4", error)
        self.assertEqual((folder / "run.toml").read_text(), before)
        millrace(*resume, "--accept-changes")
        losses = [[line["loss"] for line in metrics(run) if "loss" in line][:10] for run in (folder, self.whole)]
        self.assertEqual(*losses, "what was trained on stays")
        consumed = {(entry["phase"], entry["corpus"]) for entry in json.loads((folder / "summary.json").read_text())["ledger"]}
        self.assertEqual(consumed, {(0, "prose"), (0, "code"), (1, "prose"), (1, "poems")})
        change, = [json.loads(line) for line in (folder / "changes.jsonl").read_text().splitlines()]
        self.assertIn("poems", str(change["changes"]))
        self.assertEqual(change["step"], 10)
        self.assertRegex(change["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertIn("poems", metrics(folder)[-1]["eval"])

    def test_keys_of_a_phase_change_at_its_first_step_and_are_marked(self):
        folder = self.folder / "keys"
        # The second phase's first row, 11, is in the middle of step 3's: 8 to 11.
        sets = ["phase.0.until=704", "phase.1.model.router_z_loss_factor=0.5", "phase.1.train.clip_norm=0.25",
                "phase.1.objective.name=other", "train.tokens=1280", "eval.tokens=0"]
        words = [word for key in sets for word in ("--set", key)]
        millrace("train", self.run_file, "--run-dir", folder, *words)
        self.assertEqual([(line["step"], line["keys"]) for line in metrics(folder) if "keys" in line],
                         [(4, {"router_z_loss_factor": "0.5", "clip_norm": "0.25"})])
        for line in metrics(folder):
            factor = 0.5 if line["step"] >= 4 else 1e-4
            parts = sum(float(line[key]) * weight for key, weight in
                        (("ce", 1), ("z_loss", 1), ("aux_loss", 0.01), ("router_z_loss", factor)))
            self.assertAlmostEqual(float(line["loss"]), parts, places=6)
        said = (folder / "train.log").read_text()
        self.assertIn("phase 2 from step 4: router_z_loss_factor 0.5 (before 0.0001), clip_norm 0.25 (before 0)", said)
        self.assertIn('name = "other"', (folder / "objectives/phase-2.toml").read_text())
        self.assertIn("[phase.model]\nrouter_z_loss_factor = 0.5\n\n[phase.train]\nclip_norm = 0.25\n",
                      (folder / "run.toml").read_text())
        millrace("report", folder)
        self.assertIn('"keys":{"router_z_loss_factor":0.5,"clip_norm":0.25}', (folder / "report.html").read_text())

    def test_logs_each_step_once(self):
        lines = metrics(self.whole)
        self.assertEqual([line["step"] for line in lines if "eval" not in line], list(range(1, STEPS + 1)))
        # The first phase, which is UL2, is over after step 20.
        self.assertEqual([(line["step"], line["overall"]["objective"]) for line in lines if "eval" in line],
                         [(0, "causal"), (0, "ul2"), (25, "causal"), (50, "causal"), (60, "causal")])
        for key in ("tokens", "raw_tokens", "loss_tokens", "loss", "ce", "aux_loss", "router_z_loss", "z_loss", "lr",
                    "grad_norm", "accuracy"):
            self.assertIn(key, lines[2])

    def test_logs_the_ledger_so_far_every_ten_steps_and_at_the_last(self):
        lines = {line["step"]: line["ledger"] for line in metrics(self.whole) if "ledger" in line}
        self.assertEqual(sorted(lines), [10, 20, 30, 40, 50, 60])
        totals = {}
        for entry in json.loads((self.whole / "summary.json").read_text())["ledger"]:
            counts = totals.setdefault(entry["corpus"], {}).setdefault(entry["denoiser"], [0, 0, 0])
            for i, key in enumerate(("examples", "raw_tokens", "loss_tokens")):
                counts[i] += entry[key]
        self.assertEqual(lines[STEPS], totals)
        self.assertEqual(set(totals), {"prose", "code", "verse"})

    def test_ends_below_the_unigram_bound(self):
        summary = json.loads((self.whole / "summary.json").read_text())
        self.assertEqual(summary["end"], "complete")
        self.assertEqual(summary["rows"], 4 * STEPS)
        self.assertLess(summary["unigram"]["loss"], 0.9 * summary["unigram"]["bound"])
        self.assertIn("unigram bound", self.output)
        for phase in summary["shares"]:
            self.assertTrue(all(corpus["within_one_example"] for corpus in phase["corpora"]), phase)

    def test_names_what_was_rejected(self):
        rejects = [json.loads(line) for line in (self.whole / "rejects.jsonl").read_text().splitlines()]
        self.assertEqual([(r["corpus"], r["record"], r["line"], r["cause"]) for r in rejects], [("code", 5, 6, "bad_json")])
        records = json.loads((self.whole / "summary.json").read_text())["records"]
        self.assertEqual(records["code"]["rejected"], {"bad_json": 1})
        self.assertIn("code: 1 of", self.output)

    def interrupted_run(self, folder):
        """A run that got SIGINT after its first step, behind two lines of evaluation; its exit code is 0 if it was done before the signal came."""
        process = subprocess.Popen([MILLRACE, "train", self.run_file, "--run-dir", folder], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        while process.poll() is None:
            if (folder / "metrics.jsonl").exists() and len((folder / "metrics.jsonl").read_text().splitlines()) >= 3:
                process.send_signal(signal.SIGINT)
                break
            time.sleep(0.005)
        return process, process.communicate(timeout=120)[1]

    def endless_run(self, folder, *options):
        """A run that has logged its first line and continues for minutes."""
        endless = self.run_file.parent / "endless.toml"
        endless.write_text(self.run_file.read_text().replace("until = 15_360", "until = 15_360_000"))
        process = subprocess.Popen([MILLRACE, "train", endless, "--run-dir", folder, *options], text=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        log = folder / "metrics.jsonl"
        while process.poll() is None and not (log.exists() and log.stat().st_size > 0):
            time.sleep(0.002)
        return process

    def test_saves_when_interrupted(self):
        for attempt in range(5):
            folder = self.folder / f"interrupted-{attempt}"
            process, log = self.interrupted_run(folder)
            if process.returncode != 0:
                break
        self.assertEqual(process.returncode, 130, log)
        self.assertIn("--resume", log)
        done = int(sorted((folder / "checkpoints").glob("step-*"))[-1].name.removeprefix("step-"))
        self.assertEqual(metrics(folder)[-1]["step"], done)
        millrace("train", folder, "--resume")
        self.expect_same_run(folder)

    def test_signals_in_a_row_are_one_request(self):
        """timeout(1) signals the program and then its group, itself among them."""
        process = self.endless_run(self.folder / "twice", "--set", "train.batch_rows=800")
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=120)[1]
        self.assertEqual(process.returncode, 130)
        self.assertIn("--resume", log)

    def test_no_thread_that_computes_can_be_given_a_signal(self):
        """A signal handler's frame would overwrite data that oneDNN keeps below the stack pointer."""
        process = self.endless_run(self.folder / "signals")
        process.send_signal(signal.SIGSTOP)
        tasks = pathlib.Path(f"/proc/{process.pid}/task")
        while True:  # A thread that waits for signals unblocks them until the stop ends it.
            self.assertIsNone(process.poll(), "the run is over")
            threads = [dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
                       for task in tasks.iterdir()]
            if all(thread["State"].split()[0] == "T" for thread in threads):
                break
            time.sleep(0.002)
        process.kill()
        process.communicate()
        taken = (1 << (signal.SIGINT - 1)) | (1 << (signal.SIGTERM - 1))
        self.assertGreater(len(threads), 2)
        for thread in threads:
            self.assertEqual(int(thread["SigCgt"], 16) & taken, 0, "a handler")
            self.assertEqual(int(thread["SigBlk"], 16) & taken, taken, "a thread that is not shielded")

    def test_a_complete_run_is_not_trained_again(self):
        before = metrics(self.whole)
        millrace("train", self.whole, "--resume")
        self.assertEqual(metrics(self.whole), before)

    def test_refuses_a_folder_with_a_run(self):
        self.assertIn("--resume", millrace("train", self.run_file, "--run-dir", self.whole, code=2).stderr)

    def test_shows_what_changed(self):
        changed = millrace("train", self.run_file, "--run-dir", self.whole, "--resume", "--set", "train.learning_rate=0.5",
                           code=2)
        self.assertIn("\n  train.learning_rate 4 -> 0.5\n", changed.stderr)
        self.assertIn("--accept-changes", changed.stderr)

    def test_refuses_another_vocabulary(self):
        other = self.folder / "other.model"
        other.write_bytes(tiny_run.vocabulary(tiny_run.WORDS[::-1]))
        refused = millrace("train", self.run_file, "--run-dir", self.whole, "--resume", "--set", f"vocab={other}", code=2)
        self.assertIn("another vocabulary", refused.stderr)

    def half_a_run(self, name):
        """A run of its own data that was stopped half-way; returns its run file and run folder."""
        folder = self.folder / name
        run_file = tiny_run.write_run(folder / "input")
        millrace("train", run_file, "--run-dir", folder / "run", "--set", "train.tokens=5120")
        return run_file, folder / "run"

    def refusal_to_go_on(self, run_file, folder):
        """The output of resuming; the run folder must be unchanged."""
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        refused = millrace("train", run_file, "--run-dir", folder, "--resume", "--accept-changes", code=2).stderr
        self.assertEqual({path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}, before)
        return refused

    def refused_change(self, run_file, folder, *sets, code=2):
        """The message about a change; the run's configuration and logs must be unchanged."""
        def contents():
            return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "train.log"}

        before = contents()
        options = [word for key in sets for word in ("--set", key)]
        said = millrace("train", run_file, "--run-dir", folder, "--resume", "--accept-changes", *options, code=code).stderr
        self.assertEqual(contents(), before)
        return said

    def test_changes_that_cannot_be_are_refused_before_anything_is_written(self):
        run_file, folder = self.half_a_run("refused-changes")
        for tokens in (4096, 1024):
            said = self.refused_change(run_file, folder, f"train.tokens={tokens}")
            self.assertIn(f"is to have {tokens} tokens", said)
            self.assertIn("5120 were trained on already", said)
        self.assertIn("No such file", self.refused_change(run_file, folder, "vocab=nowhere.model"))
        self.assertIn("hidden_size is 32, expected 64", self.refused_change(run_file, folder, "model.hidden_size=64"))
        self.assertIn("keeps its train.optimizer",
                      self.refused_change(run_file, folder, "train.optimizer=adamw", "train.learning_rate=0.001"))
        mix = run_file.parent / "mix.toml"
        mix.write_text(mix.read_text().split("[[corpus]]\nname = \"code\"")[0].replace("share = 70", "share = 100"))
        self.assertIn('phase.0.mix.corpus ["prose", "code"] -> ["prose"]', self.refused_change(run_file, folder))

    def test_what_changes_neither_rows_nor_losses_is_not_asked_about(self):
        run_file, folder = self.half_a_run("free-changes")
        other = run_file.parent / "moved.model"
        (run_file.parent / "vocab.model").rename(other)
        mix = run_file.parent / "mix.toml"
        mix.write_text(mix.read_text().replace('name = "tiny"', 'name = "huge"'))
        sets = ["name=other", f"vocab={other}", "checkpoint.keep_last=1", "checkpoint.every_steps=11",
                "log.details_every_steps=3", "eval.every_steps=50", "data.on_bad_data=skip", "data.max_bad_fraction=0.5",
                "train.recompute=true", "train.max_bad_steps=3", "train.tokens=5120"]
        options = [word for key in sets for word in ("--set", key)]
        said = millrace("train", run_file, "--run-dir", folder, "--resume", "--threads", 1, *options).stderr
        self.assertIn("without effect on rows and losses: checkpoint.keep_last 2 -> 1", said)
        change, = [json.loads(line) for line in (folder / "changes.jsonl").read_text().splitlines()]
        self.assertEqual(change["changes"], [])
        self.assertIn("checkpoint.keep_last 2 -> 1", change["free"])
        self.assertIn('phase.0.mix.name "tiny" -> "huge"', change["free"])
        self.assertIn('name = "other"', (folder / "run.toml").read_text())

    def test_how_the_same_shards_are_named_is_not_asked_about(self):
        run_file, folder = self.half_a_run("other-patterns")
        mix = run_file.parent / "mix.toml"
        text = mix.read_text()
        options = ("--run-dir", folder, "--resume", "--threads", 1, "--set", "train.tokens=5120")
        for pattern in ("./prose.jsonl", "pro*.jsonl", "@list.txt"):
            (run_file.parent / "data/list.txt").write_text("prose.jsonl\n")
            mix.write_text(text.replace('"prose.jsonl"', f'"{pattern}"'))
            said = millrace("train", run_file, *options).stderr
            self.assertIn("without effect on rows and losses: phase.0.mix.corpus.prose.shards", said)
        (run_file.parent / "data/more.jsonl").write_text('{"text": "mill"}\n')
        mix.write_text(text.replace('"prose.jsonl"', '"*o*e.jsonl"'))
        self.assertIn("more.jsonl: extra", millrace("train", run_file, *options, code=2).stderr)

    def test_what_changes_rows_or_losses_is_asked_about_by_its_dotted_key(self):
        run_file, folder = self.half_a_run("asked-changes")
        for key, shown in {"train.micro_rows=4": "train.micro_rows 2 -> 4", "train.tokens=10240": "train.tokens 5120 -> 10240",
                           "eval.tokens=1000": "eval.tokens 2000 -> 1000", "model.router_topk=1": "model.router_topk 2 -> 1",
                           "data.holdout=0.1": "data.holdout 0.05 -> 0.1",
                           "train.clip_norm=1": "train.clip_norm (unset) -> 1"}.items():
            sets = ["--set", key] if "tokens=1" in key and "train" in key else ["--set", key, "--set", "train.tokens=5120"]
            refused = millrace("train", run_file, "--run-dir", folder, "--resume", *sets, code=2).stderr
            self.assertIn(f"\n  {shown}\nTo resume it with these changes", refused)

    def test_a_schedule_that_cannot_be_leaves_no_run_folder(self):
        folder = self.folder / "no-schedule"
        for sets in (["train.learning_rate=-1"], ["train.schedule=cosine", "train.warmup_steps=5000"]):
            options = [word for key in sets for word in ("--set", key)]
            said = millrace("train", self.run_file, "--run-dir", folder, *options, code=2).stderr
            key, value = sets[-1].split("=")
            self.assertIn(str(self.run_file), said)
            self.assertIn(f"{key.split('.')[-1]} is {value}", said)
            self.assertFalse(folder.exists())

    def test_goes_on_with_the_same_shards_wherever_they_stand_now(self):
        run_file, folder = self.half_a_run("moved-folder")
        remembered = [json.loads(line) for line in (folder / "shards.jsonl").read_text().splitlines()]
        self.assertEqual([(s["corpus"], s["shard"]) for s in remembered], [("prose", "prose.jsonl"), ("code", "code.jsonl")])
        elsewhere = self.folder / "elsewhere"
        (run_file.parent / "data").rename(elsewhere)
        tokens = ("--set", "train.tokens=10240")
        millrace("train", run_file, "--run-dir", folder, "--resume", "--accept-changes", "--data", elsewhere, *tokens)
        self.assertEqual(metrics(folder)[-1]["step"], 40)
        # Their new location needs no acceptance, and is stored.
        millrace("train", folder, "--resume")
        elsewhere.rename(run_file.parent / "data")
        millrace("train", run_file, "--run-dir", folder, "--resume", *tokens)
        self.assertIn(str(run_file.parent / "data"), (folder / "run.toml").read_text())

    def test_refuses_shards_that_changed_and_names_them(self):
        run_file, folder = self.half_a_run("changed-shard")
        shard = run_file.parent / "data" / "prose.jsonl"
        original, time_of_writing = shard.read_bytes(), shard.stat()
        middle = len(original) // 2
        edited = original[:middle] + bytes([original[middle] ^ 1]) + original[middle + 1:]
        for content, said in (
            (original[:-1000], f"prose.jsonl: changed: {len(original)} bytes then, {len(original) - 1000} now"),
            (edited, f"prose.jsonl: changed: {len(original)} bytes as then, but not the same"),
        ):
            with self.subTest(said=said):
                shard.write_bytes(content)
                os.utime(shard, ns=(time_of_writing.st_atime_ns, time_of_writing.st_mtime_ns))
                self.assertIn(said, self.refusal_to_go_on(run_file, folder))
        shard.write_bytes(original)
        millrace("train", run_file, "--run-dir", folder, "--resume", "--accept-changes")

    def test_refuses_shards_that_are_missing_and_names_them(self):
        run_file, folder = self.half_a_run("missing-shard")
        shard = run_file.parent / "data" / "prose.jsonl"
        shard.rename(shard.with_name("moved.jsonl"))
        self.assertIn("prose.jsonl: missing", self.refusal_to_go_on(run_file, folder))

    def test_refuses_shards_that_are_extra_and_names_them(self):
        run_file, folder = self.half_a_run("extra-shard")
        data = run_file.parent / "data"
        mix = run_file.parent / "mix.toml"
        mix.write_text(mix.read_text().replace("prose.jsonl", "pros*.jsonl"))
        shutil.copy(data / "prose.jsonl", data / "prose-2.jsonl")
        refused = self.refusal_to_go_on(run_file, folder)
        self.assertIn("prose-2.jsonl: extra", refused)
        self.assertNotIn("prose.jsonl:", refused)

    def test_names_ten_shards_and_counts_the_rest(self):
        run_file = tiny_run.write_run(self.folder / "many" / "input")
        data = run_file.parent / "data"
        lines = (data / "prose.jsonl").read_text().splitlines(keepends=True)
        for part in range(20):
            (data / f"prose-{part}.jsonl").write_text("".join(lines[part::20]))
        (data / "prose.jsonl").unlink()
        mix = run_file.parent / "mix.toml"
        mix.write_text(mix.read_text().replace("prose.jsonl", "prose-*.jsonl"))
        folder = self.folder / "many" / "run"
        millrace("train", run_file, "--run-dir", folder, "--set", "train.tokens=5120")
        for part in range(13):
            (data / f"prose-{part}.jsonl").unlink()
        refused = self.refusal_to_go_on(run_file, folder)
        self.assertEqual(refused.count(": missing"), 10)
        self.assertIn("and 3 more", refused)

    def test_a_directory_can_be_indexed_between_the_halves_of_a_run(self):
        run_file = tiny_run.write_run(self.folder / "indexed" / "input")
        data = run_file.parent / "data"
        mix = run_file.parent / "mix.toml"
        mix.write_text(mix.read_text().replace('["prose.jsonl"]', '["."]'))
        folder = self.folder / "indexed" / "run"
        millrace("train", run_file, "--run-dir", folder, "--set", "train.tokens=5120")
        millrace("index", data, "--out", data / "millrace-index.json")
        self.assertTrue((data / "millrace-index.rejects.jsonl").exists())
        millrace("train", run_file, "--run-dir", folder, "--resume", "--accept-changes")
        self.assertNotIn("rejects", (folder / "shards.jsonl").read_text())

    def test_a_run_that_remembers_no_shards_goes_on_with_a_warning(self):
        run_file, folder = self.half_a_run("old-run")
        (folder / "shards.jsonl").unlink()
        log = millrace("train", run_file, "--run-dir", folder, "--resume", "--accept-changes").stderr
        self.assertIn("did not record its shards", log)
        self.assertIn("prose.jsonl", (folder / "shards.jsonl").read_text())

    def test_wrong_usage_exits_2_with_one_message(self):
        new = self.folder / "new"
        bigger = self.folder / "bigger.model"
        bigger.write_bytes(tiny_run.vocabulary(tiny_run.WORDS + [f"word{i}" for i in range(500)]))
        (self.folder / "file").write_text("")
        for arguments in (
            ["train", self.folder / "missing.toml"],
            ["train", self.run_file, "--run-dir", new, "--set", "train.no_such_key=1"],
            ["train", self.run_file, "--run-dir", new, "--set", f"vocab={self.folder / 'missing.model'}"],
            ["train", self.run_file, "--run-dir", new, "--set", "model.vocab_size=12800"],
            ["train", self.run_file, "--run-dir", new, "--set", "checkpoint.keep_last=4294967295"],
            ["train", self.run_file, "--run-dir", new, "--set", "sequence_length=4294967360"],
            ["train", self.run_file, "--run-dir", new, "--data", self.folder / "nowhere"],
            ["train", self.run_file, "--run-dir", self.folder / "file" / "run"],
            ["eval", self.newest(), "--run", self.run_file, "--set", f"vocab={bigger}"],
            ["eval", self.folder, "--run", self.run_file],
            ["generate", self.newest(), "--prompt", "the", "--vocab", bigger],
            ["generate", self.newest()],
        ):
            with self.subTest(arguments=arguments):
                self.assertTrue(millrace(*arguments, code=2).stderr.strip())

    def test_evaluates_a_checkpoint_as_the_run_did(self):
        output = json.loads(millrace("eval", self.newest(), "--run", self.whole, "--json").stdout)
        last = json.loads((self.whole / "summary.json").read_text())["evaluations"]["last"]
        self.assertEqual(output["eval"], last["eval"])
        self.assertEqual(output["overall"], last["overall"])
        self.assertIsNone(output["own"], "the last phase is causal")
        self.assertIn("prose", millrace("eval", self.newest(), "--run", self.run_file, "--tokens", 500).stdout)

    def test_refuses_to_evaluate_a_damaged_checkpoint_or_a_run(self):
        error = millrace("eval", self.whole, "--run", self.whole, code=2).stderr
        self.assertIn("the folder of a run", error)
        self.assertIn(str(self.newest()), error)
        damaged = self.folder / "damaged"
        shutil.copytree(self.newest(), damaged)
        weights = damaged / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        self.assertIn("model.safetensors is damaged", millrace("eval", damaged, "--run", self.whole, code=1).stderr)

    def test_evaluates_with_the_objective_of_the_phase(self):
        evaluations = []
        for threads in (1, 2):
            folder = self.folder / f"own-{threads}"
            shown = millrace("train", self.run_file, "--run-dir", folder, "--threads", threads, "--set",
                             "train.tokens=5120", "--set", "eval.every_steps=10").stdout
            evaluations.append([line for line in metrics(folder) if "eval" in line])
        self.assertEqual(*evaluations)
        own = evaluations[0][1::2]
        self.assertEqual([(line["step"], line["overall"]["objective"]) for line in own],
                         [(0, "ul2"), (10, "ul2"), (20, "ul2")])
        self.assertEqual(len({line["overall"]["tokens"] for line in own}), 1)
        self.assertLess(float(own[-1]["overall"]["loss"]), float(own[0]["overall"]["loss"]))
        self.assertIsNone(own[-1]["overall"]["bits_per_byte"])
        self.assertIn("held out, ul2", shown)

        checkpoint = folder / "checkpoints/step-000020"
        last, = json.loads((folder / "summary.json").read_text())["evaluations"]["own"]
        output = json.loads(millrace("eval", checkpoint, "--run", folder, "--json").stdout)
        self.assertEqual(output["own"], {"objective": "ul2", "eval": last["last"]["eval"],
                                         "overall": last["last"]["overall"]})
        self.assertIn("ul2        prose", millrace("eval", checkpoint, "--run", folder).stdout)
        short = json.loads(millrace("eval", checkpoint, "--run", folder, "--tokens", 60, "--json").stdout)
        self.assertEqual(short["own"]["eval"], {"prose": None, "code": None, "verse": None})

    def test_starts_from_the_weights_of_a_checkpoint(self):
        folder = self.folder / "from"
        millrace("train", self.run_file, "--run-dir", folder, "--from", self.newest(), "--set", "train.tokens=1024")
        self.assertLess(float(metrics(folder)[2]["loss"]), 0.8 * float(metrics(self.whole)[2]["loss"]))

    def test_starts_from_the_same_weights_again_if_killed_before_the_first_checkpoint(self):
        folder = self.folder / "from-again"
        millrace("train", self.run_file, "--run-dir", folder, "--from", self.newest(), "--set", "train.tokens=1024")
        before = metrics(folder)
        for checkpoint in (folder / "checkpoints").iterdir():
            shutil.rmtree(checkpoint)
        millrace("train", folder, "--resume")
        self.assertEqual(metrics(folder), before)
        error = millrace("train", folder, "--resume", "--from", self.whole / "checkpoints", code=2).stderr
        self.assertIn("config.json", error)
        other = self.folder / "other-weights"
        shutil.copytree(self.newest(), other)
        self.assertIn("begun with", millrace("train", folder, "--resume", "--from", other, code=2).stderr)

    def test_gathers_the_held_out_text_anew_if_another_is_wanted(self):
        for key in ("data.holdout=0.02", "eval.tokens=500"):
            with self.subTest(key=key):
                fresh, changed = self.folder / f"fresh-{key}", self.folder / f"changed-{key}"
                other = ("--set", "train.tokens=256", "--set", key)
                millrace("train", self.run_file, "--run-dir", fresh, *other)
                millrace("train", self.run_file, "--run-dir", changed, "--set", "train.tokens=256")
                for checkpoint in (changed / "checkpoints").iterdir():
                    shutil.rmtree(checkpoint)
                millrace("train", self.run_file, "--run-dir", changed, "--resume", "--accept-changes", *other)
                file = "heldout.safetensors"
                self.assertEqual((changed / file).read_bytes(), (fresh / file).read_bytes())

    def test_generates_text(self):
        arguments = ["generate", self.newest(), "--prompt", "the river", "--tokens", 12, "--seed", 4]
        output = millrace(*arguments).stdout
        self.assertTrue(output.startswith("the river"), output)
        self.assertEqual(millrace(*arguments, "--threads", 1).stdout, output)
        self.assertLessEqual(len(json.loads(millrace(*arguments, "--json").stdout)["ids"]), 12)


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    unittest.main(verbosity=2)

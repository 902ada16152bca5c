"""Commands suggested by messages, --help and docs work as printed: suggestions_test.py MILLRACE messages|pages"""

import array
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import checkpoint_files
import tiny_run

MILLRACE = None
EOS = 1
ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("cli", "pipeline", "trainer", "stages", "model")
# In a source: a command with an option or a placeholder.
SUGGESTED = re.compile(r"millrace [a-z]+ (?:[a-z]+ )?(?:-|\{|\$)[^\"`\n]*")


def shell(command, folder, code=0):
    """Runs a command line in a folder, where `millrace` is the program under test."""
    environment = {key: value for key, value in os.environ.items() if key != "MILLRACE_DATA"}
    environment["PATH"] = f"{pathlib.Path(MILLRACE).parent}:{environment['PATH']}"
    process = subprocess.Popen(["sh", "-c", command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=environment, start_new_session=True)
    try:
        done = subprocess.CompletedProcess(command, code, *process.communicate(timeout=600))
    except BaseException:  # Whatever the shell began ends with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == code, f"{command}: exit code {process.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done


def commands_in(text):
    return re.findall(r"millrace [a-z-]+(?: .*)?$", text, re.MULTILINE)


class Messages(unittest.TestCase):
    """One test for each command that a source suggests, in a folder whose name needs shell quoting."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-suggestions-"))
        self.work = self.folder / "it's a $HOME"
        self.run_file = tiny_run.write_run(self.work)

    def tearDown(self):
        shutil.rmtree(self.folder)

    def millrace(self, *arguments, code=0):
        done = subprocess.run([MILLRACE, *map(str, arguments)], cwd=self.work, capture_output=True, text=True, timeout=600)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def suggested(self, text, beginning):
        """The only command in a text that begins like this."""
        (command,) = {one for one in commands_in(text) if one.startswith(beginning)}
        return command

    def interrupted_run(self):
        """The folder of a run that Ctrl-C ended, and its messages."""
        process = subprocess.Popen([MILLRACE, "train", self.run_file, "--run-dir", self.work / "a run", "--threads", "2"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        said += process.communicate(timeout=300)[1]
        self.assertEqual(process.returncode, 130, said)
        return self.work / "a run", said

    def test_an_interrupted_run_goes_on_with_the_command_it_prints(self):
        folder, said = self.interrupted_run()
        shell(self.suggested(said, "millrace train "), self.folder)
        self.assertEqual(json.loads((folder / "summary.json").read_text())["end"], "complete")

    def test_an_interrupted_run_goes_on_with_the_command_of_its_report(self):
        folder, _ = self.interrupted_run()
        report = json.loads(self.millrace("report", folder, "--json").stdout)
        self.assertEqual(report["status"], "interrupted")
        shell(report["resume"], self.folder)
        self.assertEqual(json.loads((folder / "summary.json").read_text())["end"], "complete")

    def test_a_reports_mixing_is_measured_by_the_command_it_names(self):
        folder = self.work / "a run"
        self.millrace("train", self.run_file, "--run-dir", folder, "--set", "train.tokens=2560", "--threads", 2)
        report = json.loads(self.millrace("report", folder, "--json").stdout)
        self.assertIsNone(report["mixing"])
        shell(report["measure_mixing"], self.folder)
        self.assertEqual(json.loads(self.millrace("report", folder, "--json").stdout)["mixing"]["rows"], 40)

    def test_a_run_whose_steps_were_bad_goes_on_with_the_command_it_prints(self):
        said = self.millrace("train", self.run_file, "--run-dir", self.work / "a run", "--set", "train.learning_rate=1e38",
                             "--set", "train.max_bad_steps=2", "--threads", 2, code=1).stderr
        command = self.suggested(said, "millrace train ")
        self.assertIn("--set train.learning_rate=5e+37", command)
        self.assertIn("steps in a row were skipped", shell(command, self.folder, code=1).stderr)

    def index_hint(self):
        return [line for line in self.millrace("mix", "plan", self.run_file).stdout.splitlines() if "exact: " in line]

    def available(self):
        plan = json.loads(self.millrace("mix", "plan", self.run_file, "--json").stdout)
        return {corpus["name"]: corpus for corpus in plan["corpora"]}

    def test_available_tokens_are_exact_after_the_command_that_mix_plan_prints(self):
        """With a text field and a holdout; compared with the documents themselves."""
        for shard in (self.work / "data").glob("*.jsonl"):
            text = shard.read_text().replace('{"text": ', '{"of": {"the page": ')
            shard.write_text("".join(line + "}\n" for line in text.splitlines() if line.endswith('"}')) * 8)
        mix = self.work / "mix.toml"
        mix.write_text(re.sub(r"(shards = .*)", r'\1\ntext_field = "of.the page"', mix.read_text()))
        (hint,) = self.index_hint()
        shell(hint.split("exact: ")[1], self.folder)
        self.assertEqual(self.index_hint(), [])
        self.millrace("preprocess", self.run_file, "--out", self.work / "tokens", "--format", "megatron")
        for name, corpus in self.available().items():
            self.assertTrue(corpus["from_manifest"])
            ids = array.array("H", (self.work / "tokens" / f"{name}_text_document.bin").read_bytes())
            self.assertEqual(corpus["available_tokens"], len(ids) - ids.count(EOS))

    def test_no_index_is_suggested_where_none_can_count(self):
        mix = self.work / "mix.toml"
        several = mix.read_text().replace("share = 30", 'share = 30\ntext_field = "body"')
        for shard in (self.work / "data").glob("*.jsonl"):
            shard.write_text(shard.read_text() * 8)
        (self.work / "data" / "code.jsonl").write_text((self.work / "data" / "code.jsonl").read_text().replace('"text"', '"body"'))
        mix.write_text(several)
        self.assertEqual(self.index_hint(), [])
        self.assertIn("not to be counted: prose, code: they have several layouts or text fields",
                      self.millrace("mix", "plan", self.run_file).stdout)

    def test_a_rows_part_in_a_wrong_place_is_found_by_the_command_it_prints(self):
        rows = self.work / "rows of it"
        self.millrace("preprocess", self.run_file, "--out", rows, "--format", "rows", "--tokens", 2560)
        other = self.work / "other"
        self.millrace("preprocess", self.run_file, "--out", other, "--format", "rows", "--tokens", 2560, "--set", "seed=4")
        part = next(rows.glob("part-*.rows")).name
        shutil.copy(other / part, rows / part)
        said = self.millrace("train", self.run_file, "--rows", rows, "--run-dir", self.work / "a run", "--set",
                             "train.tokens=2560", "--threads", 2, code=1).stderr
        shell(self.suggested(said, "millrace preprocess "), self.folder, code=1)

    def test_every_command_in_a_source_has_a_test_here(self):
        tried = ("millrace train {} --resume", "millrace train {4} --resume --accept-changes", "millrace index {} --vocab {}",
                 "millrace preprocess --check {}")
        for folder in FOLDERS:
            for source in sorted((ROOT / folder).rglob("*")):
                if source.suffix not in (".cpp", ".h", ".js", ".html"):
                    continue
                text = re.sub(r"footer\(.*?\);\n", "", source.read_text(), flags=re.S)  # Help is tested as printed.
                for command in SUGGESTED.findall(text):
                    if "///" in text.splitlines()[text[: text.index(command)].count("\n")]:
                        continue
                    self.assertTrue(command.startswith(tried), f"{source}: no test runs: {command}")


class Pages(unittest.TestCase):
    """Every command of --help and of the docs, in a folder that has what they name."""

    # Commands that would take long, or need more text or disk than there is.
    SHORTENED = {"init openmoe-8b": "init openmoe-nano", "--size 32000": "--size 310", "--size 8192": "--size 310", "--megabytes 48": "--megabytes 1",
                 "--tokens 1e9": "--tokens 2560",
                 "train.tokens=996147200": "phase.1.until=30720 --set train.tokens=20480"}
    FILLED_IN = {"--data D": "--data DATA", "VOCAB.model": "vocab.model", "IDS": "ids.safetensors", "OUT": "logits.safetensors",
                 "RUNDIR": "runs/mine", "FOLDER": "runs/mine", "RUN": "runs/mine", "--row N": "--row 1",
                 "SHARD:RECORD": "redpajama/c4/part-0.jsonl:7"}
    COMMANDS = ("sample", "index", "vocab train", "vocab show", "vocab export", "tokenize", "mix check", "mix plan", "mix diff",
                "keys", "inspect", "trace", "preprocess", "train", "plan-cluster", "eval", "init", "generate", "logits", "export",
                "import", "report", "status", "stop")
    # What a command says that has nothing to work on here: with exit code 2.
    REFUSED = {"millrace stop ": "nobody trains it"}
    if not pathlib.Path("/dev/nvidia0").exists():
        REFUSED["--device cuda"] = 'is "cuda", but'
    if not {"avx512_bf16", "amx_bf16"} & set(pathlib.Path("/proc/cpuinfo").read_text().split()):
        REFUSED["--precision bf16"] = '--precision is "bf16", but'

    @classmethod
    def setUpClass(cls):
        cls.temporary = pathlib.Path(tempfile.mkdtemp(prefix="millrace-pages-"))
        cls.work = cls.temporary / "work"  # Always the same folder, because runs store paths.
        cls.fill_work()
        shutil.copytree(cls.work, cls.temporary / "as made")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.temporary)

    @classmethod
    def fill_work(cls):
        work = cls.work
        run = tiny_run.write_run(work)
        for folder in ("mixes", "docs"):
            (work / folder).mkdir()
        for part in sorted((ROOT / "mixes").iterdir()):
            (shutil.copytree if part.is_dir() else shutil.copy)(part, work / "mixes" / part.name)
        prose = (work / "data" / "prose.jsonl").read_text()
        for data in (work / "DATA", work / "data" / "sample"):
            for mix in (ROOT / "mixes").glob("*.toml"):
                for folder in re.findall(r'^shards = \["(.*)"\]', mix.read_text(), re.M):
                    (data / folder).mkdir(parents=True, exist_ok=True)
                    (data / folder / "a.jsonl").write_text(prose[:4000].rsplit("\n", 1)[0] + "\n")
            for shard in ("code.jsonl", "redpajama/c4/part-0.jsonl", "redpajama/docs/docs-00000-of-00001.jsonl.zst"):
                (data / shard).write_text(prose)
        # A short stream whose first corpus is the shard that the pages name.
        mix = (work / "mix.toml").read_text()
        (work / "mix.toml").write_text(mix.replace("prose.jsonl", "redpajama/c4/part-0.jsonl"))
        (work / "quick-mix.toml").write_text(mix.replace("prose.jsonl", "redpajama/docs/docs-00000-of-00001.jsonl.zst"))
        text = run.read_text().replace(f'directory = "{work / "data"}"\n', "")
        run.write_text(text)
        for name in ("full", "openmoe"):
            (work / f"{name}.toml").write_text(text.replace('"tiny"', f'"{name}"'))
        quick = re.sub(r'"(vocab.model|[\w-]+\.toml)"', r'"../../\1"', text.replace("mix.toml", "quick-mix.toml"))
        (work / "mixes/runs/quickstart.toml").write_text(quick.replace('"tiny"', '"quickstart"'))
        for model in ("data/vocab.model", "spiece.model", "umt5.model"):
            shutil.copy(work / "vocab.model", work / model)
        (work / "shard.jsonl.zst").write_text(prose)
        shell("millrace train run.toml --data DATA --run-dir runs/mine --threads 2", work)
        shell("millrace train mixes/runs/quickstart.toml --data data/sample --threads 2", work)
        shell("millrace preprocess run.toml --data DATA --out ROWS --format rows --tokens 15360", work)
        shell("millrace preprocess mixes/runs/quickstart.toml --data data/sample --out data/rows --format rows --tokens 2560", work)
        shell("millrace preprocess run.toml --data DATA --out data/megatron --format megatron", work)
        shutil.copytree(work / "ROWS", work / "DIR")
        shutil.copytree(work / "runs/mine", work / "runs/old")
        ids = array.array("i", range(8))
        checkpoint_files.write_safetensors(work / "ids.safetensors", {"input_ids": ("I32", [1, 8], ids.tobytes())})
        (newest, *_) = sorted((work / "runs/mine/checkpoints").iterdir(), reverse=True)
        for copy in ("CHECKPOINT", "big", "openmoe-8b-f32", "openmoe-8b-checkpoint"):
            shutil.copytree(newest, work / copy)
        page = (ROOT / "docs/cluster.md").read_text()
        (work / "cluster.toml").write_text(re.search(r"```toml\n(ranks_per_machine.*?)```", page, re.S)[1])
        (work / "openmoe-8b").mkdir()
        shutil.copy(newest / "config.json", work / "openmoe-8b")
        weights = checkpoint_files.read_safetensors(newest / "model.safetensors")
        checkpoint_files.write_pytorch(work / "openmoe-8b" / "pytorch_model.bin", weights)

    def work_for(self, command):
        """A fresh folder with the command's inputs and without its outputs."""
        work = self.work
        shutil.rmtree(work)
        shutil.copytree(self.temporary / "as made", work)
        for run, step in re.findall(r"(runs/\w+)/checkpoints/(step-\d+)", command):
            (newest, *_) = sorted((work / run / "checkpoints").iterdir(), reverse=True)
            newest.rename(newest.with_name(step))
        made = re.search(r"(?:(?:preprocess|sample|init) .*--out|import .*--to) (\S+)", command)
        if made:
            shutil.rmtree(work / made[1], ignore_errors=True)
        if command.startswith("millrace train") and "--resume" not in command:
            for run in (work / "runs").iterdir():
                if run.name != "old":
                    shutil.rmtree(run)
        return work

    def try_command(self, command):
        for short in (self.SHORTENED, self.FILLED_IN):
            for printed, tried in short.items():
                command = re.sub(rf"(?<!\w){re.escape(printed)}(?!\w)", tried, command)
        said = next((words for part, words in self.REFUSED.items() if part in command), None)
        done = shell(command, self.work_for(command), 0 if said is None else 2)
        self.assertIn(said or "", done.stderr)

    def test_help(self):
        tried = set()
        for name in self.COMMANDS:
            text = subprocess.run([MILLRACE, *name.split(), "--help"], capture_output=True, text=True, check=True).stdout
            examples = commands_in(text.split("Example", 1)[1])
            self.assertTrue(examples, name)
            for command in examples:
                tried.add(name)
                with self.subTest(command):
                    self.try_command(command)
        self.assertEqual(tried, set(self.COMMANDS))

    def test_docs(self):
        tried = 0
        for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))):
            text = page.read_text()
            lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.replace("\\\n", " ").splitlines()]
            lines += re.findall(r"`([^`\n]*millrace [a-z-]+ [^`\n]+)`", text)
            for line in lines:
                command = re.sub(r"^(\$|build/release/)millrace", "millrace", line)
                if not command.startswith("millrace ") or command in [f"millrace {name}" for name in self.COMMANDS]:
                    continue
                tried += 1
                with self.subTest(f"{page.name}: {command}"):
                    self.try_command(command)
        self.assertGreater(tried, 40)


if __name__ == "__main__":
    MILLRACE = os.path.abspath(sys.argv.pop(1))
    case = {"messages": "Messages", "pages": "Pages"}[sys.argv.pop(1)]
    unittest.main(argv=[sys.argv[0], *(sys.argv[1:] or [case])], verbosity=2)

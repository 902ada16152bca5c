"""Training by several processes: ranks_test.py MILLRACE quick|long. Exit status 77: there is no mpirun."""

import itertools
import json
import math
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run
import train_test
from train_test import metrics, millrace

IS_LONG = False
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
LANES = 8
LENGTH = 64
SECONDS_TO_END = 10
SECONDS_TO_END_WHEN_STALLED = 15


def words(*sets):
    return [word for key in sets for word in ("--set", key)]


def start(ranks, *arguments, **options):
    """Several ranks of this machine, or one process without mpirun."""
    launcher = ["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none"] if ranks > 1 else []
    return subprocess.Popen([*launcher, train_test.MILLRACE, *map(str, arguments)], env=ENVIRONMENT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def run(ranks, *arguments, code=0):
    process = start(ranks, *arguments)
    output, said = process.communicate(timeout=600)
    if process.returncode != code:
        raise AssertionError(f"{ranks} ranks, {arguments}: exit code {process.returncode}, expected {code}\n{output}\n{said}")
    return said


def grids(most):
    """data, expert, pipeline with a product of 1, 2, 4, ..."""
    powers = [2**i for i in range(most.bit_length())]
    return [grid for grid in itertools.product(powers, repeat=3) if math.prod(grid) <= most]


def grid_words(grid):
    return ["--grid", "data={},expert={},pipeline={}".format(*grid)] if math.prod(grid) > 1 else []


def processes_of(mpirun):
    """The processes of the ranks, by rank."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) != mpirun.pid:
                continue
            for variable in (folder / "environ").read_bytes().split(b"\0"):
                if variable.startswith(b"OMPI_COMM_WORLD_RANK="):
                    found[int(variable.partition(b"=")[2])] = int(folder.name)
        except (OSError, ValueError):
            continue
    return found


def is_there(process):
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Ranks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-ranks-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")
        cls.steps = 12
        # As the last of several: each test that needs more says so.
        sets = ["train.batch_rows=16", "train.micro_rows=1", f"train.lanes={LANES}", "train.expert_lanes=2",
                f"train.tokens={cls.steps * 16 * LENGTH}", "eval.every_steps=5", "eval.tokens=500",
                "checkpoint.every_steps=4"]
        if IS_LONG:
            sets = ["train.batch_rows=128", "train.micro_rows=1", f"train.lanes={LANES}", f"train.expert_lanes={LANES}",
                    f"train.tokens={cls.steps * 128 * LENGTH}", f"phase.0.until={6 * 128 * LENGTH}",
                    f"phase.1.until={cls.steps * 128 * LENGTH}", "eval.every_steps=5", "eval.tokens=500",
                    "checkpoint.every_steps=4", "model.num_hidden_layers=8", "model.num_experts=8"]
        cls.sets = words(*sets)
        cls.whole = cls.folder / "whole"
        cls.train(1, cls.whole)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def arguments(cls, folder, *more):
        return ["train", cls.run_file, "--run-dir", folder, "--threads", 1, *cls.sets, *more]

    @classmethod
    def train(cls, ranks, folder, *more, code=0):
        return run(ranks, *cls.arguments(folder, *more), code=code)

    def expect_the_same_run(self, folder, whole=None):
        """Logs but for what the clock tells, and every file of the checkpoints."""
        whole = whole or self.whole
        self.assertEqual(metrics(folder), metrics(whole))
        for file in ("rejects.jsonl", "positions.jsonl"):
            self.assertEqual((folder / file).read_text(), (whole / file).read_text(), file)
        last = sorted((whole / "checkpoints").glob("step-*"))[-1]
        names = sorted(file.name for file in last.iterdir())
        self.assertIn("model.safetensors", names)
        self.assertEqual(sorted(file.name for file in (folder / "checkpoints" / last.name).iterdir()), names)
        for name in names:
            if name != "clock.json":
                self.assertEqual((folder / "checkpoints" / last.name / name).read_bytes(), (last / name).read_bytes(), name)

    def wait_for_step(self, process, folder, step):
        log = folder / "metrics.jsonl"
        while process.poll() is None:
            if log.exists() and log.read_text().count('"loss":') >= step:
                return True
            time.sleep(0.002)
        return False

    def test_several_processes_give_the_bits_of_one(self):
        for ranks in (2, 4, 8) if IS_LONG else (2, 4):
            with self.subTest(ranks=ranks):
                folder = self.folder / f"on-{ranks}"
                said = self.train(ranks, folder)
                self.expect_the_same_run(folder)
                self.assertIn(f"{ranks} ranks on 1 machine", said)
                self.assertIn(f"grid: data {ranks} x expert 1 x tensor 1 x pipeline 1", said)
                self.assertIn("kill -USR1", said)
                self.assertEqual(len(list((folder / "ranks").glob("*.log"))), ranks - 1)
                first = json.loads((folder / "metrics.jsonl").read_text().splitlines()[2])
                self.assertEqual(len(first["ranks"]["compute_s"]), 3)
                self.assertEqual(sorted(first["exchange_s"]), ["experts", "gradients", "pipeline", "rows", "weights"])
                self.assertTrue(0 < first["exchange_s"]["gradients"] < first["step_s"], first)
                shared = json.loads((folder / "summary.json").read_text())["ranks"]
                self.assertEqual((shared["grid"]["data"], list(shared["machines"].values())), (ranks, [ranks]))
                self.assertGreater(shared["compute_s"], 0)
                self.assertGreater(shared["exchange_s"]["weights"], 0)

    def test_experts_and_layers_spread_over_processes_give_the_bits_of_one(self):
        several = [grid for grid in grids(8) if math.prod(grid) > 1]  # The whole is that of one.
        for data, expert, pipeline in several if IS_LONG else [(1, 2, 1), (1, 1, 2), (2, 2, 2)]:
            with self.subTest(data=data, expert=expert, pipeline=pipeline):
                folder = self.folder / f"in-{data}-{expert}-{pipeline}"
                said = self.train(data * expert * pipeline, folder,
                                  "--grid", f"data={data},expert={expert},pipeline={pipeline}")
                self.expect_the_same_run(folder)
                self.assertIn(f"grid: data {data} x expert {expert} x tensor 1 x pipeline {pipeline}", said)

    def test_other_kinds_of_run_have_the_bits_of_one_process_too(self):
        """In bf16 where the processor has it, the other capacity rule, recompute, the other optimizer."""
        kinds = [("train.precision=\"auto\"", "model.capacity_rule=\"colossalai\"", "train.recompute=true"),
                 ("train.precision=\"f32\"", "model.capacity_rule=\"flaxformer\"", "train.optimizer=\"adamw\"",
                  "train.learning_rate=0.001", "train.clip_norm=1", "model.dropout_rate=0.1")]
        for number, kind in enumerate(kinds if IS_LONG else kinds[1:]):
            whole = self.folder / f"kind-{number}"
            self.train(1, whole, *words(*kind))
            for ranks, grid in ((2, "data=2"), (4, "expert=2"), (8, "expert=2,pipeline=2")) if IS_LONG else ((4, "expert=2"),):
                with self.subTest(kind=kind, ranks=ranks):
                    folder = self.folder / f"kind-{number}-on-{ranks}"
                    self.train(ranks, folder, *words(*kind), "--grid", grid)
                    self.expect_the_same_run(folder, whole)

    def test_a_run_goes_on_with_any_number_of_processes(self):
        rng = random.Random(5)
        for number in range(10 if IS_LONG else 1):
            before, after = (rng.choice(grids(8)) for _ in range(2)) if IS_LONG else ((2, 2, 1), (1, 1, 2))
            with self.subTest(before=before, after=after):
                folder = self.folder / f"on-and-on-{number}"
                process = start(math.prod(before), *self.arguments(folder), *grid_words(before))
                self.assertTrue(self.wait_for_step(process, folder, rng.randrange(1, self.steps - 3)), process.poll())
                process.send_signal(signal.SIGUSR1)
                said = process.communicate(timeout=60)[1]
                self.assertEqual(process.returncode, 130, said)
                self.assertIn("interrupted after step", said)
                self.train(math.prod(after), folder, "--resume", *grid_words(after))
                self.expect_the_same_run(folder)

    def test_a_killed_rank_ends_the_job_which_goes_on_to_the_same_bits(self):
        rng = random.Random(7)
        for number in range(50 if IS_LONG else 2):
            grid = rng.choice([grid for grid in grids(8) if grid != (1, 1, 1)]) if IS_LONG else [(4, 1, 1), (1, 2, 2)][number]
            ranks = math.prod(grid)
            folder = self.folder / f"killed-{number}"
            process = start(ranks, *self.arguments(folder), *grid_words(grid))
            # Also while a checkpoint is written: every fourth step.
            self.assertTrue(self.wait_for_step(process, folder, rng.randrange(1, self.steps - 2)))
            time.sleep(rng.random() * 0.1)
            all_ranks = processes_of(process)
            victim = rng.randrange(ranks) if number > 0 else ranks - 1
            with self.subTest(number=number, ranks=ranks, victim=victim):
                if victim not in all_ranks:
                    process.communicate(timeout=60)  # It was done already.
                    continue
                os.kill(all_ranks[victim], signal.SIGKILL)
                began = time.monotonic()
                said = process.communicate(timeout=60)[1]
                self.assertLess(time.monotonic() - began, SECONDS_TO_END)
                self.assertNotEqual(process.returncode, 0, said)
                gone = rf"gone without a word, killed or with a machine: rank {victim} \([^)]+\), last heard in step \d+: "
                self.assertRegex(said, gone)
                self.assertRegex((folder / ("train.log" if victim > 0 else "ranks/0001.log")).read_text(), gone)
                told = json.loads(millrace("status", folder, "--json").stdout)["ranks"]
                self.assertEqual([one["rank"] for one in told if not one["is_told_to_end"]], [victim])
                while any(map(is_there, all_ranks.values())):
                    self.assertLess(time.monotonic() - began, SECONDS_TO_END)
                    time.sleep(0.01)
                after = rng.choice((1, 2, 4)) if IS_LONG else (1, 2)[number]
                self.train(after, folder, "--resume")
                self.expect_the_same_run(folder)
                told = json.loads(millrace("status", folder, "--json").stdout)["ranks"]
                self.assertEqual([one["rank"] for one in told], list(range(after)) if after > 1 else [])

    def test_a_full_disk_of_one_rank_makes_that_save_void_and_the_run_goes_on(self):
        folder = self.folder / "full"
        process = start(2, *self.arguments(folder))
        log = folder / "metrics.jsonl"
        while process.poll() is None and not log.exists():
            time.sleep(0.002)
        writer = processes_of(process)[1]
        limit = lambda size: resource.prlimit(writer, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        limit(3000)  # Its status file is smaller.
        said = ""
        with process:
            for line in process.stderr:
                said += line
                if "WAS NOT SAVED" in line:
                    limit(resource.RLIM_INFINITY)
        self.assertEqual(process.returncode, 0, said)
        self.assertRegex(said, r"THE STATE OF STEP \d+ WAS NOT SAVED: rank 1 \(\S+\): \S+/.unfinished-step-\d+/\S+: .*File too large")
        self.assertGreater(json.loads((folder / "summary.json").read_text())["failed_saves"], 0)
        self.assertFalse(any((folder / "checkpoints").glob(".unfinished-*")))
        self.expect_the_same_run(folder)

    def test_each_rank_looks_for_damage_and_all_pass_over_what_one_finds(self):
        folder = self.folder / "damaged"
        self.train(2, folder)
        for name in ("model.safetensors", "optimizer.safetensors"):
            damaged = folder / "checkpoints" / f"step-{self.steps:06}" / name
            content = bytearray(damaged.read_bytes())
            content[-1] ^= 1
            damaged.write_bytes(content)
            said = self.train(2, folder, "--resume")
            self.assertIn(f"{name} is damaged: its checksum is not the manifest's", said)
            self.assertIn(f"resumed from {folder}/checkpoints/step-{self.steps - 4:06}", said)
            self.expect_the_same_run(folder)

    def test_millrace_stop_ends_a_run_after_a_step_and_status_shows_its_ranks(self):
        folder = self.folder / "asked"
        tokens = 400 * 128 * LENGTH  # It does not end by itself.
        process = start(2, *self.arguments(folder, *words(f"train.tokens={tokens}", f"phase.1.until={tokens}")))
        self.assertTrue(self.wait_for_step(process, folder, 2))
        shown = json.loads(millrace("status", folder, "--json").stdout)["ranks"]
        self.assertEqual([one["rank"] for one in shown], [0, 1])
        self.assertIn("does, or waits for", millrace("status", folder).stdout)
        self.assertIn("it has ended", millrace("stop", folder, "--wait", "--timeout", 60).stdout)
        said = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 130, said)
        self.assertIn("interrupted after step", said)
        self.assertEqual({one["doing"] for one in json.loads(millrace("status", folder, "--json").stdout)["ranks"]},
                         {"has ended"})
        last = metrics(folder)[-1]["step"]
        self.assertTrue((folder / "checkpoints" / f"step-{last:06}").is_dir())
        self.assertIn("nobody trains it", millrace("status", self.whole).stdout)
        self.assertIsNone(json.loads((self.whole / "summary.json").read_text())["ranks"])
        for command in ("stop", "status"):  # A folder that holds folders of runs.
            self.assertIn("is no run folder", millrace(command, self.folder, code=2).stderr)

    def test_a_rank_that_hangs_is_named_and_ends_the_job(self):
        for grid, victim in (((2, 1, 1), 0), ((4, 1, 1), 2), ((1, 2, 2), 3)) if IS_LONG else (((1, 2, 2), 2),):
            folder = self.folder / f"hangs-{victim}"
            process = start(math.prod(grid), *self.arguments(folder, "--set", "train.stall_seconds=5"), *grid_words(grid))
            self.assertTrue(self.wait_for_step(process, folder, 2))
            all_ranks = processes_of(process)
            self.addCleanup(lambda: is_there(all_ranks[victim]) and os.kill(all_ranks[victim], signal.SIGKILL))
            os.kill(all_ranks[victim], signal.SIGSTOP)
            began = time.monotonic()
            said = process.communicate(timeout=60)[1]
            self.assertLess(time.monotonic() - began, SECONDS_TO_END_WHEN_STALLED, said)
            self.assertEqual(process.returncode, 1, said)
            self.assertRegex(said, rf"rank \d \(\S+\).* in step \d+.* rank {victim} \(\S+\), which was last heard")
            while any(map(is_there, all_ranks.values())):
                self.assertLess(time.monotonic() - began, SECONDS_TO_END_WHEN_STALLED)
                time.sleep(0.01)
            self.train(2, folder, "--resume")
            self.expect_the_same_run(folder)

    def test_what_does_not_fit_is_said_by_rank_0_before_anything_is_made(self):
        for ranks, more, message in [
            (3, [], f"grid: data 3 does not divide train.lanes = {LANES}. Use data 2 or 1"),
            (4, ["--grid", "expert=4"], "grid: expert 4 does not divide train.expert_lanes = 2"),
            (3, ["--grid", "pipeline=3"], "grid: pipeline 3, the model has 2 layers"),
            (2, ["--grid", "tensor=2"], "grid: tensor 2: ranks that share a stage are not built"),
            (2, ["--grid", "data=4"], "is 4 ranks, but 2 were started. With 2: data 2 x expert 1"),
            (2, ["--grid", "rows=4"], "--grid has \"rows=4\", expected data=N"),
            (1, ["--grid", "data=4"], "--grid arranges several ranks, and this process is alone"),
        ]:
            if IS_LONG and ("expert_lanes" in message or "layers" in message):
                continue
            with self.subTest(message=message):
                folder = self.folder / "refused"
                said = self.train(ranks, folder, *more, code=2)
                self.assertIn(message, said)
                self.assertEqual(said.count(message), 1)
                self.assertFalse(folder.exists())

    def test_ranks_that_cannot_meet_are_refused(self):
        environment = dict(ENVIRONMENT, OMPI_COMM_WORLD_SIZE="8", OMPI_COMM_WORLD_RANK="0")
        done = subprocess.run([train_test.MILLRACE, *map(str, self.arguments(self.folder / "refused"))], env=environment,
                              capture_output=True, text=True, timeout=100)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("started as 8 ranks by mpirun, but MPI finds 1", done.stderr)

    def test_a_dry_run_and_usage_errors_end_all(self):
        self.assertIn("--wrong", run(2, "train", self.run_file, "--wrong", code=2))
        run(2, *self.arguments(self.folder / "dry", "--dry-run"))
        self.assertFalse((self.folder / "dry").exists())


if __name__ == "__main__":
    train_test.MILLRACE = sys.argv.pop(1)
    IS_LONG = sys.argv.pop(1) == "long"
    if shutil.which("mpirun") is None:
        print("skipped: no mpirun; scripts/deps.sh cluster installs it")
        sys.exit(77)
    unittest.main()

#!/usr/bin/env python3
"""What several ranks cost: steps of a small model, in alternating pairs.

    bench_ranks.py MILLRACE RUN.toml --data DATA [--before OLD_MILLRACE] [--pairs 5] [--steps 5] [--length 512] [--precision f32]

One rank of two threads against two ranks of one thread, 16 rows in two lanes; with --before, one process of this program
against one of another. A pair's number is the ratio of its runs' median steps, without the first. Then what making the
rows takes of the whole processor time, and how long steps waited for them.
"""
import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROWS = 16
SMALL = ["model.hidden_size=512", "model.intermediate_size=1024", "model.num_attention_heads=8",
         "model.head_dim=64", "model.num_hidden_layers=8", "model.num_experts=8", "model.moe_layer_interval=4",
         f"train.batch_rows={ROWS}", "train.micro_rows=8", "train.lanes=2", "train.expert_lanes=1"]
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")


def timed(*words):
    """Processor seconds of a command and what it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([str(word) for word in words], env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{words}: exit code {done.returncode}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        tokens = options.steps * ROWS * options.length
        self.input = [options.run, "--data", options.data]
        sets = [*SMALL, f"sequence_length={options.length}", f'train.precision="{options.precision}"', f"train.tokens={tokens}", f"phase.0.until={tokens}"]
        self.sets = [word for one in sets for word in ("--set", one)]

    def train(self, program, ranks, threads):
        folder = self.folder / "run"
        shutil.rmtree(folder, ignore_errors=True)
        launcher = ["mpirun", "-n", ranks, "--oversubscribe", "--bind-to", "none"] if ranks > 1 else []
        cpu = timed(*launcher, program, "train", *self.input, "--run-dir", folder, "--threads", threads, *self.sets)
        steps = [one for one in map(json.loads, open(folder / "metrics.jsonl")) if "loss" in one and "step_s" in one]
        return {"cpu": cpu, "step": statistics.median(one["step_s"] for one in steps[1:]),
                "wait": sum(one["data_wait_s"] for one in steps[1:]) / sum(one["step_s"] for one in steps[1:]),
                "exchange": [one["exchange_s"] for one in steps[1:] if "exchange_s" in one]}

    def pairs(self, name, first, second):
        """`second`'s speed over `first`'s."""
        ratios, seconds = [], ([], [])
        for pair in range(self.options.pairs):
            order = (0, 1) if pair % 2 == 0 else (1, 0)
            results = {which: self.train(*(first, second)[which]) for which in order}
            for which in order:
                seconds[which].append(results[which]["step"])
            ratios.append(results[0]["step"] / results[1]["step"])
            print(f"{name}, pair {pair + 1}: {ratios[-1]:.3f}", file=sys.stderr, flush=True)
        each = " ".join(f"{ratio:.3f}" for ratio in ratios)
        print(f"{name}: {each}; median {statistics.median(ratios):.3f}; "
              f"seconds a step {statistics.median(seconds[0]):.3f}, {statistics.median(seconds[1]):.3f}", flush=True)
        return results[1]

    def feeder(self, last):
        making = timed(self.options.millrace, "preprocess", *self.input, "--format", "rows", "--out", self.folder / "rows",
                       "--threads", 1, "--tokens", self.options.steps * ROWS * self.options.length, *self.sets)
        print(f"making the rows: {making:.2f} s of a core, {making / last['cpu']:.2%} of the {last['cpu']:.1f} s of two ranks; "
              f"data wait {last['wait']:.3%} of the steps")
        mean = {what: statistics.mean(one[what] for one in last["exchange"]) for what in last["exchange"][0]}
        print("rank 0 waited, seconds a step: " + ", ".join(f"{what} {seconds:.4f}" for what, seconds in mean.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("millrace")
    parser.add_argument("run", help="a run file of one phase, for its data, mix, objective and vocabulary")
    parser.add_argument("--data", required=True)
    parser.add_argument("--before", help="another program, for one process")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--length", type=int, default=512, help="positions of a row")
    parser.add_argument("--precision", default="f32")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millrace-bench-ranks-") as folder:
        bench = Bench(options, Path(folder))
        if options.before:
            bench.pairs("one process, this program to the other", (options.before, 1, 2), (options.millrace, 1, 2))
        last = bench.pairs("two ranks of one thread to one of two", (options.millrace, 1, 2), (options.millrace, 2, 1))
        bench.feeder(last)


if __name__ == "__main__":
    main()

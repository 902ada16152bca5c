#!/usr/bin/env python3
"""Runs the parts of scripts/gpu_check.sh, which says what they are for and how it is called: those of gpu_check (the check
bundle), trainings with millrace (the run bundle), and a peer. Needs nothing but Python's own library."""
import argparse
import glob
import hashlib
import json
import math
import os
import re
import shutil
import signal
import site
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAST_SECONDS = 2
LIST_SECONDS = 60
RUN_FILE = "mixes/runs/base-on-a-card.toml"


class Skip(Exception):
    pass


class Failure(Exception):
    pass


def library_path(bundles):
    """The bundles' libraries, and CUDA's: those of deps.sh, of a toolkit, or of a PyTorch."""
    folders = [bundles / "run/lib", bundles / "check/lib", ROOT / "build/deps/cuda/lib", "/usr/local/cuda/lib64"]
    for packages in dict.fromkeys([*site.getsitepackages(), *sys.path]):
        folders += glob.glob(f"{packages}/nvidia/*/lib")
    return ":".join([*map(str, folders), os.environ.get("LD_LIBRARY_PATH", "")])


class Runner:
    """Runs programs to the log, and ends them when their time is over."""

    def __init__(self, bundles, log):
        self.log = log
        self.deadline = time.monotonic() + LIST_SECONDS
        self.environment = {**os.environ, "LD_LIBRARY_PATH": library_path(bundles), "NO_COLOR": "1"}

    def start(self, command, folder, environment=None):
        self.log.write(f"$ {' '.join(map(str, command))}\n")
        self.log.flush()
        said = tempfile.TemporaryFile("w+", errors="replace")
        try:
            process = subprocess.Popen([str(word) for word in command], cwd=folder, env=environment or self.environment,
                                       stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            raise Failure(f"{command[0]} does not start: {error.strerror}") from None
        process.said = said
        return process

    def logged(self, process):
        """What a process that has ended said."""
        process.said.seek(0)
        output = process.said.read()
        process.said.close()
        self.log.write(output)
        self.log.flush()
        return output

    def kill(self, process):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def finish(self, process):
        """Its output. Fails unless it ends well and in time."""
        try:
            process.wait(max(1.0, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill(process)
            last = (self.logged(process).strip().splitlines() or [""])[-1]
            raise Failure(f"took too long: {last}") from None
        output = self.logged(process)
        if process.returncode == 0:
            return output
        last = (output.strip().splitlines() or [""])[-1]
        if process.returncode < 0:
            raise Failure(f"died of {signal.Signals(-process.returncode).name}: {last}")
        raise Failure(f"exit code {process.returncode}: {last}", output)

    def run(self, command, folder):
        return self.finish(self.start(command, folder))

    def run_elsewhere(self, command):
        """A program that is none of the bundles', and must not find their libraries."""
        return self.finish(self.start(command, ROOT, os.environ))


class Check:
    """The parts, in the order of what is worth knowing first."""

    def __init__(self, options, runner):
        self.options = options
        self.runner = runner
        self.bundle = options.bundles / "check"
        self.folder = options.bundles / "run"
        self.runs = options.bundles / "runs"  # Gigabytes, which nobody wants to keep.
        shutil.rmtree(self.runs, ignore_errors=True)
        self.runs.mkdir(parents=True)
        self.device = "cpu" if options.host else "cuda"
        # What a small run is like: of the same kind on both.
        self.small = ['model.preset="openmoe-micro"', "sequence_length=64", "train.batch_rows=4", "eval.tokens=0"]
        if not options.host:
            self.small = ['model.preset="openmoe-nano"', "sequence_length=256", "train.batch_rows=16", "eval.tokens=0"]

    def parts(self):
        """(name, seconds at most, work): work returns a text, or raises."""
        try:
            found = [(name, 90, self.of_program(name)) for name in self.program("--list").splitlines()]
        except Failure as failure:
            found = [("gpu_check", 90, self.always(failure))]
        found += [("train, plan", 30, self.plan),
                  ("train, base, 100 steps", 120, self.train_base),
                  ("train, same bits, resumed", 90, self.same_bits),
                  ("train, on the processor", 60, self.on_processor),
                  ("logits, beside the processor", 60, self.logits),
                  ("generate, of a checkpoint", 30, self.generate)]
        small = [("peer, base", ["--shape", "base", "--rows", 16]),
                 ("peer, base, padded", ["--shape", "base", "--rows", 16, "--targets", 0.3]),
                 ("peer, base, bf16 weights", ["--shape", "base", "--rows", 16, "--weights", "bf16"]),
                 ("peer, base, padded, selected", ["--shape", "base", "--rows", 16, "--targets", 0.3, "--select"]),
                 ("peer, 8b", ["--shape", "8b", "--rows", 8, "--recompute", "--weights", "bf16"])]
        return found + [(name, 150, self.peer(name, words)) for name, words in small]

    def program(self, *words):
        """What gpu_check says."""
        host = ["--host"] if self.options.host else []
        return self.runner.run([self.bundle / "gpu_check", *host, *words], self.bundle)

    def millrace(self, *words):
        return self.runner.run(["./millrace", *words], self.folder)

    @staticmethod
    def always(failure):
        def work():
            raise failure
        return work

    def of_program(self, name):
        def work():
            try:
                output = self.program("--golden", "golden", "--only", name)
            except Failure as failure:
                output = failure.args[1] if len(failure.args) > 1 else ""
                if not self.told(name, output):
                    raise
            word, text = self.told(name, output)
            if word == "skip":
                raise Skip(text)
            if word != "pass":
                raise Failure(text)
            return text
        return work

    @staticmethod
    def told(name, output):
        return next(iter(re.findall(rf"^== {re.escape(name)}: (\w+) \([\d.]+ s\) (.*)$", output, re.M)), None)

    def train(self, run, *sets, options=()):
        sets = [f'train.device="{self.device}"', *sets]
        return ["train", RUN_FILE, "--data", "data", "--run-dir", self.runs / run, *options,
                *(word for one in sets for word in ("--set", one))]

    def metrics(self, run):
        """The lines of a run's steps that are complete."""
        path = self.runs / run / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        steps = []
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                break
            if "step_s" in value:
                steps.append(value)
        return steps

    def newest(self, run):
        found = sorted((self.runs / run / "checkpoints").glob("step-*"))
        if not found:
            raise Failure(f"the run \"{run}\" left no checkpoint")
        return found[-1]

    def of_weights(self, run):
        """Hashes of what a run's newest checkpoint holds, by file."""
        folder = self.newest(run)
        return {folder.name + "/" + file.name: hashlib.sha256(file.read_bytes()).hexdigest()
                for file in sorted(folder.glob("*.safetensors"))}

    def plan(self):
        if self.options.host:
            raise Skip("a card's memory is not known without one")
        output = self.millrace(*self.train("plan", options=["--dry-run"]))
        return "; ".join(" ".join(line.split()) for line in output.splitlines() if "card" in line) or "no line of the card"

    def train_base(self):
        if self.options.host:
            self.millrace(*self.train("base", *self.small, "phase.0.until=2560", "eval.tokens=640"))
        else:
            self.millrace(*self.train("base"))
        shutil.copy(self.runs / "base/metrics.jsonl", self.options.out / "base_metrics.jsonl")
        steps = self.metrics("base")
        losses = [step.get("loss") for step in steps]
        if not losses or any(loss is None or not math.isfinite(loss) for loss in losses):
            raise Failure("a step has no finite loss")
        warm = steps[len(steps) // 10:]
        seconds = [step["step_s"] for step in warm]
        waited = sum(step["data_wait_s"] for step in warm) / sum(seconds)
        text = (f"{len(steps)} steps, {statistics.median(step['tokens_per_s'] for step in warm):.0f} tokens/s, "
                f"{100 * statistics.median(step['limit_share'] for step in warm):.0f} % of the products', "
                f"data wait {100 * waited:.2f} %, loss {losses[0]:.3f} to {losses[-1]:.3f}")
        if self.options.host:
            return text
        if losses[-1] >= losses[0]:
            raise Failure(text + ": it does not fall")
        if waited >= 0.01:
            raise Failure(text + ": more than 1 %")
        return text

    def same_bits(self):
        steps = 20 if self.options.host else 300
        positions = 4 * 64 if self.options.host else 16 * 256
        sets = [*self.small, f"phase.0.until={steps * positions}", f"checkpoint.every_steps={steps // 5}"]
        for run in ("once", "again"):
            self.millrace(*self.train(run, *sets))
        process = self.runner.start(["./millrace", *self.train("killed", *sets)], self.folder)
        while process.poll() is None and len(self.metrics("killed")) < steps // 2 and time.monotonic() < self.runner.deadline:
            time.sleep(0.01)
        was_running = process.poll() is None
        if was_running:
            self.runner.kill(process)
        self.runner.logged(process)
        if not was_running:
            raise Failure(f"it ended before it was killed, with exit code {process.returncode}")
        before = len(self.metrics("killed"))
        self.millrace(*self.train("killed", *sets, options=["--resume"]))
        expected = self.of_weights("once")
        for run in ("again", "killed"):
            other = [file for file, digest in self.of_weights(run).items() if expected.get(file) != digest]
            if other or not expected:
                raise Failure(f"the run \"{run}\" has other bits than the first in {', '.join(other) or 'no file'}")
        return f"{steps} steps; twice, and killed after {before}: {', '.join(expected)} are the same"

    def on_processor(self):
        """What the card saved goes on on the processor."""
        if self.options.host:
            raise Skip("the runs above are the processor's")
        done = len(self.metrics("once"))
        if done == 0:
            raise Failure("the card took no steps")
        self.device = "cpu"
        try:
            self.millrace(*self.train("once", *self.small, 'train.precision="f32"', f"phase.0.until={(done + 3) * 16 * 256}",
                                       options=["--resume", "--accept-changes"]))
        finally:
            self.device = "cuda"
        steps = self.metrics("once")
        return f"steps {done + 1} to {len(steps)}, loss {steps[done - 1]['loss']:.4f} to {steps[-1]['loss']:.4f}"

    def logits(self):
        """The same checkpoint's logits on both devices, in f32."""
        length = 48
        ids = [[1 + (37 * row + 11 * i) % 5000 for i in range(length)] for row in range(2)]
        path = self.runs / "ids.safetensors"
        data = struct.pack(f"<{2 * length}i", *ids[0], *ids[1])
        head = json.dumps({"input_ids": {"dtype": "I32", "shape": [2, length], "data_offsets": [0, len(data)]}}).encode()
        path.write_bytes(struct.pack("<Q", len(head)) + head + data)
        checkpoint = self.newest("again")
        found = []
        for device in dict.fromkeys(["cpu", self.device]):
            out = self.runs / f"logits_{device}.safetensors"
            self.millrace("logits", checkpoint, "--ids", path, "--out", out, "--device", device)
            raw = out.read_bytes()
            (size,) = struct.unpack_from("<Q", raw)
            begin, end = json.loads(raw[8:8 + size])["logits"]["data_offsets"]
            found.append(memoryview(raw)[8 + size + begin:8 + size + end].cast("f"))
        if len(found) == 1:
            raise Skip(f"{len(found[0])} numbers of the processor, and no card's to compare them with")
        largest = max(map(abs, found[0]))
        apart = max(abs(a - b) for a, b in zip(*found)) / largest
        text = f"{len(found[0])} numbers, apart {apart:.1e} (1e-4) of the largest"
        if not apart < 1e-4:
            raise Failure(text)
        return text

    def generate(self):
        tokens = 4 if self.options.host else 64
        output = self.millrace("generate", self.newest("base"), "--prompt", "The file", "--tokens", tokens, "--temperature", 0,
                               "--device", self.device, "--precision", "f32" if self.options.host else "bf16")
        return next(iter(re.findall(r"\d+ tokens in [\d.]+ s", output)), "no line of its speed")

    def peer(self, name, words):
        def work():
            if not self.options.peer:
                raise Skip("no --peer was given")
            if self.options.host:
                raise Skip("takes a card")
            if name.endswith("8b") and self.card_bytes() < 130e9:
                raise Skip("takes a card of 140 GB")
            output = self.runner.run_elsewhere([sys.executable, self.options.peer, *words, "--compile", "block"])
            told = re.search(r"tokens/s (\d+).*TFLOP/s ([\d.]+).*GiB ([\d.]+)", output)
            if not told:
                raise Failure("does not say how fast it was")
            return "{} tokens/s forward and backward, {} TFLOP/s, {} GiB".format(*told.groups())
        return work

    def card_bytes(self):
        output = self.runner.run_elsewhere(["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"])
        return float(output.split()[0]) * 2 ** 20


def main():
    parser = argparse.ArgumentParser(prog="gpu_check")
    parser.add_argument("--host", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--bundles", type=lambda path: Path(path).resolve(), default=ROOT / "build/gpu")
    parser.add_argument("--out", type=lambda path: Path(path).resolve(), default=ROOT / "build/gpu/out")
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=420)
    parser.add_argument("--peer", type=lambda path: Path(path).resolve())
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + options.seconds
    table = []
    with open(options.out / "gpu_check.log", "w") as log:
        runner = Runner(options.bundles, log)
        if not options.host and shutil.which("nvidia-smi"):
            card = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm", "--format=csv"]
            try:
                print(runner.run_elsewhere(card))
            except Failure as failure:
                print(f"nvidia-smi: {failure.args[0]}")
        check = Check(options, runner)
        for name, most, work in check.parts():
            if options.only not in name:
                continue
            if options.list:
                print(name)
                continue
            start = time.monotonic()
            runner.deadline = min(start + most, end)
            try:
                if end - start < LEAST_SECONDS:
                    raise Skip("no time is left")
                verdict, text = "pass", work()
            except Skip as reason:
                verdict, text = "skip", str(reason)
            except Failure as failure:
                verdict, text = "FAIL", failure.args[0]
            except Exception as error:  # The other parts are worth as much.
                verdict, text = "FAIL", f"{type(error).__name__}: {error}"
            seconds = time.monotonic() - start
            print(f"== {name}: {verdict} ({seconds:.1f} s) {text}", flush=True)
            table.append({"part": name, "verdict": verdict, "seconds": round(seconds, 2), "text": text})
            # What is known is there, whatever happens to this program.
            (options.out / "gpu_check.json").write_text(json.dumps(table, indent=1) + "\n")
        shutil.rmtree(check.runs, ignore_errors=True)
    if options.list:
        return 0
    if not table:
        print(f"gpu_check: no part's name has \"{options.only}\" in it; --list names them", file=sys.stderr)
        return 2
    print(f"\n{'part':30} {'verdict':7} {'s':>6}")
    for row in table:
        print(f"{row['part']:30} {row['verdict']:7} {row['seconds']:6.1f}  {row['text']}")
    return 1 if any(row["verdict"] == "FAIL" for row in table) else 0


if __name__ == "__main__":
    sys.exit(main())

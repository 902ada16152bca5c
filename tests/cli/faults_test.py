"""Short runs of each command in which one call to the operating system fails: faults_test.py MILLRACE LIBRARY quick|long
Either the result is the same as without the fault, or the exit status is 1 with one message, nothing is partially
published, and running the same command again gives the right result. A shard that cannot be read is reported as a reject."""

import array
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run
from checkpoint_files import read_safetensors, write_pytorch, write_safetensors

MILLRACE, LIBRARY = sys.argv[1], sys.argv[2]
LONG = sys.argv[3] == "long"
SEED = 20
DRAWN_IN_QUICK = 10
FIRST, DRAWN = 50, 50  # In the long test: calls of each kind of each command.
ERRORS = {
    "read": ("EIO", "EINTR", "SHORT"),
    "write": ("EIO", "ENOSPC", "EINTR", "SHORT"),
    "sync": ("EIO", "ENOSPC", "EINTR"),
    "rename": ("EIO", "ENOSPC"),
    "map": ("EIO",),
}


def files_below(folder):
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def bytes_of(folder):
    return {name: path.read_bytes() for name, path in files_below(folder).items()}


def as_told(output, out):
    """Standard output, without what differs from run to run: where the results are, and how much memory is free."""
    output = output.replace(str(out).encode(), b"OUT")
    return re.sub(rb"(?m)^this machine .* memory available\n", b"", output)


def tells_of_an_unreadable_shard(folder):
    """Whether rejects name a shard whose end, or all of it, could not be read."""
    rejects = [path.read_text().splitlines() for path in folder.rglob("*rejects.jsonl")]
    return any(json.loads(line)["cause"] == "unreadable" for lines in rejects for line in lines)


def without_times(line):
    value = json.loads(line)
    return {key: item for key, item in value.items() if not key.endswith("_s") and key not in ("bad_frames",)}


def trained(folder):
    """The results of a run: weights, and its logs without times. Checkpoints other than the last may be
    missing: a save that fails is abandoned, and the run goes on."""
    checkpoints = sorted((folder / "checkpoints").glob("step-*"))
    result = {name: (checkpoints[-1] / name).read_bytes() for name in ("model.safetensors", "optimizer.safetensors")}
    for name in ("rejects.jsonl", "positions.jsonl", "shards.jsonl", "run.toml", "vocab.model"):
        result[name] = (folder / name).read_bytes()
    metrics = (folder / "metrics.jsonl").read_text().splitlines()
    result["metrics.jsonl"] = [sorted(without_times(line)) for line in metrics]
    result["losses"] = [json.loads(line).get("loss") for line in metrics]
    return result


class Command:
    """`arguments` with {out} for a folder of its own. `result` reads from it what must be the same each time."""

    def __init__(self, name, *arguments, result=bytes_of, again=(), compare_output=True):
        self.name, self.arguments, self.result, self.again = name, arguments, result, again
        self.compare_output = compare_output
        self.reference = None  # (standard output, result, counts of calls)


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-faults-"))
        run = tiny_run.write_run(cls.folder / "input")
        data = cls.folder / "input" / "data"
        for seed, corpus in enumerate(("prose", "code")):
            tiny_run.write_shards(data, corpus, seed, 300)
        subprocess.run(["zstd", "-q", "--rm", data / "prose.jsonl"], check=True)
        mix = cls.folder / "input" / "mix.toml"
        mix.write_text(mix.read_text().replace("prose.jsonl", "prose.jsonl.zst"))
        run.write_text(run.read_text().replace("5_120", "1_024").replace("15_360", "2_048"))
        trained_run = cls.folder / "trained"
        train = "train", run, "--threads", 1, "--run-dir"
        cls.done(*train, trained_run)
        checkpoint = sorted((trained_run / "checkpoints").iterdir())[-1]
        vocabulary = cls.folder / "input" / "vocab.model"
        ids = cls.folder / "input" / "ids.safetensors"
        write_safetensors(ids, {"input_ids": ("I32", [1, 8], array.array("i", range(260, 268)).tobytes())})
        released = cls.folder / "input" / "released"
        released.mkdir()
        shutil.copy(checkpoint / "config.json", released)
        write_pytorch(released / "pytorch_model.bin", read_safetensors(checkpoint / "model.safetensors"))
        preprocess = "preprocess", run, "--threads", 1, "--out", "{out}/o", "--format"
        cls.commands = [
            Command("index", "index", data, "--vocab", vocabulary, "--threads", 1, "--out", "{out}/index.json"),
            Command("vocab train", "vocab", "train", "--shards", data, "--size", 300, "--out", "{out}/v.model",
                    compare_output=False),
            Command("vocab show", "vocab", "show", vocabulary),
            Command("tokenize", "tokenize", "--in", data / "prose.jsonl.zst", "--vocab", vocabulary, "--threads", 1),
            Command("mix check", "mix", "check", run),
            Command("mix plan", "mix", "plan", run),
            Command("inspect", "inspect", run, "--rows", 2, "--threads", 1),
            Command("inspect a row", "inspect", trained_run, "--row", 5, "--threads", 1),
            Command("trace", "trace", trained_run, "--document", "code.jsonl:7", "--threads", 1),
            Command("preprocess megatron", *preprocess, "megatron"),
            Command("preprocess olmo", *preprocess, "olmo", "--part-bytes", 20_000),
            Command("preprocess rows", *preprocess, "rows", "--tokens", 2_048, "--part-bytes", 20_000),
            Command("preprocess mds", *preprocess, "mds", "--tokens", 2_048, "--part-bytes", 20_000),
            Command("train", *train, "{out}/r", again=("--resume",), result=lambda out: trained(out / "r"),
                    compare_output=False),
            Command("eval", "eval", checkpoint, "--run", run, "--threads", 1),
            Command("generate", "generate", checkpoint, "--prompt", "river", "--tokens", 4, "--threads", 1),
            Command("logits", "logits", checkpoint, "--ids", ids, "--out", "{out}/l.safetensors"),
            Command("export", "export", checkpoint, "--to", "hf", "{out}/m"),
            Command("import", "import", released, "--to", "{out}/m"),
            Command("report", "report", trained_run, "--out", "{out}/report.html", result=lambda out: sorted(files_below(out)),
                    compare_output=False),
        ]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def call(cls, arguments, fault=None, counts=None):
        environment = dict(os.environ, LD_PRELOAD=LIBRARY, MILLRACE_FAULT_UNDER=str(cls.folder))
        environment.update({"MILLRACE_FAULT": fault} if fault else {}, **({"MILLRACE_FAULT_COUNTS": counts} if counts else {}))
        return subprocess.run([MILLRACE, *map(str, arguments)], env=environment, capture_output=True, timeout=300)

    @classmethod
    def done(cls, *arguments):
        run = cls.call(arguments)
        assert run.returncode == 0, (arguments, run.stderr.decode())
        return run

    def reference(self, command):
        if command.reference is None:
            out, counts = self.folder / "reference", self.folder / "counts"
            out.mkdir()
            run = self.call([str(a).replace("{out}", str(out)) for a in command.arguments], counts=str(counts))
            self.assertEqual(run.returncode, 0, (command.name, run.stderr.decode()))
            calls = dict(line.split() for line in counts.read_text().splitlines())
            output = as_told(run.stdout, out)
            command.reference = output, command.result(out), {kind: int(count) for kind, count in calls.items()}
            shutil.rmtree(out)
        return command.reference

    def try_fault(self, command, kind, number, error):
        output, expected, _ = self.reference(command)
        out = self.folder / "out"
        out.mkdir()
        arguments = [str(a).replace("{out}", str(out)) for a in command.arguments]
        try:
            run = self.call(arguments, f"{kind} {number} {error}")
            message = run.stderr.decode(errors="replace")
            unreadable = kind == "read" and tells_of_an_unreadable_shard(out)
            if run.returncode == 0 and unreadable and command.name.startswith("preprocess"):
                self.assertIn(b"1 rejected, unreadable", run.stdout)
                for name, content in bytes_of(out).items():
                    if pathlib.Path(name).name not in ("preprocess.json", "rejects.jsonl"):
                        self.assertEqual(content, expected[name], name)
                return "reject"
            if run.returncode == 0:
                if command.compare_output:
                    self.assertEqual(as_told(run.stdout, out), output)
                self.assertEqual(command.result(out), expected)
                return "right"
            self.assertEqual(run.returncode, 1, message)
            self.assertEqual(sum(line.startswith("millrace: ") for line in message.splitlines()), 1, message)
            if unreadable and command.name == "index":
                self.assertIn("shards could not be read", message)  # The index notes it and reads the shard again.
            elif command.result is bytes_of:
                for name, content in bytes_of(out).items():
                    if name in expected:
                        self.assertEqual(content, expected[name], f"{name} is half-published")
            again = self.call([*arguments, *command.again])
            self.assertEqual(again.returncode, 0, f"after {message}\nrun again: {again.stderr.decode()}")
            self.assertEqual(command.result(out), expected, "the same command, run again")
            return "told"
        finally:
            shutil.rmtree(out)

    def trials(self):
        """(command, kind, number, error), the same for a seed."""
        rng = random.Random(SEED)
        if not LONG:
            for command in rng.sample(self.commands, DRAWN_IN_QUICK):
                counts = self.reference(command)[2]
                kind = rng.choice([kind for kind in ERRORS if counts[kind] > 0])
                yield command, kind, rng.randint(1, counts[kind]), rng.choice(ERRORS[kind])
            return
        for command in self.commands:
            for kind, count in self.reference(command)[2].items():
                later = range(FIRST + 1, count + 1)
                for number in [*range(1, min(FIRST, count) + 1), *sorted(rng.sample(later, min(DRAWN, len(later))))]:
                    yield command, kind, number, rng.choice(ERRORS[kind])

    def test_one_failing_call_leaves_the_right_result_or_one_message(self):
        ends = {}
        for command, kind, number, error in self.trials():
            with self.subTest(command=command.name, kind=kind, number=number, error=error):
                end = self.try_fault(command, kind, number, error)
                ends[kind, error, end] = ends.get((kind, error, end), 0) + 1
        for (kind, error, end), count in sorted(ends.items()):
            print(f"{kind:<7} {error:<7} {end:<6} {count}")

    def test_the_library_makes_a_call_fail(self):
        """For a command that reads little: without the fault it succeeds, with it it fails."""
        vocabulary = self.folder / "input" / "vocab.model"
        self.assertEqual(self.call(["vocab", "show", vocabulary]).returncode, 0)
        self.assertEqual(self.call(["vocab", "show", vocabulary], "read 1 EIO").returncode, 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

"""What the tests of the Python module share: the program, a tiny run, and what inspect says of its rows."""

import json
import pathlib
import subprocess
import sys

try:
    import numpy
except ImportError:
    print("skipped: this Python has no numpy")
    sys.exit(77)

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else None


def program(*arguments, code=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout if code == 0 else done.stderr


def inspected(run, rows, first=0, *options):
    """The rows as `millrace inspect --json` tells them."""
    text = program("inspect", run, "--json", "--rows", rows, "--from", first, *options)
    return [json.loads(line) for line in text.splitlines()]


def expect_row(test, arrays, provenance, row):
    """A row of the module is the one that inspect shows. `arrays`: by their names."""
    for name, array in arrays.items():
        test.assertEqual(array.tolist(), row[name], f"row {row['row']}: {name}")
    test.assertEqual(len(provenance), len(row["examples"]))
    for found, example in zip(provenance, row["examples"]):
        documents = [{key: document[key] for key in ("shard", "record", "from", "to")} for document in found["documents"]]
        test.assertEqual(documents, example["documents"])
        for key in ("corpus", "denoiser", "trimmed_tokens"):
            test.assertEqual(found[key], example[key])
        begin, middle = found["first"], found["first"] + found["inputs"]
        test.assertEqual(row["labels"][begin:middle], example["inputs"])
        test.assertEqual(row["labels"][middle:middle + found["targets"]], example["targets"])


def expect_batch(test, batch, rows):
    """A batch holds these rows of inspect, in order."""
    test.assertEqual(batch.row_numbers, [row["row"] for row in rows])
    for i, row in enumerate(rows):
        expect_row(test, {name: array[i] for name, array in batch.items()}, batch.provenance(i), row)


def slow_run(folder):
    """A run whose first row takes minutes: one short document among many that its mix leaves out."""
    import tiny_run

    folder = pathlib.Path(folder)
    run = tiny_run.write_run(folder)
    lines = [json.dumps({"text": "mill", "lang": "none"})] * 50_000 + [json.dumps({"text": "mill", "lang": "some"})]
    (folder / "data/prose.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "mix.toml").write_text(
        'name = "slow"\n[[corpus]]\nname = "prose"\nkind = "text"\nshare = 100\nshards = ["prose.jsonl"]\n'
        'keep = { lang = ["some"] }\n')
    text = run.read_text().replace("sequence_length = 64", "sequence_length = 65536")
    run.write_text(text.replace("until = 5_120", "until = 655_360").replace("until = 15_360", "until = 1_310_720"))
    for objective in "ul2.toml", "causal.toml":
        (folder / objective).write_text('name = "causal"\nlayout = "full"\n[[denoiser]]\nname = "causal"\nkind = "causal"\nshare = 100\n')
    return run

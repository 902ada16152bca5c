#!/usr/bin/env python3
"""How fast rows come to a PyTorch trainer that does nothing, what processors that takes, and what ranks and workers cost.

usage: bench_feed.py MILLRACE VOCAB SHARD.jsonl.zst... [--rounds 5] [--seconds 10] [--rows 2048 34816] [--batches 4 16] [--only feeds|grid]

Run by a Python that has torch, sentencepiece and tokenizers, with the module millrace on its PYTHONPATH. All feeds give the same
documents of the same plain JSON lines as causal rows of 2048 positions, in batches of 8 rows; one after the other, in each round.
The peers are what trainers have: an IterableDataset that encodes and concatenates, in DataLoader's workers, one a core.
"""
import argparse
import ctypes
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

T = 2048
BATCH = 8
CORES = len(os.sched_getaffinity(0))
FEEDS = ["millrace.Stream", "millrace.torch", "millrace.torch, 1 worker", "sentencepiece", "tokenizers"]
PEERS = FEEDS[3:]
A_TRAINER = 100_000  # Tokens a second.


def prepare(folder, millrace, vocabulary, shards):
    (folder / "data").mkdir()
    for number, shard in enumerate(shards):
        with open(folder / f"data/part-{number:03}.jsonl", "wb") as out:
            subprocess.run(["zstdcat", shard], stdout=out, check=True)
    subprocess.run([millrace, "vocab", "export", vocabulary, "--to", "hf", folder / "hf"], check=True, stdout=subprocess.DEVNULL)
    (folder / "mix.toml").write_text(
        'name = "all"\n[[corpus]]\nname = "all"\nkind = "text"\nshare = 100\nshards = ["part-*"]\n')
    (folder / "causal.toml").write_text(
        'name = "causal"\nseparator = "eos"\n[[denoiser]]\nname = "causal"\nkind = "causal"\nshare = 100\n')
    (folder / "run.toml").write_text(
        f'name = "bench"\nseed = 1\nvocab = "{os.path.abspath(vocabulary)}"\nsequence_length = {T}\n'
        '[[phase]]\nuntil = 100_000_000_000\nmix = "mix.toml"\nobjective = "causal.toml"\n'
        f'[data]\ndirectory = "{folder}/data"\n')


# The feeds: iterators of batches, without end.


def texts(folder, worker, workers):
    """The documents of every so many-th line, again and again."""
    while True:
        for file in sorted((folder / "data").iterdir()):
            with open(file, "rb") as lines:
                for number, line in enumerate(lines):
                    if number % workers == worker:
                        yield json.loads(line)["text"]


def rows(documents, eos):
    """Ids of documents, concatenated and cut."""
    import torch

    held = []
    for ids in documents:
        held += [*ids, eos]
        while len(held) > T:
            yield {"tokens": torch.tensor(held[:T]), "labels": torch.tensor(held[1:T + 1])}
            del held[:T]


def peer(folder, vocabulary, kind):
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info

    class Peer(IterableDataset):
        def __iter__(self):
            info = get_worker_info()
            mine = texts(folder, info.id, info.num_workers)
            if kind == "sentencepiece":
                import sentencepiece

                processor = sentencepiece.SentencePieceProcessor(model_file=vocabulary)
                return rows((processor.encode(text) for text in mine), 1)
            import tokenizers

            tokenizer = tokenizers.Tokenizer.from_file(str(folder / "hf/tokenizer.json"))
            some = iter(lambda: list(itertools.islice(mine, 64)), [])
            return rows((found.ids for many in some for found in tokenizer.encode_batch(many, add_special_tokens=False)), 1)

    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # The workers are as many as the cores.
    return iter(DataLoader(Peer(), batch_size=BATCH, num_workers=CORES))


def feed_of(kind, folder, vocabulary):
    run = folder / "run.toml"
    if kind == "millrace.Stream":
        import millrace

        return iter(millrace.Stream(run, batch_rows=BATCH))
    if kind in PEERS:
        return peer(folder, vocabulary, kind)
    import millrace.torch
    from torch.utils.data import DataLoader

    return iter(DataLoader(millrace.torch.IterableDataset(run, batch_rows=BATCH), batch_size=None,
                           num_workers=1 if kind.endswith("worker") else 0))


# What they take.


def adopt_orphans():
    """Processes whose parents end become children of this one, so that their time is counted: the feeder is such."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def processor_seconds():
    """(of this process, of its living descendants)"""
    of, parent = {}, {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        process = int(stat.parent.name)
        parent[process], of[process] = int(fields[1]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    me, others = os.getpid(), 0.0
    for process in of:
        ancestor = parent[process]
        while ancestor not in (0, me) and ancestor in parent:
            ancestor = parent[ancestor]
        others += of[process] if ancestor == me and process != me else 0.0
    return time.process_time(), others


def measure_feed(kind, folder, vocabulary, seconds):
    adopt_orphans()
    feed = feed_of(kind, folder, vocabulary)
    until = time.monotonic() + max(2.0, seconds / 4)
    while time.monotonic() < until:  # Workers are there, words are known.
        next(feed)
    before, started, batches = processor_seconds(), time.monotonic(), 0
    while (elapsed := time.monotonic() - started) < seconds:
        next(feed)
        batches += 1
    mine, others = (now - then for now, then in zip(processor_seconds(), before))
    tokens = batches * BATCH * T
    del feed  # Leaves its feeder.
    print(json.dumps({"rate": tokens / elapsed, "mine": mine / tokens, "all": (mine + others) / tokens}), flush=True)
    os._exit(0)


def numbers():
    """A dataset of integers, which costs nothing but what DataLoader does."""
    from torch.utils.data import IterableDataset

    class Numbers(IterableDataset):
        def __iter__(self):
            return itertools.count()

    return Numbers()


def measure_rank(folder, rank, ranks, workers, step_rows, few, many, what):
    """Takes its part of so many rows, in steps of all ranks' rows, and waits for a word after each number of them."""
    import millrace.torch
    from torch.utils.data import DataLoader

    each = step_rows // ranks
    dataset = numbers() if what == "numbers" else millrace.torch.IterableDataset(
        folder / "run.toml", batch_rows=each, rank=rank, world_size=ranks, group=f"bench-{os.getppid()}")
    batches = iter(DataLoader(dataset, batch_size=None, num_workers=workers))
    for count in few, many - few:
        for _ in range(count // step_rows):
            batch = next(batches)
            assert what == "numbers" or len(batch["tokens"]) == each
        print("there", flush=True)
        sys.stdin.readline()
    del batches  # Ends the workers.


def measure_grid(script, folder, *grid):
    """Processor seconds of all processes between `few` rows and `many`. At both they rest with all queues full."""
    adopt_orphans()
    started = [subprocess.Popen([sys.executable, "-W", "ignore", script, "rank", folder, str(rank), *grid],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for rank in range(int(grid[0]))]
    seconds = []
    for _ in range(2):
        for process in started:
            assert process.stdout.readline() == "there\n", "a rank failed"
        time.sleep(3)
        seconds.append(processor_seconds()[1])
        for process in started:
            process.stdin.write("\n")
            process.stdin.flush()
    for process in started:
        process.wait()
    print(json.dumps(seconds[1] - seconds[0]), flush=True)


def ask(*arguments):
    done = subprocess.run([sys.executable, __file__, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def median(values):
    return statistics.median(values)


def spread(values, form="{:.1f}"):
    return f"{form.format(median(values))} ({form.format(min(values))} to {form.format(max(values))})"


def compare_feeds(folder, vocabulary, rounds, seconds):
    found = {kind: [] for kind in FEEDS}
    for number in range(rounds):
        for kind in FEEDS:
            found[kind].append(ask("feed", kind, folder, vocabulary, seconds))
            print(f"round {number + 1}, {kind}: {found[kind][-1]['rate'] / 1e3:.0f} k tokens/s", file=sys.stderr, flush=True)
    print(f"{CORES} cores; {rounds} rounds of {seconds} s each, medians")
    print(f"{'feed':26} {'tokens/s':>10}  {'s of a core per million tokens':>31}  {'of a core, at 100 k tokens/s':>29}  {'in the trainer':>15}")
    for kind, ones in found.items():
        every, mine = (median([one[key] for one in ones]) for key in ("all", "mine"))
        print(f"{kind:26} {median([one['rate'] for one in ones]):10.0f}  {every * 1e6:31.3f}  {every * A_TRAINER:29.4f}  {mine * A_TRAINER:15.4f}")
    for kind in FEEDS[:3]:
        for other in PEERS:
            ratios = [mine["rate"] / theirs["rate"] for mine, theirs in zip(found[kind], found[other])]
            print(f"{kind} / {other}: {spread(ratios)} times as fast")


def compare_grids(folder, rounds, batches, few, many):
    """One rank without workers beside eight with four each, which take as many rows a step: of so many rows are their batches.
    Then the eight with an integer in place of each batch."""
    for each in batches:
        found = {(1, 0, "rows"): [], (8, 4, "rows"): [], (8, 4, "numbers"): []}
        for number in range(rounds):
            for (ranks, workers, what), costs in found.items():
                costs.append(ask("grid", folder, ranks, workers, 8 * each, few, many, what) / (many - few) * 1e3)
                print(f"round {number + 1}, {ranks} x {workers}, {what}: {costs[-1]:.3f} s of a core per thousand rows", file=sys.stderr, flush=True)
        for (ranks, workers, what), costs in found.items():
            print(f"{ranks} ranks x {workers} workers, batches of {8 * each // ranks} rows, {what}: {spread(costs, '{:.3f}')} s of a core "
                  "per thousand rows, beyond the start")
        ratios = [wide / narrow for wide, narrow in zip(found[8, 4, "rows"], found[1, 0, "rows"])]
        print(f"8 x 4 / 1 x 0: {spread(ratios, '{:.2f}')} times the processor time")


def main():
    parts = {"feed": lambda kind, folder, vocabulary, seconds: measure_feed(kind, pathlib.Path(folder), vocabulary, float(seconds)),
             "grid": lambda folder, *grid: measure_grid(__file__, folder, *grid),
             "rank": lambda folder, *grid: measure_rank(pathlib.Path(folder), *map(int, grid[:-1]), grid[-1])}
    if sys.argv[1:2] and sys.argv[1] in parts:  # This script, as it calls itself.
        return parts[sys.argv[1]](*sys.argv[2:])
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("millrace")
    parser.add_argument("vocabulary")
    parser.add_argument("shards", nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rows", type=int, nargs=2, default=(2048, 34816))
    parser.add_argument("--batches", type=int, nargs="+", default=(4, 16))
    parser.add_argument("--only", choices=("feeds", "grid"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as name:
        folder = pathlib.Path(name)
        prepare(folder, options.millrace, options.vocabulary, options.shards)
        if options.only != "grid":
            compare_feeds(folder, os.path.abspath(options.vocabulary), options.rounds, options.seconds)
        if options.only != "feeds":
            compare_grids(folder, options.rounds, options.batches, *options.rows)


if __name__ == "__main__":
    main()

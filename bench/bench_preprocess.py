#!/usr/bin/env python3
"""The whole offline job: zstd JSON lines to token files, by the clock, beside libsentencepiece's rate in the same minute.

usage: bench_preprocess.py MILLRACE BENCH_TOKENIZER VOCAB DATA SHARD...
SHARDs are copied into one corpus of a temporary run. BENCH_TOKENIZER's last line, of DATA, is the peer: the same reader
with both encoders, and nothing written.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

FORMATS = ["megatron", "olmo", "nanotron", "mds", "rows"]
ROW_POSITIONS = 16_000_000


def write_run(folder, vocabulary, shards):
    os.mkdir(os.path.join(folder, "data"))
    for number, shard in enumerate(shards):
        shutil.copy(shard, os.path.join(folder, "data", f"part-{number:03}.jsonl.zst"))
    files = {
        "mix.toml": 'name = "all"\n[[corpus]]\nname = "all"\nkind = "text"\nshare = 100\nshards = ["part-*"]\n',
        "objective.toml": 'name = "spans"\n[[denoiser]]\nname = "span"\nkind = "span"\nshare = 100\nmean_span = 3\n'
        'mask_ratio = 0.15\nprompt = "[NLU] "\n',
        "run.toml": f'name = "bench"\nseed = 1\nvocab = "{os.path.abspath(vocabulary)}"\nsequence_length = 2048\n'
        '[[phase]]\nuntil = 1_000_000_000\nmix = "mix.toml"\nobjective = "objective.toml"\n'
        '[model]\npreset = "openmoe-base"\n',
    }
    for name, content in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
            out.write(content)


def main():
    if len(sys.argv) < 6:
        sys.exit(__doc__)
    millrace, bench_tokenizer, vocabulary, data, *shards = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        write_run(folder, vocabulary, shards)
        decoded = subprocess.run(["zstdcat", *shards], stdout=subprocess.PIPE, check=True).stdout
        megabytes = len(decoded) / 1e6
        del decoded
        print(f"{len(shards)} shards, {megabytes:.1f} MB of JSON lines")
        print("format    threads  seconds  MB of JSON lines/s  tokens or positions/s")
        for threads in (1, 2):
            for form in FORMATS:
                out = os.path.join(folder, "out")
                of_rows = form in ("mds", "rows")
                command = [millrace, "preprocess", os.path.join(folder, "run.toml"), "--data", os.path.join(folder, "data"),
                           "--out", out, "--format", form, "--threads", str(threads), "--json"]
                command += ["--tokens", str(ROW_POSITIONS)] if of_rows else []
                start = time.monotonic()
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
                seconds = time.monotonic() - start
                account = json.loads(done.stdout)
                tokens = ROW_POSITIONS if of_rows else sum(c["raw_tokens"] for c in account["accounts"])
                rate = "-" if of_rows else f"{megabytes / seconds:.1f}"
                print(f"{form:<9} {threads:>7}  {seconds:7.2f}  {rate:>18}  {tokens / seconds / 1e6:19.2f} M")
                shutil.rmtree(out)
    print(subprocess.run([bench_tokenizer, vocabulary, data], stdout=subprocess.PIPE, check=True, text=True)
          .stdout.rstrip().splitlines()[-1])


if __name__ == "__main__":
    main()

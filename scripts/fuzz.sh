#!/usr/bin/env bash
# Fuzzes what reads bytes from outside: shards, vocabularies, text to tokens, mixes, objectives, run files, and what runs,
# checkpoints, outputs and indexes keep. Two at a time.
#   scripts/fuzz.sh [SECONDS [NAME...]]    SECONDS for each fuzzer (default 600); NAMEs: lines records foreign zstd tokenizer
#                                          vocabulary safetensors pytorch toml runs json rows
# MILLRACE_FUZZ_MODEL=FILE: a vocabulary that the tokenizer is tried with beside those it draws.
# What is found lies in build/fuzz/findings, and the exit code is 1 then; `build/fuzz/NAME_fuzzer FILE` shows it again.
# Inputs that reached something new stay in build/fuzz/corpus, where the next run begins.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { echo "usage: scripts/fuzz.sh [SECONDS [NAME...]]" >&2; exit 2; }
seconds=${1:-600}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || usage
names=("${@:2}")
[ ${#names[@]} -gt 0 ] || names=(lines records foreign zstd tokenizer vocabulary safetensors pytorch toml runs json rows)
for name in "${names[@]}"; do [ -f "tests/fuzz/${name}_fuzzer.cpp" ] || usage; done

scripts/deps.sh fuzz
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --parallel "$(nproc)"

folder=build/fuzz
mkdir -p "$folder/findings" "$folder/corpus"

# zstd files are no text, so they are made here instead of kept with the sources.
zstd_seeds() {
  local seeds=$folder/seeds/zstd text=tests/fuzz/seeds/records/redpajama.jsonl
  rm -rf "$seeds"
  mkdir -p "$seeds"
  zstd -q "$text" -o "$seeds/frame.zst"
  zstd -q --no-check -19 "$text" -o "$seeds/no_checksum.zst"
  zstd -q <"$text" >"$seeds/no_content_size.zst"
  zstd -q </dev/null >"$seeds/empty_frame.zst"
  head -c 1500 /dev/zero | zstd -q --long=27 >"$seeds/run_length_block.zst"
  head -c 200000 /dev/zero | tr '\0' 'a' | zstd -q >"$seeds/several_blocks.zst"
  printf '\x50\x2a\x4d\x18\x03\x00\x00\x00abc' >"$seeds/skippable.zst"
  cat "$seeds"/{frame,empty_frame,skippable,no_content_size,no_checksum}.zst >"$seeds/frames.zst"
  head -c 300 "$seeds/no_checksum.zst" >"$seeds/truncated.zst"
  { cat "$seeds/frame.zst"; echo "no frame"; } >"$seeds/garbage_behind.zst"
}
zstd_seeds

vocabulary_seeds() { # neither are models
  mkdir -p "$folder/seeds/vocabulary"
  PYTHONPATH=tests/cli PYTHONDONTWRITEBYTECODE=1 python3 -c '
import pathlib, sys, tiny_run
folder = pathlib.Path(sys.argv[1])
(folder / "unigram.model").write_bytes(tiny_run.vocabulary(["mill"]))
(folder / "bpe.model").write_bytes(tiny_run.vocabulary(["mill"]).replace(tiny_run.field(3, 1) + tiny_run.field(35, 1),
                                                                        tiny_run.field(3, 2) + tiny_run.field(35, 1)))
' "$folder/seeds/vocabulary"
}
vocabulary_seeds

pytorch_seeds() { # files of torch.save's, and their pickles alone
  mkdir -p "$folder/seeds/pytorch"
  PYTHONPATH=tests/cli PYTHONDONTWRITEBYTECODE=1 python3 -c '
import pathlib, sys, zipfile, checkpoint_files
folder = pathlib.Path(sys.argv[1])
tensors = {"norm": ("F32", [4], bytes(16)), "head": ("BF16", [2, 8], bytes(32))}
for protocol in (2, 4):
    path = folder / f"protocol{protocol}.bin"
    checkpoint_files.write_pytorch(path, tensors, protocol)
    (folder / f"protocol{protocol}.pickle").write_bytes(zipfile.ZipFile(path).read("archive/data.pkl"))
' "$folder/seeds/pytorch"
}
pytorch_seeds

seeds_of() { if [ -d "tests/fuzz/seeds/$1" ]; then echo "tests/fuzz/seeds/$1"; else echo "$folder/seeds/$1"; fi; }

fuzz() { # NAME: libFuzzer adds to the first folder and only reads the second
  mkdir -p "$folder/corpus/$1"
  "$folder/$1_fuzzer" -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=3000 -print_final_stats=1 \
    -artifact_prefix="$folder/findings/$1-" "$folder/corpus/$1" "$(seeds_of "$1")" >"$folder/$1.log" 2>&1
}

last_number() { # NAME PATTERN: the last number that the log has behind PATTERN
  sed -nE "s|.*$2 *([0-9]+).*|\\1|p" "$folder/$1.log" | tail -n 1
}

failed=0
report() { # NAME STATUS
  local verdict=clean
  if [ "$2" -ne 0 ]; then verdict="FOUND SOMETHING"; failed=1; fi
  printf '%-11s %12s %9s %9s %8s %8s  %s\n' "$1" "$(last_number "$1" 'stat::number_of_executed_units:')" \
    "$(last_number "$1" 'stat::average_exec_per_sec:')" "$(last_number "$1" ' cov:')" "$(last_number "$1" ' ft:')" \
    "$(last_number "$1" ' corp:')" "$verdict"
  [ "$2" -eq 0 ] || grep -E 'does not hold|ERROR|SUMMARY|Test unit written' "$folder/$1.log" | sed 's/^/    /' || true
}

printf '%-11s %12s %9s %9s %8s %8s\n' fuzzer executions exec/s edges features corpus
for ((i = 0; i < ${#names[@]}; i += 2)); do
  pair=("${names[@]:i:2}")
  jobs=()
  for name in "${pair[@]}"; do fuzz "$name" & jobs+=($!); done
  for j in "${!pair[@]}"; do
    status=0
    wait "${jobs[j]}" || status=$?
    report "${pair[j]}" "$status"
  done
done
exit $failed

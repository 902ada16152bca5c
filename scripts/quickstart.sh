#!/usr/bin/env bash
# From raw shards to a trained mixture-of-experts that writes text: installs what is missing, builds millrace, makes
# shards from this machine's own documentation and sources, trains a vocabulary and a small OpenMoE, evaluates it and
# lets it write. Everything lies below build/quickstart.
#   scripts/quickstart.sh            reuses finished steps; resumes an interrupted training
#   scripts/quickstart.sh --fresh    starts from nothing
set -euo pipefail
cd "$(dirname "$0")/.."

folder=build/quickstart
data=$folder/data
documentation=$folder/docs
vocabulary=$folder/vocab.model
run=$folder/runs/quickstart
run_file=mixes/runs/quickstart.toml
millrace=build/release/millrace
pieces=8192

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m'; faint=$'\e[2m'; plain=$'\e[0m'; else bold=; faint=; plain=; fi
say() { printf '%s\n' "$*"; }
show() { printf '%s$%s%s\n' "$faint" "$(for word in "$@"; do shown "$word"; done)" "$plain"; "$@"; }
shown() { case $1 in *[!A-Za-z0-9_./=:,-]*) printf ' "%s"' "$1" ;; *) printf ' %s' "$1" ;; esac; }

case ${1:-} in
  "") ;;
  --fresh) rm -rf "$folder" ;;
  *) echo "usage: scripts/quickstart.sh [--fresh]" >&2; exit 2 ;;
esac
mkdir -p "$folder"

stop() { # Ctrl-C: the program has already saved
  trap - INT
  printf '\nquickstart: stopped. What is done stays in %s; scripts/quickstart.sh goes on from here.\n' "$folder" >&2
  exit 130
}
trap stop INT

times=()
step() { # NAME FUNCTION: runs a step and notes its duration
  local started=$SECONDS status
  printf '\n%s== %s%s\n' "$bold" "$1" "$plain"
  # Not "if "$2"": a function called as a condition does not stop at its first error.
  set +e
  (trap - INT; set -e; "$2")
  status=$?
  set -e
  [ $status -ne 130 ] || stop
  if [ $status -ne 0 ]; then
    printf 'quickstart: "%s" failed (exit code %d); scripts/quickstart.sh begins again there.\n' "$1" $status >&2
    exit $status
  fi
  times+=("$(printf '  %-34s %5d s' "$1" $((SECONDS - started)))")
}

# A finished step leaves a marker file, so that a partial result is never taken for a complete one.
is_done() { [ -f "$folder/$1.done" ]; }
mark_done() { touch "$folder/$1.done"; }
forget() { local name; for name in "$@"; do rm -f "$folder/$name.done"; done; }

on_run() { show "$millrace" "$@" --data "$data"; } # a command that takes the run

newest_checkpoint() {
  local found=("$run"/checkpoints/step-*/)
  [ -d "${found[0]}" ] || { echo "quickstart: no checkpoint in $run" >&2; return 1; }
  printf '%s\n' "${found[@]%/}" | sort -V | tail -n 1
}

install() { scripts/deps.sh run; }

build() {
  local options=()
  # The tests' packages are not required here. An existing build keeps its options.
  [ -f build/release/build.ninja ] || options=(-DMILLRACE_TESTS=OFF)
  show cmake --preset release "${options[@]}"
  show cmake --build --preset release --parallel "$(nproc)" --target millrace
}

# Slim images come without documentation. Debian's documentation packages are unpacked then, not installed.
enough_kilobytes=60000
documentation_packages=(
  manpages manpages-dev manpages-de manpages-de-dev manpages-es manpages-fr manpages-fr-dev manpages-it manpages-ja
  manpages-pl manpages-pt-br manpages-ru manpages-uk manpages-zh
  debian-reference-de debian-reference-en debian-reference-es debian-reference-fr debian-reference-it
  debian-reference-ja debian-reference-pt debian-reference-zh-cn debian-faq debian-faq-de debian-faq-fr debian-faq-ru
  developers-reference developers-reference-de developers-reference-fr developers-reference-ja
  developers-reference-ru debian-policy perl-doc git-doc postgresql-doc-15
  libpython3.11-stdlib perl-modules-5.36 vim-runtime
)

kilobytes_of_documentation() {
  local folders=() name
  for name in /usr/share/doc /usr/share/man; do [ ! -d $name ] || folders+=("$name"); done
  du -ck --apparent-size "${folders[@]}" 2>/dev/null | tail -n 1 | cut -f 1
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

unpack_documentation() {
  local archives=$PWD/$folder/archives have package available=()
  have=$(kilobytes_of_documentation)
  if [ "$have" -ge $enough_kilobytes ]; then
    say "This machine has $((have / 1000)) MB of documentation: enough."
    return
  fi
  say "This machine has $((have / 1000)) MB of documentation, less than $((enough_kilobytes / 1000)) MB:"
  say "Debian's documentation packages are downloaded and unpacked into $documentation (not installed)."
  rm -rf "$archives" "$documentation"
  mkdir -p "$archives" "$documentation"
  as_root apt-get update -q >/dev/null || say "The package lists could not be refreshed: taking those at hand."
  for package in "${documentation_packages[@]}"; do
    if [ -n "$(apt-cache show --no-all-versions "$package" 2>/dev/null)" ]; then available+=("$package")
    else say "  $package is not to be had here: left out"; fi
  done
  (cd "$archives" && apt-get download -q -o APT::Sandbox::User=root "${available[@]}" >/dev/null)
  for package in "$archives"/*.deb; do dpkg-deb -x "$package" "$documentation"; done
  rm -rf "$archives"
  say "Unpacked ${#available[@]} packages."
  touch "$documentation/.complete"
}

sample() {
  if is_done sample; then say "Shards are there: $data"; return; fi
  local from=()
  forget vocab
  rm -rf "$data"
  [ -f "$documentation/.complete" ] || unpack_documentation
  [ ! -f "$documentation/.complete" ] || from=(--from "$documentation")
  show "$millrace" sample --out "$data" "${from[@]}"
  mark_done sample
}

train_vocabulary() {
  if is_done vocab; then say "Vocabulary is there: $vocabulary"; return; fi
  forget train
  rm -rf "$run" "$vocabulary"
  show "$millrace" vocab train --shards "$data" --size $pieces --out "$vocabulary"
  mark_done vocab
}

check_mix() { on_run mix check "$run_file"; }

look_at_examples() { on_run inspect "$run_file" --examples 2; }

train() {
  if is_done train; then
    say "The run is finished: $run"
    return
  fi
  on_run train "$run_file" --run-dir "$run" --resume
  mark_done train
}

evaluate() { on_run eval "$(newest_checkpoint)" --run "$run"; }

write_text() {
  local checkpoint prompt
  checkpoint=$(newest_checkpoint)
  for prompt in "The program reads" "#include <"; do
    show "$millrace" generate "$checkpoint" --prompt "$prompt" --tokens 64 --temperature 0.8 --top-k 40 --seed 1
    say ""
  done
}

report() { show "$millrace" report "$run" --out "$run/report.html"; }

step "packages" install
step "build" build
step "shards" sample
step "vocabulary" train_vocabulary
step "mix check" check_mix
step "examples" look_at_examples
step "training" train
step "evaluation on held-out documents" evaluate
step "generation" write_text
step "report" report

checkpoint=$(newest_checkpoint)
printf '\n%s== done%s\n' "$bold" "$plain"
printf '%s\n' "${times[@]}"
cat <<TEXT

Made shards of this machine's own text and code, a vocabulary of $pieces pieces, and an OpenMoE trained on a mix of both.

  $data/          the shards: JSON lines (zstd) and Parquet
  $vocabulary     the SentencePiece vocabulary
  $run/           the run: metrics.jsonl, summary.json, train.log, checkpoints/
  $run/report.html   its charts, for a browser

Try next:
  $millrace generate $checkpoint --prompt "The kernel"
  $millrace inspect $run_file --data $data --examples 5
  $millrace mix check mixes/openmoe-v1.toml --tokens 780000000000
  $millrace train $run_file --data $data --set seed=2 --run-dir $folder/runs/seed-2
TEXT

#!/usr/bin/env bash
# Builds, here, what scripts/gpu_check.sh runs on a machine with a card, which needs no compiler and no network:
#   build/gpu/check    gpu_check, the plug-in, the libraries they link but CUDA's, the golden files; under 20 MB
#   build/gpu/run      millrace, the plug-in, its libraries, shards of this machine's documentation, a vocabulary, the files
#                      of a run; under 60 MB packed
# and beside each a .tar.xz of it, to be carried. Programs are made for any x86-64 processor of the last fifteen years;
# without oneDNN, as a card's machine multiplies on the card. Installs what is missing. The exit code is 1 if one is too large.
#   scripts/gpu_bundle.sh [check|run] [--vocab FILE]
#     --vocab    the run's vocabulary, instead of one of 32,000 pieces that is trained on its shards
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { echo "usage: scripts/gpu_bundle.sh [check|run] [--vocab FILE]" >&2; exit 2; }
bundles=(check run)
vocabulary=
while [ $# -gt 0 ]; do
  case $1 in
    check | run) bundles=("$1"); shift ;;
    --vocab) [ $# -ge 2 ] || usage; vocabulary=$2; shift 2 ;;
    *) usage ;;
  esac
done
[ -z "$vocabulary" ] || [ -f "$vocabulary" ] || { echo "gpu_bundle: there is no file $vocabulary" >&2; exit 2; }

build=build/gpu/build
most_megabytes=20        # Of the check bundle, as it lies.
most_megabytes_packed=60 # Of the run bundle.
shards=build/gpu/shards

scripts/deps.sh test
scripts/deps.sh cuda
cmake --preset portable -B "$build" -DMILLRACE_CUDA=ON -DMILLRACE_TESTS=ON -DMILLRACE_ONEDNN=OFF >/dev/null
targets=(millrace_cuda)
for bundle in "${bundles[@]}"; do
  case $bundle in check) targets+=(gpu_check) ;; run) targets+=(millrace) ;; esac
done
cmake --build "$build" --parallel "$(nproc)" --target "${targets[@]}"

# Libraries that a program links, but for glibc's and CUDA's.
libraries() {
  ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' |
    grep -vE '/(libc|libm|libdl|librt|libpthread|ld-linux[^/]*|libcudnn[^/]*|libcublas[^/]*|libcudart[^/]*)\.so'
}

# put FOLDER PROGRAM: the program, the plug-in and their libraries.
put() {
  mkdir -p "$1/lib"
  cp "$2" "$build/libmillrace_cuda.so" "$1/"
  libraries "$2" | xargs -I{} cp -Ln {} "$1/lib/"
  chmod u+w "$1"/lib/*
  strip --strip-unneeded "$1/$(basename "$2")" "$1/libmillrace_cuda.so" "$1"/lib/*
}

# Shards take a minute, and so does a vocabulary: they are made once.
sample() {
  if [ ! -f "$shards/vocab.model" ]; then
    rm -rf "$shards"
    mkdir -p "$shards"
    "$build/millrace" sample --out "$shards/data" --megabytes 100
    "$build/millrace" vocab train --shards "$shards/data" --size 32000 --out "$shards/vocab.model"
  fi
}

packed_bytes() { tar -cC build/gpu "$1" | zstd -10 -T0 -c | wc -c; }
refuse() { echo "gpu_bundle: $*" >&2; status=1; }

status=0
for bundle in "${bundles[@]}"; do
  folder=build/gpu/$bundle
  rm -rf "$folder" "$folder.tar.xz"
  case $bundle in
    check)
      put "$folder" "$build/gpu_check"
      cp -r tests/golden "$folder/golden"
      rm -f "$folder"/golden/*.py
      ;;
    run)
      sample
      put "$folder" "$build/millrace"
      cp -r "$shards/data" "$folder/data"
      cp "${vocabulary:-$shards/vocab.model}" "$folder/vocab.model"
      mkdir -p "$folder/mixes/runs"
      cp -r mixes/objectives mixes/quickstart.toml "$folder/mixes/"
      cp mixes/runs/base-on-a-card.toml "$folder/mixes/runs/"
      ;;
  esac
  megabytes=$(($(du -sb "$folder" | cut -f1) / 1000000))
  packed=$(($(packed_bytes "$bundle") / 1000000))
  XZ_OPT=-T0 tar -cJf "$folder.tar.xz" -C build/gpu "$bundle"
  echo "$folder: $megabytes MB, packed $packed MB; $folder.tar.xz: $(($(stat -c %s "$folder.tar.xz") / 1000000)) MB"
  if [ "$bundle" = check ] && [ $megabytes -ge $most_megabytes ]; then refuse "$folder is to be under $most_megabytes MB"; fi
  if [ "$bundle" = run ] && [ $packed -ge $most_megabytes_packed ]; then
    refuse "$folder is to be under $most_megabytes_packed MB packed"
  fi
done
exit $status

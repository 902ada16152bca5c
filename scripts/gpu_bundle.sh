#!/usr/bin/env bash
# Builds, here, what scripts/gpu_check.sh runs on a machine with a card, which needs no compiler and no network:
#   build/gpu/check    gpu_check, the plug-in, the libraries they link but CUDA's, the golden files
#   build/gpu/run      millrace, the plug-in, its libraries, shards of this machine's documentation, a vocabulary
# Programs are made for any x86-64 processor of the last fifteen years. Installs what is missing.
#   scripts/gpu_bundle.sh            both
#   scripts/gpu_bundle.sh check      that one
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { echo "usage: scripts/gpu_bundle.sh [check|run]" >&2; exit 2; }
[ $# -le 1 ] || usage
case ${1:-both} in both) bundles=(check run) ;; check | run) bundles=("$1") ;; *) usage ;; esac

build=build/gpu/build
scripts/deps.sh
scripts/deps.sh cuda
cmake --preset portable -B "$build" -DMILLRACE_CUDA=ON -DMILLRACE_TESTS=ON >/dev/null
cmake --build "$build" --parallel "$(nproc)" --target gpu_check millrace millrace_cuda

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
  strip "$1/$(basename "$2")" "$1/libmillrace_cuda.so"
}

for bundle in "${bundles[@]}"; do
  folder=build/gpu/$bundle
  rm -rf "$folder"
  case $bundle in
    check)
      put "$folder" "$build/gpu_check"
      cp -r tests/golden "$folder/golden"
      rm -f "$folder"/golden/*.py
      ;;
    run)
      put "$folder" "$build/millrace"
      "$build/millrace" sample --out "$folder/data" --megabytes 100
      "$build/millrace" vocab train --shards "$folder/data" --size 32000 --out "$folder/vocab.model"
      cp -r mixes "$folder/mixes"
      ;;
  esac
  echo "$folder: $(du -sh "$folder" | cut -f1), packed $(tar -cC "$folder" . | zstd -10 -T0 -c | wc -c | numfmt --to=iec)"
done

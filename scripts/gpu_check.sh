#!/usr/bin/env bash
# Runs the bundles of scripts/gpu_bundle.sh on this machine's NVIDIA card: each part is a program of its own with a verdict
# of its own, and the last thing printed is a table of them. Takes less than seven minutes. The exit code is 1 if a part
# failed.
#   scripts/gpu_check.sh [--host] [--out FOLDER] [--only TEXT] [--seconds N] [--peer FILE]
#     --host      on the processor, small: no card is needed
#     --out       where log, gpu_check.json and a run's metrics go (build/gpu/out)
#     --only      parts whose names have the text in them
#     --seconds   parts for which no time is left are skipped (420)
#     --peer      a PyTorch program of the same model, which is timed beside: FILE --shape base --rows 16 --targets 0.3 ...
#     --list      names the parts, and runs none
# Bundles that are not in build/gpu are unpacked from build/gpu/*.tar.xz, or built.
set -euo pipefail
cd "$(dirname "$0")/.."

for bundle in check run; do
  folder=build/gpu/$bundle
  [ ! -d "$folder" ] || continue
  if [ -f "$folder.tar.xz" ]; then python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall("build/gpu")' "$folder.tar.xz"
  else scripts/gpu_bundle.sh "$bundle"; fi
done
exec python3 scripts/gpu_check.py "$@"

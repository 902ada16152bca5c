#!/usr/bin/env bash
# Runs the check bundle of scripts/gpu_bundle.sh on this machine's NVIDIA card: each part has a verdict of its own, and the
# last thing is a table of them. Takes minutes. The exit code is 1 if a part failed.
#   scripts/gpu_check.sh [--out FOLDER] [--host] [--only PART]
#     --out     where log and gpu_check.json go (build/gpu/out)
#     --host    on the processor, small: no card is needed
set -euo pipefail
cd "$(dirname "$0")/.."

out=build/gpu/out
options=()
while [ $# -gt 0 ]; do
  case $1 in
    --out) [ $# -ge 2 ] || { echo "gpu_check: --out wants a folder" >&2; exit 2; }; out=$2; shift 2 ;;
    --only) [ $# -ge 2 ] || { echo "gpu_check: --only wants a part's name" >&2; exit 2; }; options+=(--only "$2"); shift 2 ;;
    --host) options+=(--host); shift ;;
    *) echo "usage: scripts/gpu_check.sh [--out FOLDER] [--host] [--only PART]" >&2; exit 2 ;;
  esac
done

bundle=build/gpu/check
[ -x $bundle/gpu_check ] || scripts/gpu_bundle.sh check
mkdir -p "$out"

# CUDA's libraries: those of deps.sh, of a toolkit, or of a PyTorch.
cuda_paths() {
  ls -d build/deps/cuda/lib /usr/local/cuda/lib64 2>/dev/null || true
  python3 - 2>/dev/null <<'PYTHON' || true
import glob, site, sys
for folder in {*site.getsitepackages(), *sys.path}:
    for found in glob.glob(folder + "/nvidia/*/lib"): print(found)
PYTHON
}
LD_LIBRARY_PATH=$PWD/$bundle:$PWD/$bundle/lib:$(cuda_paths | paste -sd:):${LD_LIBRARY_PATH:-}
export LD_LIBRARY_PATH
if command -v nvidia-smi >/dev/null; then nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv; fi
status=0
"$bundle/gpu_check" --golden "$bundle/golden" --json "$out/gpu_check.json" "${options[@]}" 2>&1 | tee "$out/gpu_check.log" || status=1
exit $status

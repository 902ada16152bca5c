#!/usr/bin/env bash
# Installs what is missing, configures every preset whose compiler is there, builds the release preset and runs the tests
# labelled quick. At most ten minutes on two cores from nothing. This is what CI runs.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/deps.sh test
cmake --preset release -DMILLRACE_TESTS=ON -DMILLRACE_BENCH=OFF
scripts/configure_presets.py
cmake --build --preset release --parallel "$(nproc)"
ctest --preset quick --parallel "$(nproc)" --no-tests=error

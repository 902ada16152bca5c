#!/usr/bin/env bash
# Installs what one step needs on Debian 12. Says what it does; does nothing when all is there.
#   scripts/deps.sh run      build and use the program
#   scripts/deps.sh test     also build and run the tests
#   scripts/deps.sh bench    also the benchmarks
#   scripts/deps.sh fuzz     also scripts/fuzz.sh: clang with its fuzzing library
#   scripts/deps.sh check    also scripts/check.sh: formatter, linter
#   scripts/deps.sh --list STEP    prints the step's packages and installs nothing
# Installs as root, or through sudo. scripts/check_deps.py compares these lists with what the build really uses.
set -euo pipefail
cd "$(dirname "$0")/.."

run_packages=(
  ca-certificates g++ cmake ninja-build pkg-config libgomp1
  libtbb-dev libzstd-dev liblz4-dev zlib1g-dev libsimdjson-dev libsentencepiece-dev libdnnl-dev ocl-icd-opencl-dev
  libtomlplusplus-dev libcli11-dev libspdlog-dev libfmt-dev libxxhash-dev nlohmann-json3-dev
  libprotozero-dev libisal-dev
)
test_packages=(libgtest-dev libgmock-dev librapidcheck-dev python3 python3-numpy zstd chromium-headless-shell fonts-dejavu-core)
# PyTorch multiplies f32 with the installed BLAS; the slow reference BLAS would make bench_model's comparison
# meaningless.
bench_packages=(libbenchmark-dev python3-torch libopenblas0-pthread)
fuzz_packages=(clang libclang-rt-dev libomp-dev)
check_packages=(clang-format clang-tidy)

usage() { echo "usage: scripts/deps.sh run|test|bench|fuzz|check, or scripts/deps.sh --list STEP" >&2; exit 2; }

list_only=false
if [ "${1:-}" = --list ]; then list_only=true; shift; fi
[ $# -le 1 ] || usage
step=${1:-run}
case $step in
  run) packages=("${run_packages[@]}") ;;
  test) packages=("${run_packages[@]}" "${test_packages[@]}") ;;
  bench) packages=("${run_packages[@]}" "${test_packages[@]}" "${bench_packages[@]}") ;;
  fuzz) packages=("${run_packages[@]}" "${test_packages[@]}" "${fuzz_packages[@]}") ;;
  check) packages=("${run_packages[@]}" "${test_packages[@]}" "${fuzz_packages[@]}" "${check_packages[@]}") ;;
  *) usage ;;
esac
if $list_only; then printf '%s\n' "${packages[@]}"; exit 0; fi

say() { echo "deps: $*"; }
fail() { echo "deps: $*" >&2; exit 1; }

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  fail "this script knows Debian 12 only. Elsewhere, install the like of: ${packages[*]}"
fi

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }
missing_of() { local package; for package in "$@"; do installed "$package" || echo "$package"; done; }

install_packages() {
  local log left
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    fail "missing: $*. Neither root nor sudo is at hand; as root: scripts/deps.sh $step"
  fi
  say "installing $*"
  log=$(mktemp)
  if ! { as_root apt-get update -q &&
         as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    fail "apt-get could not install: $*"
  fi
  rm -f "$log"
  left=$(missing_of "$@")
  [ -z "$left" ] || fail "apt-get ended well, but these are not installed: $left"
}

mapfile -t missing < <(missing_of "${packages[@]}")
if [ ${#missing[@]} -gt 0 ]; then install_packages "${missing[@]}"; fi

# DuckDB and uPlot are not in Debian: they come from npm packages, pinned and checksummed. DuckDB's C library reads
# Parquet, uPlot draws the charts of `millrace report`.
duckdb_version=1.5.6
duckdb_header_version=1.4.4  # Of the C interface: the last with an npm package of its own; later versions contain it.
case $(uname -m) in
  x86_64) duckdb_platform=linux-x64; duckdb_library_sha256=1b9f82478539bb9a1d1df44bd103121a12ae52142c07158dc52b97d2ec1d69ff ;;
  aarch64) duckdb_platform=linux-arm64; duckdb_library_sha256=3a45a6305b3235a781ed9de25aa795a3862acd042782d1f864e1bdb656de212b ;;
  *) duckdb_platform= ;;
esac
duckdb_header_sha256=5bb967dcbcd517670ba5f169f238fb9d6787e53752c60ebe24386169d76941ed
uplot_version=1.6.32
uplot_sha256=4b8a8191e425658e3ea8c8c1314b0fc679c861ee3a1af2b20c7b16ba50b5133d

# True if build/deps/NAME holds the complete pinned version: its list of checksums is written last and names the
# version.
fetched() { # NAME VERSION
  [ -f "build/deps/$1/SHA256SUMS-$2" ] && (cd "build/deps/$1" && sha256sum --check --status "SHA256SUMS-$2" 2>/dev/null)
}

unpack_npm_package() { # PACKAGE@VERSION SHA256 FILE...: puts these files of the package into the current folder, $new
  local package=$1 sha256=$2 file archive
  shift 2
  archive=$work/$(cd "$work" && npm pack --silent "$package" | tail -n 1)
  [ -f "$archive" ] || { echo "deps: npm could not fetch $package" >&2; return 1; }
  echo "$sha256  $archive" | sha256sum --check --quiet >&2 ||
    { echo "deps: $package is not what was pinned (sha256 $sha256)" >&2; return 1; }
  for file in "$@"; do tar -xzf "$archive" --no-same-owner -O "package/$file" >"${file##*/}"; done
}

duckdb_files() {
  unpack_npm_package "@duckdb/node-bindings-$duckdb_platform@$duckdb_version-r.1" "$duckdb_library_sha256" libduckdb.so
  unpack_npm_package "duckdb@$duckdb_header_version" "$duckdb_header_sha256" src/duckdb/src/include/duckdb.h
}

uplot_files() {
  unpack_npm_package "uplot@$uplot_version" "$uplot_sha256" dist/uPlot.iife.min.js dist/uPlot.min.css LICENSE
}

fetch() { # NAME VERSION: calls NAME_files in a new folder, and lists their checksums
  new=$PWD/build/deps/$1.new
  work=$(mktemp -d)
  trap 'rm -rf "$work" "$new"' EXIT
  rm -rf "$new"
  mkdir -p "$new"
  cd "$new"
  "$1_files"
  sha256sum -- * >"$work/sums"
  mv "$work/sums" "SHA256SUMS-$2"
  rm -rf "${new%.new}"
  mv "$new" "${new%.new}"
}

require() { # NAME VERSION: has it in build/deps/NAME, or fails
  local status
  if fetched "$1" "$2"; then return; fi
  command -v npm >/dev/null || install_packages npm
  say "fetching $1 $2 from npm into build/deps/$1"
  # Not "fetch || fail": a function called as a condition does not stop at its first error.
  set +e
  (set -e; fetch "$1" "$2")
  status=$?
  set -e
  if [ $status -ne 0 ] || ! fetched "$1" "$2"; then fail "$1 could not be fetched; see above"; fi
}

if [ -n "$duckdb_platform" ]; then require duckdb "$duckdb_version"
else say "no DuckDB for $(uname -m): the program will be built without Parquet"; fi
require uplot "$uplot_version"
say "everything for '$step' is there"

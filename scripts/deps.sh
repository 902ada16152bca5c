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
  libtbb-dev libzstd-dev zlib1g-dev libsimdjson-dev libsentencepiece-dev libeigen3-dev libdnnl-dev ocl-icd-opencl-dev
  libtomlplusplus-dev libcli11-dev libspdlog-dev libfmt-dev libxxhash-dev nlohmann-json3-dev
)
test_packages=(libgtest-dev libgmock-dev librapidcheck-dev python3 python3-numpy zstd)
# PyTorch multiplies f32 with what BLAS there is; with the reference one bench_model would compare with nothing real.
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

# DuckDB is not in Debian: its C library and header come from two npm packages, pinned and checksummed.
duckdb_version=1.4.4
case $(uname -m) in
  x86_64) duckdb_platform=linux-x64; duckdb_library_sha256=8ac460b152cd05a95065a414879bb09e40534b1fb7a80a7afe6969b6ce039029 ;;
  aarch64) duckdb_platform=linux-arm64; duckdb_library_sha256=d3a1dec3ffba3fcefa8a15480c80dc244b109cc004e3414a32fa23681e89b0c5 ;;
  *) duckdb_platform= ;;
esac
duckdb_header_sha256=5bb967dcbcd517670ba5f169f238fb9d6787e53752c60ebe24386169d76941ed
duckdb_folder=build/deps/duckdb

# True if the folder holds the pinned version whole: its list of checksums is written last and names the version.
duckdb_fetched() {
  [ -f "$duckdb_folder/SHA256SUMS-$duckdb_version" ] &&
    (cd "$duckdb_folder" && sha256sum --check --status "SHA256SUMS-$duckdb_version" 2>/dev/null)
}

fetch_npm_package() { # NAME@VERSION SHA256 -> name of the verified archive in the current folder
  local archive
  archive=$(npm pack --silent "$1" | tail -n 1)
  [ -f "$archive" ] || { echo "deps: npm could not fetch $1" >&2; return 1; }
  echo "$2  $archive" | sha256sum --check --quiet >&2 ||
    { echo "deps: $1 is not what was pinned (sha256 $2)" >&2; return 1; }
  echo "$archive"
}

fetch_duckdb() (
  new=$PWD/$duckdb_folder.new
  work=$(mktemp -d)
  trap 'rm -rf "$work" "$new"' EXIT
  cd "$work"
  library=$(fetch_npm_package "@duckdb/node-bindings-$duckdb_platform@$duckdb_version-r.1" "$duckdb_library_sha256")
  header=$(fetch_npm_package "duckdb@$duckdb_version" "$duckdb_header_sha256")
  rm -rf "$new"
  mkdir -p "$new"
  tar -xzf "$library" -C "$new" --strip-components=1 --no-same-owner package/libduckdb.so
  tar -xzf "$header" -C "$new" --strip-components=5 --no-same-owner package/src/duckdb/src/include/duckdb.h
  cd "$new"
  sha256sum libduckdb.so duckdb.h >"SHA256SUMS-$duckdb_version"
  rm -rf "${new%.new}"
  mv "$new" "${new%.new}"
)

if [ -z "$duckdb_platform" ]; then
  say "no DuckDB for $(uname -m): the program will be built without Parquet"
elif ! duckdb_fetched; then
  command -v npm >/dev/null || install_packages npm
  say "fetching DuckDB $duckdb_version from npm into $duckdb_folder"
  # Not "fetch_duckdb || fail": a function called as a condition does not stop at its first error.
  set +e
  (set -e; fetch_duckdb)
  fetched=$?
  set -e
  if [ $fetched -ne 0 ] || ! duckdb_fetched; then fail "DuckDB could not be fetched; see above"; fi
fi
say "everything for '$step' is there"

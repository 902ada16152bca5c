"""Tests that the checks in scripts/ can fail: each must report the given offences and accept similar, allowed code."""
import json
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
BUILD = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
sys.path.insert(0, str(SCRIPTS))

import check_deps  # noqa: E402
import check_determinism  # noqa: E402
import check_includes  # noqa: E402
import lint  # noqa: E402


class SourceTreeTest(unittest.TestCase):
    def tree(self, files):
        """A small project in a temporary folder."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name, text in files.items():
            path = Path(folder.name) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return Path(folder.name)


class IncludeRules(SourceTreeTest):
    headers = {name: "" for name in ("stages/records.h", "stages/errors.h", "stages/shards/shard_to_records.h",
                                     "stages/objectives/objective.h", "pipeline/rows/position.h",
                                     "pipeline/stream/data_pipeline.h", "model/parameters/parameter.h",
                                     "model/optimizer/adafactor.h", "model/cuda/cuda_device.h", "model/device/device.h",
                                     "trainer/loop/train_loop.h")}

    def offences(self, path, line):
        return list(check_includes.offences(self.tree({**self.headers, path: line + "\n"})))

    def test_names_file_and_line_of_what_a_room_must_not_know(self):
        for path, line in [
            ("stages/io/a.cpp", '#include "pipeline/rows/position.h"'),
            ("stages/io/a.cpp", '#include "stages/shards/shard_to_records.h"'),
            ("stages/io/a.cpp", "#include <oneapi/tbb/flow_graph.h>"),
            ("stages/io/a.cpp", "#include <omp.h>"),
            ("stages/io/a.cpp", "#include <zstd.h>"),
            ("stages/a.cpp", "#include <thread>"),
            ("stages/a.cpp", '#  include "no_such_file.h"'),
            ("stages/a.cpp", "#include <some_library/thing.h>"),
            ("pipeline/rows/a.h", '#include "model/parameters/parameter.h"'),
            ("pipeline/rows/a.h", '#include "pipeline/stream/data_pipeline.h"'),
            ("pipeline/rows/a.h", "#include <dnnl.hpp>"),
            ("pipeline/mix/a.cpp", "#include <oneapi/tbb/parallel_for.h>"),
            ("model/device/a.cpp", '#include "stages/records.h"'),
            ("model/kernels/a.h", '#include "model/parameters/parameter.h"'),
            ("model/layers/a.cpp", '#include "model/optimizer/adafactor.h"'),
            ("model/layers/a.cpp", "#include <dnnl.hpp>"),
            ("model/device/a.cpp", "#include <cuda_runtime_api.h>"),
            ("model/device/a.cpp", '#include "model/cuda/cuda_device.h"'),
            ("model/cuda/a.cu", '#include "model/parameters/parameter.h"'),
            ("trainer/run/a.cpp", "#include <cublasLt.h>"),
            ("trainer/run/a.cpp", '#include "model/cuda/cuda_device.h"'),
            ("cli/commands/a.cpp", "#include <dlfcn.h>"),
            ("model/kernels/a.h", "#include <fstream>"),
            ("model/kernels/a.h", "#include <fmt/format.h>"),
            ("trainer/optimizer/a.cpp", '#include "pipeline/rows/position.h"'),
            ("trainer/loop/a.cpp", '#include "pipeline/stream/data_pipeline.h"'),
            ("trainer/distributed/replica.cpp", "#include <mpi.h>"),
            ("trainer/metrics/a.cpp", '#include "stages/objectives/objective.h"'),
            ("trainer/optimizer/a.cpp", "#include <tbb/task_arena.h>"),
            ("trainer/config/a.cpp", "#include <CLI/CLI.hpp>"),
            ("cli/commands/a.cpp", "#include <tbb/tbb.h>"),
            ("cli/commands/a.cpp", "#include <CLI/CLI.hpp>"),
            ("cli/console/a.cpp", '#include "trainer/loop/train_loop.h"'),
            ("pipeline/attic/a.cpp", '#include "stages/records.h"'),
        ]:
            with self.subTest(path=path, line=line):
                found = self.offences(path, line)
                self.assertEqual(len(found), 1, found)
                self.assertTrue(found[0].startswith(f"{path}:1: "), found)

    def test_lets_pass_what_the_table_allows(self):
        for path, line in [
            ("stages/compression/a.cpp", "#include <zstd.h>"),
            ("stages/io/a.cpp", "#include <fcntl.h>"),
            ("stages/io/a.cpp", '// #include "pipeline/rows/position.h"'),
            ("stages/io/a.cpp", '/* #include <thread>\n#include <mutex> */'),
            ("pipeline/mix/a.cpp", '#include "stages/objectives/objective.h"'),
            ("pipeline/stream/a.cpp", "#include <oneapi/tbb/flow_graph.h>"),
            ("model/layers/a.cpp", "#include <omp.h>"),
            ("model/cuda/a.cu", "#include <cudnn_graph.h>"),
            ("model/cuda/a.cpp", '#include "model/device/device.h"'),
            ("model/device/a.cpp", "#include <dlfcn.h>"),
            ("trainer/distributed/mpi_communicator.cpp", "#include <mpi.h>"),
            ("trainer/run/a.cpp", '#include "pipeline/stream/data_pipeline.h"'),
            ("cli/commands/a.cpp", '#include "model/optimizer/adafactor.h"'),
            ("tests/a.cpp", "#include <tbb/tbb.h>"),
        ]:
            with self.subTest(path=path, line=line):
                self.assertEqual(self.offences(path, line), [])

    def test_finds_every_include_that_no_line_of_the_table_allows(self):
        """Each room with each other one: an include that ROOMS does not allow is an offence, wherever it is."""
        tree = self.tree({f"{room}/x.h": "" for room in check_includes.ROOMS})
        for room in check_includes.ROOMS:
            named = check_includes.allowed(room)
            for other in check_includes.ROOMS:
                reason = check_includes.offence(tree, Path(room) / "y.cpp", f'"{other}/x.h"')
                self.assertEqual(reason is None, other in named, (room, other, reason))

    def faults(self, files):
        return list(check_includes.faults_of_shape(self.tree(files)))

    def test_a_room_holds_sixteen_pairs_at_most(self):
        pairs = {f"model/device/op{i}.{end}": "" for i in range(16) for end in ("h", "cpp")}
        self.assertEqual(self.faults(pairs), [])
        found = self.faults({**pairs, "model/device/one_more.h": ""})
        self.assertEqual([line.split(":")[0] for line in found], ["model/device"])
        self.assertEqual(self.faults({f"cli/commands/command{i}.cpp": "" for i in range(30)}), [])

    def test_names_headers_in_a_circle(self):
        found = self.faults({"model/device/a.h": '#include "model/device/b.h"\n', "model/device/b.h": '#include "model/device/a.h"\n'})
        self.assertEqual(found, ["headers in a circle: model/device/a.h, model/device/b.h"])

    def test_names_pairs_in_circles_once_there_are_more_than_four(self):
        def ring(name, length):
            return {f"model/device/{name}{i}.h": "" for i in range(length)} | {
                f"model/device/{name}{i}.cpp": f'#include "model/device/{name}{(i + 1) % length}.h"\n' for i in range(length)}
        self.assertEqual(self.faults({**ring("a", 2), **ring("b", 2)}), [])
        self.assertEqual(len(self.faults(ring("a", 5))), 1)

    def test_the_table_itself_has_no_circle(self):
        self.assertEqual(check_includes.circles({r: check_includes.allowed(r) - {r} for r in check_includes.ROOMS}), [])
        self.assertEqual(check_includes.circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}), [["a", "b", "c"]])

    def test_the_picture_in_the_pages_is_that_of_the_table(self):
        page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
        self.assertIn(check_includes.picture(), page, "put there what `scripts/check_includes.py --picture` prints")

    def test_an_empty_tree_is_a_failure(self):
        script = [sys.executable, str(SCRIPTS / "check_includes.py"), str(self.tree({}))]
        self.assertEqual(subprocess.run(script, capture_output=True).returncode, 1)


class DeterminismRules(SourceTreeTest):
    def offences(self, files):
        return list(check_determinism.offences(self.tree(files)))

    def test_names_file_and_line_of_each_refused_thing(self):
        for line in [
            "#pragma omp parallel for reduction(+ : sum)",
            "#pragma omp simd reduction(+ : sum)",
            "#pragma omp parallel for \\\n    reduction(+ : sum)",
            "#pragma omp for schedule(dynamic)",
            "#pragma omp for schedule(monotonic: guided, 4)",
            "#pragma omp atomic",
            "std::atomic<float> sum;",
            "std::atomic< double > sum;",
            "std::atomic_ref<float> sum(x);",
            "tbb::parallel_reduce(range, 0.0f, body, std::plus<>());",
            "std::reduce(std::execution::par, v.begin(), v.end());",
            "std::uniform_int_distribution<int> d(0, 9);",
            "std::normal_distribution<> d;",
            "atomicAdd(&sum, x);",
            "atomicAdd_block(&sum, x);",
            "if (atomicCAS (&lock, 0, 1) == 0) {}",
            "MPI_Reduce(a, b, n, MPI_FLOAT, op, 0, ranks);",
            "MPI_Iallreduce(a, b, n, MPI_FLOAT, op, ranks, &request);",
            "MPI_Op op = MPI_SUM;",
            "auto op = ncclSum;",
            "std::random_device device;",
            "std::mt19937 generator(1);",
            "std::mt19937_64 generator(1);",
            "int x = rand() % 6;",
            "srand(1);",
            "std::shuffle(v.begin(), v.end(), g);",
            '#pragma GCC optimize("fast-math")',
            "__attribute__((optimize(\"O3\"))) void f();",
        ]:
            with self.subTest(line=line):
                found = self.offences({"model/a.cpp": "\n" + line + "\n"})
                self.assertEqual(len(found), 1, found)
                self.assertTrue(found[0].startswith("model/a.cpp:2: "), found)

    def test_names_fast_math_in_build_files(self):
        for path in ("CMakeLists.txt", "model/CMakeLists.txt", "cmake/flags.cmake", "CMakePresets.json"):
            for flag in ("-ffast-math", "-Ofast", "-fassociative-math", "-funsafe-math-optimizations"):
                with self.subTest(path=path, flag=flag):
                    found = self.offences({path: f'"-O3 {flag}"\n'})
                    self.assertEqual(len(found), 1, found)

    def test_lets_pass_what_only_looks_like_it(self):
        for line in [
            "#pragma omp parallel for schedule(static)",
            "// no omp reduction here: rand() and std::mt19937 neither",
            '/* #pragma omp atomic */ const char* text = "std::random_device";',
            "std::atomic<std::uint64_t> count;",
            "std::atomic<bool> stop;",
            "atomicity(x);",
            "double x = rng.random(); const int operand(3);",
            "reduction_of_loss(1'000, 'a');",
            "tbb::parallel_deterministic_reduce(range, 0.0f, body, add);",
        ]:
            with self.subTest(line=line):
                self.assertEqual(self.offences({"model/a.cpp": line + "\n"}), [])
        self.assertEqual(self.offences({"cmake/flags.cmake": "# never -ffast-math\n"}), [])


class Presets(SourceTreeTest):
    def configured(self, source):
        """Exit status and output for a project with one preset that builds `source` beside its main.cpp."""
        preset = {"name": "fuzz", "generator": "Ninja", "binaryDir": "${sourceDir}/build/fuzz"}
        presets = {"version": 6, "configurePresets": [
            {**preset, "cacheVariables": {"CMAKE_CXX_COMPILER": "c++"}},
            {"name": "other", "inherits": "fuzz", "cacheVariables": {"CMAKE_CXX_COMPILER": "no-such-compiler"}}]}
        root = self.tree({"CMakePresets.json": json.dumps(presets), "main.cpp": "int main() {}\n",
                          "CMakeLists.txt": "cmake_minimum_required(VERSION 3.25)\nproject(small LANGUAGES CXX)\n"
                                            f"add_executable(small {source})\n"})
        run = subprocess.run([sys.executable, str(SCRIPTS / "configure_presets.py"), str(root)], capture_output=True,
                             text=True)
        return run.returncode, run.stdout

    def test_one_that_names_a_file_which_was_moved_fails(self):
        status, output = self.configured("moved.cpp")
        self.assertEqual(status, 1, output)
        self.assertIn("fuzz: FAILED", output)
        self.assertIn("moved.cpp", output)

    def test_one_whose_compiler_is_missing_is_passed_over_visibly(self):
        status, output = self.configured("main.cpp")
        self.assertEqual(status, 0, output)
        self.assertIn("fuzz: configured", output)
        self.assertIn("other: passed over, no-such-compiler", output)

class LintPlan(SourceTreeTest):
    files = {
        ".clang-tidy": "Checks: '-*'\n",
        "stages/errors.h": "",
        "stages/records.h": '#include "stages/errors.h"\n',
        "stages/records.cpp": '#include "stages/records.h"\n',
        "model/a.cpp": '#include "stages/records.h"\n',
        "model/unused.h": "",
        "bench/b.cpp": "",
    }
    compiled = {"stages/records.cpp", "model/a.cpp"}

    def planned(self, *edited):
        """What is linted, and for which files, after the `edited` files have changed."""
        root = self.tree(self.files)
        clean = lint.fingerprints(root)
        for name in edited:
            with open(root / name, "a", encoding="utf-8") as file:
                file.write("\n")
        return lint.plan(root, lint.fingerprints(root), clean, self.compiled)

    def test_what_was_clean_is_not_linted_again(self):
        self.assertEqual(self.planned(), {})

    def test_a_source_that_was_edited_is_linted(self):
        self.assertEqual(self.planned("model/a.cpp"), {"model/a.cpp": {"model/a.cpp"}})

    def test_a_header_is_linted_through_its_own_source(self):
        self.assertEqual(self.planned("stages/records.h"), {"stages/records.cpp": {"stages/records.cpp", "stages/records.h"}})

    def test_a_header_without_a_source_is_linted_through_one_that_includes_it_through_others(self):
        self.assertEqual(list(self.planned("stages/errors.h")), ["model/a.cpp"])

    def test_everything_that_is_compiled_is_linted_once_the_rules_change(self):
        self.assertEqual(set(self.planned(".clang-tidy")), self.compiled)


class DepsList(unittest.TestCase):
    def test_sees_the_programs_a_script_calls(self):
        called = check_deps.programs_called("scripts/deps.sh")
        for name in ("mktemp", "tar", "sha256sum", "tail"):
            self.assertIn(name, called)
        self.assertIn("dpkg-deb", check_deps.programs_called("scripts/quickstart.sh"))

    def test_knows_every_step(self):
        for step in ("run", "test", "bench", "fuzz", "check", "cuda", "transformers", "readers", "python"):
            listed = subprocess.run(["bash", str(SCRIPTS / "deps.sh"), "--list", step], capture_output=True, text=True)
            self.assertEqual(listed.returncode, 0)
            self.assertIn("libtbb-dev", listed.stdout.split())

    def test_asks_for_a_toolkit_only_where_it_is_named(self):
        text = (SCRIPTS / "deps.sh").read_text(encoding="utf-8")
        self.assertIn('if [ "$step" = cuda ]; then require_cuda; fi\n', text)
        self.assertEqual(text.count("require_cuda"), 2)

    def test_pins_every_wheel_of_the_toolkit_by_version_and_checksum(self):
        text = (SCRIPTS / "deps.sh").read_text(encoding="utf-8")
        wheels = re.search(r'^cuda_wheels="\n(.*?)\n"$', text, re.DOTALL | re.MULTILINE)[1].splitlines()
        self.assertEqual(len(wheels), 8)
        for wheel in wheels:
            self.assertRegex(wheel, r"^nvidia-[a-z0-9-]+==[0-9]+(\.[0-9]+)+ --hash=sha256:[0-9a-f]{64}$")

    def test_refuses_an_unknown_step(self):
        wrong = subprocess.run(["bash", str(SCRIPTS / "deps.sh"), "everything"], capture_output=True, text=True)
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("usage", wrong.stderr)

    def test_leaves_out_the_cuda_toolkit_that_a_build_found(self):
        with tempfile.TemporaryDirectory() as folder:
            build = Path(folder)
            is_of_cuda = check_deps.of_cuda(build)
            self.assertFalse(is_of_cuda("/opt/cuda-13/include/cuda_runtime.h"))
            (build / "CMakeCache.txt").write_text("//nvcc\nMILLRACE_NVCC:FILEPATH=/opt/cuda-13/bin/nvcc\n", encoding="utf-8")
            is_of_cuda = check_deps.of_cuda(build)
            self.assertTrue(is_of_cuda("/opt/cuda-13/include/cuda_runtime.h"))
            self.assertTrue(is_of_cuda("/usr/include/cudnn_graph.h"))
            self.assertFalse(is_of_cuda("/usr/include/zstd.h"))

    @unittest.skipIf(BUILD is None or check_deps.shutil.which("dpkg-query") is None, "needs a build on Debian")
    def test_names_a_package_that_is_not_listed(self):
        listed = check_deps.listed_packages("test")
        short = [package for package in listed if package not in ("libtbb-dev", "ninja-build")]
        script = [sys.executable, str(SCRIPTS / "check_deps.py"), str(BUILD), "--packages", *short]
        found = subprocess.run(script, capture_output=True, text=True)
        self.assertEqual(found.returncode, 1, found.stdout + found.stderr)
        self.assertIn("belongs to libtbb-dev", found.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

#!/usr/bin/env python3
"""Who may include whom: the table of docs/architecture.md, folder by folder.

usage: check_includes.py [ROOT]      exit 0: all is well, 1: named offences
"""
import re
import sys
from pathlib import Path

from source_text import blank_comments, line_of, sources

# Libraries by the beginning of their headers' names. What is not here and has no "/" or ".h" is the standard library.
LIBRARIES = {
    "fmt": ("fmt/",),
    "nlohmann_json": ("nlohmann/",),
    "toml++": ("toml++/",),
    "CLI11": ("CLI/",),
    "spdlog": ("spdlog/",),
    "oneTBB": ("tbb/", "oneapi/tbb"),
    "oneDNN": ("dnnl", "oneapi/dnnl"),
    "Eigen": ("Eigen/", "unsupported/Eigen/"),
    "OpenMP": ("omp.h",),
    "zstd": ("zstd.h", "zstd_errors.h", "zdict.h"),
    "lz4": ("lz4.h",),
    "zlib": ("zlib.h",),
    "simdjson": ("simdjson",),
    "sentencepiece": ("sentencepiece_",),
    "DuckDB": ("duckdb.h",),
    "xxHash": ("xxhash.h", "xxh3.h"),
    "MPI": ("mpi.h",),
    "GoogleTest": ("gtest/", "gmock/"),
    "RapidCheck": ("rapidcheck",),
    "intrinsics": ("immintrin.h", "arm_neon.h", "cpuid.h"),
    "POSIX": ("unistd.h", "fcntl.h", "sys/", "glob.h", "fnmatch.h", "dirent.h", "pthread.h", "sched.h", "poll.h",
              "signal.h", "termios.h", "libgen.h", "ftw.h", "spawn.h"),
}
THREADS = {"thread", "mutex", "shared_mutex", "condition_variable", "future", "semaphore", "latch", "barrier",
           "stop_token", "execution"}
FILES = {"fstream", "filesystem"}

# Per folder: headers of this project (folders, or single headers), libraries, and standard headers that are refused.
RULES = {
    "stages": {
        "own": ("stages/",),
        "libraries": {"POSIX", "intrinsics", "fmt", "zstd", "lz4", "zlib", "simdjson", "sentencepiece", "DuckDB", "xxHash"},
        "refused": THREADS,
        "why": "stages are pure transformations: no threads, and nothing of pipeline, model or trainer",
    },
    "pipeline": {
        "own": ("stages/", "pipeline/"),
        "libraries": {"POSIX", "fmt", "oneTBB", "toml++", "nlohmann_json", "xxHash"},
        "refused": set(),
        "why": "the pipeline decides what runs when; it knows stages and oneTBB, not model, trainer or Eigen",
    },
    "model": {
        "own": ("model/",),
        "libraries": {"Eigen", "oneDNN", "OpenMP", "intrinsics"},
        "refused": THREADS | FILES,
        "why": "the model is arithmetic: std, Eigen, oneDNN and OpenMP; no files, threads or data",
    },
    "trainer": {
        "own": ("trainer/", "model/", "pipeline/stream_row.h", "pipeline/position.h",
                "pipeline/ledger.h", "pipeline/reject_notices.h", "pipeline/reject_json.h",
                "pipeline/stream_config.h", "pipeline/json_value.h", "stages/records.h", "stages/errors.h",
                "stages/philox.h", "stages/input_file.h", "stages/disk.h", "stages/atomic_file.h",
                "stages/whole_file.h"),
        "libraries": {"POSIX", "fmt", "spdlog", "nlohmann_json", "xxHash", "OpenMP"},
        "refused": set(),
        "why": "the trainer is handed rows and positions, knows nothing of who makes them, and no TBB",
    },
    "cli": {
        "own": ("stages/", "pipeline/", "model/", "trainer/", "cli/"),
        "libraries": {"POSIX", "fmt", "spdlog", "nlohmann_json", "CLI11", "toml++", "zstd", "zlib", "simdjson",
                      "sentencepiece", "DuckDB", "xxHash"},
        "refused": set(),
        "why": "sub-commands are thin: no TBB, oneDNN, Eigen or OpenMP of their own",
    },
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?P<name><[^>\n]+>|"[^"\n]+")', re.MULTILINE)


def library_of(header):
    for library, beginnings in LIBRARIES.items():
        if header.startswith(beginnings):
            return library
    return None


def offence(root, folder, include):
    """Why `include` (with its <> or "") may not stand in `folder`, or None."""
    rule, header = RULES[folder], include[1:-1]
    if include[0] == '"':
        if not (root / header).is_file():
            return f"{include} is no file of this project, counted from its top folder; libraries go in <>"
        if not header.startswith(rule["own"]):
            return rule["why"]
        return None
    library = library_of(header)
    if library is None and ("/" in header or header.endswith((".h", ".hpp"))):
        return "no known library; if it is meant, add it to LIBRARIES and RULES"
    if library is not None and library not in rule["libraries"]:
        return f"{library}: {rule['why']}"
    return rule["why"] if header in rule["refused"] else None


def offences(root):
    root = Path(root)
    for path in sources(root, RULES):
        text = blank_comments((root / path).read_text(encoding="utf-8"))
        for match in INCLUDE.finditer(text):
            reason = offence(root, path.parts[0], match["name"])
            if reason:
                yield f"{path}:{line_of(text, match.start('name'))}: {match['name']}: {reason}"


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    files = len(sources(root, RULES))
    if files == 0:
        sys.exit(f"check_includes: no sources under {root}")
    found = list(offences(root))
    for line in found:
        print(line)
    print(f"check_includes: {files} files, {len(found)} offences")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Checks which room may include which: ROOMS below, shown as a picture in docs/architecture.md.

usage: check_includes.py [ROOT]            exit 0: all is well, 1: named offences
       check_includes.py --picture         the rooms by layer, as Markdown
"""
import re
import sys
from pathlib import Path

from source_text import FOLDERS, blank_comments, line_of, sources

# A room may include itself and what its line names; "folder/*" is a folder with all its rooms. Files directly in a
# folder follow that folder's own line.
ROOMS = {
    "stages": "",
    "stages/io": "stages",
    "stages/compression": "stages stages/io",
    "stages/parquet": "stages stages/io stages/compression",
    "stages/shards": "stages stages/io stages/compression stages/parquet",
    "stages/listing": "stages stages/io stages/shards",
    "stages/tokenizer": "stages stages/io",
    "stages/objectives": "stages stages/tokenizer",
    "pipeline": "stages stages/io",
    "pipeline/keys": "stages stages/io pipeline",
    "pipeline/config": "stages/* pipeline pipeline/keys",
    "pipeline/corpora": "stages/* pipeline pipeline/keys pipeline/config",
    "pipeline/reading": "stages/* pipeline/config pipeline/corpora",
    "pipeline/rows": "stages pipeline pipeline/keys pipeline/config pipeline/corpora pipeline/reading",
    "pipeline/mix": "stages/* pipeline/config pipeline/corpora pipeline/reading pipeline/rows",
    "pipeline/stream": "stages/* pipeline pipeline/keys pipeline/config pipeline/corpora pipeline/reading pipeline/rows "
                       "pipeline/mix",
    "pipeline/plan": "stages/* pipeline pipeline/config pipeline/corpora pipeline/reading pipeline/rows pipeline/mix",
    "pipeline/formats": "stages/* pipeline pipeline/config pipeline/corpora pipeline/rows",
    "pipeline/export": "stages/* pipeline pipeline/config pipeline/corpora pipeline/reading pipeline/rows pipeline/mix "
                       "pipeline/stream pipeline/plan pipeline/formats",
    "pipeline/sample": "stages/* pipeline",
    "pipeline/python": "stages stages/io stages/tokenizer pipeline pipeline/keys pipeline/config pipeline/corpora pipeline/reading "
                       "pipeline/rows pipeline/stream pipeline/plan pipeline/formats pipeline/export",
    "model": "",
    "model/config": "",
    "model/lanes": "model",
    "model/kernels": "model model/lanes",
    "model/device": "model model/kernels",
    "model/cpu": "model model/lanes model/kernels model/device",
    "model/cudnn": "model model/kernels model/device",
    "model/cuda": "model model/lanes model/kernels model/device model/cudnn",
    "model/parameters": "model model/config model/device",
    "model/pass": "model model/config model/kernels model/device",
    "model/layers": "model model/config model/kernels model/device model/parameters model/pass",
    "model/transformer": "model model/config model/kernels model/device model/parameters model/pass model/layers",
    "model/optimizer": "model model/kernels model/device model/parameters",
    "model/cost": "model model/config model/device model/cpu model/parameters model/transformer",
    "trainer": "stages pipeline/rows model/transformer",
    "trainer/config": "stages pipeline/keys pipeline/config model model/config model/device",
    "trainer/weights": "stages stages/io stages/compression pipeline model model/config model/kernels model/device model/parameters "
                       "trainer/config",
    "trainer/optimizer": "stages model/device model/parameters model/optimizer trainer/config",
    "trainer/backend": "stages model model/config model/kernels model/cpu model/device model/parameters model/pass model/optimizer "
                       "model/transformer trainer/config "
                       "trainer/optimizer",
    "trainer/cluster": "model/config model/parameters model/pass model/cost",
    "trainer/distributed": "stages stages/io pipeline pipeline/keys model model/config trainer/config",
    "trainer/ranked": "stages pipeline pipeline/keys model model/config model/kernels model/device model/parameters "
                      "model/pass model/optimizer model/transformer trainer/config trainer/optimizer trainer/backend "
                      "trainer/cluster trainer/distributed trainer/weights trainer/checkpoint",
    "trainer/evaluation": "stages pipeline model/transformer trainer trainer/weights trainer/backend",
    "trainer/metrics": "stages/io pipeline pipeline/corpora pipeline/rows model model/transformer model/optimizer "
                       "model/cost",
    "trainer/checkpoint": "stages stages/io pipeline pipeline/corpora pipeline/rows model/config model/device "
                          "model/parameters model/optimizer trainer/weights trainer/backend trainer/evaluation",
    "trainer/loop": "stages stages/io pipeline pipeline/keys pipeline/rows model model/config model/device model/transformer "
                    "model/optimizer trainer trainer/config trainer/weights trainer/optimizer trainer/backend trainer/distributed trainer/ranked trainer/evaluation "
                    "trainer/metrics trainer/checkpoint",
    "trainer/plan": "stages pipeline/keys model model/config model/device model/parameters model/pass model/optimizer model/cost trainer/config "
                    "trainer/optimizer trainer/cluster trainer/distributed trainer/ranked trainer/metrics",
    "trainer/run": "stages stages/io stages/tokenizer stages/shards pipeline pipeline/keys pipeline/config pipeline/corpora "
                   "pipeline/reading pipeline/rows pipeline/stream pipeline/formats pipeline/export model/config model/device model/cost trainer/config trainer/weights "
                   "trainer/optimizer trainer/backend trainer/distributed trainer/ranked trainer/evaluation trainer/metrics trainer/checkpoint trainer/loop trainer/plan",
    "cli/console": "stages stages/io stages/tokenizer pipeline model trainer/config",
    "cli/views": "stages stages/tokenizer stages/objectives pipeline pipeline/config pipeline/corpora pipeline/rows "
                 "pipeline/reading pipeline/stream pipeline/plan pipeline/formats pipeline/export model/parameters model/cost "
                 "trainer/config trainer/evaluation trainer/plan trainer/run cli/console",
    "cli/report": "stages stages/io pipeline pipeline/keys pipeline/config pipeline/rows trainer/config trainer/checkpoint trainer/run cli/console",
    "cli/export": "stages stages/io stages/tokenizer pipeline pipeline/config pipeline/corpora pipeline/formats model model/config "
                  "model/parameters model/cost trainer/config trainer/weights trainer/checkpoint trainer/run cli/console",
    "cli/commands": "stages stages/io stages/listing stages/shards stages/parquet stages/tokenizer pipeline pipeline/keys "
                    "pipeline/config pipeline/corpora pipeline/rows pipeline/reading pipeline/stream pipeline/plan pipeline/formats "
                    "pipeline/export pipeline/sample model model/device model/parameters model/transformer model/optimizer model/cost "
                    "trainer/config trainer/weights trainer/backend trainer/distributed trainer/ranked trainer/evaluation trainer/metrics trainer/checkpoint trainer/plan trainer/run cli/console cli/views cli/report cli/export",
    "cli": "stages stages/io model trainer/distributed trainer/run cli/console cli/commands",
}

# The most pairs of a header and its source that a room may hold; a larger one must be split. The sub-commands are
# exempt.
MOST_PAIRS = 16
LISTS = {"cli/commands"}
# Pairs that depend on each other, through their sources too.
MOST_PAIRS_IN_CIRCLES = 4

# Libraries by the beginning of their headers' names. A name that is not listed here and has no "/" or ".h" belongs to
# the standard library.
LIBRARIES = {
    "fmt": ("fmt/",),
    "nlohmann_json": ("nlohmann/",),
    "toml++": ("toml++/",),
    "CLI11": ("CLI/",),
    "spdlog": ("spdlog/",),
    "oneTBB": ("tbb/", "oneapi/tbb"),
    "oneDNN": ("dnnl", "oneapi/dnnl"),
    "OpenMP": ("omp.h",),
    "CUDA": ("cuda", "cublas", "cudnn", "nvrtc"),
    "dynamic linking": ("dlfcn.h",),
    "zstd": ("zstd.h", "zstd_errors.h", "zdict.h"),
    "lz4": ("lz4.h",),
    "zlib": ("zlib.h",),
    "simdjson": ("simdjson",),
    "sentencepiece": ("sentencepiece_",),
    "DuckDB": ("duckdb.h",),
    "xxHash": ("xxhash.h", "xxh3.h"),
    "protozero": ("protozero/",),
    "pybind11": ("pybind11/",),
    "ISA-L": ("isa-l/", "isa-l.h"),
    "MPI": ("mpi.h",),
    "GoogleTest": ("gtest/", "gmock/"),
    "RapidCheck": ("rapidcheck",),
    "intrinsics": ("immintrin.h", "arm_neon.h", "cpuid.h"),
    "POSIX": ("unistd.h", "fcntl.h", "sys/", "glob.h", "fnmatch.h", "dirent.h", "pthread.h", "sched.h", "poll.h",
              "signal.h", "termios.h", "libgen.h", "ftw.h", "spawn.h", "malloc.h"),
}
THREADS = {"thread", "mutex", "shared_mutex", "condition_variable", "future", "semaphore", "latch", "barrier",
           "stop_token", "execution"}
FILES = {"fstream", "filesystem"}

# Who may use which library: rooms, folders with all their rooms, or single files. A library that is not listed may be
# used anywhere except in model/.
LIBRARY_ROOMS = {
    "fmt": ("stages", "pipeline", "trainer", "cli"),
    "nlohmann_json": ("pipeline", "trainer", "cli"),
    "toml++": ("pipeline/keys",),
    "CLI11": ("cli/console", "cli/main.cpp"),
    "spdlog": ("trainer", "cli"),
    "oneTBB": ("pipeline/corpora", "pipeline/stream", "pipeline/plan", "pipeline/python"),
    "oneDNN": ("model/cpu", "model/cost"),
    "OpenMP": ("model", "trainer"),
    "CUDA": ("model/cudnn", "model/cuda"),
    "dynamic linking": ("model/device", "model/cudnn"),
    "zstd": ("stages/compression", "stages/parquet", "stages/shards"),
    "lz4": ("stages/parquet",),
    "zlib": ("stages/compression", "stages/parquet", "stages/shards"),
    "simdjson": ("stages", "cli"),
    "sentencepiece": ("stages/tokenizer",),
    "DuckDB": ("stages/parquet",),
    "xxHash": ("stages", "pipeline", "trainer", "cli"),
    "protozero": ("trainer/metrics",),
    "pybind11": ("pipeline/python",),
    "ISA-L": ("trainer/metrics",),
    "MPI": ("trainer/distributed/mpi_communicator.cpp",),
    "intrinsics": ("stages", "model"),
    "POSIX": ("stages", "pipeline", "trainer", "cli"),
}
# Standard headers that a folder must not use, and why.
REFUSED = {
    "stages": (THREADS, "stages are pure transformations: no threads"),
    "model": (THREADS | FILES, "the model is arithmetic: no files, threads or data"),
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?P<name><[^>\n]+>|"[^"\n]+")', re.MULTILINE)


def library_of(header):
    for library, beginnings in LIBRARIES.items():
        if header.startswith(beginnings):
            return library
    return None


def is_within(path, room):
    return path == room or path.startswith(room + "/")


def room_of(path):
    """The most specific entry of ROOMS for the file's folder, or None."""
    fitting = [room for room in ROOMS if is_within(str(Path(path).parent), room)]
    return max(fitting, key=len, default=None)


def allowed(room):
    """The rooms that `room` may include, itself among them."""
    named = {room}
    for entry in ROOMS[room].split():
        if entry.endswith("/*"):
            named.update(other for other in ROOMS if is_within(other, entry[:-2]))
        else:
            named.add(entry)
    return named


def offence(root, path, include):
    """Why `path` must not contain `include` (with its <> or ""), or None."""
    room, header = room_of(path), include[1:-1]
    if room is None or str(Path(path).parent) != room:
        return f"{Path(path).parent} is no room: see ROOMS in scripts/check_includes.py"
    if include[0] == '"':
        if not (root / header).is_file():
            return f"{include} is no file of this project, counted from its top folder; libraries go in <>"
        if room_of(header) not in allowed(room):
            return f"{room} may include {', '.join(sorted(allowed(room) - {room})) or 'no other room'}"
        return None
    library = library_of(header)
    if library is None and ("/" in header or header.endswith((".h", ".hpp"))):
        return "no known library; if it is meant, add it to LIBRARIES and LIBRARY_ROOMS"
    rooms = LIBRARY_ROOMS.get(library)
    if library is not None and (rooms is None or not any(is_within(str(path), other) for other in rooms)):
        return f"{library} is for {', '.join(rooms) if rooms else 'nobody'}"
    headers, why = REFUSED.get(path.parts[0], ((), ""))
    return why if header in headers else None


def circles(graph):
    """The sets of nodes that reach each other, of two or more (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            circle = stack[at:]
            del stack[at:]
            if len(circle) > 1:
                found.append(sorted(circle))

    sys.setrecursionlimit(10_000)
    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def includes_of(root):
    """What each source or header includes of this project."""
    return {str(path): {match["name"][1:-1] for match in INCLUDE.finditer(blank_comments((root / path).read_text(encoding="utf-8")))
                        if match["name"][0] == '"'}
            for path in sources(root)}


def pair_of(path):
    return re.sub(r"\.(h|cpp|cu)$", "", path)


def pairs_in_circles(root):
    """Pairs of header and source that depend on each other."""
    graph = {}
    for path, included in includes_of(Path(root)).items():
        graph.setdefault(pair_of(path), set()).update(pair_of(other) for other in included if pair_of(other) != pair_of(path))
    return circles(graph)


def offences(root):
    """Forbidden includes."""
    root = Path(root)
    for path in sources(root):
        text = blank_comments((root / path).read_text(encoding="utf-8"))
        for match in INCLUDE.finditer(text):
            reason = offence(root, path, match["name"])
            if reason:
                yield f"{path}:{line_of(text, match.start('name'))}: {match['name']}: {reason}"


def faults_of_shape(root):
    """Rooms that are too large, and cycles among rooms, headers and pairs."""
    root = Path(root)
    pairs = {}
    for path in sources(root):
        pairs.setdefault(str(path.parent), set()).add(path.stem)
    for room, names in sorted(pairs.items()):
        if len(names) > MOST_PAIRS and room not in LISTS:
            yield f"{room}: {len(names)} pairs of header and source, at most {MOST_PAIRS}: make two rooms of it"
    for circle in circles({room: allowed(room) - {room} for room in ROOMS}):
        yield f"rooms in a circle: {', '.join(circle)}"
    headers = {path: {other for other in included if other.endswith(".h")}
               for path, included in includes_of(root).items() if path.endswith(".h")}
    for circle in circles(headers):
        yield f"headers in a circle: {', '.join(circle)}"
    circling = pairs_in_circles(root)
    if sum(map(len, circling)) > MOST_PAIRS_IN_CIRCLES:
        yield f"more than {MOST_PAIRS_IN_CIRCLES} pairs of header and source in circles: {'; '.join(map(', '.join, circling))}"


def layers():
    """The rooms by layer: a layer includes only lower ones; layer 0 includes none."""
    depth = {}

    def depth_of(room):
        if room not in depth:
            depth[room] = 1 + max((depth_of(other) for other in allowed(room) - {room}), default=-1)
        return depth[room]

    rows = {}
    for room in ROOMS:
        rows.setdefault(depth_of(room), []).append(room)
    return [rows[level] for level in sorted(rows)]


def picture():
    """The rooms as a table: one line per layer, one column per folder; higher rooms may include lower ones."""
    lines = ["| layer | " + " | ".join(f"`{folder}/`" for folder in FOLDERS) + " |", "| ---: " + "| --- " * len(FOLDERS) + "|"]
    for level, rooms in reversed(list(enumerate(layers()))):
        cells = [", ".join(room.split("/", 1)[1] if "/" in room else "(top)" for room in rooms if is_within(room, folder))
                 for folder in FOLDERS]
        lines.append(f"| {level} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    if sys.argv[1:] == ["--picture"]:
        print(picture(), end="")
        return
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    files = len(sources(root))
    if files == 0:
        sys.exit(f"check_includes: no sources under {root}")
    found = [*offences(root), *faults_of_shape(root)]
    for line in found:
        print(line)
    circling = pairs_in_circles(root)
    print(f"check_includes: {files} files in {len(ROOMS)} rooms, {len(found)} offences, "
          f"{sum(map(len, circling))} pairs of header and source in circles")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

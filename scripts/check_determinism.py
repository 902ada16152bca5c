#!/usr/bin/env python3
"""Finds code whose results may depend on threads, timing or the standard library: docs/architecture.md,
"One stream" and "The same bits for any thread count".

usage: check_determinism.py [ROOT]      exit 0: all is well, 1: named offences
"""
import re
import sys
from pathlib import Path

from source_text import blank_comments_and_strings, line_of, sources

# Searched in the sources, with comments and literals blanked out.
IN_SOURCES = [
    (r"#[ \t]*pragma[ \t]+omp\b(?:\\\n|[^\n])*\breduction\b",
     "an OpenMP reduction adds in no fixed order: sum fixed chunks, then the chunks in order"),
    (r"#[ \t]*pragma[ \t]+omp\b(?:\\\n|[^\n])*\bschedule[ \t]*\([^)]*\b(?:dynamic|guided|auto|runtime)\b",
     "which thread takes which part must not depend on timing: schedule(static), or fixed chunks"),
    (r"#[ \t]*pragma[ \t]+omp\b(?:\\\n|[^\n])*\batomic\b",
     "atomic updates come in no fixed order: give each thread its own place, then add in order"),
    (r"\batomic(?:_ref)?\s*<\s*(?:float|double|long\s+double)\s*>",
     "sums in a floating-point atomic come in no fixed order"),
    (r"\batomic(?:Add|Sub|Exch|Min|Max|Inc|Dec|CAS|And|Or|Xor)(?:_\w+)?\s*\(",
     "a card's atomics come in no fixed order: give each lane its own place, then combine in a fixed tree"),
    (r"\bMPI_(?:I?(?:Reduce|Allreduce|Reduce_scatter(?:_block)?|Scan|Exscan|Accumulate|Get_accumulate)|SUM|PROD)\b|"
     r"\bMPI_I(?:reduce|allreduce|reduce_scatter(?:_block)?|scan|exscan)\b|\bnccl(?:Sum|Prod|Avg|AllReduce|ReduceScatter|Reduce)\b",
     "an engine adds in an order of its own: move bytes, and add them by index (trainer/distributed/communicator.h)"),
    (r"\bparallel_reduce\b", "splits by load: use parallel_deterministic_reduce"),
    (r"\bexecution\s*::\s*(?:par|unseq|par_unseq)\b", "parallel algorithms of std combine in no fixed order"),
    (r"\b[a-z_]+_distribution\b", "distributions of std differ between libraries: use stages/philox.h"),
    (r"\brandom_device\b", "not the same twice: seeds come from the run file"),
    (r"\b(?:mt19937(?:_64)?|minstd_rand0?|ranlux\w+|knuth_b|default_random_engine)\b",
     "generators carry state from item to item: use stages/philox.h"),
    (r"(?<![\w.>])(?:std\s*::\s*)?(?:rand|srand|rand_r|random|srandom|drand48|lrand48)\s*\(",
     "hidden global state: use stages/philox.h"),
    (r"\bstd\s*::\s*(?:shuffle|random_shuffle|sample)\s*\(",
     "how many draws it takes differs between libraries: ItemRng::permutation"),
    (r"#[ \t]*pragma[ \t]+(?:GCC|clang)[ \t]+(?:optimize|fp[ \t]+reassociate|float_control)\b|\b__attribute__\s*\(\(\s*optimize\b",
     "compiler flags are for cmake/ to set, in one place"),
]

# Searched in CMake files, presets and scripts.
FAST_MATH = re.compile(
    r"-Ofast\b|-ff?ast-math\b|-funsafe-math-optimizations\b|-fassociative-math\b|-freciprocal-math\b|"
    r"-ffinite-math-only\b|-fno-signed-zeros\b|-mrecip\b|-ffp-model=(?:fast|aggressive)\b")


def offences_in_source(path, text):
    text = blank_comments_and_strings(text)
    for pattern, why in IN_SOURCES:
        for match in re.finditer(pattern, text):
            yield f"{path}:{line_of(text, match.start())}: {' '.join(match.group(0).split())}: {why}"


def offences_in_build(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        match = FAST_MATH.search(line.split("#", 1)[0])
        if match:
            yield f"{path}:{number}: {match.group(0)}: the order of sums is part of the result"


def build_files(root):
    for pattern in ("CMakeLists.txt", "*/**/CMakeLists.txt", "**/*.cmake", "CMakePresets.json", "scripts/*.sh"):
        for path in sorted(root.glob(pattern)):
            relative = path.relative_to(root)
            if relative.parts[0] not in ("build", "runs", "data") and not relative.parts[0].startswith("."):
                yield relative


def offences(root):
    root = Path(root)
    for path in sources(root):
        yield from offences_in_source(path, (root / path).read_text(encoding="utf-8"))
    for path in build_files(root):
        yield from offences_in_build(path, (root / path).read_text(encoding="utf-8"))


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    files = len(sources(root))
    if files == 0:
        sys.exit(f"check_determinism: no sources under {root}")
    found = list(offences(root))
    for line in found:
        print(line)
    print(f"check_determinism: {files} files, {len(found)} offences")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Runs clang-tidy on the files that changed since they were last clean, two or more at a time.

usage: lint.py [--all] [--jobs N] BUILD_DIR      exit 0: clean, 1: findings

BUILD_DIR holds compile_commands.json. Hashes of clean files and of .clang-tidy are kept in BUILD_DIR/linted.json, so
that the first run lints everything and later runs only what was edited; --all lints everything again. A changed header
is linted through one source that includes it: its own, else the first one. Only --all sees new findings in unchanged
sources that include a changed header.
"""
import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from source_text import sources

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)
COMMAND = ("clang-tidy", "--quiet", "--extra-arg=-Wno-unknown-warning-option", "--warnings-as-errors=*")


def fingerprints(root):
    """The sources and headers by their path, each with a hash that changes with its text or the linter's rules."""
    rules = (root / ".clang-tidy").read_bytes()
    return {str(path): hashlib.sha256(rules + (root / path).read_bytes()).hexdigest()
            for path in sources(root, ("stages", "pipeline", "model", "trainer", "cli", "bench"))
            if path.suffix != ".cu"}  # clang-tidy cannot read what nvcc reads.


def source_for(header, includes, compiled):
    """A compiled source through which `header` is linted; None if none includes it. `includes`: what a file includes, by path."""
    own = re.sub(r"\.h$", ".cpp", header)
    if own in compiled:
        return own
    seen, wave = {header}, [header]
    while wave:
        users = sorted(path for path, named in includes.items() if path not in seen and named & set(wave))
        found = [path for path in users if path in compiled]
        if found:
            return found[0]
        seen.update(users)
        wave = users
    return None


def plan(root, now, clean, compiled):
    """Sources to lint, each with the changed files that it covers. `compiled`: what can be linted, by path."""
    includes = {path: set(INCLUDE.findall((root / path).read_text(encoding="utf-8"))) for path in now}
    wanted = {}
    for path in sorted(now):
        if clean.get(path) == now[path]:
            continue
        source = path if path.endswith(".cpp") else source_for(path, includes, compiled)
        if source in compiled:
            wanted.setdefault(source, {source}).add(path)
    return wanted


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--all", action="store_true", help="although nothing changed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()

    stamp = options.build / "linted.json"
    now = fingerprints(ROOT)
    commands = json.loads((options.build / "compile_commands.json").read_text(encoding="utf-8"))
    compiled = {os.path.relpath(Path(entry["directory"], entry["file"]), ROOT) for entry in commands}
    clean = json.loads(stamp.read_text(encoding="utf-8")) if stamp.exists() and not options.all else {}
    clean = {path: known for path, known in clean.items() if path in now}
    wanted = plan(ROOT, now, clean, compiled)
    print(f"lint: {len(wanted)} sources, for {sum(len(paths) for paths in wanted.values())} files", flush=True)

    def lint(source):
        return subprocess.run([*COMMAND, "-p", str(options.build), str(ROOT / source)], capture_output=True, text=True, check=False)

    dirty = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for source, result in zip(wanted, pool.map(lint, wanted)):
            if result.returncode != 0:
                dirty.append(source)
                print(result.stdout + result.stderr, flush=True)
                continue
            clean.update((path, now[path]) for path in wanted[source])
            stamp.write_text(json.dumps(clean, indent=0, sort_keys=True), encoding="utf-8")
    if dirty:
        print(f"lint: findings in {', '.join(dirty)}", file=sys.stderr)
    return 1 if dirty else 0


if __name__ == "__main__":
    sys.exit(main())

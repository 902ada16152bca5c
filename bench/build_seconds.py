#!/usr/bin/env python3
"""How many compile seconds (user + system, of all processes together) two commits take from nothing, and their ratio.

usage: build_seconds.py BASE [NEW] [--rounds 3] [--jobs N] [--touch FILE]

The two are built in turn, without ccache, in new folders that go at the end; of the rounds the median counts. Measured are
the program alone, and all that the preset builds: the program and every test program, with whatever a build runs itself.
Then FILE, as it is in NEW, is touched, and the seconds by the clock until the program is linked again are printed.
"""
import argparse
import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = "millrace"


def run(command, folder=ROOT):
    """A command without its output, unless it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CMAKE_")}
    done = subprocess.run(command, cwd=folder, env=environment | {"CCACHE_DISABLE": "1"}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout[-4000:]}\nbuild_seconds: {' '.join(map(str, command))} failed in {folder}, see above")


def processor_seconds(command, folder):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(command, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


class Checkout:
    """A commit in a folder of its own, with the libraries that scripts/deps.sh put beside this one."""

    def __init__(self, commit, folder, jobs):
        self.folder = folder
        self.jobs = str(jobs)
        run(["git", "worktree", "add", "--detach", "--force", folder, commit])
        (folder / "build").mkdir()
        if (ROOT / "build/deps").exists():
            (folder / "build/deps").symlink_to(ROOT / "build/deps")

    def build_command(self, *targets):
        return ["cmake", "--build", "build/seconds", "--parallel", self.jobs, *(["--target", *targets] if targets else [])]

    def configure(self):
        run(["rm", "-rf", "build/seconds"], self.folder)
        run(["cmake", "--preset", "release", "-B", "build/seconds", "-DCMAKE_CXX_COMPILER_LAUNCHER="], self.folder)

    def measure(self):
        """Seconds of the program, and of everything."""
        self.configure()
        program = processor_seconds(self.build_command(PROGRAM), self.folder)
        return program, program + processor_seconds(self.build_command(), self.folder)

    def seconds_after_touching(self, file):
        run(self.build_command(PROGRAM), self.folder)
        (self.folder / file).touch()
        started = time.monotonic()
        run(self.build_command(PROGRAM), self.folder)
        return time.monotonic() - started


def compare(base, new, rounds):
    seconds = {"base": [], "new": []}
    for number in range(1, rounds + 1):
        for name, checkout in (("base", base), ("new", new)):
            seconds[name].append(checkout.measure())
            program, everything = seconds[name][-1]
            print(f"round {number} {name:>4}  {PROGRAM} {program:7.1f} s  all {everything:7.1f} s", flush=True)
    for place, what in enumerate((PROGRAM, "all")):
        before, after = (statistics.median(pair[place] for pair in seconds[name]) for name in ("base", "new"))
        print(f"median {what:>9}  base {before:7.1f} s  new {after:7.1f} s  new / base {after / before:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", help="a commit")
    parser.add_argument("new", nargs="?", default="HEAD", help="another (default: HEAD)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--touch", default="stages/objectives/span_corruption.cpp", metavar="FILE")
    options = parser.parse_args()
    if options.rounds < 1:
        raise SystemExit(f"build_seconds: --rounds {options.rounds}, expected 1 or more")
    with tempfile.TemporaryDirectory(prefix="build-seconds-") as folder:
        try:
            base, new = (Checkout(commit, Path(folder) / name, options.jobs)
                         for name, commit in (("base", options.base), ("new", options.new)))
            compare(base, new, options.rounds)
            print(f"{options.touch} touched: {PROGRAM} is linked again after {new.seconds_after_touching(options.touch):.1f} s")
        finally:
            for name in ("base", "new"):
                if (Path(folder) / name).exists():
                    run(["git", "worktree", "remove", "--force", Path(folder) / name])


if __name__ == "__main__":
    main()

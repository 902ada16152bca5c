#!/usr/bin/env python3
"""Configures every preset of CMakePresets.json whose compiler is installed, so that a preset that names a
moved file or a dropped package is noticed at once.

usage: configure_presets.py [ROOT]      exit 0: all that could be tried are well, 1: named presets are not
"""
import json
import subprocess
import sys
from pathlib import Path

PROGRAM = "#include <omp.h>\nint main() { return omp_get_max_threads() < 0; }\n"


def variable(presets, preset, name):
    """A cache variable of a preset, its own or inherited; None if it has none."""
    if name in preset.get("cacheVariables", {}):
        return preset["cacheVariables"][name]
    parents = preset.get("inherits", [])
    for parent in [parents] if isinstance(parents, str) else parents:
        found = variable(presets, presets[parent], name)
        if found is not None:
            return found
    return None


def is_there(compiler):
    """True if the compiler makes programs with OpenMP, which every build needs."""
    try:
        return subprocess.run([compiler, "-fopenmp", "-x", "c++", "-", "-o", "/dev/null"], input=PROGRAM, text=True,
                              capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    presets = {preset["name"]: preset for preset in json.loads((root / "CMakePresets.json").read_text())["configurePresets"]}
    failed = []
    for name, preset in presets.items():
        compiler = variable(presets, preset, "CMAKE_CXX_COMPILER") or "c++"
        if not is_there(compiler):
            print(f"configure_presets: {name}: passed over, {compiler} with OpenMP is not there (scripts/deps.sh check)")
            continue
        run = subprocess.run(["cmake", "--preset", name], cwd=root, text=True, capture_output=True)
        print(f"configure_presets: {name}: {'configured' if run.returncode == 0 else 'FAILED'}")
        if run.returncode != 0:
            failed.append(name)
            print(run.stdout + run.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

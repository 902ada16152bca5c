#!/usr/bin/env python3
"""Checks on Debian that scripts/deps.sh lists everything that is used: each file that a build read or linked, and each
program that a script calls, must belong to a listed package or to a dependency of one. Recommended packages do not
count: deps.sh installs none. Nor does a CUDA toolkit, without which everything else is built all the same.

usage: check_deps.py BUILD_DIR [--step test] [--packages NAME...]      exit 0: all listed, 1: missing, 77: no Debian
"""
import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"  # Debian's own programs, not a user's replacements

# Scripts and the step of deps.sh that must cover them.
SCRIPTS = {
    "run": ("scripts/deps.sh", "scripts/quickstart.sh"),
    "test": ("scripts/test.sh", ".ci/run"),
    "fuzz": ("scripts/fuzz.sh",),
    "check": ("scripts/check.sh",),
}
NEEDS = {"run": ("run",), "test": ("run", "test"), "fuzz": ("run", "test", "fuzz"), "check": ("run", "test", "fuzz", "check")}

# Called to install the others, or only if already present.
NOT_ASKED_FOR = {"apt-get", "apt-cache", "sudo", "npm"}

COMMAND = re.compile(
    r"(?=(?:^|[|&;({!]|\$\(|`|\b(?:then|do|else|if|while|until|exec|command|as_root|nice|xargs|env|time)\b)"
    r"[ \t]*(?:(?:-\w+|[0-9]+|[A-Za-z_]+=\S*)[ \t]+)*(?P<name>[a-z][a-z0-9_.+-]*)(?=[ \t\n;|)&]|$))",  # looks ahead only: "; do tar" is two
    re.MULTILINE,
)


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def listed_packages(step):
    return output("bash", str(ROOT / "scripts/deps.sh"), "--list", step).split()


def closure(packages):
    """The packages, their dependencies, and the packages that every Debian has."""
    essential = output("dpkg-query", "-W", "-f", "${Essential} ${Package}\\n")
    roots = [*packages, *re.findall(r"^yes (\S+)$", essential, re.MULTILINE)]
    lines = output("apt-cache", "depends", "--recurse", "--installed", "--no-recommends", "--no-suggests",
                   "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances", *roots)
    return {line.strip().split(":")[0] for line in lines.splitlines() if line and line[0] not in " |<"}


def names_of(path):
    """Names of a file in the package database: /lib is /usr/lib, and links are packaged under their own name."""
    names = {str(path), str(Path(path).resolve())}
    return names | {name[4:] for name in names if name.startswith("/usr/")} | {"/usr" + name for name in names}


def owners(paths):
    """The package that each of `paths` came from; paths of no package are left out. Asked at once: it takes a second."""
    names = sorted({name for path in paths for name in names_of(path)})
    found = subprocess.run(["dpkg-query", "-S", *names], capture_output=True, text=True).stdout
    package_of = {}
    for line in found.splitlines():
        packages, _, file = line.rpartition(": ")
        if not line.startswith("diversion"):
            package_of[file] = packages.split(",")[0].split(":")[0]
    return {path: package_of[name] for path in paths for name in sorted(names_of(path)) if name in package_of}


def of_cuda(build):
    """Tells whether a path is part of the CUDA toolkit, or of the cuDNN, that the build found."""
    cache = (build / "CMakeCache.txt").read_text(encoding="utf-8") if (build / "CMakeCache.txt").is_file() else ""
    compiler = re.search(r"^MILLRACE_NVCC:FILEPATH=(/.*)$", cache, re.MULTILINE)
    toolkit = Path(compiler[1]).resolve().parent.parent if compiler else None
    return lambda path: Path(path).name.startswith(("cudnn", "libcudnn")) or toolkit in Path(path).resolve().parents


def headers_read(build):
    """Every header that a compilation in `build` has read, from ninja's own records, one for each folder it lies in
    (asking for thousands takes minutes, and a folder below /usr/include belongs to one package but for the top)."""
    text = output("ninja", "-C", str(build), "-t", "deps")
    files = {str(Path(line.strip())) for line in text.splitlines() if line.startswith("    /")}
    chosen = {}
    for file in sorted(files):
        path = Path(file)
        if ROOT in path.parents or build in path.parents:
            continue
        shared = str(path.parent) in ("/usr/include", "/usr/include/x86_64-linux-gnu")
        chosen.setdefault(file if shared else str(path.parent), file)
    return sorted(chosen.values())


def libraries_linked(build):
    """Shared libraries of the programs in `build`."""
    programs = [path for path in build.iterdir() if path.is_file() and path.stat().st_mode & 0o111]
    found = set()
    for program in programs:
        text = subprocess.run(["ldd", str(program)], capture_output=True, text=True).stdout
        found |= set(re.findall(r"=> (/\S+)", text))
        if "not found" in text:
            sys.exit(f"check_deps: {program}: a library is not there:\n{text}")
    return sorted(path for path in found if ROOT not in Path(path).resolve().parents)


def programs_called(script):
    """Programs that a bash script calls by name, as far as its text shows."""
    text = re.sub(r"\\\n", " ", (ROOT / script).read_text(encoding="utf-8"))
    text = re.sub(r"(?m)^\s*#.*$|(?<=\s)#\s.*$", "", text)
    text = re.sub(r"<<'?(\w+)'?\n.*?\n\1\n", "\n", text, flags=re.DOTALL)
    text = re.sub(r"\w\+?=\([^()]*\)", "", text)  # arrays
    of_bash = output("bash", "-c", "compgen -bk").split()
    called = {match["name"] for match in COMMAND.finditer(text)}.difference(of_bash)
    return {name: path for name in called if (path := shutil.which(name, path=SYSTEM_PATH)) is not None}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=Path)
    parser.add_argument("--step", choices=("run", "test", "bench", "fuzz", "check"), default="test")
    parser.add_argument("--packages", nargs="+", help="instead of the list of scripts/deps.sh")
    options = parser.parse_args()
    if shutil.which("dpkg-query") is None or shutil.which("apt-cache") is None:
        print("check_deps: no Debian: not checked")
        sys.exit(77)

    build = options.build.resolve()
    allowed = closure(options.packages or listed_packages(options.step))
    used = {path: "a header that is read" for path in headers_read(build)}
    used |= {path: "a library that is linked" for path in libraries_linked(build)}
    steps = NEEDS.get(options.step, ("run",))
    for step in steps:
        for script in SCRIPTS[step]:
            if (ROOT / script).is_file():
                used |= {path: f"called in {script}" for name, path in programs_called(script).items()
                         if name not in NOT_ASKED_FOR}
    is_of_cuda = of_cuda(build)
    used = {path: why for path, why in used.items() if not is_of_cuda(path)}
    missing = 0
    package_of = owners(used)
    for path, why in used.items():
        package = package_of.get(path)
        if package is None:
            print(f"{path} ({why}) belongs to no package of Debian")
        elif package not in allowed:
            print(f"{path} ({why}) belongs to {package}, which step '{options.step}' of scripts/deps.sh does not bring")
        missing += package not in allowed
    print(f"check_deps: {len(used)} headers, libraries and programs, {missing} not listed")
    sys.exit(1 if missing or not used else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes empty libraries in place of those that a folder's libraries link and the machine lacks.

usage: stub_libraries.py FOLDER

PyTorch's wheels link CUDA's libraries, gigabytes that a machine without a card has no use for. With these in their place
PyTorch loads, and computes on the processor; a call into one returns 100, CUDA's "no device". Needs gcc and readelf.
"""
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

Undefined = collections.namedtuple("Undefined", "name version library is_object")


def readelf(option, path):
    return subprocess.run(["readelf", option, "-W", path], capture_output=True, text=True, check=True).stdout


def needed_by(path):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", readelf("-d", path))


def libraries_of_versions(path):
    """Version name: the library that is to have it."""
    owners, library = {}, None
    for line in readelf("-V", path).splitlines():
        if found := re.search(r"Version: \d+\s+File: (\S+)", line):
            library = found[1]
        elif library and (found := re.search(r"Name: (\S+)\s+Flags", line)):
            owners[found[1]] = library
    return owners


def symbols_of(path):
    """Names that it defines, and those that it wants."""
    owners, defined, wanted = libraries_of_versions(path), set(), []
    for line in readelf("--dyn-syms", path).splitlines():
        columns = line.split()
        if len(columns) < 8 or not columns[0].rstrip(":").isdigit():
            continue
        name, _, version = columns[7].partition("@")
        if columns[6] == "UND":
            version = version.lstrip("@")
            wanted.append(Undefined(name, version, owners.get(version), columns[3] == "OBJECT"))
        else:
            defined.add(name)
    return defined, wanted


def is_of_the_system(library):
    found = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    return f"\t{library} (" in found


def write_stub(path, symbols):
    versions = collections.defaultdict(list)
    source = []
    for symbol in symbols:
        source.append(f"char {symbol.name}[64];" if symbol.is_object else f"int {symbol.name}(void) {{ return 100; }}")
        versions[symbol.version].append(symbol.name)
    versions.pop("", None)
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder, "versions")
        script.write_text("".join(f"{name} {{ {'; '.join(names)}; }};\n" for name, names in sorted(versions.items())))
        command = ["gcc", "-w", "-shared", "-fPIC", "-nostdlib", f"-Wl,-soname,{path.name}", "-o", path, "-x", "c", "-"]
        if versions:
            command.insert(1, f"-Wl,--version-script={script}")
        subprocess.run(command, input="\n".join(source) + "\n", text=True, check=True)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    files = sorted(path for path in folder.glob("*.so*") if path.is_file())
    own = {path.name for path in files}
    missing = {library for path in files for library in needed_by(path) if library not in own and not is_of_the_system(library)}
    defined, wanted = set(), {}
    for path in files:
        of_file, undefined = symbols_of(path)
        defined |= of_file
        wanted.update({symbol.name: symbol for symbol in undefined})
    stubs = {library: [] for library in sorted(missing)}
    for symbol in wanted.values():
        if symbol.library in stubs:
            stubs[symbol.library].append(symbol)
        elif not symbol.library and symbol.name not in defined and re.match(r"cu|CU|nccl|nv|__cuda", symbol.name):
            stubs[min(stubs)].append(symbol)  # Without a version any library may have it: all are loaded.
    for library, symbols in stubs.items():
        write_stub(folder / library, symbols)
        print(f"{library}: {len(symbols)} symbols")


if __name__ == "__main__":
    main()

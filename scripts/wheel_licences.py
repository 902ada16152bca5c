#!/usr/bin/env python3
"""Puts the licences of the libraries that a wheel holds into it, as Debian's packages have them, and lists the libraries.

usage: wheel_licences.py WHEEL      exit 1: of a library no licence was found
"""
import base64
import hashlib
import pathlib
import re
import subprocess
import sys
import zipfile

# Not of Debian's packages. DuckDB's npm package has no text of its licence: https://github.com/duckdb/duckdb/blob/main/LICENSE
OTHERS = {
    "libduckdb": """DuckDB: Copyright 2018-2025 Stichting DuckDB Foundation

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files
(the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge,
publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do
so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE
FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
""",
}


def licence_of(library):
    """The text for a library as auditwheel names it: libtbb-1a2b3c4d.so.12.8"""
    name = re.sub(r"-[0-9a-f]{8}\.", ".", library)
    for other, text in OTHERS.items():
        if name.startswith(other):
            return other, text
    stem = name.split(".so")[0]
    files = [path for path in pathlib.Path("/").glob(f"usr/lib/*/{stem}.so*") if path.is_file()]
    for file in {file.resolve() for file in files}:
        found = subprocess.run(["dpkg-query", "--search", file], capture_output=True, text=True)
        package = found.stdout.split(":")[0]
        copyright_file = pathlib.Path("/usr/share/doc") / package / "copyright"
        if found.returncode == 0 and copyright_file.is_file():
            return package, copyright_file.read_text(encoding="utf-8")
    sys.exit(f"{library}: no licence was found; looked for {stem} among Debian's packages")


def main():
    wheel = pathlib.Path(sys.argv[1])
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        libraries = sorted(name for name in names if ".so" in name and not pathlib.PurePath(name).name.startswith("_core"))
        licences = dict(licence_of(pathlib.PurePath(library).name) for library in libraries)
        record = next(name for name in names if name.endswith(".dist-info/RECORD"))
        contents = {name: archive.read(name) for name in names if name != record}
        lines = archive.read(record).decode().splitlines()
    folder = record.rsplit("/", 1)[0]
    for package, text in licences.items():
        name, data = f"{folder}/licenses/{package}.txt", text.encode()
        contents[name] = data
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.insert(0, f"{name},sha256={digest},{len(data)}")
    modes = {info.filename: info.external_attr for info in zipfile.ZipFile(wheel).infolist()}
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in [*contents.items(), (record, ("\n".join(lines) + "\n").encode())]:
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, modes.get(name, 0o644 << 16)
            archive.writestr(info, data)
    print(f"wheel: {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB, with")
    for library in libraries:
        print(f"wheel:   {library}")


if __name__ == "__main__":
    main()

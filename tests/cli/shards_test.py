"""Which files are read as shards, which are passed over, which are refused. Usage: shards_test.py MILLRACE"""

import bz2
import gzip
import io
import json
import lzma
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
import zipfile
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run

MILLRACE = os.path.abspath(sys.argv.pop(1))
LINES = b"".join(b'{"text": "river mill %d"}\n' % number for number in range(2000))
TAKES_AT_MOST = 10  # Seconds for an immediate refusal: enough on a busy machine, too short for a wait.


def run(*arguments, **options):
    return subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, timeout=120, **options)


def tar_of(content):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("shard.jsonl")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def zip_of(content):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("shard.jsonl", content)
    return archive.getvalue()


def by_tool(*command):
    """The output of a program for the lines; empty without the program."""
    if shutil.which(command[0]) is None:
        return None
    return subprocess.run(command, input=LINES, capture_output=True, check=True).stdout


def arrow_files():
    try:
        import pyarrow
        import pyarrow.feather
        import pyarrow.ipc
        import pyarrow.orc
    except ImportError:
        # After the specifications: the magic and its padding; continuation and size of the schema; ORC's header.
        schema = struct.pack("<iI", -1, 128) + struct.pack("<I", 16) + bytes(124)
        return {"Arrow or Feather": b"ARROW1\0\0" + schema, "Arrow stream": schema, "Feather": b"FEA1\0\0\0\0" + bytes(64),
                "ORC": b"ORC" + bytes([8, 3, 0, 0, 0, 18])}
    table = pyarrow.table({"text": ["river", "mill"]})
    made = {}
    for name, write in {
        "Arrow or Feather": lambda out: pyarrow.feather.write_feather(table, out),
        "Arrow stream": lambda out: pyarrow.ipc.new_stream(out, table.schema).write_table(table),
        "Feather": lambda out: pyarrow.feather.write_feather(table, out, version=1),
        "ORC": lambda out: pyarrow.orc.write_table(table, out),
    }.items():
        out = io.BytesIO()
        write(out)
        made[name] = out.getvalue()
    return made


def foreign_files():
    """The program's name for each kind of file, and such a file."""
    records = [json.loads(line) for line in LINES.splitlines()]
    files = {
        "bzip2": bz2.compress(LINES),
        "xz": lzma.compress(LINES),
        "lzma": lzma.compress(LINES, format=lzma.FORMAT_ALONE),
        "lz4": by_tool("lz4", "-c"),
        "zlib": zlib.compress(LINES),
        # A stream identifier, and a chunk that is not compressed, with a checksum of nothing.
        "framed snappy": b"\xff\x06\0\0sNaPpY\x01" + struct.pack("<I", 4 + len(LINES))[:3] + bytes(4) + LINES,
        "zip": zip_of(LINES),
        "tar": tar_of(LINES),
        "tar in gzip": gzip.compress(tar_of(LINES)),
        "tar in zstd": zstd(tar_of(LINES)),
        "bzip2 in gzip": gzip.compress(bz2.compress(LINES)),
        # Version 1.0: the length of a header that describes one row of bytes, padded to 64.
        "npy": b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|S1', 'fortran_order': False, 'shape': (9,), }".ljust(117) + b"\nxxxxxxxxx",
        "JSON array": json.dumps(records).encode(),
        "JSON array in gzip": gzip.compress(json.dumps(records, indent=1).encode()),
        "one JSON document": json.dumps({"data": records}, indent=1).encode(),
        "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n",
        "HTML": b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n",
        "UTF-16": LINES.decode().encode("utf-16"),
        "UTF-16 text": LINES.decode().encode("utf-16-be"),
        "encrypted Parquet": b"PARE" + struct.pack("<I", 4096) + bytes(4096) + b"PARE",
        # A footer in plain text whose one field, the eighth, names the encryption of columns: AES-GCM.
        "encrypted Parquet; decrypt it": b"PAR1" + bytes([0x0C, 16, 0x1C, 0, 0, 0]) + struct.pack("<I", 6) + b"PAR1",
        "zstd with a dictionary": zstd_with_dictionary(),
    }
    files.update(arrow_files())
    return {kind: content for kind, content in files.items() if content is not None}


def zstd(content):
    if shutil.which("zstd") is None:
        return None
    return subprocess.run(["zstd", "-c"], input=content, capture_output=True, check=True).stdout


def zstd_with_dictionary():
    if shutil.which("zstd") is None:
        return None
    with tempfile.TemporaryDirectory(prefix="millrace-dictionary-") as folder:
        folder = pathlib.Path(folder)
        samples = []
        for number in range(400):
            samples.append(folder / f"{number}.txt")
            samples[-1].write_text(f"the river mill number {number} turns grain {number * 7} into flour {number * 31} " * 3)
        trained = ["zstd", "-q", "--train", *samples, "-o", folder / "dictionary", "--maxdict=4096"]
        subprocess.run(trained, check=True, capture_output=True)
        packed = subprocess.run(["zstd", "-c", "-D", folder / "dictionary"], input=LINES, capture_output=True, check=True)
        return packed.stdout


class Folder(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="millrace-shards-")
        self.folder = pathlib.Path(self.temporary.name)
        self.vocabulary = self.folder / "v.model"
        self.vocabulary.write_bytes(tiny_run.vocabulary())

    def tearDown(self):
        self.temporary.cleanup()

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def write_mix(self, pattern):
        return self.write("mix.toml", f'name = "m"\n[[corpus]]\nname = "a"\nshare = 100\nshards = [{json.dumps(pattern)}]\n'.encode())

    def write_run(self, pattern):
        run_file = tiny_run.write_run(self.folder / "run")
        mix = self.folder / "run/mix.toml"
        mix.write_text(mix.read_text().replace('["prose.jsonl"]', json.dumps([pattern])))
        return run_file

    def tokenize(self, *arguments, **options):
        return run("tokenize", "--vocab", self.vocabulary, *arguments, **options)


class ForeignContainers(Folder):
    def test_each_is_refused_before_reading_with_file_kind_and_remedy(self):
        for kind, content in foreign_files().items():
            with self.subTest(kind=kind):
                path = self.write("data/good.jsonl", LINES).with_name("strange.jsonl")
                path.write_bytes(content)
                done = run("index", self.folder / "data", "--out", self.folder / "index.json")
                said = done.stderr.decode()
                self.assertEqual(done.returncode, 2, said)
                self.assertIn(f"{path}: {kind}", said)
                self.assertRegex(said, r"strange\.jsonl: [^;]+; \w")
                self.assertFalse((self.folder / "index.json").exists())

    def test_every_command_that_reads_shards_refuses_them(self):
        path = self.write("data/strange.jsonl.bz2", bz2.compress(LINES))
        run_file = self.write_run(str(path))
        for command in (
            ["mix", "check", self.write_mix("strange.jsonl.bz2"), "--data", self.folder / "data"],
            ["mix", "plan", run_file],
            ["train", run_file, "--run-dir", self.folder / "out"],
            ["preprocess", run_file, "--format", "olmo", "--out", self.folder / "out"],
            ["inspect", run_file],
            ["tokenize", "--vocab", self.vocabulary, "--in", path],
            ["vocab", "train", "--shards", path, "--out", self.folder / "new.model"],
        ):
            with self.subTest(command=command[0:2]):
                done = run(*command)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("strange.jsonl.bz2: bzip2; unpack it, or recompress it with zstd", done.stderr.decode())
                self.assertEqual(done.stdout, b"")
                self.assertFalse((self.folder / "out").exists() or (self.folder / "new.model").exists())

    def test_one_that_may_be_unreadable_is_passed_by(self):
        run_file = tiny_run.write_run(self.folder / "run")
        data = self.folder / "run/data"
        (data / "strange.jsonl.bz2").write_bytes(bz2.compress(LINES))
        mix = self.folder / "run/mix.toml"
        mix.write_text(mix.read_text().replace('["prose.jsonl"]', '["prose.jsonl", "strange.jsonl.bz2"]'))
        command = ["train", run_file, "--run-dir", self.folder / "out", "--set", "train.tokens=512"]
        self.assertEqual(run(*command).returncode, 2)
        run_file.write_text(run_file.read_text().replace("[data]\n", '[data]\nallow_unreadable = ["strange.jsonl.bz2"]\n'))
        done = run(*command)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_one_that_may_be_unreadable_stops_neither_evaluation_nor_plan(self):
        run_file = tiny_run.write_run(self.folder / "run")
        (self.folder / "run/data/a-strange.jsonl").write_bytes(bz2.compress(LINES))  # The first that is read.
        mix = self.folder / "run/mix.toml"
        mix.write_text(mix.read_text().replace('["prose.jsonl"]', '["a-strange.jsonl", "prose.jsonl"]'))
        run_file.write_text(run_file.read_text().replace("[data]\n", '[data]\nallow_unreadable = ["a-strange.jsonl"]\n'))
        for command in (["mix", "plan", run_file], ["train", run_file, "--run-dir", self.folder / "out", "--set",
                                                    "train.tokens=512"],
                        ["eval", "--run", run_file, self.folder / "out/checkpoints/step-000002"]):
            done = run(*command)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_all_of_them_are_named_at_once(self):
        for number in range(12):
            self.write(f"data/{number}.jsonl", bz2.compress(LINES))
        said = run("index", self.folder / "data").stderr.decode()
        self.assertIn("12 of 12 files are no shards:", said)
        self.assertEqual(said.count("bzip2; "), 10)
        self.assertIn("and 2 more", said)

    def test_a_text_may_be_html_or_json(self):
        self.write("data/page.txt", b"<!DOCTYPE html>\n<html>river</html>\n")
        self.write("data/array.txt", b"[\n1,\n2\n]\n")
        done = run("index", self.folder / "data/page.txt", self.folder / "data/array.txt", "--json")
        self.assertEqual([shard["records"] for shard in json.loads(done.stdout)["shards"]], [1, 1])


class WhatIsRead(Folder):
    def index(self, *arguments, **options):
        done = run("index", *arguments, "--json", **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [shard["path"] for shard in json.loads(done.stdout)["shards"]], done.stderr.decode()

    def make_folder(self):
        for name in ("a.jsonl", "b.json", "c.ndjson", "d.jsonl.tmp", "_SUCCESS", ".hidden.jsonl", "notes.txt"):
            self.write(f"data/web/{name}", LINES)
        self.write("data/web/e.json.gz", gzip.compress(LINES))
        self.write("elsewhere/f.jsonl", LINES)
        (self.folder / "data/web/linked").symlink_to("../../elsewhere")
        (self.folder / "data/web/g.jsonl").symlink_to("gone")
        (self.folder / "elsewhere/back").symlink_to("../data/web")
        return ["web/a.jsonl", "web/b.json", "web/c.ndjson", "web/e.json.gz", "web/linked/f.jsonl"]

    PASSED_OVER = ("web: dangling links: 1 (g.jsonl -> gone); unfinished or temporary: 1 (d.jsonl.tmp); "
                   "marks of other programs: 1 (_SUCCESS); hidden: 1 (.hidden.jsonl); other files: 1 (notes.txt)")

    def test_index_follows_links_and_says_what_it_passes_over(self):
        shards = self.make_folder()
        found, said = self.index(self.folder / "data")
        self.assertEqual(found, shards)
        self.assertIn(f"passed over in {self.folder}/data/{self.PASSED_OVER}", said)
        self.assertIn("web/linked: links to folders whose files are named already: 1 (back -> ../data/web)", said)

    def test_mix_check_says_what_it_passes_over(self):
        self.make_folder()
        done = run("mix", "check", self.write_mix("web"), "--data", self.folder / "data")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"corpus a: passed over in {self.folder}/data/{self.PASSED_OVER}", done.stdout.decode())
        plan = json.loads(run("mix", "check", self.write_mix("web"), "--data", self.folder / "data", "--json").stdout)
        self.assertTrue(plan["corpora"][0]["passed_over"][0].endswith(self.PASSED_OVER))

    def test_the_log_of_a_run_says_what_is_passed_over(self):
        run_file = tiny_run.write_run(self.folder / "run")
        data = self.folder / "run/data"
        (data / "prose").mkdir()
        (data / "prose.jsonl").rename(data / "prose/prose.jsonl")
        (data / "prose/x.jsonl.part").write_bytes(LINES)
        mix = self.folder / "run/mix.toml"
        mix.write_text(mix.read_text().replace('"prose.jsonl"', '"prose"'))
        done = run("train", run_file, "--run-dir", self.folder / "out", "--set", "train.tokens=512")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"corpus prose: passed over in {data}/prose: unfinished or temporary: 1 (x.jsonl.part)",
                      (self.folder / "out/train.log").read_text())

    def test_preprocess_says_what_it_passes_over(self):
        run_file = tiny_run.write_run(self.folder / "run")
        data = self.folder / "run/data"
        (data / "prose").mkdir()
        (data / "prose.jsonl").rename(data / "prose/prose.jsonl")
        (data / "prose/x.jsonl.part").write_bytes(LINES)
        mix = self.folder / "run/mix.toml"
        mix.write_text(mix.read_text().replace('"prose.jsonl"', '"prose"'))
        done = run("preprocess", run_file, "--format", "rows", "--tokens", 256, "--out", self.folder / "out")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"corpus prose: passed over in {data}/prose: unfinished or temporary: 1 (x.jsonl.part)",
                      done.stderr.decode())

    def test_brackets_and_stars_in_the_data_folder_are_plain(self):
        for name in ("data[1]", "da*ta"):
            self.write(f"{name}/web/a.jsonl", LINES)
            self.write("data1/web/b.jsonl", LINES)
            for pattern in ("web", "web/*.jsonl", "**/*.jsonl"):
                done = run("mix", "check", self.write_mix(pattern), "--data", self.folder / name, "--json")
                self.assertEqual(json.loads(done.stdout)["corpora"][0]["shards"], 1, done.stderr)
            self.assertEqual(self.index(self.folder / name)[0], ["web/a.jsonl"])

    def test_a_list_may_name_files_with_a_hash(self):
        self.write("data/c#1.jsonl", LINES)
        self.write("data/#2.jsonl", LINES)
        self.write("data/list.txt", b"# all\nc#1.jsonl # the first\n#2.jsonl\n#\n")
        self.assertEqual(self.index("@list.txt", cwd=self.folder / "data")[0], ["#2.jsonl", "c#1.jsonl"])

    def test_a_folder_of_other_files_says_what_lies_there(self):
        self.write("data/a.csv", b"x")
        for command in (["index", self.folder / "data"], ["mix", "check", self.write_mix("."), "--data", self.folder / "data"]):
            done = run(*command)
            self.assertEqual(done.returncode, 2)
            self.assertIn("other files: 1 (a.csv)", done.stderr.decode())
            self.assertIn("a folder gives *.jsonl*, *.ndjson, *.json", done.stderr.decode())

    def test_unreadable_folders_are_named(self):
        self.write("data/a.jsonl", LINES)
        self.write("data/closed/b.jsonl", LINES)
        (self.folder / "data/closed").chmod(0)
        as_nobody = {"user": 65534} if os.geteuid() == 0 else {}
        self.folder.chmod(0o755)
        try:
            done = run("index", self.folder / "data", "--json", **as_nobody)
        except (PermissionError, OSError) as error:
            self.skipTest(f"the program cannot be run as another user: {error}")
        finally:
            (self.folder / "data/closed").chmod(0o755)
        self.assertEqual([shard["path"] for shard in json.loads(done.stdout)["shards"]], ["a.jsonl"], done.stderr)
        self.assertIn("unreadable folders: 1 (closed)", done.stderr.decode())

    def test_fifos_sockets_and_devices_are_refused_at_once(self):
        os.mkfifo(self.folder / "pipe.jsonl")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.folder / "s.jsonl"))
            for path in (self.folder / "pipe.jsonl", self.folder / "s.jsonl", "/dev/null", self.folder):
                for command in (["index", path], ["mix", "check", self.write_mix(str(path))],
                                ["vocab", "train", "--shards", path, "--out", self.folder / "new.model"]):
                    begun = time.monotonic()
                    done = run(*command, *(["--data", self.folder] if command[0] == "mix" else []))
                    self.assertLess(time.monotonic() - begun, TAKES_AT_MOST)
                    self.assertEqual(done.returncode, 2)
                    self.assertIn("a FIFO, socket or device", done.stderr.decode())
            os.mkfifo(self.folder / "a pipe.jsonl")
            done = self.tokenize("--in", self.folder / "a pipe.jsonl")
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"a stream is read from standard input: --in - < '{self.folder / 'a pipe.jsonl'}'\n",
                          done.stderr.decode())


class StandardInput(Folder):
    def test_tokenize_reads_it_packed_or_not(self):
        expected = self.tokenize("--in", self.write("a.jsonl", LINES)).stdout
        self.assertEqual(expected.count(b"\n"), 2000)
        for content in (LINES, gzip.compress(LINES), zstd(LINES), b"\xef\xbb\xbf" + LINES):
            if content is None:
                continue
            for name in ("-", "/dev/stdin"):
                done = self.tokenize("--in", name, input=content)
                self.assertEqual((done.returncode, done.stdout), (0, expected), done.stderr)
        with open(self.folder / "a.jsonl", "rb") as file:
            self.assertEqual(self.tokenize("--in", "-", stdin=file).stdout, expected)
            file.seek(len(LINES.splitlines(True)[0]))
            self.assertEqual(self.tokenize("--in", "-", stdin=file).stdout.count(b"\n"), 1999, "from where it stands")

    def test_what_is_wrong_with_it_is_said(self):
        done = self.tokenize("--in", "-", input=gzip.compress(LINES)[:-100])
        self.assertEqual(done.returncode, 1)
        self.assertIn("truncated", done.stderr.decode())
        done = self.tokenize("--in", "-", input=gzip.compress(LINES) + b"more")
        self.assertEqual((done.returncode, done.stdout.count(b"\n")), (1, 2000))
        self.assertIn("trailing_garbage", done.stderr.decode())
        for content, said in ((bz2.compress(LINES), "standard input: bzip2; "), (b"PAR1" + bytes(100), "Parquet")):
            done = self.tokenize("--in", "-", input=content)
            self.assertEqual(done.returncode, 2)
            self.assertIn(said, done.stderr.decode())
        done = self.tokenize("--in", "-", input=b"")
        self.assertEqual((done.returncode, done.stdout), (0, b""))

    def test_other_commands_say_who_reads_it(self):
        for name in ("-", "/dev/stdin"):
            for command in (["index", name], ["mix", "check", self.write_mix(name), "--data", self.folder],
                            ["vocab", "train", "--shards", name, "--out", self.folder / "new.model"]):
                done = run(*command, input=LINES)
                self.assertEqual(done.returncode, 2)
                self.assertIn("only tokenize reads a stream, with --in -", done.stderr.decode())

    def test_ctrl_c_ends_it_while_the_pipe_is_silent(self):
        reading = subprocess.Popen([MILLRACE, "tokenize", "--vocab", self.vocabulary, "--in", "-"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        reading.stdin.write(LINES)
        reading.stdin.flush()
        time.sleep(0.5)
        reading.send_signal(signal.SIGINT)
        reading.stdout.read()
        self.assertEqual(reading.wait(timeout=TAKES_AT_MOST), 130)
        for stream in (reading.stdin, reading.stdout, reading.stderr):
            stream.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""sample, as a user runs it. Usage: sample_test.py MILLRACE"""

import filecmp
import json
import os
import subprocess
import sys
import tempfile
import unittest

MILLRACE = os.path.abspath(sys.argv.pop(1))


def run(*arguments):
    return subprocess.run([MILLRACE, "sample", *arguments], capture_output=True, text=True, timeout=120)


def files_below(folder):
    found = [os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names]
    return sorted(found)


class Sample(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.out = os.path.join(self.temporary.name, "sample")

    def make(self, *options):
        done = run("--out", self.out, "--megabytes", "2", *options)
        if "without DuckDB" in done.stderr:
            self.skipTest("built without DuckDB")
        return done

    def test_the_same_machine_gives_the_same_bytes(self):
        self.assertEqual(self.make().returncode, 0)
        first = os.path.join(self.temporary.name, "first")
        os.rename(self.out, first)
        self.make()
        self.assertEqual(files_below(first), files_below(self.out))
        _, mismatch, errors = filecmp.cmpfiles(first, self.out, files_below(first), shallow=False)
        self.assertEqual((mismatch, errors), ([], []))

    def test_it_has_about_as_much_text_as_asked_for_and_leaves_nothing_else(self):
        self.make()
        with open(os.path.join(self.out, "sample.json"), encoding="utf-8") as manifest:
            sample = json.load(manifest)
        self.assertEqual(sorted(sample["files"]), [name for name in files_below(self.out) if name != "sample.json"])
        self.assertEqual(sample["text_bytes"], sum(corpus["text_bytes"] for corpus in sample["corpora"]))
        self.assertGreater(sample["text_bytes"], 100_000)
        self.assertLess(sample["text_bytes"], 9_000_000)
        self.assertEqual(os.listdir(self.temporary.name), ["sample"])

    def test_a_complete_sample_is_used_again_unless_forced(self):
        self.make()
        manifest = os.path.join(self.out, "sample.json")
        made = os.stat(manifest).st_mtime_ns
        self.assertIn("holds this sample already", self.make().stdout)
        self.assertEqual(os.stat(manifest).st_mtime_ns, made)
        self.assertEqual(self.make("--force").returncode, 0)
        self.assertNotEqual(os.stat(manifest).st_mtime_ns, made)

    def test_another_sample_or_foreign_files_are_not_overwritten(self):
        self.make()
        self.assertEqual(run("--out", self.out, "--megabytes", "3").returncode, 2)
        shard = os.path.join(self.out, next(name for name in files_below(self.out) if name.endswith(".zst")))
        os.truncate(shard, 10)
        self.assertIn("damaged", self.make().stderr)
        foreign = os.path.join(self.temporary.name, "foreign")
        os.mkdir(foreign)
        with open(os.path.join(foreign, "thesis.txt"), "w", encoding="utf-8") as out:
            out.write("irreplaceable")
        for options in ((), ("--force",)):
            self.assertEqual(run("--out", foreign, "--megabytes", "2", *options).returncode, 2)
        self.assertEqual(files_below(foreign), ["thesis.txt"])

    def test_another_root_adds_its_texts_without_duplicates_or_binaries(self):
        root = os.path.join(self.temporary.name, "root/usr/share/doc/invented")
        os.makedirs(root)
        text = "An invented text of the test, long enough to be taken.\n" * 10
        for name, content in (("README", text.encode()), ("README.txt", text.encode()), ("bad.txt", b"\xff\xfe" * 200),
                              ("binary.txt", b"\0" * 400)):
            with open(os.path.join(root, name), "wb") as out:
                out.write(content)
        with open(os.path.join(root, "copyright"), "w", encoding="utf-8") as out:
            out.write("A licence. " + text)
        done = self.make("--only-from", "--from", os.path.join(self.temporary.name, "root"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1 binary, 1 not UTF-8, 1 duplicates", done.stdout)
        self.assertIn("asked for 2 MB of text, found 0.0 MB", done.stderr)
        with open(os.path.join(self.out, "sample.json"), encoding="utf-8") as manifest:
            corpora = {corpus["corpus"]: corpus["documents"] for corpus in json.load(manifest)["corpora"]}
        self.assertEqual(corpora, {"docs": 1, "licences": 1})

    def test_what_a_kill_left_without_its_name_gets_it_back(self):
        self.make()
        made = {name: open(os.path.join(self.out, name), "rb").read() for name in files_below(self.out)}
        replaced = os.path.join(self.temporary.name, ".sample.replaced")
        os.rename(self.out, replaced)
        empty = os.path.join(self.temporary.name, "empty")
        os.mkdir(empty)
        self.assertEqual(run("--out", self.out, "--from", empty, "--only-from").returncode, 1)
        self.assertEqual({name: open(os.path.join(self.out, name), "rb").read() for name in files_below(self.out)}, made)
        self.assertEqual(sorted(os.listdir(self.temporary.name)), ["empty", "sample"])
        os.chmod(self.out, 0o750)
        os.rename(self.out, replaced)
        self.assertEqual(self.make().returncode, 0)
        self.assertEqual(files_below(self.out), sorted(made))
        self.assertEqual(os.stat(self.out).st_mode & 0o777, 0o750)
        self.assertEqual(sorted(os.listdir(self.temporary.name)), ["empty", "sample"])

    def test_wrong_usage_exits_with_2(self):
        for options in (("--out", "/proc/sample"), ("--out", self.out, "--megabytes", "0"),
                        ("--out", self.out, "--from", "/does/not/exist"), ("--out", self.out, "--only-from"), ()):
            self.assertEqual(run(*options).returncode, 2, options)
        self.assertIn("Example:", run("--help").stdout)


if __name__ == "__main__":
    unittest.main()

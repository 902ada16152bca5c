"""What millrace preprocess writes, read by readers that know only the formats: preprocess_readers_test.py MILLRACE"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
try:
    import numpy_readers
except ImportError:
    print("skipped: this python has no numpy (Debian: python3-numpy)")
    sys.exit(77)
import preprocess_test
import tiny_run

MILLRACE = None
CORPORA = ("prose", "code")
COLUMNS = ("tokens", "labels", "loss_weights", "segment_ids", "positions")


def millrace(*arguments, code=0):
    done = subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(item in rest for item in part)


class Readers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-readers-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")
        cls.tokenized = {}
        for corpus in CORPORA:
            done = millrace("tokenize", "--vocab", cls.folder / "input/vocab.model", "--in",
                            cls.folder / f"input/data/{corpus}.jsonl")
            cls.tokenized[corpus] = [json.loads(line) for line in done.stdout.splitlines()]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def written(self, name, *arguments):
        folder = self.folder / name
        return folder, json.loads(millrace("preprocess", self.run_file, "--out", folder, "--json", *arguments).stdout)

    def expected(self, corpus):
        """Every document, none held out, each with eos (id 1)."""
        return [ids + [1] for ids in self.tokenized[corpus] if ids is not None]

    def test_every_document_is_there_in_its_order_and_ends_in_eos(self):
        for format in preprocess_test.DOCUMENT_FORMATS:
            read = getattr(numpy_readers, format)
            folder, _ = self.written(f"all-{format}", "--format", format, "--set", "data.holdout=0")
            for corpus in CORPORA:
                with self.subTest(format=format, corpus=corpus):
                    self.assertEqual(read(folder, corpus), self.expected(corpus))

    def test_held_out_documents_are_missing_and_counted(self):
        folder, manifest = self.written("held-out", "--format", "megatron")
        for account in manifest["accounts"]:
            documents = numpy_readers.megatron(folder, account["corpus"])
            expected = self.expected(account["corpus"])
            self.assertGreater(account["held_out"], 0)
            self.assertEqual(len(documents), len(expected) - account["held_out"])
            self.assertTrue(is_subsequence(documents, expected))

    def test_big_vocabularies_get_wide_ids(self):
        vocabulary = self.folder / "big.model"
        vocabulary.write_bytes(tiny_run.vocabulary(tiny_run.WORDS + [f"w{i}" for i in range(66_000)]))
        done = millrace("tokenize", "--vocab", vocabulary, "--in", self.folder / "input/data/prose.jsonl")
        expected = [json.loads(line) + [1] for line in done.stdout.splitlines()]
        for format in preprocess_test.DOCUMENT_FORMATS:
            read = getattr(numpy_readers, format)
            folder, manifest = self.written(f"big-{format}", "--format", format, "--set", "data.holdout=0", "--set",
                                            f"vocab={vocabulary}")
            self.assertEqual(manifest["id_type"], "i32" if format == "megatron" else "u32")
            self.assertEqual(read(folder, "prose"), expected, format)

    def test_olmo_parts_end_between_documents_and_name_their_lines(self):
        folder, _ = self.written("olmo-parts", "--format", "olmo", "--part-bytes", 5000, "--set", "data.holdout=0")
        self.assertGreater(len(list((folder / "code").glob("*.npy"))), 10)
        self.assertTrue(all(npy.stat().st_size <= 5000 for npy in (folder / "code").glob("*.npy")))
        documents, lines = zip(*numpy_readers.olmo_with_lines(folder, "code"))
        self.assertEqual(list(documents), self.expected("code"))
        good = [number for number, ids in enumerate(self.tokenized["code"], 1) if ids is not None]
        self.assertEqual(list(lines), [["", "code.jsonl", str(number)] for number in good])

    def test_a_corpus_stops_with_the_document_that_reaches_its_share(self):
        folder, manifest = self.written("some", "--format", "megatron", "--tokens", 9001, "--set", "data.holdout=0")
        for account, share in zip(manifest["accounts"], (0.7, 0.3)):
            self.assertEqual(account["raw_tokens_asked"], int(9001 * share))
            documents = numpy_readers.megatron(folder, account["corpus"])
            self.assertEqual(documents, self.expected(account["corpus"])[:len(documents)])
            raw = [len(document) - 1 for document in documents]
            self.assertEqual(sum(raw), account["raw_tokens"])
            self.assertGreaterEqual(sum(raw), int(9001 * share))
            self.assertLess(sum(raw[:-1]), int(9001 * share))

    def test_rows_are_those_that_inspect_shows(self):
        shown = [json.loads(line) for line in
                 millrace("inspect", self.run_file, "--json", "--examples", 240).stdout.splitlines()]
        rows = [{name: row[name] for name in COLUMNS} for row in shown]
        options = ("--tokens", 15_360, "--part-bytes", 50_000)
        for format, ending in (("mds", ".mds.zstd"), ("mds-plain", ".mds")):
            folder, _ = self.written(format, "--format", format, *options)
            self.assertGreater(len(list(folder.glob("shard.*" + ending))), 3)
            self.assertEqual(list(numpy_readers.mds(folder)), rows)
        folder, _ = self.written("rows", "--format", "rows", *options)
        self.assertGreater(len(list(folder.glob("part-*.rows"))), 3)
        read = list(numpy_readers.rows(folder))
        self.assertEqual([row for row, _ in read], rows)
        for (_, provenance), row in zip(read, shown):
            self.assertEqual(provenance["raw_tokens"], row["examples"][0]["raw_tokens"])
            self.assertEqual(provenance["after"]["row"], row["row"] + 1)


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    unittest.main(verbosity=2)

"""What millrace preprocess writes, read by those whom it is for: peer_readers_test.py MILLRACE

Wants the Python of scripts/deps.sh readers: megatron-core, mosaicml-streaming, OLMo-core and datatrove, pinned."""

import importlib.metadata
import json
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

HOME = tempfile.mkdtemp(prefix="millrace-peers-home-")
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": HOME, "HOME": HOME}
try:
    import streaming
    from datatrove.utils.dataset import DatatroveFolderDataset
    from megatron.core.datasets.indexed_dataset import IndexedDataset
    from olmo_core.data.utils import iter_document_indices, load_array_slice_into_tensor
    import numpy as np
except ImportError as error:
    print(f"skipped: {error}; scripts/deps.sh readers installs what this wants")
    sys.exit(77)

import preprocess_readers_test
import tiny_run
from preprocess_readers_test import COLUMNS, CORPORA, millrace

PEERS = {"megatron": "megatron-core", "mds": "mosaicml-streaming", "mds-plain": "mosaicml-streaming",
         "olmo": "ai2-olmo-core", "nanotron": "datatrove"}  # fmt: skip
LEAST = 200


def megatron(folder, corpus, width):
    """Documents of Megatron-Core's IndexedDataset, as its GPTDataset reads them."""
    dataset = IndexedDataset(str(folder / f"{corpus}_text_document"))
    assert dataset.index.dtype == {2: np.uint16, 4: np.int32}[width]
    return [document.tolist() for document in dataset]


def olmo(folder, corpus, width):
    """Documents where OLMo-core finds them."""
    dtype = {2: np.uint16, 4: np.uint32}[width]
    documents = []
    for path in sorted((folder / corpus).glob("**/*.npy")):
        for start, end in iter_document_indices(path):
            documents.append(load_array_slice_into_tensor(path, start, end, dtype).tolist())
    return documents


def nanotron(folder, corpus, width):
    """Rows of datatrove's reader, which knows no documents: one after the other, as long as they are full."""
    dataset = DatatroveFolderDataset(str(folder / corpus), seq_len=63, token_size=width)
    return [row["input_ids"].tolist() for row in dataset]


class Peers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-peers-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")
        cls.vocabularies = {2: cls.folder / "input" / "vocab.model", 4: cls.folder / "big.model"}
        cls.vocabularies[4].write_bytes(tiny_run.vocabulary(tiny_run.WORDS + [f"w{i}" for i in range(66_000)]))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def documents(self, corpus, width):
        """What `tokenize` says of each, with eos (id 1)."""
        told = millrace("tokenize", "--vocab", self.vocabularies[width], "--in", self.folder / f"input/data/{corpus}.jsonl").stdout
        documents = [ids + [1] for ids in map(json.loads, told.splitlines()) if ids is not None]
        self.assertGreaterEqual(len(documents), LEAST)
        return documents

    def written(self, format, width, *more):
        folder = self.folder / f"{format}-{width}"
        millrace("preprocess", self.run_file, "--out", folder, "--format", format, "--set",
                 f"vocab={self.vocabularies[width]}", *more)  # fmt: skip
        return folder

    def tell(self, format, what):
        print(f"{format}: {what} equal, read by {PEERS[format]} {importlib.metadata.version(PEERS[format])}", flush=True)

    def test_documents_are_those_of_tokenize(self):
        for format, read in (("megatron", megatron), ("olmo", olmo)):
            for width in (2, 4):
                folder = self.written(format, width, "--set", "data.holdout=0")
                for corpus in CORPORA:
                    expected = self.documents(corpus, width)
                    self.assertEqual(read(folder, corpus, width), expected, (format, width, corpus))
                    self.tell(format, f"{len(expected)} documents of {corpus}, ids of {width} bytes,")

    def test_a_record_whose_id_has_line_breaks_is_one_document_to_olmo(self):
        run_file = tiny_run.write_run(self.folder / "breaks")
        shard = self.folder / "breaks" / "data" / "prose.jsonl"
        records = [json.loads(line) for line in shard.read_text().splitlines()]
        records = [record | {"id": f'a\n{number},"\r\n1,2'} for number, record in enumerate(records)]
        shard.write_text("".join(json.dumps(record) + "\n" for record in records))
        mix = self.folder / "breaks" / "mix.toml"
        mix.write_text(mix.read_text().replace('name = "prose"\n', 'name = "prose"\nlayout = "dolma"\n'))
        folder = self.folder / "breaks" / "olmo"
        millrace("preprocess", run_file, "--out", folder, "--format", "olmo", "--set", "data.holdout=0")
        self.assertEqual(olmo(folder, "prose", 2), self.documents("prose", 2))

    def test_rows_of_ids_are_the_documents_of_tokenize_one_after_the_other(self):
        for width in (2, 4):
            folder = self.written("nanotron", width, "--set", "data.holdout=0")
            for corpus in CORPORA:
                ids = [id for document in self.documents(corpus, width) for id in document]
                expected = [ids[first:first + 64] for first in range(0, len(ids) - 63, 64)]
                self.assertGreaterEqual(len(expected), LEAST)
                self.assertEqual(nanotron(folder, corpus, width), expected)
                self.tell("nanotron", f"{len(expected)} rows of {corpus}, ids of {width} bytes,")

    def test_rows_are_those_that_inspect_shows(self):
        shown = millrace("inspect", self.run_file, "--json", "--rows", 240).stdout.splitlines()
        expected = [{name: json.loads(line)[name] for name in COLUMNS} for line in shown]
        self.assertGreaterEqual(len(expected), LEAST)
        options = ("--tokens", 240 * 64, "--part-bytes", 50_000)
        for format in ("mds", "mds-plain"):
            folder = self.written(format, 2, *options)
            if format == "mds":
                rows = streaming.StreamingDataset(local=str(folder), shuffle=False, batch_size=1)
            else:
                rows = streaming.LocalDataset(str(folder))
            found = [{name: row[name].tolist() for name in COLUMNS} for row in (rows[i] for i in range(rows.num_samples))]
            self.assertEqual(found, expected)
            self.tell(format, f"{len(found)} rows")


if __name__ == "__main__":
    preprocess_readers_test.MILLRACE = sys.argv.pop(1)
    try:
        unittest.main(verbosity=2)
    finally:
        shutil.rmtree(HOME, ignore_errors=True)

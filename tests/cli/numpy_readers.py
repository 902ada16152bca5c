"""Readers of the formats that millrace preprocess writes, based on their descriptions only: numpy, no Millrace code. One of
documents is called after its format."""

import csv
import gzip
import json
import pathlib
import subprocess

import numpy as np


def zstd(data):
    return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout


def megatron(folder, corpus):
    """Documents of Megatron-Core's IndexedDataset as lists of ids."""
    index = (pathlib.Path(folder) / f"{corpus}_text_document.idx").read_bytes()
    assert index[:9] == b"MMIDIDX\0\0", index[:9]
    version, code, sequences, entries = np.ndarray(1, "<u8,u1,<u8,<u8", index, 9)[0]
    assert version == 1 and entries == sequences + 1
    dtype = {4: "<i4", 8: "<u2"}[int(code)]
    sequences = int(sequences)
    lengths = np.ndarray(sequences, "<i4", index, 34)
    offsets = np.ndarray(sequences, "<i8", index, 34 + 4 * sequences)
    documents = np.ndarray(sequences + 1, "<i8", index, 34 + 12 * sequences)
    assert len(index) == 42 + 20 * sequences
    assert documents.tolist() == list(range(sequences + 1))
    data = (pathlib.Path(folder) / f"{corpus}_text_document.bin").read_bytes()
    assert int(lengths.sum()) * np.dtype(dtype).itemsize == len(data)
    return [np.ndarray(int(n), dtype, data, int(at)).tolist() for n, at in zip(lengths, offsets)]


def nanotron(folder, corpus):
    """Documents of the .ds files in a folder."""
    documents = []
    for ds in sorted((pathlib.Path(folder) / corpus).glob("*.ds")):
        tokenizer, total, _ = (ds.parent / (ds.name + ".metadata")).read_text().splitlines()
        tokens = np.fromfile(ds, {"2": "<u2", "4": "<u4"}[tokenizer.rsplit("|", 1)[1]])
        ends = np.fromfile(ds.parent / (ds.name + ".index"), "<u8")
        assert int(total) == len(tokens) == ends[-1]
        documents += [part.tolist() for part in np.split(tokens, ends[:-1].astype(np.int64))]
    return documents


def olmo(folder, corpus):
    """Documents of headerless .npy files."""
    return [document for document, _ in olmo_with_lines(folder, corpus)]


def olmo_with_lines(folder, corpus):
    """Documents of headerless .npy files, each with the rest of its line of the .csv.gz."""
    dtype = {"u16": "<u2", "u32": "<u4"}[json.loads((pathlib.Path(folder) / "preprocess.json").read_text())["id_type"]]
    for npy in sorted((pathlib.Path(folder) / corpus).glob("part-*.npy")):
        tokens = np.memmap(npy, dtype, mode="r")
        with gzip.open(npy.with_suffix(".csv.gz"), "rt", newline="") as file:
            for start, end, *rest in csv.reader(file):
                yield tokens[int(start):int(end)].tolist(), rest
        assert int(end) == len(tokens)


def array_of(data, dtype):
    """An MDS `ndarray:DTYPE`: a shape byte, the shape, the values."""
    dimensions, width = data[0] >> 2, ("<u1", "<u2", "<u4", "<u8")[data[0] & 3]
    shape = np.ndarray(dimensions, width, data, 1)
    return np.ndarray(shape.tolist(), np.dtype(dtype).newbyteorder("<"), data, 1 + shape.nbytes)


def mds(folder):
    """Samples of an MDS folder: {column: list}."""
    folder = pathlib.Path(folder)
    index = json.loads((folder / "index.json").read_text())
    assert index["version"] == 2
    for shard in index["shards"]:
        assert shard["column_names"] == sorted(shard["column_names"])
        assert (shard["compression"] is None) == (shard["zip_data"] is None)
        stored = shard["zip_data"] or shard["raw_data"]
        data = (folder / stored["basename"]).read_bytes()
        assert len(data) == stored["bytes"]
        data = zstd(data) if shard["zip_data"] else data
        assert len(data) == shard["raw_data"]["bytes"] <= shard["size_limit"]
        count = int(np.ndarray(1, "<u4", data)[0])
        assert count == shard["samples"]
        offsets = np.ndarray(count + 1, "<u4", data, 4).tolist()
        config = json.loads(data[4 + 4 * (count + 1):offsets[0]])
        assert all(shard[key] == value for key, value in config.items())
        columns = list(zip(config["column_names"], config["column_encodings"], config["column_sizes"]))
        assert all(size is None for _, _, size in columns)
        for begin, end in zip(offsets, offsets[1:]):
            sizes = np.ndarray(len(columns), "<u4", data, begin).tolist()
            at, sample = begin + 4 * len(columns), {}
            for (name, encoding, _), size in zip(columns, sizes):
                kind, dtype = encoding.split(":")
                assert kind == "ndarray"
                sample[name] = array_of(data[at:at + size], dtype).tolist()
                at += size
            assert at == end
            yield sample


def rows(folder):
    """Rows of Millrace's own format, by docs/preprocess.md: {column: list}, and the provenance."""
    for part in sorted(pathlib.Path(folder).glob("part-*.rows")):
        data = part.read_bytes()
        header = np.ndarray(1, [("magic", "S8"), ("version", "<u4"), ("stream", "<u4"), ("first", "<u8"), ("rows", "<u8"),
                                ("T", "<u4"), ("row_bytes", "<u4"), ("vocabulary", "<u8"), ("run", "<u8"),
                                ("provenance_at", "<u8"), ("provenance_bytes", "<u8"), ("provenance_size", "<u8"),
                                ("provenance_xxh3", "<u8"), ("xxh3", "<u8")], data)[0]
        assert header.nbytes == 96 and header["magic"] == b"MLRCROWS" and header["version"] == 2
        T, at = int(header["T"]), 96
        places, *provenance, raw_tokens = zstd(data[header["provenance_at"]:]).split(b"\n", int(header["rows"]) + 1)
        places, raw_tokens = json.loads(places), np.frombuffer(raw_tokens, "<i4")
        for line in provenance:
            told = json.loads(line)
            first, count = told["raw_tokens"]
            told["raw_tokens"] = raw_tokens[first:first + count].tolist()
            for corpus in told["after"]["corpora"]:
                corpus["place"] = places[corpus["place"]]
            row = {}
            for i, (name, dtype) in enumerate((("tokens", "<i4"), ("labels", "<i4"), ("loss_weights", "<f4"),
                                               ("segment_ids", "<i4"), ("positions", "<i4"))):
                row[name] = np.ndarray(T, dtype, data, at + 4 * T * i).tolist()
            yield row, told
            at += int(header["row_bytes"])
        assert at == header["provenance_at"]

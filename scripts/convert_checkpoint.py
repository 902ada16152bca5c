#!/usr/bin/env python3
"""Converts a PyTorch checkpoint to one that Millrace reads, or a bf16 checkpoint to f32, or the reverse.

usage: convert_checkpoint.py FOLDER NEW_FOLDER [--f32 | --bf16]

FOLDER holds config.json and pytorch_model.bin, or the shards of pytorch_model.bin.index.json, as transformers'
save_pretrained writes them; or safetensors files. NEW_FOLDER gets config.json and model.safetensors, or one safetensors
file for each .bin file and their index. Bytes of tensors are copied as they are; --f32 widens BF16 (exactly), so that
`millrace generate` can map the weights instead of converting them in memory; --bf16 rounds F32 to the nearest, ties to
even: half the size, for those who only run a model.

Needs only Python 3. A .bin file is a zip archive with a pickle: only the few names that describe tensors are resolved,
so that no code from the file is run. Files of PyTorch before 1.6 (not zip) are refused.
"""
import argparse
import array
import collections
import json
import math
import mmap
import pickle
import struct
import sys
import zipfile
from pathlib import Path

STORAGES = {  # PyTorch's storage classes: safetensors' dtype, bytes an element
    "DoubleStorage": ("F64", 8), "FloatStorage": ("F32", 4), "HalfStorage": ("F16", 2), "BFloat16Storage": ("BF16", 2),
    "LongStorage": ("I64", 8), "IntStorage": ("I32", 4), "ShortStorage": ("I16", 2), "CharStorage": ("I8", 1),
    "ByteStorage": ("U8", 1), "BoolStorage": ("BOOL", 1),
}  # fmt: skip

# read() gives the tensor's bytes, row-major and little-endian.
Tensor = collections.namedtuple("Tensor", "dtype shape bytes read")


def fail(message):
    sys.exit(f"convert_checkpoint.py: {message}")


class TensorUnpickler(pickle.Unpickler):
    """Reads a state dict, building only the descriptions of its tensors."""

    def __init__(self, archive, root, path):
        super().__init__(archive.open(f"{root}/data.pkl"))
        self.archive, self.root, self.path = archive, root, path

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self.tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        fail(f"{self.path}: asks for {module}.{name}; expected a state dict of tensors and nothing else")

    def persistent_load(self, pid):
        _, (dtype, size), key, _, count = pid
        return dtype, size, f"{self.root}/data/{key}", count

    def tensor(self, storage, offset, shape, stride, *_):
        dtype, size, entry, count = storage
        row_major = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        if any(extent > 1 and s != r for extent, s, r in zip(shape, stride, row_major)):
            fail(f"{self.path}: a tensor of shape {list(shape)} is not row-major (strides {list(stride)})")
        begin, length = offset * size, math.prod(shape) * size
        if begin + length > count * size:
            fail(f"{self.path}: a tensor of {length} bytes at {begin} in a storage of {count * size}")

        def read():
            with self.archive.open(entry) as stored:
                stored.seek(begin)
                return stored.read(length)

        return Tensor(dtype, list(shape), length, read)


def pytorch_tensors(path):
    if not zipfile.is_zipfile(path):
        fail(f"{path}: no zip archive; PyTorch before 1.6 wrote such files: save it again with a newer one")
    archive = zipfile.ZipFile(path)
    root = next((name.split("/")[0] for name in archive.namelist() if name.endswith("/data.pkl")), None)
    if root is None:
        fail(f"{path}: a zip archive without data.pkl; expected what torch.save writes")
    if f"{root}/byteorder" in archive.namelist() and archive.read(f"{root}/byteorder") != b"little":
        fail(f"{path}: not little-endian")
    return TensorUnpickler(archive, root, path).load()


def safetensors_tensors(path):
    with open(path, "rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    (size,) = struct.unpack("<Q", content[:8])
    tensors = {}
    for name, entry in json.loads(content[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            tensors[name] = Tensor(entry["dtype"], entry["shape"], end - begin, lambda b=begin, e=end: content[b:e])
    return tensors


def widened(tensor):
    """BF16 as F32: the upper half of the same number."""
    if tensor.dtype != "BF16":
        return tensor

    def read():
        words = array.array("H", bytes(2 * tensor.bytes))
        words[1::2] = array.array("H", tensor.read())
        return words.tobytes()

    return Tensor("F32", tensor.shape, 2 * tensor.bytes, read)


def rounded(name, tensor):
    """F32 as BF16, many numbers at once: each is a digit of 32 bits of one large integer, of which no sum overflows."""
    if tensor.dtype != "F32":
        return tensor

    def read():
        content, words, step = tensor.read(), array.array("H"), 1 << 18
        for begin in range(0, len(content), step):
            part = content[begin : begin + step]
            each = int.from_bytes(b"\1\0\0\0" * (len(part) // 4), "little")
            bits = int.from_bytes(part, "little")
            if ((bits & 0x7F800000 * each) + 0x00800000 * each) & 0x80000000 * each:
                fail(f"{name}: holds a number that is not finite")
            bits += 0x7FFF * each + (bits >> 16 & each)
            words.extend(array.array("H", bits.to_bytes(len(part), "little"))[1::2])
        return words.tobytes()

    return Tensor("BF16", tensor.shape, tensor.bytes // 2, read)


def write_safetensors(path, tensors):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [at, at + tensor.bytes]}
        at += tensor.bytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    unfinished = path.with_name(path.name + ".tmp")
    with open(unfinished, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, tensor in tensors.items():
            content = tensor.read()
            if len(content) != tensor.bytes:
                fail(f"{name}: {len(content)} bytes, expected {tensor.bytes}")
            file.write(content)
    unfinished.rename(path)


def weight_files(folder):
    """The files that hold the weights, in order, and how to read them."""
    for stem, read in (("model.safetensors", safetensors_tensors), ("pytorch_model.bin", pytorch_tensors)):
        if (folder / stem).exists():
            return [folder / stem], read
        index = folder / f"{stem}.index.json"
        if index.exists():
            return [folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))], read
    fail(f"{folder}: neither model.safetensors nor pytorch_model.bin, nor an index of either")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("new_folder", type=Path)
    types = arguments.add_mutually_exclusive_group()
    types.add_argument("--f32", action="store_true", help="widen BF16 to F32")
    types.add_argument("--bf16", action="store_true", help="round F32 to BF16")
    options = arguments.parse_args()
    files, read = weight_files(options.folder)
    if not (options.folder / "config.json").exists():
        fail(f"{options.folder}: no config.json")
    if options.new_folder.exists():
        fail(f"{options.new_folder}: is there already")
    options.new_folder.mkdir(parents=True)
    config = json.loads((options.folder / "config.json").read_text())
    if options.f32 or options.bf16:
        config["torch_dtype"] = "float32" if options.f32 else "bfloat16"
    (options.new_folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    weight_map, total = {}, 0
    for number, path in enumerate(files, 1):
        tensors = read(path)
        if options.f32:
            tensors = {name: widened(tensor) for name, tensor in tensors.items()}
        if options.bf16:
            tensors = {name: rounded(name, tensor) for name, tensor in tensors.items()}
        name = "model.safetensors" if len(files) == 1 else f"model-{number:05}-of-{len(files):05}.safetensors"
        write_safetensors(options.new_folder / name, tensors)
        weight_map.update(dict.fromkeys(tensors, name))
        total += sum(tensor.bytes for tensor in tensors.values())
        print(f"{path} -> {options.new_folder / name}: {len(tensors)} tensors")
    if len(files) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (options.new_folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()

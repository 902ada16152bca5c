"""Reads and writes checkpoint folders by the formats' descriptions alone: safetensors, sharded or not, and PyTorch's."""

import array
import collections
import io
import json
import pathlib
import pickle
import struct
import sys
import types
import zipfile


def read_safetensors(path):
    """{name: (dtype, shape, bytes)}"""
    content = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    header.pop("__metadata__", None)
    data = content[8 + size :]
    return {name: (t["dtype"], t["shape"], data[slice(*t["data_offsets"])]) for name, t in header.items()}


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


def floats(tensor):
    return array.array("f", tensor[2])


def to_bf16(tensor):
    """Rounds F32 to the nearest BF16, ties to even."""
    _, shape, content = tensor
    words = array.array("I", content)
    halves = array.array("H", ((word + 0x7FFF + (word >> 16 & 1)) >> 16 for word in words))
    return "BF16", shape, halves.tobytes()


def to_f32(tensor):
    _, shape, content = tensor
    return "F32", shape, array.array("I", (half << 16 for half in array.array("H", content))).tobytes()


def new_folder(folder, config, tensors, shards=1):
    """A checkpoint folder of `tensors`, in as many files; the tensors are dealt to the shards in turn."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors)
        return folder
    names = [f"model-{shard + 1:05}-of-{shards:05}.safetensors" for shard in range(shards)]
    weight_map = {tensor: names[i % shards] for i, tensor in enumerate(tensors)}
    for name in names:
        write_safetensors(folder / name, {t: tensors[t] for t in tensors if weight_map[t] == name})
    total = sum(len(content) for _, _, content in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def cut(checkpoint, stem, shards):
    """Makes several files and their index of one; the manifest, if there is one, then covers only the others."""
    single = checkpoint / f"{stem}.safetensors"
    tensors = read_safetensors(single)
    names = [f"{stem}-{shard + 1:05}-of-{shards:05}.safetensors" for shard in range(shards)]
    weight_map = {tensor: names[i * shards // len(tensors)] for i, tensor in enumerate(tensors)}
    for name in names:
        write_safetensors(checkpoint / name, {t: tensors[t] for t in tensors if weight_map[t] == name})
    (checkpoint / f"{single.name}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    single.unlink()
    manifest = checkpoint / "manifest.json"
    if manifest.exists():
        said = json.loads(manifest.read_text())
        said["files"].pop(single.name, None)
        manifest.write_text(json.dumps(said))


class _Storage:
    def __init__(self, kind, key, count):
        self.kind, self.key, self.count = kind, key, count


class _Tensor:
    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class _Pickler(pickle._Pickler):
    def persistent_id(self, value):
        return ("storage", value.kind, value.key, "cpu", value.count) if isinstance(value, _Storage) else None


def write_pytorch(path, tensors, protocol=2, zip64_from=zipfile.ZIP64_LIMIT):
    """A .bin file as torch.save writes it, without torch: stand-in classes provide the names in the pickle. Sizes of more
    than `zip64_from` bytes are written as those of huge files are."""
    kinds = {"F32": ("FloatStorage", 4), "BF16": ("BFloat16Storage", 2), "F64": ("DoubleStorage", 8)}
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name, _ in kinds.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    utils._rebuild_tensor_v2 = lambda *arguments: None
    utils._rebuild_tensor_v2.__module__ = "torch._utils"
    utils._rebuild_tensor_v2.__qualname__ = utils._rebuild_tensor_v2.__name__ = "_rebuild_tensor_v2"
    kept = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    kept_limit, zipfile.ZIP64_LIMIT = zipfile.ZIP64_LIMIT, zip64_from
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        with zipfile.ZipFile(path, "w") as archive:
            state = collections.OrderedDict()
            state._metadata = collections.OrderedDict({"": {"version": 1}})
            for key, (name, (dtype, shape, content)) in enumerate(tensors.items()):
                kind, size = kinds[dtype]
                stride = [1] * len(shape)
                for axis in reversed(range(len(shape) - 1)):
                    stride[axis] = stride[axis + 1] * shape[axis + 1]
                storage = _Storage(getattr(torch, kind), str(key), len(content) // size)
                state[name] = _Tensor(storage, 0, tuple(shape), tuple(stride), False, {})
                archive.writestr(f"archive/data/{key}", content)
            pickled = io.BytesIO()
            _Pickler(pickled, protocol).dump(state)
            archive.writestr("archive/data.pkl", pickled.getvalue())
    finally:
        zipfile.ZIP64_LIMIT = kept_limit
        for name, module in kept.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})

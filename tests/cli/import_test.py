"""millrace import: what others save of a model becomes a checkpoint. import_test.py MILLRACE"""

import array
import json
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import unittest
import zipfile

import checkpoint_files as files
from export_test import interrupted, widen

PROGRAM = None
ROOT = pathlib.Path(__file__).resolve().parents[2]
# Saves the tensors of the safetensors file IN as model.bin: halves as BF16, some as parameters, two views of one storage.
SAVE_WITH_TORCH = """
import json, struct, sys, torch
data = open(sys.argv[1], "rb").read()
(size,) = struct.unpack("<Q", data[:8])
state = torch.nn.Linear(2, 2).state_dict()
state.clear()
for number, (name, entry) in enumerate(json.loads(data[8 : 8 + size]).items()):
    if name == "__metadata__":
        continue
    begin, end = (8 + size + offset for offset in entry["data_offsets"])
    tensor = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.float32).reshape(entry["shape"])
    if number % 3 == 0:
        tensor = tensor.bfloat16()
    if number % 4 == 0:
        tensor = torch.nn.Parameter(tensor)
    if number % 5 == 0:
        tensor = torch.cat((tensor, tensor))[tensor.shape[0] :]
    state[name] = tensor
torch.save(state, sys.argv[2])
"""


def millrace(*arguments, code=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, f"exit code {done.returncode}, expected {code}: {done.stderr}"
    return done


def python_with_torch():
    """A Python that has PyTorch, or None."""
    for python in (sys.executable, "/usr/bin/python3", ROOT / "build" / "deps" / "transformers" / "bin" / "python"):
        if os.path.exists(python) and subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0:
            return str(python)
    return None


class Import(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="millrace-import-")
        self.addCleanup(self.temporary.cleanup)
        self.folder = pathlib.Path(self.temporary.name)
        self.drawn = self.folder / "drawn"
        millrace("init", "openmoe-micro", "--out", self.drawn, "--seed", 5)
        self.config = json.loads((self.drawn / "config.json").read_text())
        self.tensors = files.read_safetensors(self.drawn / "model.safetensors")
        self.source, self.out = self.folder / "source", self.folder / "out"
        self.source.mkdir()
        (self.source / "config.json").write_text(json.dumps(self.config))

    def imported(self, *more, source=None):
        """The tensors of what an import of the source makes."""
        millrace("import", source or self.source, "--to", self.out, *more)
        self.assertEqual(sorted(path.name for path in self.out.iterdir()), ["config.json", "model.safetensors"])
        read = files.read_safetensors(self.out / "model.safetensors")
        for path in self.out.iterdir():
            path.unlink()
        return read

    def refusal(self, *more, code=2):
        """What is said; nothing is left."""
        told = millrace("import", self.source, "--to", self.out, *more, code=code).stderr
        self.assertFalse(self.out.exists())
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["drawn", "source"])
        return told

    def test_pytorch_files_of_every_protocol_give_the_bytes_of_their_tensors(self):
        for protocol in (2, 3, 4, 5):
            for limit in (zipfile.ZIP64_LIMIT, 8):
                with self.subTest(protocol=protocol, zip64_from=limit):
                    files.write_pytorch(self.source / "pytorch_model.bin", self.tensors, protocol, limit)
                    self.assertEqual(self.imported(), self.tensors)

    def test_files_that_pytorch_saved_give_the_bytes_of_their_tensors(self):
        python = python_with_torch()
        if python is None:
            self.skipTest("no Python with PyTorch: scripts/deps.sh bench or transformers installs one")
        command = [python, "-c", SAVE_WITH_TORCH, self.drawn / "model.safetensors", self.source / "pytorch_model.bin"]
        subprocess.run(command, check=True, capture_output=True)
        read = self.imported()
        self.assertEqual(read.keys(), self.tensors.keys())
        types = [dtype for dtype, _, _ in read.values()]
        self.assertGreater(min(types.count("BF16"), types.count("F32")), 5)
        for name, found in read.items():
            expected = self.tensors[name]
            self.assertEqual(found, files.to_bf16(expected) if found[0] == "BF16" else expected, name)

    def test_what_export_wrote_comes_back_to_the_last_byte(self):
        for dtype in ("f32", "bf16"):
            checkpoint = self.folder / f"checkpoint_{dtype}"
            millrace("init", "openmoe-micro", "--out", checkpoint, "--dtype", dtype)
            millrace("export", checkpoint, "--to", "hf", self.folder / f"hf_{dtype}", "--dtype", dtype)
            millrace("import", self.folder / f"hf_{dtype}", "--to", self.folder / f"back_{dtype}")
            for name in ("model.safetensors", "config.json"):
                self.assertEqual((self.folder / f"back_{dtype}" / name).read_bytes(), (checkpoint / name).read_bytes())

    def test_a_released_configuration_is_understood(self):
        renamed = {"topk": "router_topk", "capacity_factor_train": "router_capacity_factor_train",
                   "capacity_factor_eval": "router_capacity_factor_eval", "min_capacity": "router_min_capacity",
                   "noisy_policy": "router_noisy_policy", "drop_tks": "router_drop_tks", "gated": "mlp_gated"}  # fmt: skip
        config = {key: value for key, value in self.config.items() if key not in ("capacity_rule", "router_group_size", "pads_routed")}
        for released in (config, {**{old: config[new] for old, new in renamed.items()},
                                  **{key: value for key, value in config.items() if key not in renamed.values()}}):  # fmt: skip
            released |= {"auto_map": {"AutoModelForCausalLM": "modeling_openmoe.OpenMoeForCausalLM"}, "z_loss_factor": 0.01,
                         "label_smoothing": 0.001, "transformers_version": "4.34.0", "initializer_range": 0.02}  # fmt: skip
            (self.source / "config.json").write_text(json.dumps(released))
            files.write_pytorch(self.source / "pytorch_model.bin", self.tensors)
            millrace("import", self.source, "--to", self.out)
            made = json.loads((self.out / "config.json").read_text())
            expected = {**self.config, "capacity_rule": "colossalai", "z_loss_factor": 0.01}
            self.assertEqual(made, expected)
            for path in self.out.iterdir():
                path.unlink()

    def test_types_are_kept_widened_or_rounded(self):
        mixed = {name: files.to_bf16(tensor) if number % 2 else tensor for number, (name, tensor) in enumerate(self.tensors.items())}
        files.write_pytorch(self.source / "pytorch_model.bin", mixed)
        self.assertEqual(self.imported(), mixed)
        self.assertEqual(self.imported("--dtype", "f32"),
                         {name: files.to_f32(tensor) if tensor[0] == "BF16" else tensor for name, tensor in mixed.items()})  # fmt: skip
        self.assertEqual(self.imported("--dtype", "bf16"), {name: files.to_bf16(tensor) for name, tensor in self.tensors.items()})

    def with_numbers(self, numbers):
        """The source's final norm begins with these."""
        _, shape, content = self.tensors["model.norm.weight"]
        begun = array.array("f", numbers).tobytes()
        tensors = {**self.tensors, "model.norm.weight": ("F32", shape, begun + content[len(begun) :])}
        files.write_safetensors(self.source / "model.safetensors", tensors)

    def test_bf16_numbers_are_the_nearest_with_ties_to_even(self):
        self.with_numbers([0.0, -0.0, 1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -(1 + 2**-8), 3.1e38, -1e-40, 1.9999999])
        expected = [0x0000, 0x8000, 0x3F80, 0x3F80, 0x3F82, 0x3F81, 0xBF80, 0x7F69, 0x8001, 0x4000]
        norm = self.imported("--dtype", "bf16")["model.norm.weight"]
        self.assertEqual(list(array.array("H", norm[2]))[: len(expected)], expected)

    def test_numbers_that_are_not_finite_are_not_rounded(self):
        for number, told in ((float("nan"), "nan"), (-float("inf"), "-inf"), (3.4e38, "3.4e+38")):
            self.with_numbers([1.0, number])
            self.assertIn(f'"model.norm.weight" holds {told}, expected numbers that are finite as bf16', self.refusal("--dtype", "bf16", code=1))
        self.imported()

    def test_no_code_of_a_file_is_run(self):
        witness = self.folder / "source" / "witness"

        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(witness),)

        for protocol in (2, 4):
            with zipfile.ZipFile(self.source / "pytorch_model.bin", "w") as archive:
                archive.writestr("archive/data.pkl", pickle.dumps({"w": Evil()}, protocol))
            told = self.refusal()
            self.assertRegex(told, r"pytorch_model\.bin: byte \d+: asks for posix\.mkdir, expected a dict of tensors")
            self.assertFalse(witness.exists())

    def test_damage_is_named_with_file_and_byte(self):
        file = self.source / "pytorch_model.bin"
        files.write_pytorch(file, self.tensors)
        good = file.read_bytes()
        name = list(self.tensors)[3]
        at = good.index(self.tensors[name][2])
        file.write_bytes(good[: at + 7] + bytes([good[at + 7] ^ 1]) + good[at + 8 :])
        self.assertRegex(self.refusal(), rf"pytorch_model\.bin: byte {at}: archive/data/3 has the checksum [0-9a-f]{{8}}, expected")
        file.write_bytes(good[:-100])
        self.assertIn("pytorch_model.bin: a zip archive whose directory is missing", self.refusal())
        with zipfile.ZipFile(file) if file.write_bytes(good) else None as archive:
            held = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry, content in held.items():
                archive.writestr(entry, content)
        self.assertRegex(self.refusal(), r'byte \d+: "archive/data/\d+" is compressed')
        file.write_bytes(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + bytes(100))
        self.assertIn("PyTorch 1.6 or later", self.refusal())

    def test_a_model_that_is_not_the_configurations_is_refused(self):
        file = self.source / "pytorch_model.bin"
        files.write_pytorch(file, {**self.tensors, "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", [1], bytes(4))})
        self.assertIn('inv_freq" is not part of the model', self.refusal())
        files.write_pytorch(file, {name: tensor for name, tensor in self.tensors.items() if name != "lm_head.weight"})
        self.assertIn('"lm_head.weight" is missing', self.refusal())
        (self.source / "config.json").unlink()
        self.assertIn("no readable config.json", self.refusal())
        (self.source / "config.json").write_text(json.dumps(self.config))
        file.unlink()
        self.assertIn("holds neither model.safetensors", self.refusal())

    def test_a_folder_with_something_in_it_is_left_alone(self):
        self.out.mkdir()
        (self.out / "mine").write_text("mine")
        refused = millrace("import", self.drawn, "--to", self.out, code=2)
        self.assertIn("not empty", refused.stderr)
        self.assertEqual((self.out / "mine").read_text(), "mine")

    def test_an_interrupted_import_leaves_nothing(self):
        widen(self.drawn, 1 << 24)
        self.assertEqual(interrupted([PROGRAM, "import", self.drawn, "--to", self.out], self.folder / ".out.unfinished"), 130)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["drawn", "source"])


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()

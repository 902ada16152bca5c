"""millrace export and millrace vocab export, without the programs that they are for: export_test.py MILLRACE"""

import array
import json
import pathlib
import py_compile
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import tiny_run
import unigram_search

PROGRAM = None


def millrace(*arguments, code=0, text=None):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, input=text)
    assert done.returncode == code, f"exit code {done.returncode}, expected {code}: {done.stderr}"
    return done


def tensors(path):
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    assert header.pop("__metadata__") == {"format": "pt"}
    return {
        name: (entry["dtype"], entry["shape"], data[8 + size + entry["data_offsets"][0] : 8 + size + entry["data_offsets"][1]])
        for name, entry in header.items()
    }


def nearest_bf16(bits):
    """Ties to even."""
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def widen(checkpoint, rows):
    """Gives a model so many rows of its vocabulary, of zeros in a file with a hole: as a large model is read."""
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"vocab_size": rows}))
    weights = checkpoint / "model.safetensors"
    with open(weights, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    at = 0
    for name, entry in header.items():
        if entry["shape"][0] == config["vocab_size"]:
            entry["shape"][0] = rows
        length = 4
        for extent in entry["shape"]:
            length *= extent
        entry["data_offsets"] = [at, at + length]
        at += length
    text = json.dumps(header).encode()
    with open(weights, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)


def interrupted(command, unfinished):
    """The exit code of a command that gets Ctrl-C once it has begun the folder `unfinished`."""
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE)
    while process.poll() is None and not unfinished.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    return process.returncode


class InAFolder(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="millrace-export-")
        self.addCleanup(self.temporary.cleanup)
        self.folder = pathlib.Path(self.temporary.name)


class Vocabulary(InAFolder):
    def setUp(self):
        super().setUp()
        self.model = self.folder / "v.model"
        self.model.write_bytes(tiny_run.vocabulary())
        millrace("vocab", "export", self.model, "--to", "hf", self.folder / "hf")
        self.tokenizer = unigram_search.Tokenizer(self.folder / "hf" / "tokenizer.json")

    def ids_of(self, texts):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        told = millrace("tokenize", "--vocab", self.model, "--in", "-", text=lines).stdout
        return [json.loads(line) for line in told.splitlines()]

    def test_its_search_gives_the_vocabularys_ids_and_decodes_to_the_text(self):
        draw = random.Random(5)
        parts = [*tiny_run.WORDS, " ", "  ", "\n", "\t", "é", "日本", "\U0001F600", "\u2581", *"millxyz", "\0"]
        texts = ["".join(draw.choices(parts, k=draw.randrange(1, 30))) for _ in range(300)]
        for text, expected in zip(texts, self.ids_of(texts), strict=True):
            with self.subTest(text=text):
                ids = self.tokenizer.encode(text)
                self.assertEqual(ids, expected)
                self.assertEqual(self.tokenizer.decode(ids), text.replace("\u2581", " "))

    def test_no_text_becomes_a_special_piece_or_a_byte(self):
        # Every character of these is a piece, so that libsentencepiece has another way to write them.
        words = tiny_run.WORDS + ["".join(chr(code) for code in range(33, 127))]
        self.model.write_bytes(tiny_run.vocabulary(words))
        millrace("vocab", "export", self.model, "--to", "hf", self.folder / "hf")
        tokenizer = unigram_search.Tokenizer(self.folder / "hf" / "tokenizer.json")
        texts = ["</s>", "<pad>", "<unk>", "<0x41>", "a<0x0A>b</s>c<0xFF>"]
        for text, expected in zip(texts, self.ids_of(texts), strict=True):
            self.assertEqual(tokenizer.encode(text), expected, text)
            self.assertTrue(all(number > 258 for number in expected), text)
        config = json.loads((self.folder / "hf" / "tokenizer_config.json").read_text())
        self.assertTrue(config["split_special_tokens"])

    def test_a_text_that_spells_a_special_piece_out_of_unknown_characters_is_told(self):
        told = millrace("vocab", "export", self.model, "--to", "hf", self.folder / "hf")
        self.assertIn("259 special pieces", told.stderr)

    def test_special_tokens_have_their_ids(self):
        special = self.tokenizer.special
        pieces = len(self.tokenizer.vocab)
        self.assertEqual((special["<pad>"], special["</s>"], special["<unk>"]), (0, 1, 2))
        self.assertEqual((special["<extra_id_299>"], special["<extra_id_0>"]), (pieces, pieces + 299))
        config = json.loads((self.folder / "hf" / "tokenizer_config.json").read_text())
        self.assertEqual((config["bos_token"], config["eos_token"], config["pad_token"]), ("<pad>", "</s>", "<pad>"))

    def test_what_is_no_vocabulary_is_refused(self):
        self.model.write_bytes(b"no vocabulary")
        refused = millrace("vocab", "export", self.model, "--to", "hf", self.folder / "other", code=2)
        self.assertIn("v.model: not a SentencePiece .model file", refused.stderr)
        self.assertFalse((self.folder / "other").exists())


class Checkpoint(InAFolder):
    def setUp(self):
        super().setUp()
        self.checkpoint = self.folder / "model"
        millrace("init", "openmoe-micro", "--out", self.checkpoint, "--seed", 3)
        self.out = self.folder / "hf"

    def test_weights_are_the_checkpoints_and_come_back(self):
        millrace("export", self.checkpoint, "--to", "hf", self.out)
        self.assertEqual(tensors(self.out / "model.safetensors"), tensors(self.checkpoint / "model.safetensors"))
        millrace("export", self.out, "--to", "hf", self.folder / "again")
        for name in ("model.safetensors", "config.json"):
            self.assertEqual((self.folder / "again" / name).read_bytes(), (self.out / name).read_bytes(), name)

    def test_bf16_is_the_nearest_number(self):
        millrace("export", self.checkpoint, "--to", "hf", self.out, "--dtype", "bf16")
        full = tensors(self.checkpoint / "model.safetensors")
        for name, (dtype, shape, data) in tensors(self.out / "model.safetensors").items():
            self.assertEqual((dtype, shape), ("BF16", full[name][1]))
            nearest = array.array("H", map(nearest_bf16, array.array("I", full[name][2])))
            self.assertEqual(data, nearest.tobytes(), name)
        self.assertEqual(json.loads((self.out / "config.json").read_text())["torch_dtype"], "bfloat16")

    def test_the_folder_names_code_that_compiles(self):
        millrace("export", self.checkpoint, "--to", "hf", self.out)
        config = json.loads((self.out / "config.json").read_text())
        for reference in config["auto_map"].values():
            module, name = reference.split(".")
            self.assertIn(f"class {name}(", (self.out / f"{module}.py").read_text())
            py_compile.compile(str(self.out / f"{module}.py"), cfile=str(self.folder / "compiled"), doraise=True)

    def test_a_run_gives_its_tokenizer_and_a_card_with_its_ledger(self):
        run_file = tiny_run.write_run(self.folder / "tiny")
        mix = self.folder / "tiny" / "mix.toml"
        mix.write_text(mix.read_text().replace('name = "prose"\n', 'name = "prose"\nlicense = "CC-BY-4.0 | or so"\n'))
        millrace("train", run_file, "--run-dir", self.folder / "run", "--set", "train.tokens=6400")
        checkpoint = sorted((self.folder / "run" / "checkpoints").iterdir())[-1]
        told = json.loads(millrace("export", checkpoint, "--to", "hf", self.out, "--json").stdout)
        self.assertTrue(told["tokenizer"])
        millrace("vocab", "export", self.folder / "tiny" / "vocab.model", "--to", "hf", self.folder / "alone")
        tokenizer = (self.out / "tokenizer.json").read_bytes()
        self.assertEqual(tokenizer, (self.folder / "alone" / "tokenizer.json").read_bytes())
        self.assertEqual(tokenizer, (checkpoint / "tokenizer.json").read_bytes())
        card = (self.out / "README.md").read_text()
        entries = json.loads((checkpoint / "state.json").read_text())["ledger"]["entries"]
        licences = {"prose": "CC-BY-4.0 \\| or so", "code": "not stated"}
        for phase, corpus, name in ((0, 0, "prose"), (0, 1, "code"), (1, 0, "prose"), (1, 1, "code")):
            of = [entry for entry in entries if (entry["phase"], entry["corpus"]) == (phase, corpus)]
            sums = [sum(entry[key] for entry in of) for key in ("documents", "raw_tokens", "loss_tokens")]
            share = 100 * sums[1] / sum(entry["raw_tokens"] for entry in entries if entry["phase"] == phase)
            row = f"| {phase + 1} | {name} | {share:.2f} % | {sums[0]} | {sums[1]} | {sums[2]} | {licences[name]} |"
            self.assertIn(row, card)
        self.assertIn('name = "prose"', card)

    def test_another_vocabulary_is_refused(self):
        (self.folder / "v.model").write_bytes(tiny_run.vocabulary())
        refused = millrace("export", self.checkpoint, "--to", "hf", self.out, "--vocab", self.folder / "v.model", code=2)
        self.assertIn("v.model", refused.stderr)
        self.assertFalse(self.out.exists())

    def test_a_folder_with_something_in_it_is_left_alone(self):
        self.out.mkdir()
        (self.out / "mine").write_text("mine")
        refused = millrace("export", self.checkpoint, "--to", "hf", self.out, code=2)
        self.assertIn("not empty", refused.stderr)
        self.assertEqual((self.out / "mine").read_text(), "mine")

    def test_an_interrupted_export_leaves_nothing(self):
        large = self.folder / "large"
        millrace("init", "openmoe-micro", "--out", large)
        widen(large, 1 << 24)
        self.assertEqual(interrupted([PROGRAM, "export", large, "--to", "hf", self.out], self.folder / ".hf.unfinished"), 130)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["large", "model"])


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()

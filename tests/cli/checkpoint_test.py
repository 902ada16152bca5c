"""logits, eval and generate on checkpoints: one file, shards, bf16, PyTorch's. Usage: checkpoint_test.py MILLRACE"""

import array
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import checkpoint_files as files
import tiny_run

MILLRACE = os.path.abspath(sys.argv.pop(1))
ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*arguments):
    return subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, text=True, timeout=300)


class Checkpoints(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.run_file = tiny_run.write_run(cls.folder)
        trained = run("train", cls.run_file, "--run-dir", cls.folder / "run", "--set", "train.tokens=512", "--threads", 1)
        assert trained.returncode == 0, trained.stderr
        (cls.one_file,) = (cls.folder / "run" / "checkpoints").iterdir()
        cls.config = json.loads((cls.one_file / "config.json").read_text())
        cls.tensors = files.read_safetensors(cls.one_file / "model.safetensors")
        cls.sharded = files.new_folder(cls.folder / "sharded", cls.config, cls.tensors, shards=3)
        cls.bf16 = files.new_folder(cls.folder / "bf16", cls.config, cls.rounded(), shards=2)
        ids = array.array("i", [0] + [(7 * i * i + 3) % 300 for i in range(47)])
        files.write_safetensors(cls.folder / "ids.safetensors", {"input_ids": ("I32", [2, 24], ids.tobytes())})

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @classmethod
    def rounded(cls):
        return {name: files.to_bf16(tensor) for name, tensor in cls.tensors.items()}

    def logits(self, checkpoint, *more):
        out = self.folder / "out.safetensors"
        done = run("logits", checkpoint, "--ids", self.folder / "ids.safetensors", "--out", out, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return files.read_safetensors(out)

    def generated(self, checkpoint):
        vocabulary = self.folder / "vocab.model"
        done = run(
            "generate", checkpoint, "--vocab", vocabulary, "--prompt", "the river", "--tokens", 9, "--seed", 4, "--json"
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout), done.stderr

    def evaluated(self, checkpoint):
        done = run("eval", checkpoint, "--run", self.folder / "run", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["overall"]["loss"]

    def assert_refused(self, checkpoint, *words):
        ids, out = self.folder / "ids.safetensors", self.folder / "refused.safetensors"
        done = run("logits", checkpoint, "--ids", ids, "--out", out)
        self.assertEqual(done.returncode, 2, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertFalse(out.exists())

    def test_one_file_and_shards_give_the_same_logits_and_gradients(self):
        more = ("--mode", "train", "--grads")
        self.assertEqual(self.logits(self.sharded, *more), self.logits(self.one_file, *more))

    def test_bf16_weights_count_as_the_numbers_they_are(self):
        widened = {name: files.to_f32(tensor) for name, tensor in self.rounded().items()}
        twin = files.new_folder(self.folder / "twin", self.config, widened)
        logits = self.logits(self.bf16)
        self.assertEqual(logits, self.logits(twin))
        exact = files.floats(self.logits(self.one_file)["logits"])
        largest = max(map(abs, exact))
        off = max(abs(a - b) for a, b in zip(files.floats(logits["logits"]), exact))
        self.assertGreater(off, 0)
        self.assertLess(off, 0.05 * largest)

    def test_generate_and_eval_take_shards_and_bf16(self):
        text, report = self.generated(self.one_file)
        self.assertIn("0.0 MB converted", report)
        self.assertIn(len(text["ids"]), range(1, 10))
        self.assertEqual(self.generated(self.sharded)[0], text)
        bf16_text, report = self.generated(self.bf16)
        self.assertIn("weights: 0.0 MB mapped", report)
        self.assertIn(len(bf16_text["ids"]), range(1, 10))
        loss = self.evaluated(self.one_file)
        self.assertEqual(self.evaluated(self.sharded), loss)
        self.assertAlmostEqual(self.evaluated(self.bf16), loss, delta=0.02 * loss)

    def generate(self, checkpoint, prompt, *more):
        return run("generate", checkpoint, "--vocab", self.folder / "vocab.model", "--prompt", prompt, *more)

    def test_the_text_in_json_is_what_is_printed_whatever_is_drawn(self):
        words_only = self.words_only()
        compared = 0
        for checkpoint, seed in ((words_only, 0), *((self.one_file, seed) for seed in range(4))):
            for prompt in ("the river", "", "caf\u00e9 "):
                options = ("--tokens", 7, "--seed", seed)
                found = json.loads(self.generate(checkpoint, prompt, *options, "--json").stdout)
                if not all(character.isprintable() for character in found["text"]):
                    continue
                printed = self.generate(checkpoint, prompt, *options).stdout
                self.assertEqual(printed, prompt + found["text"] + "\n", found["ids"])
                compared += 1
        self.assertGreater(compared, 5)
        text = json.loads(self.generate(words_only, "the", "--json").stdout)["text"]
        self.assertRegex(text, "^ (river|mill) ")

    def words_only(self):
        """A model that generates "river" or "mill", each after a blank."""
        dtype, (rows, width), _ = self.tensors["lm_head.weight"]
        river = 3 + 256 + 1  # After pad, eos, unknown, bytes and the blank.
        head = array.array("f", [0.0] * (rows * width))
        head[river * width], head[(river + 1) * width] = 1000.0, -1000.0
        tensors = {**self.tensors, "lm_head.weight": (dtype, [rows, width], head.tobytes())}
        return files.new_folder(self.folder / "words_only", self.config, tensors)

    def test_tokens_that_the_context_cuts_are_told(self):
        small = files.new_folder(self.folder / "small", {**self.config, "max_position_embeddings": 12}, self.tensors)
        done = self.generate(small, "the river mill", "--tokens", 64, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(json.loads(done.stdout)["ids"]), 8)
        self.assertIn("8 of the 64 tokens asked for: the model's 12 positions are full", done.stderr)
        self.assertNotIn("asked for", self.generate(small, "the river mill", "--tokens", 8).stderr)

    def test_a_prompt_that_fills_the_context_is_refused_with_its_size(self):
        small = files.new_folder(self.folder / "full", {**self.config, "max_position_embeddings": 12}, self.tensors)
        for words in (11, 12, 40):
            done = self.generate(small, " ".join(["mill"] * words), "--json")
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(f"--prompt: {words} tokens, and one that begins the text: the model has 12 positions", done.stderr)
            self.assertIn("at most 10 tokens", done.stderr)
        self.assertEqual(len(json.loads(self.generate(small, " ".join(["mill"] * 10), "--json").stdout)["ids"]), 1)

    def imported(self, folder, name, *more):
        done = run("import", folder, "--to", self.folder / name, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.folder / name

    def test_what_was_imported_in_bf16_gives_the_logits_of_rounded_weights(self):
        for source, name in ((self.one_file, "imported"), (self.sharded, "imported_shards")):
            new = self.imported(source, name, "--dtype", "bf16")
            self.assertEqual(self.logits(new), self.logits(self.bf16))

    def test_a_pytorch_file_is_refused_and_can_be_imported(self):
        folder = self.folder / "pytorch"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(self.config))
        files.write_pytorch(folder / "pytorch_model.bin", self.rounded())
        self.assert_refused(folder, "pytorch_model.bin", "PyTorch", "millrace import")
        for more in ([], ["--dtype", "f32"]):
            new = self.imported(folder, f"of_pytorch{len(more)}", *more)
            self.assertEqual(self.logits(new), self.logits(self.bf16))
            self.assertEqual(self.evaluated(new), self.evaluated(self.bf16))
        self.assertIn("0.0 MB converted", self.generated(new)[1])
        (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
        self.assert_refused(folder, "model.safetensors", "PyTorch", "millrace import")

    def test_shards_of_pytorch_can_be_imported_and_trained_on(self):
        folder = self.folder / "pytorch_shards"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(self.config))
        names = list(self.tensors)
        parts = {"pytorch_model-00001-of-00002.bin": names[:9], "pytorch_model-00002-of-00002.bin": names[9:]}
        for part, held in parts.items():
            files.write_pytorch(folder / part, {name: self.tensors[name] for name in held})
        index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
        self.assert_refused(folder, "PyTorch", "millrace import")
        new = self.imported(folder, "of_shards")
        self.assertEqual(self.logits(new), self.logits(self.one_file))
        ends = {}
        for start in (new, self.one_file):
            run_dir = self.folder / f"from_{start.name}"
            done = run("train", self.run_file, "--run-dir", run_dir, "--from", start, "--weights-only", "--threads", 1,
                       "--set", "train.tokens=512")  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stderr)
            (end,) = (run_dir / "checkpoints").iterdir()
            ends[start] = files.read_safetensors(end / "model.safetensors")
        self.assertEqual(ends[new], ends[self.one_file])

    def test_the_numpy_reader_of_the_docs_opens_what_train_wrote(self):
        try:
            import numpy
        except ImportError:
            self.skipTest("needs python3-numpy")
        code = (ROOT / "docs" / "model.md").read_text().split("import json, struct", 1)[1].split("```", 1)[0]
        scope = {}
        exec("import json, struct" + code, scope)
        read = scope["load"](self.one_file / "model.safetensors")
        self.assertEqual(list(read), list(self.tensors))
        for name, (_, shape, content) in self.tensors.items():
            self.assertEqual(list(read[name].shape), shape)
            self.assertEqual(read[name].dtype, numpy.float32)
            self.assertEqual(read[name].tobytes(), content)

    def test_damage_is_named(self):
        name = "model.norm.weight"
        missing = files.new_folder(
            self.folder / "missing", self.config, {k: v for k, v in self.tensors.items() if k != name}
        )
        self.assert_refused(missing, name, "missing", "[32]")
        dtype, shape, content = self.tensors[name]
        integers = files.new_folder(self.folder / "integers", self.config, {**self.tensors, name: ("I32", shape, content)})
        self.assert_refused(integers, name, "I32", "expected F32 or BF16", "model.safetensors")
        cut = files.new_folder(self.folder / "cut", self.config, self.tensors)
        os.truncate(cut / "model.safetensors", (cut / "model.safetensors").stat().st_size - 4)
        self.assert_refused(cut, "damaged", "model.safetensors")


if __name__ == "__main__":
    unittest.main()

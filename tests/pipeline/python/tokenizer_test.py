"""The vocabulary in Python: tokenizer_test.py MILLRACE"""

import json
import pathlib
import pickle
import random
import shutil
import sys
import tempfile
import types
import unittest
import unittest.mock
import warnings

from python_run import numpy, program

import millrace
import tiny_run


class Tokenizer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-python-"))
        cls.file = cls.folder / "vocab.model"
        cls.file.write_bytes(tiny_run.vocabulary())
        cls.tokenizer = millrace.Tokenizer(cls.file)
        rng = random.Random(4)
        letters = tiny_run.WORDS + ["é", "水車", "\n", "a", "🎡"]
        cls.texts = [" ".join(rng.choice(letters) for _ in range(rng.randrange(1, 40))) for _ in range(500)]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_ids_are_those_of_tokenize_on_any_number_of_threads(self):
        shard = self.folder / "texts.jsonl"
        shard.write_text("".join(json.dumps({"text": text}) + "\n" for text in self.texts))
        expected = [json.loads(line) for line in program("tokenize", "--vocab", self.file, "--in", shard).splitlines()]
        for threads in (0, 1, 3):
            ids, offsets = self.tokenizer.encode_batch(self.texts, threads)
            self.assertEqual((str(ids.dtype), str(offsets.dtype)), ("int32", "int64"))
            found = [ids[begin:end].tolist() for begin, end in zip(offsets, offsets[1:])]
            self.assertEqual(found, expected)
        self.assertEqual([self.tokenizer.encode(text).tolist() for text in self.texts], expected)

    def test_text_comes_back(self):
        for text in self.texts:
            self.assertEqual(self.tokenizer.decode(self.tokenizer.encode(text)), text)
        self.assertEqual(self.tokenizer.decode([self.tokenizer.sentinel(1), self.tokenizer.eos]).strip(), "<extra_id_1>")

    def test_spans_are_the_characters_that_ids_stand_for(self):
        ids, offsets, spans = self.tokenizer.encode_batch(self.texts, spans=True)
        plain, plain_offsets = self.tokenizer.encode_batch(self.texts)
        self.assertEqual((ids.tolist(), offsets.tolist()), (plain.tolist(), plain_offsets.tolist()))
        self.assertEqual((spans.shape, str(spans.dtype)), ((len(ids), 2), "int64"))
        for text, begin, end in zip(self.texts, offsets, offsets[1:]):
            at = 0
            for i in range(begin, end):
                first, last = map(int, spans[i])
                piece = self.tokenizer.piece(ids[i]).replace("\u2581", " ")
                if piece.startswith("<0x"):
                    self.assertEqual(last - first, 1)
                    self.assertIn(int(piece[1:5], 16), text[first:last].encode())
                else:  # The blank in front of a text is the model's.
                    self.assertEqual(text[first:last], piece[1:] if first == 0 and piece[0] == " " != text[0] else piece)
                self.assertIn(first, (at, at - 1))  # A character's byte pieces have the same.
                at = last
            self.assertEqual(at, len(text))
        self.assertEqual(self.tokenizer.encode_batch(["é mill"], spans=True)[2].tolist(), [[0, 0], [0, 1], [0, 1], [1, 6]])
        self.assertEqual(self.tokenizer.encode_batch([], spans=True)[2].shape, (0, 2))
        with self.assertRaises(TypeError):
            self.tokenizer.encode_batch([b"mill"], spans=True)

    def test_nothing_gives_nothing(self):
        ids, offsets = self.tokenizer.encode_batch([])
        self.assertEqual((len(ids), offsets.tolist()), (0, [0]))
        ids, offsets = self.tokenizer.encode_batch(["", "mill", ""])
        self.assertEqual((ids.tolist(), offsets.tolist()), (self.tokenizer.encode("mill").tolist(), [0, 0, 1, 1]))
        self.assertEqual(self.tokenizer.decode([]), "")

    def test_it_says_what_it_is(self):
        shown = json.loads(program("vocab", "show", self.file, "--json"))
        tokenizer = pickle.loads(pickle.dumps(self.tokenizer))
        self.assertEqual((tokenizer.pieces, len(tokenizer)), (shown["pieces"], shown["pieces"] + 300))
        self.assertEqual(tokenizer.embedding_rows % 128, 0)
        self.assertEqual((tokenizer.pad, tokenizer.eos, tokenizer.slow_because), (0, 1, ""))
        self.assertEqual(tokenizer.piece(tokenizer.encode("mill")[0]), "\u2581mill")

    def test_a_newer_sentencepiece_beside_it_is_warned_of(self):
        for version, warned in ("0.1.99", 0), ("0.2.1", 0), ("0.2.2", 1), ("1.0", 1):
            beside = types.ModuleType("sentencepiece")
            beside.__version__ = version
            with unittest.mock.patch.dict(sys.modules, sentencepiece=beside), warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                millrace.Tokenizer(self.file)
            self.assertEqual(len(caught), warned, version)
            self.assertTrue(all(f"sentencepiece {version}" in str(warning.message) for warning in caught))

    def test_what_it_cannot_do_is_refused(self):
        with self.assertRaisesRegex(millrace.ConfigError, "no.model"):
            millrace.Tokenizer(self.folder / "no.model")
        for texts in ([b"mill"], ["mill", 3]):
            with self.assertRaisesRegex(TypeError, "expected a str"):
                self.tokenizer.encode_batch(texts)
        self.assertRaises(TypeError, self.tokenizer.encode_batch, "mill")
        self.assertRaises(UnicodeEncodeError, self.tokenizer.encode, "\ud800")
        for ids in ([-1], [len(self.tokenizer)]):
            with self.assertRaisesRegex(IndexError, f"there is no id {ids[0]}"):
                self.tokenizer.decode(ids)
        self.assertRaises(IndexError, self.tokenizer.sentinel, 300)
        self.assertEqual(numpy.asarray(self.tokenizer.encode("mill")).ndim, 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)

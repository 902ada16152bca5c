"""Numbers that the program prints, recomputed from its rows: figures_test.py MILLRACE"""

import array
import collections
import json
import math
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import checkpoint_files
import tiny_run

MILLRACE = None
PAD, EOS = 0, 1
LENGTH = 64
PACKED = """name = "packed"
layout = "openmoe"
inputs = 24
targets = 14
[[denoiser]]
name = "span"
kind = "span"
share = 40
mean_span = 3
mask_ratio = 0.5
prompt = "[A] "
[[denoiser]]
name = "prefix"
kind = "prefix"
share = 60
prompt = "[B] "
"""


def millrace(*arguments):
    done = subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{arguments}: exit code {done.returncode}\n{done.stderr}"
    return done.stdout


class Figures(unittest.TestCase):
    """A run of three phases: spans and prefixes in whole rows, packed rows, causal rows with separators. One corpus is
    used up by a fractional epoch on the way."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-figures-"))
        cls.run_file = tiny_run.write_run(cls.folder)
        tiny_run.write_shards(cls.folder / "data", "verse", 3, 60)
        (cls.folder / "packed.toml").write_text(PACKED)
        mix = (cls.folder / "mix.toml").read_text().replace("share = 70", "share = 55")
        mix += '[[corpus]]\nname = "verse"\nkind = "text"\nshare = 15\nshards = ["verse.jsonl"]\n'
        (cls.folder / "mix.toml").write_text(mix + 'max_epochs = 0.5\nat_end = "redistribute"\n')
        run = cls.run_file.read_text().replace(
            "[[phase]]\nuntil = 15_360", '[[phase]]\nuntil = 10_240\nmix = "mix.toml"\nobjective = "packed.toml"\n'
            "[[phase]]\nuntil = 20_480")
        cls.run_file.write_text(run)
        cls.out = cls.folder / "out"
        cls.printed = millrace("train", cls.run_file, "--run-dir", cls.out, "--threads", 2, "--set", "log.details_every_steps=1")
        cls.summary = json.loads((cls.out / "summary.json").read_text())
        lines = [json.loads(line) for line in (cls.out / "metrics.jsonl").read_text().splitlines()]
        cls.steps = [line for line in lines if "loss" in line]
        cls.evaluations = [line for line in lines if "eval" in line]
        cls.rows = [json.loads(line) for line in millrace("inspect", cls.out, "--rows", 320, "--json").splitlines()]
        cls.phases = [0 if row["row"] < 80 else 1 if row["row"] < 160 else 2 for row in cls.rows]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def loss_labels(self, rows):
        return [label for row in rows for label, weight in zip(row["labels"], row["loss_weights"]) if weight]

    def raw(self, example):
        return sum(document["to"] - document["from"] for document in example["documents"])

    def test_sums_are_those_of_the_rows(self):
        self.assertEqual(len(self.rows), 320)
        self.assertEqual(self.summary["rows"], 320)
        self.assertEqual(self.summary["tokens"], 320 * LENGTH)
        self.assertEqual(self.summary["loss_tokens"], len(self.loss_labels(self.rows)))
        self.assertEqual(self.summary["raw_tokens"], sum(self.raw(one) for row in self.rows for one in row["examples"]))
        self.assertEqual(self.summary["trimmed_tokens"],
                         sum(one["trimmed_tokens"] for row in self.rows for one in row["examples"]))

    def test_the_ledger_is_that_of_the_rows(self):
        counted = collections.defaultdict(lambda: [0, 0, 0])
        for phase, row in zip(self.phases, self.rows):
            for example in row["examples"]:
                entry = counted[phase, example["corpus"], example["denoiser"]]
                entry[0] += 1
                entry[1] += self.raw(example)
                entry[2] += len(example["targets"])
        found = {(one["phase"], one["corpus"], one["denoiser"]): [one["examples"], one["raw_tokens"], one["loss_tokens"]]
                 for one in self.summary["ledger"]}
        self.assertEqual(found, dict(counted))

    def test_steps_count_what_came_so_far(self):
        for line in self.steps:
            rows = self.rows[: 4 * line["step"]]
            self.assertEqual(line["tokens"], len(rows) * LENGTH)
            self.assertEqual(line["loss_tokens"], len(self.loss_labels(rows)))
            self.assertEqual(line["raw_tokens"], sum(self.raw(one) for row in rows for one in row["examples"]))

    def test_shares_are_of_raw_tokens(self):
        for phase in self.summary["shares"]:
            consumed = collections.Counter()
            for number, row in zip(self.phases, self.rows):
                for example in row["examples"] if number == phase["phase"] else ():
                    consumed[example["corpus"]] += self.raw(example)
            for corpus in phase["corpora"]:
                self.assertEqual(corpus["raw_tokens"], consumed[corpus["name"]])
                self.assertAlmostEqual(corpus["realised"], consumed[corpus["name"]] / consumed.total())

    def held_out(self):
        content = (self.out / "heldout.safetensors").read_bytes()
        (size,) = struct.unpack("<Q", content[:8])
        metadata = json.loads(content[8 : 8 + size])["__metadata__"]
        tensors = checkpoint_files.read_safetensors(self.out / "heldout.safetensors")
        return {name[5:]: (list(array.array("i", content)), int(metadata[f"{name} documents"]),
                           int(metadata[f"{name} text_bytes"])) for name, (_, _, content) in tensors.items()}

    def test_the_unigram_bound_is_of_the_labels_trained_on(self):
        rows_of_vocabulary = json.loads((next((self.out / "checkpoints").iterdir()) / "config.json").read_text())["vocab_size"]
        for evaluation in self.evaluations:
            if any(score and score["objective"] != "causal" for score in evaluation["eval"].values()):
                continue
            labels = collections.Counter(self.loss_labels(self.rows[: 4 * evaluation["step"]]))
            def nats(label):
                return math.log(labels.total() + rows_of_vocabulary) - math.log(labels[label] + 1)
            for corpus, (ids, _, _) in self.held_out().items():
                score = evaluation["eval"][corpus]
                self.assertEqual(score["tokens"], len(ids))
                self.assertAlmostEqual(score["unigram_loss"], sum(map(nats, ids)) / len(ids), places=9)
        summary = self.summary["unigram"]
        self.assertAlmostEqual(summary["below_bound"], 1 - summary["loss"] / summary["bound"])

    def documents(self, corpus):
        lines = (self.folder / "data" / f"{corpus}.jsonl").read_text().splitlines()
        return [json.loads(line)["text"] for line in lines if line.endswith('"}')]

    def test_held_out_text_has_eos_where_its_documents_end_and_nowhere_else(self):
        words = {3 + 256 + 1 + i: word for i, word in enumerate(tiny_run.WORDS)}
        cut = 0
        for corpus, (ids, count, text_bytes) in self.held_out().items():
            texts = set(self.documents(corpus))
            documents, rest = [], []
            for token in ids:
                rest = [] if token == EOS else [*rest, words[token]]
                documents += [" ".join(before)] if token == EOS else []
                before = rest
            for document in documents:
                self.assertTrue(document in texts, document)
            if rest:
                cut += 1
                self.assertFalse(" ".join(rest) in texts)
                self.assertTrue(any(text.startswith(" ".join(rest) + " ") for text in texts))
            self.assertEqual(count, len(documents) + bool(rest))
            self.assertEqual(text_bytes, sum(len(text) for text in [*documents, *([" ".join(rest)] if rest else [])]))
        self.assertGreater(cut, 0)

    def test_evaluations_agree_with_themselves(self):
        for evaluation in self.evaluations:
            scores = [score for score in evaluation["eval"].values() if score]
            overall = evaluation["overall"]
            self.assertEqual(overall["tokens"], sum(score["tokens"] for score in scores))
            self.assertAlmostEqual(overall["loss"], sum(s["loss"] * s["tokens"] for s in scores) / overall["tokens"])
            for corpus, score in evaluation["eval"].items():
                self.assertAlmostEqual(score["perplexity"], math.exp(score["loss"]), places=6)
                if score["objective"] != "causal":
                    continue
                text_bytes = self.held_out()[corpus][2]
                self.assertAlmostEqual(score["bits_per_byte"], score["loss"] * score["tokens"] / math.log(2) / text_bytes)

    def test_statistics_are_those_of_the_rows(self):
        statistics = json.loads(millrace("inspect", self.out, "--stats", "--rows", 320, "--json"))
        self.assertEqual(statistics["rows"], 320)
        for phase in statistics["phases"]:
            rows = [row for number, row in zip(self.phases, self.rows) if number == phase["phase"]]
            examples = [example for row in rows for example in row["examples"]]
            self.assertEqual(phase["examples"], len(examples))
            self.assertAlmostEqual(phase["loss_share"], len(self.loss_labels(rows)) / len(rows) / LENGTH)
            real = sum(segment != 0 for row in rows for segment in row["segment_ids"])
            self.assertAlmostEqual(phase["real_share"], real / len(rows) / LENGTH)
            for denoiser in phase["denoisers"]:
                own = [example for example in examples if example["denoiser"] == denoiser["name"]]
                mean = lambda of: sum(map(of, own)) / len(own)
                self.assertEqual(denoiser["examples"], len(own))
                self.assertAlmostEqual(denoiser["raw_tokens_per_example"], mean(self.raw))
                self.assertAlmostEqual(denoiser["positions_per_example"], mean(lambda e: len(e["inputs"]) + len(e["targets"])))
                self.assertAlmostEqual(denoiser["loss_per_example"], mean(lambda e: len(e["targets"])))
                self.assertEqual(denoiser["trimmed_tokens"], sum(e["trimmed_tokens"] for e in own))
                if denoiser["kind"] != "span":
                    continue
                spans = self.spans(own)
                self.assertAlmostEqual(denoiser["mean_span"]["realised"], sum(spans) / len(spans))

    def test_rows_behind_the_streams_end_are_not_still_to_come(self):
        done = subprocess.run([MILLRACE, "inspect", self.out, "--stats", "--rows", "1000"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0)
        self.assertNotIn("still to come", done.stderr)

    def spans(self, examples):
        """Lengths of the noise spans that targets hold completely: after a sentinel, before the next one or eos."""
        lengths = []
        for example in examples:
            run = None
            for token in example["targets"][:-1]:
                if token >= 3 + 256 + 1 + len(tiny_run.WORDS) + 20:
                    lengths += [run] if run else []
                    run = 0
                else:
                    run += 1
            lengths += [run] if run else []
        return lengths

    def test_mix_plan_eats_what_is_eaten(self):
        plan = json.loads(millrace("mix", "plan", self.run_file, "--json"))
        self.assertEqual(plan["total_tokens"], self.summary["tokens"])
        planned = sum(corpus["raw_tokens"] for corpus in plan["corpora"])
        self.assertAlmostEqual(planned / self.summary["raw_tokens"], 1, delta=0.01)
        self.assertIsNotNone(plan["corpora"][2]["exhausted_at"])

    def test_records_are_those_of_the_shards(self):
        for corpus, counts in self.summary["records"].items():
            self.assertEqual(counts["rejected"], {"bad_json": 1} if corpus == "code" else {})
        verse = self.summary["records"]["verse"]
        self.assertEqual(verse["read"], 60)
        taken = {(document["shard"], document["record"]) for row in self.rows for example in row["examples"]
                 for document in example["documents"] if document["shard"] == "verse.jsonl"}
        self.assertLessEqual(len(taken), 60 - verse["held_out"] - verse["skipped"])

    def test_the_index_counts_what_tokenize_gives(self):
        index = json.loads(millrace("index", self.folder / "data", "--vocab", self.folder / "vocab.model", "--json"))
        for shard in index["shards"]:
            path = self.folder / "data" / shard["path"]
            ids = [json.loads(line) for line in
                   millrace("tokenize", "--vocab", self.folder / "vocab.model", "--in", path).splitlines()]
            texts = self.documents(path.stem)
            self.assertEqual(shard["records"], len(texts))
            self.assertEqual(shard["text_bytes"], sum(len(text.encode()) for text in texts))
            self.assertEqual(shard["tokens"], sum(len(one) for one in ids if one))


if __name__ == "__main__":
    MILLRACE = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)

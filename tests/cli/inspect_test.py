"""millrace inspect on a run of both layouts: inspect_test.py MILLRACE"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run
from terminal import output_on_terminal

MILLRACE = None
ROWS = 80  # Of the first phase.


def millrace(*arguments, code=0):
    done = subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def on_a_terminal(*arguments, **environment):
    return output_on_terminal([MILLRACE, *arguments], env={**os.environ, **environment})


class Inspect(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-inspect-"))
        cls.full = tiny_run.write_run(cls.folder / "input")
        ul2 = (cls.folder / "input/ul2.toml").read_text()
        (cls.folder / "input/packed.toml").write_text(
            ul2.replace('layout = "full"', 'layout = "openmoe"\ninputs = 20\ntargets = 12\nmax_document_tokens = 30'))
        causal = (cls.folder / "input/causal.toml").read_text()
        (cls.folder / "input/documents.toml").write_text(
            causal.replace('layout = "full"', 'layout = "full"\nattention = "document"\nmax_document_tokens = 30'))
        cls.packed = cls.folder / "input/packed_run.toml"
        cls.packed.write_text(cls.full.read_text().replace("ul2.toml", "packed.toml").replace("causal.toml", "documents.toml"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def rows(self, run, count=ROWS, first=0):
        text = millrace("inspect", run, "--json", "--rows", count, "--from", first)
        return [json.loads(line) for line in text.splitlines()]

    def test_json_holds_each_example_of_a_packed_row_with_its_documents(self):
        several = 0
        for row in self.rows(self.packed):
            several += len(row["examples"]) > 1
            laid = []
            for number, example in enumerate(row["examples"], 1):
                ids = example["inputs"] + example["targets"]
                self.assertEqual(row["segment_ids"][len(laid):len(laid) + len(ids)], [number] * len(ids))
                self.assertEqual(row["loss_weights"][len(laid):len(laid) + len(ids)],
                                 [0] * len(example["inputs"]) + [1] * len(example["targets"]))
                self.assertEqual(row["tokens"][len(laid)], 0)
                self.assertEqual(row["tokens"][len(laid) + 1:len(laid) + len(ids)], ids[:-1])
                self.assertEqual(sum(document["to"] - document["from"] for document in example["documents"]),
                                 len(example["raw_tokens"]))
                self.assertEqual(example["spans"][0]["from"], len(laid))
                laid += ids
            self.assertEqual(row["labels"], laid + [0] * (64 - len(laid)))
            self.assertEqual(row["positions"], list(range(64)))
        self.assertGreater(several, ROWS // 2)

    def test_documents_are_segments_with_positions_of_their_own_where_attention_is_theirs(self):
        borders = 0
        for row in self.rows(self.packed, 20, ROWS):
            for i in range(1, 64):
                begins = row["segment_ids"][i] != row["segment_ids"][i - 1]
                borders += begins
                self.assertEqual(row["positions"][i], 0 if begins else row["positions"][i - 1] + 1)
                self.assertEqual(row["tokens"][i], 0 if begins else row["labels"][i - 1])
                if begins:
                    self.assertEqual(row["labels"][i - 1], 1, "the document before ends in eos")
            for document in row["examples"][0]["documents"]:
                self.assertLessEqual(document["to"] - document["from"], 30)
        self.assertGreater(borders, 20)

    def test_stats_say_what_the_rows_say(self):
        for run in (self.full, self.packed):
            rows = self.rows(run)
            stats = json.loads(millrace("inspect", run, "--stats", "--json", "--rows", ROWS))
            self.assertEqual(stats["rows"], ROWS)
            real = sum(segment != 0 for row in rows for segment in row["segment_ids"])
            loss = sum(weight != 0 for row in rows for weight in row["loss_weights"])
            self.assertAlmostEqual(stats["real_share"], real / (64 * ROWS))
            self.assertAlmostEqual(stats["loss_share"], loss / (64 * ROWS))
            phase, = stats["phases"]
            examples = [example for row in rows for example in row["examples"]]
            self.assertEqual(phase["examples"], len(examples))
            self.assertEqual(phase["trimmed_tokens"], sum(example["trimmed_tokens"] for example in examples))
            self.assertTrue(phase["within_one_example"])
            for denoiser in phase["denoisers"]:
                mine = [example for example in examples if example["denoiser"] == denoiser["name"]]
                self.assertEqual(denoiser["examples"], len(mine))
                noise = sum(label < 276 + 9 for example in mine for label in example["targets"][:-1])
                raw = sum(len(example["raw_tokens"]) for example in mine)
                if denoiser["kind"] == "prefix":
                    self.assertAlmostEqual(denoiser["mask_ratio"]["realised"], noise / raw)
                else:
                    spans = sum(bucket["count"] for bucket in denoiser["span_lengths"])
                    self.assertAlmostEqual(denoiser["mask_ratio"]["realised"] * raw,
                                           denoiser["mean_span"]["realised"] * spans)
            for corpus in phase["corpora"]:
                for cell in corpus["denoisers"]:
                    self.assertEqual(cell["examples"], sum(
                        example["corpus"] == corpus["name"] and example["denoiser"] == cell["name"] for example in examples))

    def test_stats_are_a_table_too(self):
        text = millrace("inspect", self.packed, "--stats", "--rows", ROWS)
        for piece in (f"{ROWS} rows of 64 positions", "within one example", "spans of", "by the law", "trimmed"):
            self.assertIn(piece, text)

    def rows_folder(self, run):
        folder = self.folder / f"rows-{run.stem}"
        if not folder.exists():
            # Parts of five rows of 20 * 64 + 8 bytes.
            millrace("preprocess", run, "--out", folder, "--format", "rows", "--tokens", 6_400, "--part-bytes", 6_500)
        return folder

    def refusal(self, *arguments, code=2):
        done = subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def test_a_folder_of_rows_shows_what_its_run_shows(self):
        vocabulary = ("--vocab", self.folder / "input/vocab.model")
        for run in (self.full, self.packed):
            folder = self.rows_folder(run)
            for arguments in (("--json", "--rows", 100), ("--rows", 100), ("--row", 83), ("--row", 83, "--json"),
                              ("--stats", "--batch-rows", 4, "--rows", 100),
                              ("--stats", "--batch-rows", 4, "--rows", 30, "--from", 60, "--window-rows", 10, "--json")):
                with self.subTest(run=run.name, arguments=arguments):
                    self.assertEqual(millrace("inspect", folder, *arguments, *vocabulary),
                                     millrace("inspect", run, *arguments))

    def test_a_folder_of_rows_needs_a_vocabulary_only_for_text(self):
        folder = self.rows_folder(self.packed)
        self.assertEqual(millrace("inspect", folder, "--stats", "--batch-rows", 4),
                         millrace("inspect", self.packed, "--stats", "--rows", 100))
        row = json.loads(millrace("inspect", folder, "--row", 5, "--json"))
        whole, = self.rows(self.packed, 1, 5)
        for example in whole["examples"]:
            del example["spans"]
        self.assertEqual(row, whole)
        self.assertIn("vocab.model", self.refusal("inspect", folder))
        other = self.folder / "other.model"
        other.write_bytes(tiny_run.vocabulary(tiny_run.WORDS[::-1]))
        self.assertIn("another vocabulary", self.refusal("inspect", folder, "--vocab", other))

    def test_what_no_folder_of_rows_can_show_is_refused(self):
        folder = self.rows_folder(self.packed)
        self.assertIn("holds 100 rows: there is no row 100", self.refusal("inspect", folder, "--row", 100, "--json"))
        self.assertIn("--set seed=4", self.refusal("inspect", folder, "--json", "--set", "seed=4"))
        self.assertIn("for a folder of rows", self.refusal("inspect", self.full, "--vocab", "x.model"))
        self.assertIn("name the run instead", self.refusal("inspect", folder, "--stats", "--by", "lang"))
        self.assertIn("--batch-rows says", millrace("inspect", folder, "--stats"))
        self.assertIsNone(json.loads(millrace("inspect", folder, "--stats", "--json"))["mixing"]["corpora"][0]["pairs"])
        documents = self.folder / "documents"
        millrace("preprocess", self.full, "--out", documents, "--format", "megatron")
        self.assertIn("holds format megatron", self.refusal("inspect", documents, "--json"))
        (self.folder / "begun/.unfinished").mkdir(parents=True)
        (self.folder / "begun/.unfinished/progress.json").write_text("{}")
        self.assertIn("not finished", self.refusal("inspect", self.folder / "begun", "--json"))
        damaged = self.folder / "damaged"
        shutil.copytree(folder, damaged)
        part = damaged / "part-00001.rows"
        content = bytearray(part.read_bytes())
        content[96 + 10] ^= 1
        part.write_bytes(content)
        self.assertIn("row 5 is damaged", self.refusal("inspect", damaged, "--row", 5, "--json", code=1))
        millrace("inspect", damaged, "--row", 6, "--json")

    def test_colours_are_for_terminals_that_want_them(self):
        arguments = ("inspect", self.full, "--rows", 4)
        self.assertNotIn("\033", millrace(*arguments))
        self.assertNotIn("\033", on_a_terminal(*arguments, NO_COLOR="1"))
        shown = on_a_terminal(*arguments, NO_COLOR="")
        for colour in ("\033[1;33m<extra_id_0>", "\033[36m", "\033[4m"):
            self.assertIn(colour, shown)

    def test_documents_are_parted_by_a_bar(self):
        text = millrace("inspect", self.packed, "--rows", 1, "--from", ROWS + 1)
        documents = text.count("code.jsonl:") + text.count("prose.jsonl:")
        self.assertGreater(documents, 1)
        # One more where the row begins with the eos of a document that ended in the row before.
        self.assertIn(text.count("\u2502"), (documents - 1, documents))

    def test_a_limit_that_differs_between_phases_exits_2(self):
        run = self.folder / "input/two_limits.toml"
        run.write_text(self.full.read_text().replace("ul2.toml", "packed.toml"))
        done = subprocess.run([MILLRACE, "inspect", run], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("max_document_tokens is 30 and 0", done.stderr)


class Mixing(unittest.TestCase):
    """What --stats says of the mixing, counted again from the rows that --json shows."""

    ROWS = 240  # All of the run.
    BATCH, WINDOW = 4, 30
    LANGUAGES = ("en", "de", "fr")

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-mixing-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")
        cls.data = cls.folder / "input/data"
        (cls.data / "prose.jsonl").unlink()
        (cls.data / "prose").mkdir()
        cls.languages = {}
        rng = random.Random(5)
        for shard in range(4):
            lines = []
            for record in range(12):  # Few and long, so that epochs end and rows share documents.
                document = {"text": " ".join(rng.choice(tiny_run.WORDS) for _ in range(rng.randrange(20, 300)))}
                language = rng.choice(cls.LANGUAGES[:shard + 1])
                if shard == 3 and record % 2:
                    language = ""
                else:
                    document["lang"] = language
                cls.languages[f"prose/{shard}.jsonl", record] = language
                lines.append(json.dumps(document))
            (cls.data / f"prose/{shard}.jsonl").write_text("\n".join(lines) + "\n")
        mix = cls.folder / "input/mix.toml"
        mix.write_text(mix.read_text().replace('"prose.jsonl"', '"prose"'))
        text = millrace("inspect", cls.run_file, "--json", "--rows", cls.ROWS)
        cls.rows = [json.loads(line) for line in text.splitlines()]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def mixing(self, *arguments):
        stats = json.loads(millrace("inspect", self.run_file, "--stats", "--json", "--rows", self.ROWS,
                                    "--window-rows", self.WINDOW, *arguments))
        return stats["mixing"]

    def spans(self, row, corpus):
        return [document for example in row["examples"] if example["corpus"] == corpus
                for document in example["documents"] if document["to"] > document["from"]]

    def pairs(self, corpus, batch):
        count = 0
        for first in range(0, self.ROWS, batch):
            held = [{(span["shard"], span["record"]) for span in self.spans(row, corpus)}
                    for row in self.rows[first:first + batch]]
            count += sum(bool(held[a] & held[b]) for a in range(len(held)) for b in range(a))
        return count

    def shares(self, rows, corpus, value_of):
        tokens = {}
        for row in rows:
            for span in self.spans(row, corpus):
                value = value_of(span)
                tokens[value] = tokens.get(value, 0) + span["to"] - span["from"]
        return {value: count / sum(tokens.values()) for value, count in tokens.items()}

    def distances(self, corpus, value_of, whole=None):
        whole = whole or self.shares(self.rows, corpus, value_of)
        windows = [self.shares(self.rows[first:first + self.WINDOW], corpus, value_of)
                   for first in range(0, self.ROWS, self.WINDOW)]
        return [sum(abs(window.get(value, 0) - whole.get(value, 0)) for value in window.keys() | whole.keys()) / 2
                for window in windows if window]

    def test_pairs_are_those_of_the_rows(self):
        for arguments, batch in ((), self.BATCH), (("--batch-rows", 16), 16):
            mixing = self.mixing(*arguments)
            self.assertEqual(mixing["batch_rows"], batch)
            for corpus in mixing["corpora"]:
                pairs = corpus["pairs"]
                self.assertEqual(pairs["found"], self.pairs(corpus["name"], batch))
                if pairs["shuffled"]:
                    self.assertAlmostEqual(pairs["ratio"], pairs["found"] / pairs["shuffled"])
                else:
                    self.assertIsNone(pairs["ratio"])
                documents = {(span["shard"], span["record"]) for row in self.rows for span in self.spans(row, corpus["name"])}
                self.assertEqual(corpus["documents"], len(documents))
        self.assertGreater(self.pairs("prose", 16), 20)

    def test_windows_are_compared_by_shard_and_by_a_field(self):
        by_name = {"shard": lambda span: span["shard"],
                   "lang": lambda span: self.languages.get((span["shard"], span["record"]), "")}
        for corpus in self.mixing("--by", "lang")["corpora"]:
            self.assertEqual([distance["by"] for distance in corpus["distances"]],
                             ["shard", "lang"] if corpus["name"] == "prose" else ["shard"])  # No code has a language.
            for distance in corpus["distances"]:
                expected = self.distances(corpus["name"], by_name[distance["by"]])
                windows = distance["windows"]
                self.assertEqual([window["end_row"] for window in windows], [*range(self.WINDOW, self.ROWS + 1, self.WINDOW)])
                for window, found in zip(windows, expected, strict=True):
                    self.assertAlmostEqual(window["from_rows"]["found"], found)
                    self.assertIsNone(window["from_epoch"])
                self.assertAlmostEqual(sum(window["from_rows"]["shuffled"] for window in windows) / len(windows),
                                       distance["from_rows"]["mean"]["shuffled"])
                self.assertAlmostEqual(distance["from_rows"]["mean"]["found"], sum(expected) / len(expected))
                self.assertAlmostEqual(distance["from_rows"]["max"]["found"], max(expected))
                self.assertEqual(distance["values"], len(self.shares(self.rows, corpus["name"], by_name[distance["by"]])))
                self.assertIsNone(distance["from_epoch"])
                if corpus["name"] == "prose":
                    self.assertGreater(distance["from_rows"]["mean"]["shuffled"], 0)
                else:
                    self.assertAlmostEqual(distance["from_rows"]["max"]["shuffled"], 0)

    def test_windows_are_compared_with_an_epoch_that_an_index_counted(self):
        index = self.data / "millrace-index.json"
        millrace("index", self.data, "--vocab", self.folder / "input/vocab.model", "--holdout", 0.05, "--out", index)
        try:
            entries = {entry["path"]: entry for entry in json.loads(index.read_text())["shards"]}
            shares = {name: entry["tokens"] - entry.get("held_out", {"tokens": 0})["tokens"] for name, entry in entries.items()
                      if name.startswith("prose/")}
            shares = {name: tokens / sum(shares.values()) for name, tokens in shares.items()}
            prose = next(corpus for corpus in self.mixing("--by", "lang")["corpora"] if corpus["name"] == "prose")
            by_shard, by_language = prose["distances"]
            expected = self.distances("prose", lambda span: span["shard"], shares)
            self.assertAlmostEqual(by_shard["from_epoch"]["mean"]["found"], sum(expected) / len(expected))
            self.assertAlmostEqual(by_shard["from_epoch"]["max"]["found"], max(expected))
            for window, found in zip(by_shard["windows"], expected, strict=True):
                self.assertAlmostEqual(window["from_epoch"]["found"], found)
            self.assertGreater(by_shard["from_epoch"]["mean"]["shuffled"], 0)
            # A shard's tokens are divided among languages as its text is: near, not the same.
            found, near = by_language["from_epoch"]["mean"]["found"], by_language["from_rows"]["mean"]["found"]
            self.assertAlmostEqual(found, near, delta=0.1)
        finally:
            index.unlink()
            index.with_name("millrace-index.rejects.jsonl").unlink()

    def test_mixing_is_a_table_too(self):
        text = millrace("inspect", self.run_file, "--stats", "--rows", self.ROWS, "--window-rows", self.WINDOW, "--by", "lang")
        for piece in ("mean of 20 perfect shuffles", f"pairs of rows of a batch of {self.BATCH} that share a document",
                      f"total variation distance of windows of {self.WINDOW} rows", "these rows", "lang"):
            self.assertIn(piece, text)
        text = millrace("inspect", self.run_file, "--stats", "--rows", self.ROWS)
        self.assertIn("fewer than two windows of 1000 rows", text)

    def test_what_says_how_to_count_wants_counting(self):
        for arguments in (("--by", "lang"), ("--batch-rows", 4), ("--window-rows", 10)):
            done = subprocess.run([MILLRACE, "inspect", self.run_file, *map(str, arguments)], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"{arguments[0]} says how --stats counts", done.stderr)


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    unittest.main(verbosity=2)

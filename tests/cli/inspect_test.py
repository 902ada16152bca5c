"""millrace inspect on a run of both layouts: inspect_test.py MILLRACE"""

import json
import os
import pathlib
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
                              ("--stats", "--rows", 100), ("--stats", "--rows", 30, "--from", 60, "--json")):
                with self.subTest(run=run.name, arguments=arguments):
                    self.assertEqual(millrace("inspect", folder, *arguments, *vocabulary),
                                     millrace("inspect", run, *arguments))

    def test_a_folder_of_rows_needs_a_vocabulary_only_for_text(self):
        folder = self.rows_folder(self.packed)
        self.assertEqual(millrace("inspect", folder, "--stats"), millrace("inspect", self.packed, "--stats", "--rows", 100))
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


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    unittest.main(verbosity=2)

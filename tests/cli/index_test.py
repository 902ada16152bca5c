"""millrace index from outside. Usage: index_test.py MILLRACE; MILLRACE_SHARED names a folder of real shards."""

import gzip
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run

MILLRACE = os.path.abspath(sys.argv.pop(1))
PROJECT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("MILLRACE_SHARED", PROJECT / "../shared")) / "data"
REJECT_KEYS = ["shard", "record", "line", "byte", "cause", "reason", "lost_bytes", "lost_records",
               "lost_content"]


def run(*arguments, cwd=None):
    return subprocess.run([MILLRACE, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300)


def lines_of(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def index_json(*arguments, cwd=None, code=0):
    done = run("index", *arguments, "--json", cwd=cwd)
    if done.returncode != code:
        raise AssertionError(f"{arguments}: exit code {done.returncode}, expected {code}\n{done.stderr}")
    return json.loads(done.stdout)


class Index(unittest.TestCase):
    """A data directory of two folders, three shards, and one bad line."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-index-"))
        self.data = self.folder / "data"
        (self.data / "web").mkdir(parents=True)
        (self.data / "code").mkdir()
        (self.data / "web/part-2.jsonl").write_text(
            lines_of({"text": "eins", "meta": {"language": "de"}}) + "torn {\n"
            + lines_of({"text": "three", "meta": {"language": "en"}}, {"text": "four", "meta": {}}))
        with gzip.open(self.data / "web/part-10.jsonl.gz", "wt") as shard:
            shard.write(lines_of(*[{"text": "river mill", "meta": {"language": "en"}}] * 5))
        (self.data / "code/a.jsonl").write_text(lines_of({"content": "int x;", "lang": "C"}))
        self.manifest = self.data / "millrace-index.json"

    def tearDown(self):
        shutil.rmtree(self.folder)

    def write(self, *arguments):
        done = run("index", self.data, "--out", self.manifest, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def test_json_tells_what_each_shard_holds_in_natural_order(self):
        shards = index_json(self.data)["shards"]
        self.assertEqual([shard["path"] for shard in shards], ["code/a.jsonl", "web/part-2.jsonl", "web/part-10.jsonl.gz"])
        self.assertEqual([shard["container"] for shard in shards], ["plain", "plain", "gzip"])
        self.assertEqual([shard["layout"] for shard in shards], ["the-stack", "redpajama", "redpajama"])
        self.assertEqual([shard["records"] for shard in shards], [1, 3, 5])
        self.assertEqual([shard["text_bytes"] for shard in shards], [6, 13, 50])
        self.assertEqual([shard["rejects"] for shard in shards], [{}, {"bad_json": 1}, {}])
        self.assertEqual([shard["bytes"] for shard in shards], [(self.data / s["path"]).stat().st_size for s in shards])
        self.assertTrue(all(len(shard["xxh3"]) == 16 and shard["tokens"] is None for shard in shards))

    def test_paths_count_from_the_one_directory_given_else_from_the_current_folder(self):
        paths = [shard["path"] for shard in index_json("data/", cwd=self.folder)["shards"]]
        self.assertIn("code/a.jsonl", paths)
        for patterns in (["data/web", "data/code"], ["data/*/*.jsonl*"]):
            shards = index_json(*patterns, cwd=self.folder)
            self.assertEqual(shards["root"], ".")
            self.assertEqual([s["path"] for s in shards["shards"]], [f"data/{path}" for path in paths])
        (self.folder / "list.txt").write_text("data/code  # just this\n")
        listed = index_json("@list.txt", cwd=self.folder)
        self.assertEqual([s["path"] for s in listed["shards"]], ["data/code/a.jsonl"])

    def test_the_table_names_shards_totals_and_rejects(self):
        done = run("index", self.data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"web/part-2\.jsonl +plain +redpajama +\d+ B +3 +13 B +1 +25 %\n")
        self.assertRegex(done.stdout, r"all .* 9 +69 B +1 +10 %\n")
        self.assertIn("rejected: 1 bad_json", done.stdout)
        self.assertIn("web/part-2.jsonl:2: bad_json: ", done.stdout)

    def test_many_shards_are_summed_per_folder(self):
        for number in range(41):
            (self.data / f"code/more-{number}.jsonl").write_text(lines_of({"text": "x"}))
        done = run("index", self.data)
        self.assertRegex(done.stdout, r"code +42 +plain +custom, the-stack +\d+.* B +42 +47 B +0 *\n")
        self.assertNotIn("more-7", done.stdout)

    def test_writes_nothing_unless_asked(self):
        before = files_below(self.folder)
        run("index", self.data)
        self.assertEqual(files_below(self.folder), before)

    def test_out_writes_the_manifest_and_the_rejects_and_leaves_nothing_else(self):
        before = files_below(self.folder)
        self.write()
        self.assertEqual(files_below(self.folder) - before,
                         {"data/millrace-index.json", "data/millrace-index.rejects.jsonl"})
        manifest = json.loads(self.manifest.read_text())
        self.assertEqual((manifest["version"], manifest["root"], manifest["complete"]), (1, ".", True))
        self.assertEqual(manifest, index_json(self.data, "--out", self.manifest))
        rejects = [json.loads(line) for line in (self.data / "millrace-index.rejects.jsonl").read_text().splitlines()]
        self.assertEqual([list(reject) for reject in rejects], [REJECT_KEYS])
        self.assertEqual((rejects[0]["shard"], rejects[0]["line"], rejects[0]["cause"]), ("web/part-2.jsonl", 2, "bad_json"))

    def test_what_it_wrote_is_no_shard(self):
        shards = index_json(self.data)["shards"]
        self.write()
        self.assertEqual(index_json(self.data)["shards"], shards)
        other = self.data / "other.json"
        self.assertEqual(index_json(self.data, "--out", other)["shards"], shards)
        self.assertEqual(index_json(self.data, "--out", other)["shards"], shards)

    def test_unchanged_shards_are_not_read_again(self):
        self.write()
        written, rejects = self.manifest.read_text(), (self.data / "millrace-index.rejects.jsonl").read_text()
        self.assertIn("3 of 3 shards, 3 of them taken over", self.write().stderr)
        self.assertEqual(self.manifest.read_text(), written)
        self.assertEqual((self.data / "millrace-index.rejects.jsonl").read_text(), rejects)
        (self.data / "code/a.jsonl").write_text(lines_of({"content": "int y;", "lang": "C"}, {"content": "z"}))
        self.assertIn("3 of 3 shards, 2 of them taken over", self.write().stderr)
        self.assertEqual(json.loads(self.manifest.read_text())["shards"][0]["records"], 2)

    def test_a_vocabulary_adds_tokens(self):
        vocabulary = self.folder / "v.model"
        vocabulary.write_bytes(tiny_run.vocabulary())
        manifest = index_json(self.data, "--vocab", vocabulary)
        self.assertEqual(len(manifest["vocabulary"]), 16)
        self.assertEqual(manifest["shards"][2]["tokens"], 10)  # Five times "river mill".
        self.assertRegex(run("index", self.data, "--vocab", vocabulary).stdout, r"records +text +tokens +rejects +lost\n")

    def test_by_counts_documents_per_value(self):
        by = index_json(self.data / "web", "--by", "lang")["by"]
        self.assertEqual(by["field"], "lang")
        self.assertEqual([(v["value"], v["documents"], v["text_bytes"]) for v in by["values"]],
                         [("en", 6, 55), (None, 1, 4), ("de", 1, 4)])
        table = run("index", self.data / "web", "--by", "meta.language").stdout
        self.assertRegex(table, r"en +6 +55 B +87\.30 %\n\(none\) +1 +4 B +6\.35 %\n")

    def test_a_text_field_can_be_named(self):
        shards = index_json(self.data, "--layout", "custom", "--text-field", "meta.language", code=1)["shards"]
        self.assertEqual([(s["records"], s["text_bytes"]) for s in shards], [(0, 0), (2, 4), (5, 10)])

    def test_threads_change_nothing(self):
        self.assertEqual(index_json(self.data, "--threads", 1), index_json(self.data, "--threads", 8))

    def test_rejects_do_not_make_it_fail_but_shards_without_anything_else_do(self):
        for shard in self.data.rglob("*.jsonl*"):
            shard.write_bytes(b"\x00\x01 no shard at all\n" + lines_of({"text": "sound"}).encode())
        done = run("index", self.data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("rejected: 3 bad_json", done.stdout)
        for shard in self.data.rglob("*.jsonl*"):
            shard.write_bytes(b"\x00\x01 no shard at all\n")
        done = run("index", self.data)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("rejected: 3 bad_json", done.stdout)
        self.assertIn("3 of 3 shards could not be read", done.stderr)

    def test_wrong_usage_exits_2_and_names_what_is_wrong(self):
        (self.folder / "no-manifest.json").write_text("{}")
        (self.folder / "empty").mkdir()
        for arguments, named in (
            ([], "shards"),
            ([self.folder / "nowhere"], "nowhere"),
            ([self.folder / "empty"], "empty"),
            ([self.data, "--layout", "pyjama"], "pyjama"),
            ([self.data, "--vocab", self.folder / "nowhere.model"], "nowhere.model"),
            ([self.data, "--out", self.folder / "nowhere/m.json"], "nowhere"),
            ([self.data, "--out", self.folder / "no-manifest.json"], "no-manifest.json"),
            ([self.data, "--out", self.data / "code/a.jsonl"], "a.jsonl"),
            ([self.data, "--threads", "-1"], "threads"),
        ):
            with self.subTest(arguments=arguments):
                before = files_below(self.folder)
                done = run("index", *arguments)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(named, done.stderr)
                self.assertEqual(files_below(self.folder), before)

    def test_help_has_an_example(self):
        self.assertIn("millrace index ", run("index", "--help").stdout)

    def interrupted(self, after):
        process = subprocess.Popen([MILLRACE, "index", self.data, "--out", self.manifest, "--threads", "1"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        return process.communicate(timeout=120)[1], process.returncode

    def test_ctrl_c_keeps_what_is_done_and_the_next_run_goes_on(self):
        line = lines_of({"text": "the river turns the wheel of the mill " * 20})
        for number in range(200):
            (self.data / f"code/long-{number}.jsonl").write_text(line * 1000)
        for after in (0.3, 0.1, 0.05, 0.5, 0.2, 0.15):  # One of them may be too early or too late on this machine.
            self.manifest.unlink(missing_ok=True)
            log, code = self.interrupted(after)
            if code == 130 and self.manifest.exists() and json.loads(self.manifest.read_text())["shards"]:
                break
        self.assertEqual(code, 130, log)
        part = json.loads(self.manifest.read_text())
        self.assertFalse(part["complete"])
        self.assertIn("the same command goes on", log)
        self.assertIn(f"203 of 203 shards, {len(part['shards'])} of them taken over", self.write().stderr)
        self.assertTrue(json.loads(self.manifest.read_text())["complete"])


def table_rows(manifest, folder):
    """File, rows and text bytes (where the table has them) of MANIFEST.md."""
    for line in manifest.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0].startswith(folder + "/"):
            yield cells[0].removeprefix(folder + "/"), int(cells[1]), int(cells[2]) if folder == "redpajama" else None


@unittest.skipUnless(SHARED.is_dir(), f"{SHARED} is not there; MILLRACE_SHARED names another place")
class RealShards(unittest.TestCase):
    def expect_rows(self, folder):
        shards = {shard["path"]: shard for shard in index_json(SHARED / folder)["shards"]}
        rows = list(table_rows(SHARED / "MANIFEST.md", folder))
        self.assertGreater(len(rows), 15)
        for path, records, text_bytes in rows:
            with self.subTest(path=path):
                self.assertEqual(shards[path]["records"], records)
                self.assertEqual(shards[path]["rejects"], {})
                self.assertEqual(shards[path]["bytes"], (SHARED / folder / path).stat().st_size)
                if text_bytes is not None:
                    self.assertEqual(shards[path]["text_bytes"], text_bytes)

    def test_redpajama_has_the_rows_of_its_manifest(self):
        self.expect_rows("redpajama")

    def test_the_stack_has_the_rows_of_its_manifest(self):
        self.expect_rows("the_stack")

    def test_parquet_has_a_seek_point_for_every_row_group_but_the_first(self):
        shards = {shard["path"]: shard for shard in index_json(SHARED / "the_stack/data")["shards"]}
        self.assertEqual(len(shards["c/data-00000-of-00001.parquet"]["seek_points"]), 2)
        self.assertEqual(len(shards["toml/data-00000-of-00001.parquet"]["seek_points"]), 13)
        self.assertEqual(shards["xml/data-00000-of-00001.parquet"]["seek_points"], [])

    def test_damaged_shards_give_what_is_expected_of_them(self):
        shards = {shard["path"]: shard for shard in index_json(SHARED / "corrupt", code=1)["shards"]}
        for path, wanted in json.loads((SHARED / "corrupt/expected.json").read_text()).items():
            if path.startswith("_"):
                continue
            with self.subTest(path=path):
                shard = shards[path]
                self.assertGreaterEqual(shard["records"], wanted.get("records_at_least", 0))
                self.assertEqual(shard["records"], wanted.get("records", shard["records"]))
                self.assertEqual(shard["rejects"], wanted.get("rejects", shard["rejects"]))
                for cause, count in wanted.get("rejects_at_least", {}).items():
                    self.assertGreaterEqual(shard["rejects"].get(cause, 0), count)

    def test_rejects_name_shard_line_and_cause(self):
        with tempfile.TemporaryDirectory() as folder:
            done = run("index", SHARED / "corrupt", "--out", pathlib.Path(folder) / "corrupt.json")
            self.assertEqual(done.returncode, 1, "whole shards cannot be read")
            self.assertEqual(sorted(os.listdir(folder)), ["corrupt.json", "corrupt.rejects.jsonl"])
            rejects = [json.loads(line) for line in (pathlib.Path(folder) / "corrupt.rejects.jsonl").read_text().splitlines()]
        lines = [reject["line"] for reject in rejects if reject["shard"] == "broken_json.jsonl"]
        self.assertEqual(lines, [2, 4, 5, 6, 7])
        self.assertTrue(all(list(reject) == REJECT_KEYS and reject["reason"] for reject in rejects))


if __name__ == "__main__":
    unittest.main(verbosity=2)

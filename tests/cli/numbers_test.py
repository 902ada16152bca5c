"""Numbers too large, too small or of the wrong kind, in run files, mixes and options: numbers_test.py MILLRACE"""

import json
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_run

MILLRACE = None
SECONDS = 1.0  # CPU time, so that other load on the machine does not count.

# Keys of a run file, and values that must be refused by name.
REFUSED = {
    "seed": ["-1", "1.5", "1e30", "18446744073709551616", "nan", "text"],
    "sequence_length": ["0", "1", "2147483647", "9223372036854775807", "1e300"],
    "data.holdout": ["1e300", "-1e300", "nan"],
    "data.shuffle_block": ["0", "9000000000000000000"],
    "data.shuffle_bytes": ["0", "-5"],
    "data.max_record_bytes": ["0", "9223372036854775807"],
    "model.num_hidden_layers": ["2000000000", "0"],
    "model.num_attention_heads": ["2000000000"],
    "model.head_dim": ["2000000000", "3"],
    "model.hidden_size": ["2147483647"],
    "model.intermediate_size": ["2147483647"],
    "model.num_experts": ["257", "2147483648"],
    "model.router_capacity_factor_train": ["-1", "1e300"],
    "model.rms_norm_eps": ["1e-300", "1e300", "0"],
    "model.rope_theta": ["1e300", "0"],
    "model.router_topk": ["0", "4294967297"],
    "train.batch_rows": ["0", "2147483647", "4294967296"],
    "train.micro_rows": ["4294967296", "3"],
    "train.learning_rate": ["1e300", "0", "nan"],
    "train.clip_norm": ["-1", "1e300"],
    "train.warmup_steps": ["4e9", "-1"],
    "train.max_bad_steps": ["0", "4294967296"],
    "eval.tokens": ["-1", "1.5"],
    "checkpoint.keep_last": ["0", "4294967296"],
}
NOT_FINITE = ("nan", "-nan", "inf", "-inf", "1e400", "-1e400")


def real_keys():
    """Keys of a run file that take a number with a fraction, as the program lists them: "train.learning_rate"."""
    text = subprocess.run([MILLRACE, "keys"], capture_output=True, text=True, check=True).stdout
    run_file = text.split("## Run file", 1)[1].split("\n## ", 1)[0]
    for section in run_file.split("\n### ")[1:]:
        table = section.split("`")[1].strip("[]")
        for key in re.findall(r"^\| `(\w+)` \| number \|", section, re.MULTILINE):
            yield f"{table}.{key}"


def megabyte_limit(megabytes):
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))


class Numbers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-numbers-"))
        cls.run_file = tiny_run.write_run(cls.folder / "input")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def run_program(self, *arguments, code, **options):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([MILLRACE, *map(str, arguments)], capture_output=True, text=True, timeout=60,
                              cwd=self.folder, **options)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stderr}")
        self.seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return done

    def train(self, *arguments, code=2, **options):
        done = self.run_program("train", self.run_file, "--run-dir", self.folder / "out", "--set", "train.tokens=1024",
                                *arguments, code=code, **options)
        if code != 0:
            self.assertFalse((self.folder / "out").exists(), f"{arguments}: something was made")
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        return done

    def test_keys_outside_their_range_are_refused_by_name_at_once(self):
        for key, values in REFUSED.items():
            for value in values:
                with self.subTest(key=key, value=value):
                    said = self.train("--set", f"{key}={value}").stderr
                    self.assertIn(key.split(".")[-1], said)
                    self.assertNotIn("is a number, expected a number", said)
                    self.assertLess(self.seconds, SECONDS)

    def test_products_of_sizes_that_no_machine_holds_are_refused_at_once(self):
        for sizes in (("model.num_attention_heads=65536", "model.head_dim=65536"),
                      ("model.num_hidden_layers=10000", "model.hidden_size=1048576", "model.intermediate_size=4194304"),
                      ("model.hidden_size=1048576",),
                      ("train.batch_rows=16777216", "train.micro_rows=16777216", "train.tokens=1073741824"),
                      ("train.batch_rows=16777216", "train.micro_rows=16777216", "sequence_length=1048576",
                       "model.num_hidden_layers=10000", "model.hidden_size=1048576"),
                      ("sequence_length=1048576", "train.tokens=15360", "train.batch_rows=1")):
            with self.subTest(sizes=sizes):
                self.train(*[word for size in sizes for word in ("--set", size)])
                self.assertLess(self.seconds, SECONDS)

    def test_capacity_factors_of_any_size_do_what_dropping_nothing_does(self):
        losses = {}
        for rule, factor in (("dropless", "1"), ("flaxformer", "1e19"), ("colossalai", "1e19"), ("flaxformer", "3e38")):
            folder = self.folder / f"{rule}-{factor}"
            self.run_program("train", self.run_file, "--run-dir", folder, "--set", "train.tokens=1024",
                             "--set", f'model.capacity_rule="{rule}"',
                             "--set", f"model.router_capacity_factor_train={factor}",
                             "--set", f"model.router_capacity_factor_eval={factor}", code=0)
            weights = folder / "checkpoints" / "step-000004" / "model.safetensors"
            losses[rule, factor] = weights.read_bytes()
        self.assertEqual(losses["flaxformer", "1e19"], losses["flaxformer", "3e38"])
        self.assertEqual(losses["colossalai", "1e19"], losses["dropless", "1"])

    def test_seeds_reach_to_the_last_of_64_bits_and_come_back(self):
        for seed in (2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1):
            with self.subTest(seed=seed):
                run_file = self.run_file.with_name(f"seed-{seed}.toml")
                run_file.write_text(self.run_file.read_text().replace("seed = 3", f"seed = {seed}"))
                folder = self.folder / f"seed-{seed}"
                self.run_program("train", run_file, "--run-dir", folder, "--set", "train.tokens=1024", code=0)
                self.assertIn(f"seed = {seed}\n", (folder / "run.toml").read_text())
                self.run_program("train", folder, "--resume", code=0)
                self.run_program("train", folder, "--resume", "--set", f"seed={seed}", code=0)

    def test_shares_too_small_to_count_are_refused(self):
        mix = self.run_file.with_name("mix.toml")
        for share in ("1e-300", "1e300", "-1", "nan"):
            with self.subTest(share=share):
                other = mix.with_name("other.toml")
                other.write_text(mix.read_text().replace("share = 30", f"share = {share}"))
                said = self.run_program("mix", "check", other, code=2).stderr
                self.assertIn("other.toml:", said)
                self.assertIn("share is", said)

    def test_options_outside_their_range_are_refused_by_name(self):
        for command, options in {
            ("train", self.run_file): ["--threads=100000", "--threads=-1", "--threads=1.5", "--threads=1e3"],
            ("inspect", self.run_file): ["--threads=100000", "--threads=-5", "--rows=-1", "--rows=0", "--rows=1e3",
                                         "--from=-1", "--row=-1", "--row=18446744073709551616"],
            ("trace", self.run_file, "--document=x:0"): ["--threads=100000"],
            ("eval", "x", "--run", self.run_file): ["--threads=100000", "--tokens=-1"],
            ("generate", "x", "--prompt=x"): ["--threads=100000", "--tokens=99999999999", "--top-p=2",
                                           "--seed=-1", "--seed=18446744073709551616", "--top-k=4294967296",
                                           "--temperature=nan"],
            ("index", "x"): ["--threads=100000"],
            ("tokenize", "--vocab=x", "--in=x"): ["--threads=-1", "--threads=100000"],
            ("preprocess", self.run_file): ["--threads=100000", "--tokens=1e300", "--part-bytes=-1",
                                            "--save-seconds=1e10"],
            ("mix", "plan", self.run_file): ["--tokens=1e300", "--tokens=-1", "--tokens=nan"],
            ("vocab", "train", "--shards=x", "--out=x"): ["--size=0", "--size=1e10", "--megabytes=0", "--megabytes=1e300"],
            ("sample", "--out=x"): ["--megabytes=0.5", "--megabytes=1e300", "--megabytes=nan"],
        }.items():
            for option in options:
                with self.subTest(command=command[0], option=option):
                    said = self.run_program(*command, option, code=2).stderr
                    self.assertIn(option.split("=")[0], said)
                    self.assertLess(self.seconds, SECONDS)

    def number_options(self, *command):
        """Every option of a command and of those below it that takes a number, by its --help."""
        text = self.run_program(*command, "--help", code=0).stdout
        options, _, subcommands = text.partition("\nSubcommands:\n")
        for name in re.findall(r"^  (--[a-z-]+)(?:,--[a-z-]+)* (?:FLOAT|INT|UINT)\b", options, re.MULTILINE):
            yield command, name
        for name in re.findall(r"^  ([a-z]+) ", subcommands.partition("\n\n")[0], re.MULTILINE):
            yield from self.number_options(*command, name)

    def test_no_option_of_any_command_takes_a_number_that_is_not_finite(self):
        options = list(self.number_options())
        for known in ((("index",), "--holdout"), (("generate",), "--top-p"), (("preprocess",), "--tokens"),
                      (("vocab", "train"), "--megabytes"), (("mix", "plan"), "--tokens")):
            self.assertIn(known, options)
        for command, option in options:
            for value in NOT_FINITE:
                with self.subTest(command=command, option=option, value=value):
                    said = self.run_program(*command, f"{option}={value}", code=2).stderr
                    self.assertIn(f"{option}: {value} is no ", said)

    def test_counts_of_tokens_are_whole_and_written_as_in_run_files(self):
        for value in ("1.5", "0.5", "1e19", "9007199254740993e1", "-1", "0x10", "1e", "", "1e9 "):
            for command in ("preprocess", self.run_file), ("mix", "plan", self.run_file):
                with self.subTest(command=command[0], value=value):
                    said = self.run_program(*command, f"--tokens={value}", code=2).stderr
                    self.assertIn("--tokens", said)
        totals = {json.loads(self.run_program("mix", "plan", self.run_file, "--json", f"--tokens={value}", code=0).stdout)
                  ["total_tokens"] for value in ("10240", "1.024e4", "10240.0")}
        self.assertEqual(totals, {10240})

    def test_no_key_of_a_file_takes_a_number_that_is_not_finite(self):
        text = self.run_file.read_text().replace("[train]\n", '[train]\noptimizer = "adamw"\nschedule = "wsd"\n')
        other = self.run_file.with_name("not-finite.toml")
        keys = list(real_keys())
        for known in ("data.holdout", "model.rope_theta", "train.beta1"):
            self.assertIn(known, keys)
        for key in keys:
            table, name = key.split(".")
            without = re.sub(rf"^{name} = .*\n", "", text, flags=re.MULTILINE)
            for value in NOT_FINITE:
                with self.subTest(key=key, value=value):
                    other.write_text(without.replace(f"[{table}]\n", f"[{table}]\n{name} = {value}\n"))
                    said = self.run_program("inspect", other, code=2).stderr
                    self.assertRegex(said, r"not-finite.toml:\d+:\d+: ")
                    if not value.endswith("e400"):  # Which is not valid TOML.
                        self.assertIn(f"{name} is not finite", said)
        for file, old, name in (("mix.toml", "share = 70", "share"), ("mix.toml", "share = 70", "max_epochs"),
                                ("ul2.toml", "share = 50", "share"), ("ul2.toml", "mean_span = 3", "mean_span"),
                                ("ul2.toml", "mask_ratio = 0.15", "mask_ratio")):
            path = self.run_file.with_name(file)
            whole = path.read_text()
            for value in NOT_FINITE:
                with self.subTest(file=file, key=name, value=value):
                    line = f"{name} = {value}" if name in old else f"{old}\n{name} = {value}"
                    path.write_text(whole.replace(old, line, 1))
                    said = self.run_program("inspect", self.run_file, code=2).stderr
                    path.write_text(whole)
                    self.assertRegex(said, rf"{file}:\d+:\d+: ")
                    if not value.endswith("e400"):
                        self.assertIn(f"{name} is not finite", said)

    def test_a_refusal_names_the_range_that_holds(self):
        for key, value, range_ in (("data.holdout", "1e300", "from 0 to 1"), ("data.max_bad_fraction", "-1", "from 0 to 1"),
                                   ("train.learning_rate", "-1", "from 0 to"), ("model.rms_norm_eps", "-1", "from 1.17549e-38 to")):
            with self.subTest(key=key):
                self.assertIn(f"expected a number {range_}", self.train("--set", f"{key}={value}").stderr)
        mix = self.run_file.with_name("mix.toml")
        other = mix.with_name("other.toml")
        other.write_text(mix.read_text().replace("share = 30", "share = 1e300"))
        self.assertIn("share is 1e+300, expected a number from 0 to 100", self.run_program("mix", "check", other, code=2).stderr)

    def test_a_process_with_little_memory_or_few_files_ends_with_a_message(self):
        for megabytes in (400, 500, 700, 1000):
            with self.subTest(megabytes=megabytes):
                done = subprocess.run([MILLRACE, "train", self.run_file, "--run-dir", self.folder / f"small-{megabytes}",
                                       "--set", "train.tokens=1024", "--threads", "2"], capture_output=True, text=True,
                                      timeout=60, preexec_fn=megabyte_limit(megabytes))
                self.assertIn(done.returncode, (0, 1, 2), done.stderr)
                if done.returncode != 0:
                    self.assertIn("millrace: ", done.stderr)

    def test_too_few_open_files_are_told_before_anything_is_made_or_are_enough(self):
        whole = 0
        for files in range(5, 32):
            folder = self.folder / f"few-{files}"
            done = subprocess.run([MILLRACE, "train", self.run_file, "--run-dir", folder, "--set", "train.tokens=256",
                                   "--threads", "2"], capture_output=True, text=True, timeout=60,
                                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)))
            with self.subTest(files=files):
                if done.returncode == 0:
                    whole += 1
                    self.assertTrue((folder / "summary.json").exists())
                else:
                    self.assertEqual((done.returncode, folder.exists()), (1, False), done.stderr)
                    self.assertIn("Too many open files", done.stderr)
                    self.assertEqual(whole, 0, "fewer files were enough")
        self.assertGreater(whole, 0)

    def test_more_threads_than_the_system_grants_are_told_before_anything_is_made(self):
        said = self.train("--threads", "1000", code=1, preexec_fn=megabyte_limit(2000)).stderr
        self.assertIn("--threads", said)
        self.assertIn("the system grants", said)


if __name__ == "__main__":
    MILLRACE = sys.argv.pop(1)
    unittest.main(verbosity=2)

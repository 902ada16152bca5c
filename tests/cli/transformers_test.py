"""An exported model in Hugging Face transformers and lm-evaluation-harness: transformers_test.py MILLRACE SHARED

Wants the Python of scripts/deps.sh transformers. SHARED holds real documents; without it the test of many texts is
skipped."""

import collections
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="millrace-hf-")
try:
    import lm_eval
    import lm_eval.tasks
    import sentencepiece
    import torch
    import transformers
    from lm_eval.models.huggingface import HFLM
    from safetensors.torch import load_file, save_file
except ImportError as error:
    print(f"skipped: {error}; scripts/deps.sh transformers installs what this wants")
    sys.exit(77)

import tiny_run

PROGRAM = SHARED = None


def millrace(*arguments, text=None):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, input=text)
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr}"
    return done.stdout


class Exported(unittest.TestCase):
    """A small model that was trained, with each capacity rule."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="millrace-transformers-")
        cls.folder = pathlib.Path(cls.temporary.name)
        run_file = tiny_run.write_run(cls.folder / "tiny")
        millrace("train", run_file, "--run-dir", cls.folder / "run")
        cls.checkpoint = sorted((cls.folder / "run" / "checkpoints").iterdir())[-1]
        cls.vocabulary = cls.folder / "run" / "vocab.model"
        cls.rows = json.loads((cls.checkpoint / "config.json").read_text())["vocab_size"]

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def exported(self, rule="flaxformer", **changes):
        """The checkpoint, and its export, with another capacity rule or other factors."""
        name = "-".join([rule, *map(str, changes.values())])
        checkpoint, out = self.folder / f"{name}.checkpoint", self.folder / f"{name}.hf"
        if not out.exists():
            checkpoint.mkdir()
            config = json.loads((self.checkpoint / "config.json").read_text()) | changes | {"capacity_rule": rule}
            config["router_drop_tks"] = rule != "dropless"
            (checkpoint / "config.json").write_text(json.dumps(config))
            (checkpoint / "model.safetensors").symlink_to(self.checkpoint / "model.safetensors")
            millrace("export", checkpoint, "--to", "hf", out, "--vocab", self.vocabulary)
        return checkpoint, out

    def opened(self, folder):
        return transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32).eval()

    def logits_of(self, checkpoint, ids, mode="eval"):
        save_file({"input_ids": ids.to(torch.int32)}, self.folder / "ids")
        millrace("logits", checkpoint, "--ids", self.folder / "ids", "--out", self.folder / "out", "--mode", mode)
        return load_file(self.folder / "out")["logits"]

    def random_ids(self, rows, length, padding=0):
        torch.manual_seed(rows * length)
        ids = torch.randint(3, self.rows - 300, (rows, length))
        ids[:, 0] = 0
        if padding > 0:
            ids[0, -padding:] = 0
        return ids

    def test_logits_are_those_of_millrace_logits(self):
        for rule, changes in (("flaxformer", {}), ("flaxformer", {"router_group_size": 20}), ("colossalai", {}),
                              ("colossalai", {"router_capacity_factor_eval": 0.5}), ("dropless", {}), ("flaxformer", {"pads_routed": False})):  # fmt: skip
            checkpoint, out = self.exported(rule, **changes)
            model = self.opened(out)
            for shape in ((1, 64), (3, 50), (2, 37, 9), (1, 1), (4, 128)):
                ids = self.random_ids(*shape)
                for mode in ("eval", "train"):
                    with self.subTest(rule=rule, changes=changes, shape=shape, mode=mode), torch.no_grad():
                        model.train(mode == "train")
                        difference = (model(ids).logits - self.logits_of(checkpoint, ids, mode)).abs().max().item()
                        self.assertLess(difference, 1e-5)

    def test_a_rule_is_another_function_than_the_next(self):
        ids = self.random_ids(4, 128)
        logits = [
            self.opened(self.exported(rule, router_capacity_factor_eval=0.5)[1])(ids).logits
            for rule in ("flaxformer", "colossalai", "dropless")
        ]
        for a, b in ((0, 1), (0, 2), (1, 2)):
            self.assertGreater((logits[a] - logits[b]).abs().max().item(), 1e-3)

    def test_a_row_with_padding_before_it_has_the_logits_of_the_row_alone(self):
        model = self.opened(self.exported("dropless")[1])
        ids = self.random_ids(1, 20)
        padded = torch.cat((torch.zeros(1, 7, dtype=torch.long), ids), 1)
        mask = torch.ones_like(padded)
        mask[:, :7] = 0
        with torch.no_grad():
            difference = model(padded, attention_mask=mask).logits[:, 7:] - model(ids).logits
        self.assertLess(difference.abs().max().item(), 1e-5)

    def test_greedy_text_is_that_of_millrace_generate(self):
        for rule in ("flaxformer", "colossalai", "dropless"):
            checkpoint, out = self.exported(rule)
            model = self.opened(out)
            tokenizer = transformers.AutoTokenizer.from_pretrained(out, trust_remote_code=True)
            for prompt in ("", "river mill stone", "the wheel turns and the water of the weir grinds grain " * 3):
                with self.subTest(rule=rule, prompt=prompt):
                    told = json.loads(
                        millrace("generate", checkpoint, "--vocab", self.vocabulary, "--prompt", prompt, "--tokens", 40,
                                 "--temperature", 0, "--json")  # fmt: skip
                    )
                    ids = [model.config.bos_token_id] + tokenizer.encode(prompt)
                    drawn = model.generate(torch.tensor([ids]), max_new_tokens=40, do_sample=False)[0].tolist()
                    drawn = drawn[len(ids) :]
                    self.assertEqual(drawn[: len(told["ids"])], told["ids"])
                    self.assertIn(drawn[len(told["ids"]) :], ([], [model.config.eos_token_id]))
                    before = tokenizer.decode(ids, skip_special_tokens=True)
                    after = tokenizer.decode(ids + drawn, skip_special_tokens=True)
                    self.assertEqual(after[len(before) :], told["text"])

    def test_a_training_loss_has_gradients_for_all_weights(self):
        model = self.opened(self.exported()[1]).train()
        ids = self.random_ids(4, 64)
        model(ids, labels=ids).loss.backward()
        for name, parameter in model.named_parameters():
            self.assertGreater(parameter.grad.abs().max().item(), 0, name)

    def test_a_harness_scores_as_sums_of_log_probabilities(self):
        """lm-evaluation-harness's hf model, one row a batch: a task of 50 items with two choices each."""
        checkpoint, out = self.exported()
        draw = random.Random(7)
        items = [{"query": " ".join(draw.choices(tiny_run.WORDS, k=draw.randrange(3, 20))),
                  "choices": [" " + " ".join(draw.choices(tiny_run.WORDS, k=3)) for _ in range(2)]} for _ in range(50)]  # fmt: skip
        task = self.folder / "task"
        task.mkdir()
        (task / "items.jsonl").write_text("".join(json.dumps(item | {"gold": 0}) + "\n" for item in items))
        (task / "mills.yaml").write_text(
            "task: mills\ndataset_path: json\n"
            f"dataset_kwargs:\n  data_files:\n    test: {task / 'items.jsonl'}\n"
            "test_split: test\noutput_type: multiple_choice\ndoc_to_text: '{{query}}'\ndoc_to_choice: choices\n"
            "doc_to_target: gold\ntarget_delimiter: ''\nmetric_list:\n  - metric: acc\n"
        )
        model = HFLM(pretrained=str(out), trust_remote_code=True, dtype="float32", batch_size=1, device="cpu")
        tasks = lm_eval.tasks.TaskManager(include_path=str(task), include_defaults=False)
        scored = lm_eval.simple_evaluate(model, tasks=["mills"], task_manager=tasks, log_samples=True)
        processor = sentencepiece.SentencePieceProcessor(model_file=str(self.vocabulary))
        checked = 0
        for sample in scored["samples"]["mills"]:
            for choice, response in zip(sample["doc"]["choices"], sample["resps"], strict=True):
                context = processor.encode(sample["doc"]["query"])
                whole = processor.encode(sample["doc"]["query"] + choice)
                logits = self.logits_of(checkpoint, torch.tensor([whole[:-1]]))[0].double().log_softmax(-1)
                expected = sum(logits[at - 1, whole[at]].item() for at in range(len(context), len(whole)))
                self.assertAlmostEqual(response[0][0], expected, delta=1e-4)
                checked += 1
        self.assertEqual(checked, 100)


class Tokenizer(unittest.TestCase):
    def test_real_texts_have_the_ids_of_the_vocabulary_but_for_near_ties_and_decode_alike(self):
        models = sorted((SHARED / "tokenizers").glob("standin/*.model"))
        if not models:
            self.skipTest(f"no vocabulary in {SHARED}/tokenizers/standin")
        texts = list(self.texts())
        for model in models:
            with self.subTest(model=model.name), tempfile.TemporaryDirectory() as folder:
                millrace("vocab", "export", model, "--to", "hf", folder)
                tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
                processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
                seen = collections.Counter()
                for text in texts:
                    expected, found = processor.encode(text), tokenizer.encode(text)
                    seen["ids"] += len(expected)
                    seen["texts"] += 1
                    seen["differ"] += expected != found
                    score = [math.fsum(map(processor.get_score, ids)) for ids in (expected, found)]
                    self.assertLess(abs(score[0] - score[1]), 1e-5 * max(100, abs(score[0])), text[:60])
                    self.assertEqual(tokenizer.decode(found), processor.decode(expected), text[:60])
                print(f"{model.name}: {seen['texts']} texts, {seen['ids']} ids; in {seen['differ']} texts ids differ")
                self.assertLess(seen["differ"], seen["texts"] / 5)

    @staticmethod
    def texts():
        for path in sorted((SHARED / "data").glob("redpajama/**/*.json*")) + sorted((SHARED / "data").glob("the_stack/**/*.zst")):
            lines = subprocess.run(["zstd", "-dcf", path], capture_output=True, check=True).stdout.splitlines()
            for line in lines[:400]:
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                text = record.get("text") or record.get("content") if isinstance(record, dict) else None
                if isinstance(text, str):
                    yield text[:50_000]


if __name__ == "__main__":
    PROGRAM, SHARED = sys.argv.pop(1), pathlib.Path(sys.argv.pop(1))
    unittest.main()

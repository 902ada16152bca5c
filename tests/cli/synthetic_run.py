"""Writes a run folder like that of a long training, with every key of metrics.jsonl, without training."""

import json
import math
import os
import pathlib
import random

import tiny_run

EXPERTS, LAYERS, PARTS = 16, 2, 32
SPANS = [("span-3-15", 20), ("span-8-15", 15), ("span-3-50", 15), ("prefix", 50)]
SHARES = ({"prose": 0.6, "manuals": 0.15, "code": 0.25}, {"prose": 0.35, "manuals": 0.25, "code": 0.4})
POSITIONS = 16 * 256


def write_configuration(folder, steps):
    (folder / "data").mkdir(parents=True)
    for corpus in SHARES[0]:
        (folder / "data" / f"{corpus}.jsonl").write_text('{"text": "grain"}\n')
    (folder / "vocab.model").write_bytes(tiny_run.vocabulary())
    for number, shares in enumerate(SHARES, 1):
        corpora = "".join(f'[[corpus]]\nname = "{name}"\nkind = "{"code" if name == "code" else "text"}"\n'
                          f'share = {100 * share:g}\nshards = ["{name}.jsonl"]\n' for name, share in shares.items())
        (folder / f"mix-{number}.toml").write_text(f'name = "mill-{number}"\n{corpora}')
    spans = "".join(f'[[denoiser]]\nname = "{name}"\nkind = "span"\nshare = {share}\nmean_span = {name.split("-")[1]}\n'
                    f'mask_ratio = 0.{name.split("-")[2]}\nprompt = "[NLU] "\n' for name, share in SPANS[:-1])
    (folder / "ul2.toml").write_text(f'name = "ul2"\nlayout = "full"\n{spans}[[denoiser]]\nname = "prefix"\n'
                                     'kind = "prefix"\nshare = 50\nprompt = "[S2S] "\n')
    (folder / "causal.toml").write_text('name = "causal"\nlayout = "full"\nseparator = "eos"\n[[denoiser]]\n'
                                        'name = "causal"\nkind = "causal"\nshare = 100\n')
    (folder / "run.toml").write_text(
        f'name = "mill-8b"\nseed = 3\nvocab = "vocab.model"\nsequence_length = 256\n'
        f'[[phase]]\nuntil = {steps * 6 // 10 * POSITIONS}\nmix = "mix-1.toml"\nobjective = "ul2.toml"\n'
        f'[[phase]]\nuntil = {steps * POSITIONS}\nmix = "mix-2.toml"\nobjective = "causal.toml"\n'
        f'[data]\ndirectory = "data"\nholdout = 0.05\n[model]\npreset = "openmoe-nano"\nnum_experts = {EXPERTS}\n'
        "[train]\nbatch_rows = 16\nmicro_rows = 8\n[eval]\nevery_steps = 500\n[checkpoint]\nevery_steps = 1000\n")


def softmax(values):
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def evaluation(step, objective, corpora, level):
    scores = {name: {"objective": objective, "loss": level + 0.2 * i, "perplexity": math.exp(level + 0.2 * i),
                     "accuracy": 1 / level, "bits_per_byte": level / 2.8, "tokens": 5000, "unigram_loss": 6.5}
              for i, name in enumerate(corpora)}
    return {"step": step, "eval": scores, "overall": {**scores["prose"], "loss": level + 0.1}}


class Ledger:
    def __init__(self):
        self.counts = {}

    def add(self, shares, denoisers, tokens, rng):
        for corpus, share in shares.items():
            for denoiser, part in denoisers:
                entry = self.counts.setdefault(corpus, {}).setdefault(denoiser, [0, 0, 0])
                raw = max(1, round(tokens * share * part / 100 + rng.uniform(-120, 120)))
                entry[0] += round(20 * share) * part
                entry[1] += raw
                entry[2] += raw // 2


def write_metrics(file, steps, first, last, seed=1):
    """Lines of the steps first..last of `steps`."""
    rng = random.Random(seed)
    ledger = Ledger()
    drift = [[rng.gauss(0, 0.5) for _ in range(EXPERTS)] for _ in range(LAYERS)]
    lines = []
    for step in range(first, last + 1):
        phase = int(step > steps * 6 // 10)
        shares, denoisers = SHARES[phase], ([("causal", 100)] if phase else SPANS)
        level = 2.6 + 6.4 / (1 + step / 300) ** 0.5 - 0.3 * phase
        ce = level + rng.gauss(0, 0.08) + (4 if step % 7001 == 0 else 0)
        early = math.exp(-step / 2500)
        line = {"step": step, "tokens": step * POSITIONS, "raw_tokens": step * 3800, "loss_tokens": step * 1700}
        if step in (777, 15000):
            lines.append(json.dumps({"step": step, "tokens": step * POSITIONS, "skipped": "loss is nan"}))
            continue
        seconds = 0.3 + rng.uniform(0, 0.03)
        line |= {"loss": ce + 0.03, "ce": ce, "accuracy": 0.45 - 0.05 * level + rng.gauss(0, 0.01),
                 "aux_loss": 1 + early, "router_z_loss": 4 + early, "z_loss": 0.006,
                 "lr": 0.5 / math.sqrt(max(step, 1000)), "grad_norm": 0.4 + 2 * early + abs(rng.gauss(0, 0.05)),
                 "tokens_per_s": POSITIONS / seconds, "step_s": seconds, "data_wait_s": rng.uniform(0, 1e-4),
                 "phase": phase, "param_norm": 90 + step / 1000, "update_norm": 0.05 + 0.3 * early,
                 "limit_share": 0.71 + rng.gauss(0, 0.01), "memory_bytes": 545_000_000 + rng.randrange(1_000_000),
                 "ce_by_corpus": {name: ce + 0.3 * i + rng.gauss(0, 0.05) for i, name in enumerate(shares)},
                 "ce_by_denoiser": {name: ce + 0.4 * i + rng.gauss(0, 0.05) for i, (name, _) in enumerate(denoisers)},
                 "router": {"load_balance": [1 + early * (1 + layer) for layer in range(LAYERS)],
                            "z": [4 + layer + early for layer in range(LAYERS)],
                            "entropy": [2.2 - 0.3 * layer + 0.5 * early + rng.gauss(0, 0.01) for layer in range(LAYERS)],
                            "dropped": [0.02 + 0.2 * early + 0.01 * layer for layer in range(LAYERS)],
                            "left_behind": [0.01 + 0.1 * early + 0.01 * layer for layer in range(LAYERS)],
                            "expert_usage": [0.9 - 0.3 * early - 0.02 * layer for layer in range(LAYERS)],
                            "confidence": [0.4 - 0.2 * early + 0.05 * layer for layer in range(LAYERS)]}}
        ledger.add(shares, denoisers, 3800, rng)
        if step % 10 == 0 or step == steps:
            line["ledger"] = ledger.counts
            line["experts"] = [softmax([bias * (0.4 + 2.2 * early) + rng.gauss(0, 0.1) for bias in layer])
                               for layer in drift]
            line["dropped_by_position"] = [(0.01 + 0.15 * early) * (0.4 + 1.2 * part / PARTS) for part in range(PARTS)]
        lines.append(json.dumps(line))
        if step % 500 == 0:
            lines += [json.dumps(evaluation(step, name, shares, level + add))
                      for name, add in (("causal", 0.1), ("ul2", 0.5))]
    with open(file, "a", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")


def write_mixing(file, done, window_rows=1000):
    """Of the last 100,000 rows: all is well but for one corpus by its language."""
    rng = random.Random(4)

    def beside(shuffled, times):
        return {"found": shuffled * times * rng.uniform(0.95, 1.05), "shuffled": shuffled * rng.uniform(0.99, 1.01)}

    rows = min(done * 16, 100_000)
    corpora = []
    for name in SHARES[0]:
        distances = []
        for by, shuffled, times in ("shard", 0.05, 1), ("lang", 0.08, 3 if name == "code" else 1):
            windows = [{"end_row": done * 16 - rows + end, "from_rows": beside(shuffled, times), "from_epoch": beside(shuffled + 0.01, times)}
                       for end in range(window_rows, rows + 1, window_rows)]
            distances.append({"by": by, "values": 34, "windows": windows,
                              **{whole: {"mean": beside(shuffled, times), "max": beside(1.5 * shuffled, times)}
                                 for whole in ("from_rows", "from_epoch")}})
        corpora.append({"name": name, "examples": rows, "documents": rows // 3, "pairs": beside(150, 1), "distances": distances})
    file.write_text(json.dumps(
        {"format": "millrace-mixing", "version": 1, "run_hash": "", "mixing": {
            "first_row": done * 16 - rows, "rows": rows, "batch_rows": 16, "window_rows": window_rows, "shuffles": 20,
            "corpora": corpora}}))


def write(folder, steps=20_000, done=None):
    """A run of `steps` steps in two phases, of which `done` were made. Some steps were logged twice, and the log
    ends in a torn line."""
    folder = pathlib.Path(folder)
    done = steps if done is None else done
    write_configuration(folder, steps)
    write_metrics(folder / "metrics.jsonl", steps, 1, done)
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    again = [line for line in lines[-20:] if '"eval"' not in line]
    with open(folder / "metrics.jsonl", "a", encoding="utf-8") as out:
        out.write("".join(again))
        out.write('{"step": 99999999, "tokens": 12')
    write_mixing(folder / "mixing.json", done)
    rejects = [("prose", "bad_json"), ("prose", "bad_utf8"), ("code", "missing_field")]
    (folder / "rejects.jsonl").write_text("".join(
        json.dumps({"row": i, "corpus": corpus, "shard": f"{corpus}.jsonl", "record": i, "cause": cause,
                    "reason": 'field "text" </script> is missing'}) + "\n"
        for i in range(40) for corpus, cause in rejects[: 1 + i % 3]))
    (folder / "changes.jsonl").write_text(
        '{"run_hash": "1", "changes": ["run.toml: + seed = 3"]}\n' + json.dumps(
            {"step": done // 2, "time": "2026-01-02T03:04:05Z", "run_hash": "2", "free": ['name "a" -> "b"'],
             "changes": ["train.learning_rate 4 -> 2", 'phase.1.mix.corpus ["</script>"] -> ["code"]']}) + "\n")
    for step in (done - 1000, done):
        checkpoint = folder / "checkpoints" / f"step-{step:06}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "model.safetensors").write_bytes(os.urandom(1000))
        size = 1000 if step == done else 1001
        (checkpoint / "manifest.json").write_text(json.dumps(
            {"format": "millrace-checkpoint", "version": 1, "files": {"model.safetensors": {"bytes": size, "xxh3": ""}}}))
    return folder

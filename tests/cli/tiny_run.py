"""Makes a run that trains in seconds: shards of random words, a vocabulary of those words, a mix, and run files."""

import json
import pathlib
import random
import struct

WORDS = "river mill stone wheel grain flour water bread race sluice weir pond the of turns grinds".split()
PAD, EOS, UNKNOWN = "<pad>", "</s>", "<unk>"


def varint(value):
    out = bytearray()
    while True:
        value, low = value >> 7, value & 127
        out.append(low | (128 if value else 0))
        if not value:
            return bytes(out)


def field(number, payload):
    """A protobuf field: an int as a varint, a float as four bytes, bytes with their length."""
    if isinstance(payload, float):
        return varint(number << 3 | 5) + struct.pack("<f", payload)
    if isinstance(payload, bytes):
        return varint(number << 3 | 2) + varint(len(payload)) + payload
    return varint(number << 3) + varint(payload)


def vocabulary(words=WORDS):
    """A SentencePiece model (sentencepiece_model.proto): pieces, then trainer and normalizer settings."""
    normal, unknown, control, byte = 1, 2, 3, 6
    pieces = [(PAD, 0.0, control), (EOS, 0.0, control), (UNKNOWN, 0.0, unknown)]
    pieces += [(f"<0x{value:02X}>", 0.0, byte) for value in range(256)]
    pieces += [("\u2581", -9.0, normal)]
    pieces += [("\u2581" + word, -3.0 - 0.1 * i, normal) for i, word in enumerate(words)]
    pieces += [(character, -8.0, normal) for character in sorted({c for word in words for c in word})]
    model = b"".join(
        field(1, field(1, piece.encode()) + field(2, score) + field(3, kind)) for piece, score, kind in pieces
    )
    unigram = 1
    trainer = field(3, unigram) + field(35, 1)  # byte_fallback
    trainer += field(40, 2) + field(41, (1 << 64) - 1) + field(42, 1) + field(43, 0)  # unk, no bos, eos, pad
    trainer += field(45, UNKNOWN.encode()) + field(47, EOS.encode()) + field(48, PAD.encode())
    normalizer = field(1, b"identity") + field(3, 1) + field(4, 0) + field(5, 1)
    return model + field(2, trainer) + field(3, normalizer)


def write_shards(folder, corpus, seed, documents, damaged_line=None):
    """One .jsonl file of documents with frequent word sequences, so that there is something to learn."""
    rng = random.Random(seed)
    lines = []
    for _ in range(documents):
        word = rng.randrange(len(WORDS))
        text = []
        for _ in range(rng.randrange(20, 120)):
            text.append(WORDS[word])
            word = (word * 3 + rng.randrange(3) + 1) % len(WORDS)
        lines.append(json.dumps({"text": " ".join(text)}))
    if damaged_line is not None:
        lines[damaged_line] = '{"text": "torn'
    (folder / f"{corpus}.jsonl").write_text("\n".join(lines) + "\n")


def write_run(folder, three_phases=False):
    """Returns the run file. With `three_phases` a third corpus comes in for the middle of the causal rows."""
    folder = pathlib.Path(folder)
    data = folder / "data"
    data.mkdir(parents=True)
    write_shards(data, "prose", 1, 2000)
    write_shards(data, "code", 2, 2000, damaged_line=5)
    (folder / "vocab.model").write_bytes(vocabulary())
    (folder / "mix.toml").write_text(
        'name = "tiny"\n'
        '[[corpus]]\nname = "prose"\nkind = "text"\nshare = 70\nshards = ["prose.jsonl"]\n'
        '[[corpus]]\nname = "code"\nkind = "code"\nshare = 30\nshards = ["code.jsonl"]\n'
    )
    (folder / "ul2.toml").write_text(
        'name = "ul2"\nlayout = "full"\n'
        '[[denoiser]]\nname = "span"\nkind = "span"\nshare = 50\nmean_span = 3\nmask_ratio = 0.15\nprompt = "[NLU] "\n'
        '[[denoiser]]\nname = "prefix"\nkind = "prefix"\nshare = 50\nprompt = "[S2S] "\n'
    )
    (folder / "causal.toml").write_text(
        'name = "causal"\nlayout = "full"\nseparator = "eos"\n[[denoiser]]\nname = "causal"\nkind = "causal"\nshare = 100\n'
    )
    later_phases = '[[phase]]\nuntil = 15_360\nmix = "mix.toml"\nobjective = "causal.toml"\n'
    if three_phases:
        write_shards(data, "verse", 3, 100)
        (folder / "verse.toml").write_text(
            'name = "verse"\nextend = "mix.toml"\nremove = ["code"]\nnormalize = true\n'
            '[[corpus]]\nname = "verse"\nkind = "text"\nshare = 30\nshards = ["verse.jsonl"]\n'
        )
        later_phases = '[[phase]]\nuntil = 10_240\nmix = "verse.toml"\nobjective = "causal.toml"\n' + later_phases
    run = folder / "run.toml"
    run.write_text(
        'name = "tiny"\nseed = 3\nvocab = "vocab.model"\nsequence_length = 64\n'
        '[[phase]]\nuntil = 5_120\nmix = "mix.toml"\nobjective = "ul2.toml"\n'
        f'{later_phases}'
        f'[data]\ndirectory = "{data}"\nholdout = 0.05\nshuffle_block = 16\nshuffle_tokens = 2000\nmax_bad_fraction = 0.01\n'
        '[model]\npreset = "openmoe-nano"\nhidden_size = 32\nintermediate_size = 48\nnum_hidden_layers = 2\n'
        "num_attention_heads = 2\nhead_dim = 16\nnum_experts = 4\nmoe_layer_interval = 2\n"
        "[train]\nbatch_rows = 4\nmicro_rows = 2\nlearning_rate = 4.0\n"
        "[eval]\nevery_steps = 25\ntokens = 2000\n"
        "[checkpoint]\nevery_steps = 7\nkeep_last = 2\n"
    )
    return run

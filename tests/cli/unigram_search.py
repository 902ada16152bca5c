"""What Hugging Face's tokenizers do with a tokenizer.json of type Unigram, for tests that lack the library: normalize,
search in f64, fall back to bytes, decode."""

import json


class Tokenizer:
    def __init__(self, path):
        self.rules = json.loads(path.read_text())
        model = self.rules["model"]
        self.vocab = [piece for piece, _ in model["vocab"]]
        self.ids = {piece: number for number, piece in enumerate(self.vocab)}
        self.scores = dict(model["vocab"])
        self.unknown = model["unk_id"]
        self.unknown_score = min(self.scores.values()) - 10
        self.longest = max(map(len, self.vocab))
        self.special = {token["content"]: token["id"] for token in self.rules["added_tokens"]}

    def normalized(self, text):
        for step in self.rules["normalizer"]["normalizers"]:
            if step["type"] == "Prepend":
                text = step["prepend"] + text if text else text
            elif step["type"] == "Replace":
                text = text.replace(step["pattern"]["String"], step["content"])
            else:
                raise NotImplementedError(step)
        return text

    def encode(self, text):
        text = self.normalized(text)
        best = [(0.0, 0)] + [None] * len(text)
        for begin in range(len(text)):
            for end in range(begin + 1, min(begin + self.longest, len(text)) + 1):
                score = self.scores.get(text[begin:end])
                if score is None and end == begin + 1:
                    score = self.unknown_score
                if score is not None and (best[end] is None or best[begin][0] + score > best[end][0]):
                    best[end] = (best[begin][0] + score, begin)
        pieces, end = [], len(text)
        while end > 0:
            pieces.append(text[best[end][1] : end])
            end = best[end][1]
        return [number for piece in reversed(pieces) for number in self.ids_of(piece)]

    def ids_of(self, piece):
        if piece in self.ids:
            return [self.ids[piece]]
        return [self.ids[f"<0x{byte:02X}>"] for byte in piece.encode()]

    def decode(self, ids):
        out = b""
        for number in ids:
            piece = self.vocab[number]
            is_byte = len(piece) == 6 and piece.startswith("<0x")
            out += bytes([int(piece[3:5], 16)]) if is_byte else piece.encode()
        text = out.decode()
        for step in self.rules["decoder"]["decoders"]:
            if step["type"] == "Replace":
                text = text.replace(step["pattern"]["String"], step["content"])
            elif step["type"] == "Strip":
                text = text[1:] if text.startswith(step["content"]) else text
        return text

"""A small GPT, trained with PyTorch on a run's rows: train_gpt.py RUN --data DATA [--steps 200] [--save gpt.pt]

Once more with more steps, it goes on where it stopped, with the row behind the last one.
"""

import argparse
import os

import millrace.torch
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader


class Gpt(nn.Module):
    def __init__(self, vocabulary, length, width, layers, heads):
        super().__init__()
        self.heads = heads
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, batch):
        segments = batch["segment_ids"]
        seen = (segments[:, :, None] == segments[:, None, :]).tril()  # Back, and within the segment.
        x = self.tokens(batch["tokens"]) + self.places(batch["positions"])
        return self.head(self.layers(x, mask=~seen.repeat_interleave(self.heads, 0)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    for name, default in (("data", None), ("save", "gpt.pt")):
        parser.add_argument(f"--{name}", default=default)
    for name, default in (("steps", 200), ("batch-rows", 12), ("width", 384), ("layers", 6), ("heads", 6)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()

    torch.manual_seed(1)
    with millrace.Stream(options.run, data=options.data) as stream:
        model = Gpt(stream.vocabulary_size, stream.sequence_length, options.width, options.layers, options.heads)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95))
    dataset = millrace.torch.IterableDataset(options.run, data=options.data, batch_rows=options.batch_rows)
    parts, step = {"model": model, "optimizer": optimizer, "rows": dataset}, 0
    if os.path.exists(options.save):
        saved = torch.load(options.save)
        step = saved.pop("step")
        for name, part in parts.items():
            part.load_state_dict(saved[name])

    batches = iter(DataLoader(dataset, batch_size=None))
    while step < options.steps and (batch := next(batches, None)) is not None:
        weights = batch["loss_weights"].flatten()
        losses = cross_entropy(model(batch).flatten(0, 1), batch["labels"].flatten().long(), reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        print(f"step {step}: loss {loss.item():.4f}", flush=True)
    torch.save({"step": step, **{name: part.state_dict() for name, part in parts.items()}}, options.save)


if __name__ == "__main__":
    main()

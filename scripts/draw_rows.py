#!/usr/bin/env python3
"""Draws a row of each layout from the output of millrace inspect: draw_rows.py FULL.json OPENMOE.json OUT.svg

FULL.json and OPENMOE.json are each the output of "millrace inspect RUN --row N --json", of the same denoiser.
"""
import json
import sys

WIDTH, LEFT, BAR, STEP = 1000, 20, 44, 128
COLOURS = {"prompt": "#8e6bbf", "text": "#c9d6e8", "sentinel": "#e0a100", "noise": "#3b7dc4", "target": "#3b7dc4",
           "eos": "#222222", "pad": "#ffffff"}
NAMES = {"prompt": "prompt", "text": "text that is shown", "sentinel": "sentinel", "noise": "text to be said", "eos": "eos",
         "pad": "padding"}


def rectangle(x, y, width, height, colour, extra=""):
    return f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{height}" fill="{colour}" {extra}/>'


def label(x, y, text, extra=""):
    return f'<text x="{x:.2f}" y="{y}" {extra}>{text}</text>'


def bar(row, y):
    length = len(row["labels"])
    scale = WIDTH / length
    shapes = []
    for example in row["examples"]:
        for span in example["spans"]:
            start, end = span["from"], span["to"]
            shapes.append(rectangle(LEFT + start * scale, y, (end - start) * scale, BAR, COLOURS[span["kind"]]))
            if span["kind"] == "noise":  # Begins with its sentinel.
                shapes.append(rectangle(LEFT + start * scale, y, scale, BAR, COLOURS["sentinel"]))
    with_loss = [i for i, weight in enumerate(row["loss_weights"]) if weight]
    shapes.append(rectangle(LEFT + with_loss[0] * scale, y + BAR + 4, (with_loss[-1] + 1 - with_loss[0]) * scale, 4, "#c0392b"))
    shapes.append(rectangle(LEFT, y, WIDTH, BAR, "none", 'stroke="#222222"'))
    for position in (0, length // 2, length):
        anchor = {0: "start", length: "end"}.get(position, "middle")
        shapes.append(label(LEFT + position * scale, y + BAR + 24, position, f'text-anchor="{anchor}"'))
    return shapes


def caption(name, row):
    real = sum(segment != 0 for segment in row["segment_ids"])
    loss = sum(weight != 0 for weight in row["loss_weights"])
    example, = row["examples"]
    return (f'layout "{name}", {example["denoiser"]}: {len(example["raw_tokens"])} raw tokens, {real} positions real, '
            f'{loss} with loss, {example["trimmed_tokens"]} tokens trimmed')


def main():
    rows = [json.load(open(path)) for path in sys.argv[1:3]]
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 2 * LEFT} {2 * STEP + 64}" '
           'font-family="sans-serif" font-size="14" fill="#222222">',
           rectangle(0, 0, WIDTH + 2 * LEFT, 2 * STEP + 64, "#ffffff")]
    for number, (name, row) in enumerate(zip(("full", "openmoe"), rows)):
        top = 16 + number * STEP
        out.append(label(LEFT, top + 10, caption(name, row)))
        out += bar(row, top + 22)
    x, y = LEFT, 2 * STEP + 34
    for kind, name in NAMES.items():
        out.append(rectangle(x, y, 14, 14, COLOURS[kind], 'stroke="#222222" stroke-width="0.5"'))
        out.append(label(x + 20, y + 12, name))
        x += 44 + 8 * len(name)
    out += [rectangle(x, y + 5, 24, 4, "#c0392b"), label(x + 30, y + 12, "loss"), "</svg>"]
    open(sys.argv[3], "w").write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Does a run keep its speed and its memory? A table of its steps, window by window, from its metrics.jsonl.

usage: run_steadiness.py RUN [--window 1000]
"""
import argparse
import json
from pathlib import Path


def steps_of(run):
    with open(Path(run) / "metrics.jsonl", encoding="utf-8") as lines:
        steps = [line for line in map(json.loads, lines) if "loss" in line]
    if not steps:
        raise SystemExit(f"{run}: no step has been logged")
    return steps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="a run's folder")
    parser.add_argument("--window", type=int, default=1000, metavar="STEPS")
    options = parser.parse_args()
    steps = steps_of(options.run)
    print(f"{'steps':>15} {'fastest':>8} {'median':>8} {'mean':>8} {'tokens/s':>9} {'waiting':>8} {'MB at end':>9} {'most':>6}")
    for first in range(0, len(steps), options.window):
        window = steps[first:first + options.window]
        seconds = sorted(step["step_s"] for step in window)
        total = sum(seconds)
        tokens = window[-1]["tokens"] - (steps[first - 1]["tokens"] if first else 0)
        memory = [step["memory_bytes"] / 1e6 for step in window]
        print(f"{window[0]['step']:>7}-{window[-1]['step']:<7} {seconds[0]:>7.3f}s {seconds[len(seconds) // 2]:>7.3f}s "
              f"{total / len(seconds):>7.3f}s {tokens / total:>9.0f} "
              f"{sum(step['data_wait_s'] for step in window) / total:>8.3%} {memory[-1]:>9.0f} {max(memory):>6.0f}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Draws docs/report.png: the upper part of a report's page, as Chromium shows it.

usage: draw_report.py REPORT.html [--out docs/report.png] [--dark] [--height 1500]      0: the whole page
"""
import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/cli"))
from browser import Browser  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("report", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/report.png")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--height", type=int, default=1500, help="of the page, from its top; 0: all of it")
    options = parser.parse_args()
    with Browser(dark=options.dark) as browser:
        browser.open(options.report)
        browser.frames()
        browser.screenshot(options.out, options.height or None)
        if browser.errors:
            sys.exit("\n".join(browser.errors))
    print(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Draws docs/report.png: the upper part of a report's page, as Chromium shows it. The run is synthetic and unfinished.

usage: draw_report.py MILLRACE [--report FILE.html] [--out FILE.png] [--dark] [--height 1250]      0: the whole page
"""
import argparse
import fcntl
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/cli"))
import synthetic_run  # noqa: E402
from browser import Browser  # noqa: E402


def report_of_made_up_run(millrace, folder):
    run = synthetic_run.write(Path(folder) / "run", done=16_000)
    with open(run / ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return subprocess.run([millrace, "report", run], check=True, capture_output=True, text=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("millrace")
    parser.add_argument("--report", type=Path, help="draw this one instead")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/report.png")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--height", type=int, default=1250, help="of the page, from its top; 0: all of it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Browser(dark=options.dark) as browser:
        browser.open(options.report or report_of_made_up_run(options.millrace, folder))
        browser.frames()
        browser.screenshot(options.out, options.height or None)
        if browser.errors:
            sys.exit("\n".join(browser.errors))
    print(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()

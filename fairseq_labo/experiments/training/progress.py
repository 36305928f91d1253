"""Copy fairseq-train's output to a log, and print it in short: one line per report.

Usage: fairseq-train ... --log-format json 2>&1 | python show_progress.py --log train.log
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

REPORT = re.compile(r"\| INFO \| (train|valid|train_inner) \| (\{.*\})$")
# Lines of the log that a reader wants as they are.
NOTEWORTHY = re.compile(r"Loaded checkpoint|stage 2 begins|WARNING|ERROR|Error\b|done training")
SHOWN = {
    "train_inner": ("loss", "ppl", "smoothing", "wps", "num_updates"),
    "train": ("train_loss", "train_nll_loss", "train_wps", "train_wall"),
    "valid": ("valid_loss", "valid_nll_loss", "valid_ppl"),
}


def parse_report(line: str) -> tuple[str, dict[str, Any]] | None:
    """The kind of report ("train", "valid", "train_inner") and its values, or None."""
    found = REPORT.search(line)
    return (found[1], json.loads(found[2])) if found else None


def shorten(line: str) -> str | None:
    """The short form of a line of fairseq's log, or None if it says nothing of interest."""
    report = parse_report(line)
    if report is None:
        return line.split(" | ")[-1] if NOTEWORTHY.search(line) else None
    kind, values = report
    shown = [f"{key} {values[key]}" for key in SHOWN[kind] if values.get(key) is not None]
    return f"epoch {values['epoch']:>3} | {kind:<11} | {' | '.join(shown)}"


def follow(lines: Iterable[str], log_path: Path) -> None:
    """Add the lines to a log as they come, and print the short form of those of interest."""
    with log_path.open("a", encoding="utf-8") as log:
        for line in lines:
            log.write(line)
            log.flush()
            short = shorten(line.rstrip("\n"))
            if short is not None:
                print(short, flush=True)


def main() -> None:
    """Read standard input to its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True, help="file that the output is added to")
    follow(sys.stdin, parser.parse_args().log)


if __name__ == "__main__":
    main()

"""The one reader of fairseq-train's log (JSON lines): while it is written, and afterwards."""

import json
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_lines

REPORT = re.compile(r"\| INFO \| (train|valid|train_inner) \| (\{.*\})$")
SWITCH = re.compile(r"stage 2 begins: one-hot targets from epoch \d+, after (\d+) updates")
DONE = re.compile(r"done training in ([\d.]+) seconds")
LOADED = "Loaded checkpoint"
# Lines of the log that a reader wants as they are.
NOTEWORTHY = re.compile(r"Loaded checkpoint|stage 2 begins|WARNING|ERROR|Error\b|done training")
SHOWN = {
    "train_inner": ("loss", "ppl", "smoothing", "wps", "num_updates"),
    "train": ("train_loss", "train_nll_loss", "train_wps", "train_wall"),
    "valid": ("valid_loss", "valid_nll_loss", "valid_ppl"),
}


@dataclass(frozen=True)
class Validation:
    """One validation: epoch, updates done, NLL in bits per target token."""

    epoch: int
    updates: int
    nll_bits: float


@dataclass(frozen=True)
class TrainingLog:
    """Validations in order of updates; where stage 2 began (updates), if it did; speed.

    words_per_second: median over epochs of fairseq's target tokens per second. A resumed
    training's figures are of its last part. least_gpu_gib_free: what torch left of the GPU's
    memory when it held most, in GiB, as fairseq reports it; None on a CPU.
    """

    validations: tuple[Validation, ...]
    stage_switch: int | None
    words_per_second: float
    seconds: float
    resumed: bool
    least_gpu_gib_free: float | None = None


def parse_report(line: str) -> tuple[str, dict[str, Any]]:
    """The kind of report ("train", "valid", "train_inner"; "" if it is none), and its values."""
    found = REPORT.search(line)
    return (found[1], json.loads(found[2])) if found else ("", {})


def shorten(line: str) -> str | None:
    """The short form of a line of the log, or None if it says nothing of interest."""
    kind, values = parse_report(line)
    if not kind:
        return line.split(" | ")[-1] if NOTEWORTHY.search(line) else None
    shown = [f"{key} {values[key]}" for key in SHOWN[kind] if values.get(key) is not None]
    return f"epoch {values['epoch']:>3} | {kind:<11} | {' | '.join(shown)}"


def follow(lines: Iterable[str], path: Path) -> None:
    """Add the lines to a log as they come, and print the short form of those of interest."""
    with path.open("a", encoding="utf-8") as log:
        for line in lines:
            log.write(line)
            log.flush()
            if (short := shorten(line.rstrip("\n"))) is not None:
                print(short, flush=True)


def read_training_log(path: Path) -> TrainingLog:
    """Raises UserError if the log is missing or holds no finished training."""
    validations: dict[int, Validation] = {}  # a resumed training may repeat one
    speeds, seconds, free = [], [], []
    switch, resumed = None, False
    for line in read_lines(path):
        resumed = resumed or LOADED in line
        if found := SWITCH.search(line):
            switch = int(found[1])
        if found := DONE.search(line):
            seconds.append(float(found[1]))
        kind, values = parse_report(line)
        if kind == "train_inner" and values.get("gb_free"):
            free.append(float(values["gb_free"]))
        if kind == "train":
            speeds.append(float(values["train_wps"]))
        if kind == "valid":
            # Criterions that smooth report plain NLL as nll_loss, plain cross entropy as loss.
            nll = float(values.get("valid_nll_loss", values["valid_loss"]))
            updates = int(values["valid_num_updates"])
            validations[updates] = Validation(int(values["epoch"]), updates, nll)
    if not validations or not speeds or not seconds:
        raise UserError(f"{path}: expected a finished training, found none; train again")
    return TrainingLog(
        validations=tuple(validations[updates] for updates in sorted(validations)),
        stage_switch=switch,
        words_per_second=statistics.median(speeds),
        seconds=sum(seconds),
        resumed=resumed,
        least_gpu_gib_free=min(free, default=None),
    )

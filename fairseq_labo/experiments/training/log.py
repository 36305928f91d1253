"""What fairseq-train's log (JSON lines, as scripts/train.sh keeps it) says of a training."""

import json
import re
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_lines

REPORT = re.compile(r"\| INFO \| (train|valid|train_inner) \| (\{.*\})$")
SWITCH = re.compile(r"stage 2 begins: one-hot targets from epoch (\d+), after (\d+) updates")
DONE = re.compile(r"done training in ([\d.]+) seconds")
LOADED = "Loaded checkpoint"


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


def read_training_log(path: Path) -> TrainingLog:
    """Raises UserError if the log is missing or holds no finished training."""
    validations: dict[int, Validation] = {}  # a resumed training may repeat one
    speeds, seconds, free = [], [], []
    switch, resumed = None, False
    for line in read_lines(path):
        resumed = resumed or LOADED in line
        if found := SWITCH.search(line):
            switch = int(found[2])
        if found := DONE.search(line):
            seconds.append(float(found[1]))
        if found := REPORT.search(line):
            values = json.loads(found[2])
            if found[1] == "train_inner":
                free += [float(values["gb_free"])] if values.get("gb_free") else []
            elif found[1] == "train":
                speeds.append(float(values["train_wps"]))
            else:
                validation = _validation(values)
                validations[validation.updates] = validation
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


def _validation(values: dict[str, Any]) -> Validation:
    # Criterions that smooth report plain NLL as nll_loss, plain cross entropy as loss.
    nll = values.get("valid_nll_loss", values["valid_loss"])
    return Validation(int(values["epoch"]), int(values["valid_num_updates"]), float(nll))

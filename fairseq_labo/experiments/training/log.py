"""The one reader of fairseq-train's log (JSON lines): while it is written, and afterwards."""

import json
import re
import statistics
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import dropwhile, islice, takewhile
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.console import printable
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_lines

MAIN_LOG = "train.log"  # of the first process, in the save-dir
REPORT = re.compile(r"\| INFO \| (train|valid|train_inner) \| (\{.*\})$")
EPOCHS = ("train", "valid")  # the reports of an epoch's end
SWITCH = re.compile(r"stage 2 begins: one-hot targets from epoch \d+, after (\d+) updates")
IN_STAGE_2 = re.compile(r"stage 2 begins|this run starts in stage 2")
DONE = re.compile(r"done training in [\d.]+ seconds")
LOADED = "Loaded checkpoint"
LOADED_AT = re.compile(rf"(.*{LOADED}) (.+) (\(epoch \d+ @ (\d+) updates\))$")
# Lines of the log that a reader wants as they are.
NOTEWORTHY = re.compile(
    r"Loaded checkpoint|stage 2 begins|this run starts in stage 2|early stop since|WARNING|ERROR|"
    r"done training"
)
TRACEBACK = "Traceback (most recent call last):"
RANK = re.compile(r"^\[rank\d+\]: ?")  # torch's, before each line of a worker's traceback
EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(:|$)")
SHOWN_LINES, SHOWN_CHARACTERS = 5, 600  # of what ended a training
TAIL_BYTES = 1 << 18
REMEDIES = tomllib.loads(Path(__file__).with_name("remedies.toml").read_text(encoding="utf-8"))
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

    bleu: fairseq's BLEU on the validation set by updates, where it was asked for.

    words_per_second: median over epochs of fairseq's target tokens per second. All is of every
    part of a resumed training; validations, bleu and the switch without what was trained again.
    least_gpu_gib_free: what torch left of the GPU's memory when it held most, in GiB, as fairseq
    reports it; None on a CPU.
    """

    validations: tuple[Validation, ...]
    stage_switch: int | None
    words_per_second: float
    resumed: bool
    least_gpu_gib_free: float | None = None
    bleu: Mapping[int, float] = field(default_factory=dict)


def parse_report(line: str) -> tuple[str, dict[str, Any]]:
    """The kind of report ("train", "valid", "train_inner"; "" if it is none), and its values."""
    found = REPORT.search(line)
    try:
        return (found[1], json.loads(found[2])) if found else ("", {})
    except ValueError:  # a line that was cut off, and the next one behind it
        return "", {}


def recorded(lines: Iterable[str]) -> Iterator[str]:
    """What the record of a finished training keeps of its log: reports of epochs, no paths."""
    for line in lines:
        if found := LOADED_AT.match(line):
            yield f"{found[1]} {Path(found[2]).name} {found[3]}"
        elif SWITCH.search(line) or DONE.search(line) or parse_report(line)[0] in EPOCHS:
            yield line


def shorten(line: str) -> str | None:
    """The short form of a line of the log, or None if it says nothing of interest."""
    kind, values = parse_report(line)
    if not kind:
        wanted = NOTEWORTHY.search(line) and not line.endswith(TRACEBACK)
        return line.split(" | ")[-1] if wanted else None
    shown = [f"{key} {values[key]}" for key in SHOWN[kind] if values.get(key) is not None]
    return f"epoch {values.get('epoch', '')!s:>3} | {kind:<11} | {' | '.join(shown)}"


def follow(lines: Iterable[str], path: Path) -> None:
    """Add the lines to a log as they come, and print the short form of those of interest."""
    with path.open("ab", buffering=0) as log:
        for line in lines:
            try:
                log.write(line.encode("utf-8", errors="replace"))
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from error
            if (short := shorten(line.rstrip("\n"))) is not None:
                print(printable(short), flush=True)


def ended_by(path: Path, *, since: int, how: str) -> str:
    """What ended a program, from what its log says since byte `since`; and what to do about it.

    `how` is its exit status or the signal that ended it, in words.
    """
    with path.open("rb") as log:
        log.seek(max(since, path.stat().st_size - TAIL_BYTES))
        lines = log.read().decode("utf-8", errors="replace").splitlines()
    said = "\n".join([how, *_cause([RANK.sub("", line) for line in lines])])
    short = f"{said[:SHOWN_CHARACTERS]}…" if len(said) > SHOWN_CHARACTERS else said
    found = [remedy for pattern, remedy in REMEDIES.items() if re.search(pattern, said)]
    return "\n".join([short, *found, f"the whole log: {path}"])


def _cause(lines: Sequence[str]) -> list[str]:
    """The last exception, without its traceback; argparse's error; or else the last lines."""
    found: list[str] = []
    for begin in [place for place, line in enumerate(lines) if line.endswith(TRACEBACK)]:
        behind = dropwhile(lambda line: not EXCEPTION.match(line), lines[begin + 1 :])
        message = list(islice(takewhile(str.strip, behind), SHOWN_LINES))
        # torchrun's own says only that a worker failed.
        found = found if "ChildFailedError" in "".join(message[:1]) else message or found
    usage = [line for line in lines if ": error: " in line]
    return found or usage[-1:] or list(filter(str.strip, lines))[-SHOWN_LINES:]


def close(path: Path) -> None:
    """End the log of a training that was killed when all of it was done, as fairseq would have."""
    if path.exists() and not any(map(DONE.search, read_lines(path))):
        with path.open("a", encoding="utf-8") as log:
            log.write("| INFO | labo train | done training in 0.0 seconds: it was done before\n")


def reached_stage_2(path: Path) -> bool:
    """Whether the log tells of an update, of this training or after its start, in stage 2."""
    return any(map(IN_STAGE_2.search, read_lines(path)))


def read_training_log(path: Path) -> TrainingLog:
    """What a finished training logged: its validations, its speed, and when the stage switched.

    Raises UserError if the log is missing, was edited, or holds no finished training.
    """
    validations: dict[int, Validation] = {}  # a resumed training may repeat one
    bleu: dict[int, float] = {}
    speeds, free = [], []
    switch, resumed, done = None, False, False
    for number, line in enumerate(read_lines(path), start=1):
        try:
            resumed = resumed or LOADED in line
            if found := LOADED_AT.match(line):  # what was trained behind it is trained again
                behind = int(found[4])
                validations = {n: each for n, each in validations.items() if n <= behind}
                bleu = {n: each for n, each in bleu.items() if n <= behind}
                switch = None if switch is not None and switch > behind else switch
            if found := SWITCH.search(line):
                switch = int(found[1])
            done = done or bool(DONE.search(line))
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
                if "valid_bleu" in values:
                    bleu[updates] = float(values["valid_bleu"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}, line {number}: expected a report as fairseq writes it, found another "
                f"({error!r}); restore the file, or train again"
            ) from error
    if done and not (validations and speeds):
        raise UserError(
            f"{path}: expected fairseq's reports of training and validation, found none in the log "
            "of a finished training; train again, elsewhere, with --log-format json, validations, "
            "and the subset valid among them"
        )
    if not done:
        raise UserError(f"{path}: expected a finished training, found none; train again")
    return TrainingLog(
        validations=tuple(validations[updates] for updates in sorted(validations)),
        stage_switch=switch,
        words_per_second=statistics.median(speeds),
        resumed=resumed,
        least_gpu_gib_free=min(free, default=None),
        bleu=dict(sorted(bleu.items())),
    )

"""What trainings leave for a study to read, told from their flags before any of them begins."""

import math
from collections.abc import Iterator, Sequence

from fairseq_labo.experiments.studies.method import Method, Training
from fairseq_labo.experiments.training.flags import value_of
from fairseq_labo.experiments.training.presets import (
    STAGES,
    TRAINING_FLAGS,
    TSLA,
    keeps_epochs,
    no_checkpoint,
    no_default_stage,
)

# Beside the ends of epochs, when fairseq validates.
VALIDATING = (
    *("--save-interval-updates", "--validate-interval-updates"),
    *("--max-update", "--stop-time-hours"),
)


def unreadable(method: Method, train: Training, *, checkpoint: str) -> Iterator[str]:
    """Why a study could not read the trainings of a method; nothing if it can.

    train: the study's flags. checkpoint: what is evaluated, "best", "last" or "average5".
    """
    words = [*train.extra, *method.extra]
    given = {**train.flags, **method.flags}.get("epochs", TRAINING_FLAGS["epochs"].default)
    epochs = min(map(int, method.grid.get("epochs", (given,))))
    if reason := no_checkpoint(epochs, words):
        yield reason
    yield from _not_validated(words, epochs, needs_best=checkpoint == "best")
    if checkpoint == "last" and "--no-last-checkpoints" in words:
        yield (
            "expected the last checkpoint, which evaluate.checkpoint names, found "
            "--no-last-checkpoints; leave it out, or evaluate another"
        )
    flags = {*train.flags, *method.flags, *method.grid}
    if flags >= {"smoothing_epochs", "smoothing_updates"}:
        yield "expected one of smoothing_epochs and smoothing_updates, found both; leave one out"
    staged = method.teacher or STAGES & flags
    reason = no_default_stage(epochs, value_of("--max-update", words))
    if method.criterion == TSLA and reason and not staged:
        yield reason
    if checkpoint.startswith("average"):
        yield from _not_kept(words, epochs, int(checkpoint.removeprefix("average")))


def _not_validated(words: Sequence[str], epochs: int, *, needs_best: bool) -> Iterator[str]:
    """Why no validation comes, or none with a checkpoint, as the best one needs."""
    wanted = "expected a validation in each training, which the study reads, found"
    end = _number("--max-update", words, 0)
    begin = _number("--validate-after-updates", words, 0)
    if 0 < end < begin:
        found = f"--validate-after-updates {begin:g} and --max-update {end:g}"
        yield f"{wanted} {found}; give a smaller one"
    if any(_number(flag, words, 0) > 0 for flag in VALIDATING):
        return
    interval = _number("--validate-interval", words, 1)
    saving = int(_number("--save-interval", words, 1))
    if interval > epochs:
        yield f"{wanted} --validate-interval {interval:g} and {epochs} epochs; give a smaller one"
    elif needs_best and saving <= epochs < math.lcm(saving, int(interval)):
        yield (
            "expected a checkpoint that is saved when it is validated, as evaluate.checkpoint "
            f"best is, found --save-interval {saving}, --validate-interval {interval:g} and "
            f"{epochs} epochs; give one that is a multiple of the other"
        )


def _not_kept(words: Sequence[str], epochs: int, count: int) -> Iterator[str]:
    """Why `count` numbered checkpoints are not kept; those of epochs, if any, are averaged."""
    wanted = f"expected {count} numbered checkpoints to average, found"
    remedy = f"; add extra: --save-interval-updates N --keep-interval-updates {count}"
    keeps, of_epochs = "--keep-interval-updates", 0
    interval = int(_number("--save-interval", words, 1))
    if keeps_epochs(words):
        of_epochs = epochs // max(1, interval)
    if of_epochs and "--no-epoch-checkpoints" not in words:
        keeps = "--keep-last-epochs"
        remedy = f"; give {count} epochs or more, with --save-interval 1 {keeps} {count}"
        if of_epochs < count:
            yield f"{wanted} --save-interval {interval} and {epochs} epochs{remedy}"
            return
    elif (every := _number("--save-interval-updates", words, 0)) <= 0:
        yield f"{wanted} that none are kept{remedy}"
        return
    elif 0 < (end := _number("--max-update", words, 0)) < count * every:
        yield f"{wanted} --save-interval-updates {every:g} and --max-update {end:g}{remedy}"
        return
    kept = _number(keeps, words, -1)
    if _number("--keep-interval-updates-pattern", words, -1) != -1:
        kept = -1  # its multiples stay
    if 0 < kept < count:  # for fairseq all else is no limit
        yield f"{wanted} {keeps} {kept:g}{remedy}"


def _number(flag: str, words: Sequence[str], default: float) -> float:
    """Of what is no number fairseq will say so."""
    try:
        number = float(value_of(flag, words) or default)
    except ValueError:
        return default
    return number if math.isfinite(number) else default

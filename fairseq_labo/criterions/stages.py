"""When the regularizer is active: the stages of two-stage training.

fairseq tells a criterion neither the epoch nor the number of updates, but it tells the task:
``task.begin_epoch(epoch, model)`` and ``task.train_step(..., update_num, ...)``, with the
trainer's own counters, which are right after a resume, under ``--update-freq`` and on every
worker. `TrainingProgress` listens there.
"""

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fairseq.tasks import FairseqTask

# Factor of the regularizer's weight at t in [0, 1), the part of the first stage that is over.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "step": lambda t: 1.0,
    "linear": lambda t: 1.0 - t,
    "cosine": lambda t: 0.5 * (1.0 + math.cos(math.pi * t)),
}


class TrainingProgress:
    """The trainer's epoch (from 1) and the number of updates it has done (from 0).

    Both are None until the trainer has said them.
    """

    def __init__(self) -> None:
        self.epoch: int | None = None
        self.num_updates: int | None = None

    def follow(self, task: Any) -> None:
        """Listen to what the trainer tells `task`, whatever the task's class."""
        self._listen(task, "begin_epoch", "epoch", tells="epoch")
        self._listen(task, "train_step", "update_num", tells="num_updates")

    def _listen(self, task: Any, method: str, argument: str, *, tells: str) -> None:
        call = getattr(task, method)
        signature = inspect.signature(call)
        place = [*inspect.signature(getattr(FairseqTask, method)).parameters].index(argument) - 1

        @functools.wraps(call)
        def listening(*args: Any, **kwargs: Any) -> Any:
            named = {**signature.bind(*args, **kwargs).arguments, **kwargs}
            if argument in named:
                setattr(self, tells, int(named[argument]))
            elif len(args) > place:  # it is passed on (*args), or has another name
                setattr(self, tells, int(args[place]))
            return call(*args, **kwargs)

        setattr(task, method, listening)


@dataclass(frozen=True)
class SmoothingStage:
    """The first stage: so many epochs, so many updates, or (both None) the whole training.

    Within it the regularizer's weight is constant (``step``) or falls towards 0 (``linear``,
    ``cosine``): from update to update in a stage counted in updates, from epoch to epoch in
    one counted in epochs (the length of an epoch is not known to a criterion).
    """

    epochs: int | None = None
    updates: int | None = None
    schedule: str = "step"

    @classmethod
    def from_flags(
        cls, *, epochs: int | None, updates: int | None, required: bool, schedule: str = "step"
    ) -> "SmoothingStage":
        """Check the flags --smoothing-epochs, --smoothing-updates and --smoothing-schedule.

        Raises:
            ValueError: both lengths are given, neither is given though one is `required` or
                the schedule needs one, one is negative, or the schedule is unknown.
        """
        lengths = {"--smoothing-epochs": epochs, "--smoothing-updates": updates}
        given = [f"{flag} {length}" for flag, length in lengths.items() if length is not None]
        if len(given) == 2:
            raise ValueError(
                f"expected one of --smoothing-epochs and --smoothing-updates, found both "
                f"({', '.join(given)}): leave one out"
            )
        if schedule not in SCHEDULES:
            raise ValueError(
                f"--smoothing-schedule must be one of {', '.join(SCHEDULES)}, found {schedule!r}"
            )
        if (required or schedule != "step") and not given:
            what = "two-stage label smoothing" if required else f"--smoothing-schedule {schedule}"
            raise ValueError(
                f"{what} needs the length of its first stage, found neither "
                "--smoothing-epochs N nor --smoothing-updates N: give exactly one of them"
            )
        if (epochs is not None and epochs < 0) or (updates is not None and updates < 0):
            raise ValueError(
                f"the first stage must last 0 or more epochs or updates, found {given[0]}"
            )
        return cls(epochs, updates, schedule)

    def factor(self, progress: TrainingProgress) -> float:
        """The factor of the regularizer's weight: from 1 to 0, which is stage 2.

        Raises:
            RuntimeError: the stage has an end and nobody has said how far training is.
        """
        length = self.updates if self.epochs is None else self.epochs
        if length is None:
            return 1.0
        if self.epochs is None:
            done = progress.num_updates
        else:  # epochs count from 1, updates from 0
            done = None if progress.epoch is None else progress.epoch - 1
        if done is None:
            raise RuntimeError(
                "the stage of training is unknown: fairseq's trainer tells it to the task "
                "(begin_epoch, train_step), and neither was called. In a training loop of your "
                "own, set criterion.progress.epoch (from 1) and criterion.progress.num_updates"
            )
        return SCHEDULES[self.schedule](done / length) if done < length else 0.0

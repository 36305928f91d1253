"""The arithmetic mean of checkpoints' parameters, streamed.

θ̄ = (θ_1 + … + θ_N) / N, summed and divided in float64 and rounded once to the parameter's own
dtype. A sum of float32 values is exact in float64 unless their magnitudes differ by more than
2^28, so the result is the mean itself, correctly rounded, and not that of a running update.

Memory: one float64 sum of the model's parameters, and one parameter of one checkpoint at a time
(files are mapped, not read; a fairseq checkpoint also holds two moments for each parameter, so
that sum is less than one checkpoint). Checkpoints of torch's old format are read whole.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairseq_labo.experiments.checkpoints import (
    CHECKPOINTS,
    check_finite,
    load_checkpoint,
    updates_of,
)
from fairseq_labo.experiments.console import say
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import whole
from fairseq_labo.experiments.training.mending import LAST_CHECKPOINT

if TYPE_CHECKING:
    from torch import Tensor

# Of the ends of epochs (checkpoint5.pt), and of every so many updates (checkpoint_2_500.pt).
NUMBERED = re.compile(r"checkpoint(\d+)\.pt"), re.compile(r"checkpoint_\d+_(\d+)\.pt")

PIECE = 2**16  # elements that are added at a time


def newest_checkpoints(folder: Path, count: int) -> list[Path]:
    """The `count` newest checkpoints of a training, oldest first.

    Those of the ends of epochs, or if there are none those of updates. It is said where the last
    model is none of them, as at the end of an epoch, where fairseq numbers no update. Raises
    UserError if there are fewer.
    """
    if count < 1:
        raise UserError(f"--average: expected a number of at least 1, found {count}")
    of_epochs, of_updates = (
        {
            int(match[1]): path
            for path in folder.glob(CHECKPOINTS)
            if (match := pattern.fullmatch(path.name))
        }
        for pattern in NUMBERED
    )
    numbered = of_epochs or of_updates
    if len(numbered) < count:
        there = f"{len(numbered)}"
        remedy = "keep them in training: labo train ... -- --save-interval-updates N "
        remedy += f"--keep-interval-updates {count}"
        if of_epochs and len(of_updates) >= count:
            there += f" of epochs, and {len(of_updates)} of updates, which are only taken alone"
            remedy = f"move {', '.join(path.name for path in of_epochs.values())} elsewhere"
        raise UserError(
            f"--average {count}: expected {count} numbered checkpoints in {folder}, found {there}; "
            f"{remedy}"
        )
    found = [numbered[number] for number in sorted(numbered)[-count:]]
    updates, of_last = updates_of(found[-1]), updates_of(folder / LAST_CHECKPOINT)
    if updates is not None and of_last is not None and of_last > updates:
        say(
            f"{LAST_CHECKPOINT}, of {of_last} updates, is not averaged: the newest "
            f"numbered one is {found[-1].name}, of {updates}"
        )
    return found


def average_checkpoints(paths: Sequence[Path], output: Path) -> Path:
    """Write the average of checkpoints of one model to `output`, which is returned; say so.

    Everything but the parameters is the last checkpoint's; the optimizer's state is left out, and
    "averaged_from" names the files. Tied parameters stay one tensor. `output` has its name only
    when it is whole.

    Raises UserError for checkpoints that differ in the names, ties or shapes of their parameters,
    or in one of integers (which has no mean), and for parameters that are no numbers.
    """
    import torch

    say(f"averaging {', '.join(path.name for path in paths)} -> {output}")
    sums: dict[str, Tensor] = {}
    ties: dict[str, str] = {}
    for path in paths:
        state = load_checkpoint(path)
        model = state["model"]
        check_finite(path, model)
        ties = ties or tied_parameters(model)
        if tied_parameters(model) != ties:
            name = next(iter(model.keys() ^ ties.keys()), "its ties")
            raise UserError(
                f"{path}: expected the parameters of {paths[0]}, found a difference in {name}; "
                "average checkpoints of one training"
            )
        for name in dict.fromkeys(ties.values()):
            _add(sums, name, model[name], path=path, first=paths[0])
    for name, total in sums.items():
        if total.is_floating_point():
            sums[name] = total.div_(len(paths)).to(model[name].dtype)
    state["model"] = {name: sums[first] for name, first in ties.items()}
    state["last_optimizer_state"] = None
    state["averaged_from"] = [path.name for path in paths]
    try:
        with whole(output) as part:
            torch.save(state, part)
    except RuntimeError as error:  # torch's words for a full disk
        raise UserError(f"{output}: could not be written ({error}); is the disk full?") from error
    return output


def tied_parameters(model: Mapping[str, "Tensor"]) -> dict[str, str]:
    """For each parameter the first one that is the same tensor in memory (often itself)."""
    first: dict[Any, str] = {}
    ties = {}
    for name, tensor in model.items():
        # Tensors without elements all lie at address 0.
        place = (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else name
        ties[name] = first.setdefault(place, name)
    return ties


def _add(
    sums: dict[str, "Tensor"], name: str, tensor: "Tensor", *, path: Path, first: Path
) -> None:
    """Add a checkpoint's parameter to its sum; integers only have to be the same in each."""
    import torch

    is_float = tensor.is_floating_point()
    if name not in sums:
        dtype = torch.float64 if is_float else tensor.dtype
        sums[name] = tensor.to(dtype, copy=True, memory_format=torch.contiguous_format)
        return
    total = sums[name]
    if total.shape != tensor.shape or total.is_floating_point() != is_float:
        raise UserError(
            f"{path}: expected {name} to be {list(total.shape)} as in {first}, found "
            f"{list(tensor.shape)} {tensor.dtype}; average checkpoints of one training"
        )
    if is_float:
        # In pieces: what torch adds to float64 it first makes float64, in memory of its own.
        for piece, more in zip(
            total.view(-1).split(PIECE), tensor.reshape(-1).split(PIECE), strict=True
        ):
            piece += more
    elif not torch.equal(total, tensor):
        raise UserError(
            f"{path}: expected the integers of {name} to equal those of {first}, found "
            "others; they have no mean"
        )

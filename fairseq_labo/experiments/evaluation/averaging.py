"""The arithmetic mean of checkpoints' parameters, streamed.

θ̄ = (θ_1 + … + θ_N) / N, summed and divided in float64 and rounded once to the parameter's own
dtype. A sum of float32 values is exact in float64 unless their magnitudes differ by more than
2^28, so the result is the mean itself, correctly rounded, and not that of a running update.

Memory: one float64 sum of the model's parameters, and one parameter of one checkpoint at a time
(files are mapped, not read; a fairseq checkpoint also holds two moments for each parameter, so
that sum is less than one checkpoint). Checkpoints of torch's old format are read whole.
"""

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fairseq_labo.experiments.errors import UserError

EPOCHS = re.compile(r"checkpoint(\d+)\.pt")
UPDATES = re.compile(r"checkpoint_\d+_(\d+)\.pt")


def newest_checkpoints(folder: Path, count: int) -> list[Path]:
    """The `count` newest checkpoints of a training, oldest first.

    Those of the ends of epochs (checkpoint5.pt), or if there are none those of every so many
    updates (checkpoint_2_500.pt). Raises UserError if there are fewer.
    """
    if count < 1:
        raise UserError(f"--average: expected a number of at least 1, found {count}")
    numbered: dict[int, Path] = {}
    for pattern in (EPOCHS, UPDATES):
        matches = ((pattern.fullmatch(path.name), path) for path in folder.glob("checkpoint*.pt"))
        numbered = {int(found[1]): path for found, path in matches if found}
        if numbered:
            break
    if len(numbered) < count:
        raise UserError(
            f"--average {count}: expected {count} numbered checkpoints in {folder}, found "
            f"{len(numbered)}; keep them in training: labo train ... -- "
            f"--save-interval-updates N --keep-interval-updates {count}"
        )
    return [numbered[number] for number in sorted(numbered)[-count:]]


def load_mapped(path: Path) -> dict[str, Any]:
    """A checkpoint, by torch's safe loader, its tensors mapped from the file where possible."""
    state = torch.load(
        path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path) or None
    )
    if not isinstance(state, dict) or not isinstance(state.get("model"), Mapping):
        raise UserError(f"{path}: expected a fairseq checkpoint with a model, found none")
    return state


def average_checkpoints(paths: Sequence[Path], output: Path) -> None:
    """Write the average of checkpoints of one model to `output`.

    Everything but the parameters is the last checkpoint's; the optimizer's state is left out, and
    "averaged_from" names the files. Tied parameters stay one tensor. `output` has its name only
    when it is whole.

    Raises:
        UserError: the checkpoints differ in the names, ties or shapes of their parameters, or
            in one of integers (which has no mean).
    """
    sums: dict[str, Tensor] = {}
    ties: dict[str, str] = {}
    state: dict[str, Any] = {}
    for path in paths:
        state = load_mapped(path)
        model = state["model"]
        ties = ties or tied_parameters(model)
        if tied_parameters(model) != ties:
            name = next(iter(model.keys() ^ ties.keys()), "its ties")
            raise UserError(
                f"{path}: expected the parameters of {paths[0]}, found a difference in {name}; "
                "average checkpoints of one training"
            )
        distinct = {name: model[name] for name in set(ties.values())}
        _add(sums, distinct, path=path, first=paths[0])
    for name, total in sums.items():
        tensor = state["model"][name]
        if tensor.is_floating_point():
            sums[name] = (total / len(paths)).to(tensor.dtype)
    state = {
        **state,
        "model": {name: sums[first] for name, first in ties.items()},
        "last_optimizer_state": None,
        "averaged_from": [path.name for path in paths],
    }
    partial = output.with_name(f"{output.name}.part")
    torch.save(state, partial)
    partial.replace(output)


def tied_parameters(model: Mapping[str, Tensor]) -> dict[str, str]:
    """For each parameter the first one that is the same tensor in memory (often itself)."""
    first: dict[Any, str] = {}
    ties = {}
    for name, tensor in model.items():
        # Tensors without elements all lie at address 0.
        place = (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else name
        ties[name] = first.setdefault(place, name)
    return ties


def _add(sums: dict[str, Tensor], model: Mapping[str, Tensor], *, path: Path, first: Path) -> None:
    for name, tensor in model.items():
        if name not in sums:
            dtype = torch.float64 if tensor.is_floating_point() else tensor.dtype
            sums[name] = tensor.to(dtype, copy=True)
            continue
        total = sums[name]
        if total.shape != tensor.shape or total.is_floating_point() != tensor.is_floating_point():
            raise UserError(
                f"{path}: expected {name} to be {list(total.shape)} as in {first}, found "
                f"{list(tensor.shape)} {tensor.dtype}; average checkpoints of one training"
            )
        if tensor.is_floating_point():
            total += tensor
        elif not torch.equal(total, tensor):
            raise UserError(
                f"{path}: expected the integers of {name} to equal those of {first}, found "
                "others; they have no mean"
            )

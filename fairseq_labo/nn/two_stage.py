"""`TwoStageSmoothing`: regularized in the first stage of training, cross entropy afterwards."""

import operator
from typing import Any

import torch
from torch import Tensor, nn

from fairseq_labo.nn.labo_loss import LaboLoss
from fairseq_labo.ops.uncompiled import uncompiled


class TwoStageSmoothing(nn.Module):
    """A `LaboLoss` for the first steps of training, then plain cross entropy.

    With a uniform smoothing distribution (β = inf) this is TSLA of Xu et al. (arXiv 2006.11653),
    with a teacher's logits TSLA-pre, with a finite β LABO with an end. A step is what the
    training loop makes it, an epoch or an update: `step` is called once after each::

        criterion = TwoStageSmoothing(
            LaboLoss(label_smoothing=0.1, beta=math.inf), first_stage_steps=20
        )
        for epoch in range(50):
            for images, labels in batches:
                criterion(model(images), labels).backward()
                ...
            criterion.step()  # so steps are epochs: 20 smoothed ones, then one-hot targets

    The number of steps done is in `state_dict` (as ``_extra_state``, a tensor): save it with the
    model, and a resumed training is in the right stage. The module itself counts in Python, so
    that asking for the stage never synchronizes; under data parallelism every process calls
    `step` for itself.

    Args:
        loss: the loss of the first stage; ignore_index, reduction and impl are its own.
        first_stage_steps: length of the first stage, 0 or more.

    Raises:
        ValueError: `first_stage_steps` is negative.
        TypeError: the loss is no `LaboLoss` (one of `torch.compile` is).
    """

    def __init__(self, loss: LaboLoss, *, first_stage_steps: int) -> None:
        super().__init__()
        if not hasattr(loss, "loss_with"):
            raise TypeError(
                f"loss must be a LaboLoss, found {type(loss).__name__}: it is that of the first "
                "stage; wrap the TwoStageSmoothing instead"
            )
        self.loss = loss
        self.first_stage_steps = _count("first_stage_steps", first_stage_steps)
        self._steps_done = 0

    @property
    def steps_done(self) -> int:
        """Steps done, from 0; assign it where a training loop counts epochs or updates itself."""
        return self._steps_done

    @steps_done.setter
    def steps_done(self, value: int) -> None:
        self._steps_done = _count("steps_done", value)

    @property
    def in_first_stage(self) -> bool:
        """Whether the next loss is regularized; if not, a teacher need not be asked."""
        return self._steps_done < self.first_stage_steps

    def step(self) -> None:
        """Count one step; to be called after it."""
        self._steps_done += 1

    @uncompiled  # or it is compiled for each count of steps
    def forward(
        self, logits: Tensor, target: Tensor, teacher_logits: Tensor | None = None
    ) -> Tensor:
        """The loss of the stage at hand; shapes and errors are those of `LaboLoss.forward`.

        `teacher_logits` do nothing in the second stage.
        """
        if self.in_first_stage:
            return self.loss(logits, target, teacher_logits)
        return self.loss.loss_with(0.0, logits, target)

    def get_extra_state(self) -> Tensor:
        """What `state_dict` keeps: the steps done."""
        return torch.tensor(self._steps_done, device="cpu")  # whatever torch's default is

    def set_extra_state(self, state: Any) -> None:
        """Restore what `get_extra_state` returned."""
        # Once it was a dict of a number.
        self.steps_done = state["steps_done"] if isinstance(state, dict) else state

    def extra_repr(self) -> str:
        """The settings and the count, for `print(module)`."""
        return f"first_stage_steps={self.first_stage_steps}, steps_done={self._steps_done}"


def _count(name: str, value: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if isinstance(value, bool) or number < 0:
        raise ValueError(f"{name} must be a whole number, 0 or more, found {value!r}")
    return number

"""What every implementation of the loss takes and returns."""

import math
from typing import NamedTuple

from torch import Tensor


class Settings(NamedTuple):
    """Parameters of one call, already checked.

    α is `label_smoothing`. P* = softmax(logits / β); with a teacher, of which `beta` is then the
    temperature, P = softmax(teacher_logits / β).
    """

    label_smoothing: float
    beta: float
    ignore_index: int
    statistics: bool = False
    argmax: bool = False

    @property
    def in_loss(self) -> bool:
        """Whether the regularizer enters the loss."""
        return self.label_smoothing > 0.0

    @property
    def regularized(self) -> bool:
        """Whether the regularizer is computed at all."""
        return self.in_loss or self.statistics

    @property
    def uniform(self) -> bool:
        """Whether P is the uniform distribution."""
        return math.isinf(self.beta)


class TokenLosses(NamedTuple):
    """Per-token quantities in nats, each [N], float32 (float64 for float64 logits).

    All are 0 at ignored tokens. Only `loss` carries a gradient. `reg` and `entropy` are None
    where they were not computed, `argmax` (int64, the likeliest token; −1 at ignored tokens)
    where it was not asked for.
    """

    loss: Tensor
    nll: Tensor
    reg: Tensor | None
    entropy: Tensor | None
    argmax: Tensor | None = None

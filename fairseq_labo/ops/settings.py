"""The options of a loss, and what every implementation takes and returns."""

import math
from typing import NamedTuple, Required, TypedDict

from torch import Tensor

# Up to here β times the rounding of log(T/V), about 1e-7, is small beside R: at 16 at most 5e-7 of
# it from 1,000 types on (3e-6 of two). Above, `expm1` is summed instead.
LARGEST_BETA_BY_LOG = 16.0


class LossOptions(TypedDict, total=False):
    """Keyword arguments of `labo_loss` and of the functions like it, which may be left out.

    Attributes:
        ignore_index: target value of tokens that count for nothing: their loss and gradient are
            exactly 0, whatever their logits. Default: −100.
        prior: [V], float32 or float64, probabilities: π in the place of the uniform distribution
            1/V. Types with π_k = 0 get no mass; they may be the target. No gradient goes to it, and
            it cannot be had together with a teacher.
        teacher_logits: [N, V]; if given, the smoothing distribution is the teacher's,
            P = softmax(teacher_logits/β), R = H(P, p), and no gradient goes to the teacher.
        impl: "reference", "torch", "triton" or "auto", the default (see `ops.dispatch`). One that
            cannot run here is an error, never replaced by another.
    """

    ignore_index: int
    prior: Tensor | None
    teacher_logits: Tensor | None
    impl: str


class TokenOptions(LossOptions, total=False):
    """Of the functions that return `TokenLosses`: α, β, and which of its fields are computed."""

    label_smoothing: Required[float]
    beta: Required[float]
    statistics: bool  # R and the entropy of P, even at α = 0
    argmax: bool


class Settings(NamedTuple):
    """Parameters of one call, already checked.

    α is `label_smoothing`. P* ∝ prior · exp(logits / β); with a teacher, of which `beta` is
    then the temperature, P = softmax(teacher_logits / β).
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
    def at_prior(self) -> bool:
        """Whether P is the prior itself: the uniform distribution, if there is no other."""
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

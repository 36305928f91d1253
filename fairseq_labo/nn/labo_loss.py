"""`LaboLoss`: the closed-form regularized cross entropy in the place of CrossEntropyLoss."""

import math
import warnings

import torch
from torch import Tensor, nn

from fairseq_labo.defaults import DEFAULT_ALPHA, DEFAULT_BETA
from fairseq_labo.ops import labo_loss
from fairseq_labo.ops.arguments import (
    check_beta,
    check_ignore_index,
    check_label_smoothing,
    check_reduction,
    check_temperature,
    check_tensor,
    doubt_of_beta,
)
from fairseq_labo.ops.dispatch import check_impl


class LaboLoss(nn.Module):
    """Cross entropy regularized towards P* = softmax(z/β), computed for each example.

    ``L = (1 − α)(LSE(z) − z_y) + α (LSE(z) − β LME(z/β))``, per example, over V classes; see
    `fairseq_labo.ops.labo_loss`. It takes what `torch.nn.CrossEntropyLoss` takes, but for a
    single class, class weights, and targets given as probabilities::

        LaboLoss(label_smoothing=0.1, beta=4.0)       # LABO, and the defaults
        LaboLoss(label_smoothing=0.1, beta=math.inf)  # CrossEntropyLoss(label_smoothing=0.1)
        LaboLoss(label_smoothing=0.0)                 # CrossEntropyLoss()
        LaboLoss(prior=frequencies, beta=math.inf)    # unigram label smoothing

    The module has no parameters and nothing in its `state_dict`. Like CrossEntropyLoss it does
    not ask whether it is in training or evaluation: to compare methods, evaluate them by plain
    cross entropy.

    Args:
        label_smoothing: α in [0, 1), the weight of the regularizer.
        beta: β > 0, the temperature of the smoothing distribution; inf is the prior itself.
        teacher_temperature: T > 0 of the teacher whose logits are given to `forward`:
            P = softmax(teacher_logits/T) then, and β does nothing.
        prior: π [V], float32 or float64, probabilities of the classes, in the place of the uniform
            distribution: ``P* ∝ π exp(z/β)``. It follows the logits to their device, and is not
            in the `state_dict` either. Not together with `teacher_logits`.
        ignore_index: target value of examples that count for nothing; their loss and gradient
            are exactly 0.
        reduction: "none" (the target's shape), "sum", or "mean" over the examples that are not
            ignored (NaN if there are none, like CrossEntropyLoss).
        impl: the implementation, as in `fairseq_labo.ops.labo_loss`.

    Raises:
        ValueError: α, β, T, reduction or impl is out of range; the prior is looked at in `forward`.
        TypeError: a setting is of another kind, as an `ignore_index` of None.

    Warns of β = 1 (with the uniform prior) and β < 1, which do not restrain confidence; it does not
    know whether a teacher will be given, where β does nothing.
    """

    # Of one that was pickled before there were such arguments.
    teacher_temperature = 1.0
    prior: Tensor | None = None

    def __init__(
        self,
        *,
        label_smoothing: float = DEFAULT_ALPHA,
        beta: float = DEFAULT_BETA,
        teacher_temperature: float = 1.0,
        prior: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        impl: str = "auto",
    ) -> None:
        super().__init__()
        self.label_smoothing = check_label_smoothing(label_smoothing)
        self.beta = check_beta(beta)
        self.teacher_temperature = check_temperature(teacher_temperature)
        doubt = doubt_of_beta(self.beta, uniform=prior is None)
        if doubt is not None and self.label_smoothing > 0.0:
            warnings.warn(doubt, stacklevel=2)
        if prior is not None and not isinstance(prior, Tensor):
            raise TypeError(f"prior must be a tensor [num_classes], found {type(prior).__name__}")
        # Not a parameter, even if it was one.
        self.prior = None if prior is None else prior.detach()
        self.ignore_index = check_ignore_index(ignore_index)
        self.reduction = check_reduction(reduction)
        self.impl = check_impl(impl)

    def forward(
        self, logits: Tensor, target: Tensor, teacher_logits: Tensor | None = None
    ) -> Tensor:
        """The loss in nats, float32 (float64 for float64 logits).

        Args:
            logits: [V], [N, V] or [N, V, d1, ...]: classes along dimension 1, as for
                CrossEntropyLoss. Behind d1, ... the classes are made contiguous by a copy.
            target: class numbers, integers: [], [N] or [N, d1, ...].
            teacher_logits: shaped like `logits`; if given, P = softmax(teacher_logits/T).

        Raises:
            ValueError, TypeError, IndexError: the shapes do not belong together, or a target
                is no class.
        """
        return self.loss_with(self.label_smoothing, logits, target, teacher_logits)

    def loss_with(
        self,
        label_smoothing: float,
        logits: Tensor,
        target: Tensor,
        teacher_logits: Tensor | None = None,
    ) -> Tensor:
        """The same, of the same shapes, with another α for this call: 0 is plain cross entropy."""
        _check_shapes(logits, target, teacher_logits)
        if self.prior is not None and self.prior.device != logits.device:
            with torch.inference_mode(False):  # of what is made in it each call looks at the values
                self.prior = self.prior.to(logits.device)
        loss = labo_loss(
            _rows(logits),
            target.reshape(-1),
            label_smoothing=label_smoothing,
            beta=self.beta if teacher_logits is None else self.teacher_temperature,
            ignore_index=self.ignore_index,
            prior=self.prior,
            teacher_logits=None if teacher_logits is None else _rows(teacher_logits),
            reduction=self.reduction,
            impl=self.impl,
        )
        return loss.reshape(target.shape) if self.reduction == "none" else loss

    def extra_repr(self) -> str:
        """The settings, for `print(module)`."""
        beta = "inf" if math.isinf(self.beta) else f"{self.beta:g}"
        teacher = f"teacher_temperature={self.teacher_temperature:g}, "
        teacher = "" if self.teacher_temperature == 1.0 else teacher
        prior = "" if self.prior is None else f"prior=[{self.prior.numel()}], "
        return (
            f"label_smoothing={self.label_smoothing:g}, beta={beta}, {teacher}{prior}"
            f"ignore_index={self.ignore_index}, reduction={self.reduction!r}, impl={self.impl!r}"
        )


def _rows(logits: Tensor) -> Tensor:
    """[V], [N, V] or [N, V, d1, ...] as [examples, V]."""
    if logits.dim() > 2:
        logits = logits.movedim(1, -1)  # [N, d1, ..., V]
    return logits.reshape(-1, logits.size(-1))


def _check_shapes(logits: Tensor, target: Tensor, teacher_logits: Tensor | None) -> None:
    check_tensor("logits", logits)
    check_tensor("target", target)
    if teacher_logits is not None:
        check_tensor("teacher_logits", teacher_logits)
    shape = tuple(logits.shape)
    if not shape:
        raise ValueError("logits must be [V], [N, V] or [N, V, d1, ...], found a scalar")
    expected = shape[:1] + shape[2:] if len(shape) > 1 else ()
    if not shape[min(1, len(shape) - 1)]:
        raise ValueError(f"logits need at least 2 classes, found none in shape {list(shape)}")
    if tuple(target.shape) != expected:
        raise ValueError(
            f"target must hold class numbers of shape {list(expected)} for logits of shape "
            f"{list(shape)} (classes along dimension {min(1, len(shape) - 1)}), found shape "
            f"{list(target.shape)}"
        )
    if teacher_logits is not None and teacher_logits.shape != logits.shape:
        raise ValueError(
            f"teacher_logits must have the shape of logits {list(shape)}, found "
            f"{list(teacher_logits.shape)}: student and teacher need the same classes and batch"
        )

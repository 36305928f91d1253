"""The public functions: check the arguments, then route by ``impl=``."""

from typing import Unpack

import torch
from torch import Tensor

from fairseq_labo.ops import arguments, reference
from fairseq_labo.ops.dispatch import Implementation, implementation
from fairseq_labo.ops.settings import LossOptions, Settings, TokenLosses, TokenOptions
from fairseq_labo.ops.triton_loss import triton_token_losses
from fairseq_labo.ops.uncompiled import uncompiled

IGNORE_INDEX = -100  # the default, which is torch's


def route(
    logits: Tensor,
    target: Tensor,
    *,
    label_smoothing: float,
    beta: float,
    ignore_index: int = IGNORE_INDEX,
    prior: Tensor | None = None,
    teacher_logits: Tensor | None = None,
    statistics: bool = False,
    argmax: bool = False,
    impl: str = "auto",
) -> tuple[Implementation, tuple[Tensor, Settings, Tensor | None, Tensor | None]]:
    """Check a call; return what computes it, and its arguments behind `logits` [N, V].

    `logits` are looked at only for their shape and kind.
    """
    arguments.check_transforms(impl, logits)
    arguments.check_logits(logits)
    label_smoothing = arguments.check_label_smoothing(label_smoothing)
    beta = arguments.representable_beta(arguments.check_beta(beta))
    ignore_index = arguments.check_ignore_index(ignore_index)
    target = arguments.check_target(target, logits=logits, ignore_index=ignore_index)
    if teacher_logits is not None:
        arguments.check_teacher(teacher_logits, logits=logits)
    if prior is not None:
        if teacher_logits is not None:
            raise ValueError(
                "the smoothing distribution comes from a prior or from a teacher, found both: "
                "leave out prior or teacher_logits"
            )
        prior = arguments.check_prior(prior, logits=logits)
    settings = Settings(label_smoothing, beta, ignore_index, statistics, argmax)
    compute = implementation(
        impl, logits, settings, teacher=teacher_logits is not None, prior=prior is not None
    )
    if compute is not triton_token_losses:
        arguments.assert_target(target, logits=logits, ignore_index=ignore_index)
    return compute, (target, settings, teacher_logits, prior)


@uncompiled
def token_losses(logits: Tensor, target: Tensor, **options: Unpack[TokenOptions]) -> TokenLosses:
    """The loss of each token, together with what a training log shows of it.

    A compiled model (`torch.compile`) calls this as it is, at the price of one graph break: its
    checks and its loop over chunks depend on the data, and its kernels are compiled already.

    Arguments are those of `labo_loss`, and `TokenOptions`.
    """
    compute, case = route(logits, target, **options)
    # The arithmetic below chooses its own precision.
    with torch.autocast(device_type=logits.device.type, enabled=False):
        return compute(logits, *case)


@uncompiled
def labo_loss(
    logits: Tensor,
    target: Tensor,
    *,
    label_smoothing: float,
    beta: float,
    reduction: str = "mean",
    **options: Unpack[LossOptions],
) -> Tensor:
    """Cross entropy regularized by LABO's closed-form inner solution.

    Per token, ``L = (1 − α)(LSE(z) − z_y) + α (LSE(z) − β LME(z/β))``, whose gradient is
    ``p − (1 − α) e_y − α P*`` with ``P* = softmax(z/β)``. β = inf is label smoothing with
    α/V on every entry; α = 0 is cross entropy. With a `prior` π, ``P* ∝ π exp(z/β)`` and LME is the
    mean under π: β = inf is then smoothing towards π itself, as unigram smoothing is.

    Args:
        logits: [N, V], float16, bfloat16, float32 or float64; −inf masks an entry.
        target: [N], int64 or int32.
        label_smoothing: α in [0, 1), the weight of the regularizer.
        beta: β > 0, the temperature of the smoothing distribution; inf is accepted.
        reduction: "none" ([N]), "sum", or "mean" over the tokens that are not ignored (NaN if
            there are none, like `torch.nn.functional.cross_entropy`).
        options: `ignore_index`, `prior`, `teacher_logits` and `impl`, as described in
            `ops.settings.LossOptions`.

    Returns:
        The loss in nats, float32 (float64 for float64 logits) whatever the logits' dtype.

    Raises:
        ValueError, TypeError: an argument is out of range or of the wrong shape or kind.
        IndexError: a target is outside the vocabulary (on CUDA: a device-side assertion).
        RuntimeError: ``impl`` cannot run on these logits, or a second derivative or torch.func
            is asked of one other than "reference".

    Source: derived from the bi-level problem of Lu et al., "LABO" (Findings of ACL 2023,
    arXiv 2305.04971); a reconstruction, see README.
    """
    arguments.check_reduction(reduction)
    loss = token_losses(
        logits, target, label_smoothing=label_smoothing, beta=beta,
        statistics=False, argmax=False, **options,  # given: no options of this function
    ).loss  # fmt: skip
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    # In uint8 a negative ignore_index would stand for a class.
    return loss.sum() / target.long().ne(options.get("ignore_index", IGNORE_INDEX)).sum()


def labo_targets(logits: Tensor, *, beta: float, prior: Tensor | None = None) -> Tensor:
    """P* ∝ π exp(z/β), the smoothing distribution that LABO computes for each token.

    Args:
        logits: [N, V], any floating dtype.
        beta: β > 0; inf gives the prior itself.
        prior: π [V], float32 or float64, probabilities; None is the uniform distribution.

    Returns:
        [N, V], float32 (float64 for float64 logits), detached: by the envelope theorem P*
        enters the loss as a constant.

    Raises:
        ValueError, TypeError: an argument is out of range or of the wrong shape or kind.
    """
    return (_targets if prior is None else _targets_with_prior)(logits, beta, prior)


def _targets(logits: Tensor, beta: float, prior: Tensor | None) -> Tensor:
    arguments.check_logits(logits)
    beta = arguments.representable_beta(arguments.check_beta(beta))
    z = logits.detach().to(reference.compute_dtype(logits))
    if prior is not None:
        prior = arguments.check_prior(prior, logits=logits)
    return reference.smoothing_distribution(z, beta, prior)


_targets_with_prior = uncompiled(_targets)  # whose values are looked at

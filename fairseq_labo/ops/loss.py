"""The public functions: check the arguments, then route by ``impl=``."""

import torch
from torch import Tensor

from fairseq_labo.ops import arguments, reference
from fairseq_labo.ops.dispatch import implementation
from fairseq_labo.ops.settings import Settings, TokenLosses
from fairseq_labo.ops.uncompiled import uncompiled


@uncompiled
def token_losses(
    logits: Tensor,
    target: Tensor,
    *,
    label_smoothing: float,
    beta: float,
    ignore_index: int = -100,
    teacher_logits: Tensor | None = None,
    statistics: bool = False,
    argmax: bool = False,
    impl: str = "auto",
) -> TokenLosses:
    """The loss of each token, together with what a training log shows of it.

    A compiled model (`torch.compile`) calls this as it is, at the price of one graph break: its
    checks and its loop over chunks depend on the data, and its kernels are compiled already.

    Arguments are those of `labo_loss`. With `statistics` the regularizer R and the entropy of
    P are computed too, even at α = 0; with `argmax` the likeliest entry for each token.
    """
    arguments.check_logits(logits)
    label_smoothing = arguments.check_label_smoothing(label_smoothing)
    beta = arguments.check_beta(beta)
    target = arguments.check_target(target, logits=logits, ignore_index=ignore_index)
    if teacher_logits is not None:
        arguments.check_teacher(teacher_logits, logits=logits)
    settings = Settings(label_smoothing, beta, ignore_index, statistics, argmax)
    compute = implementation(impl, logits, settings, teacher=teacher_logits is not None)
    # The arithmetic below chooses its own precision.
    with torch.autocast(device_type=logits.device.type, enabled=False):
        return compute(logits, target, settings, teacher_logits)


@uncompiled
def labo_loss(
    logits: Tensor,
    target: Tensor,
    *,
    label_smoothing: float,
    beta: float,
    ignore_index: int = -100,
    teacher_logits: Tensor | None = None,
    reduction: str = "mean",
    impl: str = "auto",
) -> Tensor:
    """Cross entropy regularized by LABO's closed-form inner solution.

    Per token, ``L = (1 − α)(LSE(z) − z_y) + α (LSE(z) − β LME(z/β))``, whose gradient is
    ``p − (1 − α) e_y − α P*`` with ``P* = softmax(z/β)``. β = inf is label smoothing with
    α/V on every entry; α = 0 is cross entropy.

    Args:
        logits: [N, V], float16, bfloat16, float32 or float64; −inf masks an entry.
        target: [N], int64 or int32.
        label_smoothing: α in [0, 1), the weight of the regularizer.
        beta: β > 0, the temperature of the smoothing distribution; inf is accepted.
        ignore_index: target value of tokens that count for nothing; their loss and gradient
            are exactly 0, whatever their logits.
        teacher_logits: [N, V]; if given, the smoothing distribution is the teacher's,
            P = softmax(teacher_logits/β), R = H(P, p), and no gradient goes to the teacher.
        reduction: "none" ([N]), "sum", or "mean" over the tokens that are not ignored (NaN if
            there are none, like `torch.nn.functional.cross_entropy`).
        impl: "reference", "torch", "triton" or "auto" (see `ops.dispatch`). One that cannot run
            here is an error, never replaced by another.

    Returns:
        The loss in nats, float32 (float64 for float64 logits) whatever the logits' dtype.

    Raises:
        ValueError, TypeError: an argument is out of range or of the wrong shape or kind.
        IndexError: a target is outside the vocabulary (on CUDA: a device-side assertion).
        RuntimeError: ``impl`` cannot run on these logits, or a second derivative is asked of
            one other than "reference".

    Source: derived from the bi-level problem of Lu et al., "LABO" (Findings of ACL 2023,
    arXiv 2305.04971); a reconstruction, see README.
    """
    arguments.check_reduction(reduction)
    loss = token_losses(
        logits,
        target,
        label_smoothing=label_smoothing,
        beta=beta,
        ignore_index=ignore_index,
        teacher_logits=teacher_logits,
        impl=impl,
    ).loss
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    return loss.sum() / target.ne(ignore_index).sum()


def labo_targets(logits: Tensor, *, beta: float) -> Tensor:
    """P* = softmax(z/β), the smoothing distribution that LABO computes for each token.

    Args:
        logits: [N, V], any floating dtype.
        beta: β > 0; inf gives the uniform distribution.

    Returns:
        [N, V], float32 (float64 for float64 logits), detached: by the envelope theorem P*
        enters the loss as a constant.
    """
    arguments.check_logits(logits)
    beta = arguments.check_beta(beta)
    z = logits.detach().to(reference.compute_dtype(logits))
    return reference.smoothing_distribution(z, beta)

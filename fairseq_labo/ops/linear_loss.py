"""The public functions of the loss fused with the output projection."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_labo.ops import arguments
from fairseq_labo.ops.chunked_linear import Projection, chunked_linear_token_losses
from fairseq_labo.ops.dispatch import implementation
from fairseq_labo.ops.settings import Settings, TokenLosses
from fairseq_labo.ops.uncompiled import uncompiled


@uncompiled
def linear_token_losses(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    *,
    label_smoothing: float,
    beta: float,
    bias: Tensor | None = None,
    ignore_index: int = -100,
    teacher_logits: Tensor | None = None,
    statistics: bool = False,
    argmax: bool = False,
    summed: bool = False,
    impl: str = "auto",
) -> TokenLosses:
    """`token_losses` of the logits ``hidden @ weight.T + bias``, which are never held at once.

    Arguments are those of `labo_linear_loss`. With `summed` the field `loss` is the sum over the
    tokens (a scalar), whose gradients are taken along in the forward pass; else it is [N], and
    backward computes the logits a second time.
    """
    arguments.check_linear(hidden, weight, bias)
    device_type = hidden.device.type
    if torch.is_autocast_enabled(device_type):  # as autocast does for a linear layer
        dtype = torch.get_autocast_dtype(device_type)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    like_logits = hidden.new_empty(()).expand(hidden.size(0), weight.size(0))  # takes no memory
    arguments.check_logits(like_logits)
    label_smoothing = arguments.check_label_smoothing(label_smoothing)
    beta = arguments.check_beta(beta)
    target = arguments.check_target(target, logits=like_logits, ignore_index=ignore_index)
    if teacher_logits is not None:
        arguments.check_teacher(teacher_logits, logits=like_logits)
    settings = Settings(label_smoothing, beta, ignore_index, statistics, argmax)
    compute = implementation(impl, like_logits, settings, teacher=teacher_logits is not None)
    with torch.autocast(device_type=device_type, enabled=False):
        if impl == "reference":
            logits = F.linear(hidden, weight, bias)
            losses = compute(logits, target, settings, teacher_logits)
            return losses._replace(loss=losses.loss.sum()) if summed else losses
        return chunked_linear_token_losses(
            hidden,
            Projection(weight, bias),
            target,
            settings,
            compute,
            teacher_logits=teacher_logits,
            summed=summed,
        )


@uncompiled
def labo_linear_loss(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    *,
    label_smoothing: float,
    beta: float,
    bias: Tensor | None = None,
    ignore_index: int = -100,
    teacher_logits: Tensor | None = None,
    reduction: str = "mean",
    impl: str = "auto",
) -> Tensor:
    """`labo_loss` of the logits ``hidden @ weight.T + bias``, without holding them: no [N, V].

    Args:
        hidden: [N, D], the decoder's features.
        weight: [V, D] of the same dtype and device, as of `torch.nn.Linear`; may be a tied
            embedding.
        target: [N], int64 or int32.
        bias: [V].
        label_smoothing, beta, ignore_index, teacher_logits, reduction: as in `labo_loss`.
        impl: what computes a chunk's losses: "torch", "triton", "auto"; or "reference", which
            holds all logits.

    Returns:
        The loss in nats, float32 (float64 for float64). Its gradients with respect to hidden,
        weight and bias are summed up in float32 and rounded once. Under autocast the projection
        runs in autocast's dtype.

    Raises:
        ValueError, TypeError, IndexError, RuntimeError: as in `labo_loss`, or shapes, dtypes or
            devices of hidden, weight and bias do not fit.

    Source: chunked projection and loss as in F. Wijmans et al., "Cut Your Losses in
    Large-Vocabulary Language Models" (arXiv 2411.09009) and Liger-Kernel (arXiv 2410.10989); the
    loss itself as in `labo_loss`.
    """
    arguments.check_reduction(reduction)
    loss = linear_token_losses(
        hidden,
        weight,
        target,
        label_smoothing=label_smoothing,
        beta=beta,
        bias=bias,
        ignore_index=ignore_index,
        teacher_logits=teacher_logits,
        summed=reduction != "none",
        impl=impl,
    ).loss
    return loss / target.ne(ignore_index).sum() if reduction == "mean" else loss

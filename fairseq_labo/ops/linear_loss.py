"""The public functions of the loss fused with the output projection."""

from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_labo.ops import arguments
from fairseq_labo.ops.chunked_linear import Projection, chunked_linear_token_losses
from fairseq_labo.ops.loss import IGNORE_INDEX, route
from fairseq_labo.ops.settings import LossOptions, TokenLosses, TokenOptions
from fairseq_labo.ops.uncompiled import uncompiled


@uncompiled
def linear_token_losses(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    *,
    bias: Tensor | None = None,
    summed: bool = False,
    **options: Unpack[TokenOptions],
) -> TokenLosses:
    """`token_losses` of the logits ``hidden @ weight.T + bias``, which are never held at once.

    Arguments are those of `labo_linear_loss`, and `TokenOptions`. With `summed` the field `loss` is
    the sum over the tokens (a scalar), whose gradients are taken along in the forward pass; else it
    is [N], and backward computes the logits a second time.
    """
    arguments.check_linear_kinds(hidden, weight, bias)
    arguments.check_transforms(options.get("impl", "auto"), hidden, weight, bias)
    device_type = hidden.device.type
    if torch.is_autocast_enabled(device_type):
        hidden, weight = _autocast(hidden), _autocast(weight)
        bias = None if bias is None else _autocast(bias)
    arguments.check_linear(hidden, weight, bias)
    like_logits = hidden.new_empty(()).expand(hidden.size(0), weight.size(0))  # takes no memory
    compute, case = route(like_logits, target, **options)
    with torch.autocast(device_type=device_type, enabled=False):
        if options.get("impl") == "reference":
            losses = compute(F.linear(hidden, weight, bias), *case)
            return losses._replace(loss=losses.loss.sum()) if summed else losses
        layer = Projection(weight, bias)
        return chunked_linear_token_losses(hidden, layer, *case, compute=compute, summed=summed)


def _autocast(tensor: Tensor) -> Tensor:
    """What autocast makes of a tensor for a linear layer: float64 stays."""
    if not tensor.is_floating_point() or tensor.dtype == torch.float64:
        return tensor
    return tensor.to(torch.get_autocast_dtype(tensor.device.type))


@uncompiled
def labo_linear_loss(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    *,
    label_smoothing: float,
    beta: float,
    bias: Tensor | None = None,
    reduction: str = "mean",
    **options: Unpack[LossOptions],
) -> Tensor:
    """`labo_loss` of the logits ``hidden @ weight.T + bias``, without holding them: no [N, V].

    Args:
        hidden: [N, D], the decoder's features.
        weight: [V, D] of the same dtype and device, as of `torch.nn.Linear`; may be a tied
            embedding.
        target: [N], int64 or int32.
        label_smoothing: α, as in `labo_loss`.
        beta: β, as in `labo_loss`.
        bias: [V].
        reduction: as in `labo_loss`.
        options: as in `labo_loss`. `impl` computes a chunk's losses; "reference" holds all logits.

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
        hidden, weight, target, bias=bias, summed=reduction != "none",
        label_smoothing=label_smoothing, beta=beta,
        statistics=False, argmax=False, **options,  # given: no options of this function
    ).loss  # fmt: skip
    if reduction != "mean":
        return loss
    counted = target.long().ne(options.get("ignore_index", IGNORE_INDEX)).sum()
    # Of no token the mean is NaN and its gradient 0: with 1/0 upstream that would be NaN, too.
    return torch.where(counted > 0, loss / counted.clamp(min=1), torch.nan)

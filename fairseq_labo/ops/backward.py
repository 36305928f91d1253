"""Backward passes: what a forward one keeps for them, and that they have no derivative."""

from typing import Any

import torch
from torch import Tensor


def keep(ctx: Any, *tensors: Tensor | None) -> None:
    """Keep the tensors for `kept`.

    Those made in inference mode, as a teacher's logits may be, autograd does not save. Nobody can
    differentiate or change them, so they are kept as they are.
    """
    ctx.inference = [None if x is None or not x.is_inference() else x for x in tensors]
    pairs = zip(tensors, ctx.inference, strict=True)
    ctx.save_for_backward(*(x if inference is None else None for x, inference in pairs))


def check_one_gradient(upstream: Tensor) -> None:
    """Raise RuntimeError if `upstream` is a batch of gradients at once."""
    functorch = torch._C._functorch
    if functorch.is_legacy_batchedtensor(upstream) or functorch.is_batchedtensor(upstream):
        raise RuntimeError(
            "this implementation takes no batches of gradients (vectorize=True, is_grads_batched); "
            'use impl="reference"'
        )


def kept(ctx: Any) -> tuple[Any, ...]:
    """The tensors that `keep` got."""
    pairs = zip(ctx.saved_tensors, ctx.inference, strict=True)
    return tuple(x if inference is None else inference for x, inference in pairs)


class FirstDerivativeOnly(torch.autograd.Function):
    """The gradient as it is; differentiating it says that this cannot be done here.

    It takes, behind the gradient, every tensor that the gradient depends on.
    """

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *inputs: Tensor | None) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Any, ...]:
        raise RuntimeError(
            'this implementation has no second derivative; use impl="reference", whose '
            "derivatives autograd takes"
        )

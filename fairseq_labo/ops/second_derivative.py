"""The error for a derivative that only `ops.reference` has."""

from typing import Any

import torch
from torch import Tensor


class FirstDerivativeOnly(torch.autograd.Function):
    """The gradient as it is; differentiating it says that this cannot be done here."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *inputs: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Any, ...]:
        raise RuntimeError(
            'this implementation has no second derivative; use impl="reference", whose '
            "derivatives autograd takes"
        )

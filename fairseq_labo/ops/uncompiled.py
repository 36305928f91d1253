"""Functions that `torch.compile` leaves as they are."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., Any])


def uncompiled(function: Function) -> Function:
    """Decorate a function that a compiled model shall call as it is: one graph break.

    torch.compiler.disable imports the compiler (1.5 s, and Triton) when it decorates. torch's own
    variant, which its optimizers use, waits until something is compiled.
    """
    disable: Callable[[Function], Function] | None = getattr(torch, "_disable_dynamo", None)
    return torch.compiler.disable(function) if disable is None else disable(function)

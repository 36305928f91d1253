"""How many kernels a step launches on a GPU, without one: operations on tensors without data."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

# They make, name or look at tensors, and launch nothing.
NOTHING = ("aten::empty", "aten::detach", "aten::lift_fresh", "prim::", "aten::_unsafe_view")


class Launches(TorchDispatchMode):
    """Counts what is dispatched, by name, but for views and what makes tensors without filling."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function.name()
        if not (function.is_view or name.startswith(NOTHING)):
            self.counts[name] += 1
        return function(*args, **(kwargs or {}))

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@contextmanager
def on_imaginary_cuda() -> Iterator[None]:
    """Tensors of the device "cuda" have shapes and no data; to read one raises an error."""
    try:
        with FakeTensorMode():
            yield
    except RuntimeError as error:
        if "CUDA driver" not in str(error):
            raise
        pytest.skip(f"torch {torch.__version__} asks for a driver, even of such tensors")


def launches_of(step: Callable[[], object]) -> Launches:
    with Launches() as launches:
        step()
    return launches

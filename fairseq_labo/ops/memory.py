"""Large buffers on the CPU, where fresh pages cost more than the arithmetic that fills them.

The kernel hands out a fresh [N, V] buffer page by page, each page a fault, and takes it back when
it is freed: at every step anew. So a buffer that nobody uses any more is kept for the next call,
as torch does on a GPU. When the gradient is written, memory is at its peak; keeping the buffer
until the next step does not raise it.
"""

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

KEPT_BYTES = 4 * 2**20  # below, the C library keeps freed memory itself
NUM_KEPT = 2

_kept_from: float = KEPT_BYTES
_lock = threading.Lock()
# Each with a weak reference to what is lent of it: dead when its tensor is.
_kept: list[tuple[np.ndarray, "weakref.ref[np.ndarray]"]] = []


def empty_contiguous(like: Tensor) -> Tensor:
    """An uninitialized contiguous tensor of the shape, dtype and device of `like`.

    On the CPU a large one may be memory that an earlier call has used.
    """
    num_bytes = like.numel() * like.element_size()
    if like.device.type != "cpu" or num_bytes < _kept_from:
        return torch.empty_like(like, memory_format=torch.contiguous_format)
    return torch.from_numpy(_lend(num_bytes)).view(like.dtype).view(like.shape)


@contextmanager
def keep_buffers_from(num_bytes: float) -> Iterator[None]:
    """Inside the block only buffers of at least so many bytes are kept; `math.inf`: none."""
    global _kept_from
    before, _kept_from = _kept_from, num_bytes
    try:
        yield
    finally:
        _kept_from = before


def release_buffers() -> None:
    """Give the kept buffers back; those in use are freed when their tensors are."""
    with _lock:
        _kept.clear()


def _lend(num_bytes: int) -> np.ndarray:
    """So many bytes, of a kept buffer if a large enough one is free."""
    with _lock:
        for index, (buffer, lent) in enumerate(_kept):
            if lent() is None and buffer.nbytes >= num_bytes:
                view = buffer[:num_bytes]
                _kept[index] = (buffer, weakref.ref(view))
                return view
        _kept[:] = [each for each in _kept if each[1]() is not None]  # the free ones are too small
        buffer = np.empty(num_bytes, np.uint8)
        view = buffer[:]
        if len(_kept) < NUM_KEPT:
            _kept.append((buffer, weakref.ref(view)))
        return view

"""Large buffers on the CPU, where fresh pages cost more than the arithmetic that fills them."""

import numpy as np
import torch
from torch import Tensor

# From this size on NumPy asks the kernel for huge pages (where there are any: Linux).
NUMPY_HUGE_PAGE_BYTES = 4 * 2**20


def empty_contiguous(like: Tensor) -> Tensor:
    """An uninitialized contiguous tensor of the shape, dtype and device of `like`.

    A large one on the CPU is NumPy's memory: the kernel hands out a fresh [N, V] buffer in pages
    of 4 KiB, each a fault, unless it is asked for huge pages. NumPy asks, torch does not (unless
    its environment variable THP_MEM_ALLOC_ENABLE is set).
    """
    num_bytes = like.numel() * like.element_size()
    if like.device.type != "cpu" or num_bytes < NUMPY_HUGE_PAGE_BYTES:
        return torch.empty_like(like, memory_format=torch.contiguous_format)
    return torch.from_numpy(np.empty(num_bytes, np.uint8)).view(like.dtype).view(like.shape)

"""Buffers that are asked for in huge pages are ordinary tensors otherwise."""

import pytest
import torch

from fairseq_labo.ops.memory import NUMPY_HUGE_PAGE_BYTES, empty_contiguous


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("num_rows", [0, 3, NUMPY_HUGE_PAGE_BYTES // 2000])
def test_shape_dtype_and_layout(dtype: torch.dtype, num_rows: int) -> None:
    like = torch.empty(1001, num_rows, dtype=dtype).T  # [num_rows, 1001], not contiguous
    buffer = empty_contiguous(like)
    assert (buffer.shape, buffer.dtype, buffer.device) == (like.shape, dtype, like.device)
    assert buffer.is_contiguous()
    buffer.fill_(2.5)
    assert buffer.double().sum().item() == 2.5 * 1001 * num_rows

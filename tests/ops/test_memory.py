"""Kept buffers: ordinary tensors, lent to one user at a time, with nothing left of the last."""

import math
from collections.abc import Iterator

import pytest
import torch

from fairseq_labo.ops import labo_loss, memory
from fairseq_labo.ops.memory import (
    KEPT_BYTES,
    empty_contiguous,
    keep_buffers_from,
    release_buffers,
)


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    release_buffers()
    yield
    release_buffers()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("num_rows", [0, 3, KEPT_BYTES // 2000])
def test_shape_dtype_and_layout(dtype: torch.dtype, num_rows: int) -> None:
    like = torch.empty(1001, num_rows, dtype=dtype).T  # [num_rows, 1001], not contiguous
    buffer = empty_contiguous(like)
    assert (buffer.shape, buffer.dtype, buffer.device) == (like.shape, dtype, like.device)
    assert buffer.is_contiguous()
    buffer.fill_(2.5)
    assert buffer.double().sum().item() == 2.5 * 1001 * num_rows


def test_a_buffer_is_lent_again_only_when_its_tensor_is_gone() -> None:
    like = torch.empty(KEPT_BYTES)
    first = empty_contiguous(like)
    address = first.data_ptr()
    view = first[10:20]
    second = empty_contiguous(like)
    assert second.data_ptr() != address
    del first
    third = empty_contiguous(like)  # a view still holds the first
    assert third.data_ptr() not in (address, second.data_ptr())
    del view
    smaller = empty_contiguous(like[: KEPT_BYTES // 2])
    assert smaller.data_ptr() == address
    assert len(memory._kept) <= memory.NUM_KEPT


def test_a_larger_buffer_takes_the_place_of_a_free_one() -> None:
    del_soon = empty_contiguous(torch.empty(KEPT_BYTES))
    del del_soon
    larger = empty_contiguous(torch.empty(2 * KEPT_BYTES))
    assert [buffer.nbytes for buffer, _ in memory._kept] == [larger.numel() * 4]


@pytest.fixture
def every_buffer_is_kept() -> Iterator[None]:
    with keep_buffers_from(1):
        yield


@pytest.mark.usefixtures("every_buffer_is_kept")
def test_gradients_of_two_losses_do_not_share_memory() -> None:
    target = torch.tensor([0, 4, 2])
    gradients, copies = [], []
    for seed in range(4):
        logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(seed))
        logits.requires_grad_()
        labo_loss(logits, target, label_smoothing=0.1, beta=2.0).backward()
        assert logits.grad is not None
        gradients.append(logits.grad)
        copies.append(logits.grad.clone())
    for gradient, copy in zip(gradients, copies, strict=True):
        assert torch.equal(gradient, copy)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_ignored", [1, 5])
@pytest.mark.usefixtures("every_buffer_is_kept")
def test_what_was_there_before_does_not_matter(dtype: torch.dtype, num_ignored: int) -> None:
    logits = torch.randn(9, 31, generator=torch.Generator().manual_seed(1)).to(dtype)
    target = torch.arange(9)
    target[:num_ignored] = -100
    results = []
    for _ in range(2):
        leaf = logits.clone().requires_grad_()
        labo_loss(leaf, target, label_smoothing=0.1, beta=2.5).backward()
        assert leaf.grad is not None
        results.append(leaf.grad.clone())
        leaf.grad.fill_(math.nan)  # what the next call finds
        del leaf
    assert torch.equal(*results)


def test_the_switch_that_keeps_nothing_holds_inside_its_block() -> None:
    like = torch.empty(KEPT_BYTES)
    with pytest.raises(ZeroDivisionError), keep_buffers_from(math.inf):
        empty_contiguous(like)
        assert not memory._kept
        raise ZeroDivisionError
    empty_contiguous(like)
    assert len(memory._kept) == 1

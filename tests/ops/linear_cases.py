"""Random output layers for the loss that is fused with the projection, and its gradients."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_labo.ops import chunked_linear, labo_linear_loss, labo_loss

PAD = 1
Case = tuple[Tensor, Tensor, Tensor, Tensor]


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 4 KiB: a handful of rows each, the last one not full."""
    monkeypatch.setattr(chunked_linear, "CPU_CHUNK_BYTES", 4096)


def random_case(num_tokens: int, vocab_size: int, dtype: torch.dtype, dim: int = 24) -> Case:
    """hidden [N, D], weight [V, D], bias [V], target [N] with a third of padding."""
    generator = torch.Generator().manual_seed(num_tokens + vocab_size)
    hidden = torch.randn(num_tokens, dim, generator=generator).to(dtype)
    weight = (torch.randn(vocab_size, dim, generator=generator) * 0.5).to(dtype)
    bias = torch.randn(vocab_size, generator=generator).to(dtype)
    target = torch.randint(0, vocab_size, (num_tokens,), generator=generator)
    return hidden, weight, bias, torch.where(torch.arange(num_tokens) % 3 == 1, PAD, target)


def gradients(
    case: Case, upstream: Tensor, *, fused: bool, with_bias: bool, reduction: str, **options: Any
) -> list[Tensor]:
    """The loss, and its gradients for hidden, weight and bias, all in float64."""
    *inputs, target = case
    hidden, weight, bias = (x.clone().requires_grad_() for x in inputs)
    options |= {"ignore_index": PAD, "reduction": reduction}
    used = bias if with_bias else None
    if fused:
        loss = labo_linear_loss(hidden, weight, target, bias=used, **options)
    else:
        loss = labo_loss(F.linear(hidden, weight, used), target, **options)
    given = upstream if reduction == "none" else upstream[0]
    wanted = [hidden, weight, bias] if with_bias else [hidden, weight]
    found = torch.autograd.grad(loss, wanted, given.to(loss.dtype))
    assert [x.dtype for x in found] == [x.dtype for x in wanted]
    return [loss.detach().double(), *(x.double() for x in found)]

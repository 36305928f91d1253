"""Random inputs for the tests of several modules, and how far a result is from the exact one."""

import torch
from torch import Tensor

from fairseq_labo.ops import labo_loss


def random_case(
    num_tokens: int,
    vocab_size: int,
    dtype: torch.dtype,
    device: str = "cpu",
    *,
    scale: float = 3.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """logits [N, V], target [N], upstream [N]; the same on every device."""
    generator = torch.Generator().manual_seed(num_tokens * vocab_size)
    logits = (torch.randn(num_tokens, vocab_size, generator=generator) * scale).to(dtype)
    target = torch.randint(0, vocab_size, (num_tokens,), generator=generator)
    upstream = torch.randn(num_tokens, generator=generator) * 128
    return logits.to(device), target.to(device), upstream.to(device)


def losses_and_gradient(
    logits: Tensor, target: Tensor, upstream: Tensor, *, alpha: float, beta: float, impl: str
) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    loss = labo_loss(leaf, target, label_smoothing=alpha, beta=beta, reduction="none", impl=impl)
    loss.backward(upstream.to(loss.dtype))
    assert leaf.grad is not None
    return loss.detach().double(), leaf.grad.double()


def error(found: Tensor, exact: Tensor) -> float:
    """‖found − exact‖ / ‖exact‖ where `exact` is finite; elsewhere they must be equal."""
    found, finite = found.to(exact.dtype), exact.isfinite()
    assert torch.equal(found[~finite], exact[~finite])
    return ((found - exact)[finite].norm() / exact[finite].norm().clamp_min(1e-30)).item()

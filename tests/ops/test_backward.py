"""What is kept for backward, and the derivative that only the reference has."""

from functools import partial
from typing import Any

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from fairseq_labo.ops import labo_linear_loss, labo_loss
from tests.ops.test_reference import random_case


def test_second_derivatives_elsewhere_are_refused() -> None:
    logits, target = random_case(num_tokens=2, vocab_size=4)
    logits.requires_grad_()
    loss = labo_loss(logits, target, label_smoothing=0.3, beta=2.0, impl="torch")
    (gradient,) = torch.autograd.grad(loss, logits, create_graph=True)
    with pytest.raises(RuntimeError, match='impl="reference"'):
        gradient.square().sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("impl", ["reference", "torch", "triton"])
def test_under_torchs_checkpoints(impl: str, dtype: torch.dtype, device: str) -> None:
    """They let what was kept be read once for each backward pass."""
    logits, target = (x.to(device) for x in random_case(num_tokens=3, vocab_size=7))
    found = []
    for apart in (False, True):
        leaf = logits.to(dtype).requires_grad_()
        loss = partial(labo_loss, target=target, label_smoothing=0.3, beta=2.0, impl=impl)
        (checkpoint(loss, leaf, use_reentrant=False) if apart else loss(leaf)).backward()
        found.append(leaf.grad)
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)


@pytest.mark.parametrize("impl", ["reference", "torch", "triton"])
@pytest.mark.parametrize("name", ["teacher_logits", "prior"])
def test_what_was_made_in_inference_mode_teaches(impl: str, name: str, device: str) -> None:
    logits, target = (x.to(device) for x in random_case(num_tokens=3, vocab_size=7))
    logits = logits.float()
    usual = torch.softmax(logits[0], 0) if name == "prior" else logits.flip(0)
    with torch.inference_mode():
        made = usual.clone()
    found = []
    for given in (usual, made):
        options: Any = {"label_smoothing": 0.3, "beta": 2.0, "impl": impl, name: given}
        leaf = logits.clone().requires_grad_()
        labo_loss(leaf, target, **options).backward()
        found.append(leaf.grad)
        leaf = logits.clone().requires_grad_()
        weight = torch.eye(7, device=device)
        labo_linear_loss(leaf, weight, target, reduction="none", **options).sum().backward()
        found.append(leaf.grad)
    torch.testing.assert_close(found[2:], found[:2], rtol=0, atol=0)


@pytest.mark.parametrize("layer", [False, True])
def test_forward_mode_and_batched_gradients_elsewhere_are_refused(layer: bool) -> None:
    logits, target = random_case(num_tokens=2, vocab_size=4)
    weight = torch.eye(4, dtype=logits.dtype)

    def loss(leaf: torch.Tensor, impl: str = "torch") -> torch.Tensor:
        options: Any = {"label_smoothing": 0.3, "beta": 2.0, "reduction": "none", "impl": impl}
        if layer:
            return labo_linear_loss(leaf, weight, target, **options)
        return labo_loss(leaf, target, **options)

    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(logits, torch.ones_like(logits))
        assert torch.autograd.forward_ad.unpack_dual(loss(dual, "reference")).tangent is not None
        with pytest.raises(RuntimeError, match='forward mode impl must be "reference"'):
            loss(dual)
    reference = partial(loss, impl="reference")
    expected = torch.autograd.functional.jacobian(reference, logits)
    vectorized = torch.autograd.functional.jacobian(reference, logits, vectorize=True)
    torch.testing.assert_close(vectorized, expected)
    torch.testing.assert_close(torch.autograd.functional.jacobian(loss, logits), expected)
    if layer:  # whose gradients come with the sum

        def summed(leaf: torch.Tensor) -> torch.Tensor:
            options: Any = {"label_smoothing": 0.3, "beta": 2.0, "reduction": "sum"}
            return labo_linear_loss(leaf, weight, target, **options)

        torch.testing.assert_close(
            torch.autograd.functional.jacobian(summed, logits, vectorize=True), expected.sum(0)
        )
    with pytest.raises(RuntimeError, match=r'batches of gradients.*impl="reference"'):
        torch.autograd.functional.jacobian(loss, logits, vectorize=True)

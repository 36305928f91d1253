"""torch.compile of a model that calls the loss: one graph break, the same numbers."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_labo.ops import labo_linear_loss, labo_loss, labo_targets

TARGET = torch.tensor([3, 0, 1, 10, 1])
OPTIONS = {"label_smoothing": 0.1, "beta": 2.5, "ignore_index": 1}


def from_logits(hidden: Tensor, weight: Tensor) -> Tensor:
    return labo_loss(F.linear(torch.tanh(hidden), weight), TARGET, **OPTIONS) * 2.0


def from_features(hidden: Tensor, weight: Tensor) -> Tensor:
    return labo_linear_loss(torch.tanh(hidden), weight, TARGET, **OPTIONS) * 2.0


@pytest.mark.slow
def test_targets_with_a_prior() -> None:
    """One graph break, where the prior is looked at; without one there is none."""
    prior = torch.full((11,), 1 / 11)
    torch._dynamo.reset()
    explained = torch._dynamo.explain(lambda z: labo_targets(z * 2, beta=2.0, prior=prior) * 2)(
        torch.randn(3, 11)
    )
    assert explained.graph_break_count == 1, explained
    torch._dynamo.reset()
    whole = torch.compile(partial(labo_targets, beta=2.0), backend="eager", fullgraph=True)
    logits = torch.randn(3, 11)
    torch.testing.assert_close(whole(logits), labo_targets(logits, beta=2.0))


@pytest.mark.slow
@pytest.mark.parametrize("model", [from_logits, from_features])
def test_one_graph_break_and_the_same_gradients(model: Callable[..., Tensor]) -> None:
    torch._dynamo.reset()
    generator = torch.Generator().manual_seed(4)
    leaves = [
        torch.randn(shape, generator=generator).requires_grad_() for shape in ((5, 6), (11, 6))
    ]
    explained = torch._dynamo.explain(model)(*leaves)
    assert explained.graph_break_count == 1, explained
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager")
    found, expected = compiled(*leaves), model(*leaves)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, leaves), torch.autograd.grad(expected, leaves)
    )

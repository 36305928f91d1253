"""The public functions of the fused loss, against those of the logits."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from fairseq_labo.ops import labo_linear_loss, labo_loss, linear_token_losses
from tests.ops.cases import error
from tests.ops.linear_cases import PAD, random_case
from tests.ops.linear_cases import several_chunks as several_chunks  # a fixture


def test_statistics_and_argmax_are_those_of_the_logits() -> None:
    hidden, weight, bias, target = random_case(50, 101, torch.float64)
    options: dict[str, Any] = {
        "label_smoothing": 0.3, "beta": 2.5, "ignore_index": PAD, "statistics": True,
        "argmax": True,
    }  # fmt: skip
    right = linear_token_losses(hidden, weight, target, bias=bias, impl="reference", **options)
    for summed in (False, True):
        found = linear_token_losses(
            hidden, weight, target, bias=bias, impl="torch", summed=summed, **options
        )
        expected = right._replace(loss=right.loss.sum()) if summed else right
        for mine, theirs in zip(found, expected, strict=True):
            assert mine is not None and theirs is not None
            torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("num_tokens", [0, 4])
def test_nothing_to_count_is_like_cross_entropy(num_tokens: int) -> None:
    hidden = torch.randn(num_tokens, 8, requires_grad=True)
    weight = torch.randn(11, 8, requires_grad=True)
    target = torch.full((num_tokens,), PAD)
    for reduction in ("none", "sum", "mean"):
        options: dict[str, Any] = {"ignore_index": PAD, "reduction": reduction}
        theirs = F.cross_entropy(F.linear(hidden, weight), target, **options)
        mine = labo_linear_loss(hidden, weight, target, label_smoothing=0.1, beta=2.0, **options)
        torch.testing.assert_close(mine, theirs, equal_nan=True)
        mine.sum().backward()
        for leaf in (hidden, weight):
            assert leaf.grad is not None and torch.equal(leaf.grad, torch.zeros_like(leaf))


def test_a_weight_used_twice_gets_both_gradients() -> None:
    """Tied embeddings: the weight is also where the hidden states come from."""
    _, weight, _, target = random_case(20, 101, torch.float64)
    inputs = torch.arange(20)
    found = []
    for impl in ("reference", "torch"):
        leaf = weight.clone().requires_grad_()
        hidden = torch.tanh(F.embedding(inputs, leaf))
        labo_linear_loss(
            hidden, leaf, target, label_smoothing=0.1, beta=2.0, ignore_index=PAD, impl=impl
        ).backward()
        assert leaf.grad is not None
        found.append(leaf.grad)
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)


def test_autocast_runs_the_projection_in_its_dtype() -> None:
    hidden, weight, bias, target = random_case(50, 101, torch.float32)
    leaves = [hidden.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()]
    options: dict[str, Any] = {
        "label_smoothing": 0.1, "beta": 2.0, "ignore_index": PAD, "reduction": "sum"
    }  # fmt: skip
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mine = labo_linear_loss(hidden, weight, target, bias=bias, **options)
        theirs = labo_loss(F.linear(hidden, weight, bias), target, **options)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    for found, expected in zip(
        torch.autograd.grad(mine, leaves), torch.autograd.grad(theirs, leaves), strict=True
    ):
        assert found.dtype == torch.float32
        assert error(found.double(), expected.double()) < 8e-3  # one bfloat16 rounding: 4e-3


def test_autocast_leaves_float64_as_for_a_linear_layer() -> None:
    hidden, weight, bias, target = random_case(50, 101, torch.float64)
    options: dict[str, Any] = {"bias": bias, "label_smoothing": 0.1, "beta": 2.0}
    expected = labo_linear_loss(hidden, weight, target, ignore_index=PAD, **options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = labo_linear_loss(hidden, weight, target, ignore_index=PAD, **options)
        with pytest.raises(TypeError, match="share one floating dtype"):
            labo_linear_loss(hidden.float(), weight, target, ignore_index=PAD, **options)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_second_derivative_is_an_error_except_in_the_reference(reduction: str) -> None:
    hidden, weight, bias, target = random_case(5, 11, torch.float64)
    for leaf in (hidden, weight, bias):  # of each, also where the others are frozen
        for impl in ("torch", "reference"):
            leaf.requires_grad_()
            loss = labo_linear_loss(
                *(hidden, weight, target), bias=bias, label_smoothing=0.1, beta=2.0,
                reduction=reduction, impl=impl,
            ).sum()  # fmt: skip
            (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
            if impl == "reference":
                assert torch.autograd.grad(gradient.square().sum(), leaf)[0].any()
            else:
                with pytest.raises(RuntimeError, match="second derivative"):
                    torch.autograd.grad(gradient.square().sum(), leaf)
            leaf.requires_grad_(False)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_gradcheck(reduction: str) -> None:
    hidden, weight, bias, target = random_case(6, 7, torch.float64, dim=3)
    leaves = [x.requires_grad_() for x in (hidden, weight, bias)]
    assert torch.autograd.gradcheck(
        lambda h, w, b: labo_linear_loss(
            h, w, target, bias=b, label_smoothing=0.3, beta=2.5, reduction=reduction, impl="torch"
        ),
        leaves,
    )


@pytest.mark.parametrize(
    ("change", "error_type", "message"),
    [
        ({"hidden": torch.randn(2, 3, 8)}, ValueError, "flatten the leading dimensions"),
        ({"weight": torch.randn(11, 7)}, ValueError, r"found \[5, 8\] and \[11, 7\]"),
        ({"bias": torch.randn(10)}, ValueError, r"bias must be \[11\]"),
        ({"weight": torch.randn(11, 8).half()}, TypeError, "share one floating dtype"),
        ({"weight": torch.randn(1, 8)}, ValueError, "at least 2 entries"),
        ({"target": torch.tensor([0, 1, 2, 3, 11])}, IndexError, "target 11 is outside"),
        ({"teacher_logits": torch.randn(5, 12)}, ValueError, "teacher_logits must be"),
        ({"reduction": "median"}, ValueError, "reduction must be one of"),
        ({"impl": "fast"}, ValueError, "impl must be one of auto"),
    ],
)
def test_bad_arguments(change: dict[str, Any], error_type: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {
        "hidden": torch.randn(5, 8), "weight": torch.randn(11, 8), "target": torch.arange(5),
        "label_smoothing": 0.1, "beta": 2.0,
    }  # fmt: skip
    with pytest.raises(error_type, match=message):
        labo_linear_loss(**(arguments | change))

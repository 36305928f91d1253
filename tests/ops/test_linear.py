"""The loss fused with the output projection, against float64 logits held as a whole."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fairseq_labo.ops import chunked_linear, labo_linear_loss, labo_loss, linear_token_losses

BETAS = [0.5, 1.25, 2.0, 10.0, 1e4, math.inf]
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


class LargestTensor(TorchDispatchMode):
    """Watches the size of everything that is computed."""

    num_elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, Tensor):
                self.num_elements = max(self.num_elements, value.untyped_storage().nbytes() // 4)
        return result


def error(found: Tensor, exact: Tensor) -> float:
    return ((found - exact).norm() / exact.norm().clamp_min(1e-30)).item()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.9])
def test_error_is_at_most_that_of_the_logits_held(
    dtype: torch.dtype, reduction: str, beta: float, alpha: float
) -> None:
    case = random_case(50, 101, dtype)
    upstream = torch.randn(50, generator=torch.Generator().manual_seed(3)) * 128
    options: dict[str, Any] = {
        "label_smoothing": alpha, "beta": beta, "reduction": reduction, "with_bias": alpha > 0.0
    }  # fmt: skip
    in_float64: Case = (*(x.double() for x in case[:3]), case[3])  # type: ignore[assignment]
    exact = gradients(in_float64, upstream, fused=False, impl="reference", **options)
    eager = gradients(case, upstream, fused=False, impl="torch", **options)
    found = gradients(case, upstream, fused=True, impl="torch", **options)
    # Both round G and the result once, but another G (not multiplied by the upstream gradient
    # yet), so the roundings fall differently: by chance up to 1/4 eps.
    margin = 1e-6 + torch.finfo(dtype).eps / 4 * (dtype in (torch.float16, torch.bfloat16))
    for mine, theirs, right in zip(found, eager, exact, strict=True):
        assert error(mine, right) <= 1.1 * error(theirs, right) + margin


@pytest.mark.parametrize("shape", [(1, 2), (7, 3), (129, 1003), (3, 5000)])
@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_odd_shapes(shape: tuple[int, int], reduction: str) -> None:
    case = random_case(*shape, torch.float64)
    options: dict[str, Any] = {
        "label_smoothing": 0.2, "beta": 2.5, "reduction": reduction, "with_bias": True
    }  # fmt: skip
    upstream = torch.linspace(-3, 2, shape[0])
    exact = gradients(case, upstream, fused=False, impl="reference", **options)
    found = gradients(case, upstream, fused=True, impl="torch", **options)
    for mine, right in zip(found, exact, strict=True):
        assert error(mine, right) <= 1e-12


def test_half_precision_keeps_what_a_unit_upstream_gradient_would_lose() -> None:
    """α/V is far below float16's smallest number at V = 65536; its sum over rows is not."""
    num_tokens, vocab_size = 16, 65536
    hidden = torch.zeros(num_tokens, 8, dtype=torch.float16)
    hidden[:, 0] = 8.0
    weight = torch.zeros(vocab_size, 8, dtype=torch.float16)
    weight[5, 0] = 4.0  # p_5 → 1: every other type's p is below 1e-13
    target = torch.full((num_tokens,), 5)
    weight.requires_grad_()
    loss = labo_linear_loss(
        hidden, weight, target, label_smoothing=1e-3, beta=math.inf, reduction="sum", impl="torch"
    )
    (gradient,) = torch.autograd.grad(loss, weight, torch.tensor(1024.0))  # loss scaling
    expected = -1e-3 / vocab_size * num_tokens * 8.0 * 1024.0  # 2e-3, of entries of 1.5e-8
    assert gradient[9, 0].item() == pytest.approx(expected, rel=2e-3)


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


@pytest.mark.parametrize("beta", BETAS)
def test_measuring_what_does_not_count_leaves_the_gradient_alone(beta: float) -> None:
    hidden, weight, _, target = random_case(50, 101, torch.float64)
    found = []
    for statistics in (False, True):
        leaf = weight.clone().requires_grad_()
        losses = linear_token_losses(
            hidden, leaf, target, impl="torch", summed=True, label_smoothing=0.0, beta=beta,
            statistics=statistics,
        )  # fmt: skip
        found.append(torch.autograd.grad(losses.loss, leaf)[0])
    torch.testing.assert_close(found[1], found[0], rtol=1e-12, atol=1e-12)


def test_a_teacher_teaches_chunk_by_chunk() -> None:
    hidden, weight, _, target = random_case(50, 101, torch.float64)
    teacher = torch.randn(50, 101, generator=torch.Generator().manual_seed(8)).double()
    losses = []
    for impl in ("reference", "torch"):
        leaf = hidden.clone().requires_grad_()
        loss = labo_linear_loss(
            *(leaf, weight, target), label_smoothing=0.4, beta=2.0, ignore_index=PAD,
            teacher_logits=teacher, reduction="sum", impl=impl,
        )  # fmt: skip
        losses.append((loss.detach(), torch.autograd.grad(loss, leaf)[0]))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_ignored_rows_are_never_read(reduction: str) -> None:
    hidden, weight, _, target = random_case(20, 101, torch.float32)
    hidden[target == PAD] = math.nan
    hidden.requires_grad_()
    weight.requires_grad_()
    loss = labo_linear_loss(
        hidden, weight, target, label_smoothing=0.1, beta=2.0, ignore_index=PAD,
        reduction=reduction, impl="torch",
    )  # fmt: skip
    loss.sum().backward()
    assert hidden.grad is not None and weight.grad is not None
    assert not hidden.grad[target == PAD].any()
    assert hidden.grad[target != PAD].any(1).all() and weight.grad.isfinite().all()


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
    mine = labo_linear_loss(
        hidden, weight, target, label_smoothing=0.1, beta=2.0, ignore_index=PAD, reduction="sum"
    )
    mine.backward()
    assert hidden.grad is not None and not hidden.grad.any()
    assert weight.grad is not None and not weight.grad.any()


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


@pytest.mark.parametrize("summed", [False, True])
def test_only_what_needs_a_gradient_gets_one(summed: bool) -> None:
    hidden, weight, _, target = random_case(20, 101, torch.float32)
    weight.requires_grad_()
    reduction = "sum" if summed else "none"
    loss = labo_linear_loss(
        hidden, weight, target, label_smoothing=0.1, beta=2.0, reduction=reduction
    )
    loss.sum().backward()
    assert hidden.grad is None and weight.grad is not None
    with torch.no_grad():
        loss = labo_linear_loss(hidden, weight, target, label_smoothing=0.1, beta=2.0)
    assert not loss.requires_grad


def test_no_gradients_are_taken_along_in_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a gradient was computed under no_grad")

    monkeypatch.setattr(chunked_linear._Gradients, "add", fail)
    hidden, weight, _, target = random_case(20, 101, torch.float32)
    weight.requires_grad_()
    with torch.no_grad():
        labo_linear_loss(hidden, weight, target, label_smoothing=0.1, beta=2.0, reduction="sum")


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


@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_second_derivative_is_an_error_except_in_the_reference(reduction: str) -> None:
    hidden, weight, _, target = random_case(5, 11, torch.float64)
    hidden.requires_grad_()
    for impl in ("torch", "reference"):
        loss = labo_linear_loss(
            hidden, weight, target, label_smoothing=0.1, beta=2.0, reduction=reduction, impl=impl
        ).sum()
        (gradient,) = torch.autograd.grad(loss, hidden, create_graph=True)
        if impl == "reference":
            assert torch.autograd.grad(gradient.square().sum(), hidden)[0].any()
        else:
            with pytest.raises(RuntimeError, match="second derivative"):
                torch.autograd.grad(gradient.square().sum(), hidden)


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


def test_memory_stays_within_a_chunk() -> None:
    """The largest tensors are as large as what goes in: there are no logits [N, V]."""
    hidden, weight, _, target = random_case(400, 300, torch.float32, dim=8)
    hidden.requires_grad_()
    weight.requires_grad_()
    with LargestTensor() as seen:
        labo_linear_loss(
            hidden, weight, target, label_smoothing=0.1, beta=2.5, reduction="sum", impl="torch"
        ).backward()
    assert seen.num_elements == max(hidden.numel(), weight.numel())


@pytest.mark.parametrize(
    ("change", "error_type", "message"),
    [
        ({"hidden": torch.randn(2, 3, 8)}, ValueError, "flatten the leading dimensions"),
        ({"weight": torch.randn(11, 7)}, ValueError, r"found \[5, 8\] and \[11, 7\]"),
        ({"bias": torch.randn(10)}, ValueError, r"bias must be \[11\]"),
        ({"weight": torch.randn(11, 8).half()}, TypeError, "share one floating dtype"),
        ({"weight": torch.randn(1, 8)}, ValueError, "at least 2 types"),
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

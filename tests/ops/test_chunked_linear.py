"""The loss fused with the output projection, chunk by chunk, against logits held as a whole."""

import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.launches import launches_of
from fairseq_labo.ops import chunked_linear, labo_linear_loss, linear_token_losses
from tests.ops.cases import error
from tests.ops.linear_cases import PAD, Case, gradients, random_case
from tests.ops.linear_cases import several_chunks as several_chunks  # a fixture

BETAS = [0.5, 1.25, 2.0, 10.0, 1e4, math.inf]
# Cross entropy asks no β.
SETTINGS = [(0.0, 2.0), (0.0, math.inf), *product([0.1, 0.9], BETAS)]


class LargestTensor(TorchDispatchMode):
    """Watches the size of everything that is computed."""

    num_elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, Tensor):
                self.num_elements = max(self.num_elements, value.untyped_storage().nbytes() // 4)
        return result


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize(("alpha", "beta"), SETTINGS)
def test_error_is_at_most_that_of_the_logits_held(
    dtype: torch.dtype, reduction: str, alpha: float, beta: float
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
    weight[5, 0] = 4.0  # p_5 → 1: every other p is below 1e-13
    target = torch.full((num_tokens,), 5)
    weight.requires_grad_()
    loss = labo_linear_loss(
        hidden, weight, target, label_smoothing=1e-3, beta=math.inf, reduction="sum", impl="torch"
    )
    (gradient,) = torch.autograd.grad(loss, weight, torch.tensor(1024.0))  # loss scaling
    expected = -1e-3 / vocab_size * num_tokens * 8.0 * 1024.0  # 2e-3, of entries of 1.5e-8
    assert gradient[9, 0].item() == pytest.approx(expected, rel=2e-3)


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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("able", [True, False])
def test_weight_gradients_are_added_up_in_place_on_a_gpu(dtype: torch.dtype, able: bool) -> None:
    """A product of its own would be a float32 [V, D], written and read again for each chunk."""
    chunked_linear.adds_in_float32.cache_clear()
    with FakeTensorMode(), torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        cuda = torch.device("cuda")
        if able and not chunked_linear.adds_in_float32(dtype, cuda):
            # Below 2.8 there is no such operator; 2.11's fails for tensors without data.
            pytest.skip(f"torch {torch.__version__} cannot do that, or not without data")
        patch.setattr(chunked_linear, "adds_in_float32", lambda *_: able)
        weight = torch.empty(5000, 64, dtype=dtype, device=cuda)
        hidden = torch.empty(7, 64, dtype=dtype, device=cuda)
        layer = chunked_linear.Projection(weight, None)
        gradients = chunked_linear._Gradients(hidden, layer, (False, True, False))
        chunk = torch.empty(7, 5000, dtype=dtype, device=cuda)
        launches = launches_of(lambda: gradients.add(slice(0, 7), hidden, chunk, 4096.0))
    chunked_linear.adds_in_float32.cache_clear()
    if able:
        assert launches.counts == {"aten::addmm.dtype_out": 1}
    else:
        assert launches.counts["aten::add_.Tensor"] == 1 and not launches.counts["aten::addmm"]


def test_a_torch_that_cannot_add_in_float32_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator is there since 2.8; not every version of it takes a float32 matrix."""
    asked = []

    def refuse(*_: object, **__: object) -> None:
        asked.append(1)
        raise RuntimeError("self and mat2 must have the same dtype")

    monkeypatch.setattr(torch, "addmm", refuse)
    chunked_linear.adds_in_float32.cache_clear()
    found = [chunked_linear.adds_in_float32(torch.float16, torch.device("cpu")) for _ in range(3)]
    chunked_linear.adds_in_float32.cache_clear()
    assert found == [False] * 3 and len(asked) == 1

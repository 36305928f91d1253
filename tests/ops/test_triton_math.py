"""The kernels' own functions against float64: near 0, where the textbook forms cancel, and far."""

import math

import pytest
import torch
from torch import Tensor

triton = pytest.importorskip("triton")
import triton.language as tl  # noqa: E402

from fairseq_labo.ops import triton_math  # noqa: E402


@triton.jit
def apply(x_ptr, y_ptr, FUNCTION: tl.constexpr, SIZE: tl.constexpr) -> None:  # type: ignore[no-untyped-def]
    offsets = tl.arange(0, SIZE)
    x = tl.load(x_ptr + offsets)
    if FUNCTION == "expm1":
        y = triton_math.expm1(x, tl.exp2(x * triton_math.LOG2E))
    elif FUNCTION == "log1p":
        y = triton_math.log1p(x)
    elif FUNCTION == "finite":
        y = triton_math.finite(x)
    else:
        y = triton_math.power_or_exp(x, x, FUNCTION)
    tl.store(y_ptr + offsets, y)


def values_of(function: object, x: Tensor) -> Tensor:
    """The function on x [a power of 2], computed in float32 and returned in float64."""
    y = torch.full_like(x, math.nan)
    apply[(1,)](x, y, function, x.numel())
    return y.double()


def test_expm1(device: str) -> None:
    x = -torch.logspace(-7, 1.5, 256, device=device)
    torch.testing.assert_close(values_of("expm1", x), x.double().expm1(), rtol=3e-7, atol=0)


def test_log1p_down_to_minus_a_half(device: str) -> None:
    x = -torch.logspace(-7, math.log10(0.499), 256, device=device)
    torch.testing.assert_close(values_of("log1p", x), x.double().log1p(), rtol=3e-7, atol=0)


@pytest.mark.parametrize("power", [0, 1, 2, 3, 4])
def test_powers_and_the_exponential(device: str, power: int) -> None:
    x = torch.linspace(-3, 0, 64, device=device)
    expected = x.double() ** power if power else x.double().exp()
    torch.testing.assert_close(values_of(power, x), expected, rtol=1e-6, atol=1e-7)


def test_the_maximum_of_masked_entries_only_is_harmless(device: str) -> None:
    x = torch.tensor([-math.inf, -1.5, 0.0, 2.0], device=device)
    assert values_of("finite", x).tolist() == [0.0, -1.5, 0.0, 2.0]

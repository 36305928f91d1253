"""Every implementation, dtype, reduction, prior, β and α on one awkward batch, against float64."""

import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from fairseq_labo.ops import labo_loss
from tests.ops.cases import error

PAD = 1
# Cross entropy asks no β.
SETTINGS = [(0.0, 2.0), (0.0, math.inf)]
SETTINGS += product([0.1, 0.9], [0.5, 1.25, 2.0, 10.0, 1e4, math.inf])
# What is masked away may be −inf − (−inf) or 0 · inf, of which numpy warns in the interpreter.
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


def awkward_batch(dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """logits [13, 203], target [13], upstream [13]: all that was seen to break a kernel."""
    generator = torch.Generator().manual_seed(17)
    logits = torch.randn(13, 203, generator=generator) * 3
    target = torch.randint(2, 203, (13,), generator=generator)
    target[[3, 4, 12]] = PAD
    logits[4] = math.nan  # of a token that counts for nothing
    logits[5, 64:192] = -math.inf  # masked entries
    target[5] = 7
    logits[6, target[6]] = 40.0  # p_y → 1
    logits[7] = logits[7] * 0.125 + 1e4  # float16 and bfloat16 round it to few values
    logits[8] = 0.5  # flat: P* is uniform
    upstream = torch.randn(13, generator=generator) * 128
    return logits.to(dtype).to(device), target.to(device), upstream.to(device)


def awkward_prior(logits: Tensor) -> Tensor:
    """[203] with types that have no mass; those that have some become unlikely in row 10."""
    generator = torch.Generator().manual_seed(5)
    weights = torch.randn(203, generator=generator).clamp_(min=0.0).to(logits.device) ** 4
    logits[10, weights > 0] -= 500
    logits[11, weights > 0] -= 60
    return weights / weights.sum()


def loss_and_gradient(
    logits: Tensor, target: Tensor, upstream: Tensor, **options: Any
) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    loss = labo_loss(leaf, target, ignore_index=PAD, **options)
    given = (upstream if loss.dim() else upstream[0]).to(loss.dtype)
    (gradient,) = torch.autograd.grad(loss, leaf, given)
    return loss.detach().double(), gradient.double()


@pytest.mark.parametrize("impl", ["torch", pytest.param("triton", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize(("alpha", "beta"), SETTINGS)
def test_error_is_that_of_float32_arithmetic_rounded_once(
    device: str,
    impl: str,
    dtype: torch.dtype,
    reduction: str,
    uniform: bool,
    alpha: float,
    beta: float,
) -> None:
    batch = awkward_batch(dtype, device)
    if math.isinf(beta) and alpha > 0.0:  # H(u, p) of a masked entry is infinite, as it must be
        batch[0][5] = batch[0][0]
    logits, target, upstream = batch
    prior = None if uniform else awkward_prior(logits)
    options: dict[str, Any] = {"label_smoothing": alpha, "beta": beta, "reduction": reduction}
    options["prior"] = prior
    exact = loss_and_gradient(logits.double(), target, upstream, impl="reference", **options)
    eager = loss_and_gradient(logits.float(), target, upstream, impl="reference", **options)
    found = loss_and_gradient(logits, target, upstream, impl=impl, **options)
    # 1e-6 is about 8 float32 roundings: the order of summation and the powers of exp.
    assert error(found[0], exact[0]) <= 1.1 * error(eager[0], exact[0]) + 1e-6
    if impl == "triton" and dtype == torch.bfloat16 and device == "cpu":
        # The interpreter does not round float32 to bfloat16, it cuts off: one ulp, not a half.
        allowed = exact[1].abs() * 2**-7 + exact[1].abs().amax() * 1e-6
        assert bool(((found[1] - exact[1]).abs() <= allowed).all())
    else:
        rounded = eager[1].to(dtype).double()
        assert error(found[1], exact[1]) <= 1.1 * error(rounded, exact[1]) + 1e-6
    assert not found[1][[3, 4, 12]].any()

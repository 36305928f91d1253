"""The check of all results of the kernels against float64."""

from collections.abc import Callable

import torch
from torch import Tensor

from fairseq_labo.ops.reference import dense_token_losses
from fairseq_labo.ops.settings import Settings, TokenLosses
from fairseq_labo.ops.triton_loss import triton_token_losses
from tests.ops.cases import error

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
IGNORED = -100


def settings(
    beta: float, alpha: float = 0.1, *, statistics: bool = False, argmax: bool = False
) -> Settings:
    return Settings(alpha, beta, IGNORED, statistics, argmax)


def evaluate(
    compute: Callable[..., TokenLosses],
    logits: Tensor,
    target: Tensor,
    upstream: Tensor,
    chosen: Settings,
    teacher: Tensor | None = None,
) -> tuple[TokenLosses, Tensor]:
    leaf = logits.detach().requires_grad_()
    found = compute(leaf, target, chosen, teacher)
    found.loss.backward(upstream.to(found.loss.dtype))
    assert leaf.grad is not None
    return found, leaf.grad


def check(
    logits: Tensor,
    target: Tensor,
    upstream: Tensor,
    chosen: Settings,
    teacher: Tensor | None = None,
) -> tuple[TokenLosses, Tensor]:
    """All results against float64: as near as float32 arithmetic rounded once, plus 1e-6."""
    case = (logits, target, upstream, chosen)
    found, gradient = evaluate(triton_token_losses, *case, teacher)
    double, single = (None, None) if teacher is None else (teacher.double(), teacher.float())
    exact, exact_gradient = evaluate(dense_token_losses, logits.double(), *case[1:], double)
    eager, eager_gradient = evaluate(dense_token_losses, logits.float(), *case[1:], single)
    assert gradient.dtype == logits.dtype
    if logits.dtype == torch.bfloat16 and not logits.is_cuda:
        # The interpreter does not round float32 to bfloat16, it cuts off: one ulp, not a half.
        allowed = exact_gradient.abs() * 2**-7 + exact_gradient.abs().amax() * 1e-6
        assert bool(((gradient.double() - exact_gradient).abs() <= allowed).all())
    else:
        rounded_once = error(eager_gradient.to(logits.dtype), exact_gradient)
        assert error(gradient, exact_gradient) <= 1.1 * rounded_once + 1e-6
    for name in ("loss", "nll", "reg", "entropy"):
        value, true, usual = (getattr(x, name) for x in (found, exact, eager))
        assert (value is None) == (true is None)
        if value is not None:
            finite = true.isfinite()
            assert value.dtype == torch.float32
            assert torch.equal(value[~finite].double(), true[~finite]), name
            if bool(finite.any()):
                bound = 1.1 * error(usual[finite], true[finite]) + 1e-6
                assert error(value[finite], true[finite]) <= bound, name
    assert (found.argmax is None) == (exact.argmax is None)
    assert found.argmax is None or torch.equal(found.argmax, exact.argmax)
    return found, gradient

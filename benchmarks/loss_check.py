"""What each loss of `benchmarks.loss` must return: its own definition, dense, in float64.

All put weight ε on a smoothing distribution:

===========  =======================================================================
definition   target distribution q of a token; the loss is −Σ q log p
===========  =======================================================================
``fairseq``  1−ε on the reference, ε/(V−1) on every other entry
``uniform``  1−ε on the reference, and ε/V on every entry
``labo``     the ``reference`` implementation of `fairseq_labo.ops`
===========  =======================================================================

The error of a gradient is ‖given − exact‖ / ‖exact‖; for logits, of the reference entries and of
all others separately, the larger counts. It is put beside that of the same definition in eager
float32 arithmetic, rounded once to the dtype of the inputs.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.loss_providers import Problem, Provider, Tensors
from fairseq_labo.ops import labo_loss

# Largest error of a right loss: several times one rounding, but less than a factor of 1.01.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 4e-3}
ORACLE_ROWS = 256
PER_TOKEN = "per token"
Upstream = float | str  # of the summed loss, or PER_TOKEN


class Expected(NamedTuple):
    """Exact loss [N] and gradients (float64) under one upstream gradient [N], and eager's error."""

    upstream: Tensor
    loss: Tensor
    gradients: Tensors
    eager_error: float


class Verdict(NamedTuple):
    """The largest error of loss and gradients; that of the gradients relative to eager's."""

    status: str
    max_error: float
    error_over_eager: float


def defined_losses(z: Tensor, target: Tensor, problem: Problem, provider: Provider) -> Tensor:
    """Loss of each token by the provider's definition, [N], 0 at padding.  z: [N, V]."""
    epsilon, vocab_size = problem.label_smoothing, z.size(1)
    if provider.definition == "labo":
        ours: dict[str, Any] = {"beta": provider.beta, "ignore_index": problem.pad}
        ours |= {"label_smoothing": epsilon, "reduction": "none", "impl": "reference"}
        return labo_loss(z, target, **ours)
    elsewhere = epsilon / (vocab_size - 1 if provider.definition == "fairseq" else vocab_size)
    at_target = 1 - epsilon + (0.0 if provider.definition == "fairseq" else elsewhere)
    q = torch.full_like(z, elsewhere).scatter_(1, target.unsqueeze(1), at_target)
    losses = -(q * torch.log_softmax(z, dim=-1)).sum(1)
    return losses.masked_fill(target.eq(problem.pad), 0.0)


def evaluate(
    problem: Problem, provider: Provider, upstream: Tensor, *, exact: bool
) -> tuple[Tensor, Tensors]:
    """Loss [N] and gradients by definition: in float64, or eager float32 rounded once."""
    wide = torch.float64 if exact else torch.float32
    num_tokens, parts = problem.target.numel(), []
    step = num_tokens if provider.linear else ORACLE_ROWS  # a weight's gradient sums over all rows
    for start in range(0, num_tokens, step):
        rows = slice(start, start + step)
        given = (problem.hidden, problem.weight) if provider.linear else (problem.logits[rows],)
        leaves = [x.detach().to(wide if exact else x.dtype).requires_grad_() for x in given]
        z = F.linear(*leaves) if provider.linear else leaves[0]
        losses = defined_losses(z.to(wide), problem.target[rows], problem, provider)
        gradients = torch.autograd.grad(losses, leaves, upstream[rows].to(wide))
        parts.append((losses.detach(), *gradients))
    losses, *whole = (torch.cat(part) for part in zip(*parts, strict=True))
    return losses, tuple(whole)


def relative(given: Tensor, exact: Tensor) -> float:
    """‖given − exact‖ / ‖exact‖, in float64; NaN if anything given is NaN."""
    return float((given.double() - exact).norm() / exact.norm())


def gradient_error(given: Tensors, exact: Tensors, problem: Problem) -> float:
    """The largest error of the gradients; see the module's description."""
    if len(given) == 2:
        return float(np.max([relative(g, e) for g, e in zip(given, exact, strict=True)]))
    (mine,), (right,) = given, exact
    target = problem.target.unsqueeze(1)
    at_target = relative(mine.gather(1, target), right.gather(1, target))
    mine, right = mine.double().scatter(1, target, 0.0), right.scatter(1, target, 0.0)
    return float(np.max([at_target, relative(mine, right)]))  # NaN if one is, unlike max


def expect(problem: Problem, provider: Provider, upstream: Upstream) -> Expected:
    """What all providers of the same definition, β and inputs must return."""
    vector = problem.upstream
    if not isinstance(upstream, str):
        vector = torch.full_like(vector, upstream)
    loss, gradients = evaluate(problem, provider, vector, exact=True)
    _, eager = evaluate(problem, provider, vector, exact=False)
    return Expected(vector, loss, gradients, gradient_error(eager, gradients, problem))


def check(provider: Provider, problem: Problem, expected: dict[Upstream, Expected]) -> Verdict:
    """Compare a provider with its definition under every upstream gradient in `expected`."""
    errors, over_eager, wrong = [0.0], [0.0], ""
    for upstream, right in expected.items():
        if upstream == PER_TOKEN and not provider.per_token:
            continue
        inputs = provider.inputs(problem)
        value = provider.loss(inputs, problem, "none" if upstream == PER_TOKEN else "sum")
        vector = right.upstream.to(value.dtype)
        gradients = torch.autograd.grad(value, inputs, vector if value.dim() else vector[0])
        parts = {"gradient": gradient_error(gradients, right.gradients, problem)}
        over_eager.append(parts["gradient"] / max(right.eager_error, 1e-12))
        loss = right.loss if value.dim() else right.loss.sum()
        half_sum = provider.sums_in_half and not value.dim() and value.dtype == torch.float16
        if not half_sum:
            parts["loss"] = relative(value.detach(), loss)
        errors.extend(parts.values())
        tolerance = max(TOLERANCE[problem.logits.dtype], 2 * right.eager_error)
        for what, error in parts.items():
            if not error <= tolerance and not wrong:
                wrong = (
                    f"wrong: relative error of the {what} {error:.2g}, expected at most "
                    f"{tolerance:.2g} (upstream gradient {upstream})"
                )
    return Verdict(wrong or "ok", float(np.max(errors)), float(np.max(over_eager)))

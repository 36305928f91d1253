"""Dense label regularization, written like the formulas: the oracle of every fast path.

Symbols, per target token::

    z   logits [V]            p = softmax(z)             y   reference type
    u   uniform, 1/V          α   label_smoothing        β   beta
    LSE(x) = log Σ_k exp x_k                             LME(x) = log (1/V) Σ_k exp x_k

The inner problem ``min_P H(P, p) + β KL(P || u)`` over the simplex has the solution
``P* = softmax(z / β)`` and the value ``R = LSE(z) − β LME(z/β)``; the loss is
``(1 − α)(LSE(z) − z_y) + α R``. β = inf is the limit: ``P* = u``, ``R = LSE(z) − mean(z)``.
Derivatives are left to autograd, so this file also serves second derivatives.
"""

import math

import torch
from torch import Tensor


def compute_dtype(logits: Tensor) -> torch.dtype:
    """float64 for float64 logits, float32 for all others (never half precision)."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def smoothing_distribution(z: Tensor, beta: float) -> Tensor:
    """P* = softmax(z / β), or uniform for β = inf.  z: [N, V]; returns [N, V]."""
    if math.isinf(beta):
        return torch.full_like(z, 1.0 / z.size(-1))
    largest = z.detach().amax(-1, keepdim=True)  # [N, 1]
    return torch.softmax((z - largest) / beta, dim=-1)


def log_mean_exp(x: Tensor) -> Tensor:
    """LME(x) over the last dimension.  x: [N, V]; returns [N].

    For nearly flat rows (large β) the logarithm of a mean near 1 cancels, so there it is
    ``log1p(mean(expm1))``; for peaked rows that form cancels instead. Both branches get an
    argument that is harmless where they are not chosen, or their gradient would be NaN.
    """
    largest = x.detach().amax(-1, keepdim=True)  # [N, 1]
    d = x - largest
    mean_minus_1 = torch.expm1(d).mean(-1)
    flat = mean_minus_1 > -0.5
    by_log1p = torch.log1p(torch.where(flat, mean_minus_1, 0.0))
    by_log = torch.log(torch.where(flat, 1.0, torch.exp(d).mean(-1)))
    return largest.squeeze(-1) + torch.where(flat, by_log1p, by_log)


def regularizer(z: Tensor, beta: float) -> Tensor:
    """R = LSE(z) − β LME(z/β), or H(u, p) for β = inf.  z: [N, V]; returns [N], in nats."""
    largest = z.detach().amax(-1, keepdim=True)  # R does not change when z is shifted
    z = z - largest
    log_normalizer = torch.logsumexp(z, dim=-1)  # [N]
    if math.isinf(beta):
        return log_normalizer - z.mean(-1)
    return log_normalizer - beta * log_mean_exp(z / beta)


def label_entropy(z: Tensor, beta: float) -> Tensor:
    """H(P*).  z: [N, V]; returns [N], in nats."""
    return torch.special.entr(smoothing_distribution(z, beta)).sum(-1)


def dense_token_losses(
    logits: Tensor,
    target: Tensor,
    label_smoothing: float,
    beta: float,
    ignore_index: int,
    statistics: bool,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Per-token loss, −log p_y, R and H(P*), each [N]; 0 at ignored tokens.

    logits: [N, V], target: int64 [N]. R and H(P*) are None if α = 0 and they were not asked
    for. Rows of ignored tokens are never read, so NaN there does no harm.
    """
    kept = target.ne(ignore_index).nonzero().squeeze(1)  # [M]
    z = logits.index_select(0, kept).to(compute_dtype(logits))  # [M, V]
    y = target.index_select(0, kept).unsqueeze(1)  # [M, 1]

    def spread(values: Tensor) -> Tensor:  # [M] -> [N]
        return values.new_zeros(target.size(0)).index_copy(0, kept, values)

    nll = -torch.log_softmax(z, dim=-1).gather(1, y).squeeze(1)
    if label_smoothing == 0.0 and not statistics:
        return spread(nll), spread(nll.detach()), None, None
    reg = regularizer(z, beta)
    # α = 0 must not meet an infinite R (0 · inf = NaN).
    loss = nll if label_smoothing == 0.0 else (1 - label_smoothing) * nll + label_smoothing * reg
    entropy = label_entropy(z.detach(), beta)
    return spread(loss), spread(nll.detach()), spread(reg.detach()), spread(entropy)

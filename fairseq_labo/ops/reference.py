"""Dense label regularization, written like the formulas: the oracle of every fast path.

Symbols, per target token::

    z   logits [V]            p = softmax(z)             y   reference token
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

from fairseq_labo.ops.settings import Settings, TokenLosses


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


def cross_entropy_with(distribution: Tensor, z: Tensor) -> Tensor:
    """H(P, p) of a given P, as a teacher's.  both [N, V]; returns [N], in nats.

    A token without mass in P adds nothing, also where its logit is −inf.
    """
    terms = torch.where(distribution > 0, distribution * torch.log_softmax(z, dim=-1), 0.0)
    return -terms.sum(-1)


def entropy_of(distribution: Tensor) -> Tensor:
    """H(P).  distribution: [N, V]; returns [N], in nats."""
    return torch.special.entr(distribution).sum(-1)


def dense_token_losses(
    logits: Tensor, target: Tensor, settings: Settings, teacher_logits: Tensor | None = None
) -> TokenLosses:
    """The loss of each token and its parts; 0 at ignored tokens.

    logits, teacher_logits: [N, V]; target: int64 [N]. Rows of ignored tokens are never read, so
    NaN there does no harm.
    """
    not_ignored = target.ne(settings.ignore_index).nonzero().squeeze(1)  # [M]
    z = logits.index_select(0, not_ignored).to(compute_dtype(logits))  # [M, V]
    y = target.index_select(0, not_ignored).unsqueeze(1)  # [M, 1]

    def spread(values: Tensor) -> Tensor:  # [M] -> [N]
        return values.new_zeros(target.size(0)).index_copy(0, not_ignored, values)

    argmax = None
    if settings.argmax:
        argmax = torch.full_like(target, -1).index_copy(0, not_ignored, z.detach().argmax(1))
    nll = -torch.log_softmax(z, dim=-1).gather(1, y).squeeze(1)
    if not settings.regularized:
        return TokenLosses(spread(nll), spread(nll.detach()), None, None, argmax)
    if teacher_logits is None:
        smoothing = smoothing_distribution(z.detach(), settings.beta)
        reg = regularizer(z, settings.beta)
    else:
        teacher = teacher_logits.detach().index_select(0, not_ignored).to(z.dtype)
        smoothing = smoothing_distribution(teacher, settings.beta)
        reg = cross_entropy_with(smoothing, z)
    alpha = settings.label_smoothing
    # α = 0 must not meet an infinite R (0 · inf = NaN).
    loss = (1 - alpha) * nll + alpha * reg if settings.in_loss else nll
    entropy = spread(entropy_of(smoothing)) if settings.statistics else None
    return TokenLosses(spread(loss), spread(nll.detach()), spread(reg.detach()), entropy, argmax)

"""Dense label regularization, written like the formulas: the oracle of every fast path.

Symbols, per target token::

    z   logits [V]            p = softmax(z)             y   reference token
    π   prior [V], or 1/V     α   label_smoothing        β   beta
    LSE(x) = log Σ_k exp x_k                             LME(x) = log Σ_k π_k exp x_k

The inner problem ``min_P H(P, p) + β KL(P || π)`` over the simplex has the solution
``P* ∝ π exp(z/β)`` and the value ``R = LSE(z) − β LME(z/β)``; the loss is
``(1 − α)(LSE(z) − z_y) + α R``. β = inf is the limit: ``P* = π``, ``R = LSE(z) − Σ_k π_k z_k``.
A type with π_k = 0 has no part in P*, whatever its logit. Where every other type is masked
(z_k = −inf) there is no P with a finite H(P, p): then R = inf, and P* is 0 everywhere.
Derivatives are left to autograd, so this file also serves second derivatives.
"""

import math

import torch
from torch import Tensor

from fairseq_labo.ops.settings import Settings, TokenLosses


def compute_dtype(logits: Tensor) -> torch.dtype:
    """float64 for float64 logits, float32 for all others (never half precision)."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def smoothing_distribution(z: Tensor, beta: float, prior: Tensor | None = None) -> Tensor:
    """P* ∝ π exp(z/β), or π for β = inf.  z: [N, V]; prior: [V]; returns [N, V]."""
    if math.isinf(beta):
        return torch.full_like(z, 1.0 / z.size(-1)) if prior is None else prior.expand_as(z).clone()
    largest = z.detach().amax(-1, keepdim=True)  # [N, 1]
    d = (z - largest) / beta
    if prior is None:
        return torch.softmax(d, dim=-1)
    d = d + prior.log()
    return torch.softmax(d, dim=-1).masked_fill(d.isneginf().all(-1, keepdim=True), 0.0)


def mean(values: Tensor, prior: Tensor | None) -> Tensor:
    """Σ_k π_k values_k, where π_k = 0 silences an infinite value.  values: [N, V]; returns [N]."""
    if prior is None:
        return values.mean(-1)
    return torch.where(prior > 0, prior * values, 0.0).sum(-1)


def log_mean_exp(x: Tensor, prior: Tensor | None = None) -> Tensor:
    """LME(x) over the last dimension.  x: [N, V]; prior: [V]; returns [N].

    For nearly flat rows (large β) the logarithm of a mean near 1 cancels, so there it is
    ``log1p(mean(expm1))``; for peaked rows that form cancels instead. Both branches get an
    argument that is harmless where they are not chosen, or their gradient would be NaN.
    """
    if prior is not None:
        x = torch.where(prior > 0, x, -math.inf)
    largest = x.detach().amax(-1, keepdim=True)  # [N, 1]
    masked = largest.isneginf()
    d = torch.where(masked, 0.0, x - largest)
    mean_minus_1 = mean(torch.expm1(d), prior)
    flat = mean_minus_1 > -0.5
    by_log1p = torch.log1p(torch.where(flat, mean_minus_1, 0.0))
    by_log = torch.log(torch.where(flat, 1.0, mean(torch.exp(d), prior)))
    return largest.squeeze(-1) + torch.where(flat, by_log1p, by_log)


def regularizer(z: Tensor, beta: float, prior: Tensor | None = None) -> Tensor:
    """R = LSE(z) − β LME(z/β), or H(π, p) for β = inf, in nats.  z: [N, V]; returns [N]."""
    largest = z.detach().amax(-1, keepdim=True)  # R does not change when z is shifted
    z = z - largest
    log_normalizer = torch.logsumexp(z, dim=-1)  # [N]
    if math.isinf(beta):
        return log_normalizer - mean(z, prior)
    return log_normalizer - beta * log_mean_exp(z / beta, prior)


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
    logits: Tensor,
    target: Tensor,
    settings: Settings,
    teacher_logits: Tensor | None = None,
    prior: Tensor | None = None,
) -> TokenLosses:
    """The loss of each token and its parts; 0 at ignored tokens.

    logits, teacher_logits: [N, V]; target: int64 [N]; prior: [V], of the dtype that is computed in,
    not together with a teacher. Rows of ignored tokens are never read, so
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
        smoothing = smoothing_distribution(z.detach(), settings.beta, prior)
        reg = regularizer(z, settings.beta, prior)
    else:
        teacher = teacher_logits.detach().index_select(0, not_ignored).to(z.dtype)
        smoothing = smoothing_distribution(teacher, settings.beta)
        reg = cross_entropy_with(smoothing, z)
    alpha = settings.label_smoothing
    # α = 0 must not meet an infinite R (0 · inf = NaN).
    loss = (1 - alpha) * nll + alpha * reg if settings.in_loss else nll
    entropy = spread(entropy_of(smoothing)) if settings.statistics else None
    return TokenLosses(spread(loss), spread(nll.detach()), spread(reg.detach()), entropy, argmax)

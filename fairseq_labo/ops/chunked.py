"""Label regularization in PyTorch, by chunks of rows: light on memory, CPU and GPU.

Per row, with m = max z, d = (z − m)/β, S = Σ exp(z − m) and T = Σ exp(d)::

    −log p_y = log S − (z_y − m)
    R        = log S − β log(T/V)         (log1p(mean(expm1(d))) where T/V is near 1)
    H(P*)    = log T − Σ d exp(d) / T
    ∂L/∂z    = g (p − α P* − (1 − α) e_y),   p = exp(z − m)/S,   P* = exp(d)/T

With a prior π the smoothing sums are weighted by it: T = Σ π exp(d), V π for 1, P* = π exp(d)/T.
With a teacher's logits t, P = softmax(t/β) and R = H(P, p) = log S − Σ P (z − m); α is
`label_smoothing`.
Exponentials are taken by torch's softmax, which takes less time than its exp.

Apart from logits and gradient there is no [N, V] buffer, only scratch chunks of `CPU_CHUNK_BYTES`
or `CUDA_CHUNK_BYTES`: up to three, and one each for gathered rows of logits, teacher and gradient.
All arithmetic is in float32 (float64 for float64 logits). Where the gradient has that precision
and the logits are on the CPU, forward writes the gradient for g = 1 while a chunk and its
distributions are in the cache, and backward multiplies it by g where g is not 1. Elsewhere
backward computes them once more, and applies g before the gradient is rounded to half precision,
so that loss scaling protects what would otherwise be flushed to zero.

For β = 2, 3, 4, p is P* to that power up to a factor: one softmax instead of two. On the CPU
ignored rows are left out of all arithmetic if they are many; where they are few, and on a GPU,
where finding them would synchronize, they are computed and set to zero.
"""

from typing import Any

import torch
from torch import Tensor

from fairseq_labo.ops.backward import FirstDerivativeOnly, check_one_gradient, keep, kept
from fairseq_labo.ops.chunked_rows import (
    PerRow,
    Prior,
    Scratch,
    distributions,
    empty_per_row,
    gradient_of_chunk,
)
from fairseq_labo.ops.memory import empty_contiguous
from fairseq_labo.ops.reference import compute_dtype
from fairseq_labo.ops.settings import Settings, TokenLosses

# Gathering the rows that are not ignored (logits in forward and again in backward) and scattering
# their gradient costs about a quarter of the arithmetic on all rows.
SHARE_WORTH_GATHERING = 0.25


def _rows_not_ignored(ignored: Tensor) -> Tensor | None:
    """Numbers of the rows that are not ignored, or None if all rows shall be computed.

    None on a GPU, where counting would synchronize, and where few rows are ignored.
    """
    if ignored.is_cuda or int(ignored.sum()) < SHARE_WORTH_GATHERING * ignored.numel():
        return None
    return ignored.logical_not().nonzero().squeeze(1)


def _finish(out: PerRow, target_logit: Tensor, ignored: Tensor, settings: Settings) -> TokenLosses:
    """The losses from what the chunks left per row; `out` is used up."""
    nll = (out.sum_p.log() - (target_logit - out.largest)).masked_fill_(ignored, 0.0)
    reg = entropy = None
    loss = nll.clone()
    if settings.regularized:
        reg = out.reg.masked_fill_(ignored, 0.0)
        if settings.in_loss:
            alpha = settings.label_smoothing
            loss = nll * (1.0 - alpha) + reg * alpha
    if settings.statistics:
        entropy = out.entropy.masked_fill_(ignored, 0.0)
    argmax = out.argmax.masked_fill_(ignored, -1) if settings.argmax else None
    return TokenLosses(loss, nll, reg, entropy, argmax)


def _takes_gradient_along(logits: Tensor) -> bool:
    """Whether forward writes the gradient too, which must then bear another multiplication."""
    return not logits.is_cuda and logits.dtype == compute_dtype(logits)


def _losses_in_one_pass(
    logits: Tensor,
    target: Tensor,
    settings: Settings,
    teacher: Tensor | None,
    prior: Tensor | None,
    *,
    scratch: Scratch | None = None,
    not_ignored: Tensor | None = None,
    gradient: Tensor | None = None,
    upstream: float | Tensor = 1.0,
) -> TokenLosses:
    """The losses of all rows.

    Fills `gradient` [N, V], if it is given, with the gradient of Σ upstream · L, for one number or
    [N, 1] of them: the exponentials serve both. `not_ignored`: as of `_rows_not_ignored`.
    """
    scratch, out = scratch or Scratch(logits), empty_per_row(logits)
    ignored = target.eq(settings.ignore_index)
    y = target.masked_fill(ignored, 0)
    weights = None if prior is None else Prior.of(prior)
    for rows in scratch.chunks(logits, not_ignored):
        z = scratch.read(logits, rows, "logits")
        t = None if teacher is None else scratch.read(teacher, rows, "teacher")
        if gradient is None:
            distributions(z, t, weights, rows, out, scratch, settings)
            continue
        in_place = isinstance(rows, slice) and gradient.dtype == scratch.dtype
        p = gradient[rows] if in_place else scratch.get("gradient", z.size(0))
        both = distributions(z, t, weights, rows, out, scratch, settings, p)
        g = upstream[rows] if isinstance(upstream, Tensor) else upstream
        chunk = gradient_of_chunk(both, g, settings, prior)
        at_target = torch.full_like(chunk[:, :1], settings.label_smoothing - 1.0).mul_(g)
        chunk.scatter_add_(1, y[rows].unsqueeze(1), at_target)
        if ignored.is_cuda:  # multiplying by 0 would keep the NaN of an ignored row
            chunk.masked_fill_(ignored[rows].unsqueeze(1), 0.0)
        if not in_place:
            gradient[rows] = chunk.to(gradient.dtype)
    if gradient is not None and not ignored.is_cuda:
        gradient.index_fill_(0, ignored.nonzero().squeeze(1), 0.0)
    target_logit = logits.gather(1, y.unsqueeze(1)).squeeze(1).to(scratch.dtype)
    return _finish(out, target_logit, ignored, settings)


class _ChunkedTokenLosses(torch.autograd.Function):
    """Per-token loss (differentiable), −log p_y, R, H(P) and argmax (not differentiable)."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        target: Tensor,
        settings: Settings,
        teacher: Tensor | None,
        prior: Tensor | None,
        differentiable: bool,
    ) -> tuple[Tensor | None, ...]:
        not_ignored = _rows_not_ignored(target.eq(settings.ignore_index))
        along = differentiable and ctx.needs_input_grad[0] and _takes_gradient_along(logits)
        gradient = empty_contiguous(logits) if along else None
        results = _losses_in_one_pass(
            logits, target, settings, teacher, prior, not_ignored=not_ignored, gradient=gradient
        )
        keep(ctx, logits, target, teacher, prior)
        ctx.not_ignored, ctx.settings, ctx.gradient = not_ignored, settings, gradient
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(x for x in results[1:] if x is not None))
        return results

    @staticmethod
    def backward(ctx: Any, upstream: Tensor | None, *_: Tensor | None) -> tuple[Any, ...]:
        if upstream is None:
            return (None,) * 6
        check_one_gradient(upstream)
        case = kept(ctx)  # once: torch's checkpoints do not allow more
        logits, target = case[:2]
        ignored = target.eq(ctx.settings.ignore_index)
        g = upstream.to(compute_dtype(logits)).masked_fill(ignored, 0.0).unsqueeze(1)  # [N, 1]
        with torch.no_grad():
            if _takes_gradient_along(logits):
                gradient, ctx.gradient = ctx.gradient, None  # the caller may write into it
                if gradient is None:  # a second call
                    gradient = _ChunkedTokenLosses._gradient(ctx, case, 1.0)
                if not bool((g.squeeze(1).eq(1.0) | ignored).all()):
                    gradient.mul_(g)
            else:
                gradient = _ChunkedTokenLosses._gradient(ctx, case, g)
        if torch.is_grad_enabled():  # create_graph=True
            gradient = FirstDerivativeOnly.apply(gradient, logits, upstream)
        return gradient, *(None,) * 5

    @staticmethod
    def _gradient(ctx: Any, case: tuple[Any, ...], g: float | Tensor) -> Tensor:
        """The gradient of Σ g L  [N, V], computed from the logits again; case: what was kept."""
        logits, target, teacher, prior = case
        settings = ctx.settings._replace(statistics=False, argmax=False)
        gradient = empty_contiguous(logits)
        _losses_in_one_pass(
            logits, target, settings, teacher, prior,
            not_ignored=ctx.not_ignored, gradient=gradient, upstream=g,
        )  # fmt: skip
        return gradient


def chunked_token_losses(
    logits: Tensor,
    target: Tensor,
    settings: Settings,
    teacher_logits: Tensor | None = None,
    prior: Tensor | None = None,
) -> TokenLosses:
    """The same contract as `ops.reference.dense_token_losses`."""
    teacher = None if teacher_logits is None else teacher_logits.detach()
    case = (logits, target, settings, teacher, prior, torch.is_grad_enabled())
    return TokenLosses(*_ChunkedTokenLosses.apply(*case))


class LossesAndGradient:
    """The losses and the gradient of their sum in one pass, for batches of up to so many rows.

    The buffers are used again for each batch.
    """

    def __init__(self, logits: Tensor) -> None:
        """Make room for batches like `logits` [N, V], or of fewer rows."""
        self.scratch = Scratch(logits)
        self.gradient = empty_contiguous(logits)

    @torch.no_grad()
    def __call__(
        self,
        logits: Tensor,
        target: Tensor,
        settings: Settings,
        teacher_logits: Tensor | None,
        prior: Tensor | None,
        upstream: float,
    ) -> tuple[TokenLosses, Tensor]:
        """The losses, and the gradient of `upstream` times their sum [n, V], until the next call.

        logits, teacher_logits: [n, V]; target: int64 [n]; prior: [V].
        """
        gradient = self.gradient[: logits.size(0)]
        losses = _losses_in_one_pass(
            logits, target, settings, teacher_logits, prior,
            scratch=self.scratch, gradient=gradient, upstream=upstream,
        )  # fmt: skip
        return losses, gradient

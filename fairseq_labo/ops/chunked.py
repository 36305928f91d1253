"""Label regularization in PyTorch, by chunks of rows: light on memory, CPU and GPU.

Per row, with m = max z, d = (z − m)/β, S = Σ exp(z − m) and T = Σ exp(d)::

    −log p_y = log S − (z_y − m)
    R        = log S − β log(T/V)         (log1p(mean(expm1(d))) where T/V is near 1)
    H(P*)    = log T − Σ d exp(d) / T
    ∂L/∂z    = g (p − α P* − (1 − α) e_y),   p = exp(z − m)/S,   P* = exp(d)/T

With a teacher's logits s, P = softmax(s/β) and R = H(P, p) = log S − Σ P (z − m).

Forward reads the logits once and keeps m, S and T per row; backward reads them once more and
writes the gradient. Apart from logits and gradient there is no [N, V] buffer, only scratch
chunks of `CHUNK_BYTES`. All arithmetic is in float32 (float64 for float64 logits); the upstream
gradient g is applied before the gradient is rounded to the logits' dtype, so that loss scaling
protects what half precision would otherwise flush to zero.

For β = 2, 3, 4, exp(z − m) is a power of exp(d): one exponential per logit instead of two. On
the CPU ignored rows are left out of all arithmetic if they are many; where they are few, and on a
GPU, where finding them would wait for the device, they are computed and set to zero.
"""

from typing import Any

import torch
from torch import Tensor

from fairseq_labo.ops.chunked_rows import (
    PerRow,
    Scratch,
    backward_chunk,
    empty_per_row,
    forward_chunk,
    gradient_of_chunk,
)
from fairseq_labo.ops.memory import empty_contiguous
from fairseq_labo.ops.second_derivative import FirstDerivativeOnly
from fairseq_labo.ops.settings import Settings, TokenLosses

# To gather the other rows, twice, and to scatter their gradient costs about a quarter of the rest.
SHARE_WORTH_GATHERING = 0.25


def _counted_rows(ignored: Tensor) -> Tensor | None:
    """Numbers of the rows that count, or None if all rows shall be computed.

    None on a GPU, where asking would cost a synchronization, and where few rows are ignored.
    """
    if ignored.is_cuda or int(ignored.sum()) < SHARE_WORTH_GATHERING * ignored.numel():
        return None
    return ignored.logical_not().nonzero().squeeze(1)


def _finish(
    out: PerRow, target_logit: Tensor, ignored: Tensor, settings: Settings
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """The fields of TokenLosses from what the chunks left per row; `out` is used up."""
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
    return loss, nll, reg, entropy, argmax


def _target_logits(logits: Tensor, y: Tensor, dtype: torch.dtype) -> Tensor:
    """z_y [N] of logits [N, V]."""
    return logits.gather(1, y.unsqueeze(1)).squeeze(1).to(dtype)


class _ChunkedTokenLosses(torch.autograd.Function):
    """Per-token loss (differentiable), −log p_y, R, H(P) and argmax (not differentiable)."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Tensor, settings: Settings, teacher: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        scratch, out = Scratch(logits), empty_per_row(logits)
        ignored = target.eq(settings.ignore_index)
        counted = _counted_rows(ignored)
        for rows in scratch.chunks(logits, counted):
            z = scratch.read(logits, rows, "logits")
            s = None if teacher is None else scratch.read(teacher, rows, "teacher")
            forward_chunk(z, s, rows, out, scratch, settings)
        y = target.masked_fill(ignored, 0)
        results = _finish(out, _target_logits(logits, y, scratch.dtype), ignored, settings)
        ctx.save_for_backward(logits, teacher, y, ignored, *out[:4])
        ctx.counted, ctx.settings = counted, settings
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(x for x in results[1:] if x is not None))
        return results

    @staticmethod
    def backward(ctx: Any, upstream: Tensor | None, *_: Tensor | None) -> tuple[Any, ...]:
        if upstream is None:
            return None, None, None, None
        gradient = _ChunkedTokenLosses._gradient(ctx, upstream)
        if torch.is_grad_enabled():  # create_graph=True
            gradient = FirstDerivativeOnly.apply(gradient, ctx.saved_tensors[0], upstream)
        return gradient, None, None, None

    @staticmethod
    @torch.no_grad()
    def _gradient(ctx: Any, upstream: Tensor) -> Tensor:
        logits, teacher, y, ignored, *saved = ctx.saved_tensors
        settings, scratch = ctx.settings, Scratch(logits)
        gradient = empty_contiguous(logits)
        upstream = upstream.to(scratch.dtype).masked_fill(ignored, 0.0).unsqueeze(1)  # [N, 1]
        at_target = upstream * -(1.0 - settings.label_smoothing)
        for rows in scratch.chunks(logits, ctx.counted):
            z = scratch.read(logits, rows, "logits")
            s = None if teacher is None else scratch.read(teacher, rows, "teacher")
            in_place = isinstance(rows, slice) and gradient.dtype == scratch.dtype
            out = gradient[rows] if in_place else scratch.get("first", z.size(0))
            per_row = [row[rows].unsqueeze(1) for row in saved]
            backward_chunk(z, s, per_row, upstream[rows], out, scratch, settings)
            out.scatter_add_(1, y[rows].unsqueeze(1), at_target[rows])
            if logits.is_cuda:  # multiplying by 0 would keep the NaN of an ignored row
                out.masked_fill_(ignored[rows].unsqueeze(1), 0.0)
            if not in_place:
                gradient[rows] = out.to(gradient.dtype)
        if not logits.is_cuda:
            gradient.index_fill_(0, ignored.nonzero().squeeze(1), 0.0)
        return gradient


def chunked_token_losses(
    logits: Tensor, target: Tensor, settings: Settings, teacher_logits: Tensor | None = None
) -> TokenLosses:
    """The same contract as `ops.reference.dense_token_losses`."""
    teacher = None if teacher_logits is None else teacher_logits.detach()
    return TokenLosses(*_ChunkedTokenLosses.apply(logits, target, settings, teacher))


class LossesAndGradient:
    """The losses and the gradient of their sum in one pass, for batches of up to so many rows.

    Where both are wanted at once, the exponentials of forward serve backward too. The buffers are
    used again for each batch.
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
        upstream: float,
    ) -> tuple[TokenLosses, Tensor]:
        """The losses, and the gradient of `upstream` times their sum [n, V], until the next call.

        logits, teacher_logits: [n, V]; target: int64 [n].
        """
        scratch, out = self.scratch, empty_per_row(logits)
        gradient = self.gradient[: logits.size(0)]
        in_place = gradient.dtype == scratch.dtype
        ignored = target.eq(settings.ignore_index)
        masked = ignored.is_cuda or bool(ignored.any())
        y = target.masked_fill(ignored, 0)
        target_logit = _target_logits(logits, y, scratch.dtype)
        g = torch.full_like(target_logit, upstream).masked_fill_(ignored, 0.0).unsqueeze(1)
        for rows in scratch.chunks(logits, None):
            z = logits[rows]
            s = None if teacher_logits is None else teacher_logits[rows]
            kept = gradient[rows] if in_place else scratch.get("gradient", z.size(0))
            forward_chunk(z, s, rows, out, scratch, settings, keep=kept)
            saved = [row[rows].unsqueeze(1) for row in out[:4]]
            gradient_of_chunk(kept, s, saved, g[rows], scratch, settings)
            at_target = g[rows] * -(1.0 - settings.label_smoothing)
            kept.scatter_add_(1, y[rows].unsqueeze(1), at_target)
            if masked:  # multiplying by 0 has kept the NaN of an ignored row
                kept.masked_fill_(ignored[rows].unsqueeze(1), 0.0)
            if not in_place:
                gradient[rows] = kept.to(gradient.dtype)
        return TokenLosses(*_finish(out, target_logit, ignored, settings)), gradient

"""Label regularization in PyTorch, by chunks of rows: light on memory, CPU and GPU.

Per row, with m = max z, d = (z − m)/β, S = Σ exp(z − m) and T = Σ exp(d)::

    −log p_y = log S − (z_y − m)
    R        = log S − β log(T/V)         (log1p(mean(expm1(d))) where T/V is near 1)
    H(P*)    = log T − Σ d exp(d) / T
    ∂L/∂z    = g (p − α P* − (1 − α) e_y),   p = exp(z − m)/S,   P* = exp(d)/T

Forward reads the logits once and keeps m, S and T per row; backward reads them once more and
writes the gradient. Apart from logits and gradient there is no [N, V] buffer, only two
scratch chunks of `CHUNK_BYTES`. All arithmetic is in float32 (float64 for float64 logits);
the upstream gradient g is applied before the gradient is rounded to the logits' dtype, so
that loss scaling protects what half precision would otherwise flush to zero.

For β = 2, 3, 4, exp(z − m) is a power of exp(d): one exponential per logit instead of two.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fairseq_labo.ops.reference import compute_dtype

CHUNK_BYTES = 4 * 2**20
INTEGER_POWERS = (2.0, 3.0, 4.0)
# Finite, so that a masked type adds 0 · d = 0 to H(P*), not 0 · (−inf) = NaN.
LOWEST_EXPONENT = -1e30


class Settings(NamedTuple):
    """What a call of the loss is parametrized by."""

    label_smoothing: float
    beta: float
    ignore_index: int
    statistics: bool

    @property
    def regularized(self) -> bool:
        """Whether R enters the loss."""
        return self.label_smoothing > 0.0

    @property
    def uniform(self) -> bool:
        """Whether P* is the uniform distribution."""
        return math.isinf(self.beta)


class Rows(NamedTuple):
    """One chunk of rows: their range, and two scratch buffers [rows, V] for them."""

    start: int
    stop: int
    first: Tensor
    second: Tensor


def _chunks(logits: Tensor) -> list[Rows]:
    dtype = compute_dtype(logits)
    num_tokens, vocab_size = logits.shape
    num_rows = max(1, CHUNK_BYTES // (vocab_size * dtype.itemsize))
    num_rows = min(num_rows, max(1, num_tokens))
    first = torch.empty(num_rows, vocab_size, dtype=dtype, device=logits.device)
    second = torch.empty_like(first)
    chunks = []
    for start in range(0, num_tokens, num_rows):
        stop = min(num_tokens, start + num_rows)
        chunks.append(Rows(start, stop, first[: stop - start], second[: stop - start]))
    return chunks


def _scaled_difference(z: Tensor, largest: Tensor, beta: float, out: Tensor) -> Tensor:
    """out = (z − m)/β; the difference first, since it is exact where it matters."""
    return torch.sub(z, largest, out=out).mul_(1.0 / beta)


def _log_mean(d: Tensor, exp_sum: Tensor, scratch: Tensor) -> Tensor:
    """log((1/V) Σ exp(d)) by the form that does not cancel.  d: [n, V]; returns [n]."""
    mean = exp_sum / d.size(1)
    flat = mean > 0.5
    if not d.is_cuda and not bool(flat.any()):
        return mean.log()
    mean_minus_1 = torch.expm1(d, out=scratch).mean(1)
    return torch.where(flat, torch.log1p(mean_minus_1), mean.log())


class _ForwardBuffers:
    """Per-row results of the forward pass, each [N]."""

    def __init__(self, logits: Tensor) -> None:
        self.largest = logits.new_empty(logits.size(0), dtype=compute_dtype(logits))
        self.sum_p = torch.empty_like(self.largest)  # S
        self.sum_label = torch.empty_like(self.largest)  # T
        self.reg = torch.empty_like(self.largest)
        self.entropy = torch.empty_like(self.largest)


def _forward_chunk(logits: Tensor, rows: Rows, out: _ForwardBuffers, settings: Settings) -> None:
    here = slice(rows.start, rows.stop)
    z = logits[here]
    d, e = rows.first, rows.second
    largest = z.amax(1, keepdim=True).to(d.dtype)  # [n, 1]
    out.largest[here] = largest.squeeze(1)
    with_reg = settings.regularized or settings.statistics
    if not with_reg or settings.uniform:
        torch.sub(z, largest, out=d)
        if with_reg:
            mean_d = d.mean(1)
        sum_p = d.exp_().sum(1)
        out.sum_p[here] = sum_p
        if with_reg:
            out.reg[here] = sum_p.log() - mean_d
            out.entropy[here] = math.log(z.size(1))
        return
    _scaled_difference(z, largest, settings.beta, out=d)
    sum_label = torch.exp(d, out=e).sum(1)
    out.sum_label[here] = sum_label
    if settings.statistics:
        expected_d = torch.linalg.vecdot(d.clamp_(min=LOWEST_EXPONENT), e) / sum_label
        out.entropy[here] = sum_label.log() - expected_d
    if settings.beta in INTEGER_POWERS:
        sum_p = _power(e, settings.beta).sum(1)
    else:
        sum_p = torch.mul(d, settings.beta, out=e).exp_().sum(1)
    out.sum_p[here] = sum_p
    out.reg[here] = sum_p.log() - settings.beta * _log_mean(d, sum_label, e)


def _power(e: Tensor, exponent: float) -> Tensor:
    """e^exponent in place, for exponents 1 to 4, by multiplications."""
    if exponent == 1.0:
        return e
    if exponent == 4.0:
        return e.square_().square_()
    return e.pow_(int(exponent))


def _backward_chunk(
    logits: Tensor, rows: Rows, saved: tuple[Tensor, ...], upstream: Tensor, settings: Settings
) -> Tensor:
    """g (p − α P* ) for one chunk, in the second scratch buffer or the first: [n, V]."""
    here = slice(rows.start, rows.stop)
    largest, sum_p, sum_label = (row[here].unsqueeze(1) for row in saved)
    z, g = logits[here], upstream[here].unsqueeze(1)  # g: [n, 1]
    alpha, beta = settings.label_smoothing, settings.beta
    d, e = rows.first, rows.second
    if not settings.regularized or settings.uniform:
        torch.sub(z, largest, out=d).exp_().mul_(g / sum_p)
        return d.sub_(g * (alpha / z.size(1))) if settings.regularized else d
    _scaled_difference(z, largest, beta, out=d)
    if beta in INTEGER_POWERS:
        # e (e^(β−1) g/S − α g/T), e = exp(d)
        torch.exp(d, out=e)
        d.copy_(e)
        return _power(d, beta - 1.0).mul_(g / sum_p).sub_(alpha * g / sum_label).mul_(e)
    torch.exp(d, out=e).mul_(alpha * g / sum_label)
    return d.mul_(beta).exp_().mul_(g / sum_p).sub_(e)


class _ChunkedTokenLosses(torch.autograd.Function):
    """Per-token loss (differentiable), −log p_y, R and H(P*) (not differentiable)."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Tensor, settings: Settings
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        out = _ForwardBuffers(logits)
        for rows in _chunks(logits):
            _forward_chunk(logits, rows, out, settings)
        ignored = target.eq(settings.ignore_index)
        y = target.masked_fill(ignored, 0)
        target_logit = logits.gather(1, y.unsqueeze(1)).squeeze(1).to(out.largest.dtype)
        nll = (out.sum_p.log() - (target_logit - out.largest)).masked_fill_(ignored, 0.0)
        ctx.save_for_backward(logits, y, ignored, out.largest, out.sum_p, out.sum_label)
        ctx.settings = settings
        ctx.set_materialize_grads(False)
        if not (settings.regularized or settings.statistics):
            ctx.mark_non_differentiable(nll)
            return nll.clone(), nll, None, None
        reg = out.reg.masked_fill_(ignored, 0.0)
        alpha = settings.label_smoothing
        loss = nll * (1.0 - alpha) + reg * alpha if settings.regularized else nll.clone()
        entropy = out.entropy.masked_fill_(ignored, 0.0) if settings.statistics else None
        ctx.mark_non_differentiable(*(x for x in (nll, reg, entropy) if x is not None))
        return loss, nll, reg, entropy

    @staticmethod
    def backward(ctx: Any, upstream: Tensor | None, *_: Tensor | None) -> tuple[Any, ...]:
        if upstream is None:
            return None, None, None
        gradient = _ChunkedTokenLosses._gradient(ctx, upstream)
        if torch.is_grad_enabled():  # create_graph=True
            gradient = _FirstDerivativeOnly.apply(gradient, ctx.saved_tensors[0], upstream)
        return gradient, None, None

    @staticmethod
    @torch.no_grad()
    def _gradient(ctx: Any, upstream: Tensor) -> Tensor:
        logits, y, ignored, *saved = ctx.saved_tensors
        settings = ctx.settings
        gradient = torch.empty_like(logits, memory_format=torch.contiguous_format)
        upstream = upstream.to(saved[0].dtype).masked_fill(ignored, 0.0)
        at_target = (-(1.0 - settings.label_smoothing) * upstream).unsqueeze(1)  # [N, 1]
        for rows in _chunks(logits):
            here = slice(rows.start, rows.stop)
            chunk = _backward_chunk(logits, rows, tuple(saved), upstream, settings)
            chunk.scatter_add_(1, y[here].unsqueeze(1), at_target[here])
            # Multiplying by 0 would keep the NaN of an ignored row.
            chunk.masked_fill_(ignored[here].unsqueeze(1), 0.0)
            gradient[here] = chunk
        return gradient


class _FirstDerivativeOnly(torch.autograd.Function):
    """The gradient as it is; differentiating it says that this cannot be done here."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, logits: Tensor, upstream: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Any, ...]:
        raise RuntimeError(
            'impl="torch" has no second derivative; use impl="reference", whose derivatives '
            "autograd takes"
        )


def chunked_token_losses(
    logits: Tensor,
    target: Tensor,
    label_smoothing: float,
    beta: float,
    ignore_index: int,
    statistics: bool,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """The same contract as `ops.reference.dense_token_losses`."""
    settings = Settings(label_smoothing, beta, ignore_index, statistics)
    return _ChunkedTokenLosses.apply(logits, target, settings)

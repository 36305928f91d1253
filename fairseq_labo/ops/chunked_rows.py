"""The arithmetic of one chunk of rows; formulas and symbols are those of `ops.chunked`."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_labo.ops.reference import compute_dtype
from fairseq_labo.ops.settings import LARGEST_BETA_BY_LOG, Settings

CPU_CHUNK_BYTES = 4 * 2**20  # stays in the cache
CUDA_CHUNK_BYTES = 64 * 2**20  # few enough launches
CHUNKED_POWERS = (2.0, 3.0, 4.0)
CUDA_CHUNKED_POWERS = (2.0,)  # a GPU's exponential is less exact, and a power magnifies that
FLAT_MEAN = 0.5  # of exp(d), above which its distance from 1 is what counts
LOWEST_PRECISE_SUM = -16.0  # of d and log π
SMALLEST_WEIGHTED_SUM = 1e-30  # of π exp(d); its terms must not lose digits below 1e-38

Rows = slice | Tensor  # a range of rows, or row numbers


class Scratch:
    """Reused buffers of `num_rows` rows, allocated when first asked for."""

    def __init__(self, logits: Tensor) -> None:
        self.device, self.dtype = logits.device, compute_dtype(logits)
        num_tokens, self.vocab_size = logits.shape
        budget = CUDA_CHUNK_BYTES if logits.is_cuda else CPU_CHUNK_BYTES
        num_rows = budget // (self.vocab_size * self.dtype.itemsize)
        self.num_rows = max(1, min(num_rows, num_tokens))
        self.flat = False  # whether exp(d) was near 1 in all rows of the chunk before
        self._buffers: dict[str, Tensor] = {}

    def get(self, name: str, size: int, dtype: torch.dtype | None = None) -> Tensor:
        """The buffer of that name, [size, V]; its content is left over from earlier use."""
        if name not in self._buffers:
            shape = self.num_rows, self.vocab_size
            dtype = dtype or self.dtype
            self._buffers[name] = torch.empty(shape, dtype=dtype, device=self.device)
        return self._buffers[name][:size]

    def read(self, matrix: Tensor, rows: Rows, name: str) -> Tensor:
        """Those rows of an [N, V] matrix: a view of a range, else gathered."""
        if isinstance(rows, slice):
            return matrix[rows]
        out = self.get(name, rows.size(0), matrix.dtype)
        return torch.index_select(matrix, 0, rows, out=out)

    def chunks(self, logits: Tensor, not_ignored: Tensor | None) -> list[Rows]:
        """The rows of `logits` in order, chunk by chunk; if given, only those numbers."""
        if not_ignored is None:
            starts = range(0, logits.size(0), self.num_rows)
            return [slice(start, start + self.num_rows) for start in starts]
        return list(not_ignored.split(self.num_rows)) if not_ignored.numel() else []


def _scaled_difference(z: Tensor, largest: Tensor, beta: float, out: Tensor) -> Tensor:
    """out = (z − m)/β; the difference first, since it is exact where it matters."""
    torch.sub(z, largest, out=out)
    return out if beta == 1.0 else out.mul_(1.0 / beta)


def _power(values: Tensor, exponent: float, out: Tensor | None = None) -> Tensor:
    """values^exponent, for exponents 2, 3 and 4, by multiplications."""
    out = torch.mul(values, values, out=out)
    if exponent == 2.0:
        return out
    return out.square_() if exponent == 4.0 else out.mul_(values)


def _exp(d: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
    """out = exp(d) up to a factor; return the largest entry of each row and their sum, both [n].

    torch's kernel of softmax takes less time than that of exp. Its own sums are off by up to 1e-6,
    so what it writes is summed up once more. Where the largest d is 0, Σ exp(d) = sum/largest.
    """
    return torch.softmax(d, 1, out=out).amax(1), out.sum(1)


def _expectation(values: Tensor, weights: Tensor) -> Tensor:
    """Σ weights · values, where a weight of 0 silences a value of −inf: [n]."""
    found = torch.linalg.vecdot(values, weights)
    if values.is_cuda or bool(found.isnan().any()):
        found = torch.linalg.vecdot(values.masked_fill_(weights == 0, 0.0), weights)
    return found


class Prior(NamedTuple):
    """π and log π, each [V]; of the uniform distribution there is none."""

    weights: Tensor
    log: Tensor

    @classmethod
    def of(cls, weights: Tensor) -> "Prior":
        """From π [V]; log π is −inf where it is 0."""
        return cls(weights, weights.log())


class PerRow(NamedTuple):
    """What the chunks leave per row, each [N]."""

    largest: Tensor  # m
    sum_p: Tensor  # S
    reg: Tensor
    entropy: Tensor
    argmax: Tensor


def empty_per_row(logits: Tensor) -> PerRow:
    """Room for the rows of logits [N, V], in the dtype that is computed in."""

    def empty(dtype: torch.dtype) -> Tensor:
        return torch.empty(logits.size(0), dtype=dtype, device=logits.device)

    real = compute_dtype(logits)
    return PerRow(empty(real), empty(real), empty(real), empty(real), empty(torch.long))


class Distributions(NamedTuple):
    """p and P (`smoothing`) of a chunk, [n, V], each up to its sum, [n]."""

    p: Tensor
    p_sum: Tensor
    smoothing: Tensor | None = None  # None where P is the prior, or does not count
    smoothing_sum: Tensor | None = None


def distributions(
    z: Tensor,
    teacher: Tensor | None,
    prior: Prior | None,
    rows: Rows,
    out: PerRow,
    scratch: Scratch,
    settings: Settings,
    p: Tensor | None = None,
) -> Distributions:
    """Fill `out[rows]` from those rows' logits z [n, V]; return p and P, for `gradient_of_chunk`.

    They are in the buffer `p` [n, V] and in scratch memory. Without that buffer they share their
    memory, and only what is in `out` is of use.
    """
    d, smoothing = scratch.get("first", z.size(0)), scratch.get("second", z.size(0))
    if settings.argmax:
        largest, out.argmax[rows] = z.max(1, keepdim=False)
    else:
        largest = z.amax(1)
    out.largest[rows] = largest = largest.to(d.dtype)
    powers = CUDA_CHUNKED_POWERS if d.is_cuda else CHUNKED_POWERS
    if settings.in_loss and settings.beta in powers and teacher is None:
        _scaled_difference(z, largest.unsqueeze(1), settings.beta, out=d)
        found = _by_powers(d, smoothing, prior, rows, out, scratch, settings, p)
        if found is not None:
            return found
    torch.sub(z, largest.unsqueeze(1), out=d)
    p = smoothing if p is None else p
    top, p_sum = _exp(d, out=p)
    out.sum_p[rows] = sum_p = p_sum / top
    if not settings.regularized:
        return Distributions(p, p_sum)
    if teacher is not None and not settings.at_prior:  # at β = ∞ it is uniform, masked types too
        smoothing_d = scratch.get("third", z.size(0))
        top = teacher.amax(1, keepdim=True).to(d.dtype)
        _scaled_difference(teacher, top, settings.beta, out=smoothing_d)
        top, smoothing_sum = _exp(smoothing_d, out=smoothing)
        log_total = (smoothing_sum / top).log()
        out.reg[rows] = sum_p.log() - _expectation(d, smoothing) / smoothing_sum
    elif settings.at_prior:
        if prior is None:
            mean, out.entropy[rows] = d.mean(1), math.log(z.size(1))
        else:
            # By sum, which adds up pairwise: a matrix product loses ten times the digits.
            mean = d.masked_fill_(prior.weights == 0, 0.0).mul_(prior.weights).sum(1)
            out.entropy[rows] = torch.special.entr(prior.weights).sum()
        out.reg[rows] = sum_p.log() - mean
        return Distributions(p, p_sum)
    elif prior is not None:
        smoothing_d = scratch.get("third", z.size(0))
        sums = _weighted_sums(d, smoothing, smoothing_d, prior, settings.beta)
        log_weighted, log_total, smoothing_sum = sums
        out.reg[rows] = sum_p.log() - settings.beta * log_weighted
    else:
        smoothing_d = d.mul_(1.0 / settings.beta)
        smoothing_sum, log_mean = _smoothing_sums(d, smoothing, scratch, settings.beta)
        log_total = log_mean + math.log(z.size(1))
        out.reg[rows] = sum_p.log() - settings.beta * log_mean
    if settings.statistics:
        entropy = log_total - _expectation(smoothing_d, smoothing) / smoothing_sum
        out.entropy[rows] = entropy if prior is None else entropy.clamp_(min=0.0)  # of P = 0, too
    return Distributions(p, p_sum, smoothing, smoothing_sum)


def _by_powers(
    d: Tensor,
    smoothing: Tensor,
    prior: Prior | None,
    rows: Rows,
    out: PerRow,
    scratch: Scratch,
    settings: Settings,
    p: Tensor | None,
) -> Distributions | None:
    """The same where p is a power of P up to a factor, but for the prior.

    With exp(d) = e up to a factor, and e' the largest e: S = Σ e^β / e'^β, T = Σ e / e'.
    Returns None where the types that have mass in the prior lie so far below the largest that T
    would lose precision.
    """
    if prior is not None and d.is_cuda:  # looking at T would synchronize
        return None
    top, smoothing_sum = _exp(d, out=smoothing)
    if p is None and settings.beta == 2.0:
        p, p_sum = smoothing, torch.linalg.vecdot(smoothing, smoothing)
    else:
        p = scratch.get("third", d.size(0)) if p is None else p
        p_sum = _power(smoothing, settings.beta, out=p).sum(1)
    # The largest term of S is 1; rounding must not take S below.
    out.sum_p[rows] = sum_p = (p_sum / _power(top, settings.beta)).clamp_(min=1.0)
    if prior is not None:
        smoothing_sum = smoothing.mul_(prior.weights).sum(1)
        if bool((smoothing_sum < SMALLEST_WEIGHTED_SUM).any()):
            return None
        d.add_(prior.log)
    total = smoothing_sum / top
    mean = total / d.size(1) if prior is None else total
    out.reg[rows] = sum_p.log() - settings.beta * mean.log()
    if settings.statistics:
        out.entropy[rows] = total.log() - _expectation(d, smoothing) / smoothing_sum
    return Distributions(p, p_sum, smoothing, smoothing_sum)


def _smoothing_sums(
    d: Tensor, smoothing: Tensor, scratch: Scratch, beta: float
) -> tuple[Tensor, Tensor]:
    """smoothing = P* up to its sum; return that sum and log(T/V), T = Σ exp(d), both [n].

    Where β magnifies the rounding of T and T/V is near 1, log(T/V) is log1p(mean(expm1(d)));
    elsewhere it comes from the sum of exponentials. Rows of one batch resemble each other, so the
    form that served the last chunk is tried first, and the other one costs its pass only where the
    guess was wrong.
    """
    vocab_size = d.size(1)
    if scratch.flat:
        mean_minus_1 = torch.expm1(d, out=smoothing).mean(1)
        scratch.flat = bool((mean_minus_1 > FLAT_MEAN - 1.0).all())
        if scratch.flat:
            smoothing.add_(1.0)
            return (mean_minus_1 + 1.0) * vocab_size, mean_minus_1.log1p()
    top, smoothing_sum = _exp(d, out=smoothing)
    mean = smoothing_sum / (top * vocab_size)
    if beta <= LARGEST_BETA_BY_LOG:
        return smoothing_sum, mean.log()
    flat = mean > FLAT_MEAN
    if not d.is_cuda:
        scratch.flat = bool(flat.all())
        if not bool(flat.any()):
            return smoothing_sum, mean.log()
    mean_minus_1 = torch.expm1(d, out=scratch.get("third", d.size(0))).mean(1)
    return smoothing_sum, torch.where(flat, mean_minus_1.log1p(), mean.log())


def _weighted_sums(
    d: Tensor, smoothing: Tensor, weighted_d: Tensor, prior: Prior, beta: float
) -> tuple[Tensor, Tensor, Tensor]:
    """With x = z − m in `d`: `smoothing` = P* up to its sum, `weighted_d` = x/β + log π − c.

    Returns log T, T = Σ π exp(x/β), then log T − c, and the sum of `smoothing`, each [n].
    """
    d.mul_(1.0 / beta)
    largest = torch.add(d, prior.log, out=weighted_d).amax(1)
    masked = largest.isneginf()  # every type that has mass
    shift = torch.zeros_like(largest)  # c
    if d.is_cuda or bool((largest < LOWEST_PRECISE_SUM).any()):
        # First near their own maximum, then log π: a sum of large numbers would lose digits.
        shift = largest.masked_fill(masked, 0.0)
        torch.sub(d, shift.unsqueeze(1), out=weighted_d)
        largest = weighted_d.add_(prior.log).amax(1)
    top, smoothing_sum = _exp(weighted_d, out=smoothing)
    log_sum = largest + (smoothing_sum / top).log()
    if d.is_cuda or bool(masked.any()):
        smoothing.masked_fill_(masked.unsqueeze(1), 0.0)
        smoothing_sum = smoothing_sum.masked_fill(masked, 1.0)
        log_sum = torch.where(masked, largest, log_sum)
    log_total = log_sum + shift
    if beta > LARGEST_BETA_BY_LOG:
        mean_minus_1 = torch.expm1(d, out=d).mul_(prior.weights).sum(1)  # see `distributions`
        log_total = torch.where(mean_minus_1 > FLAT_MEAN - 1.0, mean_minus_1.log1p(), log_total)
    return log_total, log_sum, smoothing_sum


def gradient_of_chunk(
    chunk: Distributions, g: float | Tensor, settings: Settings, prior: Tensor | None
) -> Tensor:
    """g (p − α P) [n, V], in the buffer of p; the scratch buffers are those of `distributions`.

    g: one number, or one for each row [n, 1]; prior: [V].
    """
    p, p_sum, smoothing, smoothing_sum = chunk
    p.mul_(g / p_sum.unsqueeze(1))
    alpha = settings.label_smoothing
    if not settings.in_loss:
        return p
    if smoothing is None or smoothing_sum is None:
        if prior is not None:
            return p.sub_(g * alpha * prior)
        return p.sub_(g * (alpha / p.size(1)))
    return p.addcmul_(smoothing, g * alpha / smoothing_sum.unsqueeze(1), value=-1.0)

"""The arithmetic of one chunk of rows; formulas and symbols are those of `ops.chunked`."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_labo.ops.reference import compute_dtype
from fairseq_labo.ops.settings import Settings

CHUNK_BYTES = 4 * 2**20
INTEGER_POWERS = (2.0, 3.0, 4.0)
# Up to here β times the rounding of log(T/V), about 1e-7, is small beside R: 2e-7 of it at 16.
LARGEST_BETA_BY_LOG = 16.0
FLAT_MEAN = 0.5  # of exp(d), above which its distance from 1 is what counts
# Finite, so that a masked type adds 0 · d = 0 to an expectation, not 0 · (−inf) = NaN.
LOWEST_EXPONENT = -1e30

Rows = slice | Tensor  # a range of rows, or the numbers of the rows that count


class Scratch:
    """Reused buffers of `num_rows` rows, allocated when first asked for."""

    def __init__(self, logits: Tensor) -> None:
        self.device, self.dtype = logits.device, compute_dtype(logits)
        num_tokens, self.vocab_size = logits.shape
        num_rows = CHUNK_BYTES // (self.vocab_size * self.dtype.itemsize)
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

    def chunks(self, logits: Tensor, counted: Tensor | None) -> list[Rows]:
        """The rows of `logits` in order, chunk by chunk; only the `counted` ones if known."""
        if counted is None:
            starts = range(0, logits.size(0), self.num_rows)
            return [slice(start, start + self.num_rows) for start in starts]
        return list(counted.split(self.num_rows)) if counted.numel() else []


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
        found = torch.linalg.vecdot(values.clamp_(min=LOWEST_EXPONENT), weights)
    return found


class PerRow(NamedTuple):
    """What the chunks leave per row, each [N]."""

    largest: Tensor  # m
    sum_p: Tensor  # S
    reg: Tensor
    entropy: Tensor
    argmax: Tensor


def empty_per_row(logits: Tensor) -> PerRow:
    def empty(dtype: torch.dtype) -> Tensor:
        return torch.empty(logits.size(0), dtype=dtype, device=logits.device)

    real = compute_dtype(logits)
    return PerRow(empty(real), empty(real), empty(real), empty(real), empty(torch.long))


class Distributions(NamedTuple):
    """p and P of a chunk, [n, V], each up to its sum, [n]."""

    p: Tensor
    p_sum: Tensor
    label: Tensor | None = None  # None where P is uniform, or does not count
    label_sum: Tensor | None = None


def distributions(
    z: Tensor,
    teacher: Tensor | None,
    rows: Rows,
    out: PerRow,
    scratch: Scratch,
    s: Settings,
    p: Tensor | None = None,
) -> Distributions:
    """Fill `out[rows]` from those rows' logits z [n, V]; return p and P, for `gradient_of_chunk`.

    They are in the buffer `p` [n, V] and in scratch memory. Without that buffer they share their
    memory, and only what is in `out` is of use.
    """
    d, label = scratch.get("first", z.size(0)), scratch.get("second", z.size(0))
    if s.argmax:
        largest, out.argmax[rows] = z.max(1, keepdim=False)
    else:
        largest = z.amax(1)
    out.largest[rows] = largest = largest.to(d.dtype)
    if s.in_loss and s.beta in INTEGER_POWERS and teacher is None:
        _scaled_difference(z, largest.unsqueeze(1), s.beta, out=d)
        return _by_powers(d, label, rows, out, scratch, s, p)
    torch.sub(z, largest.unsqueeze(1), out=d)
    p = label if p is None else p
    top, p_sum = _exp(d, out=p)
    out.sum_p[rows] = sum_p = p_sum / top
    if not s.regularized:
        return Distributions(p, p_sum)
    if teacher is not None:
        label_d = scratch.get("third", z.size(0))
        _scaled_difference(teacher, teacher.amax(1, keepdim=True).to(d.dtype), s.beta, out=label_d)
        top, label_sum = _exp(label_d, out=label)
        log_total = (label_sum / top).log()
        out.reg[rows] = sum_p.log() - _expectation(d, label) / label_sum
    elif s.uniform:
        out.reg[rows] = sum_p.log() - d.mean(1)
        out.entropy[rows] = math.log(z.size(1))
        return Distributions(p, p_sum)
    else:
        label_d = d.mul_(1.0 / s.beta)
        label_sum, log_mean = _label_sums(d, label, scratch, s.beta)
        log_total = log_mean + math.log(z.size(1))
        out.reg[rows] = sum_p.log() - s.beta * log_mean
    if s.statistics:
        out.entropy[rows] = log_total - _expectation(label_d, label) / label_sum
    return Distributions(p, p_sum, label, label_sum)


def _by_powers(
    d: Tensor,
    label: Tensor,
    rows: Rows,
    out: PerRow,
    scratch: Scratch,
    s: Settings,
    p: Tensor | None,
) -> Distributions:
    """The same where p is a power of P up to a factor.

    With exp(d) = e up to a factor, and e' the largest e: S = Σ e^β / e'^β, T = Σ e / e'.
    """
    top, label_sum = _exp(d, out=label)
    if p is None and s.beta == 2.0:
        p, p_sum = label, torch.linalg.vecdot(label, label)
    else:
        p = scratch.get("third", d.size(0)) if p is None else p
        p_sum = _power(label, s.beta, out=p).sum(1)
    # The largest term of S is 1; rounding must not take S below.
    out.sum_p[rows] = sum_p = (p_sum / _power(top, s.beta)).clamp_(min=1.0)
    total = label_sum / top
    out.reg[rows] = sum_p.log() - s.beta * (total / d.size(1)).log()
    if s.statistics:
        out.entropy[rows] = total.log() - _expectation(d, label) / label_sum
    return Distributions(p, p_sum, label, label_sum)


def _label_sums(d: Tensor, label: Tensor, scratch: Scratch, beta: float) -> tuple[Tensor, Tensor]:
    """label = P* up to its sum; return that sum and log(T/V), T = Σ exp(d), both [n].

    Where β magnifies the rounding of T and T/V is near 1, log(T/V) is log1p(mean(expm1(d)));
    elsewhere it comes from the sum of exponentials. Rows of one batch resemble each other, so the
    form that served the last chunk is tried first, and the other one costs its pass only where the
    guess was wrong.
    """
    vocab_size = d.size(1)
    if scratch.flat:
        mean_minus_1 = torch.expm1(d, out=label).mean(1)
        scratch.flat = bool((mean_minus_1 > FLAT_MEAN - 1.0).all())
        if scratch.flat:
            label.add_(1.0)
            return (mean_minus_1 + 1.0) * vocab_size, mean_minus_1.log1p()
    top, label_sum = _exp(d, out=label)
    mean = label_sum / (top * vocab_size)
    if beta <= LARGEST_BETA_BY_LOG:
        return label_sum, mean.log()
    flat = mean > FLAT_MEAN
    if not d.is_cuda:
        scratch.flat = bool(flat.all())
        if not bool(flat.any()):
            return label_sum, mean.log()
    mean_minus_1 = torch.expm1(d, out=scratch.get("third", d.size(0))).mean(1)
    return label_sum, torch.where(flat, mean_minus_1.log1p(), mean.log())


def gradient_of_chunk(found: Distributions, g: float | Tensor, s: Settings) -> Tensor:
    """g (p − α P) [n, V], in the buffer of p; the scratch buffers are those of `distributions`.

    g: one number, or one for each row [n, 1].
    """
    p, p_sum, label, label_sum = found
    p.mul_(g / p_sum.unsqueeze(1))
    if not s.in_loss:
        return p
    if label is None or label_sum is None:
        return p.sub_(g * (s.label_smoothing / p.size(1)))
    return p.addcmul_(label, g * s.label_smoothing / label_sum.unsqueeze(1), value=-1.0)

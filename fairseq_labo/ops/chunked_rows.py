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


def _power(e: Tensor, exponent: float) -> Tensor:
    """e^exponent in place, for exponents 1 to 4, by multiplications."""
    if exponent == 1.0:
        return e
    if exponent == 4.0:
        return e.square_().square_()
    return e.pow_(int(exponent))


def _expectation(values: Tensor, weights: Tensor, weight_sum: Tensor) -> Tensor:
    """Σ weights · values / weight_sum, where a weight of 0 silences a value of −inf: [n]."""
    found = torch.linalg.vecdot(values, weights)
    if values.is_cuda or bool(found.isnan().any()):
        found = torch.linalg.vecdot(values.clamp_(min=LOWEST_EXPONENT), weights)
    return found / weight_sum


class PerRow(NamedTuple):
    """What forward leaves per row, each [N], and backward needs of it (the first four)."""

    largest: Tensor  # m
    sum_p: Tensor  # S
    label_largest: Tensor  # max of the teacher's logits
    sum_label: Tensor  # T
    reg: Tensor
    entropy: Tensor
    argmax: Tensor


def empty_per_row(logits: Tensor) -> PerRow:
    def empty(dtype: torch.dtype) -> Tensor:
        return torch.empty(logits.size(0), dtype=dtype, device=logits.device)

    real = compute_dtype(logits)
    floats = (empty(real), empty(real), empty(real), empty(real), empty(real), empty(real))
    return PerRow(*floats, empty(torch.long))


def forward_chunk(
    z: Tensor,
    teacher: Tensor | None,
    rows: Rows,
    out: PerRow,
    scratch: Scratch,
    s: Settings,
    keep: Tensor | None = None,
) -> None:
    """Fill `out[rows]` from those rows' logits z [n, V].

    With a buffer `keep` [n, V] it leaves there what `gradient_of_chunk` needs: exp(z − m), or,
    where that is a power of exp(d), nothing of use; and in the scratch buffer "second" the
    exponentials of P.
    """
    d, e = scratch.get("first", z.size(0)), scratch.get("second", z.size(0))
    if s.argmax:
        largest, out.argmax[rows] = z.max(1, keepdim=False)
    else:
        largest = z.amax(1)
    largest = _store(out.largest, rows, largest.to(d.dtype)).unsqueeze(1)  # [n, 1]
    if s.regularized and s.beta in INTEGER_POWERS and teacher is None:
        _scaled_difference(z, largest, s.beta, out=d)
        log_mean = _forward_labels(d, e, rows, out, scratch, s)
        if s.beta == 2.0:
            sum_p = torch.linalg.vecdot(e, e)
        else:
            sum_p = _power(e if keep is None else keep.copy_(e), s.beta).sum(1)
        out.reg[rows] = _store(out.sum_p, rows, sum_p).log() - s.beta * log_mean
        return
    torch.sub(z, largest, out=d)
    if keep is None:
        # By the faster kernel: the likeliest type has probability 1/S. It errs like log_softmax.
        sum_p = torch.softmax(d, 1, out=e).amax(1).reciprocal_()
    else:
        sum_p = torch.exp(d, out=keep).sum(1)
    log_sum = _store(out.sum_p, rows, sum_p).log()
    if not s.regularized:
        return
    if teacher is not None:
        _forward_teacher(d, log_sum, teacher, rows, out, scratch, s)
    elif s.uniform:
        out.reg[rows] = log_sum - d.mean(1)
        out.entropy[rows] = math.log(z.size(1))
    else:
        log_mean = _forward_labels(d.mul_(1.0 / s.beta), e, rows, out, scratch, s)
        out.reg[rows] = log_sum - s.beta * log_mean


def _forward_labels(
    d: Tensor, e: Tensor, rows: Rows, out: PerRow, scratch: Scratch, s: Settings
) -> Tensor:
    """e = exp(d), and T and the entropy of P* = e/T for the rows; returns log(T/V)  [n]."""
    sum_label, log_mean = _label_sums(d, e, scratch, s.beta)
    out.sum_label[rows] = sum_label
    if s.statistics:
        out.entropy[rows] = sum_label.log() - _expectation(d, e, sum_label)
    return log_mean


def _label_sums(d: Tensor, e: Tensor, scratch: Scratch, beta: float) -> tuple[Tensor, Tensor]:
    """e = exp(d); return T = Σ e and log(T/V), by the form that does not cancel: both [n].

    Where β magnifies the rounding of T and T/V is near 1, that is log1p(mean(expm1(d))), which
    then gives T too; elsewhere the sum of exponentials. Rows of one batch resemble each other, so
    the form that served the last chunk is tried first, and the other one costs its pass only
    where the guess was wrong.
    """
    vocab_size = d.size(1)
    if scratch.flat:
        mean_minus_1 = torch.expm1(d, out=e).mean(1)
        scratch.flat = bool((mean_minus_1 > FLAT_MEAN - 1.0).all())
        if scratch.flat:
            e.add_(1.0)
            return (mean_minus_1 + 1.0) * vocab_size, mean_minus_1.log1p()
    sum_label = torch.exp(d, out=e).sum(1)
    mean = sum_label / vocab_size
    if beta <= LARGEST_BETA_BY_LOG:
        return sum_label, mean.log()
    flat = mean > FLAT_MEAN
    if not d.is_cuda:
        scratch.flat = bool(flat.all())
        if not bool(flat.any()):
            return sum_label, mean.log()
    mean_minus_1 = torch.expm1(d, out=scratch.get("third", d.size(0))).mean(1)
    return sum_label, torch.where(flat, mean_minus_1.log1p(), mean.log())


def _store(row: Tensor, rows: Rows, values: Tensor) -> Tensor:
    row[rows] = values
    return values


def _forward_teacher(
    d: Tensor,
    log_sum: Tensor,
    teacher: Tensor,
    rows: Rows,
    out: PerRow,
    scratch: Scratch,
    s: Settings,
) -> None:
    """R = log S − Σ P d with P = softmax(teacher/β), d = z − m."""
    weights, scaled = scratch.get("second", d.size(0)), scratch.get("third", d.size(0))
    largest = teacher.amax(1).to(d.dtype)
    out.label_largest[rows] = largest
    _scaled_difference(teacher, largest.unsqueeze(1), s.beta, out=scaled)
    sum_label = _store(out.sum_label, rows, torch.exp(scaled, out=weights).sum(1))
    out.reg[rows] = log_sum - _expectation(d, weights, sum_label)
    if s.statistics:
        out.entropy[rows] = sum_label.log() - _expectation(scaled, weights, sum_label)


def _by_powers(s: Settings, teacher: Tensor | None) -> bool:
    """Whether p is computed as a power of exp(d)."""
    return s.beta in INTEGER_POWERS and s.in_loss and teacher is None


def _powers_gradient(e: Tensor, saved: list[Tensor], g: Tensor, out: Tensor, s: Settings) -> None:
    """out = e (e^(β−1) g/S − α g/T), e = exp(d)."""
    _, sum_p, _, sum_label = saved
    if s.beta == 2.0:
        torch.mul(e, g / sum_p, out=out)
    else:
        _power(out.copy_(e), s.beta - 1.0).mul_(g / sum_p)
    out.sub_(g * s.label_smoothing / sum_label).mul_(e)


def backward_chunk(
    z: Tensor,
    teacher: Tensor | None,
    saved: list[Tensor],
    g: Tensor,
    out: Tensor,
    scratch: Scratch,
    s: Settings,
) -> None:
    """out = g (p − α P) for one chunk.  z, out: [n, V]; g and the saved rows: [n, 1]."""
    largest, _, label_largest, sum_label = saved
    d = scratch.get("second", z.size(0))
    if _by_powers(s, teacher):
        _powers_gradient(_scaled_difference(z, largest, s.beta, out=d).exp_(), saved, g, out, s)
        return
    torch.sub(z, largest, out=out)
    if s.in_loss and teacher is not None:
        _scaled_difference(teacher, label_largest, s.beta, out=d)
    elif s.in_loss and not s.uniform:
        torch.mul(out, 1.0 / s.beta, out=d)
    out.mul_(g / out.exp_().sum(1, keepdim=True))
    if s.in_loss and s.uniform:
        out.sub_(g * (s.label_smoothing / z.size(1)))
    elif s.in_loss and (s.beta < 1.0 or teacher is not None):  # P is sharper than p, or may be
        out.sub_(d.exp_().mul_(g * s.label_smoothing / sum_label))
    elif s.in_loss:
        out.sub_(torch.softmax(d, 1, out=d).mul_(g * s.label_smoothing))


def gradient_of_chunk(
    kept: Tensor,
    teacher: Tensor | None,
    saved: list[Tensor],
    g: Tensor,
    scratch: Scratch,
    s: Settings,
) -> None:
    """The same into `kept`, right after `forward_chunk` has left there what it could."""
    exp_label, (_, sum_p, _, sum_label) = scratch.get("second", kept.size(0)), saved
    if _by_powers(s, teacher):
        _powers_gradient(exp_label, saved, g, kept, s)
        return
    kept.mul_(g / sum_p)
    if s.in_loss and s.uniform:
        kept.sub_(g * (s.label_smoothing / kept.size(1)))
    elif s.in_loss:
        kept.sub_(exp_label.mul_(g * s.label_smoothing / sum_label))

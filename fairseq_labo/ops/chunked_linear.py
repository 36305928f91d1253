"""The loss fused with the output projection: the logits are never held as a whole.

With hidden states h [N, D], the projection W [V, D] and its bias b [V]::

    z = h Wᵀ + b          G = ∂(Σ_n g_n L_n)/∂z = g (p − q)         [N, V]
    ∂/∂h = G W            ∂/∂W = Gᵀ h           ∂/∂b = Σ_n G_n

Rows are taken chunk by chunk: the chunk's logits are computed, an implementation of
`ops.dispatch` gives their losses and G, and G is multiplied out before the next chunk. What is
held is one chunk of z and of G (`CPU_CHUNK_BYTES`, `CUDA_CHUNK_BYTES` each), and the gradients
themselves, in float32. Triton's kernels write G over z, so that a chunk has both shares.

For a sum or mean, g is one number, so the forward pass takes the gradients for g = 1 along and
backward multiplies them by g in float32, before they are rounded to their dtype. With reduction
"none" backward computes the logits again. In float16, where p − q would underflow for g = 1, G is
scaled by `HALF_SCALE` until it has been summed up in float32.

On the CPU ignored rows are left out of everything, the projection included.
"""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fairseq_labo.ops.backward import FirstDerivativeOnly, check_one_gradient, keep, kept
from fairseq_labo.ops.chunked import LossesAndGradient, chunked_token_losses
from fairseq_labo.ops.dispatch import Implementation
from fairseq_labo.ops.memory import empty_contiguous
from fairseq_labo.ops.reference import compute_dtype
from fairseq_labo.ops.settings import Settings, TokenLosses
from fairseq_labo.ops.triton_loss import triton_losses_and_gradient, triton_token_losses

CPU_CHUNK_BYTES = 8 * 2**20  # stays in the cache
CUDA_CHUNK_BYTES = 64 * 2**20  # fills the device
HALF_SCALE = 2.0**12  # an entry of p − q is at most 1, and float16 reaches 65504
# Logits, target, settings, teacher's logits, prior.
Case = tuple[Tensor, Tensor, Settings, Tensor | None, Tensor | None]


class Projection(NamedTuple):
    """The output layer: logits = hidden @ weight.T + bias."""

    weight: Tensor  # [V, D]
    bias: Tensor | None  # [V]

    def logits(self, hidden: Tensor, out: Tensor) -> Tensor:
        """[n, V] of hidden states [n, D], in the first rows of the buffer `out`."""
        out = out[: hidden.size(0)]
        if self.bias is None:
            return torch.mm(hidden, self.weight.t(), out=out)
        return torch.addmm(self.bias, hidden, self.weight.t(), out=out)


class _Gradients:
    """Sums of the gradients over chunks of rows, in float32 (float64 for float64)."""

    def __init__(self, hidden: Tensor, layer: Projection, wanted: tuple[bool, ...]) -> None:
        dtype = compute_dtype(hidden)
        shapes = (hidden.shape, layer.weight.shape, layer.weight.shape[:1])
        self.hidden, self.weight, self.bias = (
            torch.zeros(shape, dtype=dtype, device=hidden.device) if each else None
            for shape, each in zip(shapes, wanted, strict=True)
        )
        self.layer = layer

    def add(self, rows: slice | Tensor, hidden: Tensor, chunk: Tensor, scale: float) -> None:
        """Take up one chunk of G [n, V], scaled by `scale`, of the rows with those states."""
        if self.hidden is not None:
            self.hidden[rows] = _product(chunk, self.layer.weight) / scale
        if self.weight is not None:
            if chunk.dtype == self.weight.dtype:
                self.weight.addmm_(chunk.t(), hidden, alpha=1.0 / scale)
            elif chunk.is_cuda and adds_in_float32(chunk.dtype, chunk.device):
                # In place: a product of its own would be a float32 [V, D] for each chunk.
                torch.addmm(
                    *(self.weight, chunk.t(), hidden), out_dtype=self.weight.dtype,
                    alpha=1.0 / scale, out=self.weight,
                )  # fmt: skip
            else:
                self.weight.add_(_product(chunk.t(), hidden), alpha=1.0 / scale)
        if self.bias is not None:
            self.bias.add_(chunk.sum(0, dtype=self.bias.dtype), alpha=1.0 / scale)

    def times(self, upstream: Tensor | None, dtypes: list[torch.dtype]) -> list[Tensor | None]:
        """The gradients, multiplied by g where it is one number, each rounded once."""
        sums = (self.hidden, self.weight, self.bias)
        return [
            None if x is None else (x if upstream is None else x * upstream).to(dtype)
            for x, dtype in zip(sums, dtypes, strict=True)
        ]


@functools.cache
def adds_in_float32(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether this torch adds a product in half precision to a float32 matrix, in place.

    It has the operator since 2.8, but whether that takes a float32 matrix is a matter of version.
    """
    a, total = torch.zeros(8, 8, dtype=dtype, device=device), torch.zeros(8, 8, device=device)
    try:
        torch.addmm(total, a, a, out_dtype=total.dtype, out=total)
    except (RuntimeError, TypeError):
        return False
    return True


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b, summed and returned in float32 (float64 for float64)."""
    if a.dtype == compute_dtype(a):
        return a @ b
    if a.is_cuda and hasattr(torch.ops.aten.mm, "dtype"):  # torch ≥ 2.8
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()


class _Chunks(NamedTuple):
    """One pass over the rows."""

    hidden: Tensor  # [N, D]
    layer: Projection
    target: Tensor  # [N]
    teacher_logits: Tensor | None  # [N, V]
    prior: Tensor | None  # [V]
    settings: Settings
    compute: Implementation

    def rows(self) -> list[slice | Tensor]:
        """The rows that are not ignored, chunk by chunk: ranges, or row numbers."""
        num_tokens, size = self.hidden.size(0), self.like_chunk().size(0)
        if not self.hidden.is_cuda:  # on CUDA .all() would synchronize
            not_ignored = self.target.ne(self.settings.ignore_index)
            if not bool(not_ignored.all()):
                numbers = not_ignored.nonzero().squeeze(1)
                return list(numbers.split(size)) if numbers.numel() else []
        return [slice(start, start + size) for start in range(0, num_tokens, size)]

    def like_chunk(self) -> Tensor:
        """The logits of the largest chunk within the budget, in shape and kind; takes no memory."""
        budget = CUDA_CHUNK_BYTES if self.hidden.is_cuda else CPU_CHUNK_BYTES
        budget *= 2 if self.compute is triton_token_losses else 1
        vocab_size = self.layer.weight.size(0)
        fitting = budget // (vocab_size * self.hidden.element_size())
        num_rows = max(1, min(fitting, self.hidden.size(0)))
        return self.hidden.new_empty(()).expand(num_rows, vocab_size)

    def cases(self) -> Iterator[tuple[slice | Tensor, Tensor, Case]]:
        """Chunk by chunk: rows, their hidden states, and what an implementation takes."""
        buffer = empty_contiguous(self.like_chunk())
        for rows in self.rows():
            hidden = self.hidden[rows]
            teacher = None if self.teacher_logits is None else self.teacher_logits[rows]
            logits = self.layer.logits(hidden, buffer)
            yield rows, hidden, (logits, self.target[rows], self.settings, teacher, self.prior)

    def forward(self, out: list[Tensor | None], gradients: _Gradients | None) -> None:
        """Fill `out`, the fields of TokenLosses [N]; add up the gradients of Σ L, if asked."""
        scale = HALF_SCALE if self.hidden.dtype == torch.float16 else 1.0
        in_one_pass = None
        if gradients is not None and self.compute is chunked_token_losses:
            in_one_pass = LossesAndGradient(self.like_chunk())
        for rows, hidden, case in self.cases():
            if gradients is None:
                losses = self.compute(*case)
            else:
                if in_one_pass:
                    losses, chunk = in_one_pass(*case, scale)
                else:
                    losses, chunk = self.losses_and_gradient(case, scale)
                gradients.add(rows, hidden, chunk, scale)
            for whole, part in zip(out, losses, strict=True):
                if whole is not None and part is not None:
                    whole[rows] = part

    def losses_and_gradient(
        self, case: Case, upstream: float | Tensor
    ) -> tuple[TokenLosses, Tensor]:
        """The losses of a chunk, and the gradient of Σ upstream · L  [n, V]."""
        if self.compute is triton_token_losses:
            return triton_losses_and_gradient(*case, upstream)
        leaf = case[0].detach().requires_grad_()
        with torch.enable_grad():
            losses = self.compute(leaf, *case[1:])
        given = torch.zeros_like(losses.loss) + upstream
        (gradient,) = torch.autograd.grad(losses.loss, leaf, given)
        return losses._replace(loss=losses.loss.detach()), gradient

    def backward(self, upstream: Tensor, gradients: _Gradients) -> None:
        """Add up the gradients of Σ g L for g [N], from logits computed again."""
        for rows, hidden, case in self.cases():
            _, chunk = self.losses_and_gradient(case, upstream[rows])
            gradients.add(rows, hidden, chunk, 1.0)


def _empty_results(hidden: Tensor, settings: Settings) -> list[Tensor | None]:
    """The fields of TokenLosses [N], with what holds at ignored tokens."""
    zeros = torch.zeros(hidden.size(0), dtype=compute_dtype(hidden), device=hidden.device)
    reg = zeros.clone() if settings.regularized else None
    entropy = zeros.clone() if settings.statistics else None
    argmax = torch.full_like(zeros, -1, dtype=torch.long) if settings.argmax else None
    return [zeros, zeros.clone(), reg, entropy, argmax]


class _LinearTokenLosses(torch.autograd.Function):
    """Fields of TokenLosses from hidden states; `loss` is [N], or their sum if `summed`."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        teacher: Tensor | None,
        prior: Tensor | None,
        settings: Settings,
        compute: Implementation,
        summed: bool,
        differentiable: bool,
    ) -> tuple[Tensor | None, ...]:
        wanted = tuple(each and differentiable for each in ctx.needs_input_grad[:3])
        layer, gradients = Projection(weight, bias), None
        if summed and any(wanted):
            gradients = _Gradients(hidden, layer, wanted)
        out = _empty_results(hidden, settings)
        _Chunks(hidden, layer, target, teacher, prior, settings, compute).forward(out, gradients)
        ctx.dtypes = [hidden.dtype, weight.dtype, weight.dtype if bias is None else bias.dtype]
        ctx.gradients, ctx.wanted = gradients, wanted
        ctx.settings, ctx.compute = settings, compute
        if gradients is None:
            keep(ctx, hidden, weight, bias, target, teacher, prior)
        else:
            keep(ctx, hidden, weight, bias)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(x for x in out[1:] if x is not None))
        return (out[0].sum() if summed and out[0] is not None else out[0]), *out[1:]

    @staticmethod
    def backward(ctx: Any, upstream: Tensor | None, *_: Tensor | None) -> tuple[Any, ...]:
        if upstream is None:
            return (None,) * 10
        hidden, weight, bias, *others = kept(ctx)
        with torch.no_grad():
            if ctx.gradients is not None:
                results = ctx.gradients.times(upstream, ctx.dtypes)
            else:
                check_one_gradient(upstream)
                target, teacher, prior = others
                layer = Projection(weight, bias)
                settings = ctx.settings._replace(statistics=False, argmax=False)
                gradients = _Gradients(hidden, layer, ctx.wanted)
                chunks = _Chunks(hidden, layer, target, teacher, prior, settings, ctx.compute)
                chunks.backward(upstream, gradients)
                results = gradients.times(None, ctx.dtypes)
        if torch.is_grad_enabled():  # create_graph=True
            results = [
                None if x is None else FirstDerivativeOnly.apply(x, hidden, weight, bias, upstream)
                for x in results
            ]
        return *results, *(None,) * 7


def chunked_linear_token_losses(
    hidden: Tensor,
    layer: Projection,
    target: Tensor,
    settings: Settings,
    teacher_logits: Tensor | None,
    prior: Tensor | None,
    *,
    compute: Implementation,
    summed: bool,
) -> TokenLosses:
    """The fields of TokenLosses; `loss` is [N], or the scalar sum over tokens if `summed`.

    hidden: [N, D]; target: int64 [N], checked; `compute`: "torch" or "triton" of `ops.dispatch`.
    """
    teacher = None if teacher_logits is None else teacher_logits.detach()
    case = (target, teacher, prior, settings, compute, summed, torch.is_grad_enabled())
    return TokenLosses(*_LinearTokenLosses.apply(hidden, *layer, *case))

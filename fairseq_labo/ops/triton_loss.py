"""The loss by Triton kernels: 3 passes over the logits in all, no [N, V] buffer but the gradient.

The kernels and their formulas are in `ops.triton_kernels`, which is imported at the first use:
this file needs neither Triton nor a GPU. Nothing here synchronizes the host with the device, so
that a step can be captured in a CUDA graph (after one ordinary call, which compiles the kernels).
They are compiled once per dtype, vocabulary size and kind of P, with a prior or without.
"""

import functools
import importlib.util
import math
import os
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fairseq_labo.ops.arguments import representable_beta
from fairseq_labo.ops.backward import FirstDerivativeOnly, check_one_gradient, keep, kept
from fairseq_labo.ops.settings import LARGEST_BETA_BY_LOG, Settings, TokenLosses

SUPPORTED_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
ACCESS_BYTES = 16  # what one thread can load or store at once
WARP_SIZE = 32
NUM_WARPS = 4
LANES = 256  # of a forward program: two per thread, two accesses under way
BLOCK = 2048  # of a backward program, in vocabulary entries
KERNEL_POWERS = (1.0, 2.0, 3.0, 4.0)
# A power magnifies the error of the GPU's exponential. In half precision the gradient's rounding is
# far larger; in float32 an exponential of its own costs no time, for the memory is what is slow.
FLOAT32_KERNEL_POWERS = (1.0, 2.0)


def triton_unavailable(logits: Tensor) -> str | None:
    """None if the kernels can run on `logits`, else why not, and what to do."""
    if logits.dtype not in SUPPORTED_DTYPES:
        return (
            f"Triton's kernels compute in float32, found {logits.dtype} logits: "
            f'use impl="reference" or impl="torch"'
        )
    if not _triton_installed():
        return "Triton is not installed: pip install triton"
    if not (logits.is_cuda or _interpreting()):
        return (
            f"the logits are on {logits.device.type}: Triton's kernels need a CUDA device "
            f"(or TRITON_INTERPRET=1 to interpret them on the CPU, for tests)"
        )
    return None


@functools.cache
def _triton_installed() -> bool:
    return importlib.util.find_spec("triton") is not None


def _interpreting() -> bool:
    """Whether the environment asks Triton, not for compiled kernels, but for interpreted ones."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on", "y")


def _kernels() -> ModuleType:
    from fairseq_labo.ops import triton_kernels

    return triton_kernels


class _Plan(NamedTuple):
    """What both kernels are compiled for, and the numbers that they take."""

    mode: int
    power: int
    by_expm1: bool
    beta: float
    inverse_beta: float

    @classmethod
    def for_call(
        cls, dtype: torch.dtype, settings: Settings, *, regularized: bool, teacher: bool
    ) -> "_Plan":
        from fairseq_labo.ops import triton_math

        if not regularized:
            return cls(triton_math.PLAIN.value, 0, False, 1.0, 1.0)
        beta = representable_beta(settings.beta)
        if math.isinf(beta):
            return cls(triton_math.UNIFORM.value, 0, False, 1.0, 1.0)
        if teacher:
            return cls(triton_math.TEACHER.value, 0, False, beta, 1.0 / beta)
        powers = FLOAT32_KERNEL_POWERS if dtype == torch.float32 else KERNEL_POWERS
        power = int(beta) if beta in powers else 0
        by_expm1 = beta > LARGEST_BETA_BY_LOG
        return cls(triton_math.LABO.value, power, by_expm1, beta, 1.0 / beta)


class _Lanes(NamedTuple):
    """How the forward kernel deals out a row: see the module docstring of the kernels."""

    lanes: int
    steps: int
    lane_stride: int
    step_stride: int

    @classmethod
    def for_logits(cls, logits: Tensor) -> "_Lanes":
        vocab_size = logits.size(1)
        steps = ACCESS_BYTES // logits.element_size()
        needed = -(-vocab_size // steps)
        lanes = min(LANES, max(WARP_SIZE, 1 << (needed - 1).bit_length()))
        aligned = (
            vocab_size % steps == 0
            and logits.stride(0) % steps == 0
            and logits.data_ptr() % ACCESS_BYTES == 0
        )
        return cls(lanes, steps, steps, 1) if aligned else cls(lanes, steps, 1, lanes)


def _on_device(tensor: Tensor) -> AbstractContextManager[Any]:
    """Triton launches on the current device, which need not be the tensor's."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def _rows(tensor: Tensor) -> Tensor:
    """`tensor`, copied only if the entries of a row are not neighbours in memory.  [N, V]"""
    return tensor if tensor.stride(1) == 1 else tensor.contiguous()


def _losses(
    settings: Settings,
    logits: Tensor,
    target: Tensor,
    teacher: Tensor | None,
    prior: Tensor | None,
) -> tuple[TokenLosses, Tensor]:
    """The losses, and what the gradient needs of each row  [N, 4]."""
    num_tokens = logits.size(0)

    def row_results(wanted: bool, dtype: torch.dtype = torch.float32) -> Tensor | None:
        return torch.empty(num_tokens, dtype=dtype, device=logits.device) if wanted else None

    loss, nll = (torch.empty_like(target, dtype=torch.float32) for _ in range(2))
    reg = row_results(settings.regularized)
    entropy = row_results(settings.statistics)
    argmax = row_results(settings.argmax, torch.int64)
    saved = torch.empty(num_tokens, 4, dtype=torch.float32, device=logits.device)
    taught = teacher is not None
    plan = _Plan.for_call(logits.dtype, settings, regularized=settings.regularized, teacher=taught)
    lanes = _Lanes.for_logits(logits)
    valid = torch.ones((), dtype=torch.int32, device=logits.device)
    weights = prior if settings.regularized else None
    log_weights = None
    if weights is not None and settings.statistics:
        log_weights = torch.special.xlogy(weights, weights)
    if num_tokens > 0:
        with _on_device(logits):
            _kernels().forward_kernel[(num_tokens,)](
                *(logits, teacher, weights, log_weights, target),
                *(loss, nll, reg, entropy, argmax, saved, valid),
                *(settings.ignore_index, settings.label_smoothing),
                *(plan.beta, plan.inverse_beta),
                LOGITS_STRIDE=logits.stride(0),
                TEACHER_STRIDE=0 if teacher is None else teacher.stride(0),
                VOCAB=logits.size(1),
                MODE=plan.mode,
                PRIOR=weights is not None,
                POWER=plan.power,
                BY_EXPM1=plan.by_expm1,
                IN_LOSS=settings.in_loss,
                ENTROPY=settings.statistics,
                ARGMAX=settings.argmax,
                LANES=lanes.lanes,
                STEPS=lanes.steps,
                LANE_STRIDE=lanes.lane_stride,
                STEP_STRIDE=lanes.step_stride,
                num_warps=min(NUM_WARPS, lanes.lanes // WARP_SIZE),
                enable_fp_fusion=True,
            )
    torch._assert_async(valid)  # on a GPU the host does not wait for it
    return TokenLosses(loss, nll, reg, entropy, argmax), saved


class _TritonTokenLosses(torch.autograd.Function):
    """The fields of TokenLosses; `loss` is differentiable with respect to the logits."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        target: Tensor,
        settings: Settings,
        teacher: Tensor | None,
        prior: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        losses, of_rows = _losses(settings, logits, target, teacher, prior)
        keep(ctx, logits, target, teacher, prior, of_rows)
        ctx.settings = settings
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(x for x in losses[1:] if x is not None))
        return tuple(losses)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor | None, *_: Tensor | None) -> tuple[Any, ...]:
        if upstream is None:
            return (None,) * 5
        check_one_gradient(upstream)
        case = kept(ctx)
        gradient = _gradient(ctx.settings, upstream.detach(), *case)
        if torch.is_grad_enabled():  # create_graph=True
            gradient = FirstDerivativeOnly.apply(gradient, case[0], upstream)
        return gradient, *(None,) * 4


@torch.no_grad()
def _gradient(
    settings: Settings,
    upstream: Tensor,
    logits: Tensor,
    target: Tensor,
    teacher: Tensor | None,
    prior: Tensor | None,
    saved: Tensor,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """g (p − α P − (1 − α) e_y).  upstream: g [N], of any stride; returns [N, V], contiguous.

    `out`, if given, takes it; it may be the logits, of which a program reads a block before it
    writes there.
    """
    num_tokens, vocab_size = logits.shape
    gradient = out
    if gradient is None:
        gradient = torch.empty(num_tokens, vocab_size, dtype=logits.dtype, device=logits.device)
    if num_tokens == 0:
        return gradient
    taught = teacher is not None
    plan = _Plan.for_call(logits.dtype, settings, regularized=settings.in_loss, teacher=taught)
    prior = prior if settings.in_loss else None
    block = min(BLOCK, max(WARP_SIZE * NUM_WARPS, 1 << (vocab_size - 1).bit_length()))
    with _on_device(logits):
        _kernels().backward_kernel[(num_tokens,)](
            *(logits, teacher, prior, target, saved, upstream, gradient, upstream.stride(0)),
            *(settings.ignore_index, settings.label_smoothing, plan.inverse_beta),
            LOGITS_STRIDE=logits.stride(0),
            TEACHER_STRIDE=0 if teacher is None else teacher.stride(0),
            VOCAB=vocab_size,
            MODE=plan.mode,
            PRIOR=prior is not None,
            POWER=plan.power,
            BLOCK=block,
            num_warps=NUM_WARPS,
            enable_fp_fusion=True,
        )
    return gradient


def _prepared(
    logits: Tensor, target: Tensor, teacher: Tensor | None, prior: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """What the kernels take, copied only where its entries do not lie as they must.

    Raises RuntimeError where `triton_unavailable` has a reason.
    """
    reason = triton_unavailable(logits)
    if reason is not None:
        raise RuntimeError(f'impl="triton" cannot run: {reason}')
    taught = None if teacher is None else _rows(teacher.detach())
    return _rows(logits), target.contiguous(), taught, None if prior is None else prior.contiguous()


def triton_token_losses(
    logits: Tensor,
    target: Tensor,
    settings: Settings,
    teacher_logits: Tensor | None = None,
    prior: Tensor | None = None,
) -> TokenLosses:
    """The same contract as `ops.reference.dense_token_losses`, for float32, float16, bfloat16.

    logits, teacher_logits: [N, V], any row stride (copied if the last dimension is not
    contiguous); target: int64 [N]. Raises RuntimeError where `triton_unavailable` has a reason.
    """
    logits, target, teacher, prior = _prepared(logits, target, teacher_logits, prior)
    return TokenLosses(*_TritonTokenLosses.apply(logits, target, settings, teacher, prior))


@torch.no_grad()
def triton_losses_and_gradient(
    logits: Tensor,
    target: Tensor,
    settings: Settings,
    teacher_logits: Tensor | None,
    prior: Tensor | None,
    upstream: float | Tensor,
) -> tuple[TokenLosses, Tensor]:
    """The losses, and the gradient of Σ upstream · L, which is written over contiguous `logits`.

    Otherwise as `triton_token_losses`; upstream: one number, or [N].
    """
    logits, target, teacher, prior = _prepared(logits, target, teacher_logits, prior)
    losses, saved = _losses(settings, logits, target, teacher, prior)
    if isinstance(upstream, Tensor):
        given = upstream.float()
    else:  # filled on the device: to copy a number there waits for it
        given = torch.full((), upstream, dtype=torch.float32, device=logits.device)
    case = logits, target, teacher, prior, saved
    gradient = _gradient(settings, given.expand(target.shape), *case, out=logits)
    return losses, gradient

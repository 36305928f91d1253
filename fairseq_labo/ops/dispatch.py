"""Which implementation computes a loss: the one asked for, or the best that `auto` finds.

``impl="auto"`` is "torch" on the CPU. On CUDA it is "triton" where Triton is installed, takes the
dtype, and agrees with "torch" on this very GPU: before a kernel is first used on a vocabulary, it
is run on a few random rows. That check synchronizes with the device, once for each kind of call; no
later call does. The first regularized loss also checks those that a training comes to later, of
validation and of one-hot targets, so that no kernel is compiled in the middle of it. What was
chosen, and why, is logged once by every process, and loudly if it is not "triton" on CUDA.
"""

import functools
import logging
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, distributed

from fairseq_labo.defaults import DEFAULT_ALPHA
from fairseq_labo.ops import reference
from fairseq_labo.ops.chunked import chunked_token_losses
from fairseq_labo.ops.settings import LARGEST_BETA_BY_LOG, Settings, TokenLosses
from fairseq_labo.ops.triton_loss import KERNEL_POWERS, triton_token_losses, triton_unavailable

logger = logging.getLogger(__name__)

# logits [N, V], target [N], settings, the teacher's logits [N, V], the prior [V]
Implementation = Callable[[Tensor, Tensor, Settings, Tensor | None, Tensor | None], TokenLosses]
IMPLEMENTATIONS: dict[str, Implementation] = {
    "reference": reference.dense_token_losses,
    "torch": chunked_token_losses,
    "triton": triton_token_losses,
}
CHECKED_ROWS, CHECKED_SCALE = 5, 1024.0
COMPARED = ("loss", "nll", "reg", "entropy")  # of `TokenLosses`


def implementation(
    impl: str, logits: Tensor, settings: Settings, *, teacher: bool, prior: bool
) -> Implementation:
    """The function behind `impl` for logits [N, V], which are looked at only for their kind.

    Raises:
        ValueError: there is no such implementation.
    """
    if impl == "auto":
        impl = choose(logits, settings, teacher=teacher, prior=prior)
    return IMPLEMENTATIONS[check_impl(impl)]


def check_impl(value: str) -> str:
    """Return the name of an implementation, or "auto", or raise ValueError."""
    known = ("auto", *IMPLEMENTATIONS)
    if value not in known:
        raise ValueError(f"impl must be one of {', '.join(known)}, found {value!r}")
    return value


def choose(logits: Tensor, settings: Settings, *, teacher: bool, prior: bool) -> str:
    """The name of the implementation that "auto" takes for such logits [N, V]."""
    if not logits.is_cuda:
        return _chosen("torch", f"on {logits.device.type}")
    reason = triton_unavailable(logits)
    if reason is None:
        # α and β are runtime arguments of the kernels: one check serves every α, and β's like it.
        kind = settings._replace(
            label_smoothing=DEFAULT_ALPHA if settings.in_loss else 0.0,
            beta=_checked_beta(settings.beta),
        )
        kinds = [(kind, teacher)]
        if kind.in_loss:
            one_hot = kind._replace(label_smoothing=0.0)
            kinds += [(one_hot._replace(statistics=True), teacher)]
            kinds += [(one_hot._replace(statistics=False), False)]
        shape = logits.dtype, logits.size(1)
        for each, taught in kinds:
            reason = reason or triton_disagrees(
                logits.device, *shape, each, teacher=taught, prior=prior
            )
    if reason is None:
        return _chosen("triton", f"on {torch.cuda.get_device_name(logits.device)}")
    why = f"SLOWER than Triton's kernels: {reason}"
    if distributed.is_initialized():
        why = f"rank {distributed.get_rank()}, for which all workers wait, is {why}"
    return _chosen("torch", why, level=logging.WARNING)


def _checked_beta(beta: float) -> float:
    """A β of the same octave and the same kernel; β itself where that has one of its own."""
    if math.isinf(beta) or beta in KERNEL_POWERS:
        return beta
    like = 1.25 * 2.0 ** math.floor(math.log2(beta))  # no power that a kernel knows
    return min(like, LARGEST_BETA_BY_LOG) if beta <= LARGEST_BETA_BY_LOG else like


@functools.cache
def _chosen(name: str, why: str, level: int = logging.INFO) -> str:
    """`name`; said in the log the first time."""
    logger.log(level, "label regularization is computed by impl=%r: %s", name, why)
    return name


def _terms_of_gradient(
    logits: Tensor, settings: Settings, teacher: Tensor | None, prior: Tensor | None
) -> Tensor:
    """p + α P*  [N, V], float64: apart from the target's, an entry of the gradient is p − α P*.

    Each of the two is rounded, so that where they nearly cancel, right entries differ.
    """
    p = logits.double().softmax(1)
    if not settings.in_loss:
        return p
    source = (logits if teacher is None else teacher).double()
    weights = None if prior is None else prior.double()
    smoothing = reference.smoothing_distribution(source, settings.beta, weights)
    return p + settings.label_smoothing * smoothing


class _Checked(NamedTuple):
    """What the kernels are checked on."""

    logits: Tensor  # [CHECKED_ROWS, V]
    target: Tensor
    teacher: Tensor | None
    prior: Tensor | None
    upstream: Tensor


def _random_case(
    device: torch.device,
    dtype: torch.dtype,
    vocab_size: int,
    ignore_index: int,
    *,
    teacher: bool,
    prior: bool,
) -> _Checked:
    generator = torch.Generator(device=device).manual_seed(vocab_size)
    shape = CHECKED_ROWS, vocab_size

    def random_logits() -> Tensor:
        return torch.randn(shape, generator=generator, device=device).mul_(3.0).to(dtype)

    logits, teacher_logits = random_logits(), random_logits() if teacher else None
    weights = None
    if prior:  # with types that have no mass
        weights = torch.randn(vocab_size, generator=generator, device=device).clamp_(min=0.0)
        weights[0] = 1.0
        weights /= weights.sum()
    last = vocab_size - 1  # in every part of a row there is a target
    places = [0, vocab_size // 2, 3 * vocab_size // 4, last, ignore_index]
    # As of a sum, with one number for all rows; that is scaled, or float16 loses small entries.
    upstream = torch.full((), CHECKED_SCALE, device=device).expand(CHECKED_ROWS)
    return _Checked(logits, torch.tensor(places, device=device), teacher_logits, weights, upstream)


def _losses_and_gradient(
    compute: Callable[..., TokenLosses], dtype: torch.dtype, case: _Checked, settings: Settings
) -> dict[str, Tensor | None]:
    """What `compute` makes of the logits, and of a teacher's, in `dtype`."""
    leaf = case.logits.to(dtype, copy=True).requires_grad_()
    taught = None if case.teacher is None else case.teacher.to(dtype)
    losses = compute(leaf, case.target, settings, taught, case.prior)
    (gradient,) = torch.autograd.grad(losses.loss, leaf, case.upstream)
    found = {name: getattr(losses, name) for name in COMPARED}
    return found | {"loss": losses.loss.detach(), "gradient": gradient}


@functools.cache
def triton_disagrees(
    device: torch.device,
    dtype: torch.dtype,
    vocab_size: int,
    settings: Settings,
    *,
    teacher: bool,
    prior: bool,
) -> str | None:
    """None if the kernels give the losses and gradient of "torch" on random rows, else how not.

    Each number is compared, with what "torch" computes from the same logits in float32. Neither the
    random state nor the caller's gradients are touched, and autocast and inference mode are off.

    Raises:
        RuntimeError: a CUDA graph is being captured, in which nothing can be compared.
        torch.OutOfMemoryError: there is no room for the check.
    """
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "the first loss of its kind checks the kernels, which cannot be captured in a CUDA "
            "graph: compute the loss (and its gradient) once before the capture"
        )
    off = torch.inference_mode(False), torch.autocast(device.type, enabled=False)
    with off[0], off[1], torch.enable_grad():
        case = _random_case(
            device, dtype, vocab_size, settings.ignore_index, teacher=teacher, prior=prior
        )
        try:
            exact = _losses_and_gradient(chunked_token_losses, torch.float32, case, settings)
            found = _losses_and_gradient(triton_token_losses, dtype, case, settings)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # of Triton's compiler, the driver, or the kernels
            return f"Triton's kernels do not run here ({type(error).__name__}: {error})"
        for name, expected in exact.items():
            if (value := found[name]) is None or expected is None:
                continue
            expected, off_by = expected.double(), (value.double() - expected.double()).abs()
            allowed = _allowed(name, expected, case, settings)
            if not bool((off_by <= allowed).all()):  # also if one is NaN
                worst = int(off_by.sub(allowed).nan_to_num(math.inf).argmax())
                return (
                    f"Triton's kernels give {float(value.flatten()[worst]):.6g} for "
                    f"{float(expected.flatten()[worst]):.6g} in {name} of row "
                    f"{worst // value[0].numel()} ({dtype}, V = {vocab_size})"
                )
    return None


def _allowed(name: str, expected: Tensor, case: _Checked, settings: Settings) -> Tensor:
    """How far each number may be from the one of "torch" in float32."""
    if name == "gradient":  # rounded to its dtype; of terms that may cancel
        kind = torch.finfo(case.logits.dtype)
        terms = CHECKED_SCALE * _terms_of_gradient(case.logits, settings, case.teacher, case.prior)
        allowed = 2.0 * kind.eps * expected.abs() + kind.smallest_normal * kind.eps
        return allowed + 1e-5 * torch.maximum(terms, expected.abs())
    # float32 differs by the order of summation, and rounds numbers as large as z/β
    spread = case.logits.amax(1).sub(case.logits.amin(1)).double()
    return 1e-5 * expected.abs() + 1e-6 * spread * max(1.0, 1.0 / settings.beta)

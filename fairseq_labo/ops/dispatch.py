"""Which implementation computes a loss: the one asked for, or the best that `auto` finds.

``impl="auto"`` is "torch" on the CPU. On CUDA it is "triton" where Triton is installed, takes the
dtype, and agrees with "torch" on this very GPU: before a kernel is first used on a vocabulary, it
is run on a few random rows. That check synchronizes with the device, once for each kind of call; no
later call does. What was chosen, and why, is logged once.
"""

import functools
import logging
from collections.abc import Callable

import torch
from torch import Tensor

from fairseq_labo.defaults import DEFAULT_ALPHA
from fairseq_labo.ops import reference
from fairseq_labo.ops.chunked import chunked_token_losses
from fairseq_labo.ops.settings import Settings, TokenLosses
from fairseq_labo.ops.triton_loss import triton_token_losses, triton_unavailable

logger = logging.getLogger(__name__)

# logits [N, V], target [N], settings, the teacher's logits [N, V], the prior [V]
Implementation = Callable[[Tensor, Tensor, Settings, Tensor | None, Tensor | None], TokenLosses]
IMPLEMENTATIONS: dict[str, Implementation] = {
    "reference": reference.dense_token_losses,
    "torch": chunked_token_losses,
    "triton": triton_token_losses,
}
CHECKED_ROWS = 4


def implementation(
    impl: str, logits: Tensor, settings: Settings, *, teacher: bool, prior: bool
) -> Implementation:
    """The function behind `impl` for logits [N, V], which are looked at only for their kind.

    Raises:
        ValueError: there is no such implementation.
    """
    if impl == "auto":
        impl = choose(logits, settings, teacher=teacher, prior=prior)
    if impl not in IMPLEMENTATIONS:
        known = ", ".join(("auto", *IMPLEMENTATIONS))
        raise ValueError(f"impl must be one of {known}, found {impl!r}")
    return IMPLEMENTATIONS[impl]


def choose(logits: Tensor, settings: Settings, *, teacher: bool, prior: bool) -> str:
    """The name of the implementation that "auto" takes for such logits [N, V]."""
    if not logits.is_cuda:
        return _chosen("torch", f"on {logits.device.type}")
    reason = triton_unavailable(logits)
    if reason is not None:
        return _chosen("torch", reason)
    # α is a runtime argument of the kernels, not a constexpr: one check serves every α.
    kind = settings._replace(label_smoothing=DEFAULT_ALPHA if settings.in_loss else 0.0)
    reason = triton_disagrees(logits.device, logits.dtype, logits.size(1), kind, teacher, prior)
    if reason is not None:
        return _chosen("torch", reason, level=logging.WARNING)
    return _chosen("triton", f"on {torch.cuda.get_device_name(logits.device)}")


@functools.cache
def _chosen(name: str, why: str, level: int = logging.INFO) -> str:
    """`name`; said in the log the first time."""
    logger.log(level, "label regularization is computed by impl=%r: %s", name, why)
    return name


@functools.cache
def triton_disagrees(
    device: torch.device,
    dtype: torch.dtype,
    vocab_size: int,
    settings: Settings,
    teacher: bool,
    prior: bool,
) -> str | None:
    """None if the kernels give the losses and gradient of "torch" on random rows, else how not.

    Neither the random state nor the caller's gradients are touched.
    """
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
    target = torch.arange(CHECKED_ROWS, device=device) % vocab_size
    target[-1] = settings.ignore_index
    upstream = torch.linspace(0.5, 2.0, CHECKED_ROWS, device=device)
    results = []
    try:
        for compute in (chunked_token_losses, triton_token_losses):
            leaf = logits.clone().requires_grad_()
            with torch.enable_grad():
                losses = compute(leaf, target, settings, teacher_logits, weights)
            (gradient,) = torch.autograd.grad(losses.loss, leaf, upstream)
            results.append((*losses[:4], gradient))
    except Exception as error:  # of Triton's compiler, the driver, or the kernels
        return f"Triton's kernels do not run here ({type(error).__name__}: {error})"
    names = ("loss", "nll", "reg", "entropy", "gradient")
    for name, expected, found in zip(names, *results, strict=True):
        if expected is None or found is None:
            continue
        # float32 differs by the order of summation, half precision by how it is rounded.
        allowed = max(1e-5, 2.0 * torch.finfo(expected.dtype).eps)
        expected, found = expected.double(), found.double()
        distance = ((found - expected).norm() / expected.norm().clamp_min(1e-30)).item()
        if not distance <= allowed:  # also if it is NaN
            return (
                f"Triton's kernels are off by {distance:.2g} in {name} ({dtype}, V = {vocab_size})"
            )
    return None

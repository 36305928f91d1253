"""The losses that `benchmarks.loss` compares: fairseq's, those of other packages, and ours.

Each is taken as its package offers it for training, and promises one of the definitions in
`loss_check`. What cannot be imported is missing, with the reason.
"""

import functools
import importlib
import importlib.util
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_labo.ops import labo_linear_loss, labo_loss
from fairseq_labo.ops.dispatch import IMPLEMENTATIONS

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
Tensors = tuple[Tensor, ...]
Loss = Callable[[Tensors, "Problem", str], Tensor]  # inputs, problem, reduction


@dataclass(frozen=True)
class Problem:
    """Inputs that all providers share.

    logits [N, V], or hidden [N, D] and weight [V, D] for those that project themselves; target
    int64 [N]; upstream float32 [N], one random gradient per token.
    """

    logits: Tensor
    hidden: Tensor
    weight: Tensor
    target: Tensor
    upstream: Tensor
    label_smoothing: float
    pad: int = 1


def make_problem(
    sizes: tuple[int, int, int], dtype: torch.dtype, device: str, *, label_smoothing: float
) -> Problem:
    """Random inputs of N, V, D: 5% padding, and every eighth reference token almost certain."""
    num_tokens, vocab_size, hidden_dim = sizes
    logits = 2.0 * torch.randn(num_tokens, vocab_size, device=device)
    target = torch.randint(2, vocab_size, (num_tokens,), device=device)
    logits[torch.arange(0, num_tokens, 8, device=device), target[::8]] += 20.0
    padding = torch.rand(num_tokens, device=device) < 0.05
    padding[-1], padding[0] = True, False
    hidden = torch.randn(num_tokens, hidden_dim, device=device)
    weight = torch.randn(vocab_size, hidden_dim, device=device) * (2.0 / hidden_dim**0.5)
    # Multiples of 1/64 below 2: exact in every dtype, so that no provider rounds them.
    upstream = torch.randint(32, 97, (num_tokens,), device=device) / 64.0
    target = target.masked_fill(padding, Problem.pad)
    logits, hidden, weight = logits.to(dtype), hidden.to(dtype), weight.to(dtype)
    return Problem(logits, hidden, weight, target, upstream, label_smoothing)


@dataclass(frozen=True)
class Provider:
    """One loss. `load` returns it, or raises ImportError with the reason why it cannot."""

    name: str
    definition: str
    load: Callable[[], Loss]
    beta: float | None = None
    linear: bool = False  # takes (hidden, weight) instead of (logits,)
    gpu_only: bool = False
    in_place: bool = False  # writes over its input
    per_token: bool = True  # has reduction "none", with a gradient for any upstream gradient
    sums_in_half: bool = False  # its sum over float16 losses overflows: only the losses count

    def inputs(self, problem: Problem) -> Tensors:
        """Leaves that need a gradient; copies, if the provider writes to them."""
        given = (problem.hidden, problem.weight) if self.linear else (problem.logits,)
        return tuple((x.clone() if self.in_place else x.detach()).requires_grad_() for x in given)

    @functools.cached_property
    def loss(self) -> Loss:
        """The loss itself, loaded at the first use."""
        return self.load()

    def why_missing(self, device: str) -> str:
        """Why it cannot be computed on the device; empty if it can."""
        if self.gpu_only and device != "cuda":
            return "missing: runs on a GPU only"
        try:
            self.loss  # noqa: B018
        except (ImportError, OSError) as error:  # OSError: a shared library of the wrong build
            return f"missing: {str(error).splitlines()[0]}"
        return ""


def _load_fairseq() -> Loss:
    from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss

    def loss(inputs: Tensors, problem: Problem, reduction: str) -> Tensor:
        lprobs = F.log_softmax(inputs[0], dim=-1, dtype=torch.float32)
        options = (problem.label_smoothing, problem.pad, reduction == "sum")
        smoothed, _ = label_smoothed_nll_loss(lprobs, problem.target, *options)
        return smoothed if reduction == "sum" else smoothed.squeeze(-1)

    return loss


def _like_torch(function: Callable[..., Tensor], **more: Any) -> Loss:
    """A function that names its options as `torch.nn.functional.cross_entropy` does."""
    return lambda inputs, problem, reduction: function(
        *inputs,
        problem.target,
        label_smoothing=problem.label_smoothing,
        ignore_index=problem.pad,
        reduction=reduction,
        **more,
    )


def _load_torch() -> Loss:
    # In float32 also from half precision, which is what autocast does with this function.
    return _like_torch(lambda logits, *rest, **more: F.cross_entropy(logits.float(), *rest, **more))


def _load_torch_linear() -> Loss:
    fused = getattr(F, "linear_cross_entropy", None)
    if fused is None:
        raise ImportError(f"torch {torch.__version__} has no linear_cross_entropy (2.13 has)")
    return _like_torch(fused)


def _load_liger(name: str) -> Loss:
    module = importlib.import_module("liger_kernel.transformers.functional")
    return _like_torch(getattr(module, name))


def _load_flash() -> Loss:
    package = importlib.util.find_spec("flash_attn")
    if package is None or not package.submodule_search_locations:
        raise ImportError("No module named 'flash_attn'")
    # Only the file of the kernel: the package itself wants its compiled attention.
    path = f"{package.submodule_search_locations[0]}/ops/triton/cross_entropy.py"
    spec = importlib.util.spec_from_file_location("flash_attn_cross_entropy", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def loss(inputs: Tensors, problem: Problem, reduction: str) -> Tensor:
        options = {"label_smoothing": problem.label_smoothing, "ignore_index": problem.pad}
        losses, _ = module.cross_entropy_loss(*inputs, problem.target, **options)
        return losses.sum() if reduction == "sum" else losses

    return loss


def _load_apex() -> Loss:
    function = importlib.import_module("apex.contrib.xentropy").SoftmaxCrossEntropyLoss

    def loss(inputs: Tensors, problem: Problem, reduction: str) -> Tensor:
        in_half = inputs[0].dtype == torch.float16  # then its losses are float32 all the same
        options = (problem.label_smoothing, problem.pad, in_half)
        losses = function.apply(*inputs, problem.target, *options)
        return losses.sum() if reduction == "sum" else losses

    return loss


def _unfused(hidden: Tensor, weight: Tensor, target: Tensor, **options: Any) -> Tensor:
    return labo_loss(F.linear(hidden, weight), target, **options)


def list_providers(betas: list[float]) -> list[Provider]:
    """All providers, those of logits first; ours once for each β."""
    load, gpu, linear = functools.partial, {"gpu_only": True}, {"linear": True}
    # Liger writes the gradient over the logits and keeps its losses in their dtype; its fused loss
    # does not have gradients per token in all versions.
    liger = gpu | {"in_place": True, "sums_in_half": True}
    liger_linear = gpu | linear | {"per_token": False}
    fused = load(_load_liger, "liger_fused_linear_cross_entropy")
    providers = [
        Provider("fairseq", "fairseq", _load_fairseq),
        Provider("torch", "uniform", _load_torch),
        Provider("liger", "uniform", load(_load_liger, "liger_cross_entropy"), **liger),
        Provider("flash-attn", "uniform", _load_flash, **gpu),
        Provider("apex", "uniform", _load_apex, **gpu),
        Provider("torch-linear", "uniform", _load_torch_linear, **linear),
        Provider("liger-linear", "uniform", fused, **liger_linear),
    ]
    ours: dict[str, tuple[Callable[..., Tensor], dict[str, bool]]] = {
        **{f"labo-{impl}": (load(labo_loss, impl=impl), {}) for impl in IMPLEMENTATIONS},
        "labo-linear-unfused": (_unfused, linear),
        "labo-linear-fused": (labo_linear_loss, linear),
    }
    ours["labo-triton"] = (load(labo_loss, impl="triton"), gpu)
    for (name, (function, kind)), beta in itertools.product(ours.items(), betas):
        like_torch = load(_like_torch, function, beta=beta)
        providers.append(Provider(name, "labo", like_torch, beta, **kind))
    return sorted(providers, key=lambda provider: provider.linear)

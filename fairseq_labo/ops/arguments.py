"""Checks of the arguments that all implementations share."""

import math
import operator
from collections.abc import MutableMapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.weak import WeakIdKeyDictionary

from fairseq_labo.ops.priors import SUM_TOLERANCE
from fairseq_labo.ops.reference import compute_dtype

SMALLEST_BETA, LARGEST_BETA = 1e-30, 1e30
REDUCTIONS = ("none", "sum", "mean")


def check_label_smoothing(value: float) -> float:
    """Return α as a float, or raise ValueError if it is outside [0, 1)."""
    value = _number("label_smoothing", value)
    if not 0.0 <= value < 1.0:
        raise ValueError(
            f"label_smoothing is the weight of the regularizer and must be in [0, 1), "
            f"found {value}; use 0 for plain cross entropy"
        )
    return value


def check_temperature(value: float) -> float:
    """Return a teacher's temperature as a float; ValueError if it is 0, ∞ or as good as that."""
    value = _number("teacher_temperature", value)
    if not SMALLEST_BETA <= value <= LARGEST_BETA:
        raise ValueError(
            f"teacher_temperature must be above 0 and finite, found {value}; for the uniform "
            "distribution give beta=math.inf, and no teacher_logits"
        )
    return value


def check_beta(value: float) -> float:
    """Return β as a float, or raise ValueError if it is not above 0 (`inf` is accepted)."""
    value = _number("beta", value)
    if math.isnan(value) or value <= 0.0:
        raise ValueError(
            f"beta is the temperature of the smoothing distribution and must be above 0 "
            f"(inf is accepted: uniform label smoothing), found {value}"
        )
    return value


def _number(name: str, value: float) -> float:
    if isinstance(value, Tensor) and value.requires_grad:
        raise TypeError(f"{name} gets no gradient, found a tensor that requires one: give a number")
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a number, found {value!r}") from None
    except OverflowError:
        raise ValueError(f"{name} must be a number of 64 bits, found a larger one") from None


def check_ignore_index(value: int) -> int:
    """Return the index as an int; TypeError if it is no whole number, ValueError beyond int64."""
    try:
        index = operator.index(value)
    except TypeError:
        raise TypeError(
            f"ignore_index must be a whole number, found {value!r}; -100 where nothing is ignored"
        ) from None
    if not -(2**63) <= index < 2**63:
        raise ValueError(f"ignore_index must be a number of 64 bits, found {index}")
    return index


def check_tensor(name: str, value: Any) -> None:
    """Raise TypeError unless it is a tensor; the outputs of some models are not, but hold one."""
    if not isinstance(value, Tensor):
        remedy = f": give .{name.removeprefix('teacher_')} of a model's output"
        remedy = remedy if name.endswith("logits") else ""
        raise TypeError(f"{name} must be a tensor, found {type(value).__name__}{remedy}")


def check_kind(name: str, value: Tensor) -> None:
    """Raise TypeError for a tensor that cannot be computed with: of a kind, layout or device."""
    if not value.is_floating_point() or value.element_size() < 2:
        raise TypeError(f"{name} must be floating point, of 16 bits or more, found {value.dtype}")
    if value.layout != torch.strided:
        raise TypeError(f"{name} must be a dense tensor, found {value.layout}: call to_dense()")
    check_not_meta(name, value)


def check_not_meta(name: str, value: Tensor) -> None:
    """Raise TypeError for a tensor without numbers."""
    if value.is_meta:
        raise TypeError(f"{name} must hold numbers, found a tensor on the device meta")


def doubt_of_beta(beta: float, *, uniform: bool) -> str | None:
    """What to say of a β that is legal and does not restrain confidence; `uniform`: the prior.

    In ASCII, for it goes to logs of any encoding.
    """
    if beta == 1.0 and uniform:
        return (
            "beta = 1: the smoothing distribution is the model's own, the regularizer is the "
            "constant log V and has no effect but to scale the loss; use beta > 1"
        )
    if beta < 1.0:
        return (
            f"beta = {beta:g} < 1: the smoothing distribution is sharper than the model's own, so "
            "the regularizer rewards confidence instead of restraining it; use beta > 1"
        )
    return None


def representable_beta(beta: float) -> float:
    """β, or the limit that it cannot be told from in float32, where 1/β overflows or vanishes."""
    return max(beta, SMALLEST_BETA) if beta <= LARGEST_BETA else math.inf


def check_reduction(value: str) -> str:
    """Return the name of the reduction, or raise ValueError."""
    if value not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, found {value!r}")
    return value


def check_transforms(impl: str, *inputs: Any) -> None:
    """Raise RuntimeError where torch would differentiate what computes its gradient itself."""
    if impl == "reference":
        return
    dual = forward_ad.unpack_dual
    forward_mode = any(isinstance(x, Tensor) and dual(x).tangent is not None for x in inputs)
    if forward_mode or torch._C._are_functorch_transforms_active():
        raise RuntimeError(
            "under torch.func (grad, jvp, vmap, ...) and in forward mode impl must be "
            f'"reference", found {impl!r}: the other implementations compute their gradient '
            "themselves"
        )


def check_logits(logits: Tensor) -> None:
    """Raise unless `logits` is a floating-point matrix [N, V] with V >= 2."""
    check_tensor("logits", logits)
    if logits.dim() != 2:
        raise ValueError(
            f"logits must be [num_tokens, vocab_size], found shape {tuple(logits.shape)}; "
            f"flatten the leading dimensions with logits.view(-1, logits.size(-1))"
        )
    check_kind("logits", logits)
    if logits.size(1) < 2:
        raise ValueError(
            f"a vocabulary needs at least 2 entries to be smoothed over, found {logits.size(1)}"
        )


def check_linear_kinds(hidden: Any, weight: Any, bias: Any) -> None:
    """Raise TypeError unless they are tensors of numbers; None is no bias."""
    for name, value in (("hidden", hidden), ("weight", weight), ("bias", bias)):
        if name != "bias" or value is not None:
            check_tensor(name, value)
            check_not_meta(name, value)


def check_linear(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Raise unless hidden [N, D], weight [V, D] and bias [V] make a linear layer."""
    if hidden.dim() != 2 or weight.dim() != 2 or hidden.size(1) != weight.size(1):
        raise ValueError(
            f"expected hidden [num_tokens, hidden_dim] and weight [vocab_size, hidden_dim], found "
            f"{list(hidden.shape)} and {list(weight.shape)}; flatten the leading dimensions of "
            f"hidden with hidden.view(-1, hidden.size(-1))"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"bias must be [{weight.size(0)}], found {list(bias.shape)}")
    tensors = [hidden, weight] if bias is None else [hidden, weight, bias]
    if any(x.device != hidden.device for x in tensors):
        raise ValueError(f"expected one device, found {[str(x.device) for x in tensors]}")
    mixed = any(x.dtype != hidden.dtype for x in tensors)
    if mixed or not all(x.is_floating_point() for x in tensors):
        raise TypeError(
            f"hidden, weight and bias must share one floating dtype (autocast makes them, but for "
            f"float64, which it leaves), found "
            f"{[str(x.dtype) for x in tensors]}"
        )


def check_target(target: Tensor, *, logits: Tensor, ignore_index: int) -> Tensor:
    """Return `target` as int64 [N], or raise if it does not belong to `logits` [N, V].

    On the CPU an index outside the vocabulary raises IndexError. On CUDA the implementations assert
    the same on the device, so that the host need not wait: "triton" in its kernel, the others by
    `assert_target`.
    """
    check_tensor("target", target)
    if target.dim() != 1 or target.size(0) != logits.size(0):
        raise ValueError(
            f"target must be [num_tokens] = [{logits.size(0)}], found shape {tuple(target.shape)}"
        )
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise TypeError(
            f"target must hold vocabulary indices (int64 or int32), found {target.dtype}"
        )
    if target.device != logits.device:
        raise ValueError(
            f"target is on {target.device}, logits on {logits.device}: move one of them"
        )
    target = target.long()
    if not target.is_cuda:
        valid = _in_vocabulary(target, logits.size(1), ignore_index)
        if not bool(valid.all()):
            raise IndexError(
                f"target {int(target[~valid][0])} is outside the vocabulary [0, {logits.size(1)}) "
                f"and is not ignore_index {ignore_index}"
            )
    return target


def _in_vocabulary(target: Tensor, vocab_size: int, ignore_index: int) -> Tensor:
    inside = target.ge(0).logical_and_(target.lt(vocab_size))
    return inside.logical_or_(target.eq(ignore_index))


def assert_target(target: Tensor, *, logits: Tensor, ignore_index: int) -> None:
    """On CUDA, a device-side assertion that every index is in the vocabulary or ignored."""
    if target.is_cuda:
        torch._assert_async(_in_vocabulary(target, logits.size(1), ignore_index).all())


_checked_priors: MutableMapping[Tensor, int] = WeakIdKeyDictionary()  # and their versions then


def check_prior(prior: Tensor, *, logits: Tensor) -> Tensor:
    """Return the prior [V] in the dtype that is computed in, or raise if it is no distribution.

    The values of one tensor are looked at once, which on a GPU waits for it.
    """
    if not isinstance(prior, Tensor):
        raise TypeError(f"prior must be a tensor [vocab_size], found {type(prior).__name__}")
    if prior.layout != torch.strided:
        raise TypeError(f"prior must be a dense tensor, found {prior.layout}: call to_dense()")
    if prior.shape != logits.shape[1:] or prior.device != logits.device:
        raise ValueError(
            f"prior must be [vocab_size] = [{logits.size(1)}] on {logits.device}, found "
            f"{list(prior.shape)} on {prior.device}"
        )
    if prior.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"prior must be float32 or float64, found {prior.dtype}: the sum of rounded "
            f"probabilities would be off"
        )
    version = None if prior.is_inference() else prior._version  # such a tensor has none
    values = prior.detach()
    if version is None or _checked_priors.get(prior) != version:
        total = float(values.sum(dtype=torch.float64))
        if not bool((values >= 0).all()) or not abs(total - 1.0) <= SUM_TOLERANCE:
            raise ValueError(
                f"prior must hold probabilities, 0 or more, with the sum 1, found values from "
                f"{float(values.min()):g} to {float(values.max()):g} with the sum {total:g}; "
                f"divide counts by their sum"
            )
        if version is not None:
            _checked_priors[prior] = version
    values = values.to(compute_dtype(logits))
    return values.clone() if values.is_inference() else values  # autograd saves no such tensor


def check_teacher(teacher_logits: Tensor, *, logits: Tensor) -> None:
    """Raise unless the teacher's logits match `logits` in shape and device."""
    check_tensor("teacher_logits", teacher_logits)
    if teacher_logits.shape != logits.shape or teacher_logits.device != logits.device:
        raise ValueError(
            f"teacher_logits must be {list(logits.shape)} on {logits.device}, found "
            f"{list(teacher_logits.shape)} on {teacher_logits.device}: student and teacher need "
            f"the same vocabulary and batch"
        )
    check_kind("teacher_logits", teacher_logits)

"""The decoder's features and its output layer, for the loss that is fused with the projection."""

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

from fairseq.distributed.fully_sharded_data_parallel import FullyShardedDataParallel
from fairseq.models import FairseqLanguageModel
from fairseq.models.bart import BARTModel
from fairseq.models.transformer import TransformerDecoderBase, TransformerModelBase
from fairseq.nan_detector import NanDetector
from torch import Tensor, nn

from fairseq_labo.criterions.logits import has_method, has_plain_logits

# These hand on what their decoder returns; a forward that is not among them may change it.
_PLAIN_FORWARDS = (TransformerModelBase.forward, FairseqLanguageModel.forward, BARTModel.forward)


class Features(NamedTuple):
    """What the logits are computed from: hidden @ weight.T + bias."""

    hidden: Tensor  # [B * T, D]
    weight: Tensor  # [V, D]
    bias: Tensor | None  # [V]


def _layers_of(model: nn.Module) -> list[nn.Module]:
    """The wrappers of data-parallel training, outermost first, and the model itself."""
    found = [model]
    while isinstance(inner := getattr(found[-1], "module", None), nn.Module):
        found.append(inner)
    return found


def _check_wrappers(wrappers: Sequence[nn.Module], *, tied: bool) -> None:
    """Raise RuntimeError if one of them loses the output layer, which only the loss uses.

    tied: the forward pass uses its weight as an embedding.
    """
    if any(isinstance(each, FullyShardedDataParallel) for each in wrappers):
        raise RuntimeError(
            "--fused-projection needs the whole output layer, found fully sharded weights: "
            "leave out --fused-projection, or choose another --ddp-backend"
        )
    if not tied and any(getattr(each, "find_unused_parameters", False) for each in wrappers):
        raise RuntimeError(
            "--fused-projection uses the output layer outside the model's forward pass, where "
            "--find-unused-parameters takes it for unused: leave out one of the two"
        )


def why_not_fused(model: nn.Module) -> str | None:
    """None if the model's logits are a linear layer of its decoder's features, else what is not.

    Decided by the classes and methods of the model; nothing is computed.
    """
    decoder = getattr(model, "decoder", None)
    if isinstance(getattr(model, "_orig_mod", None), nn.Module):
        return "is compiled (give the model itself)"
    if not isinstance(model, TransformerModelBase | FairseqLanguageModel):
        return "is no transformer of fairseq's"
    if not isinstance(decoder, TransformerDecoderBase):
        return f"has a {type(decoder).__name__}, whose features are not at hand"
    if decoder.adaptive_softmax is not None:
        return "has an adaptive softmax"
    taken = inspect.signature(model.forward).parameters.values()
    if not any(each.name == "features_only" or each.kind is each.VAR_KEYWORD for each in taken):
        return "does not give its features (its forward takes no features_only)"
    if not has_method(model.forward, *_PLAIN_FORWARDS):
        return "has a forward of its own, which may change the logits"
    if not has_method(decoder.forward, TransformerDecoderBase.forward):
        return f"has a {type(decoder).__name__} with a forward of its own, which may change them"
    layer = decoder.output_projection
    if not (
        has_method(decoder.output_layer, TransformerDecoderBase.output_layer)
        and isinstance(layer, nn.Linear)
        and has_method(layer.forward, nn.Linear.forward)
    ):
        return "has no plain linear output layer"
    if any(map(_has_hooks, (model, decoder, layer))):
        return "has hooks, which may change the logits"
    if not has_plain_logits(model):
        return "turns its logits into probabilities in its own way"
    return None


def _has_hooks(module: nn.Module) -> bool:
    """Whether something is called before or after it, but for what fairseq looks for NaN with.

    Forward or backward: one of these may change the gradient of the logits.
    """
    forward = (module._forward_pre_hooks, module._forward_hooks)
    backward = (module._backward_pre_hooks, module._backward_hooks)
    of_fairseq = (NanDetector.fhook_fn, NanDetector.bhook_fn)
    hooks = (hook for each in (*forward, *backward) for hook in each.values())
    return not all(has_method(hook, *of_fairseq) for hook in hooks)


def decoder_features(model: nn.Module, net_input: dict[str, Any]) -> Features:
    """Run the model up to, and without, its output layer.

    Raises:
        RuntimeError: the model has no such layer, or it is sharded, or taken for unused.
    """
    *wrappers, inner = _layers_of(model)
    _expect(inner, why_not_fused(inner))
    decoder: Any = inner.decoder
    layer = decoder.output_projection
    weight = layer.weight  # read once: under a parametrization each time computes it
    _check_wrappers(wrappers, tied=weight is getattr(decoder.embed_tokens, "weight", None))
    hidden, _ = model(**net_input, features_only=True)  # [B, T, D]; through the wrappers
    if hidden.size(-1) != weight.size(-1):  # --decoder-output-dim: without fusing it fails, too
        _expect(inner, f"has features of {hidden.size(-1)} for a layer of {weight.size(-1)}")
    return Features(hidden.reshape(-1, hidden.size(-1)), weight, layer.bias)


def _expect(model: nn.Module, reason: str | None) -> None:
    """Raise RuntimeError if there is a reason why the loss cannot be fused."""
    if reason is not None:
        raise RuntimeError(
            f"--fused-projection needs a transformer decoder with a linear output layer (tied or "
            f"not), but {type(model).__name__} {reason}: leave out --fused-projection"
        )

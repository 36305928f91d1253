"""The decoder's features and its output layer, for the loss that is fused with the projection."""

from typing import Any, NamedTuple

from fairseq.distributed.fully_sharded_data_parallel import FullyShardedDataParallel
from fairseq.models import FairseqLanguageModel
from fairseq.models.transformer import TransformerDecoderBase, TransformerModelBase
from torch import Tensor, nn

from fairseq_labo.criterions.logits import has_plain_logits


class Features(NamedTuple):
    """What the logits are computed from: hidden @ weight.T + bias."""

    hidden: Tensor  # [B * T, D]
    weight: Tensor  # [V, D]
    bias: Tensor | None  # [V]


def _unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, without the wrappers of data-parallel training.

    Raises:
        RuntimeError: the weights are sharded, so the output layer's are not at hand here.
    """
    while True:
        if isinstance(model, FullyShardedDataParallel):
            raise RuntimeError(
                "--fused-projection needs the whole output layer, found fully sharded weights: "
                "leave out --fused-projection, or choose another --ddp-backend"
            )
        inner = getattr(model, "module", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def why_not_fused(model: nn.Module) -> str | None:
    """None if the model's logits are a linear layer of its decoder's features, else what is not.

    Decided by the classes and methods that the model has; nothing is computed.
    """
    decoder = getattr(model, "decoder", None)
    if not isinstance(model, TransformerModelBase | FairseqLanguageModel):
        return "is no transformer of fairseq's"
    if not isinstance(decoder, TransformerDecoderBase):
        return f"has a {type(decoder).__name__}, whose features are not at hand"
    if decoder.adaptive_softmax is not None:
        return "has an adaptive softmax"
    own_method = type(decoder).output_layer is not TransformerDecoderBase.output_layer
    if own_method or not isinstance(decoder.output_projection, nn.Linear):
        return "has no plain linear output layer"
    if not has_plain_logits(model):
        return "turns its logits into probabilities in its own way"
    return None


def decoder_features(model: nn.Module, net_input: dict[str, Any]) -> Features:
    """Run the model up to, and without, its output layer.

    Raises:
        RuntimeError: the model has no such layer, or it is sharded.
    """
    inner = _unwrapped(model)
    reason = why_not_fused(inner)
    if reason is not None:
        raise RuntimeError(
            f"--fused-projection needs a transformer decoder with a linear output layer (tied or "
            f"not), but {type(inner).__name__} {reason}: leave out --fused-projection"
        )
    hidden, _ = model(**net_input, features_only=True)  # [B, T, D]; through the wrappers
    layer = inner.decoder.output_projection  # type: ignore[union-attr]
    return Features(hidden.reshape(-1, hidden.size(-1)), layer.weight, layer.bias)  # type: ignore

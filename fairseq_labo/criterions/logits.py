"""The logits of a fairseq model, or something that serves as logits."""

from typing import Any

from fairseq.models import BaseFairseqModel, FairseqDecoder
from fairseq.models.nat import FairseqNATDecoder
from fairseq.models.transformer import TransformerModelBase
from fairseq.tasks.translation_lev import TranslationLevenshteinTask
from torch import Tensor

# These methods apply log_softmax to the first output of the model, and nothing else.
_PLAIN_MODEL_METHODS = (
    BaseFairseqModel.get_normalized_probs,
    TransformerModelBase.get_normalized_probs,
)


def _is(method: Any, *functions: Any) -> bool:
    """Whether a bound method is one of the functions (also through a wrapper's attribute)."""
    return getattr(method, "__func__", None) in functions


def has_plain_logits(model: Any) -> bool:
    """Whether the model's log-probabilities are log_softmax of its decoder's first output.

    Decided by which methods it has, so nothing is computed. A model that overrides them, one
    with an adaptive softmax, or one without a decoder is answered False.
    """
    decoder = getattr(model, "decoder", None)
    return (
        _is(getattr(model, "get_normalized_probs", None), *_PLAIN_MODEL_METHODS)
        and _is(
            getattr(model, "get_normalized_probs_scriptable", None),
            BaseFairseqModel.get_normalized_probs_scriptable,
        )
        and isinstance(decoder, FairseqDecoder)
        and _is(decoder.get_normalized_probs, FairseqDecoder.get_normalized_probs)
        and _is(
            decoder.get_normalized_probs_scriptable, FairseqDecoder.get_normalized_probs_scriptable
        )
        and getattr(decoder, "adaptive_softmax", None) is None
    )


def check_autoregressive(part: Any) -> None:
    """Raise ValueError for the task or the model of a non-autoregressive translator.

    Those models compute losses of their own (of lengths, insertions, masks), which need
    fairseq's ``nat_loss``; there is no matrix of logits to be regularized.
    """
    if isinstance(part, TranslationLevenshteinTask) or isinstance(
        getattr(part, "decoder", None), FairseqNATDecoder
    ):
        raise ValueError(
            f"expected an autoregressive task and model, found {type(part).__name__}: "
            f"non-autoregressive translation needs fairseq's --criterion nat_loss"
        )


def model_logits(model: Any, net_output: Any) -> Tensor:
    """Logits [..., V] of the model's output, or its log-probabilities.

    Log-probabilities are valid logits, since softmax(log p) = p; they cost a float32 copy of
    the logits, so the logits themselves are taken where they are at hand.
    """
    if has_plain_logits(model):
        return net_output[0]
    return model.get_normalized_probs(net_output, log_probs=True)

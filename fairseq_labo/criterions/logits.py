"""The logits of a fairseq model, or something that serves as logits."""

from typing import Any

import torch
from fairseq.models import BaseFairseqModel, FairseqDecoder
from fairseq.models.nat import FairseqNATDecoder
from fairseq.models.transformer import TransformerModelBase
from fairseq.modules import AdaptiveSoftmax
from fairseq.tasks.translation_lev import TranslationLevenshteinTask
from torch import Tensor

# These methods apply log_softmax to the first output of the model, and nothing else.
_PLAIN_MODEL_METHODS = (
    BaseFairseqModel.get_normalized_probs,
    TransformerModelBase.get_normalized_probs,
)


def has_method(method: Any, *functions: Any) -> bool:
    """Whether a bound method is one of the functions (also through a wrapper's attribute)."""
    return getattr(method, "__func__", None) in functions


def has_own_probabilities(model: Any) -> bool:
    """Whether the model or its decoder says itself how probabilities come from its output.

    Decided by which methods it has, so nothing is computed. A model that overrides them, or
    one without a decoder, is answered True.
    """
    decoder = getattr(model, "decoder", None)
    return not (
        has_method(getattr(model, "get_normalized_probs", None), *_PLAIN_MODEL_METHODS)
        and has_method(
            getattr(model, "get_normalized_probs_scriptable", None),
            BaseFairseqModel.get_normalized_probs_scriptable,
        )
        and isinstance(decoder, FairseqDecoder)
        and has_method(decoder.get_normalized_probs, FairseqDecoder.get_normalized_probs)
        and has_method(
            decoder.get_normalized_probs_scriptable, FairseqDecoder.get_normalized_probs_scriptable
        )
    )


def has_plain_logits(model: Any) -> bool:
    """Whether the model's log-probabilities are log_softmax of its decoder's first output."""
    return not has_own_probabilities(model) and _adaptive_softmax(model) is None


def _adaptive_softmax(model: Any) -> Any:
    return getattr(model.decoder, "adaptive_softmax", None)


def adaptive_log_probs(softmax: AdaptiveSoftmax, features: Tensor) -> Tensor:
    """log p [..., V] of an adaptive softmax from the decoder's features [..., D].

    The head has the frequent tokens and one entry for each cluster; the probability of a rarer
    token is that of its cluster times that within it. fairseq's own `get_log_prob` computes the
    same in place, which autograd cannot follow.
    """
    flat = features.reshape(-1, features.size(-1))  # as a tied head (TiedHeadModule) returns it
    head = torch.log_softmax(softmax.head(flat).float(), dim=-1)
    num_frequent = softmax.cutoff[0]
    parts = [head[:, :num_frequent]]
    for number, tail in enumerate(softmax.tail, start=num_frequent):
        within = torch.log_softmax(tail(flat).float(), dim=-1)
        parts.append(head[:, number : number + 1] + within)
    return torch.cat(parts, dim=-1).view(*features.shape[:-1], -1)


def check_autoregressive(part: Any) -> None:
    """Raise RuntimeError for the task or the model of a non-autoregressive translator.

    Those models compute losses of their own (of lengths, insertions, masks), which need
    fairseq's ``nat_loss``; there is no matrix of logits to be regularized. (RuntimeError, as in
    `TeacherError`: the trainer writes no checkpoint then.)
    """
    if isinstance(part, TranslationLevenshteinTask) or isinstance(
        getattr(part, "decoder", None), FairseqNATDecoder
    ):
        raise RuntimeError(
            f"expected an autoregressive task and model, found {type(part).__name__}: "
            f"non-autoregressive translation needs fairseq's --criterion nat_loss"
        )


def model_logits(model: Any, net_output: Any) -> Tensor:
    """Logits [..., V] of the model's output, or its log-probabilities.

    Log-probabilities are valid logits, since softmax(log p) = p; they cost a float32 copy of
    the logits, so the logits themselves are taken where they are at hand.
    """
    if has_own_probabilities(model):
        return model.get_normalized_probs(net_output, log_probs=True)
    adaptive_softmax = _adaptive_softmax(model)
    if adaptive_softmax is not None:
        return adaptive_log_probs(adaptive_softmax, net_output[0])
    return net_output[0]

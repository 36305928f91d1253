"""Logits of the models that have them, log-probabilities of those that do not."""

from typing import Any

import torch

from tests.criterions.conftest import Build
from tests.criterions.steps import LABO


def test_adaptive_softmax_goes_through_log_probabilities(build: Build) -> None:
    """Its first output is the features, so the logits are not at hand."""
    from fairseq_labo.criterions.logits import has_plain_logits, model_logits

    built = build(*LABO, "--adaptive-softmax-cutoff", "8,12", "--decoder-normalize-before")
    assert not has_plain_logits(built.model)
    output = built.model(**built.batch["net_input"])
    lprobs = built.model.get_normalized_probs(output, log_probs=True)
    assert torch.equal(model_logits(built.model, output), lprobs)


def test_a_tied_adaptive_softmax() -> None:
    """As in transformer_lm_wiki103: its head has the tokens of the batch in one dimension."""
    from fairseq.modules import AdaptiveInput, AdaptiveSoftmax

    from fairseq_labo.criterions.logits import adaptive_log_probs

    torch.manual_seed(0)
    inputs = AdaptiveInput(20, 0, 8, 2, 8, [8, 12])
    softmax = AdaptiveSoftmax(20, 8, [8, 12], dropout=0.0, adaptive_inputs=inputs, factor=2.0)
    features = torch.randn(5, 3, 8).transpose(0, 1)  # [B, T, D], not contiguous
    found = adaptive_log_probs(softmax, features)
    assert torch.equal(found, softmax.get_log_prob(features.contiguous(), None))
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(3, 5))


def test_plain_logits_are_taken_as_they_are(build: Build) -> None:
    from fairseq_labo.criterions.logits import has_plain_logits, model_logits

    built = build(*LABO)
    output = built.model(**built.batch["net_input"])
    assert has_plain_logits(built.model)
    assert model_logits(built.model, output) is output[0]
    lprobs = built.model.get_normalized_probs(output, log_probs=True)
    torch.testing.assert_close(torch.log_softmax(output[0], -1), lprobs)


def test_overridden_normalization_is_respected(build: Build) -> None:
    """A model with a normalization of its own: here, at temperature 2."""
    from fairseq_labo.criterions.logits import model_logits

    built = build(*LABO)

    class Cooler(type(built.model)):  # type: ignore[misc]
        def get_normalized_probs(
            self, net_output: Any, log_probs: bool, sample: Any = None
        ) -> torch.Tensor:
            return torch.log_softmax(net_output[0] / 2, -1)

    built.model.__class__ = Cooler
    output = built.model(**built.batch["net_input"])
    torch.testing.assert_close(
        model_logits(built.model, output), torch.log_softmax(output[0] / 2, -1)
    )

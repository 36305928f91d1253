"""The criterions against fairseq's own, on fairseq's own model, task and batch."""

import logging
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from fairseq_labo.ops import labo_targets
from tests.criterions.conftest import Built

Build = Callable[..., Built]
LABO = ("--criterion", "labo_cross_entropy")
TSLA = ("--criterion", "tsla_cross_entropy", "--smoothing-updates", "5")
SMOOTHED = ("--criterion", "label_smoothed_cross_entropy", "--label-smoothing", "0.2")


def step(built: Built, *, num_updates: int = 0) -> tuple[torch.Tensor, int, dict[str, Any], list]:
    """What a training step computes: loss, sample size, log and all gradients."""
    if hasattr(built.criterion, "progress"):
        built.criterion.progress.num_updates = num_updates
        built.criterion.progress.epoch = 1
    built.model.train()
    built.criterion.train()
    built.model.zero_grad()
    loss, sample_size, log = built.criterion(built.model, built.batch)
    loss.backward()
    gradients = [p.grad.clone() for p in built.model.parameters() if p.grad is not None]
    return loss.detach(), sample_size, log, gradients


def assert_same_step(ours: Built, fairseqs: Built) -> None:
    loss, sample_size, log, gradients = step(ours)
    expected_loss, expected_size, expected_log, expected_gradients = step(fairseqs)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-6, atol=0)
    assert sample_size == expected_size
    for key in expected_log:
        assert float(log[key]) == pytest.approx(float(expected_log[key]), rel=1e-6), key
    assert len(gradients) == len(expected_gradients) > 10
    for found, expected in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


COMMON_FLAGS = [
    (),
    ("--report-accuracy",),
    ("--ignore-prefix-size", "2"),
    ("--sentence-avg", "--report-accuracy", "--ignore-prefix-size", "1"),
]


@pytest.mark.parametrize("flags", COMMON_FLAGS)
def test_tsla_stage_1_is_fairseqs_label_smoothing(build: Build, flags: tuple[str, ...]) -> None:
    assert_same_step(build(*TSLA, "--label-smoothing", "0.2", *flags), build(*SMOOTHED, *flags))


@pytest.mark.parametrize("flags", COMMON_FLAGS)
def test_labo_of_beta_inf_is_fairseqs_label_smoothing(build: Build, flags: tuple[str, ...]) -> None:
    fairseqs = build(*SMOOTHED, *flags)
    vocab_size = len(fairseqs.task.target_dictionary)
    alpha = 0.2 * vocab_size / (vocab_size - 1)
    ours = build(*LABO, "--labo-beta", "inf", "--label-smoothing", alpha, *flags)
    assert_same_step(ours, fairseqs)


@pytest.mark.parametrize(
    "flags", [(*LABO, "--label-smoothing", "0"), (*TSLA, "--label-smoothing", "0")]
)
@pytest.mark.parametrize("sentence_avg", [(), ("--sentence-avg",)])
def test_weight_0_is_fairseqs_cross_entropy(
    build: Build, flags: tuple[str, ...], sentence_avg: tuple[str, ...]
) -> None:
    ours = build(*flags, *sentence_avg)
    assert_same_step(ours, build("--criterion", "cross_entropy", *sentence_avg))


@pytest.mark.parametrize("criterion", [TSLA, (*LABO, "--smoothing-updates", "5")])
def test_stage_2_is_cross_entropy(build: Build, criterion: tuple[str, ...]) -> None:
    ours, plain = build(*criterion), build("--criterion", "cross_entropy")
    expected, _, _, expected_gradients = step(plain)
    for num_updates, same in ((4, False), (5, True), (500, True)):
        loss, _, log, gradients = step(ours, num_updates=num_updates)
        assert (loss.item() == pytest.approx(expected.item(), rel=1e-6)) is same
        assert (float(log["smoothing"]) == 0.0) is same
    for found, wanted in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("criterion", [TSLA, LABO, (*LABO, "--smoothing-updates", "5")])
def test_validation_loss_is_plain_nll(build: Build, criterion: tuple[str, ...]) -> None:
    """Also when the trainer has said nothing yet, as in fairseq-validate."""
    ours, plain = build(*criterion), build("--criterion", "cross_entropy")
    for built in (ours, plain):
        built.model.eval()
        built.criterion.eval()
    with torch.no_grad():
        loss, _, log = ours.criterion(ours.model, ours.batch)
        expected, _, _ = plain.criterion(plain.model, plain.batch)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert float(log["nll_loss"]) == pytest.approx(loss.item(), rel=1e-6)
    assert log["smoothing"] == 0.0
    assert log["reg_ntokens"] == ours.batch["ntokens"]  # and the regularizer is measured


@pytest.mark.parametrize(("flags", "beta"), [(("--labo-beta", "3"), 3.0), ((), 4.0)])
def test_logged_statistics_are_those_of_the_dense_distribution(
    build: Build, flags: tuple[str, ...], beta: float
) -> None:
    built = build(*LABO, *flags, "--label-smoothing", "0.3")
    loss, _, log, _ = step(built)
    with torch.no_grad():
        logits = built.model(**built.batch["net_input"])[0]
    counted = built.batch["target"].ne(built.criterion.padding_idx)
    z = logits[counted].double()  # [M, V]
    labels = labo_targets(z, beta=beta)
    entropy = -(labels * labels.log()).sum()
    kl = z.size(0) * math.log(z.size(1)) - entropy
    reg = -(labels * torch.log_softmax(z, -1)).sum() + beta * kl
    assert float(log["label_entropy"]) == pytest.approx(entropy.item(), rel=1e-5)
    assert float(log["reg_loss"]) == pytest.approx(reg.item(), rel=1e-5)
    mixed = 0.7 * float(log["nll_loss"]) + 0.3 * float(log["reg_loss"])
    assert loss.item() == pytest.approx(mixed, rel=1e-6)


def test_unreduced_loss_is_per_token(build: Build) -> None:
    built = build(*LABO)
    reduced, _, _ = built.criterion(built.model, built.batch)
    loss, _, _ = built.criterion(built.model, built.batch, reduce=False)
    assert loss.shape == (built.batch["target"].numel(),)
    torch.testing.assert_close(loss.sum(), reduced)


def test_metrics_are_in_bits(build: Build) -> None:
    from fairseq.logging import metrics

    built = build(*LABO, "--label-smoothing", "0.25", "--report-accuracy")
    logs = [step(built)[2], step(built)[2]]
    with metrics.aggregate(new_root=True) as aggregate:
        built.criterion.reduce_metrics(logs)
    values = aggregate.get_smoothed_values()
    nll = float(logs[0]["nll_loss"]) / logs[0]["ntokens"] / math.log(2)
    assert values["nll_loss"] == pytest.approx(nll, abs=5e-4)
    assert values["ppl"] == pytest.approx(2**nll, rel=1e-2)
    mixed = 0.75 * values["nll_loss"] + 0.25 * values["reg_loss"]
    assert values["loss"] == pytest.approx(mixed, abs=2e-3)
    assert values["smoothing"] == 0.25
    assert 0 < values["label_entropy"] <= math.log2(len(built.task.target_dictionary)) + 1e-3
    assert 0 <= values["accuracy"] <= 100


def test_switch_is_logged_once(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    built = build(*TSLA)
    with caplog.at_level(logging.INFO, logger="fairseq_labo"):
        for num_updates in (3, 4, 5, 6):
            step(built, num_updates=num_updates)
    messages = [record.message for record in caplog.records if "stage 2" in record.message]
    assert messages == ["stage 2 begins: one-hot targets from epoch 1, after 5 updates"]


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        ((*LABO, "--label-smoothing", "1"), r"must be in \[0, 1\), found 1.0"),
        ((*LABO, "--label-smoothing", "-0.1"), r"must be in \[0, 1\)"),
        ((*LABO, "--label-smoothing", "nan"), r"must be in \[0, 1\), found nan"),
        ((*LABO, "--labo-beta", "0"), "must be above 0"),
        ((*LABO, "--labo-beta", "-2"), "must be above 0"),
        ((*LABO, "--labo-beta", "nan"), "must be above 0"),
        ((*LABO, "--smoothing-epochs", "1", "--smoothing-updates", "9"), "found both"),
        (("--criterion", "tsla_cross_entropy"), "found neither"),
        ((*TSLA, "--smoothing-epochs", "2"), "found both"),
        ((*TSLA, "--label-smoothing", "1.5"), r"must be in \[0, 1\)"),
        ((*TSLA, "--label-smoothing", "0.999"), r"must be below \(V-1\)/V"),
        ((*LABO, "--ignore-prefix-size", "-1"), "--ignore-prefix-size must be 0 or more"),
    ],
)
def test_refused_at_start_up(build: Build, flags: tuple[str, ...], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        build(*flags)


@pytest.mark.parametrize(
    ("beta", "match"), [("1", "has no effect"), ("0.5", "rewards confidence"), ("2", None)]
)
def test_warnings_of_beta(
    build: Build, caplog: pytest.LogCaptureFixture, beta: str, match: str | None
) -> None:
    with caplog.at_level(logging.WARNING, logger="fairseq_labo"):
        build(*LABO, "--labo-beta", beta)
    messages = [record.message for record in caplog.records if "--labo-beta" in record.message]
    assert len(messages) == (match is not None)
    assert match is None or match in messages[0]


def test_adaptive_softmax_goes_through_log_probabilities(build: Build) -> None:
    """Its first output is the features, so the logits are not at hand."""
    from fairseq_labo.criterions.logits import has_plain_logits, model_logits

    built = build(*LABO, "--adaptive-softmax-cutoff", "8,12", "--decoder-normalize-before")
    assert not has_plain_logits(built.model)
    output = built.model(**built.batch["net_input"])
    lprobs = built.model.get_normalized_probs(output, log_probs=True)
    assert torch.equal(model_logits(built.model, output), lprobs)


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

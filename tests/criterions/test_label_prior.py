"""``--label-prior`` in both criterions: each method against the formula of its paper."""

import logging
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor

from tests.criterions.conftest import Build, Built
from tests.criterions.steps import LABO, TSLA, step

INF = (*LABO, "--labo-beta", "inf")


def counts_of(built: Built) -> Tensor:
    """How often each type is a target, by looking at every sentence of the training data."""
    built.task.load_dataset("train")
    dataset = built.task.dataset("train")
    targets = torch.cat([dataset[n]["target"] for n in range(len(dataset))])
    return torch.bincount(targets, minlength=len(built.task.target_dictionary)).double()


def by_definition(built: Built, smoothed_towards: Tensor, weight: float) -> tuple[Tensor, Any]:
    """Cross entropy with the targets (1 − w) e_y + w π, by torch, and the model's gradients."""
    built.model.train()
    built.model.zero_grad()
    logits = built.model(**built.batch["net_input"])[0].double()
    counted = built.batch["target"].ne(built.criterion.padding_idx)
    one_hot = F.one_hot(built.batch["target"][counted], logits.size(-1))
    soft = (1 - weight) * one_hot + weight * smoothed_towards
    loss = F.cross_entropy(logits[counted], soft, reduction="sum")
    loss.backward()
    return loss.detach(), [p.grad for p in built.model.parameters() if p.grad is not None]


@pytest.mark.parametrize("prior", ["unigram", "target"])
@pytest.mark.parametrize(
    "criterion", [*(INF, TSLA), *((*each, "--fused-projection") for each in (INF, TSLA))]
)
def test_unigram_and_masked_label_smoothing(
    build: Build, criterion: tuple[str, ...], prior: str
) -> None:
    built = build(*criterion, "--label-prior", prior, "--label-smoothing", "0.2")
    counts = counts_of(built)
    weights = counts if prior == "unigram" else counts.gt(0).double()
    assert weights.gt(0).sum() < len(weights) - 10  # types of the source, joined
    loss, _, log, gradients = step(built)
    expected_loss, expected = by_definition(built, weights / weights.sum(), 0.2)
    assert loss.item() == pytest.approx(expected_loss.item(), rel=1e-6)
    for found, exact in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-5)
    entropy = torch.special.entr(weights / weights.sum()).sum().item()
    num_counted = int(built.batch["target"].ne(built.criterion.padding_idx).sum())
    assert float(log["label_entropy"]) == pytest.approx(num_counted * entropy, rel=1e-5)


def test_a_configuration_alone_and_counts_of_a_checkpoint(build: Build) -> None:
    """Its root, which knows --train-subset, is not needed where nothing is counted."""
    built = build(*INF, "--label-prior", "unigram")
    alone = {"_name": "labo_cross_entropy", "labo_beta": 2.0, "label_prior": "unigram"}
    config = OmegaConf.create({**alone, "sentence_avg": False})
    criterion = built.task.build_criterion(config)
    torch.testing.assert_close(criterion.prior, built.criterion.prior)


def test_labo_with_a_prior(build: Build) -> None:
    """β finite: the distribution π exp(z/β), normalized, of the batch's logits."""
    built = build(*LABO, "--labo-beta", "3", "--label-prior", "unigram", "--label-smoothing", "0.3")
    counts = counts_of(built)
    with torch.no_grad():
        logits = built.model(**built.batch["net_input"])[0].double()
    counted = built.batch["target"].ne(built.criterion.padding_idx)
    weighted = counts * torch.exp(logits[counted] / 3)
    smoothed_towards = weighted / weighted.sum(-1, keepdim=True)
    _, _, _, gradients = step(built)
    _, expected = by_definition(built, smoothed_towards, 0.3)
    for found, exact in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-5)


def test_confidence_penalty(build: Build) -> None:
    """NLL − w H(p), with β = 1 + δ and α = w/(w + δ), up to the factor 1 − α."""
    weight, delta = 0.1, 1e-3
    alpha = weight / (weight + delta)
    built = build(*LABO, "--labo-beta", 1 + delta, "--label-smoothing", alpha)
    _, _, _, gradients = step(built)
    built.model.zero_grad()
    log_p = torch.log_softmax(built.model(**built.batch["net_input"])[0].double(), -1)
    target = built.batch["target"].unsqueeze(-1)
    counted = target.squeeze(-1).ne(built.criterion.padding_idx)
    entropy = -(log_p.exp() * log_p).sum(-1)
    loss = -log_p.gather(-1, target).squeeze(-1) - weight * entropy
    loss[counted].sum().backward()
    expected = [p.grad for p in built.model.parameters() if p.grad is not None]
    for found, exact in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found / (1 - alpha), exact, rtol=1e-3, atol=1e-3)


def test_uniform_reads_no_data(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(task: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("fairseq_labo.criterions.regularized_cross_entropy.target_counts", fail)
    built = build(*LABO, "--label-prior", "uniform")
    assert built.criterion.prior is None and built.task.state_dict() == {}
    assert step(built)[0] == step(build(*LABO))[0]


def test_stage_2_and_validation_are_those_of_any_prior(build: Build) -> None:
    built = build(*TSLA, "--label-prior", "unigram")
    loss, _, log, _ = step(built, num_updates=5)
    assert loss.item() == pytest.approx(float(log["nll_loss"]))
    built.criterion.eval()
    loss, _, log = built.criterion(built.model, built.batch)
    assert loss.item() == pytest.approx(float(log["nll_loss"])) and float(log["reg_loss"]) > 0


def test_beta_1_with_a_prior_is_no_constant(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="fairseq_labo"):
        built = build(*LABO, "--labo-beta", "1", "--label-prior", "target")
    assert not [record for record in caplog.records if "--labo-beta" in record.message]
    _, _, log, _ = step(built)
    assert float(log["reg_loss"]) > 0 and math.isfinite(float(log["reg_loss"]))


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        ((*LABO, "--label-prior", "bigram"), "one of uniform, unigram, target, found 'bigram'"),
        ((*TSLA, "--label-prior", "target", "--teacher-path", "x"), r"found both \(target, x\)"),
    ],
)
def test_refused_at_start_up(build: Build, flags: tuple[str, ...], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        build(*flags)

"""What both criterions share, against fairseq's own on fairseq's own model, task and batch."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fairseq_labo.criterions.tsla_cross_entropy import (
    TslaCrossEntropyConfig,
    TslaCrossEntropyCriterion,
)
from tests.criterions.conftest import Build
from tests.criterions.steps import LABO, SMOOTHED, TSLA, assert_same_step, step


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


def test_averages_are_over_the_tokens_that_are_counted(build: Build) -> None:
    """Not over `ntokens`, where a task masks some, as fairseq's masked_lm does."""
    built = build(*LABO)
    config = TslaCrossEntropyConfig(report_accuracy=True, smoothing_updates=1, sentence_avg=False)
    task: Any = SimpleNamespace(
        target_dictionary=built.task.target_dictionary,
        begin_epoch=lambda epoch, model: None,
        train_step=lambda *_, update_num: None,
    )
    built = built._replace(criterion=TslaCrossEntropyCriterion(config, task))
    built.criterion.progress.num_updates = 0
    target = built.batch["target"]
    target[:, ::2] = built.criterion.padding_idx
    counted = int(target.ne(built.criterion.padding_idx).sum())
    assert 0 < counted < built.batch["ntokens"]
    _, sample_size, log = built.criterion(built.model, built.batch)
    assert sample_size == built.batch["ntokens"]  # as fairseq's label smoothing has it
    sizes = {key: int(log[key]) for key in ("num_counted", "loss_size", "reg_ntokens", "total")}
    assert set(sizes.values()) == {counted}
    weight = built.criterion.label_smoothing_of_stage_1(len(task.target_dictionary))
    assert float(log["smoothing"]) == pytest.approx(weight * counted)


def test_unreduced_loss_is_per_token(build: Build) -> None:
    built = build(*LABO)
    reduced, _, _ = built.criterion(built.model, built.batch)
    loss, _, _ = built.criterion(built.model, built.batch, reduce=False)
    assert loss.shape == (built.batch["target"].numel(),)
    torch.testing.assert_close(loss.sum(), reduced)


@pytest.mark.parametrize("flags", [("--label-smoothing", "0.2"), ("--ignore-prefix-size", "1")])
@pytest.mark.parametrize("training", [True, False])
def test_compute_loss_keeps_fairseqs_contract(
    build: Build, flags: tuple[str, ...], training: bool
) -> None:
    """Tasks that call the model themselves (translation_moe, third-party ones) rely on it."""
    ours = build(*TSLA, "--label-smoothing", "0.2", *flags)
    theirs = build(*SMOOTHED, *flags)
    net_output = ours.model(**ours.batch["net_input"])
    ours.criterion.progress.num_updates = 0
    for built in (ours, theirs):
        built.criterion.train(training)
    for reduce in (True, False):
        loss, nll = ours.criterion.compute_loss(ours.model, net_output, ours.batch, reduce=reduce)
        expected, expected_nll = theirs.criterion.compute_loss(
            theirs.model, net_output, theirs.batch, reduce=reduce
        )
        if training:  # in validation ours is the NLL
            torch.testing.assert_close(loss.sum(), expected.sum())
        torch.testing.assert_close(nll.sum(), expected_nll.sum())
        assert (loss.dim(), nll.dim()) == ((0, 0) if reduce else (1, 1))
    assert loss.numel() == ours.batch["target"].numel()
    assert loss.requires_grad


def test_a_task_that_calls_compute_loss_trains(build: Build) -> None:
    """As translation_moe does: an assertion that the criterion has the method, then its loss."""
    built = build(*LABO)
    assert hasattr(built.criterion, "compute_loss")
    net_output = built.model(**built.batch["net_input"])
    loss, _ = built.criterion.compute_loss(built.model, net_output, built.batch, reduce=False)
    loss.view(built.batch["target"].size(0), -1).sum().backward()
    found = [p.grad.clone() for p in built.model.parameters()]
    for gradient, expected in zip(found, step(built)[3], strict=True):
        torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        ((*LABO, "--smoothing-epochs", "1", "--smoothing-updates", "9"), "found both"),
        ((*LABO, "--ignore-prefix-size", "-1"), "--ignore-prefix-size must be 0 or more"),
        ((*LABO, "--sentence-avg", "--divide-by-counted"), "sentences and by tokens, found both"),
    ],
)
def test_refused_at_start_up(build: Build, flags: tuple[str, ...], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        build(*flags)

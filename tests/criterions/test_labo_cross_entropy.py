"""``labo_cross_entropy``: its limit, its statistics, and its temperature."""

import logging
import math

import pytest
import torch
from fairseq.criterions import CRITERION_REGISTRY, register_criterion
from omegaconf import OmegaConf

from fairseq_labo.criterions.labo_cross_entropy import LaboCrossEntropyCriterion
from fairseq_labo.ops import labo_targets
from tests.criterions.conftest import Build
from tests.criterions.steps import COMMON_FLAGS, LABO, SMOOTHED, assert_same_step, step


@pytest.mark.slow
@pytest.mark.parametrize("flags", COMMON_FLAGS)
def test_labo_of_beta_inf_is_fairseqs_label_smoothing(build: Build, flags: tuple[str, ...]) -> None:
    fairseqs = build(*SMOOTHED, *flags)
    vocab_size = len(fairseqs.task.target_dictionary)
    alpha = 0.2 * vocab_size / (vocab_size - 1)
    ours = build(*LABO, "--labo-beta", "inf", "--label-smoothing", alpha, *flags)
    assert_same_step(ours, fairseqs)


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


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        ((*LABO, "--label-smoothing", "1"), r"must be in \[0, 1\), found 1.0"),
        ((*LABO, "--label-smoothing", "-0.1"), r"must be in \[0, 1\)"),
        ((*LABO, "--label-smoothing", "nan"), r"must be in \[0, 1\), found nan"),
        ((*LABO, "--labo-beta", "0"), "must be above 0"),
        ((*LABO, "--labo-beta", "-2"), "must be above 0"),
        ((*LABO, "--labo-beta", "nan"), "must be above 0"),
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


def test_a_teacher_is_neither_offered_nor_taken(
    build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        build(*LABO, "--teacher-path", "x")
    assert "unrecognized arguments: --teacher-path x" in capsys.readouterr().err


@pytest.mark.parametrize("teacher", [None, "x"])
def test_configurations_of_version_0_1_have_the_key_of_a_teacher(
    build: Build, teacher: str | None
) -> None:
    """fairseq-validate builds the criterion from a checkpoint's configuration, all its keys."""
    built = build(*LABO, "--labo-beta", "3")
    keys = {"_name": "labo_cross_entropy", "labo_beta": 3.0, "sentence_avg": False}
    old = OmegaConf.create(keys | {"teacher_path": teacher})
    old.__dict__["_parent"] = None
    if teacher is None:
        assert built.task.build_criterion(old).temperature == 3.0
    else:
        with pytest.raises(ValueError, match="leave it out, or take tsla_cross_entropy"):
            built.task.build_criterion(old)


def test_a_subclass_without_flags_of_its_own_has_those_of_labo(build: Build) -> None:
    name = "labo_of_a_subclass"
    if name not in CRITERION_REGISTRY:  # it can be registered once

        @register_criterion(name)
        class OfASubclass(LaboCrossEntropyCriterion):
            pass

    built = build("--criterion", name, "--labo-beta", "3")
    assert_same_step(built, build(*LABO, "--labo-beta", "3"))

"""The example of R-Drop: fairseq's own numbers, the divergence by its definition, and as a user."""

import importlib
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from fairseq_labo.experiments.studies.method import Method
from fairseq_labo.experiments.training.presets import split_flags
from tests.conftest import REPOSITORY, TRAINING, reports, run_fairseq
from tests.criterions.conftest import Build, Built
from tests.criterions.conftest import build as build  # a fixture
from tests.criterions.steps import step

OURS = ("--criterion", "labo_cross_entropy_with_rdrop", "--rdrop-alpha", "5")
FAIRSEQS = ("--criterion", "label_smoothed_cross_entropy_with_rdrop", "--rdrop-alpha", "5")
DROPOUT = ("--dropout", "0.3", "--attention-dropout", "0.1")


@pytest.fixture(autouse=True)
def example(monkeypatch: pytest.MonkeyPatch) -> None:
    if "rdrop" not in sys.modules:  # as --user-dir does; it can be registered once
        monkeypatch.syspath_prepend(REPOSITORY / "examples")
        importlib.import_module("rdrop")


def seeded_step(built: Built) -> tuple:
    torch.manual_seed(3)  # of the dropout masks
    return step(built)


@pytest.mark.parametrize("flags", [(), ("--sentence-avg",), ("--ignore-prefix-size", "2")])
def test_label_smoothing_within_it_is_fairseqs_criterion(
    build: Build, flags: tuple[str, ...]
) -> None:
    if "--ignore-prefix-size" in flags:  # fairseq's mask of padding has the prefix, and fails
        fairseqs = build(*FAIRSEQS, "--label-smoothing", "0.1", *DROPOUT)
        fairseqs.batch["target"][:, :2] = fairseqs.criterion.padding_idx
    else:
        fairseqs = build(*FAIRSEQS, "--label-smoothing", "0.1", *DROPOUT, *flags)
    vocab_size = len(fairseqs.task.target_dictionary)
    alpha = 0.1 * vocab_size / (vocab_size - 1)
    ours = build(*OURS, "--labo-beta", "inf", "--label-smoothing", alpha, *DROPOUT, *flags)
    loss, size, log, gradients = seeded_step(ours)
    expected_loss, expected_size, expected_log, expected_gradients = seeded_step(fairseqs)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-5, atol=0)
    assert size == expected_size and log["nsentences"] == expected_log["nsentences"]
    assert float(log["nll_loss"]) == pytest.approx(float(expected_log["nll_loss"]), rel=1e-5)
    assert float(log["num_counted"]) == 2 * fairseqs.batch["target"].ne(1).sum()
    assert len(gradients) == len(expected_gradients) > 10
    for found, expected in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_labo_within_it_has_labo_s_loss_twice_without_dropout(build: Build) -> None:
    """The two passes are the same: no divergence."""
    flags = ("--labo-beta", "2", "--label-smoothing", "0.4", "--dropout", "0")
    loss, _, _, gradients = step(build(*OURS, *flags))
    alone, _, _, expected = step(build("--criterion", "labo_cross_entropy", *flags))
    torch.testing.assert_close(loss, 2 * alone)
    for found, exact in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, 2 * exact, rtol=1e-4, atol=1e-5)


def test_validation_and_a_task_s_own_call_have_one_pass(build: Build) -> None:
    flags = ("--labo-beta", "2", "--label-smoothing", "0.4", *DROPOUT)
    ours, labos = build(*OURS, *flags), build("--criterion", "labo_cross_entropy", *flags)
    results = []
    for built in (ours, labos):
        built.model.eval()
        output = built.model(**built.batch["net_input"])
        built.criterion.train()
        losses = built.criterion.compute_loss(built.model, output, built.batch)
        built.criterion.eval()
        results.append([*losses, built.criterion(built.model, built.batch)[0]])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_divergence_is_that_of_its_definition() -> None:
    divergence = sys.modules["rdrop"].SymmetricDivergence.apply
    logits = torch.randn(2, 70, 5, dtype=torch.float64, requires_grad=True)  # more than one piece
    log_p, log_q = logits.log_softmax(-1)
    each_way = [(log_q, log_p.exp()), (log_p, log_q.exp())]
    terms = torch.stack([F.kl_div(*pair, reduction="none") for pair in each_way])
    torch.testing.assert_close(divergence(logits), terms.sum((0, 2)) / 2)
    assert torch.autograd.gradcheck(divergence, logits)
    assert divergence(torch.zeros(2, 0, 5)).shape == (0,)


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        (("--fused-projection",), "leave --fused-projection"),
        (("--divide-by-counted",), "--divide-by-counted out"),
        (("--rdrop-alpha", "0"), "must be above 0, found 0.0; .* labo_cross_entropy"),
    ],
)
def test_what_it_cannot_do_is_refused(build: Build, flags: tuple[str, ...], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        build(*OURS, *flags)


def test_a_study_checks_its_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    entries = {"criterion": OURS[1], "labo_beta": 2, "extra": "--user-dir examples/rdrop"}
    method = Method.model_validate({**entries, "rdrop_alpha": 3})
    words = split_flags(method.flags, method.criterion, method.user_dir)[1]
    assert words == ["--rdrop-alpha", "3"]
    with pytest.raises(ValidationError, match=r"rdrop_alfa: expected .*; did you mean rdrop_alpha"):
        Method.model_validate({**entries, "rdrop_alfa": 3})
    del entries["extra"]
    with pytest.raises(ValidationError, match=r"expected a criterion registered with fairseq, fou"):
        Method.model_validate(entries)


@pytest.mark.slow
def test_it_trains_by_its_folder(toy_corpus: Path, tmp_path: Path) -> None:
    output = run_fairseq(
        "train",
        toy_corpus / "bin",
        *("--user-dir", REPOSITORY / "examples" / "rdrop", *OURS, *DROPOUT),
        *("--save-dir", tmp_path, "--max-update", 8, *TRAINING),
    ).stdout
    assert reports(output, "valid")[0]["valid_num_updates"] == "8"

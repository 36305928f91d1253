"""``--label-prior`` and distillation through fairseq's trainer: learning, resuming, validating."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import reports
from tests.training.runs import LABO, TSLA, Train, assert_same_parameters

pytestmark = pytest.mark.slow  # trainings

PRIOR = (*LABO, "--label-prior", "unigram")


def test_a_resumed_training_has_the_same_bits(train: Train) -> None:
    whole = train("whole", *PRIOR, "--max-update", 30)
    train("parts", *PRIOR, "--max-update", 12)
    resumed = train("parts", *PRIOR, "--max-update", 30)
    assert_same_parameters(resumed, whole)
    counts = whole.checkpoint()["task_state"]["target_counts"]
    assert torch.equal(counts, resumed.checkpoint()["task_state"]["target_counts"])
    assert f"counted {int(counts.sum()):,} target tokens in" in whole.output


def test_validation_elsewhere_takes_the_counts_of_the_checkpoint(
    train: Train, toy_corpus: Path, tmp_path: Path, fairseq: Callable[..., str]
) -> None:
    """In a folder that has no training data."""
    run = train("run", *PRIOR, "--max-epoch", 1)
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in (toy_corpus / "bin").iterdir():
        if not path.name.startswith("train."):
            shutil.copy(path, bare)
    output = fairseq(
        "validate",
        *(bare, "--path", run.save_dir / "checkpoint_last.pt", "--task", "translation"),
        *("--max-tokens", 320, "--log-format", "json"),
    )
    (report,) = reports(output, "valid")
    for key in ("nll_loss", "reg_loss", "label_entropy"):
        assert float(report[f"valid_{key}"]) == pytest.approx(run.last(key), abs=2e-3), key


def test_distillation_to_the_end(train: Train, teacher: Path) -> None:
    """A teacher needs no length of a first stage; its distribution is learnt until the end."""
    flags: tuple[Any, ...] = ("--criterion", "tsla_cross_entropy", "--teacher-path", teacher)
    run = train("student", *flags, "--label-smoothing", 0.9, "--max-epoch", 3)
    assert set(run.logged("smoothing")) == {0.9} and not run.announcements()
    assert run.logged("valid_nll_loss", "valid")[-1] < run.logged("valid_nll_loss", "valid")[0]
    in_stages = train("stages", *TSLA, "--label-prior", "target", "--smoothing-epochs", 1,
                      "--max-epoch", 2)  # fmt: skip
    assert len(in_stages.announcements()) == 1

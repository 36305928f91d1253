"""One training step of a criterion, beside that of fairseq's own."""

from typing import Any

import pytest
import torch

from tests.criterions.conftest import Built

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

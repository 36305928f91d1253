"""Calibration against a table computed by hand, and against torchmetrics."""

import math

import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from fairseq_labo.experiments.evaluation.teacher_forcing import TokenCalibration


def calibrated(probabilities: torch.Tensor, target: torch.Tensor, bins: int) -> TokenCalibration:
    calibration = TokenCalibration(num_bins=bins)
    calibration.update(probabilities.log(), target)
    return calibration


def test_four_tokens_by_hand() -> None:
    """A vocabulary of three; two bins: (0, 0.5] holds the first token, (0.5, 1] the others."""
    p = torch.tensor([[0.5, 0.25, 0.25], [0.75, 0.125, 0.125], [0.125, 0.875, 0.0], [1, 0, 0]])
    target = torch.tensor([0, 1, 1, 0])  # right, wrong, right, right
    found = calibrated(p, target, 2).summary()
    low, high = found.bins
    assert (low.tokens, high.tokens) == (1, 3)
    assert (low.accuracy, low.confidence) == pytest.approx((1, 0.5))
    assert (high.accuracy, high.confidence) == pytest.approx((2 / 3, 2.625 / 3))
    gaps = 0.5, 2.625 / 3 - 2 / 3
    assert found.ece == pytest.approx((gaps[0] + 3 * gaps[1]) / 4)
    assert found.mce == pytest.approx(0.5)
    assert found.accuracy == 0.75 and found.confidence == pytest.approx(3.125 / 4)
    brier = [0.25 + 2 / 16, 0.5625 + 0.765625 + 1 / 64, 1 / 64 + 1 / 64, 0]
    assert found.brier == pytest.approx(sum(brier) / 4)
    assert found.nll_bits == pytest.approx((1 + 3 - math.log2(0.875)) / 4)
    entropies = [
        1.5,
        -0.75 * math.log2(0.75) + 0.25 * 3,
        0.125 * 3 - 0.875 * math.log2(0.875),
        0,
    ]
    assert found.entropy_bits == pytest.approx(sum(entropies) / 4)
    assert (low.lower, low.upper, high.upper) == (0, 0.5, 1)


@pytest.mark.parametrize("bins", [5, 15])
@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_agrees_with_torchmetrics(bins: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = scale * torch.randn(700, 11, generator=generator)
    target = torch.randint(11, (700,), generator=generator)
    target[::2] = logits[::2].argmax(1)
    calibration = TokenCalibration(num_bins=bins)
    for part in (slice(0, 1), slice(1, 300), slice(300, 700)):  # batch by batch
        calibration.update(logits[part], target[part])
    found = calibration.summary()
    for norm, ours in (("l1", found.ece), ("max", found.mce)):
        theirs = multiclass_calibration_error(
            logits.softmax(1), target, num_classes=11, n_bins=bins, norm=norm
        )
        assert ours == pytest.approx(theirs.item(), abs=2e-6)
    assert found.ece > 0.01 and found.tokens == 700
    cross_entropy = torch.nn.functional.cross_entropy(logits, target).item()
    assert found.nll_bits == pytest.approx(cross_entropy / math.log(2), rel=1e-5)


def test_certain_predictions_fall_into_the_last_bin() -> None:
    """Confidence 1 belongs to (14/15, 1]; masked tokens (−inf) do no harm."""
    logits = torch.tensor([[0.0, -math.inf, -math.inf]] * 3)
    calibration = TokenCalibration()
    calibration.update(logits, torch.zeros(3, dtype=torch.long))
    found = calibration.summary()
    assert found.bins[-1].tokens == 3
    assert (found.ece, found.brier, found.entropy_bits, found.nll_bits) == (0, 0, 0, 0)


def test_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least one token, found none"):
        TokenCalibration().summary()
    with pytest.raises(ValueError, match="at least 1 bin, found 0"):
        TokenCalibration(num_bins=0)

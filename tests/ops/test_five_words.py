"""A vocabulary of five words, worked out by hand."""

import math

import pytest
import torch

from fairseq_labo.ops import labo_loss, labo_targets, token_losses

IMPLEMENTATIONS = ["reference", "torch"]

# p = (16, 4, 4, 1, 0) / 25: logits are log-odds, the last word is masked.
LOGITS = torch.tensor(
    [[math.log(16.0), math.log(4.0), math.log(4.0), 0.0, -math.inf]], dtype=torch.float64
)
TARGET = torch.tensor([1])


def test_smoothing_distribution_at_beta_2_is_the_normalized_square_root() -> None:
    # sqrt(16, 4, 4, 1, 0) = (4, 2, 2, 1, 0), which sums to 9.
    expected = torch.tensor([[4.0, 2.0, 2.0, 1.0, 0.0]], dtype=torch.float64) / 9.0
    torch.testing.assert_close(labo_targets(LOGITS, beta=2.0), expected)


def test_smoothing_distribution_at_beta_inf_is_uniform() -> None:
    expected = torch.full((1, 5), 0.2, dtype=torch.float64)
    torch.testing.assert_close(labo_targets(LOGITS, beta=math.inf), expected)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_loss_at_beta_2(impl: str) -> None:
    # NLL = -log(4/25).  R = log 25 - 2 log(9/5) = log(25 * 25/81) = log(625/81).
    expected = 0.7 * math.log(25 / 4) + 0.3 * math.log(625 / 81)
    found = labo_loss(LOGITS, TARGET, label_smoothing=0.3, beta=2.0, impl=impl)
    assert found.item() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_gradient_at_beta_2(impl: str) -> None:
    logits = LOGITS.clone().requires_grad_()
    labo_loss(logits, TARGET, label_smoothing=0.3, beta=2.0, impl=impl).backward()
    p = [16 / 25, 4 / 25, 4 / 25, 1 / 25, 0.0]
    target = [0.3 * 4 / 9, 0.7 + 0.3 * 2 / 9, 0.3 * 2 / 9, 0.3 * 1 / 9, 0.0]
    expected = torch.tensor([[a - b for a, b in zip(p, target, strict=True)]], dtype=torch.float64)
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_statistics(impl: str) -> None:
    found = token_losses(LOGITS, TARGET, label_smoothing=0.3, beta=2.0, impl=impl, statistics=True)
    assert found.nll.item() == pytest.approx(math.log(25 / 4), rel=1e-14)
    assert found.reg is not None and found.entropy is not None
    assert found.reg.item() == pytest.approx(math.log(625 / 81), rel=1e-14)
    # H = log 9 - (4 log 4 + 2 log 2 + 2 log 2) / 9
    entropy = math.log(9) - (4 * math.log(4) + 4 * math.log(2)) / 9
    assert found.entropy.item() == pytest.approx(entropy, rel=1e-14)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_smoothed_table_of_label_smoothing(impl: str) -> None:
    """β = inf on four words: the gradient is p minus (0.025 everywhere, 0.9 more on y)."""
    logits = LOGITS[:, :4].clone().requires_grad_()
    labo_loss(logits, TARGET, label_smoothing=0.1, beta=math.inf, impl=impl).backward()
    p = torch.tensor([[16.0, 4.0, 4.0, 1.0]], dtype=torch.float64) / 25
    smoothed = torch.tensor([[0.025, 0.925, 0.025, 0.025]], dtype=torch.float64)
    torch.testing.assert_close(logits.grad, p - smoothed)

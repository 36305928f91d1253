"""What follows from the settings of a call."""

import math

import pytest

from fairseq_labo.ops.settings import Settings


@pytest.mark.parametrize(
    ("label_smoothing", "statistics", "in_loss", "regularized"),
    [
        (0.0, False, False, False),
        (0.0, True, False, True),  # measured, without weight in the loss
        (0.1, False, True, True),
    ],
)
def test_when_the_regularizer_is_computed(
    label_smoothing: float, statistics: bool, in_loss: bool, regularized: bool
) -> None:
    settings = Settings(label_smoothing, 2.0, -100, statistics=statistics)
    assert (settings.in_loss, settings.regularized) == (in_loss, regularized)


def test_the_prior_itself_is_the_limit_of_beta() -> None:
    assert Settings(0.1, math.inf, -100).at_prior
    assert not Settings(0.1, 1e30, -100).at_prior

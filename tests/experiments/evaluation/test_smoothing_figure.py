"""The picture of a sentence's smoothing: every probability, the reference in bold."""

import math
from pathlib import Path

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.smoothing import (
    Method,
    SentenceSmoothing,
    TokenSmoothing,
)
from fairseq_labo.experiments.evaluation.smoothing_figure import draw
from fairseq_labo.experiments.plotting import save


def test_figure_shows_every_probability() -> None:
    token = TokenSmoothing("b", 0.2, ((("a$x$", 0.57), ("b", 0.29)),), (0.29,))
    figure = draw(SentenceSmoothing("q", "b", 7, (Method(2.0),), (token,)), label_smoothing=0.1)
    texts = [text for axes in figure.axes for text in axes.texts]
    assert [text.get_text() for text in texts] == [
        "every token\n0.143",
        "a$x$\n0.570",
        "b\n0.290",
    ]
    assert [text.get_fontweight() for text in texts] == ["normal", "normal", "bold"]
    assert figure.axes[1].get_title() == "LABO, β = 2"


def test_priors_stand_beside_each_other() -> None:
    """The masked one is the same on every token of the target side: one cell."""
    likeliest = ((("any of 2", 0.5),), (("a", 0.7), ("b", 0.3)), (("b", 0.6), ("a", 0.4)))
    token = TokenSmoothing("b", 0.2, likeliest, (0.5, 0.3, 0.6))
    methods = Method(math.inf, "target"), Method(2.0, "target"), Method(math.inf, "unigram")
    figure = draw(SentenceSmoothing("q", "b", 7, methods, (token,)), label_smoothing=0.1)
    assert [axes.get_title() for axes in figure.axes] == [
        "label smoothing",
        "masked label smoothing",
        "LABO, β = 2, target prior",
        "unigram smoothing",
    ]
    shown = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert shown[1] == ["any of 2\n0.500"]
    assert shown[3] == ["b\n0.600", "a\n0.400"]


def test_dollars_are_no_formulas(tmp_path: Path) -> None:
    token = TokenSmoothing("$\\frac$", 0.2, ((("$\\frac$", 0.57),),), (0.29,))
    sentence = SentenceSmoothing("5 $\\frac and 6 $", "b", 7, (Method(2.0),), (token,))
    for path in save(draw(sentence, label_smoothing=0.1), tmp_path / "figure.png"):
        assert path.stat().st_size > 1000


def test_a_figure_that_is_too_large() -> None:
    token = TokenSmoothing("b", 0.2, (tuple(("a", 0.5) for _ in range(500)),), (0.29,))
    with pytest.raises(UserError, match="--figure: expected sides of at most 400 inches, found 5"):
        draw(SentenceSmoothing("q", "b", 7, (Method(2.0),), (token,)), label_smoothing=0.1)

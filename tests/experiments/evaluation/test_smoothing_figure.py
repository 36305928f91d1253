"""The picture of a sentence's smoothing: every probability, the reference in bold."""

from fairseq_labo.experiments.evaluation.smoothing import SentenceSmoothing, TokenSmoothing
from fairseq_labo.experiments.evaluation.smoothing_figure import draw


def test_figure_shows_every_probability() -> None:
    token = TokenSmoothing("b", 0.2, ((("a$x$", 0.57), ("b", 0.29)),), (0.29,))
    figure = draw(SentenceSmoothing("q", "b", 7, (2.0,), (token,)), label_smoothing=0.1)
    texts = [text for axes in figure.axes for text in axes.texts]
    assert [text.get_text() for text in texts] == [
        "every token\n0.143",
        "a$x$\n0.570",
        "b\n0.290",
    ]
    assert [text.get_fontweight() for text in texts] == ["normal", "normal", "bold"]
    assert figure.axes[1].get_title() == "LABO, β = 2"

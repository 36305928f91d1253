"""Figures of a search: what is drawn is what the search found, and only where it is a map."""

from collections.abc import Callable, Sequence

import pytest

from fairseq_labo.experiments.studies.results import Results, SearchResult
from fairseq_labo.experiments.studies.search import Candidate
from fairseq_labo.experiments.studies.search_figures import draw, heat_maps, is_map

BETAS, ALPHAS = ("inf", "2"), ("0.4", "0.1")


def candidate(beta: str, alpha: str) -> Candidate:
    """BLEU rises with α, NLL with β (inf: 9), ECE with both."""
    a, b = float(alpha), min(float(beta), 9)
    measures = {"score": 30 + a, "nll_bits": b, "ece": (a + b) / 100}
    return Candidate({"labo_beta": beta, "label_smoothing": alpha}, (30 + a,), measures)


GRID = [candidate(beta, alpha) for beta in BETAS for alpha in ALPHAS]


def searched(among: Sequence[Candidate]) -> SearchResult:
    plain = Candidate({"label_smoothing": "0"}, (29,), {"score": 29, "nll_bits": 3, "ece": 0.1})
    methods = {"plain": (plain,), "labo": tuple(among)}
    return SearchResult(metric="bleu", seeds=(1,), methods=methods, choices={})


def test_heat_maps_show_every_value_in_its_place() -> None:
    """Rows β and columns α in the order of their values; a frame on the best."""
    panels = heat_maps(GRID).axes
    assert [axes.get_title() for axes in panels] == ["BLEU", "NLL", "ECE %"]
    assert [each.get_text() for each in panels[0].get_yticklabels()] == ["2", "∞"]
    turned = [Candidate(dict(reversed(each.setting.items())), each.values, each.measures)
              for each in GRID]  # fmt: skip
    across = heat_maps(turned).axes[0]
    assert [each.get_text() for each in across.get_xticklabels()] == ["2", "∞"]
    shown = [
        {text.get_position(): text.get_text() for text in axes.texts} for axes in panels
    ]  # fmt: skip
    assert shown[0] == {(0, 0): "30.10", (1, 0): "30.40", (0, 1): "30.10", (1, 1): "30.40"}
    assert shown[1] == {(0, 0): "2.000", (1, 0): "2.000", (0, 1): "9.000", (1, 1): "9.000"}
    assert shown[2] == {(0, 0): "2.10", (1, 0): "2.40", (0, 1): "9.10", (1, 1): "9.40"}
    # Of equals the first in the grid's order, as is chosen.
    for axes, best in zip(panels, ((1, 1), (1, 0), (0, 0)), strict=True):
        (frame,) = axes.patches
        assert (frame.get_x() + 0.5, frame.get_y() + 0.5) == best


def test_one_point_a_setting(changed: Callable[..., Results]) -> None:
    figures = draw(changed(search=searched(GRID)))
    assert list(figures) == ["map-labo", "search"]
    (axes,) = figures["search"].axes
    points = sorted(
        (x, y) for line in axes.lines for x, y in zip(*line.get_data(), strict=True)
    )  # fmt: skip
    assert points == sorted([(3, 29), (2, 30.4), (2, 30.1), (9, 30.4), (9, 30.1)])
    names = [each.get_text() for each in axes.get_legend().get_texts()]
    assert names == ["plain", "labo, β = inf", "labo, β = 2"]
    assert sorted(each.get_text() for each in axes.texts) == ["0", "0.1", "0.1", "0.4", "0.4"]


@pytest.mark.parametrize(
    "among",
    [
        [candidate("2", "0.1"), candidate("2", "0.4")],
        [Candidate({"a": "1"}, (1,), {"score": 1}), Candidate({"a": "2"}, (1,), {"score": 1})],
        [Candidate(each.setting, each.values) for each in GRID],
        [
            Candidate({"label_prior": prior, "label_smoothing": alpha}, (1,), {"score": 1})
            for prior in ("unigram", "target")
            for alpha in ALPHAS
        ],
    ],
    ids=["one row", "one flag", "of older results", "words"],
)
def test_what_is_no_map(among: list[Candidate], changed: Callable[..., Results]) -> None:
    assert not is_map(among)
    assert draw(changed(search=searched(among))) == {}

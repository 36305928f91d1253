"""The figures of a report: what they show, by matplotlib's own objects."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments.files import write_json
from fairseq_labo.experiments.studies import figures
from fairseq_labo.experiments.studies.beams import BeamScore
from fairseq_labo.experiments.studies.results import (
    Results,
    RunResult,
    SearchResult,
    read_results,
)
from fairseq_labo.experiments.studies.search import Candidate


def test_figures_mark_the_switch(microworld: Results) -> None:
    """A dashed line, at TSLA's switch, in its colour, named in the legend, and no other."""
    (axes,) = figures.validation_curves(microworld).axes
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    switches = {run.stage_switch_updates for run in microworld.methods["tsla"]}
    assert switches == {336}
    assert [list(line.get_xdata()) for line in dashed] == [[336, 336]]
    assert dashed[0].get_color() == figures.colors(microworld)["tsla"]
    legend = axes.get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [*microworld.methods, "stage 2 of tsla"]


def test_no_switch_no_line(changed: Callable[..., Results]) -> None:
    without = changed(lambda run: run.model_copy(update={"stage_switch_updates": None}))
    (axes,) = figures.validation_curves(without).axes
    assert not [line for line in axes.lines if line.get_linestyle() == "--"]


def test_every_figure_is_drawn_in_two_forms(microworld: Results, tmp_path: Path) -> None:
    drawn = figures.draw_all(microworld, tmp_path)
    assert list(drawn) == ["validation-curves", "bleu-test", "reliability-test"]
    for name, (png, svg) in drawn.items():
        assert (png, svg) == (tmp_path / f"{name}.png", tmp_path / f"{name}.svg")
        assert png.read_bytes().startswith(b"\x89PNG") and png.stat().st_size > 5000
        assert b"<svg" in svg.read_bytes()


def test_curves_of_bleu_where_every_run_has_one(
    changed: Callable[..., Results], tmp_path: Path
) -> None:
    """The mean of both seeds at the updates that they share; kept in results.json."""
    curves = {1: {200: 20.0, 400: 30.0}, 2: {200: 22.0, 600: 31.0}}
    found = changed(lambda run: run.model_copy(update={"validation_bleu": curves[run.seed]}))
    axes = figures.validation_curves(found, of_bleu=True).axes[0]
    means = [line for line in axes.lines if line.get_label() in found.methods]
    assert [(list(each.get_xdata()), list(each.get_ydata())) for each in means] == [
        ([200], [21.0])
    ] * len(found.methods)
    assert "validation-bleu" in figures.draw_all(found, tmp_path)
    write_json(tmp_path / "results.json", found.model_dump(mode="json"))
    assert read_results(tmp_path / "results.json") == found
    some = changed(
        lambda run: run.model_copy(update={"validation_bleu": curves[1] if run.seed == 1 else {}})
    )
    assert "validation-bleu" not in figures.draw_all(some, tmp_path)


def test_many_methods_are_told_apart(microworld: Results) -> None:
    """More than there are colours, and than diagrams fit beside each other."""
    runs = [
        run.model_copy(update={"method": f"{run.method}-{number}"})
        for number in range(3)
        for run in microworld.runs
    ]
    many = microworld.model_copy(update={"runs": tuple(runs), "baseline": runs[0].method})
    (axes,) = figures.validation_curves(many).axes
    means = [line for line in axes.lines if line.get_marker() not in ("", "None", None)]
    assert len({(line.get_color(), line.get_marker()) for line in means}) == 12
    diagrams = figures.reliability_diagrams(many, "test").axes
    assert len(diagrams) == 12 and {axes.get_gridspec().ncols for axes in diagrams} == {6}
    titles = [axes.get_title().partition("\n")[0] for axes in diagrams]
    assert titles == list(many.methods)


def test_many_and_long_names_have_room(microworld: Results, tmp_path: Path) -> None:
    """The legend of many methods stands beside the panels; long names leave room for the data."""
    name = "labo-with-the-prior-of-the-target-side-{}"
    beams = {
        "test": {5: BeamScore(score=30, length_ratio=1), 9: BeamScore(score=31, length_ratio=1)}
    }
    runs = [
        run.model_copy(update={"method": name.format(number), "beams": beams})
        for number in range(12)
        for run in microworld.methods["labo"]
    ]
    many = microworld.model_copy(update={"runs": tuple(runs), "baseline": runs[0].method})
    left, right = figures.scores_over_beams(many, "test").axes
    assert left.get_legend() is None and right.get_legend() is not None
    few, wide = (figures.scores_with_intervals(each, "test") for each in (microworld, many))
    assert wide.get_figwidth() > few.get_figwidth()
    titles = [axes.get_title() for axes in figures.reliability_diagrams(many, "test").axes]
    assert max(len(line) for title in titles for line in title.split("\n")) <= 24
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.draw_all(many, tmp_path)


def test_a_name_with_a_dot_is_a_whole_name(changed: Callable[..., Results], tmp_path: Path) -> None:
    """labo-1.5 and labo-1.7 have a map each."""
    both = [
        Candidate(
            {"label_smoothing": a, "labo_beta": b},
            (1.0,),
            {"score": 1.0, "nll_bits": 1.0, "ece": 0.1},
        )
        for a in ("0.1", "0.2")
        for b in ("2", "4")
    ]
    methods = {"labo-1.5": tuple(both), "labo-1.7": tuple(both)}
    choices = {name: dict(both[0].setting) for name in methods}
    search = SearchResult(metric="nll", seeds=(1,), methods=methods, choices=choices)
    drawn = figures.draw_all(changed(search=search), tmp_path)
    for name in methods:
        paths = [tmp_path / f"map-{name}.{form}" for form in ("png", "svg")]
        assert drawn[f"map-{name}"] == paths and all(path.exists() for path in paths)


def test_figures_of_an_earlier_report_go(microworld: Results, tmp_path: Path) -> None:
    """Else they would be taken for this one's; a user's own stay."""
    earlier = ("beams-test.png", "bleu-test2.svg", "map-labo.svg", "search.png", "mine.png")
    for name in (*earlier, "validation-bleu.png", "reliability-test2.png"):
        (tmp_path / name).touch()
    drawn = figures.draw_all(microworld, tmp_path)
    ours = {path.name for paths in drawn.values() for path in paths}
    assert {path.name for path in tmp_path.iterdir()} == {*ours, "mine.png"}


def test_means_of_curves() -> None:
    curves = [{10: 4.0, 20: 2.0}, {10: 2.0, 20: 1.0, 30: 1.0}]
    assert figures.mean_curve(curves) == {10: 3.0, 20: 1.5}


def test_bins_of_several_runs_are_pooled_by_their_tokens(changed: Callable[..., Results]) -> None:
    edges = {"lower": 0.0, "upper": 1.0}
    of_seed = {
        1: [{**edges, "tokens": 1, "accuracy": 1.0, "confidence": 0.5}],
        2: [{**edges, "tokens": 3, "accuracy": 0.0, "confidence": 0.9}],
    }

    def with_bins(run: RunResult) -> RunResult:
        scores: dict[str, Any] = {"test": {"calibration": {"bins": of_seed[run.seed]}}}
        return run.model_copy(update={"scores": scores})

    pooled = figures.pooled_bins(changed(with_bins).methods["labo"], "test")
    assert pooled[0]["tokens"] == 4
    assert (pooled[0]["accuracy"], pooled[0]["confidence"]) == pytest.approx((0.25, 0.8))


def test_scores_and_lengths_over_the_width_of_the_search(
    changed: Callable[..., Results], tmp_path: Path
) -> None:
    """Means over seeds, one line a method, the widths on the axis; kept in results.json."""
    found = changed(
        lambda run: run.model_copy(
            update={
                "beams": {
                    "test": {
                        beam: BeamScore(score=30 + run.seed, length_ratio=1 - beam / 100)
                        for beam in (1, 5)
                    }
                }
            }
        )
    )
    for axes, values in zip(
        figures.scores_over_beams(found, "test").axes, ([31.5, 31.5], [0.99, 0.95]), strict=True
    ):
        assert [line.get_label() for line in axes.lines] == list(found.methods)
        for line in axes.lines:
            assert (list(line.get_xdata()), list(line.get_ydata())) == ([1, 5], values)
        assert [each.get_text() for each in axes.get_xticklabels()] == ["1", "5"]
    assert "beams-test" in figures.draw_all(found, tmp_path)
    write_json(tmp_path / "results.json", found.model_dump(mode="json"))
    assert read_results(tmp_path / "results.json") == found

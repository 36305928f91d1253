"""The figures of a study's report."""

import re
import statistics
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from fairseq_labo.experiments.plotting import COLORS, save, style
from fairseq_labo.experiments.studies import search_figures
from fairseq_labo.experiments.studies.results import Results, RunResult

MARKERS = "os^v"
NAME_LENGTH = 24  # of a method, for which a figure has room
PANELS = 6  # reliability diagrams beside each other
OUTSIDE: Any = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}  # a legend of many names
OURS = re.compile(
    r"(validation-(curves|bleu)|(bleu|reliability|beams|map)-.+|search)\.(png|svg)"
)  # what `draw_all` can make


def draw_all(results: Results, folder: Path) -> dict[str, list[Path]]:
    """Draw and save every figure; name to PNG and SVG."""
    with style():
        figures = {"validation-curves": validation_curves(results)}
        if all(run.validation_bleu for run in results.runs):
            figures["validation-bleu"] = validation_curves(results, of_bleu=True)
        for test in results.tests:
            figures[f"bleu-{test}"] = scores_with_intervals(results, test)
            figures[f"reliability-{test}"] = reliability_diagrams(results, test)
            if test in results.runs[0].beams:
                figures[f"beams-{test}"] = scores_over_beams(results, test)
        figures |= search_figures.draw(results)
        with warnings.catch_warnings():
            # Of names that leave no room: what is saved grows by them.
            warnings.filterwarnings("ignore", "Tight layout not applied", UserWarning)
            for figure in figures.values():
                figure.tight_layout()
    saved = {name: save(figure, folder / name) for name, figure in figures.items()}
    kept = {path for paths in saved.values() for path in paths}
    for path in folder.iterdir():  # of an earlier report
        if OURS.fullmatch(path.name) and path not in kept:
            path.unlink()
    return saved


def colors(results: Results) -> dict[str, str]:
    """A colour for each method, the same in every figure."""
    return {name: COLORS[n % len(COLORS)] for n, name in enumerate(results.methods)}


def validation_curves(results: Results, *, of_bleu: bool = False) -> Figure:
    """NLL on the validation set over updates, or BLEU: each seed thin, their mean thick.

    Plain NLL for every method and stage, so the curves compare. A dashed line in the method's
    colour marks where its stage 2 (one-hot targets) began.
    """
    figure = Figure(figsize=(6.4, 3.8))
    axes = figure.subplots()
    for number, (name, color) in enumerate(colors(results).items()):
        marker = MARKERS[number // len(COLORS) % len(MARKERS)]  # where colours come again
        curves = [
            run.validation_bleu
            if of_bleu
            else {each.updates: each.nll_bits for each in run.validations}
            for run in results.methods[name]
        ]
        for curve in curves:
            axes.plot([*curve], [*curve.values()], color=color, alpha=0.35, linewidth=0.8)
        mean = mean_curve(curves)
        axes.plot([*mean], [*mean.values()], color=color, marker=marker, markersize=3, label=name)
    for name, color in colors(results).items():
        label: str | None = f"stage 2 of {name}"
        for updates in {run.stage_switch_updates: None for run in results.methods[name]}:
            if updates is not None:
                axes.axvline(updates, color=color, linestyle="--", linewidth=1, label=label)
                label = None  # once in the legend
    axes.set_xlim(left=0)
    axes.set_xlabel("updates")
    axes.set_ylabel("validation BLEU" if of_bleu else "validation NLL (bits per token)")
    axes.legend(**(OUTSIDE if len(results.methods) > PANELS else {}))
    return figure


def mean_curve(curves: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The mean at the numbers of updates that all curves have."""
    common = sorted(set.intersection(*(set(curve) for curve in curves)))
    return {updates: statistics.fmean(curve[updates] for curve in curves) for updates in common}


def scores_with_intervals(results: Results, test: str) -> Figure:
    """The headline score of each method: every seed with its 95 % bootstrap interval, the mean."""
    longest = max(map(len, results.methods))
    size = 6.4 + 0.08 * max(0, longest - NAME_LENGTH), 0.9 + 0.55 * len(results.methods)
    figure = Figure(figsize=size)
    axes = figure.subplots()
    for row, (name, color) in enumerate(colors(results).items()):
        compared = [run.compared[test] for run in results.methods[name]]
        for number, each in enumerate(compared):
            y = row + 0.22 * (number - (len(compared) - 1) / 2) / max(1, len(compared) - 1) * 2
            bar: Any = {"color": color, "elinewidth": 1, "capsize": 2, "fmt": "none"}
            axes.errorbar(each.bootstrap_mean, y, xerr=each.half_width, **bar)
            axes.plot(each.score, y, "o", color=color, markersize=4)
        mean = statistics.fmean(each.score for each in compared)
        axes.plot([mean] * 2, [row - 0.38, row + 0.38], color="black", linewidth=1.6)
    axes.set_yticks(range(len(results.methods)), list(results.methods))
    axes.set_ylim(len(results.methods) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"BLEU on {test}: seeds with 95 % intervals, mean (black)")
    return figure


def scores_over_beams(results: Results, test: str) -> Figure:
    """Score, and length of the translations, over the width of the search: means over seeds."""
    figure = Figure(figsize=(8.4, 3.4))
    panels = figure.subplots(1, 2)
    for number, (name, color) in enumerate(colors(results).items()):
        of_seeds = [run.beams[test] for run in results.methods[name]]
        for axes, value in zip(panels, ("score", "length_ratio"), strict=True):
            mean = mean_curve(
                [{beam: getattr(each, value) for beam, each in of.items()} for of in of_seeds]
            )
            marker = MARKERS[number // len(COLORS) % len(MARKERS)]
            axes.plot([*mean], [*mean.values()], color=color, marker=marker, label=name)
    widths = [*results.runs[0].beams[test]]
    for axes, title in zip(panels, (f"BLEU on {test}", "length ratio"), strict=True):
        axes.set(xscale="log", xlabel="beam", ylabel=title)
        axes.set_xticks(widths, list(map(str, widths)))
        axes.minorticks_off()
    if len(results.methods) > PANELS:
        panels[1].legend(fontsize=8, **OUTSIDE)
    else:
        panels[0].legend(fontsize=8)
    return figure


def reliability_diagrams(results: Results, test: str) -> Figure:
    """For each method: accuracy over confidence, all seeds' tokens together.

    On the diagonal a prediction with confidence c is right in c of the cases; bars below it are
    overconfident. The grey steps are the share of tokens in each bin.
    """
    count = len(results.methods)
    columns = min(count, PANELS)
    rows = -(-count // columns)
    figure = Figure(figsize=(0.6 + 2.3 * columns, 2.9 * rows))
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in panels.flat[count:]:
        axes.set_visible(False)
    for axes, (name, color) in zip(panels.flat, colors(results).items(), strict=False):
        runs = results.methods[name]
        _reliability(axes, pooled_bins(runs, test), color)
        ece = statistics.fmean(each.scores[test]["calibration"]["ece"] for each in runs)
        axes.set_title(f"{textwrap.fill(name, NAME_LENGTH)}\nECE {100 * ece:.2f} %")
        axes.set_xlabel("confidence")
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy")
    return figure


def pooled_bins(runs: Sequence[RunResult], test: str) -> list[dict[str, float]]:
    """The reliability bins of several runs as if their tokens were one set."""
    pooled = []
    for bins in zip(*(each.scores[test]["calibration"]["bins"] for each in runs), strict=True):
        tokens = sum(each["tokens"] for each in bins)
        means = {
            key: sum(each["tokens"] / max(1, tokens) * each[key] for each in bins)
            for key in ("accuracy", "confidence")
        }
        pooled.append({**bins[0], "tokens": tokens, **means})
    return pooled


def _reliability(axes: Any, bins: Sequence[Mapping[str, float]], color: str) -> None:
    total = max(1, sum(each["tokens"] for each in bins))
    width = bins[0]["upper"] - bins[0]["lower"]
    filled = [each for each in bins if each["tokens"]]
    lower, confidence, accuracy = (
        [each[key] for each in filled] for key in ("lower", "confidence", "accuracy")
    )
    bars: Any = {"align": "edge", "color": color, "alpha": 0.55, "edgecolor": "white"}
    axes.bar(lower, accuracy, width=width, **bars)
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    axes.plot(confidence, accuracy, ".", color="black", markersize=4)
    edges = [*(each["lower"] for each in bins), 1.0]
    axes.stairs([each["tokens"] / total for each in bins], edges, color="#777777", linewidth=0.9)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")

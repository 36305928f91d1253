"""The figures of a hyper-parameter search: heat maps of a grid, BLEU over NLL of all settings."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fairseq_labo.experiments.plotting import COLORS
from fairseq_labo.experiments.studies.results import Results
from fairseq_labo.experiments.studies.search import Candidate

# A measure's title, its factor, decimals, whether more is better.
MEASURES = {
    "score": ("BLEU", 1, 2, True),
    "nll_bits": ("NLL", 1, 3, False),
    "ece": ("ECE %", 100, 2, False),
}
MARKERS = "osD^vP*X"
SHORT = {"label_smoothing": "α", "labo_beta": "β"}


def draw(results: Results) -> dict[str, Figure]:
    """A figure "map-METHOD" for each grid over two flags; with one, "search" for all settings.

    The latter where each setting has all measures.
    """
    figures = {
        f"map-{method}": heat_maps(among)
        for method, among in results.search.methods.items()
        if is_map(among)
    }
    measured = [each for among in results.search.methods.values() for each in among]
    if figures and all(each.measures for each in measured):
        figures["search"] = scores_over_nll(results)
    return figures


def is_map(among: Sequence[Candidate]) -> bool:
    """Whether the settings are a grid of at least two values of each of two numbers."""
    keys = list(among[0].setting)
    values = [{each.setting[key] for each in among} for key in keys]
    return (
        len(keys) == 2
        and all(len(each) > 1 and all(map(_is_number, each)) for each in values)
        and all(each.measures for each in among)
    )


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False


def heat_maps(among: Sequence[Candidate]) -> Figure:
    """Each measure over the two flags of a grid, with its values; the best one is framed."""
    rows, columns = among[0].setting
    down, across = (
        sorted({each.setting[key] for each in among}, key=float) for key in (rows, columns)
    )
    figure = Figure(figsize=(2 + 2.2 * len(across), 1 + 0.45 * len(down)))
    panels = figure.subplots(1, len(MEASURES), sharey=True)
    cells = {(each.setting[rows], each.setting[columns]): each.measures for each in among}
    for axes, (key, (title, factor, digits, more)) in zip(panels, MEASURES.items(), strict=True):
        values = [[factor * cells[row, column][key] for column in across] for row in down]
        good: Any = "Blues" if more else "Blues_r"
        axes.imshow(values, cmap=good, aspect="auto", alpha=0.75)
        for y, row in enumerate(values):
            for x, value in enumerate(row):
                text: Any = {"ha": "center", "va": "center", "fontsize": 8, "color": "black"}
                background: Any = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"}
                axes.text(x, y, f"{value:.{digits}f}", bbox={**background, "alpha": 0.7}, **text)
        # The first of equals, as in the choice.
        found = [each.measures[key] for each in among]
        best = among[found.index(max(found) if more else min(found))].setting
        best_x, best_y = across.index(best[columns]), down.index(best[rows])
        frame: Any = {"fill": False, "edgecolor": "black", "linewidth": 1.6}
        axes.add_patch(Rectangle((best_x - 0.5, best_y - 0.5), 1, 1, **frame))
        axes.set_title(title)
        axes.set_xticks(range(len(across)), map(_shown, across))
        axes.set_xlabel(SHORT.get(columns, columns))
        axes.grid(visible=False)
    panels[0].set_yticks(range(len(down)), map(_shown, down))
    panels[0].set_ylabel(SHORT.get(rows, rows))
    return figure


def _shown(value: str) -> str:
    return "∞" if value == "inf" else value


def scores_over_nll(results: Results) -> Figure:
    """One point a setting: a colour for each value of its first flag, the other's beside it."""
    figure = Figure(figsize=(6.4, 4.2))
    axes = figure.subplots()
    groups: dict[str, list[Candidate]] = {}
    for method, among in results.search.methods.items():
        for each in among:
            keys = list(each.setting)
            shown = [f"{SHORT.get(key, key)} = {each.setting[key]}" for key in keys[:-1]]
            groups.setdefault(", ".join([method, *shown]), []).append(each)
    for number, (name, settings) in enumerate(groups.items()):
        color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
        points = [(each.measures["nll_bits"], each.measures["score"]) for each in settings]
        axes.plot(*zip(*points, strict=True), marker, color=color, label=name)
        for each, point in zip(settings, points, strict=True):
            last = list(each.setting.values())[-1]
            axes.annotate(last, point, xytext=(4, 3), textcoords="offset points", fontsize=7)
    axes.set_xlabel("NLL on the validation set (bits per target token)")
    axes.set_ylabel("BLEU on the validation set")
    axes.legend(fontsize=7)
    return figure

"""The picture that explains LABO: at each target token, which words get the mass."""

from collections.abc import Sequence
from typing import Any

from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.smoothing import SentenceSmoothing
from fairseq_labo.experiments.plotting import style

LEAST = 1e-4  # probabilities at or below it have no colour
LARGEST = 400  # inches; at the resolution of `save` no renderer goes further
DARK = 0.03  # above it the cell is so dark that its text is white


def draw(sentence: SentenceSmoothing, *, label_smoothing: float) -> Figure:
    """One row per target token; a panel for label smoothing and for each of the other methods.

    A cell is one of the likeliest tokens of the smoothing distribution P with its probability,
    darker the more it gets; the reference is set in bold. Label smoothing gives all the same.
    Raises UserError for a figure that would be too large to be drawn.
    """
    tokens, methods = sentence.tokens, sentence.methods
    # A prior's name needs some room.
    least = [0 if method.prior == "uniform" else 1.6 for method in methods]
    counts = map(len, tokens[0].likeliest)
    widths = [0.9, *(max(n * 0.95, room) for n, room in zip(counts, least, strict=True))]
    size = 1.2 + 1.05 * sum(widths), 1.3 + 0.34 * len(tokens)
    if max(size) > LARGEST:
        raise UserError(
            f"--figure: expected sides of at most {LARGEST} inches, found {size[0]:.0f} x "
            f"{size[1]:.0f}; give a smaller --top, fewer --beta or --prior, or a shorter sentence"
        )
    with style():
        figure = Figure(figsize=size)
        axes = figure.subplots(1, len(widths), sharey=True, width_ratios=widths, squeeze=False)[0]
        uniform = [("every token", 1 / sentence.vocab_size, False)]
        _panel(axes[0], [uniform] * len(tokens), title="label smoothing")
        for number, method in enumerate(methods):
            cells = [
                [(*likely, likely[0] == token.reference) for likely in token.likeliest[number]]
                for token in tokens
            ]
            _panel(axes[number + 1], cells, title=method.name.replace(" β=", ", β = "))
        axes[0].set_yticks(
            range(len(tokens)), [each.reference for each in tokens], parse_math=False
        )
        axes[0].set_ylabel("reference token")
        figure.suptitle(
            f"What the {label_smoothing:g} of smoothing is spent on: P at each target token "
            f"(bold: the reference)\n{sentence.source}",
            fontsize=10,
            parse_math=False,
        )
        figure.tight_layout()
    return figure


def _panel(axes: Any, cells: Sequence[Sequence[tuple[str, float, bool]]], *, title: str) -> None:
    values = [[max(probability, LEAST) for _, probability, _ in row] for row in cells]
    norm = LogNorm(LEAST, 1)
    axes.imshow(values, cmap="Blues", norm=norm, aspect="auto", interpolation="nearest")
    for y, row in enumerate(cells):
        for x, (token, probability, is_reference) in enumerate(row):
            shortened = token if len(token) <= 14 else f"{token[:13]}…"
            number = f"{probability:.3f}" if probability >= 1e-3 else f"{probability:.5f}"
            look = {"ha": "center", "va": "center", "fontsize": 6.5, "linespacing": 0.95}
            look["color"] = "white" if probability > DARK else "black"
            look["fontweight"] = "bold" if is_reference else "normal"
            axes.text(x, y, f"{shortened}\n{number}", parse_math=False, **look)
    axes.set_title(title)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)

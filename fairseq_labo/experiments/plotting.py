"""How figures are made: one style, PNG and SVG beside each other, the same bytes every time."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "svg.hashsalt": "fairseq_labo",
}
# Okabe and Ito's palette: told apart also by colour-blind readers.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")


def style() -> AbstractContextManager[None]:
    """Figures drawn and saved inside have the project's style."""
    return matplotlib.rc_context(STYLE)


def save(figure: Figure, path: Path) -> list[Path]:
    """Write `path`.png and `path`.svg; return both."""
    path.parent.mkdir(parents=True, exist_ok=True)
    png, svg = (path.with_name(f"{path.name}.{form}") for form in ("png", "svg"))
    with style():
        figure.savefig(png, dpi=150, bbox_inches="tight", metadata={"Software": None})
        figure.savefig(svg, bbox_inches="tight", metadata={"Date": None})
    return [png, svg]

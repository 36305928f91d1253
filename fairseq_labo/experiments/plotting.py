"""How figures are made: one style, PNG and SVG beside each other, the same bytes every time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

# fairseq's imports set the root logger to DEBUG, under which fonts are reported by the hundred.
logging.getLogger("matplotlib").setLevel(logging.WARNING)

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


@contextmanager
def style() -> Iterator[None]:
    """Figures drawn and saved inside have the project's style."""
    with matplotlib.rc_context(STYLE):
        yield


def save(figure: Figure, path: Path) -> list[Path]:
    """Write `path`.png and `path`.svg (the suffix of `path` is replaced); return both."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_suffix(".png"), path.with_suffix(".svg")]
    with style():
        figure.savefig(written[0], dpi=150, bbox_inches="tight", metadata={"Software": None})
        figure.savefig(written[1], bbox_inches="tight", metadata={"Date": None})
    return written

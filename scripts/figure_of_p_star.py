"""Draw docs/figures/p_star.svg: P* over β for a vocabulary of six words, by `labo_targets` itself.

python -m scripts.figure_of_p_star [--output FILE]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.figure import Figure
from torch import Tensor

from fairseq_labo.defaults import DEFAULT_BETA
from fairseq_labo.ops import labo_targets

OUTPUT = Path(__file__).parent.parent / "docs" / "figures" / "p_star.svg"
WORDS = ("bench", "bank", "chair", "the", "sits", "green")
LOGITS = (3.0, 2.2, 1.0, -0.5, -1.5, -2.5)
# The same file on every machine: no date, no random identifiers, text as text.
REPRODUCIBLE: dict[Any, Any] = {
    "svg.hashsalt": "fairseq_labo",
    "svg.fonttype": "none",
    "font.size": 9,
}


def curves(betas: Tensor) -> Tensor:
    """P* of the six words at each of the temperatures.  betas: [M]; returns [M, 6], float64."""
    logits = torch.tensor([LOGITS], dtype=torch.float64)  # [1, 6]
    return torch.cat([labo_targets(logits, beta=float(beta)) for beta in betas])


def draw(output: Path) -> None:
    """Write the figure as SVG."""
    betas = torch.logspace(-1, 2, 121, dtype=torch.float64)
    with matplotlib.rc_context(REPRODUCIBLE):
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        axes = figure.add_subplot()
        for word, values in zip(WORDS, curves(betas).T.tolist(), strict=True):
            axes.plot(betas.tolist(), values, label=word)
        axes.axhline(1 / len(WORDS), color="gray", linewidth=0.8, linestyle=":")
        axes.text(100, 1 / len(WORDS) + 0.02, "β = ∞: uniform", ha="right", color="gray")
        for beta, text in ((1.0, "β = 1: p itself"), (DEFAULT_BETA, "the default")):
            axes.axvline(beta, color="gray", linewidth=0.8)
            axes.text(beta * 1.05, 0.93, text, color="gray")
        axes.set(xscale="log", xlim=(0.1, 100), ylim=(0, 1), xlabel="β", ylabel="P*")
        axes.legend(title="logits " + ", ".join(f"{z:g}" for z in LOGITS), ncols=2)
        output.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(output, format="svg", metadata={"Date": None})


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw it; the exit status."""
    parser = argparse.ArgumentParser("python -m scripts.figure_of_p_star", description=__doc__)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: %(default)s")
    draw(parser.parse_args(arguments).output)
    return 0


if __name__ == "__main__":
    sys.exit(main())

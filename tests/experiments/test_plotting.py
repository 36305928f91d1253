"""Figures have one style, two forms, and the same bytes every time."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from fairseq_labo.experiments import plotting


def draw() -> Figure:
    with plotting.style():
        figure = Figure(figsize=(1, 1))
        figure.subplots().plot([1, 2], [2, 1], label="a")
    return figure


def test_both_forms_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    first = plotting.save(draw(), tmp_path / "new" / "a-1.5")
    assert first == [tmp_path / "new" / "a-1.5.png", tmp_path / "new" / "a-1.5.svg"]
    assert first[0].read_bytes().startswith(b"\x89PNG") and b"<svg" in first[1].read_bytes()
    second = plotting.save(draw(), tmp_path / "b")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_the_style_ends_with_its_block() -> None:
    before = dict(matplotlib.rcParams)
    with plotting.style():
        assert matplotlib.rcParams["font.size"] == 9 and matplotlib.rcParams["axes.grid"]
    assert dict(matplotlib.rcParams) == before


def test_colours_are_different() -> None:
    assert len(set(plotting.COLORS)) == len(plotting.COLORS) == 8

"""Sentences out of the releases' markup."""

import pytest

from fairseq_labo.experiments.data.markup import reader
from fairseq_labo.experiments.errors import UserError
from tests.experiments.data import releases


def test_plain_lines_stay() -> None:
    assert list(reader("plain")(iter(["<seg id", " a "]))) == ["<seg id", " a "]


@pytest.mark.parametrize(("markup", "year"), [("tags2014", 2014), ("tags2017", 2017)])
def test_tags(markup: str, year: int) -> None:
    lines = releases.tags(["one &amp; two", " three "], year=year).splitlines()
    found = list(reader(markup)(iter(lines)))  # type: ignore[arg-type]
    expected = ["A: The title", "TED Talk: the description", "one &amp; two", " three ", "Second"]
    assert found == expected


def test_segments() -> None:
    text = releases.segments(["one", "two <b> & more", "three", "four"], kind="srcset")
    assert list(reader("segments")(iter(text.splitlines()))) == [
        "one", "two <b> & more", "three", "four",
    ]  # fmt: skip
    assert list(reader("segments")(iter(['<seg id="7">open']))) == ["open"]
    with pytest.raises(UserError, match=r"expected a segment as in .* found '<seg id=7>x</seg>'"):
        list(reader("segments")(iter(["<seg id=7>x</seg>"])))

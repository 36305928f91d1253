"""Sentences out of the releases' markup."""

import pytest

from fairseq_labo.experiments.data.extract import Oddity, reader
from fairseq_labo.experiments.errors import UserError
from tests.experiments.data import releases


def test_plain_lines_stay() -> None:
    assert list(reader("plain")(iter(["<seg id", " a "]), [])) == ["<seg id", " a "]


@pytest.mark.parametrize(("markup", "year"), [("tags2014", 2014), ("tags2017", 2017)])
def test_tags(markup: str, year: int) -> None:
    lines = releases.tags(["one &amp; two", " three "], year=year).splitlines()
    found = list(reader(markup)(iter(lines), []))  # type: ignore[arg-type]
    expected = ["A: The title", "TED Talk: the description", "one &amp; two", " three ", "Second"]
    assert found == expected


def test_segments() -> None:
    text = releases.segments(["one", "two <b> & more", "three", "four"], kind="srcset")
    assert list(reader("segments")(iter(text.splitlines()), [])) == [
        "one", "two <b> & more", "three", "four",
    ]  # fmt: skip
    odd: list[Oddity] = []
    assert list(reader("segments")(iter(["<doc>", '<seg id="7">open']), odd)) == ["open"]
    assert odd == [Oddity(2, "a segment without its end, read to the end of the line")]
    with pytest.raises(UserError, match=r"expected a segment as in .* found '<seg id=7>x</seg>'"):
        list(reader("segments")(iter(["<seg id=7>x</seg>"]), []))


def test_a_tag_within_a_sentence_is_noted_where_it_stands() -> None:
    odd: list[Oddity] = []
    lines = ["<url>http://x</url>", " <talkid>1</talkid>", "one", "a <url> in it", "three"]
    assert list(reader("tags2014")(iter(lines), odd)) == ["one", "three"]
    assert odd == [Oddity(4, "a sentence with <url> in it, dropped as metadata", 2)]

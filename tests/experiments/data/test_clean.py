"""Moses' cleaning and the recipes' splits, and the counts that are checked on the way."""

from dataclasses import replace
from pathlib import Path

import pytest

from fairseq_labo.experiments.data import clean
from fairseq_labo.experiments.data.clean import keeps
from fairseq_labo.experiments.data.recipe import Limits
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import write_lines
from tests.experiments.data import releases

LIMITS = Limits(max_tokens=6)


@pytest.mark.parametrize(
    ("source", "target", "kept"),
    [
        ("a b", "a b c", True),  # exactly 1.5
        ("a b", "a b c d", False),
        ("a b c", "a b", True),
        ("a b c d", "a b", False),
        ("", "", False),
        ("a", "", False),
        ("", "a", False),
        ("a b c d e f", "a b c d e f", True),  # exactly 6
        ("a b c d e f g", "a b c d e f", False),
        ("a b c d e f", "a b c d e f g", False),
        ("x" * 1000, "a", True),
        ("x" * 1001, "a", False),
        ("a", "x" * 1001, False),
    ],
)
def test_what_cleaning_keeps(source: str, target: str, kept: bool) -> None:
    assert keeps(source, target, LIMITS) is kept


def test_sides_of_unequal_length_are_noticed(tmp_path: Path) -> None:
    corpus = replace(releases.corpus_without_counts("iwslt14"))
    for kind, sizes in (("raw", (3, 3)), ("tok", (3, 2))):
        (tmp_path / kind).mkdir()
        for lang, size in zip(("de", "en"), sizes, strict=True):
            for part in ("train", "test"):
                write_lines(tmp_path / kind / f"{part}.{lang}", ["x"] * size)
    with pytest.raises(UserError, match="found one that ends before the others"):
        clean.split_pairs(corpus, tmp_path / "raw", tmp_path / "tok", tmp_path / "out")


def test_pairs_that_stand_in_train_too_are_counted(tmp_path: Path) -> None:
    """The same on both sides, as they are written; of a pair without tokens nothing is told.

    Lines end in CRLF on one side of the training text.
    """
    corpus = replace(releases.corpus_without_counts("iwslt14"))
    train = [("Ja.", "Yes."), ("Nein.", "No."), ("x y", "")] + [("Gut.", "Good.")] * 30
    test = [("Ja.", "Yes."), ("Ja.", "Yeah."), ("nein.", "No."), ("Nein.", "No."), ("x y", "")]
    for part, pairs in (("train", train), ("test", test)):
        for lang, lines in zip(("de", "en"), zip(*pairs, strict=True), strict=True):
            for kind in ("raw", "tok"):
                (tmp_path / kind).mkdir(exist_ok=True)
                end = "\r" if (kind, part, lang) == ("raw", "train", "de") else ""
                write_lines(tmp_path / kind / f"{part}.{lang}", [line + end for line in lines])
    counts = clean.split_pairs(corpus, tmp_path / "raw", tmp_path / "tok", tmp_path / "out")
    assert counts["pairs"]["valid"] == 1  # every 23rd of train
    assert counts["in_train"] == {"valid": [1], "test": [1, 4]}

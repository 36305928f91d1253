"""Moses' cleaning and the recipes' splits, and the counts that are checked on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fairseq_labo.experiments.data import clean, prepare
from fairseq_labo.experiments.data.clean import keeps
from fairseq_labo.experiments.data.corpora import tatoeba
from fairseq_labo.experiments.data.recipe import Corpus, Counts, Limits
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


def test_tatoeba_by_letters_and_digits() -> None:
    for number in range(500):
        same = {tatoeba.split_of(f"Go {number} away!"), tatoeba.split_of(f"go {number}, AWAY")}
        assert len(same) == 1
    splits = [tatoeba.split_of(f"sentence {number}") for number in range(20_000)]
    for split in ("valid", "test"):
        assert 150 < splits.count(split) < 250  # one in a hundred
    assert tatoeba.split_of("Tom is here.") == "train"


@pytest.mark.usefixtures("in_process_fairseq")
@pytest.mark.parametrize("wrong", ["cleaned", "train", "valid"])
def test_published_counts_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    """The right counts pass and stand in the table; one that is off by one does not."""
    releases.write_iwslt14(tmp_path / "release")
    right = {"cleaned": 73, "train": 70, "valid": 3, "test": 20}

    def run(counts: dict[str, int], *options: str) -> int:
        splits = {name: count for name, count in counts.items() if name != "cleaned"}
        expected = Counts(cleaned=counts["cleaned"], splits=splits, tokens={"test.de": 5})
        corpus: Corpus = replace(releases.corpus_without_counts("iwslt14"), counts=expected)
        arguments = ["iwslt14", "--destdir", str(tmp_path / "dest"), *options]
        arguments += ["--source-dir", str(tmp_path / "release")]
        return prepare.main(arguments, corpus=corpus, sources=[])

    assert run(right | {wrong: right[wrong] + 1}) == 1
    error = capsys.readouterr().err
    assert f"expected {right[wrong] + 1} pairs as published, found {right[wrong]}" in error
    assert "--accept-counts" in error
    assert run(right) == 0
    printed = capsys.readouterr().out
    assert "training text: 78 pairs extracted, 73 after cleaning (expected 73)" in printed
    rows = [line.split() for line in printed.split("\n")]
    assert next(row for row in rows if row[:1] == ["test"])[2:5] == ["de", "20", "20"]
    assert run(right | {wrong: right[wrong] + 1}, "--accept-counts") == 0


def test_counts_of_the_declared_corpora() -> None:
    """Number by number what is published; the sums fit."""
    parser = prepare.parser()

    def declared(*arguments: str) -> Corpus:
        args = parser.parse_args([*arguments, "--destdir", "x"])
        corpus: Corpus = prepare.CORPORA[args.corpus].corpus(args)
        return corpus

    iwslt14 = declared("iwslt14", "--pair", "en-de")
    assert iwslt14.counts == declared("iwslt14").counts
    assert [iwslt14.expected_lines(s) for s in iwslt14.splits] == [160_239, 7_283, 6_750]
    assert iwslt14.counts.cleaned == 160_239 + 7_283 == 167_522
    assert 167_522 // 23 == 7_283
    tests = [member.expected_lines for member in iwslt14.parts["test"].members]
    assert tests == [887, 1_165, 1_565, 1_433, 1_700]
    assert iwslt14.parts["train"].members[0].expected_lines == 174_443
    assert iwslt14.recipe.clean_tokens == Limits(max_tokens=175, ratio=1.5)
    french = declared("iwslt14", "--pair", "fr-en")
    assert french.counts.inferred == {"test": 887 + 1_664 + 818 + 1_124}
    sizes = {"tst2015": 1_210, "tst2010-2015": 8_597, "tst2017": 1_455}
    for name, size in sizes.items():
        iwslt17 = declared("iwslt17", "--test-set", name, "--valid-set", "dev2010")
        assert iwslt17.expected_lines("test") == size
        assert iwslt17.expected_lines("valid") == 890
    wmt14 = declared("wmt14", "--news-commentary", "v12")
    assert [wmt14.expected_lines(s) for s in wmt14.splits] == [3_961_179, 40_058, 3_003]
    assert (wmt14.recipe.clean_subwords, wmt14.recipe.bpe_size) == (Limits(250), 40_000)

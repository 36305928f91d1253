"""Counts that are checked between the stages, and text that is used up."""

from dataclasses import replace
from pathlib import Path

import pytest

from fairseq_labo.experiments.data.recipe import Counts
from tests.experiments.data import releases
from tests.experiments.data.broken import change_member


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
        corpus = replace(releases.corpus_without_counts("iwslt14"), counts=expected)
        arguments = ["iwslt14", "--destdir", str(tmp_path / "dest"), *options]
        arguments += ["--source-dir", str(tmp_path / "release")]
        return releases.main(arguments, corpus=corpus)

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


def test_nothing_left_after_cleaning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "release"
    releases.write_iwslt14(folder, size=5)
    for lang in ("de", "en"):
        member = f"de-en/train.tags.de-en.{lang}"
        change_member(
            folder / "de-en.tgz", member, lambda data: data[: data.index(b"<title>")] + b"\n"
        )
    assert releases.run("iwslt14", folder, tmp_path / "dest") == 1
    assert "expected sentence pairs, found none left after cleaning" in capsys.readouterr().err

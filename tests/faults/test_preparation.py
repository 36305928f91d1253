"""Preparation: what is odd in a text is said, and dropped, or kept in its place."""

import gzip
import shutil
from pathlib import Path
from typing import Any

import pytest
from fairseq.data import Dictionary, LanguagePairDataset, data_utils

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data.prepared import Given, PreparedCorpus
from fairseq_labo.experiments.files import read_json, read_lines, write_lines
from tests.experiments.data import broken, releases
from tests.faults.preparations import SIZES, words, write_text
from tests.faults.preparations import made as made  # the fixtures
from tests.faults.preparations import text as text

MARK = "\ufeff"
pytestmark = pytest.mark.usefixtures("in_process_fairseq")


def test_byte_order_marks(tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Removed and said; the text is then as without."""

    def change(name: str, lines: list[str]) -> None:
        if name in ("train.de", "test.en"):
            lines[0] = MARK + lines[0]
        if name == "test.de":
            lines[2] += MARK  # no byte order mark, so it stays

    source = write_text(tmp_path / "text", change)
    (source / "test.en.gz").write_bytes(gzip.compress((source / "test.en").read_bytes()))
    (source / "test.en").unlink()
    destdir = tmp_path / "dest"
    assert cli.main(words(source, destdir)) == 0
    for name in ("raw/train.de", "tok/train.de", "raw/test.en", "tok/test.en"):
        assert (destdir / name).read_bytes() == (made / name).read_bytes(), name
    assert list(read_lines(destdir / "raw" / "test.de"))[2].endswith(MARK)
    notes = [
        f"{source / name}, line 1: a byte order mark, removed"
        for name in ("train.de", "test.en.gz")
    ]
    assert read_json(destdir / "manifest.json")["stages"]["extract"]["notes"] == notes
    assert "\n".join(f"text: {note}" for note in notes) in capsys.readouterr().out


def test_byte_order_mark_of_references(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "bin", tmp_path / "bin")
    lines = list(read_lines(made / "raw" / "test.en"))
    write_lines(tmp_path / "references", [MARK + lines[0], *lines[1:]])
    given = Given(references={"test": tmp_path / "references"})
    assert PreparedCorpus.read(tmp_path, given).raw("test", "en") == lines


def test_pairs_with_an_empty_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Dropped from the training text; elsewhere every line stays in its place."""

    def change(name: str, lines: list[str]) -> None:
        if name == "train.de":
            lines[3], lines[9] = "", " \u2028\x0c"
        if name in ("train.en", "valid.en", "valid.de"):
            lines[5] = ""
        if name == "test.en":
            lines[1] = "\t"

    destdir = tmp_path / "dest"
    assert cli.main(words(write_text(tmp_path / "text", change), destdir)) == 0
    printed = capsys.readouterr().out
    assert "pairs with an empty side: training text 3, dropped (line 4, 6, 10)\n" in printed
    kept = "kept, so that no other line moves"
    assert f"pairs with an empty side: valid 1, {kept} (line 6)\n" in printed
    assert f"pairs with an empty side: test 1, {kept} (line 2)\n" in printed
    manifest = read_json(destdir / "manifest.json")
    assert manifest["stages"]["clean"]["empty"] == {"train": [4, 6, 10], "valid": [6], "test": [2]}
    lines = {split: entry["lines"] for split, entry in manifest["splits"].items()}
    assert lines == SIZES | {"train": 57}
    for kind in ("raw", "tok", "bpe"):
        german, english = (list(read_lines(destdir / kind / f"train.{x}")) for x in ("de", "en"))
        assert len(german) == len(english) == 57 and all(german) and all(english)
    for german, english in zip(
        *(read_lines(destdir / "raw" / f"train.{lang}") for lang in ("de", "en")), strict=True
    ):
        assert german.split()[3] == english.split()[3]  # still the same sentence
    assert list(read_lines(destdir / "raw" / "test.en"))[1] == "\t"


def test_empty_sides_of_a_text_that_is_divided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "release"
    releases.write_tatoeba(folder, size=300)
    german = list(read_lines(folder / "all.de.gz"))
    german[::10] = [""] * 30
    releases.write_files(folder, {"all.de.gz": german})
    assert releases.run("tatoeba", folder, tmp_path / "dest") == 0
    first = ", ".join(str(number) for number in range(1, 72, 10))
    expected = f"training text 30, dropped (line {first}, and 22 more, in the manifest)"
    assert f"pairs with an empty side: {expected}\n" in capsys.readouterr().out
    for split in SIZES:
        assert all(read_lines(tmp_path / "dest" / "raw" / f"{split}.de")), split


def test_cleaning_after_bpe_still_divides_as_the_recipe_does(tmp_path: Path) -> None:
    """WMT'14's every 100th line is counted with the empty ones, which the cleaning then drops."""
    folder = tmp_path / "release"
    releases.write_wmt14(folder)
    assert releases.run("wmt14", folder, tmp_path / "dest") == 0
    manifest = read_json(tmp_path / "dest" / "manifest.json")
    assert sum(manifest["stages"]["clean"]["pairs"][split] for split in ("train", "valid")) == 330
    assert len(manifest["stages"]["clean"]["empty"]["train"]) == 2
    assert all(read_lines(tmp_path / "dest" / "raw" / "train.de"))


def test_lines_that_fairseq_does_not_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """1,023 subwords and the end of sentence are taken, one more is not: in every split."""

    def change(name: str, lines: list[str]) -> None:
        lines[1] = lines[4] = " ".join(["x"] * 1023)
        if name in ("train.de", "valid.en", "test.de"):
            lines[4] += " x"

    destdir = tmp_path / "dest"
    source = write_text(tmp_path / "text", change)
    assert cli.main(words(source, destdir, "--tokenizer", "none")) == 0
    printed = capsys.readouterr().out
    splits = read_json(destdir / "manifest.json")["splits"]
    found = {"train": {"de": [5]}, "valid": {"en": [5]}, "test": {"de": [5]}}
    assert {split: entry["too_long"] for split, entry in splits.items()} == found
    for side in ("train.de", "valid.en", "test.de"):
        assert f"1,024 subwords or more: raw/{side} 1 (line 5)\n" in printed
    assert "--max-source-positions" in printed
    for split, entry in splits.items():  # fairseq's own filter, with its own limit
        sides: list[Any] = []
        for lang in ("de", "en"):
            data = data_utils.load_indexed_dataset(str(destdir / f"bin/{split}.de-en.{lang}"))
            symbols = Dictionary.load(str(destdir / "bin" / f"dict.{lang}.txt"))
            sides += [data, data.sizes, symbols]
        pairs = LanguagePairDataset(*sides)
        _, ignored = pairs.filter_indices_by_size(pairs.ordered_indices(), (1024, 1024))
        (expected,) = entry["too_long"].values()
        assert [number + 1 for number in ignored] == expected


@pytest.mark.parametrize("side", ["de", "en"])
def test_a_tag_within_a_sentence(
    side: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "release"
    releases.write_iwslt14(folder)
    member = f"de-en/train.tags.de-en.{side}"

    def add(data: bytes) -> bytes:
        lines = data.split(b"\n")
        lines[20] = b"This <url> is a word here ."
        return b"\n".join(lines)

    broken.change_member(folder / "de-en.tgz", member, add)
    error = broken.refused("iwslt14", folder, capsys)
    assert f"{member}, line 21: expected a sentence, as in de-en/train.tags." in error
    assert "found a sentence with <url> in it, dropped as metadata" in error
    other = f"de-en/train.tags.de-en.{'en' if side == 'de' else 'de'}"
    broken.change_member(folder / "de-en.tgz", other, add)
    assert releases.run("iwslt14", folder, tmp_path / "dest") == 0  # as by fairseq's recipe
    printed = capsys.readouterr().out
    assert printed.count("line 21: a sentence with <url> in it, dropped as metadata") == 2


def test_a_file_without_line_breaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_text(tmp_path / "text")
    (source / "train.de").write_bytes(b"ein Wort " * 200_000)
    assert cli.main(words(source, tmp_path / "dest")) == 1
    error = capsys.readouterr().err
    assert "train.de, line 1: expected one sentence, found over 1,048,576 bytes without" in error


def test_control_characters_of_a_text_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "\x1b[2J\u202e"
    odd.mkdir()

    def change(name: str, lines: list[str]) -> None:
        lines[0] += " \x1b]0;title\x07 \x9b31m \u202e"

    source = write_text(odd / "te\x1b[31mxt", change)
    for split in SIZES:
        for lang in ("de", "en"):
            (source / f"{split}.{lang}").rename(source / f"\x1b[5m{split}.{lang}")
    given = [word.replace("text/", "text/\x1b[5m") for word in words(source, odd / "dest")]
    given = [
        str(source / f"\x1b[5m{Path(word).name}") if word.startswith(str(source)) else word
        for word in given
    ]
    for options in (["--dry-run"], [], ["--train", str(source / "absent")]):
        cli.main([*given, *options])
        captured = capsys.readouterr()
        assert (captured.out + captured.err).replace("\n", "").isprintable()
    assert "\x1b]0;title" in (odd / "dest" / "raw" / "test.en").read_text(encoding="utf-8")

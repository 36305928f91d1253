"""Reading, writing and checking parallel text."""

import gzip
from pathlib import Path

import pytest

from fairseq_labo.experiments.data.splits import Split, check_parallel, check_splits, format_table
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import (
    count_lines,
    count_tokens,
    read_json,
    read_lines,
    write_json,
    write_lines,
)

# Everything that Python's str.splitlines or universal newlines take for the end of a line.
SEPARATORS = ["\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


def test_only_newline_ends_a_line(tmp_path: Path) -> None:
    lines = [f"vor{separator}nach" for separator in SEPARATORS] + ["", " Rand ", "CRLF\r"]
    path = tmp_path / "text.de"
    assert write_lines(path, lines) == len(lines)
    assert path.read_bytes() == "".join(f"{line}\n" for line in lines).encode()
    assert list(read_lines(path)) == lines
    assert count_lines(path) == len(lines)


def test_gzip_and_plain_text_read_alike(tmp_path: Path) -> None:
    content = "eins\u2028zwei\ndrei ohne Ende".encode()
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(content))
    expected = ["eins\u2028zwei", "drei ohne Ende"]
    assert list(read_lines(tmp_path / "plain")) == expected
    assert list(read_lines(tmp_path / "packed.gz")) == expected


def test_count_tokens(tmp_path: Path) -> None:
    write_lines(tmp_path / "text", ["a b  c", "", "d"])
    assert count_tokens(tmp_path / "text") == 4


def test_line_break_inside_a_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"text, line 2: expected one line, found a line break"):
        write_lines(tmp_path / "text", ["fine", "not\nfine"])


def test_invalid_utf8_names_file_line_and_byte(tmp_path: Path) -> None:
    path = tmp_path / "train.de"
    path.write_bytes(b"gut\nsch\xc3\xb6n\nM\xfcll\n")
    with pytest.raises(UserError, match=r"train\.de, line 3: expected UTF-8, found byte 0xfc at"):
        list(read_lines(path))


def test_damaged_archive_and_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "train.de.gz"
    path.write_bytes(gzip.compress(b"ein Satz\n" * 1000)[:-9])
    with pytest.raises(UserError, match=r"train\.de\.gz: expected a gzip archive, found damage"):
        count_lines(path)
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match="expected a gzip archive"):
        count_lines(path)
    with pytest.raises(UserError, match=r"absent\.en: expected a text file, found none"):
        count_lines(tmp_path / "absent.en")


def test_unequal_line_counts_name_the_line_without_partner(tmp_path: Path) -> None:
    write_lines(tmp_path / "t.de", ["a", "b", "c"])
    write_lines(tmp_path / "t.en", ["a", "b"])
    with pytest.raises(UserError, match=r"found 3 and 2: .*t\.de, line 3 has no partner"):
        check_parallel(tmp_path / "t.de", tmp_path / "t.en")


def test_empty_corpus_and_unexpected_count(tmp_path: Path) -> None:
    for name in ("empty.de", "empty.en"):
        write_lines(tmp_path / name, [])
    with pytest.raises(UserError, match=r"empty\.de: .* found an empty file"):
        check_parallel(tmp_path / "empty.de", tmp_path / "empty.en")
    for name in ("t.de", "t.en"):
        write_lines(tmp_path / name, ["a", "b"])
    assert check_parallel(tmp_path / "t.de", tmp_path / "t.en", expected_lines=2) == 2
    with pytest.raises(UserError, match=r"expected 3 lines, found 2; .* fetch them again"):
        check_parallel(tmp_path / "t.de", tmp_path / "t.en", expected_lines=3)


@pytest.mark.parametrize(
    "names", [[], ["train"], ["valid", "train"], ["train", "valid", "test1"], ["train", "test"]]
)
def test_splits_must_be_in_fairseq_order(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(UserError, match="expected the splits train, valid and then test"):
        check_splits(tmp_path, {name: Split(name) for name in names}, ("de", "en"))


def test_splits_are_counted_and_languages_differ(tmp_path: Path) -> None:
    splits = {name: Split(name) for name in ("train", "valid", "test")}
    for size, name in enumerate(splits, start=1):
        for lang in ("de", "en"):
            write_lines(tmp_path / f"{name}.{lang}", ["x"] * size)
    assert check_splits(tmp_path, splits, ("de", "en")) == {"train": 1, "valid": 2, "test": 3}
    with pytest.raises(UserError, match="expected two languages, found de twice"):
        check_splits(tmp_path, splits, ("de", "de"))


def test_json_round_trip_and_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    assert read_json(path) is None
    write_json(path, {"Größe": [1, 2]})
    assert read_json(path) == {"Größe": [1, 2]}
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.json"]
    path.write_text('{"cut off', encoding="utf-8")
    assert read_json(path) is None


def test_table_aligns_names_left_and_numbers_right() -> None:
    table = format_table([["split", "lines"], ["a", "1,000"], ["test12", "7"]], left_columns=1)
    assert table.split("\n") == ["split   lines", "a       1,000", "test12      7"]

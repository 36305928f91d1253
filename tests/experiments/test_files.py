"""Reading, writing and checking parallel text."""

import gzip
from pathlib import Path

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import (
    count_tokens,
    default_folder,
    is_sealed,
    read_json,
    read_lines,
    sealed,
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
        list(read_lines(path))
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"expected a gzip archive, .* take \.gz off its name"):
        list(read_lines(path))
    packed = tmp_path / "train.en"
    packed.write_bytes(gzip.compress(b"a sentence\n"))
    with pytest.raises(UserError, match=r"found a gzip archive; name it .*train\.en\.gz, or"):
        list(read_lines(packed))
    with pytest.raises(UserError, match=r"absent\.en: expected a text file, found none"):
        list(read_lines(tmp_path / "absent.en"))


def test_json_round_trip_and_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    assert read_json(path) is None
    write_json(path, {"Größe": [1, 2]})
    assert read_json(path) == {"Größe": [1, 2]}
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.json"]
    for text in ('{"cut off', "[" * 100_000):
        path.write_text(text, encoding="utf-8")
        assert read_json(path) is None


def test_json_that_cannot_be_written_leaves_what_was(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    write_json(path, {"a": 1})
    with pytest.raises(UnicodeEncodeError):
        write_json(path, {"a": "\udcff"})
    assert read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.json"]


def test_a_seal_is_broken_by_every_change(tmp_path: Path) -> None:
    content = sealed({"Größe": [1, 2.5, None], "b": {"z": 1, "a": True}})
    write_json(tmp_path / "m.json", content)
    assert is_sealed(read_json(tmp_path / "m.json")) and is_sealed(sealed(content))
    assert not is_sealed(content | {"b": {"z": 1, "a": False}})
    assert not is_sealed(content | {"more": 1}) and not is_sealed({"b": 1})
    assert not is_sealed([]) and not is_sealed(None)


def test_default_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABO_HOME", raising=False)
    assert str(default_folder("data", "x")) == "data/x"
    monkeypatch.setenv("LABO_HOME", "/repository")
    assert str(default_folder("data", "x")) == "/repository/data/x"

"""Text that is broken, in each layout of a release: a clear error, and nothing lost."""

import gzip
from pathlib import Path

import pytest

from fairseq_labo.experiments.files import read_lines
from tests.experiments.data import releases
from tests.experiments.data.broken import MEMBERS, change_member, change_text, refused


def test_invalid_utf8(release: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    name, folder = release
    path = change_text(name, folder, lambda data: data.replace(b" ", b"\xfc", 1))
    error = refused(name, folder, capsys)
    assert "expected UTF-8, found byte 0xfc at offset" in error and ", line " in error
    assert str(path) in error


def test_unequal_lines(release: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    name, folder = release

    def one_less(data: bytes) -> bytes:
        marker = b"<seg id" if b"<seg id" in data else b"\n"
        at = data.rindex(marker, 0, len(data) - 200 if marker == b"\n" and name in MEMBERS else -1)
        return data[:at] + data[data.index(b"\n", at + 1) :]

    change_text(name, folder, one_less)
    error = refused(name, folder, capsys)
    assert "expected as many lines in " in error and "has no partner" in error


def test_empty_text(release: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    name, folder = release
    path = change_text(name, folder, lambda data: b"\r" if name in MEMBERS else b"")
    error = refused(name, folder, capsys)
    if "tags" in MEMBERS.get(name, "") or name == "wmt14":
        assert "expected as many lines" in error  # the carriage return is one line
    else:
        assert str(path) in error and "found an empty text" in error


@pytest.mark.slow
@pytest.mark.usefixtures("in_process_fairseq")
def test_a_line_of_100_000_tokens(tmp_path: Path) -> None:
    """Dropped where the recipe cleans; kept, on one line, where it does not."""
    endless = " ".join(["word."] * 100_000)
    for name, kept in (("iwslt14", False), ("multi30k", True)):
        folder, destdir = tmp_path / name, tmp_path / f"{name}-dest"
        releases.WRITERS[name](folder)
        for lang in ("de", "en"):
            if name == "multi30k":
                path = folder / "data/task1/raw" / f"train.{lang}.gz"
                path.write_bytes(
                    gzip.compress(gzip.decompress(path.read_bytes()) + f"{endless}\n".encode())
                )
            else:
                member = f"de-en/train.tags.de-en.{lang}"
                change_member(
                    folder / "de-en.tgz", member, lambda data: data + f"{endless}\n".encode()
                )
        assert releases.run(name, folder, destdir) == 0
        tokens = list(read_lines(destdir / "tok" / "train.en"))
        assert (max(len(line.split()) for line in tokens) >= 100_000) is kept

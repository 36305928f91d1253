"""Releases that are broken, each in the layout it comes in: a clear error, and nothing lost."""

from __future__ import annotations

import errno
import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fairseq_labo.experiments.data import stages
from fairseq_labo.experiments.files import read_lines
from tests.experiments.data import releases

ARCHIVES = {
    "iwslt14": "de-en.tgz",
    "iwslt17": "fr-en.tgz",
    "wmt14": "training-parallel-commoncrawl.tgz",
}
LOOSE = {
    "multi30k": "data/task1/raw/test_2017_flickr.de.gz",
    "iwslt15": "tst2013.en",
    "iwslt14-15k": "train15k.en.gz",
    "tatoeba": "all.de.gz",
    "mixed": "tatoeba-de-en/all.en.gz",
}
# A text of each archive that carries sentences.
MEMBERS = {
    "iwslt14": "de-en/IWSLT14.TEDX.dev2012.de-en.en.xml",
    "iwslt17": "fr-en/train.tags.fr-en.fr",
    "wmt14": "commoncrawl.de-en.de",
}

Change = Callable[[bytes], bytes]


def change_member(path: Path, name: str, change: Change) -> None:
    """Rewrite the .tgz `path` with another content of its member `name`."""
    with tarfile.open(path) as archive:
        members = [m for m in archive.getmembers() if m.isreg()]
        contents = {m.name: archive.extractfile(m).read() for m in members}  # type: ignore[union-attr]
    contents[name] = change(contents[name])
    releases.pack(path, {key: value for key, value in contents.items() if value})


def change_text(name: str, folder: Path, change: Change) -> Path:
    """Change one text of a release; return the file of the user's that it is in."""
    if name in ARCHIVES:
        path = folder / ARCHIVES[name]
        change_member(path, MEMBERS[name], change)
        return path
    path = folder / LOOSE[name]
    data = path.read_bytes()
    is_packed = path.suffix == ".gz"
    changed = change(gzip.decompress(data) if is_packed else data)
    path.write_bytes(gzip.compress(changed, mtime=0) if is_packed else changed)
    return path


def refused(name: str, folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Prepare a broken release; return the error, after checking what it left."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    destdir = folder.parent / "dest"
    assert releases.run(name, folder, destdir, *options) == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not (destdir / "manifest.json").exists()
    assert not list(destdir.rglob(f"{stages.PARTIAL}*"))
    assert not (destdir / "work" / "text").exists()
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "Traceback" not in error
    return error


@pytest.fixture(params=sorted({**ARCHIVES, **LOOSE}))
def release(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """Each corpus in its layout."""
    folder = tmp_path / "release"
    releases.WRITERS[request.param](folder)
    return request.param, folder


def test_truncated(release: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    name, folder = release
    path = folder / {**ARCHIVES, **LOOSE}[name]
    if path.suffix not in (".tgz", ".gz"):
        pytest.skip("plain text has no end that could be missed: its hash and line counts do")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    error = refused(name, folder, capsys)
    assert f"{path}: expected a whole archive, found one that is cut off" in error


def test_not_an_archive(release: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    name, folder = release
    path = folder / {**ARCHIVES, **LOOSE}[name]
    if path.suffix not in (".tgz", ".gz"):
        pytest.skip("plain text")
    path.write_text("<html>Please log in</html>", encoding="utf-8")
    assert "expected a whole archive" in refused(name, folder, capsys)


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


@pytest.mark.parametrize("name", sorted(ARCHIVES))
def test_wrong_archive(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "release"
    releases.WRITERS[name](folder)
    releases.pack(folder / ARCHIVES[name], {"it-nl/train.tags.it-nl.it": "x\n", "it-nl/y": "z\n"})
    error = refused(name, folder, capsys)
    assert "expected the members " in error and MEMBERS[name] in error
    assert "found ../outside, it-nl/train.tags.it-nl.it, it-nl/y; " in error


def test_links_and_paths_that_lead_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not yours\n", encoding="utf-8")
    folder = tmp_path / "release"
    releases.write_iwslt14(folder)
    wanted = "de-en/train.tags.de-en.de"
    for kind, target in ((tarfile.SYMTYPE, str(secret)), (tarfile.LNKTYPE, "../secret")):
        with tarfile.open(folder / "de-en.tgz", "w:gz") as archive:
            for name, link in (("../escaped", None), ("/tmp/labo-escaped", None), (wanted, kind)):
                entry = tarfile.TarInfo(name)
                entry.size = 0 if link else 4
                entry.type, entry.linkname = link or tarfile.REGTYPE, target if link else ""
                archive.addfile(entry, None if link else io.BytesIO(b"evil"))
        error = refused("iwslt14", folder, capsys)
        assert f"expected {wanted} to be a file, found a link" in error
    names = {path.name for path in tmp_path.rglob("*")}
    assert "escaped" not in names and not Path("/tmp/labo-escaped").exists()
    assert secret.read_text(encoding="utf-8") == "not yours\n"


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


def test_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "train.de")

    folder = tmp_path / "release"
    releases.write_multi30k(folder)
    monkeypatch.setattr("fairseq_labo.experiments.data.extract.write_lines", full)
    error = refused("multi30k", folder, capsys)
    assert "No space left on device: 'train.de'" in error and "free some space" in error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    releases.write_multi30k(tmp_path / "release")
    (tmp_path / "closed").mkdir(mode=0o500)
    destdir = tmp_path / "closed" / "dest"
    assert releases.run("multi30k", tmp_path / "release", destdir) == 1
    assert "no permission there" in capsys.readouterr().err


def test_read_only_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_only(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "dest")

    releases.write_multi30k(tmp_path / "release")
    monkeypatch.setattr(Path, "mkdir", read_only)
    assert releases.run("multi30k", tmp_path / "release", tmp_path / "dest") == 1
    error = capsys.readouterr().err
    assert "Read-only file system" in error and "choose another --destdir" in error


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

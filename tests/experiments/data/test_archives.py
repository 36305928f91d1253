"""Archives that are cut off, of something else, or made to write outside of their folder."""

import io
import tarfile
from pathlib import Path

import pytest

from tests.experiments.data import releases
from tests.experiments.data.broken import ARCHIVES, LOOSE, MEMBERS, refused


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

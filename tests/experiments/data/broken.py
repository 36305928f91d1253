"""Releases that are broken, each in the layout it comes in, and how they are refused."""

import gzip
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fairseq_labo.experiments.data import stages
from fairseq_labo.experiments.data.download import Source
from fairseq_labo.experiments.files import sha256_of
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


def source_of_file(path: Path) -> Source:
    """The row of sources.tsv that a file of Multi30k would have."""
    digest = f"sha256:{sha256_of(path)}"
    return Source(path.name, ("http://127.0.0.1:9/x",), path.stat().st_size, digest)

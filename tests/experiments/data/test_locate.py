"""Files of a release: given, in a folder in its layouts, or nowhere."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fairseq_labo.experiments.data import download, locate
from fairseq_labo.experiments.data.archives import Container
from fairseq_labo.experiments.data.download import Source
from fairseq_labo.experiments.data.recipe import Corpus, Member, Nested, Part, Recipe
from fairseq_labo.experiments.errors import UserError
from tests.experiments.data.server import CONTENT, source_of


def _corpus(**options: Any) -> Corpus:
    members = {
        "train": Member("data/raw/file.gz"),
        "test": Member("tests/t.{lang}.xml", markup="segments", archive="other.gz"),
    }
    parts = {split: Part(split, (member,)) for split, member in members.items()}
    return Corpus("tiny", "de-en", parts, Recipe(), layout="data/raw", sources="tiny", **options)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    """The table of sources, empty at first."""
    sources: list[Source] = []
    monkeypatch.setattr(download, "read_sources", lambda corpus: sources)
    return sources


def test_offline_names_the_url_and_the_manual_route(
    tmp_path: Path, known: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    other = Source("other.gz", ("http://127.0.0.1:9/other.gz", "http://mirror/other.gz"))
    known += [source_of("http://127.0.0.1:9/file.gz"), other]
    with pytest.raises(UserError) as caught:
        locate.locate(_corpus(), tmp_path)
    message = str(caught.value)
    assert message.startswith("http://127.0.0.1:9/file.gz: the download failed")
    assert "by hand" in message and "  other.gz  from  http://127.0.0.1:9/other.gz\n" in message
    assert "  other.gz  from  http://mirror/other.gz\n" in message
    assert message.endswith("--source-dir DIR")
    assert list((tmp_path / "download").iterdir()) == []


def test_wrong_file_at_hand_is_reported_and_kept(tmp_path: Path, known: list[Source]) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(b"something else")
    source = source_of("http://127.0.0.1:9/file.gz")
    known.append(source)
    found = hashlib.sha256(b"something else").hexdigest()
    find = partial(locate.locate, _corpus(), tmp_path, source_dir=tmp_path)
    attempts = [partial(download.fetch, source, tmp_path), find, partial(find, archives=[path])]
    for attempt in attempts:
        with pytest.raises(UserError, match=f"expected {source.hash}, .*found sha256:{found}"):
            attempt()
        assert path.read_bytes() == b"something else"


def test_source_dir_in_both_layouts(tmp_path: Path, known: list[Source]) -> None:
    known.append(source_of("http://127.0.0.1:9/file.gz"))
    find = partial(locate.locate, _corpus(), tmp_path / "dest", source_dir=tmp_path)
    with pytest.raises(UserError, match=r"found 0; missing: data/raw/file\.gz, other\.gz"):
        find()
    (tmp_path / "file.gz").write_bytes(CONTENT)
    with pytest.raises(UserError, match=r"found 1; missing: other\.gz\.\nno address is known"):
        find()
    (tmp_path / "other.gz").touch()
    assert find().files["data/raw/file.gz"] == tmp_path / "file.gz"
    inner = tmp_path / "data" / "raw"
    inner.mkdir(parents=True)
    for name in ("file.gz", "other.gz"):
        (tmp_path / name).rename(inner / name)
    assert find().files["data/raw/file.gz"] == inner / "file.gz"
    # An archive may also have been unpacked.
    (inner / "other.gz").unlink()
    (inner / "tests").mkdir()
    for lang in ("de", "en"):
        (inner / "tests" / f"t.{lang}.xml").touch()
    assert set(find().files) == {"data/raw/file.gz", "t.de.xml", "t.en.xml"}


def test_archives_by_name(tmp_path: Path, known: list[Source]) -> None:
    known.append(source_of("http://x/file.gz"))
    (tmp_path / "file.gz").write_bytes(CONTENT)
    (tmp_path / "whole.tgz").touch()
    nested = {"other.gz": Nested("whole.tgz", "a/b/other.gz")}
    corpus = _corpus(nested=nested)
    archives = [tmp_path / "file.gz", tmp_path / "whole.tgz"]
    located = locate.locate(corpus, tmp_path, archives=archives)
    assert located.containers["other.gz"] == Container(tmp_path / "whole.tgz", "a/b/other.gz")
    for path, found in ((tmp_path / "absent", "found none"), (tmp_path / "x", "found another")):
        if found.endswith("another"):
            path.touch()
        with pytest.raises(UserError, match=found):
            locate.locate(corpus, tmp_path, archives=[path])

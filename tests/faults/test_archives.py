"""Archives that somebody made to do harm, or packed in another way than the release."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fairseq_labo.experiments import files
from fairseq_labo.experiments.data import archives, extract
from fairseq_labo.experiments.data.archives import Container
from fairseq_labo.experiments.data.locate import locate
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_lines
from tests.experiments.data import broken, releases

WANTED = "de-en/train.tags.de-en.de"
MIB = 1 << 20


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> int:
    """Compressed files may hold 4 MiB, so that bombs can be small."""
    monkeypatch.setattr(files, "EXPANDED_BYTES", 4 * MIB)
    return 4 * MIB


@contextmanager
def memory_below(most: int) -> Iterator[None]:
    """Python's own allocations stay under `most` bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def read_all(path: Path, inner: str | None = None) -> bytes:
    """The wanted member, as `extract` reads it."""
    container = Container(path, inner)
    with archives.reporting_damage(container):
        return b"".join(stream.read() for _, stream in archives.read_members(container, [WANTED]))


def tar(*members: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """An archive of `members`; those that have a size are filled with zeros, or `content`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for member in members:
            data = content or b"\0" * member.size
            archive.addfile(member, io.BytesIO(data) if member.size else None)
    return buffer.getvalue()


def member(name: str, size: int = 0, **values: object) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    for key, value in values.items():
        setattr(entry, key, value)
    return entry


@pytest.mark.parametrize("name", [WANTED, "before/it"])
def test_a_bomb_is_refused_before_it_goes_off(name: str, tmp_path: Path, small_limit: int) -> None:
    """Whether the member is wanted or only stands before the one that is."""
    path = tmp_path / "de-en.tgz"
    path.write_bytes(gzip.compress(tar(member(name, 32 * MIB), member(WANTED, 3))))
    message = rf"de-en\.tgz: expected at most {small_limit:,} bytes"
    with memory_below(16 * MIB), pytest.raises(UserError, match=message):
        read_all(path)


@pytest.mark.parametrize("compress", [bz2.compress, lzma.compress])
def test_bombs_of_other_kinds(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """They shrink to a millionth; no release comes so, and none is read."""
    path = tmp_path / "de-en.tgz"
    path.write_bytes(compress(tar(member(WANTED, 32 * MIB))))
    with memory_below(MIB), pytest.raises(UserError, match="expected a whole archive"):
        read_all(path)


def test_a_bomb_in_an_archive_in_an_archive(tmp_path: Path, small_limit: int) -> None:
    inner = gzip.compress(tar(member(WANTED, 8 * MIB)))
    path = tmp_path / "2014-01.tgz"
    path.write_bytes(gzip.compress(tar(member("x/de-en.tgz", len(inner)), content=inner)))
    with pytest.raises(UserError, match=f"expected at most {small_limit:,} bytes"):
        read_all(path, "x/de-en.tgz")


@pytest.mark.parametrize("line", [b"\0" * 1000 + b"\n", b"\0"])
def test_a_text_that_is_a_bomb(line: bytes, tmp_path: Path, small_limit: int) -> None:
    """Of lines, or one line without an end: neither fills the memory."""
    path = tmp_path / "all.de.gz"
    path.write_bytes(gzip.compress(line * (16 * MIB // len(line))))
    message = f"at most {small_limit:,} bytes|over 1,048,576 bytes without a line"
    with memory_below(8 * MIB), pytest.raises(UserError, match=message):
        sum(1 for _ in read_lines(path))


def test_what_text_shrinks_to_is_no_bomb(tmp_path: Path, small_limit: int) -> None:
    text = b"".join(b"Number %d.\n" % (number % 9973) for number in range(400_000))
    assert len(text) > small_limit
    path = tmp_path / "all.de.gz"
    path.write_bytes(gzip.compress(text, 1))
    assert sum(1 for _ in read_lines(path)) == 400_000


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_name_that_fills_the_memory(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "de-en.tgz"
    path.write_bytes(gzip.compress(tar(member("x", 32 * MIB, type=kind), member(WANTED, 3))))
    message = "a header of 33,554,432 bytes"
    with memory_below(16 * MIB), pytest.raises(UserError, match=message):
        read_all(path)


def test_names_of_names_of_names(tmp_path: Path) -> None:
    """tarfile reads them by recursion."""
    entries = [member(f"{n}", 512, type=tarfile.GNUTYPE_LONGNAME) for n in range(5_000)]
    path = tmp_path / "de-en.tgz"
    path.write_bytes(gzip.compress(tar(*entries)))
    with pytest.raises(UserError, match="expected a whole archive"):
        read_all(path)


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
        tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE,
    ],
)  # fmt: skip
def test_what_is_no_file_is_not_read(kind: bytes, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not yours\n", encoding="utf-8")
    entry = member(WANTED, type=kind, linkname=str(secret), devmajor=1, devminor=3)
    path = tmp_path / "de-en.tgz"
    path.write_bytes(gzip.compress(tar(entry)))
    with pytest.raises(UserError, match="found a link or a device"):
        read_all(path)


@pytest.mark.parametrize("name", ["../escaped", "/tmp/labo-escaped", "de-en/../../escaped"])
def test_a_name_that_leads_out_writes_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "release"
    releases.pack(folder / "de-en.tgz", {name: "evil\n"})
    assert name in broken.refused("iwslt14", folder, capsys)
    assert not list(tmp_path.rglob("escaped")) and not Path("/tmp/labo-escaped").exists()


def test_escapes_in_names_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "release"
    releases.pack(folder / "de-en.tgz", {"\x1b]0;mine\x07\u202egnp.x": "x\n"})
    error = broken.refused("iwslt14", folder, capsys)
    assert r"\x1b]0;mine\x07\u202egnp.x" in error
    assert error.replace("\n", "").isprintable()


def test_bytes_changed_at_random(tmp_path: Path) -> None:
    """Either it can still be read, or the error names the archive."""
    entries = tar(member("README", 600), member(WANTED, 900, pax_headers={"comment": "x"}))
    for packed in (entries, gzip.compress(entries)):
        draw = random.Random(1)
        for _ in range(300):
            changed = bytearray(packed)
            for _ in range(draw.randint(1, 8)):
                changed[draw.randrange(min(len(changed), 3_000))] = draw.randrange(256)
            path = tmp_path / "de-en.tgz"
            path.write_bytes(changed[: draw.choice((len(changed), draw.randrange(len(changed))))])
            try:
                assert len(read_all(path)) == 900
            except UserError as error:
                assert str(error).startswith(f"{path}: expected ")


def texts(name: str, source_dir: Path, folder: Path) -> dict[str, bytes]:
    """What is found and extracted of a release without counts."""
    folder.mkdir()
    corpus = replace(releases.corpus_without_counts(name), sources="")
    located = locate(corpus, folder, source_dir=source_dir)
    extract.extract(corpus, located.containers, folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_packed_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another size and hash than the release's: the error says how to go on, and that works."""
    folder = tmp_path / "release"
    releases.write_multi30k(folder)
    before = texts("multi30k", folder, tmp_path / "before")
    paths = sorted((folder / "data/task1/raw").iterdir())
    sources = [broken.source_of_file(path) for path in paths]
    path = folder / "data/task1/raw/val.en.gz"
    text = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(text, 1, mtime=7))
    words = ["multi30k", "--source-dir", str(folder), "--destdir", str(tmp_path / "dest")]
    corpus = releases.corpus_without_counts("multi30k")
    assert releases.main(words, corpus=corpus, sources=sources) == 1
    error = capsys.readouterr().err
    assert "val.en.gz: expected sha256:" in error
    assert "unpack it into a folder of its own and give that with --source-dir" in error
    path.unlink()
    path.with_suffix("").write_bytes(text)
    assert releases.main([*words, "--dry-run"], corpus=corpus, sources=sources) == 0
    assert texts("multi30k", folder, tmp_path / "after") == before


@pytest.mark.parametrize("name", ["tatoeba", "iwslt15", "iwslt14-15k", "mixed", "multi30k"])
def test_every_text_is_found_packed_and_plain(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    releases.WRITERS[name](folder)
    before = texts(name, folder, tmp_path / "before")
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.suffix == ".gz":
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        else:
            Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert texts(name, folder, tmp_path / "after") == before


@pytest.mark.usefixtures("in_process_fairseq")
def test_merges_may_be_packed_too(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    releases.write_iwslt14_15k(folder)
    text = (folder / "bpe_code").read_bytes()
    (folder / "bpe_code.gz").write_bytes(gzip.compress(text))
    (folder / "bpe_code").unlink()
    assert releases.run("iwslt14-15k", folder, tmp_path / "dest") == 0
    assert (tmp_path / "dest" / "bpe" / "codes").read_bytes() == text


def test_plain_text_given_by_name(tmp_path: Path) -> None:
    for name in ("all.de", "all.en"):
        (tmp_path / name).write_text("x\n", encoding="utf-8")
    corpus = releases.corpus_without_counts("tatoeba")
    given = [tmp_path / "all.de", tmp_path / "all.en"]
    located = locate(corpus, tmp_path, archives=given)
    assert [container.path for container in located.containers.values()] == given

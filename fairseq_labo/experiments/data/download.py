"""The files of each corpus: where they come from, and whether they are the right ones.

`sources.tsv` lists corpus, file, URL, size in bytes and hash; several rows of one file are its
mirrors, in the order in which they are tried. Size and hash may be unknown (empty): then the
counts of lines decide later. No file of the user's is ever changed.
"""

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

from fairseq_labo.experiments.data import transfer
from fairseq_labo.experiments.errors import UserError

SOURCES_TABLE = Path(__file__).resolve().parent / "sources.tsv"


@dataclass(frozen=True)
class Source:
    """One file of a corpus, as released; `hash` is "sha256:..." or "md5:..." or empty."""

    corpus: str
    file: str
    urls: tuple[str, ...]
    size_bytes: int | None = None
    hash: str = ""


def read_sources(corpus: str) -> list[Source]:
    """Return the files of `corpus` in the table, each with all its addresses."""
    sources: dict[str, Source] = {}
    with SOURCES_TABLE.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["corpus"] == corpus:
                file, size = row["file"], row["bytes"]
                urls = (*(sources[file].urls if file in sources else ()), row["url"])
                size_bytes = int(size) if size else None
                sources[file] = Source(corpus, file, urls, size_bytes, row["hash"])
    return list(sources.values())


def verify(path: Path, source: Source) -> None:
    """Raise UserError unless `path` has the hash of `source`; the file stays as it is."""
    expected, found = _describe(source), found_in(path, source)
    if found != expected:
        raise UserError(
            f"{path}: expected {expected}, found {found}; the file is kept: move it away and "
            f"fetch {source.urls[0]} again"
        )


def found_in(path: Path, source: Source) -> str:
    """Return the hash and size of `path` in the words of `_describe`; only what is known there."""
    algorithm = source.hash.partition(":")[0]
    parts = []
    if algorithm:
        with path.open("rb") as stream:
            parts.append(f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}")
    if source.size_bytes is not None:
        parts.append(f"{path.stat().st_size:,} bytes")
    return ", ".join(parts)


def fetch(source: Source, folder: Path) -> Path:
    """Return `folder`/`source.file`, downloading it from the first mirror that serves it.

    The file gets its name only after size and hash were checked. Raises UserError when no mirror
    gives it (with what each did), and for a wrong file that is already there.
    """
    path = folder / source.file
    if path.exists():
        verify(path, source)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    failures = []
    for url in source.urls:
        try:
            _fetch_from(url, source, partial)
        except transfer.DownloadError as error:
            failures.append(f"{url}: the download failed: {error}")
            continue
        partial.replace(path)
        return path
    raise UserError("\n".join(failures))


def _fetch_from(url: str, source: Source, partial: Path) -> None:
    was_there = partial.exists()
    transfer.download(url, partial, size_bytes=source.size_bytes)
    expected, found = _describe(source), found_in(partial, source)
    if found == expected:
        return
    # Our own half file, never the user's: what it begins with may come from another mirror.
    partial.unlink()
    if was_there:
        _fetch_from(url, source, partial)
        return
    raise transfer.DownloadError(f"expected {expected}, found {found}")


def _describe(source: Source) -> str:
    size = [] if source.size_bytes is None else [f"{source.size_bytes:,} bytes"]
    return ", ".join([source.hash] * bool(source.hash) + size)

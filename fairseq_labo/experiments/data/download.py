"""The files of each corpus: where they come from, and whether they are the right ones.

`sources.tsv` lists corpus, file, URL, size in bytes and hash; several rows of one file are its
mirrors, in the order in which they are tried. Size and hash may be unknown (empty): then the
counts of lines decide later. No file of the user's is ever changed.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq_labo.experiments.data import transfer
from fairseq_labo.experiments.errors import UserError

SOURCES_TABLE = Path(__file__).resolve().parent / "sources.tsv"
COLUMNS = ("corpus", "file", "url", "bytes", "hash")
HASH_DIGITS = {"sha256": 64, "md5": 32}


@dataclass(frozen=True)
class Source:
    """One file of a corpus, as released; `hash` is "sha256:..." or "md5:..." or empty."""

    corpus: str
    file: str
    urls: tuple[str, ...]
    size_bytes: int | None = None
    hash: str = ""


def read_sources(corpus: str, *, table: Path = SOURCES_TABLE) -> list[Source]:
    """Return the files of `corpus` in `table`; UserError for a bad table or an unknown corpus."""
    with table.open(encoding="utf-8", newline="") as stream:
        header, *rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    if tuple(header) != COLUMNS:
        raise UserError(f"{table}: expected the columns {COLUMNS}, found {tuple(header)}")
    sources: dict[tuple[str, str], Source] = {}
    for number, row in enumerate(rows, start=2):
        source = _parse(row)
        if source is None:
            raise UserError(
                f"{table}, line {number}: expected corpus, file, url, bytes (or nothing) and "
                f"sha256:DIGITS, md5:DIGITS or nothing, separated by tabs, found {row}; mend the "
                "row"
            )
        first = sources.get((source.corpus, source.file), source)
        if (first.size_bytes, first.hash) != (source.size_bytes, source.hash):
            raise UserError(
                f"{table}, line {number}: expected the size and hash of the first address of "
                f"{source.file}, found others; a mirror has the same bytes"
            )
        urls = source.urls if first is source else (*first.urls, *source.urls)
        sources[source.corpus, source.file] = Source(
            source.corpus, source.file, urls, source.size_bytes, source.hash
        )
    found = [source for source in sources.values() if source.corpus == corpus]
    if not found:
        known = sorted({source.corpus for source in sources.values()})
        raise UserError(f"{table}: expected rows for {corpus}, found only {known}")
    return found


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


def _parse(row: Sequence[str]) -> Source | None:
    if len(row) != len(COLUMNS):
        return None
    corpus, file, url, size, hash_ = row
    algorithm, _, digits = hash_.lower().partition(":")
    is_right = not hash_ or HASH_DIGITS.get(algorithm) == len(digits)
    if not is_right or not all((corpus, file, url)) or not (size.isdigit() or not size):
        return None
    return Source(corpus, file, (url,), int(size) if size else None, hash_.lower())

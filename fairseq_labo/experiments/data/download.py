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
    if difference := _difference(path, source):
        raise UserError(
            f"{path}: {difference}; the file is kept: move it away and fetch {source.urls[0]} "
            "again; or, if it was packed anew, unpack it into a folder of its own and give that "
            "with --source-dir"
        )


def _difference(path: Path, source: Source) -> str:
    """Return what differs between hash and size of `path` and those that are known, or nothing."""
    expected, found = [], []
    if source.hash:
        algorithm = source.hash.partition(":")[0]
        with path.open("rb") as stream:
            found.append(f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}")
        expected.append(source.hash)
    if source.size_bytes is not None:
        found.append(f"{path.stat().st_size:,} bytes")
        expected.append(f"{source.size_bytes:,} bytes")
    return "" if found == expected else f"expected {', '.join(expected)}, found {', '.join(found)}"


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
    if difference := _difference(partial, source):
        # Our own half file, never the user's: what it begins with may come from another mirror.
        partial.unlink()
        if not was_there:
            raise transfer.DownloadError(difference)
        _fetch_from(url, source, partial)

"""The files of each corpus: where they come from, and whether they are the right ones.

`sources.tsv` lists corpus, file, URL, size in bytes and SHA-256. A file is either downloaded or
taken from a folder of the user's; both are checked, and no file of the user's is ever changed.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labo_data.text import DataError, sha256_of

SOURCES_TABLE = Path(__file__).resolve().parent.parent / "sources.tsv"
COLUMNS = ("corpus", "file", "url", "bytes", "sha256")


@dataclass(frozen=True)
class Source:
    """One file of a corpus, as released."""

    corpus: str
    file: str
    url: str
    size_bytes: int
    sha256: str


def read_sources(corpus: str, *, table: Path = SOURCES_TABLE) -> list[Source]:
    """Return the rows of `table` for `corpus`; DataError for a bad table or an unknown corpus."""
    with table.open(encoding="utf-8", newline="") as stream:
        header, *rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    if tuple(header) != COLUMNS:
        raise DataError(f"{table}: expected the columns {COLUMNS}, found {tuple(header)}")
    sources = []
    for number, row in enumerate(rows, start=2):
        if len(row) != len(COLUMNS) or not row[3].isdigit() or len(row[4]) != 64:
            raise DataError(
                f"{table}, line {number}: expected corpus, file, url, bytes and a SHA-256 of 64 "
                f"digits, separated by tabs, found {row}; mend the row"
            )
        sources.append(Source(row[0], row[1], row[2], int(row[3]), row[4].lower()))
    found = [source for source in sources if source.corpus == corpus]
    if not found:
        known = sorted({source.corpus for source in sources})
        raise DataError(f"{table}: expected rows for {corpus}, found only {known}")
    return found


def verify(path: Path, source: Source) -> None:
    """Raise DataError unless `path` has the SHA-256 of `source`; the file stays as it is."""
    found = sha256_of(path)
    if found != source.sha256:
        raise DataError(
            f"{path}: expected sha256 {source.sha256} ({source.size_bytes:,} bytes), found "
            f"{found} ({path.stat().st_size:,} bytes); the file is kept: move it away and fetch "
            f"{source.url} again"
        )


def fetch(source: Source, folder: Path) -> Path:
    """Return `folder`/`source.file`, downloading it when it is not there.

    The file gets its name only after its SHA-256 was checked. Raises DataError when the server
    cannot be reached (with the manual route), and for a wrong hash, new or old.
    """
    path = folder / source.file
    if path.exists():
        verify(path, source)
        return path
    try:
        import pooch
    except ImportError as error:
        raise DataError(
            "downloads need pooch, which is not installed: run "
            "`pip install 'fairseq_labo[data]'`, or give the files with --source-dir"
        ) from error
    pooch.get_logger().setLevel("WARNING")
    print(f"download {source.url} ({source.size_bytes:,} bytes)", flush=True)
    try:
        pooch.retrieve(
            source.url,
            known_hash=f"sha256:{source.sha256}",
            fname=source.file,
            path=folder,
            progressbar=sys.stderr.isatty(),
        )
    except OSError as error:  # requests' errors are among these
        raise DataError(f"{source.url}: the download failed: {error}") from error
    except ValueError as error:
        raise DataError(
            f"{source.url}: {error} Try again later; if it stays so, the release has changed."
        ) from error
    return path


def fetch_all(sources: Sequence[Source], folder: Path) -> dict[str, Path]:
    """Fetch every source into `folder`; return file name to path. Errors as `fetch`.

    An error lists all the files, so that they can be downloaded by hand.
    """
    try:
        return {source.file: fetch(source, folder) for source in sources}
    except DataError as error:
        urls = "\n".join(f"  {source.url}" for source in sources)
        raise DataError(
            f"{error}\nWithout a connection, download these files by hand into one folder DIR:\n"
            f"{urls}\nthen add --source-dir DIR"
        ) from error


def find_all(sources: Sequence[Source], source_dir: Path, *, subfolder: str) -> dict[str, Path]:
    """Find every source in `source_dir`/`subfolder` or, if that is absent, in `source_dir`.

    Returns file name to path. Raises DataError for missing files and wrong hashes.
    """
    inner = source_dir / subfolder
    folder = inner if inner.is_dir() else source_dir
    missing = [source for source in sources if not (folder / source.file).is_file()]
    if missing:
        lines = "\n".join(f"  {source.file} from {source.url}" for source in missing)
        raise DataError(
            f"{source_dir}: expected {len(sources)} files in it or in {inner}, found "
            f"{len(sources) - len(missing)} in {folder}; download these into {folder}:\n{lines}"
        )
    for source in sources:
        verify(folder / source.file, source)
    return {source.file: folder / source.file for source in sources}

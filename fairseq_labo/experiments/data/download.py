"""The files of each corpus: where they come from, and whether they are the right ones.

`sources.tsv` lists corpus, file, URL, size in bytes and hash; several rows of one file are its
mirrors, in the order in which they are tried. Size and hash may be unknown (empty): then the
counts of lines decide later. No file of the user's is ever changed.

requests does the protocol; ours are the half file that a later run goes on with, and what counts
as worth another try. (pooch checks hashes too, but neither resumes nor tries mirrors.)
"""

import csv
import hashlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from fairseq_labo.experiments.errors import UserError

SOURCES_TABLE = Path(__file__).resolve().parent / "sources.tsv"
TIMEOUT_SECONDS = (10, 60)  # to connect; between two pieces of the answer
ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 1.0  # doubled after each attempt
PIECE_BYTES = 1 << 14  # at most so much is lost where a connection breaks off
RETRIED_STATUS = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Source:
    """One file of a corpus, as released; `hash` is "sha256:..." or "md5:..." or empty."""

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
                sources[file] = Source(file, urls, size_bytes, row["hash"])
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


class DownloadError(Exception):
    """An address that did not give its file; another mirror may."""


class _Interrupted(Exception):
    """Worth another try at the same address."""


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
        except DownloadError as error:
            failures.append(f"{url}: the download failed: {error}")
            continue
        partial.replace(path)
        return path
    raise UserError("\n".join(failures))


def _fetch_from(url: str, source: Source, partial: Path) -> None:
    was_there = partial.exists()
    _download(url, partial, size_bytes=source.size_bytes)
    if difference := _difference(partial, source):
        # Our own half file, never the user's: what it begins with may come from another mirror.
        partial.unlink()
        if not was_there:
            raise DownloadError(difference)
        _fetch_from(url, source, partial)


def _download(url: str, partial: Path, *, size_bytes: int | None) -> None:
    """Download `url` to `partial`, going on after what is already there.

    Raises DownloadError when the address cannot be reached (at once), gives a web page, another
    size than `size_bytes` or an error, or still breaks off after several attempts. The half file
    stays for the next run.
    """
    if size_bytes is not None and partial.exists() and partial.stat().st_size >= size_bytes:
        if partial.stat().st_size == size_bytes:
            return
        partial.unlink()
    print(f"download {url}", flush=True)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _attempt(url, partial, size_bytes)
            return
        except _Interrupted as error:
            if attempt == ATTEMPTS:
                raise DownloadError(f"{error}, after {ATTEMPTS} attempts") from error
            pause = FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)
            print(f"{url}: {error}; again in {pause:g} s", file=sys.stderr, flush=True)
            time.sleep(pause)


def _attempt(url: str, partial: Path, size_bytes: int | None) -> None:
    start = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        answer = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS)
    except requests.ReadTimeout as error:
        raise _Interrupted(f"no answer for {TIMEOUT_SECONDS[1]} s") from error
    except requests.RequestException as error:  # no network, no such server: at once
        raise DownloadError(f"the server was not reached ({type(error).__name__})") from error
    with answer:
        if answer.status_code == 416 and start:
            # Nothing after what we have: whole, or longer than the file is.
            if size_bytes is None and answer.headers.get("Content-Range") == f"bytes */{start}":
                return
            partial.unlink()
            raise _Interrupted(f"the file ends before byte {start:,}; starting over")
        if answer.status_code in RETRIED_STATUS:
            raise _Interrupted(f"the server answered {answer.status_code} {answer.reason}")
        if not answer.ok:
            raise DownloadError(f"{answer.status_code} {answer.reason}")
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise DownloadError(
                "expected a file, found a web page (a login, or a notice about large files): "
                "download it in a browser"
            )
        begins = answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if answer.status_code != 206 or not begins:
            start = 0
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        if None not in (size_bytes, total) and total != size_bytes:
            raise DownloadError(f"expected {size_bytes:,} bytes, found {total:,}")
        written = _write(answer, partial, start=start, total=total or size_bytes)
        if total is not None and written < total:
            raise _Interrupted(f"broke off after {written:,} of {total:,} bytes")


def _write(answer: requests.Response, partial: Path, *, start: int, total: int | None) -> int:
    """Append the body to the first `start` bytes of `partial`; return the size it has then."""
    is_log = not sys.stderr.isatty()  # where a progress bar would be lines upon lines
    with (
        partial.open("r+b" if start else "wb") as stream,
        tqdm(initial=start, total=total, unit="B", unit_scale=True, disable=is_log) as progress,
    ):
        stream.seek(start)
        stream.truncate()
        try:
            # As it lies there: some servers call a .tgz encoded, which requests would undo.
            for piece in answer.raw.stream(PIECE_BYTES, decode_content=False):
                stream.write(piece)
                progress.update(len(piece))
        except urllib3.exceptions.HTTPError as error:
            raise _Interrupted(f"broke off after {stream.tell():,} bytes") from error
        return stream.tell()

"""One file over HTTP: resumed where it broke off, with timeouts, retries and progress.

requests does the protocol; ours are the half file that a later run goes on with, and what counts
as worth another try. (pooch checks hashes too, but neither resumes nor tries mirrors.)
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from tqdm import tqdm

TIMEOUT_SECONDS = (10, 60)  # to connect; between two pieces of the answer
ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 1.0  # doubled after each attempt
PIECE_BYTES = 1 << 14  # at most so much is lost where a connection breaks off
RETRIED_STATUS = {408, 425, 429, 500, 502, 503, 504}


class DownloadError(Exception):
    """An address that did not give its file; another mirror may."""


class _Interrupted(Exception):
    """Worth another try at the same address."""


def download(url: str, partial: Path, *, size_bytes: int | None) -> None:
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
    with _open(url, headers) as answer:
        if answer.status_code == 416 and start:
            # Nothing after what we have: whole, or longer than the file is.
            if size_bytes is None and answer.headers.get("Content-Range") == f"bytes */{start}":
                return
            partial.unlink()
            raise _Interrupted(f"the file ends before byte {start:,}; starting over")
        _check_answer(answer)
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
            for piece in answer.iter_content(PIECE_BYTES):
                stream.write(piece)
                progress.update(len(piece))
        except requests.RequestException as error:
            raise _Interrupted(f"broke off after {stream.tell():,} bytes") from error
        return stream.tell()


@contextmanager
def _open(url: str, headers: dict[str, str]) -> Iterator[requests.Response]:
    try:
        answer = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS)
    except requests.ReadTimeout as error:
        raise _Interrupted(f"no answer for {TIMEOUT_SECONDS[1]} s") from error
    except requests.RequestException as error:  # no network, no such server: at once
        raise DownloadError(f"the server was not reached ({type(error).__name__})") from error
    with answer:
        yield answer


def _check_answer(answer: requests.Response) -> None:
    if answer.status_code in RETRIED_STATUS:
        raise _Interrupted(f"the server answered {answer.status_code} {answer.reason}")
    if not answer.ok:
        raise DownloadError(f"{answer.status_code} {answer.reason}")
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadError(
            "expected a file, found a web page (a login, or a notice about large files): "
            "download it in a browser"
        )

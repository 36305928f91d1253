"""Files: text of one sentence a line, JSON, and the lock of a folder.

Text is UTF-8, lines separated by "\\n" alone: form feeds, carriage returns, U+0085, U+2028 and the
separators 0x1C-0x1E occur inside sentences. Python's universal newlines and `str.splitlines` end
a line at some of them, which shifts one language against the other.
"""

import fcntl
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.errors import UserError


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of `path` (gzipped if it ends in .gz) without their "\\n".

    Text after the last "\\n" counts as a line. Raises UserError for a file that is missing, a
    damaged archive, and bytes that are not UTF-8 (naming the line, counted from 1).
    """
    last = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            for last, line in enumerate(decode_lines(stream, f"{path}"), start=1):  # noqa: B007
                yield line
    except FileNotFoundError as error:
        raise UserError(f"{path}: expected a text file, found none; check the folder") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{path}: expected a gzip archive, found damage after line {last} ({error}); fetch "
            "the file again"
        ) from error


def decode_lines(stream: Iterable[bytes], name: str) -> Iterator[str]:
    """Yield the lines of a binary stream without their "\\n"; `name` stands in errors.

    Raises UserError for bytes that are not UTF-8, naming the line (counted from 1).
    """
    for number, line in enumerate(stream, start=1):
        try:
            yield line.removesuffix(b"\n").decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{name}, line {number}: expected UTF-8, found byte "
                f"0x{error.object[error.start]:02x} at offset {error.start} of the line; convert "
                "the file (iconv -t UTF-8) or fetch it again"
            ) from error


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Write `lines` to `path` as UTF-8, each followed by "\\n"; return their number.

    Raises UserError for a line that holds a "\\n", which would become two lines.
    """
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for count, line in enumerate(lines, start=1):
            if "\n" in line:
                raise UserError(
                    f"{path}, line {count}: expected one line, found a line break inside it; "
                    "replace the line break by a space"
                )
            stream.write(line + "\n")
    return count


def count_tokens(path: Path) -> int:
    """The number of tokens, separated by spaces, of `path`; errors as `read_lines`."""
    return sum(len(line.split()) for line in read_lines(path))


def sha256_of(path: Path) -> str:
    """The SHA-256 of the bytes of `path` in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None when it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON; the file has its name only when it is whole."""
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


@contextmanager
def locked(folder: Path, *, name: str = ".lock") -> Iterator[int]:
    """Hold `folder` (made if it is missing) for this process; yield the lock's file descriptor.

    The lock is the kernel's: it ends with the last process that inherited the descriptor, so the
    file of a killed one holds nothing up. Raises UserError when another process has it.
    """
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{folder}: expected to be alone in this folder, found another process at work in "
                "it; wait for it to end, or choose another folder"
            ) from error
        yield stream.fileno()

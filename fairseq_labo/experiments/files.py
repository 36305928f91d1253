"""Files: text of one sentence a line, JSON, and the lock of a folder.

Text is UTF-8, lines separated by "\\n" alone: form feeds, carriage returns, U+0085, U+2028 and the
separators 0x1C-0x1E occur inside sentences. Python's universal newlines and `str.splitlines` end
a line at some of them, which shifts one language against the other.
"""

import fcntl
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from fairseq_labo.experiments.errors import UserError

BYTE_ORDER_MARK = "\ufeff"
GZIP = b"\x1f\x8b"  # what its files begin with
LINE_BYTES = 1 << 20  # a longer line is no sentence, and would have to fit into memory
# What a compressed file may hold. Text shrinks to a fifth or so, a bomb to a thousandth.
EXPANSION = 100
EXPANDED_BYTES = 1 << 28
# What fairseq takes for something else in a path, and for what.
READ_OTHERWISE = {
    ":": "a colon, at which fairseq parts it into several",
    "${": "${, which fairseq's configuration takes for the name of a value",
}


def default_folder(*names: str) -> Path:
    """``data/...`` or ``runs/...``: in $LABO_HOME (the scripts set it), or the current folder."""
    return Path(os.environ.get("LABO_HOME", "")).joinpath(*names)


def check_plain(path: Path) -> None:
    """Raise UserError for a path that fairseq would read otherwise than it is written."""
    for mark, why in READ_OTHERWISE.items():
        if mark in str(path):
            raise UserError(
                f"{path}: expected a path without {why}, found one; rename the folder, or name it "
                "relative to the current one"
            )


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of `path` (gzipped if it ends in .gz) without their "\\n".

    Text after the last "\\n" counts as a line. Raises UserError for a file that is missing, a
    damaged archive, and as `decode_lines`.
    """
    last = 0
    try:
        with open_text(path) as stream:
            lines = decode_lines(stream, f"{path}", most_bytes=most_bytes(path))
            for last, line in enumerate(lines, start=1):  # noqa: B007
                yield line
    except FileNotFoundError as error:
        raise UserError(f"{path}: expected a text file, found none; check the folder") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{path}: expected a gzip archive, found damage after line {last} ({error}); fetch "
            "the file again (of plain text: take .gz off its name)"
        ) from error


def open_text(path: Path) -> IO[bytes]:
    """Open a text, gzipped if its name ends in .gz."""
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def most_bytes(path: Path) -> int:
    """How much text there may be in the file `path`, compressed or not."""
    return max(EXPANDED_BYTES, EXPANSION * path.stat().st_size)


def too_large(name: str, most: int) -> UserError:
    """The error for more than `most` bytes in `name`."""
    return UserError(
        f"{name}: expected at most {most:,} bytes ({EXPANSION} times the compressed file, or "
        f"{EXPANDED_BYTES:,}), found more, which no text shrinks from; if it is right, unpack it "
        "and give what it holds"
    )


def decode_lines(stream: IO[bytes], name: str, *, most_bytes: int) -> Iterator[str]:
    """Yield the lines of a binary stream without their "\\n"; `name` stands in errors.

    Raises UserError for bytes that are not UTF-8 and for a line over `LINE_BYTES`, naming the line
    (counted from 1), and for a stream that holds more than `most_bytes`.
    """
    read = 0
    for number, line in enumerate(iter(partial(stream.readline, LINE_BYTES + 1), b""), start=1):
        read += len(line)
        if read > most_bytes:
            raise too_large(name, most_bytes)
        if len(line) > LINE_BYTES:
            raise UserError(
                f"{name}, line {number}: expected one sentence, found over {LINE_BYTES:,} bytes "
                "without a line break; split the text into sentences, one a line"
            )
        try:
            yield line.removesuffix(b"\n").decode("utf-8")
        except UnicodeDecodeError as error:
            if number == 1 and line.startswith(GZIP):
                raise UserError(
                    f"{name}: expected text, found a gzip archive; name it {name}.gz, or unpack it"
                ) from error
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
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write the file `path`, which gets its name only when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON, whole or not at all."""
    with whole(path) as part:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """`content`, to be written as JSON, and a digest of it: see `is_sealed`."""
    text = json.dumps({key: content[key] for key in content if key != "seal"}, sort_keys=True)
    return {**content, "seal": hashlib.sha256(text.encode()).hexdigest()}


def is_sealed(content: Any) -> bool:
    """Whether JSON is as it was `sealed`: whole, and not edited since."""
    return isinstance(content, dict) and content == sealed(content)


@contextmanager
def locked(folder: Path, *, name: str = ".lock", wait: bool = False) -> Iterator[int]:
    """Hold `folder` (made if it is missing) for this process; yield the lock's file descriptor.

    With `wait` another process is waited for.

    The lock is the kernel's: it ends with the last process that inherited the descriptor, so the
    file of a killed one holds nothing up. Raises UserError when another process has it.
    """
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{folder}: expected a folder, found a file; choose another") from error
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{folder}: expected to be alone in this folder, found another process at work in "
                "it; wait for it to end, or choose another folder"
            ) from error
        yield stream.fileno()

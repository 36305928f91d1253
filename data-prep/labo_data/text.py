"""Parallel text in files: one sentence a line, UTF-8, lines separated by "\\n" alone.

Form feeds, carriage returns, U+0085, U+2028 and the separators 0x1C-0x1E occur inside
sentences. Python's universal newlines and `str.splitlines` end a line at some of them, which
shifts one language against the other; everything here splits on "\\n" only.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class DataError(Exception):
    """An input the user can mend: says what was expected, what was found, and the remedy."""


@dataclass(frozen=True)
class Split:
    """A part of a corpus: its name in the release, and its lines there if they are known."""

    name: str
    expected_lines: int | None = None


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of `path` (gzipped if it ends in .gz) without their "\\n".

    Text after the last "\\n" counts as a line. Raises DataError for a file that is missing, a
    damaged archive, and bytes that are not UTF-8 (naming the line, counted from 1).
    """
    last = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            for line in decode_lines(stream, f"{path}"):
                last += 1
                yield line
    except FileNotFoundError as error:
        raise DataError(f"{path}: expected a text file, found none; check the folder") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: expected a gzip archive, found damage after line {last} ({error}); fetch "
            "the file again"
        ) from error


def decode_lines(stream: Iterable[bytes], name: str) -> Iterator[str]:
    """Yield the lines of a binary stream without their "\\n"; `name` stands in errors.

    Raises DataError for bytes that are not UTF-8, naming the line (counted from 1).
    """
    # Binary files are split on b"\n" only, and tell the line of a wrong byte.
    for number, line in enumerate(stream, start=1):
        try:
            yield line.removesuffix(b"\n").decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name}, line {number}: expected UTF-8, found byte "
                f"0x{error.object[error.start]:02x} at offset {error.start} of the line; convert "
                "the file (iconv -t UTF-8) or fetch it again"
            ) from error


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Write `lines` to `path` as UTF-8, each followed by "\\n"; return their number.

    Raises DataError for a line that holds a "\\n", which would become two lines.
    """
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for count, line in enumerate(lines, start=1):
            if "\n" in line:
                raise DataError(
                    f"{path}, line {count}: expected one line, found a line break inside it; "
                    "replace the line break by a space"
                )
            stream.write(line + "\n")
    return count


def count_lines(path: Path) -> int:
    """Return the number of lines of `path`; errors as `read_lines`."""
    return sum(1 for _ in read_lines(path))


def count_tokens(path: Path) -> int:
    """Return the number of tokens, separated by spaces, of `path`; errors as `read_lines`."""
    return sum(len(line.split()) for line in read_lines(path))


def check_parallel(source: Path, target: Path, *, expected_lines: int | None = None) -> int:
    """Return the number of sentence pairs of two files after checking them.

    Raises DataError when a file is missing, empty or not UTF-8, when the numbers of lines differ,
    and when they are not `expected_lines`.
    """
    source_lines, target_lines = count_lines(source), count_lines(target)
    for path, lines in ((source, source_lines), (target, target_lines)):
        if lines == 0:
            raise DataError(
                f"{path}: expected one sentence a line, found an empty file; check the corpus or "
                "fetch it again"
            )
    if source_lines != target_lines:
        longer = source if source_lines > target_lines else target
        raise DataError(
            f"expected as many lines in {source} as in {target}, found {source_lines:,} and "
            f"{target_lines:,}: {longer}, line {min(source_lines, target_lines) + 1:,} has no "
            'partner; lines end at "\\n" only; fetch both files again from the same release'
        )
    if expected_lines is not None and source_lines != expected_lines:
        raise DataError(
            f"{source} and {target}: expected {expected_lines:,} lines, found {source_lines:,}; "
            "the files are cut off or of another release: fetch them again"
        )
    return source_lines


def check_splits(
    folder: Path, splits: Mapping[str, Split], languages: tuple[str, str]
) -> dict[str, int]:
    """Return the sentence pairs of each split, `folder`/{split}.{language}, after checking them.

    Raises DataError as `check_parallel`, for one language twice, and unless the splits are train,
    valid, test, test1, ... in this order, by which fairseq numbers the test sets.
    """
    if languages[0] == languages[1]:
        raise DataError(
            f"expected two languages, found {languages[0]} twice; set --source-lang and "
            "--target-lang"
        )
    check_split_names(list(splits))
    return {
        split: check_parallel(
            folder / f"{split}.{languages[0]}",
            folder / f"{split}.{languages[1]}",
            expected_lines=entry.expected_lines,
        )
        for split, entry in splits.items()
    }


def check_split_names(names: Sequence[str]) -> None:
    """Raise DataError unless `names` are train, valid, test, test1, ... in this order."""
    wanted = ["train", "valid", "test", *(f"test{number}" for number in range(1, len(names)))]
    if list(names) != wanted[: max(2, len(names))]:
        raise DataError(
            "expected the splits train, valid and then test, test1, ... in this order, found "
            f"{list(names)}; rename or reorder them"
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the bytes of `path` in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, or None when it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON; the file has its name only when it is whole."""
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def format_table(rows: Sequence[Sequence[str]], *, left_columns: int) -> str:
    """Return `rows` as lines of aligned columns, the first `left_columns` aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index < left_columns else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )

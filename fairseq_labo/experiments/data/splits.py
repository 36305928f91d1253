"""Checks of the splits of a corpus, and the table of a preparation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import count_lines


@dataclass(frozen=True)
class Split:
    """A part of a corpus: its name in the release, and its lines there if they are known."""

    name: str
    expected_lines: int | None = None


def check_parallel(source: Path, target: Path, *, expected_lines: int | None = None) -> int:
    """Return the number of sentence pairs of two files after checking them.

    Raises UserError when a file is missing, empty or not UTF-8, when the numbers of lines differ,
    and when they are not `expected_lines`.
    """
    source_lines, target_lines = count_lines(source), count_lines(target)
    for path, lines in ((source, source_lines), (target, target_lines)):
        if lines == 0:
            raise UserError(
                f"{path}: expected one sentence a line, found an empty file; check the corpus or "
                "fetch it again"
            )
    if source_lines != target_lines:
        longer = source if source_lines > target_lines else target
        raise UserError(
            f"expected as many lines in {source} as in {target}, found {source_lines:,} and "
            f"{target_lines:,}: {longer}, line {min(source_lines, target_lines) + 1:,} has no "
            'partner; lines end at "\\n" only; fetch both files again from the same release'
        )
    if expected_lines is not None and source_lines != expected_lines:
        raise UserError(
            f"{source} and {target}: expected {expected_lines:,} lines, found {source_lines:,}; "
            "the files are cut off or of another release: fetch them again"
        )
    return source_lines


def check_splits(
    folder: Path, splits: Mapping[str, Split], languages: tuple[str, str]
) -> dict[str, int]:
    """Return the sentence pairs of each split, `folder`/{split}.{language}, after checking them.

    Raises UserError as `check_parallel`, for one language twice, and unless the splits are train,
    valid, test, test1, ... in this order, by which fairseq numbers the test sets.
    """
    if languages[0] == languages[1]:
        raise UserError(
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
    """Raise UserError unless `names` are train, valid, test, test1, ... in this order."""
    wanted = ["train", "valid", "test", *(f"test{number}" for number in range(1, len(names)))]
    if list(names) != wanted[: max(2, len(names))]:
        raise UserError(
            "expected the splits train, valid and then test, test1, ... in this order, found "
            f"{list(names)}; rename or reorder them"
        )


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

"""fairseq's preprocessor: runs it, and measures what it wrote."""

import importlib.metadata
import importlib.util
import platform
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fairseq_labo.environment import providers_of_fairseq
from fairseq_labo.experiments.data.intact import MOST_POSITIONS, read_dictionary, read_index
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_lines
from fairseq_labo.experiments.processes import run_logged

INSTALL_FAIRSEQ = "pip install 'fairseq_labo[fairseq]'"
NO_WORDS = {"<s>", "<pad>", "</s>"}  # of a dictionary; an unknown word may be written as one
LOG_TAIL_LINES = 15


def ensure_fairseq() -> None:
    """Raise UserError with the install command when fairseq cannot be imported."""
    if importlib.util.find_spec("fairseq_cli") is None:
        raise UserError(
            f"binarizing needs fairseq, found none for {sys.executable}: run `{INSTALL_FAIRSEQ}`"
        )


def tool_versions() -> dict[str, str]:
    """Return the versions of the programs that decide the data; fairseq's with its fork's name."""
    fairseq = [f"{name} {importlib.metadata.version(name)}" for name in providers_of_fairseq()]
    return {
        "python": platform.python_version(),
        "sacremoses": importlib.metadata.version("sacremoses"),
        "subword-nmt": importlib.metadata.version("subword-nmt"),
        "fairseq": ", ".join(fairseq) or "unknown: not installed as a package",
        "torch": importlib.metadata.version("torch"),
    }


def binarize(
    bpe_dir: Path,
    bin_dir: Path,
    *,
    source_lang: str,
    target_lang: str,
    splits: Sequence[str],
    workers: int,
    log_file: Path,
    joined_dictionary: bool = True,
) -> None:
    """Write the fairseq data folder `bin_dir` from `bpe_dir`, with one dictionary or two.

    `splits` are train, valid, test, test1, ... in this order: fairseq numbers the test sets by it.
    Raises UserError when fairseq is missing or fails, with the end of `log_file`.
    """
    ensure_fairseq()
    # Named from within `bpe_dir`: fairseq takes a comma in --testpref for a list.
    tests = [split for split in splits if split not in ("train", "valid")]
    command = [sys.executable, "-m", "fairseq_cli.preprocess"]
    command += ["--source-lang", source_lang, "--target-lang", target_lang]
    command += ["--trainpref", "train", "--validpref", "valid"]
    if tests:
        command += ["--testpref", ",".join(tests)]
    command += ["--destdir", str(bin_dir.absolute()), "--workers", str(workers)]
    command += ["--joined-dictionary"] * joined_dictionary
    status = run_logged(command, log_file, cwd=bpe_dir)
    # The same lines once more, with times and paths: not a part of the data.
    (bin_dir / "preprocess.log").unlink(missing_ok=True)
    if status != 0:
        text = log_file.read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line for line in text if not line.startswith((" ", "Traceback"))]
        tail = "\n".join(said[-LOG_TAIL_LINES:]).rstrip()
        raise UserError(
            f"fairseq's preprocessor ended with status {status}, expected 0; the whole "
            f"log is {log_file}, its end:\n{tail}\nIf a module is missing, run "
            f"`{INSTALL_FAIRSEQ}`"
        )


def check_words(path: Path) -> None:
    """Raise UserError for a word of the text that fairseq would read as a symbol of its own."""
    for number, line in enumerate(read_lines(path), 1):
        if "<" in line and (found := NO_WORDS.intersection(line.split())):
            raise UserError(
                f"{path}, line {number}: expected words, found {min(found)}, a symbol of fairseq's "
                f"own, in {textwrap.shorten(line, 200)!r}: write it otherwise in the text, or "
                "leave it out"
            )


class Measured(NamedTuple):
    """Of one side of a split: subwords, those that the dictionary does not know (neither with the
    ends of sentence), and the numbers of the lines that are longer than fairseq takes.
    """

    tokens: int
    unknown: int
    too_long: list[int]


def measure(folder: Path, split: str, lang: str, languages: tuple[str, str]) -> Measured:
    """Measure one side of a split; `folder` holds bpe/ and bin/, `languages` are source and target.

    Raises UserError unless fairseq's index has as many sentences and tokens as the text, with one
    end of sentence for each line.
    """
    text = folder / "bpe" / f"{split}.{lang}"
    index = folder / "bin" / f"{split}.{'-'.join(languages)}.{lang}.idx"
    symbols = set(read_dictionary(folder / "bin" / f"dict.{lang}.txt"))
    lines = tokens = unknown = 0
    too_long = []
    for lines, line in enumerate(read_lines(text), start=1):
        subwords = line.split()
        tokens += len(subwords)
        unknown += sum(token not in symbols for token in subwords)
        if len(subwords) + 1 > MOST_POSITIONS:
            too_long.append(lines)
    found = read_index(index)
    if found != (lines, tokens + lines):
        raise UserError(
            f"{index}: expected {lines:,} sentences and {tokens + lines:,} tokens as in {text}, "
            f"found {found[0]:,} and {found[1]:,}; prepare again with --force, and with "
            "--workers 1 if it stays so"
        )
    return Measured(tokens, unknown, too_long)

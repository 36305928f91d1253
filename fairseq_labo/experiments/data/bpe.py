"""Joint byte-pair encoding with subword-nmt: plain, without a vocabulary threshold.

A word's subwords except its last end in `@@`. Source: Sennrich et al. (2016), ACL.
"""

import contextlib
import io
from collections import Counter
from functools import cache
from pathlib import Path

from subword_nmt.apply_bpe import BPE
from subword_nmt.learn_bpe import learn_bpe

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_lines

SEPARATOR = "@@"
# subword-nmt keeps the subwords of every word it has seen; about 100 MB of them.
CACHED_WORDS = 300_000


def learn_from_counts(counts: Counter[str], codes: Path, *, merges: int, names: str) -> int:
    """Learn up to `merges` merges on words with their `counts` and write them to `codes`.

    Returns the number learned, which is smaller when every remaining pair occurs only once.
    Raises UserError when `merges` is not positive or no word has two characters; `names` says
    where the words come from.
    """
    if merges < 1:
        raise UserError(f"expected at least 1 BPE merge, found {merges}; choose, e.g., 8000")
    if all(len(word) < 2 for word in counts):
        raise UserError(
            f"{names}: expected words of two characters or more to learn BPE on, found none; "
            "check the training text"
        )
    entries = [f"{word} {count}" for word, count in counts.items()]
    # Its progress bar would fill a log with thousands of lines.
    with (
        codes.open("w", encoding="utf-8", newline="\n") as stream,
        contextlib.redirect_stderr(io.StringIO()),
    ):
        learn_bpe(entries, stream, merges, is_dict=True)
    return sum(1 for _ in read_lines(codes)) - 1  # the first line is the version


def load_codes(codes: Path) -> BPE:
    """Return the encoder of the merges in `codes`.

    Raises UserError when the file is missing or a line of it is not a pair.
    """
    lines = list(read_lines(codes))
    for number, line in enumerate(lines, start=1):
        if len(line.split(" ")) != 2:
            raise UserError(
                f"{codes}, line {number}: expected two subwords separated by a space, found "
                f"{line!r}; give the file that subword-nmt wrote"
            )
    text = "".join(f"{line}\n" for line in lines)
    return BPE(io.StringIO(text, newline="\n"), separator=SEPARATOR)


def encode(line: str, encoder: BPE) -> str:
    """Return one line of tokens as subwords."""
    if len(encoder.cache) > CACHED_WORDS:
        encoder.cache.clear()
    return str(encoder.segment(line))


def encode_with(codes: str, line: str) -> str:
    """Return one line of tokens as subwords of the merges in the file `codes`.

    For other processes, which read the file once; it must not change meanwhile.
    """
    return encode(line, _encoder(codes))


@cache
def _encoder(codes: str) -> BPE:
    return load_codes(Path(codes))

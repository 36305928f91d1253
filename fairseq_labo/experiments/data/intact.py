"""Whether a corpus's dictionaries and binarized text are whole: fairseq's errors do not tell."""

import struct
from collections.abc import Sequence
from pathlib import Path

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_lines

MAGIC = b"MMIDIDX\x00\x00"  # of fairseq's mmap data; its older kinds are not looked into
OTHER_MAGIC = b"TNTIDX\x00\x00"
# Behind the magic word: version, code of the type of a token, number of sentences.
HEADER = struct.Struct("<QBQ")
TOKEN_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 8, 7: 8, 8: 2, 9: 4, 10: 8}
REMEDY = "make the folder again (labo prepare --force, or fairseq-preprocess)"


def check_intact(bin_dir: Path, languages: tuple[str, str], *, splits: Sequence[str]) -> None:
    """Raise UserError, naming the file, for what is missing, cut off or of another kind.

    Dictionaries are read; of a split's .idx and .bin only the ends are.
    """
    for language in languages:
        _check_dictionary(bin_dir / f"dict.{language}.txt")
        for split in splits:
            index = bin_dir / f"{split}.{'-'.join(languages)}.{language}.idx"
            _check_sizes(index, index.with_suffix(".bin"))


def _check_dictionary(path: Path) -> None:
    number = 0
    for number, line in enumerate(read_lines(path), start=1):
        symbol, _, count = line.removesuffix(" #fairseq:overwrite").rpartition(" ")
        if not symbol or not count.isdecimal():
            raise UserError(
                f"{path}, line {number}: expected a symbol and its count, found {line!r}; {REMEDY}"
            )
    if not number:
        raise UserError(f"{path}: expected a dictionary, found an empty file; {REMEDY}")


def _check_sizes(index: Path, text: Path) -> None:
    for path in (index, text):
        if not path.is_file():
            raise UserError(f"{path}: expected binarized text, found no file; {REMEDY}")
    with index.open("rb") as stream:
        magic = stream.read(len(MAGIC))
        if magic.startswith(OTHER_MAGIC):
            return
        header = stream.read(HEADER.size)
        whole = magic == MAGIC and len(header) == HEADER.size
        _, code, sentences = HEADER.unpack(header) if whole else (0, 0, 0)
        begin = len(MAGIC) + HEADER.size
        # The sentences' lengths in tokens, 4 bytes each, and the places where they begin, 8 each.
        expected = begin + 12 * sentences
        if not whole or code not in TOKEN_BYTES or index.stat().st_size != expected:
            raise UserError(
                f"{index}: expected fairseq's index of binarized text, found part of one or "
                f"another file; {REMEDY}"
            )
        if not sentences:
            raise UserError(f"{index}: expected sentences, found none; {REMEDY}")
        stream.seek(begin + 4 * (sentences - 1))
        (length,) = struct.unpack("<i", stream.read(4))
        stream.seek(expected - 8)
        (place,) = struct.unpack("<q", stream.read(8))
    size = place + length * TOKEN_BYTES[code]
    if text.stat().st_size != size:
        raise UserError(
            f"{text}: expected {size:,} bytes, as its index says, found "
            f"{text.stat().st_size:,}; {REMEDY}"
        )

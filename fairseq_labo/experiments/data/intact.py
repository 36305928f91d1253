"""fairseq's dictionaries and binarized text: read back, and whether they are whole.

fairseq's own errors do not tell. An .idx of its mmap data holds MAGIC, HEADER, the length of each
sentence in tokens (4 bytes) and the place where it begins in the .bin (8 bytes); little endian.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_lines

MAGIC = b"MMIDIDX\x00\x00"  # of fairseq's mmap data; its older kinds are not looked into
OTHER_MAGIC = b"TNTIDX\x00\x00"
HEADER = struct.Struct("<QBQ")  # version, code of the type of a token, number of sentences
BEGIN = len(MAGIC) + HEADER.size
TOKEN_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 8, 7: 8, 8: 2, 9: 4, 10: 8}
# <s>, <pad>, </s>, <unk>: in every dictionary, not in its file.
SPECIAL_SYMBOLS = 4
# fairseq's --max-source-positions and --max-target-positions; the end of sentence counts.
MOST_POSITIONS = 1024
REMEDY = "make the folder again (labo prepare --force, or fairseq-preprocess)"


def read_lengths(path: Path) -> Sequence[int]:
    """Return the length in tokens, with the end of sentence, of each sentence of an .idx.

    Raises UserError for a file of another kind, or a part of one.
    """
    data = path.read_bytes()
    whole = data.startswith(MAGIC) and len(data) >= BEGIN
    sentences = HEADER.unpack_from(data, len(MAGIC))[2] if whole else 0
    if not whole or len(data) < BEGIN + 4 * sentences:
        raise UserError(
            f"{path}: expected an index of fairseq's mmap data, found {data[:9]!r} and {len(data)} "
            "bytes; prepare again with --force"
        )
    return struct.unpack_from(f"<{sentences}i", data, BEGIN)


def read_index(path: Path) -> tuple[int, int]:
    """Return the numbers of sentences and tokens (with the end-of-sentence tokens) of an .idx."""
    lengths = read_lengths(path)
    return len(lengths), sum(lengths)


def read_dictionary(path: Path) -> list[str]:
    """Return the symbols of a fairseq dictionary file in their order, without the special ones."""
    return [line.rsplit(" ", 1)[0] for line in read_lines(path)]


def check_intact(bin_dir: Path, languages: tuple[str, str], *, splits: Sequence[str]) -> None:
    """Raise UserError, naming the file, for what is missing, cut off or of another kind.

    Dictionaries are read; of a split's .idx and .bin only the ends are.
    """
    for language in languages:
        number, path = 0, bin_dir / f"dict.{language}.txt"
        for number, line in enumerate(read_lines(path), start=1):
            symbol, _, count = line.removesuffix(" #fairseq:overwrite").rpartition(" ")
            if not symbol or not count.isdecimal():
                raise UserError(
                    f"{path}, line {number}: expected a symbol and its count, found {line!r}; "
                    f"{REMEDY}"
                )
        if not number:
            raise UserError(f"{path}: expected a dictionary, found an empty file; {REMEDY}")
        for split in splits:
            index = bin_dir / f"{split}.{'-'.join(languages)}.{language}.idx"
            _check_sizes(index, index.with_suffix(".bin"))


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
        expected = BEGIN + 12 * sentences
        if not whole or code not in TOKEN_BYTES or index.stat().st_size != expected:
            raise UserError(
                f"{index}: expected fairseq's index of binarized text, found part of one or "
                f"another file; {REMEDY}"
            )
        if not sentences:
            raise UserError(f"{index}: expected sentences, found none; {REMEDY}")
        stream.seek(BEGIN + 4 * (sentences - 1))
        (length,) = struct.unpack("<i", stream.read(4))
        stream.seek(expected - 8)
        (place,) = struct.unpack("<q", stream.read(8))
    size = place + length * TOKEN_BYTES[code]
    if text.stat().st_size != size:
        raise UserError(
            f"{text}: expected {size:,} bytes, as its index says, found "
            f"{text.stat().st_size:,}; {REMEDY}"
        )

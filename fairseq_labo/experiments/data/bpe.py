"""Joint byte-pair encoding: subword-nmt's, or SentencePiece's of Moses tokens.

subword-nmt: plain, without a vocabulary threshold; a word's subwords except its last end in `@@`.
Source: Sennrich et al. (2016), ACL. SentencePiece: a word's first piece begins with U+2581; no
normalization and no loss: the pieces joined are the tokens. Source: Kudo and Richardson (2018),
EMNLP.
"""

import contextlib
import io
import os
import textwrap
from collections import Counter
from functools import cache
from pathlib import Path

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from subword_nmt.apply_bpe import BPE
from subword_nmt.learn_bpe import learn_bpe

from fairseq_labo.experiments.data.recipe import SUBWORD_MARKS
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_lines

# subword-nmt keeps the subwords of every word it has seen; about 100 MB of them.
CACHED_WORDS = 300_000


def learn_merges(counts: Counter[str], codes: Path, *, size: int, names: str) -> int:
    """Learn up to `size` merges on words with their `counts` and write them to `codes`.

    Returns the number learned, which is smaller when every remaining pair occurs only once.
    Raises UserError when `size` is not positive or no word has two characters; `names` says
    where the words come from.
    """
    if size < 1:
        raise UserError(f"expected at least 1 BPE merge, found {size}; choose, e.g., 8000")
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
        learn_bpe(entries, stream, size, is_dict=True)
    return sum(1 for _ in read_lines(codes)) - 1  # the first line is the version


def learn_pieces(counts: Counter[str], model: Path, *, size: int, names: str) -> int:
    """Learn a vocabulary of `size` pieces on words with their `counts`; write it to `model`.

    Returns the number of pieces. Raises UserError when there are fewer words than that takes
    (`names` says where they come from).
    """
    # Words with counts instead of sentences, so that memory does not grow with the text; not out of
    # a file, whose path the model would hold.
    words = (f"{word}\t{count}" for word, count in counts.items())
    trained = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=words,
            input_format="tsv",
            model_writer=trained,
            model_type="bpe",
            vocab_size=size,
            character_coverage=1.0,
            normalization_rule_name="identity",
            max_sentence_length=1 << 20,
            num_threads=1,  # the same pieces on every machine
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"{names}: expected text for {size:,} SentencePiece pieces, found too little or too "
            f"many characters ({error}); choose another --bpe-size"
        ) from error
    model.write_bytes(trained.getvalue())
    return int(SentencePieceProcessor(str(model)).get_piece_size())


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
    return BPE(io.StringIO(text, newline="\n"), separator=SUBWORD_MARKS["subword-nmt"])


def check_no_marks(path: Path, kind: str) -> None:
    """Raise UserError for a word of the text that looks like a subword of the `kind` to be made.

    Joined again, the subwords would be other words.
    """
    for number, line in enumerate(read_lines(path), 1):
        if found := _like_subwords(line, kind):
            raise UserError(
                f"{path}, line {number}: expected words, found {textwrap.shorten(found[0], 80)!r}, "
                f"which reads as a subword of {kind}, in {textwrap.shorten(line, 200)!r}: give "
                "text without subwords, or choose the other kind, --bpe"
            )


def check_words(path: Path) -> None:
    """Raise UserError for text of which most lines have subwords, of any kind; a few may be words.

    To be asked of raw text: Moses parts the marks from the words.
    """
    found, lines = dict.fromkeys(SUBWORD_MARKS, 0), 0
    for line in read_lines(path):
        lines += 1
        for kind in found:
            found[kind] += bool(_like_subwords(line, kind))
    for kind, count in found.items():
        if 2 * count > lines:
            raise UserError(
                f"{path}: expected words, found what reads as subwords of {kind} in {count:,} of "
                f"{lines:,} lines: give text without subwords"
            )


def _like_subwords(line: str, kind: str) -> list[str]:
    mark = SUBWORD_MARKS[kind]
    if mark not in line:
        return []
    # SentencePiece takes its mark for a space wherever it stands.
    reads_as_subword = str.endswith if kind == "subword-nmt" else str.__contains__
    return [word for word in line.split() if reads_as_subword(word, mark)]


# By when the file was written, too: another preparation in this process may write it again.
@cache
def _codes_of(codes: str, _written: int) -> BPE:
    return load_codes(Path(codes))


@cache
def _pieces_of(model: str, _written: int) -> SentencePieceProcessor:
    return SentencePieceProcessor(model)


def encode(line: str, encoder: BPE) -> str:
    """Return one line of tokens as subwords."""
    if len(encoder.cache) > CACHED_WORDS:
        encoder.cache.clear()
    return str(encoder.segment(line))


def encode_with(codes: str, line: str) -> str:
    """Return one line of tokens as subwords of the merges in the file `codes`.

    For other processes, which read the file once.
    """
    return encode(line, _codes_of(codes, os.stat(codes).st_mtime_ns))


def encode_as_pieces(model: str, line: str) -> str:
    """Return one line of tokens as pieces of `model`."""
    processor = _pieces_of(model, os.stat(model).st_mtime_ns)
    return " ".join(processor.encode(line, out_type=str))

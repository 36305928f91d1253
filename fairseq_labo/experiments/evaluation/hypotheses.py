"""From the output of fairseq-generate to hypotheses, checked, in the order of the references."""

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import Texts
from fairseq_labo.experiments.files import read_lines, write_lines

KINDS = {"D": "hypotheses", "T": "references (T-)"}
UNKNOWN = "<<unk>>"  # how fairseq writes an unknown word of the reference
SUBWORD_MARKS = ("@@", "\u2581")  # of subword-nmt and of sentencepiece


def read_numbered(
    generated: Path, kind: str, *, expected: int, skipped: Collection[int] = ()
) -> list[str]:
    """Lines of a kind (D or T) of a generation log, as tokens, in the order of the test set.

    Raises UserError if they are not exactly numbers 0 to `expected` − 1 without those skipped.
    """
    pattern = re.compile(rf"{kind}-(\d+)\t(?:[^\t]*\t)?(.*)$")  # number, score of D, tokens
    matches = filter(None, map(pattern.match, read_lines(generated)))
    by_number = {int(match[1]): match[2] for match in matches}
    numbers = [number for number in range(expected) if number not in skipped]
    missing = [number for number in numbers if number not in by_number]
    if missing or len(by_number) != len(numbers):
        raise UserError(
            f"{generated}: expected {KINDS[kind]} 0 to {expected - 1}, found {len(by_number)}"
            f"{f', without number {missing[0]}' if missing else ''}; generate again with the "
            f"subset and the data that the references belong to"
        )
    return [by_number[number] for number in numbers]


def _letters(text: str) -> str:
    # NFKC, as sentencepiece normalizes text by default.
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if character.isalnum())


def text_of_tokens(corpus: PreparedCorpus) -> Callable[[str], str]:
    """What makes a line of target tokens text: Moses' detokenizer, or nothing (no tokenizer)."""
    if corpus.tokenizer == "none":
        return str
    from fairseq_labo.experiments.data.moses import detokenize

    return partial(detokenize, language=corpus.languages[1])


def check_references(
    references: Sequence[str], tokens: Sequence[str], *, detokenize: Callable[[str], str]
) -> None:
    """Raise UserError unless the binarized references are the raw ones, sentence by sentence.

    Compared are letters and digits without case, which tokenizing and lowercasing leave alone;
    sentences with unknown words are passed over. Whether subwords were joined to words is seen by
    their marks, and by spaces.
    """
    for number, (raw, line) in enumerate(zip(references, tokens, strict=True)):
        if UNKNOWN in line:
            continue
        has_mark = any(mark in line and mark not in raw for mark in SUBWORD_MARKS)
        has_lost_spaces = " " not in line and sum(map(bool, map(_letters, raw.split()))) > 1
        if has_mark or has_lost_spaces:
            raise UserError(
                f"sentence {number}: expected words, as in {raw!r}, found {line!r}: its subwords "
                "were not joined as they should be; give the kind that the data has, --subwords"
            )
        if _letters(raw) != _letters(detokenize(line)):
            raise UserError(
                f"sentence {number}: expected the raw reference {raw!r}, found {line!r} in the "
                "binarized data: they are of different texts; give the references that the data "
                "was made from, or prepare the corpus again"
            )


def read_texts(
    generated: Path,
    corpus: PreparedCorpus,
    references: Sequence[str],
    *,
    allow_empty: bool,
    skipped: Collection[int] = (),
) -> Texts:
    """Hypotheses and references of a generation log, complete and checked; UserError if not.

    Of the sentences `skipped` (numbers from 0) there are none.
    """
    tokens, targets = (
        read_numbered(generated, kind, expected=len(references), skipped=skipped) for kind in "DT"
    )
    references = [line for number, line in enumerate(references) if number not in skipped]
    detokenize = text_of_tokens(corpus)
    check_references(references, targets, detokenize=detokenize)
    empty = [number for number, line in enumerate(tokens) if not line.strip()]
    if empty and not allow_empty:
        raise UserError(
            f"expected {len(tokens)} translations, found {len(empty)} empty (the first: number "
            f"{empty[0]}); the model is undertrained or the data is not its own; --allow-empty "
            "scores them as they are"
        )
    return Texts([detokenize(line) for line in tokens], references, tokens, targets)


def write_texts(folder: Path, texts: Texts, *, language: str) -> None:
    """Hypotheses and references, one a line, without the lines that were skipped."""
    write_lines(folder / f"hyp.tok.{language}", texts.hypothesis_tokens)
    write_lines(folder / f"hyp.{language}", texts.hypotheses)
    write_lines(folder / f"ref.tok.{language}", texts.reference_tokens)

"""fairseq-generate, called in this process, with progress, its whole output kept; hypotheses of it.

Importing fairseq takes seconds, and scoring needs it too, so a process of its own would double
what a small test set costs. The hypotheses are checked, and in the order of the references.
"""

import argparse
import contextlib
import io
import logging
import re
import time
import traceback
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO
from xml.sax.saxutils import escape

from fairseq_labo.defaults import USER_DIR
from fairseq_labo.experiments.console import say, show_command
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.data.recipe import SUBWORD_MARKS
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import Texts
from fairseq_labo.experiments.evaluation.identity import LOG, TEXTS
from fairseq_labo.experiments.evaluation.lengths import MAX_LEN_A, MAX_LEN_B, Fit
from fairseq_labo.experiments.files import check_plain, read_lines, write_lines
from fairseq_labo.experiments.training.flags import value_of

PROGRESS_SECONDS = 5.0
USAGE = 2  # argparse's exit status
TRANSLATED = re.compile(r"Translated [\d,]+ sentences \([\d,]+ tokens\) in ([\d.]+)s")
RESULT_LINE = re.compile(r"[STHDPA]-\d+\t")
KINDS = {"D": "hypotheses", "T": "references (T-)"}
OURS = {"--path": "--checkpoint", "--gen-subset": "--subset"}  # fairseq's flag: ours
OURS |= {flag: flag for flag in ("--beam", "--lenpen", "--max-tokens")}
# Hypotheses would be joined or detokenized twice, and the score of tokens be one of words.
OF_CORPUS = ("--tokenizer", "--bpe", "--post-process", "--remove-bpe")
# With these it translates something else, or from the references, or does not say what.
NOT_A_TRANSLATION = (
    *("--score-reference", "--prefix-size", "-s", "--source-lang", "-t", "--target-lang"),
    *("--quiet", "--results-path", "--num-shards", "--shard-id"),
)
ESCAPED = {"|": "&#124;", "'": "&apos;", '"': "&quot;", "[": "&#91;", "]": "&#93;"}  # by Moses
UNKNOWN = "<<unk>>"  # how fairseq writes an unknown word of the reference


def arguments(
    options: argparse.Namespace, corpus: PreparedCorpus, checkpoint: Path, fit: Fit
) -> list[str]:
    """The words behind fairseq-generate, by the options of ``labo evaluate``.

    Raises UserError for a path that fairseq would take apart.
    """
    check_plain(checkpoint)
    # By default fairseq drops the last sentences if they do not fill a multiple of 8, and
    # loads data in a process of its own, for whose end torch waits 5 s.
    flags = (
        f"--task translation --gen-subset {options.subset} --beam {options.beam} "
        f"--lenpen {options.lenpen} --max-len-a {MAX_LEN_A} --max-len-b {MAX_LEN_B} "
        "--required-batch-size-multiple 1 --num-workers 0 --log-format none"
    ).split()
    flags += fit.words
    flags += ["--post-process", corpus.post_process] if corpus.post_process else []
    flags += ["--cpu"] if options.cpu else []
    places = [str(corpus.bin_dir), "--user-dir", str(USER_DIR), "--path", str(checkpoint)]
    return [*places, *flags, *options.passed_on]


def check_passed_on(options: argparse.Namespace) -> None:
    """Raise UserError for a flag behind ``--`` that is one of ours, or that leaves no scores."""
    for flag, ours in OURS.items():
        found = value_of(flag, options.passed_on)
        if found is not None:
            raise UserError(
                f"{flag}: expected it as {ours}, by which the scores are recorded, found {found} "
                f"behind --; before it, give {ours} {found}"
            )
    for flag in OF_CORPUS:
        if value_of(flag, options.passed_on) is not None:
            raise UserError(
                f"{flag}: expected none, for the corpus says how its words are parted, found one "
                "behind --; leave it out (for a folder of fairseq-preprocess: --subwords and "
                "--tokenizer, before --)"
            )
    given = {word.partition("=")[0] for word in options.passed_on}
    if wrong := [flag for flag in NOT_A_TRANSLATION if flag in given]:
        raise UserError(
            f"{wrong[0]}: expected a translation of the whole subset to score, found a flag behind "
            "-- with which fairseq-generate writes none; leave it out"
        )


def generate(words: list[str], *, output: Path, subset: str, expected: int) -> tuple[Path, float]:
    """Run fairseq-generate; return its results file and the seconds of translating alone.

    Written into `output`: generate-SUBSET.txt (the numbered results) and generate.log (the rest).
    Progress is told of `expected` sentences. Raises UserError if it fails, with the log's end.
    """
    show_command(["fairseq-generate", *words])
    results_path, log_path = output / f"generate-{subset}.txt", output / LOG
    with (
        results_path.open("w", encoding="utf-8", newline="\n") as results,
        log_path.open("w", encoding="utf-8", newline="\n") as log,
    ):
        stream = _Output(results, log, expected=expected)
        try:
            with _logged_to(log), contextlib.redirect_stdout(stream):
                _fairseq_generate(words)
        except Exception as error:
            traceback.print_exc(file=log)
            raise UserError(
                f"fairseq-generate failed, {type(error).__name__}: {error}; its output: {log_path}"
            ) from error
        stream.show()
    found = TRANSLATED.search(log_path.read_text(encoding="utf-8"))
    return results_path, float(found[1]) if found else stream.seconds


def _fairseq_generate(words: list[str]) -> None:
    from fairseq import options
    from fairseq_cli import generate as fairseq_generate

    # As fairseq-generate's entry point, without its option of speech models.
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            parsed = options.parse_args_and_arch(options.get_generation_parser(), words)
    except SystemExit as error:
        if error.code != USAGE:  # a signal's
            raise
        raise ValueError(errors.getvalue().strip().rpartition("\n")[2]) from error
    fairseq_generate.main(parsed)


@contextlib.contextmanager
def _logged_to(log: TextIO) -> Iterator[None]:
    """What is logged, and warnings, are written to `log` and nowhere else."""
    root, fairseq = logging.getLogger(), logging.getLogger("fairseq")
    handlers, levels = root.handlers, (root.level, fairseq.level)
    handler = _Handler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s | %(levelname)s | %(name)s | %(message)s"))
    root.handlers = [handler]  # so fairseq's basicConfig adds none on the redirected output
    root.setLevel(logging.INFO)
    fairseq.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.handlers = handlers
        root.setLevel(levels[0])
        fairseq.setLevel(levels[1])


class _Handler(logging.StreamHandler[TextIO]):
    """Ends what logs when the log cannot be written (the disk is full)."""

    def handleError(self, record: logging.LogRecord) -> None:
        raise


class _Output(io.TextIOBase):
    """Standard output of fairseq-generate: results to one file, the rest to the log; progress."""

    def __init__(self, results: TextIO, log: TextIO, *, expected: int) -> None:
        self.results, self.log, self.expected = results, log, expected
        self.count, self._line = 0, ""
        self._started = self._shown = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            (self.results if RESULT_LINE.match(line) else self.log).write(line + "\n")
            self.count += line.startswith("T-")
        if time.monotonic() - self._shown > PROGRESS_SECONDS:
            self.show()
        return len(text)

    def show(self) -> None:
        """One line of progress."""
        self._shown = time.monotonic()
        say(f"translated {self.count} of {self.expected} sentences, {self.seconds:.0f} s")


def read_numbered(
    generated: Path, kind: str, *, expected: int, skipped: Collection[int] = ()
) -> list[str]:
    """Lines of a kind (D or T) of a generation log, as tokens, in the order of the test set.

    Of several D of a sentence (``--nbest``) the first, which is the best.

    Raises UserError if they are not exactly numbers 0 to `expected` − 1 without those skipped.
    """
    pattern = re.compile(rf"{kind}-(\d+)\t(?:[^\t]*\t)?(.*)$")  # number, score of D, tokens
    matches = filter(None, map(pattern.match, read_lines(generated)))
    by_number: dict[int, str] = {}
    for match in matches:
        by_number.setdefault(int(match[1]), match[2])
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
    # Sentencepiece composes characters by default (NFKC), and Moses parts marks from their letters:
    # decomposed, marks are no letters.
    folded = unicodedata.normalize("NFKD", text).casefold()
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

    Compared are letters and digits without case, which tokenizing and lowercasing leave alone; of
    sentences with unknown words what stands between these, in its order. Whether subwords were
    joined to words is seen by their marks, and by spaces.
    """
    for number, (raw, line) in enumerate(zip(references, tokens, strict=True)):
        has_mark = any(mark in line and mark not in raw for mark in SUBWORD_MARKS.values())
        has_unknown = UNKNOWN in line  # which may have been a subword, with the space before it
        has_lost_spaces = (
            not has_unknown and " " not in line and sum(map(bool, map(_letters, raw.split()))) > 1
        )
        if has_mark or has_lost_spaces:
            raise UserError(
                f"sentence {number}: expected words, as in {raw!r}, found {line!r}: its subwords "
                "were not joined as they should be; give the kind that the data has, --subwords"
            )
        if has_unknown:
            is_other = not _is_around_unknown(line, raw, detokenize)
        else:
            is_other = _letters(raw) != _letters(detokenize(line))
        if is_other:
            raise UserError(
                f"sentence {number}: expected the raw reference {raw!r}, found {line!r} in the "
                "binarized data: they are of different texts; give the references that the data "
                "was made from, or prepare the corpus again"
            )


def _is_around_unknown(line: str, raw: str, detokenize: Callable[[str], str]) -> bool:
    """Whether what stands between the unknown words of a line is of the raw text.

    An unknown word may be a part of what Moses escapes, ``&#<<unk>>;``: then nothing is unescaped.
    """
    parts = line.split(UNKNOWN)
    return _hold(_letters(raw), [_letters(detokenize(part)) for part in parts]) or _hold(
        _letters(escape(raw, ESCAPED)), map(_letters, parts)
    )


def _hold(text: str, parts: Iterable[str]) -> bool:
    """Whether the parts stand in the text, in this order."""
    at = 0
    for part in parts:
        if (found := text.find(part, at)) < 0:
            return False
        at = found + len(part)
    return True


def check_binarized(corpus: PreparedCorpus, subset: str, references: Sequence[str]) -> None:
    """The same of the binarized data themselves, before they are translated."""
    tokens = binarized_references(corpus, subset, len(references))
    check_references(references, tokens, detokenize=text_of_tokens(corpus))


def binarized_references(corpus: PreparedCorpus, subset: str, count: int) -> list[str]:
    """The first `count` target sentences of the binarized data, as fairseq-generate writes them."""
    from fairseq.data import Dictionary
    from fairseq.data.data_utils import load_indexed_dataset

    source, target = corpus.languages
    dictionary = Dictionary.load(str(corpus.bin_dir / f"dict.{target}.txt"))
    path = corpus.bin_dir / f"{subset}.{source}-{target}.{target}"
    sentences = load_indexed_dataset(str(path), dictionary)
    return [
        dictionary.string(sentences[number], corpus.post_process, escape_unk=True)
        for number in range(count)
    ]


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
    columns = (texts.hypotheses, texts.hypothesis_tokens, texts.reference_tokens)
    for name, lines in zip(TEXTS, columns, strict=True):
        write_lines(folder / name.format(language), lines)

"""fairseq-generate, called in this process, with progress, its whole output kept.

Importing fairseq takes seconds, and scoring needs it too, so a process of its own would double
what a small test set costs.
"""

import argparse
import contextlib
import io
import logging
import re
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import fairseq_labo
from fairseq_labo.experiments.console import say, show_command
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.lengths import MAX_LEN_A, MAX_LEN_B, Fit

USER_DIR = Path(fairseq_labo.__file__).parent
PROGRESS_SECONDS = 5.0
USAGE = 2  # argparse's exit status
TRANSLATED = re.compile(r"Translated [\d,]+ sentences \([\d,]+ tokens\) in ([\d.]+)s")
RESULT_LINE = re.compile(r"[STHDPA]-\d+\t")


def arguments(
    options: argparse.Namespace, corpus: PreparedCorpus, checkpoint: Path, fit: Fit
) -> list[str]:
    """The words behind fairseq-generate, by the options of ``labo evaluate``.

    Raises UserError for a path that fairseq would take apart.
    """
    for path in (checkpoint, corpus.bin_dir):
        if ":" in str(path):
            raise UserError(
                f"{path}: expected a path without a colon, at which fairseq parts it into several, "
                "found one; rename the folder, or name it relative to the current one"
            )
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


def generate(words: list[str], *, output: Path, subset: str, expected: int) -> tuple[Path, float]:
    """Run fairseq-generate; return its results file and the seconds of translating alone.

    Written into `output`: generate-SUBSET.txt (the numbered results) and generate.log (the rest).
    Progress is told of `expected` sentences. Raises UserError if it fails, with the log's end.
    """
    show_command(["fairseq-generate", *words])
    results_path, log_path = output / f"generate-{subset}.txt", output / "generate.log"
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
            self.count += line.startswith("D-")
        if time.monotonic() - self._shown > PROGRESS_SECONDS:
            self.show()
        return len(text)

    def show(self) -> None:
        """One line of progress."""
        self._shown = time.monotonic()
        say(f"translated {self.count} of {self.expected} sentences, {self.seconds:.0f} s")

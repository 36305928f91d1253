"""fairseq-generate, called in this process, with progress, its whole output kept.

Importing fairseq takes seconds, and scoring needs it too, so a process of its own would double
what a small test set costs.
"""

import contextlib
import io
import logging
import re
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import fairseq_labo
from fairseq_labo.experiments.console import say, show_command
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError

USER_DIR = Path(fairseq_labo.__file__).parent
LOGGERS = ("fairseq", "fairseq_cli", "py.warnings")
PROGRESS_SECONDS = 5.0
TRANSLATED = re.compile(r"Translated [\d,]+ sentences \([\d,]+ tokens\) in ([\d.]+)s")
RESULT_LINE = re.compile(r"[STHDPA]-\d+\t")


@dataclass(frozen=True)
class GenerationSettings:
    """How to translate: beam search, batches, device, and options passed to fairseq as they are."""

    beam: int = 5
    lenpen: float = 1.0
    max_tokens: int = 4000
    cpu: bool = False
    passed_on: Sequence[str] = ()

    def arguments(self) -> list[str]:
        """Flags of fairseq-generate; hypotheses are cut at 1.2 × source length + 10 tokens."""
        # By default fairseq drops the last sentences if they do not fill a multiple of 8, and
        # loads data in a process of its own, for whose end torch waits 5 s.
        flags = (
            f"--beam {self.beam} --lenpen {self.lenpen} --max-len-a 1.2 --max-len-b 10 "
            f"--max-tokens {self.max_tokens} --required-batch-size-multiple 1 --num-workers 0 "
            "--log-format none"
        )
        return [*flags.split(), *(["--cpu"] if self.cpu else []), *self.passed_on]

    def as_json(self) -> dict[str, Any]:
        beam, lenpen, max_tokens = self.beam, self.lenpen, self.max_tokens
        extra = list(self.passed_on)
        return {"beam": beam, "lenpen": lenpen, "max_tokens": max_tokens, "extra": extra}


def generate(
    checkpoint: Path,
    corpus: PreparedCorpus,
    *,
    subset: str,
    output: Path,
    settings: GenerationSettings,
) -> tuple[Path, float]:
    """Translate a subset; return fairseq's results file and the seconds of translating alone.

    Written into `output`: generate-SUBSET.txt (the numbered results) and generate.log (the rest).
    Raises UserError if fairseq-generate fails, with the end of its log.
    """
    arguments = [str(corpus.bin_dir), "--user-dir", str(USER_DIR), "--task", "translation"]
    arguments += ["--path", str(checkpoint), "--gen-subset", subset]
    arguments += ["--post-process", corpus.post_process] if corpus.post_process else []
    arguments += settings.arguments()
    show_command(["fairseq-generate", *arguments])
    results_path, log_path = output / f"generate-{subset}.txt", output / "generate.log"
    with (
        results_path.open("w", encoding="utf-8", newline="\n") as results,
        log_path.open("w", encoding="utf-8", newline="\n") as log,
    ):
        stream = _Output(results, log, expected=corpus.num_sentences(subset))
        try:
            with _logged_to(log), contextlib.redirect_stdout(stream):
                _fairseq_generate(arguments)
        except (Exception, SystemExit) as error:
            traceback.print_exc(file=log)
            log.flush()
            lines = log_path.read_text(encoding="utf-8").splitlines()
            raise UserError(
                f"fairseq-generate failed; the end of {log_path}:\n" + "\n".join(lines[-15:])
            ) from error
        stream.show()
    found = TRANSLATED.search(log_path.read_text(encoding="utf-8"))
    return results_path, float(found[1]) if found else stream.seconds


def _fairseq_generate(arguments: list[str]) -> None:
    from fairseq import options
    from fairseq_cli import generate as fairseq_generate

    # As fairseq-generate's entry point, without its option of speech models.
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            parsed = options.parse_args_and_arch(options.get_generation_parser(), arguments)
    except SystemExit as error:
        raise ValueError(errors.getvalue().strip()) from error
    fairseq_generate.main(parsed)


@contextlib.contextmanager
def _logged_to(log: TextIO) -> Iterator[None]:
    """fairseq's loggers, and warnings, write to `log` and nowhere else."""
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s | %(levelname)s | %(name)s | %(message)s"))
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    # fairseq calls basicConfig, which installs a handler on the redirected standard output unless
    # the root logger has one.
    root = logging.getLogger()
    root.addHandler(placeholder := logging.NullHandler())
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(placeholder)
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


class _Output(io.TextIOBase):
    """Standard output of fairseq-generate: results to one file, the rest to the log; progress."""

    def __init__(self, results: TextIO, log: TextIO, *, expected: int) -> None:
        self.results, self.log, self.expected = results, log, expected
        self.count, self._line = 0, ""
        self._started = self._shown = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def writable(self) -> bool:
        return True

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

"""fairseq-generate, called in this process, with progress, its whole output kept.

Importing fairseq takes seconds, and scoring needs it too, so a process of its own would double
what a small test set costs.
"""

import contextlib
import io
import logging
import re
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from fairseq_labo.experiments.command import show_command
from fairseq_labo.experiments.errors import UserError

USER_DIR = Path(__file__).parents[2]
LOGGERS = ("fairseq", "fairseq_cli", "py.warnings")
PROGRESS_SECONDS = 5.0
TRANSLATED = re.compile(r"Translated [\d,]+ sentences \([\d,]+ tokens\) in ([\d.]+)s")
RESULT_LINE = re.compile(r"[STHDPA]-\d+\t")


@dataclass(frozen=True)
class GenerationSettings:
    """How to translate: beam search, batches, device, and options passed to fairseq as they are.

    post_process: fairseq's name of the subwords that are joined to tokens.
    """

    beam: int = 5
    lenpen: float = 1.0
    max_tokens: int = 4000
    cpu: bool = False
    extra: tuple[str, ...] = ()
    post_process: str = "subword_nmt"

    def arguments(self) -> list[str]:
        """Flags of fairseq-generate; hypotheses are cut at 1.2 × source length + 10 tokens."""
        return [
            *("--beam", str(self.beam), "--lenpen", str(self.lenpen)),
            *("--max-len-a", "1.2", "--max-len-b", "10", "--max-tokens", str(self.max_tokens)),
            # By default fairseq drops the last sentences if they do not fill a multiple of 8.
            *("--required-batch-size-multiple", "1", "--post-process", self.post_process),
            *("--log-format", "none", *(["--cpu"] if self.cpu else []), *self.extra),
        ]

    def as_json(self) -> dict[str, Any]:
        return {
            "beam": self.beam,
            "lenpen": self.lenpen,
            "max_tokens": self.max_tokens,
            "extra": list(self.extra),
        }


def generate(
    checkpoint: Path,
    *,
    data: Path,
    subset: str,
    output: Path,
    expected: int,
    settings: GenerationSettings,
) -> tuple[Path, float]:
    """Translate a subset; return fairseq's results file and the seconds of translating alone.

    Written into `output`: generate-SUBSET.txt (the numbered results) and generate.log (the rest).
    Raises UserError if fairseq-generate fails, with the end of its log.
    """
    arguments = [str(data / "bin"), "--user-dir", str(USER_DIR), "--task", "translation"]
    arguments += ["--path", str(checkpoint), "--gen-subset", subset, *settings.arguments()]
    show_command(["fairseq-generate", *arguments])
    results_path, log_path = output / f"generate-{subset}.txt", output / "generate.log"
    with (
        results_path.open("w", encoding="utf-8", newline="\n") as results,
        log_path.open("w", encoding="utf-8", newline="\n") as log,
    ):
        stream = _Output(results, log, expected=expected)
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

    # What the entry point itself does, but for an option of speech models.
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
    # fairseq calls basicConfig, which must find something, or it takes the redirected output.
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
        print(
            f"translated {self.count} of {self.expected} sentences, {self.seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )

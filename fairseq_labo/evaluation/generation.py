"""fairseq-generate in a process of its own, with progress, its whole output kept."""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labo_data.text import DataError

from fairseq_labo.evaluation.cli import show_command

USER_DIR = Path(__file__).parent.parent
PROGRESS_SECONDS = 5.0
TRANSLATED = re.compile(r"Translated [\d,]+ sentences \([\d,]+ tokens\) in ([\d.]+)s")
RESULT_LINE = re.compile(rb"[STHDPA]-\d+\t")


@dataclass(frozen=True)
class GenerationSettings:
    """How to translate: beam search, batches, device, and options passed to fairseq as they are."""

    beam: int = 5
    lenpen: float = 1.0
    max_tokens: int = 4000
    cpu: bool = False
    extra: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """Flags of fairseq-generate; hypotheses are cut at 1.2 × source length + 10 tokens."""
        return [
            *("--beam", str(self.beam), "--lenpen", str(self.lenpen)),
            *("--max-len-a", "1.2", "--max-len-b", "10", "--max-tokens", str(self.max_tokens)),
            # By default fairseq drops the last sentences if they do not fill a multiple of 8.
            *("--required-batch-size-multiple", "1", "--post-process", "subword_nmt"),
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
    Raises DataError if fairseq-generate fails, with the end of its log.
    """
    command = [sys.executable, "-m", "fairseq_cli.generate", str(data / "bin")]
    command += ["--user-dir", str(USER_DIR), "--task", "translation", "--path", str(checkpoint)]
    command += ["--gen-subset", subset, *settings.arguments()]
    show_command(command)
    results, log_path = output / f"generate-{subset}.txt", output / "generate.log"
    started = shown = time.monotonic()
    count = 0
    with (
        results.open("wb") as numbered,
        log_path.open("wb") as log,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:  # bytes: lines end at "\n" only
            (numbered if RESULT_LINE.match(line) else log).write(line)
            count += line.startswith(b"D-")
            if line.startswith(b"D-") and time.monotonic() - shown > PROGRESS_SECONDS:
                shown = time.monotonic()
                _show(count, expected, shown - started)
    if process.returncode != 0:
        raise DataError(
            f"fairseq-generate failed with status {process.returncode}; the end of {log_path}:\n"
            + "\n".join(log_path.read_text(encoding="utf-8").splitlines()[-15:])
        )
    _show(count, expected, time.monotonic() - started)
    found = TRANSLATED.search(log_path.read_text(encoding="utf-8"))
    return results, float(found[1]) if found else time.monotonic() - started


def _show(count: int, expected: int, seconds: float) -> None:
    print(
        f"translated {count} of {expected} sentences, {seconds:.0f} s", file=sys.stderr, flush=True
    )

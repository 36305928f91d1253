"""Trainings in processes of their own: started, found, waited for."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.checkpoints import load_checkpoint
from fairseq_labo.experiments.cli import parse
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.training.presets import fairseq_arguments
from tests.conftest import TINY_MODEL
from tests.training.runs import fairseq_train

LABO = [sys.executable, "-m", "fairseq_labo.experiments.cli"]
SECONDS = 120  # that a training may take on a busy machine
# A checkpoint at every second update, so that many kills fall into the writing of one; batches
# formed anew in every epoch, so that an interruption changes nothing.
FLAGS = [
    *TINY_MODEL, "--dropout", "0.1", "--max-tokens", "320", "--lr", "5e-3",
    "--save-interval-updates", "2", "--keep-interval-updates", "2", "--log-interval", "1",
    "--update-epoch-batch-itr", "True",
]  # fmt: skip


def command(data: Path, save_dir: Path, *passed_on: object, updates: int) -> list[str]:
    words = [*LABO, "train", "--gpus", "0"]
    words += ["--data", str(data), "--save-dir", str(save_dir), "--epochs", "100", "--"]
    return [*words, *FLAGS, "--max-update", str(updates), *map(str, passed_on)]


def labo(words: list[str], **options: Any) -> subprocess.Popen[str]:
    """Start a command, which hears signals even if these tests are run by nohup in a script."""
    options = {"preexec_fn": hear_signals, **options}
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


def hear_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def ended(words: list[str], **options: Any) -> tuple[int, str]:
    """The exit status and the messages of a command; no traceback is among what it shows."""
    with labo(words, **options) as process:
        printed, said = process.communicate(timeout=SECONDS)
    assert "Traceback" not in printed + said
    return process.returncode, said


def processes_of(save_dir: Path) -> dict[int, str]:
    """Processes, but for dead ones, that have the folder on their command line."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"\0{save_dir}\0" in words:
            found[int(path.parent.name)] = words
    return found


def wait_until(
    condition: Callable[[], object], seconds: float = SECONDS, *, interval: float = 0.02
) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(interval)
    return bool(condition())


def updates_of(path: Path) -> int:
    return int(load_checkpoint(path)["optimizer_history"][-1]["num_updates"])


def in_process(words: list[str], save_dir: Path) -> str:
    """The training that a command starts, in this process; its log."""
    options = parse(words[words.index("train") :])
    data, *flags = fairseq_arguments(options, PreparedCorpus.read(options.data))
    return fairseq_train(data, save_dir, *flags).output

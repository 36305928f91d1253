"""Run the planned processes of a training: state, lock, logs, failures, signals, memory.

The commands are shown on standard error, progress on standard output; the whole output of the
first process goes to train.log in the save-dir, that of others to logs beside it.
"""

import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from pathlib import Path
from typing import IO

from fairseq_labo.experiments.checkpoints import CHECKPOINTS, CORPUS, record_corpus
from fairseq_labo.experiments.console import say, show_command
from fairseq_labo.experiments.data.intact import check_intact
from fairseq_labo.experiments.data.prepared import PreparedCorpus, check_no_corpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import check_plain, locked, read_json, write_json
from fairseq_labo.experiments.processes import end_with
from fairseq_labo.experiments.training.flags import value_of
from fairseq_labo.experiments.training.inquiry import apart
from fairseq_labo.experiments.training.launch_plan import Launch
from fairseq_labo.experiments.training.log import (
    MAIN_LOG,
    close,
    ended_by,
    follow,
    reached_stage_2,
)
from fairseq_labo.experiments.training.mending import LAST_CHECKPOINT
from fairseq_labo.experiments.training.progress import check_begun_with, corpus_begun, state_of

ENDING_SECONDS = 20  # for a process to end before it is killed
RESOURCES = "resources.json"
LENGTHS = ("--smoothing-epochs", "--smoothing-updates")  # of the first stage
# Linux counts KiB, macOS bytes.
RSS_PER_MIB = 1024 * 1024 if sys.platform == "darwin" else 1024


def check_folder(save_dir: Path) -> None:
    """Raise UserError if no folder can be made there, or none that fairseq can evaluate in."""
    check_plain(save_dir)
    check_no_corpus(save_dir)
    nearest = next(path for path in (save_dir, *save_dir.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise UserError(f"--save-dir: expected a folder, found a file at {nearest}; give another")


def train_in(
    save_dir: Path, launch: Launch, training: list[str], *, mending: bool = True,
    corpus: PreparedCorpus | None = None,
) -> int:  # fmt: skip
    """Train, unless the run is finished, as the only one in `save_dir`; the exit status.

    With `mending`, a damaged last checkpoint gives way to the newest good one. Beside the
    checkpoints it is recorded of which `corpus` they are. After a training, resources.json holds
    its `seconds` (if `resumed`, of the last part alone), and as `peak_memory_mib` the largest
    resident set of any of its processes on this machine.
    """
    first = launch.log == MAIN_LOG
    # Several machines or tasks of one training share the folder, each with a log of its own.
    with locked(save_dir, name=".lock" if first else f".{launch.log}.lock") as lock:
        if first and corpus:
            check_intact(corpus.bin_dir, corpus.languages, splits=splits_of(training))
            prior = value_of("--label-prior", training) or "uniform"
            told = isinstance(read_json(save_dir / CORPUS), dict)
            by_fairseq = not told and any(save_dir.glob(CHECKPOINTS))  # it was at work there
            begun = apart(corpus_begun, save_dir) if by_fairseq else None
            record_corpus(save_dir, corpus, counted=prior != "uniform", begun=begun)
        if is_finished(training, save_dir=save_dir, mending=mending, first=first):
            return 0
        if first and (others := begins_with(training, save_dir)):
            apart(check_begun_with, others)
        began, resumed = time.monotonic(), any(save_dir.glob(CHECKPOINTS))
        status = run(launch, save_dir=save_dir, inherited=(lock,))
        if status == 0 and first:
            # The kernel counts a process's memory from what its parent held when it started it.
            # That is this process, which is smaller than any training, and not who started it.
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / RSS_PER_MIB
            seconds = round(time.monotonic() - began, 1)
            used = {"seconds": seconds, "resumed": resumed, "peak_memory_mib": round(peak)}
            write_json(save_dir / RESOURCES, used)
            say_if_no_stage_2(training, save_dir / MAIN_LOG)
    return status


def begins_with(training: list[str], save_dir: Path) -> dict[str, Path]:
    """By its flag, the checkpoints of other trainings that are there and will be read."""
    flags = ["--teacher-path"]
    # Once the run has its own, fairseq goes on from that.
    flags += [] if (save_dir / LAST_CHECKPOINT).exists() else ["--finetune-from-model"]
    given = {flag: Path(value_of(flag, training) or "") for flag in flags}
    return {flag: path for flag, path in given.items() if path.is_file()}


def say_if_no_stage_2(training: list[str], log: Path) -> None:
    """A warning for a training of two stages that has ended, early or not, in the first."""
    given = [f"{flag} {value}" for flag in LENGTHS if (value := value_of(flag, training))]
    if given and log.exists() and not reached_stage_2(log):
        say(
            f"warning: the training has ended in its first stage ({given[0]}): no update was on "
            "one-hot targets"
        )


def splits_of(training: list[str]) -> list[str]:
    """The splits that fairseq-train reads."""
    valid = (value_of("--valid-subset", training) or "valid").split(",")
    skipped = "--disable-validation" in training
    return [value_of("--train-subset", training) or "train", *([] if skipped else valid)]


def is_finished(
    training: list[str], *, save_dir: Path, mending: bool = True, first: bool = True
) -> bool:
    """Whether nothing is left to train; says so, or what a resume does.

    Raises UserError for a checkpoint that cannot be gone on from; but not on a machine that is
    not the `first`, which alone reads and mends them.
    """
    named = any(value_of(flag, training) for flag in ("--restore-file", "--continue-once"))
    if not named and not any(save_dir.glob(CHECKPOINTS)):
        return False
    try:
        mending = mending and first
        finished, messages = apart(state_of, training, save_dir, MAIN_LOG, mending)
    except (UserError, OSError):
        if first:
            raise
        return False
    except Exception as error:
        # Arguments or a checkpoint that fairseq-train will refuse, too, with its own words.
        finished = False
        why = textwrap.shorten(f"{type(error).__name__}: {error}", 200)
        messages = [f"could not read how far this run is: {why}"]
    for message in messages:
        say(message)
    if finished and first:
        close(save_dir / MAIN_LOG)
    return bool(finished)


def run(launch: Launch, *, save_dir: Path, inherited: tuple[int, ...] = ()) -> int:
    """Run the commands at the same time; the exit status, that of the first that failed.

    The processes hold the file descriptors `inherited` for as long as they live. Of one that
    failed it is said what ended it.
    """
    save_dir.mkdir(parents=True, exist_ok=True)
    others = [f"train.worker-{rank}.log" for rank in range(1, len(launch.commands))]
    logs = [save_dir / name for name in (launch.log, *others)]
    sizes = [log.stat().st_size if log.exists() else 0 for log in logs]
    processes: list[subprocess.Popen[str]] = []
    failed: list[int] = []
    ending = threading.Event()

    def watch(number: int) -> None:
        """Wait for a process; if it is the first that failed, say why, and end the main one."""
        status = processes[number].wait()
        if status != 0 and not failed and not ending.is_set():
            failed.append(status)
            who = f"worker {number}" if number else "the training"
            how = signal.Signals(-status).name if status < 0 else f"status {status}"
            why = ended_by(logs[number], since=sizes[number], how=how)
            say(f"error: {who} ended with {why}")
            processes[0].terminate()

    try:
        for log, command in zip(logs, launch.commands, strict=True):
            show_command(command)
            with log.open("a", encoding="utf-8") as output:
                # Of the first the output is read here, and written to its log.
                to = output if processes else subprocess.PIPE
                processes.append(_start(command, output=to, inherited=inherited))
        for number in range(1, len(processes)):  # no thread before: see preexec_fn
            threading.Thread(target=watch, args=(number,), daemon=True).start()
        follow(processes[0].stdout or [], logs[0])
        watch(0)
        if not failed:  # the others end with it
            failed += [process.wait() for process in processes[1:]]
    finally:
        ending.set()
        _end(processes)
    status = next(filter(None, failed), 0)
    return status if status >= 0 else 128 - status


def _start(
    command: list[str], *, output: IO[str] | int, inherited: tuple[int, ...]
) -> subprocess.Popen[str]:
    # Else a killed labo train would leave a training without a log, which holds the folder's lock.
    # By SIGTERM, which torchrun passes on to its workers.
    with_us = partial(end_with, os.getpid(), signal.SIGTERM) if sys.platform == "linux" else None
    return subprocess.Popen(
        command,
        stdout=output,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        # fairseq logs by it, and its log is what tells how a training went.
        env={**os.environ, "LOGLEVEL": "INFO"},
        pass_fds=inherited,
        preexec_fn=with_us,
    )


def _end(processes: list[subprocess.Popen[str]]) -> None:
    # A second signal would leave the rest alive.
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    for process in processes:
        process.terminate()  # does nothing to one that has ended
    for process in processes:
        try:
            process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for number, handler in before.items():
        signal.signal(number, handler)

"""Run the planned processes of a training: state, lock, logs, failures, signals, memory.

The commands are shown on standard error, progress on standard output; the whole output of the
first process goes to train.log in the save-dir, that of others to logs beside it.
"""

import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.console import say, show_command
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import locked, write_json
from fairseq_labo.experiments.training.apart import apart
from fairseq_labo.experiments.training.flags import value_of
from fairseq_labo.experiments.training.launch_plan import Launch
from fairseq_labo.experiments.training.log import follow
from fairseq_labo.experiments.training.run_state import state_of_arguments

ENDING_SECONDS = 20  # for a process to end before it is killed
MAIN_LOG = "train.log"
RESOURCES = "resources.json"
# Linux counts KiB, macOS bytes.
RSS_PER_MIB = 1024 * 1024 if sys.platform == "darwin" else 1024


def check_folder(save_dir: Path) -> None:
    """Raise UserError if no folder can be made there."""
    nearest = next(path for path in (save_dir, *save_dir.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise UserError(f"--save-dir: expected a folder, found a file at {nearest}; give another")


def train_in(save_dir: Path, launch: Launch, training: list[str]) -> int:
    """Train, unless the run is finished, as the only one in `save_dir`; the exit status.

    After a training, resources.json holds its `seconds`, and as `peak_memory_mib` the largest
    resident set of any of its processes on this machine.
    """
    first = launch.log == MAIN_LOG
    # Several machines or tasks of one training share the folder, each with a log of its own.
    with locked(save_dir, name=".lock" if first else f".{launch.log}.lock") as lock:
        if is_finished(training, save_dir=save_dir):
            return 0
        began = time.monotonic()
        status = run(launch, save_dir=save_dir, lock=lock)
        if status == 0 and first:
            seconds = round(time.monotonic() - began, 1)
            write_json(
                save_dir / RESOURCES, {"seconds": seconds, "peak_memory_mib": peak_memory_mib()}
            )
    return status


def peak_memory_mib() -> int:
    """The largest resident set of any process that this one has started and awaited.

    The kernel counts a process's memory from what its parent held when it started it. That is
    this process, which is smaller than any training, and not who started this one.
    """
    return round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / RSS_PER_MIB)


def is_finished(training: list[str], *, save_dir: Path) -> bool:
    """Whether nothing is left to train; says so, or what a resume does."""
    if (
        not (save_dir / "checkpoint_last.pt").exists()
        and value_of("--restore-file", training) is None
    ):
        return False
    try:
        state = apart(state_of_arguments, training, save_dir / MAIN_LOG)
    except Exception as error:
        # Arguments or a checkpoint that fairseq-train will refuse, too, with its own words.
        say(f"could not read how far this run is: {type(error).__name__}: {error}")
        return False
    if state.finished:
        say(
            f"finished: {state.finished} ({state.checkpoint}). Nothing is trained. To train "
            f"on, raise the limit; to train afresh, take another --save-dir"
        )
        return True
    if state.rebuilds_batches:
        say(
            f"warning: resuming in epoch {state.epoch}: fairseq, with any criterion, forms "
            f"other batches than without the interruption, so the result will differ a little. "
            f"With '-- --update-epoch-batch-itr True' from the start it forms them anew in every "
            f"epoch, and a restart changes nothing"
        )
    return False


def run(launch: Launch, *, save_dir: Path, lock: int | None = None) -> int:
    """Run the commands at the same time; the exit status, that of the first that failed.

    The processes hold `lock`, a file descriptor, for as long as they live.
    """
    save_dir.mkdir(parents=True, exist_ok=True)
    processes: list[subprocess.Popen[str]] = []
    failed: list[int] = []
    ending = threading.Event()

    def start(command: list[str], output: Any) -> None:
        show_command(command)
        processes.append(
            subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                pass_fds=() if lock is None else (lock,),
            )
        )

    def watch(process: subprocess.Popen[str], log: Path) -> None:
        """When a worker fails, end the first, which would wait for it."""
        if (status := process.wait()) != 0 and not ending.is_set():
            failed.append(status)
            say(f"error: a worker failed with status {status}; its output: {log}")
            processes[0].terminate()

    try:
        start(launch.commands[0], subprocess.PIPE)
        for rank, command in enumerate(launch.commands[1:], start=1):
            log = save_dir / f"train.worker-{rank}.log"
            with log.open("a", encoding="utf-8") as output:
                start(command, output)
            threading.Thread(target=watch, args=(processes[-1], log), daemon=True).start()
        follow(processes[0].stdout or [], save_dir / launch.log)
        if (status := processes[0].wait()) != 0:
            failed.append(status)
        else:  # the others end with it
            failed += [status for process in processes[1:] if (status := process.wait()) != 0]
    finally:
        ending.set()
        _end(processes)
    if not failed:
        return 0
    return failed[0] if failed[0] > 0 else 128 - failed[0]


def _end(processes: list[subprocess.Popen[str]]) -> None:
    # A second signal would leave the rest alive.
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for number, handler in before.items():
        signal.signal(number, handler)

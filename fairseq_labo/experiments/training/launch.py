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

from fairseq_labo.experiments.console import say, show_command
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import locked, write_json
from fairseq_labo.experiments.training.flags import value_of
from fairseq_labo.experiments.training.inquiry import LAST_CHECKPOINT, apart, progress_of
from fairseq_labo.experiments.training.launch_plan import MAIN_LOG, Launch
from fairseq_labo.experiments.training.log import follow

ENDING_SECONDS = 20  # for a process to end before it is killed
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
        status = run(launch, save_dir=save_dir, inherited=(lock,))
        if status == 0 and first:
            # The kernel counts a process's memory from what its parent held when it started it.
            # That is this process, which is smaller than any training, and not who started it.
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / RSS_PER_MIB
            seconds = round(time.monotonic() - began, 1)
            write_json(save_dir / RESOURCES, {"seconds": seconds, "peak_memory_mib": round(peak)})
    return status


def is_finished(training: list[str], *, save_dir: Path) -> bool:
    """Whether nothing is left to train; says so, or what a resume does."""
    named = value_of("--restore-file", training) is not None
    if not named and not (save_dir / LAST_CHECKPOINT).exists():
        return False
    try:
        finished, message = apart(progress_of, training, save_dir / MAIN_LOG)
    except Exception as error:
        # Arguments or a checkpoint that fairseq-train will refuse, too, with its own words.
        finished = False
        message = f"could not read how far this run is: {type(error).__name__}: {error}"
    if message:
        say(message)
    return bool(finished)


def run(launch: Launch, *, save_dir: Path, inherited: tuple[int, ...] = ()) -> int:
    """Run the commands at the same time; the exit status, that of the first that failed.

    The processes hold the file descriptors `inherited` for as long as they live.
    """
    save_dir.mkdir(parents=True, exist_ok=True)
    others = [f"train.worker-{rank}.log" for rank in range(1, len(launch.commands))]
    processes: list[subprocess.Popen[str]] = []
    statuses: list[int] = []
    ending = threading.Event()

    def watch(process: subprocess.Popen[str], log: Path) -> None:
        """When a worker fails, end the first, which would wait for it."""
        if (status := process.wait()) != 0 and not ending.is_set():
            statuses.append(status)
            say(f"error: a worker failed with status {status}; its output: {log}")
            processes[0].terminate()

    try:
        for name, command in zip([launch.log, *others], launch.commands, strict=True):
            show_command(command)
            with (save_dir / name).open("a", encoding="utf-8") as output:
                process = subprocess.Popen(
                    command,
                    stdout=output if processes else subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    encoding="utf-8",
                    errors="replace",
                    pass_fds=inherited,
                )
            if processes:
                worker = (process, save_dir / name)
                threading.Thread(target=watch, args=worker, daemon=True).start()
            processes.append(process)
        follow(processes[0].stdout or [], save_dir / launch.log)
        statuses.append(processes[0].wait())
        if statuses[-1] == 0:  # the others end with it
            statuses += [process.wait() for process in processes[1:]]
    finally:
        ending.set()
        _end(processes)
    status = next(filter(None, statuses), 0)
    return status if status >= 0 else 128 - status


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

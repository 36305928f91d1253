"""Run what is missing of a study: in parallel, resumable after a kill at any point.

A step is done when its result file exists, and result files are renamed into place whole:
train.json after training, SUBSET-scores/scores.json after an evaluation. Whatever was under way
at a kill is taken up again: training from fairseq's last checkpoint, an evaluation from its start.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq_labo.experiments import provenance as machine
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.hypotheses import Corpus
from fairseq_labo.experiments.files import read_json, write_json
from fairseq_labo.experiments.studies.run import Run
from fairseq_labo.experiments.training.log import read_training_log

TRAINED = "train.json"
LOG = "run.log"
TAIL_LINES = 15


class _Stopped(Exception):
    """Another run failed or the user stopped: begin nothing more."""


@dataclass
class Runner:
    """Runs of one study on this machine; `jobs` of them at a time.

    threads: OMP_NUM_THREADS of each run. lock: descriptor of the study's lock, which the runs
    inherit, so that one that outlives a killed compare.sh still holds it.
    """

    corpus: Corpus
    jobs: int
    threads: int
    lock: int | None = None
    _processes: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _lock: Any = field(default_factory=threading.RLock)
    _stopped: bool = False

    def complete(self, runs: Sequence[Run], *, subsets: Sequence[str]) -> None:
        """Train and evaluate every run that is not done yet.

        Raises UserError at the end, with the end of the log of each run that failed; the others
        are completed all the same.
        """
        for run in runs:
            run.claim(self.corpus)
        waiting = [run for run in runs if not is_done(run, subsets)]
        show(f"{len(runs) - len(waiting)} of {len(runs)} runs done before, {len(waiting)} to do, "
             f"{self.jobs} at a time, {self.threads} threads each")  # fmt: skip
        with ThreadPoolExecutor(max_workers=self.jobs) as pool:
            futures = [pool.submit(self._run, run, tuple(subsets)) for run in waiting]
            failures = []
            try:
                for future in as_completed(futures):
                    error = future.exception()
                    if isinstance(error, UserError):
                        show(str(error).partition(":")[0] + ": failed")
                        failures.append(str(error))
                    else:
                        future.result()
            except BaseException:
                self.stop()
                raise
        if failures:
            raise UserError("\n".join(failures))

    def stop(self) -> None:
        """End the processes under way, and begin no others."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                _signal(process, signal.SIGTERM)

    def _run(self, run: Run, subsets: Sequence[str]) -> None:
        try:
            if not (run.folder / TRAINED).exists():
                self._train(run)
            for subset in subsets:
                if run.scores(subset) is None:
                    seconds, _ = self._execute(run, run.evaluate_command(subset))
                    show(f"{run.name}: {subset} scored in {seconds:.0f} s")
        except _Stopped:
            return

    def _train(self, run: Run) -> None:
        mend_last_checkpoint(run.folder)
        environment = {
            **machine.describe_machine(),
            "processor": machine.processor_name(),
            "jobs": self.jobs,
            "threads": self.threads,
            "keeps_freed_memory": bool(machine.keep_freed_memory()),
        }
        write_json(run.folder / "environment.json", environment)
        seconds, peak_mib = self._execute(run, run.train_command())
        log = read_training_log(run.folder / "train.log")
        trained = {"seconds": round(seconds, 1), "peak_memory_mib": round(peak_mib)}
        gpu_mib = machine.peak_gpu_mib(log.least_gpu_gib_free)
        if gpu_mib is not None:
            trained["peak_gpu_memory_mib"] = round(gpu_mib)
        write_json(run.folder / TRAINED, {**trained, "resumed": log.resumed})
        show(f"{run.name}: trained in {seconds:.0f} s")

    def _execute(self, run: Run, command: Sequence[str]) -> tuple[float, float]:
        """Run a command, output added to the run's log; its seconds and peak memory in MiB.

        The peak is the largest resident set of any process in it.
        """
        environment = {
            **machine.keep_freed_memory(),
            **os.environ,
            "OMP_NUM_THREADS": str(self.threads),
        }
        # The scripts use the virtual environment that this process runs in.
        environment.setdefault("VENV", sys.prefix)
        log_path = run.folder / LOG
        started = time.monotonic()
        with log_path.open("ab") as log:
            with self._lock:
                if self._stopped:
                    raise _Stopped
                process = subprocess.Popen(
                    command,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    pass_fds=() if self.lock is None else (self.lock,),
                    start_new_session=True,  # so that all of it can be ended
                )
                self._processes.add(process)
            _, status, usage = os.wait4(process.pid, 0)
        with self._lock:
            self._processes.discard(process)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            if self._stopped:
                raise _Stopped
            lines = log_path.read_text(encoding="utf-8", errors="replace").splitlines()
            raise UserError(
                f"{run.name}: a command failed with status {process.returncode}; run again to "
                f"take it up; the end of {log_path}:\n" + "\n".join(lines[-TAIL_LINES:])
            )
        return time.monotonic() - started, usage.ru_maxrss / _RSS_PER_MIB


# Linux counts KiB, macOS bytes.
_RSS_PER_MIB = 1024 * 1024 if sys.platform == "darwin" else 1024


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def is_done(run: Run, subsets: Sequence[str]) -> bool:
    """Whether the run is trained and evaluated on all `subsets`."""
    trained = (run.folder / TRAINED).exists()
    return trained and all(run.scores(subset) is not None for subset in subsets)


def mend_last_checkpoint(folder: Path) -> None:
    """Put checkpoint_best.pt in the place of a checkpoint_last.pt that a kill cut off.

    fairseq writes the best checkpoint whole and then copies it to the last; a kill during the
    copy leaves a last one that cannot be read, and the best is the state that was being copied
    (or one from before, from which training goes on as it did). Without a best one training
    starts afresh. The damaged file is kept beside it.
    """
    last, best = folder / "checkpoint_last.pt", folder / "checkpoint_best.pt"
    if not last.exists() or _is_whole(last):
        return
    last.replace(folder / "damaged_checkpoint_last.pt")
    if best.exists() and _is_whole(best):
        partial = folder / "checkpoint_last.pt.part"
        shutil.copyfile(best, partial)
        partial.replace(last)
    show(f"{last} was cut off: going on from {'the best one' if last.exists() else 'the start'}")


def _is_whole(checkpoint: Path) -> bool:
    # A zip file's directory stands at its end.
    return zipfile.is_zipfile(checkpoint)


def read_trained(run: Run) -> dict[str, Any]:
    """train.json of a finished training."""
    found = read_json(run.folder / TRAINED)
    if not isinstance(found, dict):
        raise UserError(f"{run.folder}: expected a finished training, found none; run compare.sh")
    return found


def show(line: str) -> None:
    """One line of progress, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)

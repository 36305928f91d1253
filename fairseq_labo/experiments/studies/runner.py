"""Run what is missing of a study: in parallel, resumable after a kill at any point.

A step is done when its result file exists, and result files are renamed into place whole:
train.json after training, SUBSET-scores/scores.json after an evaluation. Whatever was under way
at a kill is taken up again: training from fairseq's last checkpoint, an evaluation from its start.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq_labo.experiments import provenance
from fairseq_labo.experiments.checkpoints import CHECKPOINTS
from fairseq_labo.experiments.console import say
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, write_json
from fairseq_labo.experiments.studies.records import (
    ENVIRONMENT,
    TRAINED,
    Records,
    is_without_checkpoint,
    release,
)
from fairseq_labo.experiments.studies.run import Run
from fairseq_labo.experiments.studies.schema import read_entries
from fairseq_labo.experiments.studies.scores import Trained
from fairseq_labo.experiments.training.flags import value_of
from fairseq_labo.experiments.training.launch import RESOURCES
from fairseq_labo.experiments.training.log import MAIN_LOG, read_training_log

PEAK = "peak_memory_mib"
RUN_LOG = "run.log"
TAIL_LINES = 15


class _Stopped(Exception):
    """Another run failed or the user stopped: begin nothing more."""


@dataclass
class Runner:
    """Runs of one study on this machine; `jobs` of them at a time.

    threads: OMP_NUM_THREADS of each run. lock: descriptor of the study's lock, which the runs
    inherit, so that one that outlives a killed labo compare still holds it. records: where those
    of finished runs are taken from, and added to. train_again: runs whose checkpoints are needed
    and gone, as those of records are.
    """

    corpus: PreparedCorpus
    jobs: int
    threads: int
    lock: int | None = None
    records: Records | None = None
    train_again: bool = False
    _processes: set[subprocess.Popen[bytes]] = field(default_factory=set)
    # Names of runs: those left out, and why; trained again; teachers of runs that are missing.
    _gone: dict[str, str] = field(default_factory=dict)
    _again: set[str] = field(default_factory=set)
    _teaching: set[str] = field(default_factory=set)
    _ended: dict[str, threading.Event] = field(default_factory=dict)  # trainings, by run
    _lock: Any = field(default_factory=threading.RLock)
    _stopped: bool = False

    def complete(self, runs: Sequence[Run], *, evaluations: Sequence[str]) -> None:
        """Train and evaluate every run that is not done yet; teachers that it needs are trained.

        Raises UserError at the end, with the end of the log of each run that failed, and for runs
        whose checkpoints are needed and gone; the others are completed all the same.
        """
        self._gone, self._teaching = {}, set()
        ordered = list(self._claim(runs, evaluations).values())
        scored = {run.name for run in runs}
        steps = {run.name: tuple(evaluations) if run.name in scored else () for run in ordered}
        if self.records:
            for run in runs:
                if is_done(run, evaluations):
                    self.records.keep(run, evaluations)
        missing = [run for run in ordered if not is_done(run, steps[run.name])]
        waiting = [
            run
            for run in missing
            if not {each.name for each in (run, *run.teachers)} & self._gone.keys()
        ]
        before = f"{len(ordered) - len(missing)} of {len(ordered)} runs done before"
        how = f"{self.jobs} at a time, {self.threads} thread{'s' * (self.threads != 1)} each"
        show(f"{before}, {len(waiting)} to do, {how}")
        if self._gone:
            show(f"left out, for their checkpoints are gone: {', '.join(self._gone)}")
        self._ended = {run.name: threading.Event() for run in waiting}
        failures = list(self._gone.values())
        with ThreadPoolExecutor(max_workers=self.jobs) as pool:
            try:
                futures = [pool.submit(self._run, run, steps[run.name]) for run in waiting]
                for future in as_completed(futures):
                    error = future.exception()
                    if isinstance(error, UserError):
                        show(str(error).partition(":")[0] + ": failed")
                        failures.append(str(error))
                    else:
                        future.result()
            except BaseException:  # a signal too, which the command line raises as SystemExit
                self.stop()
                raise
        if failures:
            raise UserError("\n".join(failures))

    def _claim(
        self, runs: Sequence[Run], evaluations: Sequence[str], *, teach: bool = False
    ) -> dict[str, Run]:
        """Claim the runs, take over what is recorded; all that are needed, by name.

        Teachers first, so that a run that waits for its teacher does not keep it from beginning.
        """
        for run in runs:
            self._claim_one(run)
            if gone := _is_gone(run, evaluations, teach=teach):
                if self.train_again:
                    release(run)
                    self._again.add(run.name)
                    show(f"{run.name}: trained again, for its checkpoints are needed and gone")
                else:
                    self._gone[run.name] = gone
            if teach:
                self._teaching.add(run.name)
        untaught = [run for run in runs if run.teacher and not is_done(run, ())]
        teachers = {run.teacher.name: run.teacher for run in untaught if run.teacher}
        needed = self._claim(list(teachers.values()), (), teach=True) if teachers else {}
        return {**needed, **{run.name: run for run in runs}}

    def take_over(self, runs: Sequence[Run]) -> None:
        """Take over those runs that are recorded."""
        for run in runs:
            if self.records and self.records.has(run):
                self._claim_one(run)

    def _claim_one(self, run: Run) -> None:
        run.claim(self.corpus)
        self._take_over(run)

    def _take_over(self, run: Run) -> None:
        if self.records and run.name not in self._again and self.records.take_over(run):
            show(f"{run.name}: taken over from its record")

    def stop(self) -> None:
        """End the processes under way, and begin no others."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)

    def _run(self, run: Run, evaluations: Sequence[str]) -> None:
        with contextlib.suppress(_Stopped):
            try:
                if not is_done(run, ()):
                    self._wait_for_teacher(run)
                    if run.name not in self._teaching:
                        self._take_over(run)  # another process may have trained it meanwhile
                if not is_done(run, ()):
                    self._train(run)
                elif gone := _is_gone(run, evaluations):
                    raise UserError(gone)
            finally:
                self._ended[run.name].set()
            for name in evaluations:
                if run.scores(name) is None:
                    seconds = self._execute(run, run.evaluate_command(name))
                    show(f"{run.name}: {name} scored in {seconds:.0f} s")
            if self.records and evaluations:
                self.records.keep(run, evaluations)

    def _wait_for_teacher(self, run: Run) -> None:
        """Until it is trained; UserError if its training failed."""
        if run.teacher is None:
            return
        if ended := self._ended.get(run.teacher.name):
            ended.wait()
        if not is_done(run.teacher, ()):
            if self._stopped:
                raise _Stopped
            raise UserError(
                f"{run.name}: expected its teacher {run.teacher.name} to be trained, found that "
                "this failed; mend that and run again"
            )

    def _train(self, run: Run) -> None:
        path = run.folder / ENVIRONMENT
        before, begun = _written(run.folder / RESOURCES), read_json(path)
        arguments = run.train_arguments()
        on_cpu = value_of("--gpus", arguments) == "0" or "--cpu" in arguments
        environment = {
            **provenance.describe_machine(cpu=on_cpu),
            "processor": provenance.processor_name(),
            "jobs": self.jobs,
            "threads": self.threads,
            "keeps_freed_memory": bool(provenance.keep_freed_memory()),
        }
        if begun and any(run.folder.glob(CHECKPOINTS)):  # goes on, here or elsewhere
            unchanged = environment.items() <= begun.items()
            environment = begun if unchanged else {**environment, "begun": begun}
        write_json(path, environment)
        took = self._execute(run, run.train_command())
        log = read_training_log(run.folder / MAIN_LOG)
        # Of the training process itself: what wait4 says of a child begins at its parent's size.
        resources = read_entries(run.folder / RESOURCES, Trained) or {}
        if resources and before == _written(run.folder / RESOURCES):
            # It had outlived a killed labo compare, and ended before this one.
            write_json(path, begun or environment)
        trained = {"seconds": resources.get("seconds"), PEAK: resources.get(PEAK)}
        if (gpu_mib := provenance.peak_gpu_mib(log.least_gpu_gib_free)) is not None:
            trained["peak_gpu_memory_mib"] = round(gpu_mib)
        resumed = resources.get("resumed", log.resumed)
        write_json(run.folder / TRAINED, {**trained, "resumed": resumed})
        show(f"{run.name}: trained in {took:.0f} s")

    def _execute(self, run: Run, command: Sequence[str]) -> float:
        """Run a command, output added to the run's log; return its seconds."""
        threads = {"OMP_NUM_THREADS": str(self.threads)}
        environment = {**provenance.keep_freed_memory(), **os.environ, **threads}
        log_path = run.folder / RUN_LOG
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
            status = process.wait()
        with self._lock:
            self._processes.discard(process)
        if status != 0:
            if self._stopped:
                raise _Stopped
            lines = log_path.read_text(encoding="utf-8", errors="replace").splitlines()
            raise UserError(
                f"{run.name}: a command failed with status {status}; run again to take it up; the "
                f"end of {log_path}:\n" + "\n".join(lines[-TAIL_LINES:])
            )
        return time.monotonic() - started


def _written(path: Path) -> int | None:
    """When a file was written, if it is there."""
    return path.stat().st_mtime_ns if path.exists() else None


def is_done(run: Run, evaluations: Sequence[str]) -> bool:
    """Whether the run is trained and evaluated on all `evaluations`."""
    trained = (run.folder / TRAINED).exists()
    return trained and all(run.scores(name) is not None for name in evaluations)


def _is_gone(run: Run, evaluations: Sequence[str], *, teach: bool = False) -> str | None:
    """What to say of a trained run whose checkpoints are needed and gone, else None."""
    needs = [name for name in evaluations if run.scores(name) is None]
    needs += ["a run that it teaches"] * teach
    if not needs or not is_without_checkpoint(run):
        return None
    return (
        f"{run.name}: expected its checkpoints in {run.folder}, for what is missing "
        f"({', '.join(needs)}), found none: run that with the --output that it was trained in, or "
        "give --train-again"
    )


def show(line: str) -> None:
    """One line of progress, with the time of day."""
    say(f"{time.strftime('%H:%M:%S')} {line}")

"""Stages of work whose outputs appear only when they are complete, and are made only once.

A stage writes into a folder of its own beside its outputs, which then get their names by
renaming. `work/stages.json` records what each was made from (settings, and the hashes of the
files it read) and what it made (hashes, counts): a stage is skipped when all of that still holds
and the record is as it was written.
A run that was killed leaves complete stages and one folder that the next run removes.
"""

import os
import reprlib
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import is_sealed, read_json, sealed, sha256_of, write_json

WORK = "work"
RECORDS = f"{WORK}/stages.json"
PARTIAL = ".partial-"

Record = dict[str, Any]


class Seconds(NamedTuple):
    """Time on the clock, and of processors (with the processes that have ended)."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Stage:
    """One step: `run(folder)` writes `folder`/output for each of `outputs`, returns counts.

    `outputs` are folders, as named in the destination. `settings` are all that decides them
    beside the outputs of the stages in `reads`. `lines` of the counts gives the speed.
    """

    name: str
    outputs: tuple[str, ...]
    settings: Mapping[str, Any]
    run: Callable[[Path], Mapping[str, Any]]
    reads: tuple[str, ...] = ()


@dataclass
class StageRunner:
    """Runs the stages of one destination folder; only one at a time per folder.

    `before_work` is called before each stage that runs, `on_change` before each output.
    """

    destdir: Path
    _: KW_ONLY
    before_work: Callable[[], None] = lambda: None
    on_change: Callable[[], None] = lambda: None
    force: bool = False

    def __post_init__(self) -> None:
        self.seconds: dict[str, Seconds] = {}  # of the stages that ran
        records = read_json(self.destdir / RECORDS)
        found = records.items() if isinstance(records, dict) else ()
        self._records: dict[str, Record] = {name: x for name, x in found if is_sealed(x)}

    def is_done(self, stage: Stage) -> bool:
        """Return whether the outputs of `stage` are there, whole, and made from the same."""
        record = self._records.get(stage.name)
        return (
            record is not None
            and all(name in self._records for name in stage.reads)
            and record["made_from"] == self._made_from(stage)
            and self._is_whole(record)
        )

    def run(self, stages: Sequence[Stage]) -> dict[str, Record]:
        """Run the stages that are not done, in order; return all their records."""
        for leftover in (self.destdir / WORK).glob(f"{PARTIAL}*"):
            shutil.rmtree(leftover)
        checked = False
        for number, stage in enumerate(stages):
            if self.force or not self.is_done(stage):
                if not checked:  # what comes after it may be made again, too: before any work
                    for later in stages[number:]:
                        self._check_nothing_is_lost(later)
                checked = True
                self._run(stage)
        return {stage.name: self._records[stage.name] for stage in stages}

    def _is_whole(self, record: Record) -> bool:
        """Whether all that it names is there as it was; a user's files may be beside it."""
        paths = {self.destdir / name: digest for name, digest in record["files"].items()}
        return all(path.is_file() and sha256_of(path) == paths[path] for path in paths)

    def _check_nothing_is_lost(self, stage: Stage, made: Mapping[str, str] | None = None) -> None:
        """Raise UserError if the stage's folders, which are replaced, hold what is not of it.

        Without a record that tells, what is not the same in the files that were `made` (hashes).
        """
        there = self._files(stage, self.destdir)
        if record := self._records.get(stage.name):
            others = there.keys() - record["files"].keys()
        elif made is not None:
            others = {name for name in there if sha256_of(there[name]) != made.get(name)}
        else:
            return
        if others:
            raise UserError(
                f"{self.destdir}: expected only what labo prepare wrote in folders that are made "
                f"again, found {reprlib.repr(sorted(others))} too; move that elsewhere, or choose "
                "another --destdir"
            )

    def _run(self, stage: Stage) -> None:
        self.before_work()
        started = _now()
        record = self._records.get(stage.name)
        if record is not None and not self._is_whole(record):
            self.on_change()  # what was finished is damaged
        # Another name in every run: a process that a killed run left behind cannot write into it.
        work = self.destdir / WORK
        with tempfile.TemporaryDirectory("", PARTIAL, work, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            for output in stage.outputs:
                (folder / output).mkdir(parents=True)
            made_from = self._made_from(stage)
            counts = dict(stage.run(folder))
            made = self._files(stage, folder)
            files = {name: sha256_of(path) for name, path in made.items()}
            if record is None:
                self._check_nothing_is_lost(stage, files)
            self.on_change()
            # From here on until the end: made from nothing, and the old files or the new ones.
            both = {**record["files"], **files} if record else files
            self._records[stage.name] = sealed({"made_from": None, "files": both, "counts": {}})
            self._write_records()
            for output in stage.outputs:
                if (self.destdir / output).exists():
                    shutil.rmtree(self.destdir / output)
                (folder / output).rename(self.destdir / output)
        record = {"made_from": made_from, "files": files, "counts": counts}
        self._records[stage.name] = sealed(record)
        self._write_records()
        wall, cpu = (end - start for start, end in zip(started, _now(), strict=True))
        self.seconds[stage.name] = Seconds(wall, cpu)
        lines = counts.get("lines")
        speed = f", {lines:,} lines, {lines / max(wall, 1e-9):,.0f} lines/s" if lines else ""
        print(f"{stage.name}: {wall:.1f} s{speed}", flush=True)

    def _write_records(self) -> None:
        write_json(self.destdir / RECORDS, dict(sorted(self._records.items())))

    def _made_from(self, stage: Stage) -> dict[str, Any]:
        inputs = {name: self._records[name]["files"] for name in stage.reads}
        return {"settings": dict(stage.settings), "inputs": inputs}

    def _files(self, stage: Stage, folder: Path) -> dict[str, Path]:
        paths = [path for output in stage.outputs for path in sorted((folder / output).rglob("*"))]
        return {str(path.relative_to(folder)): path for path in paths if path.is_file()}


def link_or_copy(source: Path, target: Path) -> None:
    """Give `source` a second name, or copy it where the file system cannot."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _now() -> Seconds:
    return Seconds(time.perf_counter(), sum(os.times()[:4]))

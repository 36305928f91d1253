"""Records of finished runs: all that a report reads of a run, without its checkpoints.

A record is small and holds no paths, so it can be committed; a study that lost its machine takes
it over and trains only what has no record. Its files are those of the run's folder: config.json,
environment.json, the reports of each epoch and validation of train.log, the translations and
scores.json of each evaluation (the scores alone, with another beam than the study's), train.json
(last: without it there is no record). Of the corpus's own text there is none. Beside the runs:
choices.json, the settings that were chosen.
"""

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.checkpoints import CHECKPOINTS
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.evaluation.identity import CONFIG, SCORES
from fairseq_labo.experiments.files import locked, read_lines, whole, write_json, write_lines
from fairseq_labo.experiments.studies.run import Run
from fairseq_labo.experiments.studies.schema import VALIDATION_SUBSET, read_entries
from fairseq_labo.experiments.studies.scores import Environment, Scores, Trained
from fairseq_labo.experiments.studies.search import CHOICES
from fairseq_labo.experiments.studies.study import Study, setting_name
from fairseq_labo.experiments.training.log import MAIN_LOG, read_training_log, recorded

ENVIRONMENT, TRAINED = "environment.json", "train.json"
LOCK = ".records.lock"


@dataclass(frozen=True)
class Records:
    """The records of a study's runs in one folder, by the runs' names.

    Several processes may share it: one at a time reads or writes, and a record is replaced whole.
    """

    folder: Path
    corpus: PreparedCorpus

    def _alone(self) -> AbstractContextManager[int]:
        """Not the lock of an output folder, which may be the same one."""
        return locked(self.folder, name=LOCK, wait=True)

    def has(self, run: Run) -> bool:
        """Whether there is a whole record of the run."""
        with self._alone():
            return (self._record(run) / TRAINED).is_file()

    def _record(self, run: Run) -> Path:
        """The folder of a run's record; what a kill left under another name gets its own again."""
        record = self.folder / run.name
        old = _beside(record, "old")
        if not record.exists() and (old / TRAINED).is_file():
            old.rename(record)
        return record

    def take_over(self, run: Run) -> bool:
        """Copy what a claimed run has not, but its record has; whether there was anything.

        That is all of it where training has not begun, or where another training is recorded than
        the one whose checkpoints are gone here; of the same training, evaluations.

        Raises UserError if the record is of other settings, whether training has begun or not, or
        damaged: then nothing is copied.
        """
        with self._alone():
            return self._take_over(run)

    def _take_over(self, run: Run) -> bool:
        record = self._record(run)
        is_whole = (record / TRAINED).is_file()
        if is_whole or (record / CONFIG).exists():  # also where it would be written over
            self._check_settings(record, run)
        if not is_whole:
            return False
        begun = (run.folder / MAIN_LOG).exists()
        names = [path.name for path in record.glob("*-scores")]
        files = [ENVIRONMENT, TRAINED, MAIN_LOG]  # the log last: with it nothing is copied again
        if begun and _bytes(record / TRAINED) == _bytes(run.folder / TRAINED):
            names = [name for name in names if not (run.folder / name / SCORES).exists()]
            files = []  # its own log is longer than the record's
        elif begun and not stale(run, record):
            return False
        if not (names or files):
            return False
        self._check(record, run)
        if begun and files:
            release(run)
        for name in names:
            for path in sorted((record / name).iterdir()):
                _copy(path, run.folder / name / path.name)
        for name in files:
            _copy(record / name, run.folder / name)
        return True

    def share_choices(self, study: Study, root: Path) -> None:
        """What was chosen by a search, in `root` or in the records, is chosen in both.

        Raises UserError where they have another choice for a method: the test sets are scored for
        one. A study without test sets may change it.
        """
        with self._alone():
            self._share_choices(study, root)

    def _share_choices(self, study: Study, root: Path) -> None:
        paths = root / CHOICES, self.folder / CHOICES
        here, there = (read_entries(path, dict[str, dict[str, str]]) or {} for path in paths)
        for name in here.keys() & there.keys():
            if here[name] != there[name] and study.tests != (VALIDATION_SUBSET,):
                raise UserError(
                    f"{paths[0]}: expected {setting_name(there[name])} as the choice for {name}, "
                    f"as in {self.folder}, found {setting_name(here[name])}; the test set is "
                    "scored for one choice: give another --records, or another --output"
                )
        merged = {**there, **here}
        for path, before in zip(paths, (here, there), strict=True):
            if merged != before:
                write_json(path, merged)

    def keep(self, run: Run, evaluations: Sequence[str]) -> None:
        """Write the record of a run that is trained and has these evaluations.

        Raises UserError if it cannot be written.
        """
        try:
            with self._alone():
                self._share_choices(run.study, run.root)  # before the scores made for a choice
                self._replace(self._record(run), run, evaluations)
        except OSError as error:
            raise UserError(
                f"{self.folder / run.name}: expected a record that can be written, found an error: "
                f"{error.strerror}; mend that, and run again: nothing is trained for it"
            ) from error

    def _replace(self, record: Path, run: Run, evaluations: Sequence[str]) -> None:
        """Put the whole record in its place, with earlier evaluations of the same training.

        What the search found stays, too: its choice rests on that. Another training's record is
        left as it is by a run whose own checkpoints are gone.
        """
        if stale(run, record):
            return
        part, old = _beside(record, "new"), _beside(record, "old")
        for path in (part, old):
            shutil.rmtree(path, ignore_errors=True)
        if _bytes(record / TRAINED) == _bytes(run.folder / TRAINED):
            shutil.copytree(record, part)
        searched = [VALIDATION_SUBSET] if run.scores(VALIDATION_SUBSET) else []
        for evaluation in {*evaluations, *searched}:
            scores = run.scores_folder(evaluation)
            for name in (*self._texts(run, evaluation), SCORES):
                _copy(scores / name, part / scores.name / name)
        if not (part / CONFIG).exists():  # an older one knows less of its corpus than this folder's
            _copy(run.folder / CONFIG, part / CONFIG)
        for name in (ENVIRONMENT, TRAINED):
            _copy(run.folder / name, part / name)
        write_lines(part / MAIN_LOG, recorded(read_lines(run.folder / MAIN_LOG)))
        if _content(part) == _content(record):
            return shutil.rmtree(part)
        if record.exists():
            record.rename(old)
        part.rename(record)
        shutil.rmtree(old, ignore_errors=True)

    def _texts(self, run: Run, evaluation: str) -> list[str]:
        """Names of the translations that a report reads; with another beam there are none."""
        if run.study.evaluation(evaluation)[0] != evaluation:
            return []
        language, tokens = self.corpus.languages[1], CONVENTIONS[run.study.score].tokens
        return [f"hyp.{language}", *([f"hyp.tok.{language}"] * tokens)]

    def _check_settings(self, record: Path, run: Run) -> None:
        found = read_entries(record / CONFIG, dict[str, Any])
        if different := run.differs(found or {}, self.corpus):
            raise UserError(
                f"{record}: expected the record of a run with the study's present settings, found "
                f"another {', '.join(different)}; give another --records, or remove that folder"
            )

    def _check(self, record: Path, run: Run) -> None:
        """Raise UserError for a damaged record: a run that took it over would be lost.

        And for one without the tokens of its translations, where the study's score is of them.
        """
        for evaluation in run.study.evaluations:
            folder = record / run.scores_folder(evaluation).name
            tokens = [name for name in self._texts(run, evaluation) if ".tok." in name]
            lacking = [name for name in tokens if not (folder / name).exists()]
            if folder.exists() and lacking:
                raise UserError(
                    f"{folder}: expected the tokens of the translations, which score: "
                    f"{run.study.score} is of, found no {', '.join(lacking)}; run the study with "
                    "the --output that it was trained in, and these --records, or give score: bleu"
                )
        try:
            for name, shape in ((TRAINED, Trained), (ENVIRONMENT, Environment)):
                _read(record / name, shape)
            read_training_log(record / MAIN_LOG)
            for evaluation in (*run.study.evaluations, VALIDATION_SUBSET):  # no earlier beams
                folder = record / run.scores_folder(evaluation).name
                if not folder.exists():
                    continue
                scores = _read(folder / SCORES, Scores)
                for name in self._texts(run, evaluation):
                    found = sum(1 for _ in read_lines(folder / name))
                    if found != (expected := scores["subset"]["sentences"]):
                        raise UserError(
                            f"{folder / name}: expected {expected} lines, found {found}"
                        )
        except (UserError, OSError) as error:
            raise UserError(
                f"{record}: expected a whole record, found a damaged one; restore it, or remove "
                f"that folder, and the run is trained again ({error})"
            ) from error


def is_without_checkpoint(run: Run) -> bool:
    """Whether a run is trained and its checkpoints are gone, as those of a record are."""
    return (run.folder / TRAINED).exists() and not any(run.folder.glob(CHECKPOINTS))


def stale(run: Run, record: Path) -> bool:
    """Whether a run without checkpoints is of another training than its record."""
    recorded = _bytes(record / TRAINED)
    other = recorded is not None and recorded != _bytes(run.folder / TRAINED)
    return other and is_without_checkpoint(run)


def release(run: Run) -> None:
    """Let a run be trained again.

    The scores of the search stay, for its choice; those at the end are to be of one checkpoint.
    """
    for evaluation in run.study.evaluations:  # first: killed after this it is released again
        if (scores := run.scores_folder(evaluation)).exists():
            shutil.rmtree(scores)
    (run.folder / TRAINED).unlink()
    (run.folder / MAIN_LOG).unlink(missing_ok=True)


def _read(path: Path, shape: Any) -> Any:
    if (found := read_entries(path, shape)) is None:
        raise UserError(f"{path}: expected a file, found none")
    return found


def _beside(record: Path, name: str) -> Path:
    return record.with_name(f"{record.name}.{name}.part")


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _content(folder: Path) -> dict[Path, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def _copy(source: Path, target: Path) -> None:
    with whole(target) as part:
        shutil.copyfile(source, part)

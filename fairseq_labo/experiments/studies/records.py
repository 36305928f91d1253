"""Records of finished runs: all that a report reads of a run, without its checkpoints.

A record is small and holds no paths, so it can be committed; a study that lost its machine takes
it over and trains only what has no record. Its files are those of the run's folder: config.json,
environment.json, the reports of each epoch and validation of train.log, the translations and
scores.json of each evaluation (the scores alone, with another beam than the study's), train.json
(last: without it there is no record).
"""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.files import read_lines, write_lines
from fairseq_labo.experiments.studies.run import Run
from fairseq_labo.experiments.studies.schema import read_entries
from fairseq_labo.experiments.training.log import is_recorded

CONFIG, ENVIRONMENT, TRAINED, LOG = "config.json", "environment.json", "train.json", "train.log"


@dataclass(frozen=True)
class Records:
    """The records of a study's runs in one folder, by the runs' names."""

    folder: Path
    corpus: PreparedCorpus

    def take_over(self, run: Run) -> bool:
        """Copy the record of a claimed run whose training has not begun; whether there was one.

        Raises UserError if the record is of other settings.
        """
        record = self.folder / run.name
        if (run.folder / LOG).exists() or not (record / TRAINED).is_file():
            return False
        found = read_entries(record / CONFIG, dict[str, Any])
        expected = json.loads(json.dumps(run.config(self.corpus)))
        if found != expected:
            different = [key for key in expected if (found or {}).get(key) != expected[key]]
            raise UserError(
                f"{record}: expected the record of a run with the study's present settings, found "
                f"another {', '.join(different)}; give another --records, or remove that folder"
            )
        for path in sorted(record.glob("*-scores/*")):
            _copy(path, run.folder / path.relative_to(record))
        for name in (ENVIRONMENT, TRAINED, LOG):  # the log last: with it nothing is copied again
            _copy(record / name, run.folder / name)
        return True

    def keep(self, run: Run, evaluations: Sequence[str]) -> None:
        """Write the record of a run that is trained and has these evaluations."""
        record, language = self.folder / run.name, self.corpus.languages[1]
        tokens = CONVENTIONS[run.study.score].tokens
        texts = [f"hyp.{language}", *([f"{of}.tok.{language}" for of in ("hyp", "ref")] * tokens)]
        for evaluation in evaluations:
            scores, (subset, _) = run.scores_folder(evaluation), run.study.evaluation(evaluation)
            for name in (*(texts if evaluation == subset else ()), "scores.json"):
                _copy(scores / name, record / scores.name / name)
        for name in (CONFIG, ENVIRONMENT):
            _copy(run.folder / name, record / name)
        write_lines(record / LOG, filter(is_recorded, read_lines(run.folder / LOG)))
        _copy(run.folder / TRAINED, record / TRAINED)


def release(run: Run) -> bool:
    """Let a run be trained again if its checkpoints are gone, as those of a record are; whether so.

    Its scores stay.
    """
    if not (run.folder / TRAINED).exists() or any(run.folder.glob("checkpoint*.pt")):
        return False
    (run.folder / TRAINED).unlink()
    (run.folder / LOG).unlink(missing_ok=True)
    return True


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    shutil.copyfile(source, part)
    os.replace(part, target)

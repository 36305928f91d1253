"""The choice of a grid's setting: by the validation set alone, and made once."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_json, write_json
from fairseq_labo.experiments.studies.run import search_runs
from fairseq_labo.experiments.studies.study import VALIDATION_SUBSET, Study, setting_name

CHOICES = "choices.json"


@dataclass(frozen=True)
class Candidate:
    """A setting and its metric on the validation set: the mean over the search's seeds."""

    setting: Mapping[str, str]
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)


def candidates(study: Study, root: Path, method: str) -> list[Candidate] | None:
    """Every setting of a method's grid with its values, or None if some are still missing."""
    values: dict[str, list[float]] = {}
    settings: dict[str, Mapping[str, str]] = {}
    for run in search_runs(study, root):
        if run.method != method:
            continue
        scores = run.scores(VALIDATION_SUBSET)
        if scores is None:
            return None
        name = setting_name(run.setting)
        settings[name] = run.setting
        values.setdefault(name, []).append(float(scores[study.search.metric]["score"]))
    return [Candidate(settings[name], tuple(each)) for name, each in values.items()]


def best(among: Sequence[Candidate], metric: str) -> Candidate:
    """The candidate of the lowest mean NLL, or the highest mean score; the first of equals."""
    sign = 1 if metric == "nll" else -1
    return min(among, key=lambda candidate: sign * candidate.mean)


def choose(study: Study, root: Path) -> dict[str, dict[str, str]]:
    """The chosen setting of every grid whose search is complete.

    A choice is written down before its test scores exist, and stays: if the validation scores
    come to say something else (a larger grid, another metric), that is an error, for the test set
    would be scored for a second choice.

    Raises UserError if a choice has changed.
    """
    path = root / CHOICES
    recorded: dict[str, dict[str, str]] = read_json(path) or {}
    choices = {}
    for name, method in study.methods.items():
        among = candidates(study, root, name) if method.grid else None
        if among is None:
            continue
        setting = dict(best(among, study.search.metric).setting)
        before = recorded.get(name, setting)
        if before != setting:
            raise UserError(
                f"{path}: expected {setting_name(before)} to stay the choice for {name}, "
                f"found {setting_name(setting)} better on {VALIDATION_SUBSET}; the test set was "
                "scored for the first choice and is scored once: start the larger search in "
                "another --output"
            )
        choices[name] = setting
    if choices and {**recorded, **choices} != recorded:
        write_json(path, {**recorded, **choices})
    return choices

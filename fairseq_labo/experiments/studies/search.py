"""The choice of a grid's setting: by the validation set alone, and made once."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field

from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import write_json
from fairseq_labo.experiments.studies.run import Choices, run_of
from fairseq_labo.experiments.studies.schema import VALIDATION_SUBSET, Number, read_entries
from fairseq_labo.experiments.studies.study import Study, setting_name

CHOICES = "choices.json"
MEASURED = ("nll_bits", "ece")  # beside the score, of every setting


@dataclass(frozen=True)
class Candidate:
    """A setting and its metric on the validation set, of each of the search's seeds.

    measures: means over the seeds of the study's score ("score"), "nll_bits" and "ece"; older
    results have none.
    """

    setting: Mapping[str, str]
    values: Annotated[tuple[Number, ...], Field(min_length=1)]
    measures: Mapping[str, float] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)


def candidates(
    study: Study, root: Path, method: str, corpus: PreparedCorpus, *, choices: Choices
) -> list[Candidate] | None:
    """Every setting of a method's grid with its values, or None if some are still missing.

    choices: those of the methods above it, of which one may teach it. Raises UserError for runs of
    other settings than the study's.
    """
    found = []
    for setting in study.methods[method].settings():
        scores = []
        for seed in study.search_seeds:
            run = run_of(study, root, method, seed, choices=choices, setting=setting)
            if run is None or not run.check(corpus):
                return None
            if (each := run.scores(VALIDATION_SUBSET)) is None:
                return None
            scores.append(each)
        values = tuple(float(each[study.search.metric]["score"]) for each in scores)
        measures = {"score": statistics.fmean(each[study.score]["score"] for each in scores)}
        for key in MEASURED:
            measures[key] = statistics.fmean(each["calibration"][key] for each in scores)
        found.append(Candidate(setting, values, measures))
    return found


def best(among: Sequence[Candidate], metric: str) -> Candidate:
    """The candidate of the lowest mean NLL, or the highest mean score; the first of equals."""
    sign = 1 if metric == "nll" else -1
    return min(among, key=lambda candidate: sign * candidate.mean)


def choose(study: Study, root: Path, corpus: PreparedCorpus) -> dict[str, dict[str, str]]:
    """The chosen setting of every grid whose search is complete.

    A choice is written down before its test scores exist, and stays: if the validation scores
    come to say something else (a larger grid, another metric), that is an error, for the test set
    would be scored for a second choice.

    Raises UserError if a choice has changed, and for runs of other settings than the study's.
    """
    path = root / CHOICES
    recorded = read_entries(path, dict[str, dict[str, str]]) or {}
    choices = dict[str, dict[str, str]]()
    for name in study.searched:
        if (among := candidates(study, root, name, corpus, choices=choices)) is None:
            continue
        choices[name] = setting = dict(best(among, study.search.metric).setting)
        before = recorded.get(name, setting)
        if before != setting and study.tests != (VALIDATION_SUBSET,):
            raise UserError(
                f"{path}: expected {setting_name(before)} to stay the choice for {name}, "
                f"found {setting_name(setting)} better on {VALIDATION_SUBSET}; the test set was "
                "scored for the first choice and is scored once: start the larger search in "
                "another --output"
            )
    if {**recorded, **choices} != recorded:
        write_json(path, {**recorded, **choices})
    return choices

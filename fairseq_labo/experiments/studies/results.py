"""The results of a study: everything that the report shows, and all that results.json holds.

`Results` is written to results.json and read from it again; it holds no paths.
"""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.evaluation.published import PAPER_TASKS
from fairseq_labo.experiments.studies.beams import BeamScore
from fairseq_labo.experiments.studies.differences import Difference
from fairseq_labo.experiments.studies.run import run_name
from fairseq_labo.experiments.studies.schema import (
    Model,
    Name,
    Number,
    Wrong,
    one_of,
    read_entries,
)
from fairseq_labo.experiments.studies.scores import Environment, Scores, Trained
from fairseq_labo.experiments.studies.search import Candidate
from fairseq_labo.experiments.studies.significance import Comparison
from fairseq_labo.experiments.studies.study import setting_name
from fairseq_labo.experiments.studies.translations import Translation
from fairseq_labo.experiments.training.log import Validation

ROUNDED = 0.006  # scores.json has two decimals


class CorpusResult(Model):
    """Which corpus it was."""

    name: str
    languages: tuple[str, str]
    raw_sha256: dict[str, str] | None


class SearchResult(Model):
    """By method: every setting of its grid with the metric's values, and the chosen one."""

    metric: str
    seeds: tuple[int, ...]
    methods: dict[str, Annotated[tuple[Candidate, ...], Field(min_length=1)]]
    choices: dict[str, dict[str, str]]


class RunResult(Model):
    """One run: scores.json of each test set, its training, what it ran on.

    words_per_second: median over epochs of fairseq's target tokens per second. validation_bleu:
    fairseq's, by updates, where trainings were told to compute it. beams: by test set and width
    of the search, where the study has several.
    """

    method: Name
    setting: dict[str, str]
    seed: int
    train_arguments: tuple[str, ...]
    evaluate_arguments: tuple[str, ...]
    checkpoint: str
    scores: dict[Name, Scores]
    compared: dict[str, Comparison]
    validations: Annotated[tuple[Validation, ...], Field(min_length=1)]
    stage_switch_updates: int | None
    words_per_second: Number
    trained: Trained
    environment: Environment
    validation_bleu: dict[int, Number] = Field(default_factory=dict)
    beams: dict[Name, dict[int, BeamScore]] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        return run_name(self.method, self.setting, self.seed)


class Signatures(Model):
    """Of sacreBLEU's paired bootstrap and approximate randomization."""

    bs: str
    ar: str


class Results(Model):
    """All runs in the order of the study; the searches; signatures of the significance tests."""

    study: str
    description: str
    corpus: CorpusResult
    baseline: str
    score: Annotated[str, one_of(CONVENTIONS)]
    significance: Signatures
    search: SearchResult
    runs: tuple[RunResult, ...] = Field(min_length=1)
    # Files from before have none of these.
    paper: Annotated[str, one_of(PAPER_TASKS)] | None = None
    translations: dict[str, tuple[Translation, ...]] = Field(default_factory=dict)
    differences: dict[str, dict[str, Difference]] = Field(default_factory=dict)
    note: str = ""

    @property
    def methods(self) -> dict[str, list[RunResult]]:
        """Runs by method."""
        methods: dict[str, list[RunResult]] = {}
        for run in self.runs:
            methods.setdefault(run.method, []).append(run)
        return methods

    @property
    def tests(self) -> list[str]:
        return list(self.runs[0].scores)

    @property
    def seeds(self) -> list[int]:
        return list(dict.fromkeys(run.seed for run in self.runs))

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        wrong = []
        if self.baseline not in self.methods:
            names = ", ".join(self.methods)
            wrong.append(f"baseline: expected one of {names}, found {self.baseline!r}")
        for name, runs in self.methods.items():
            if (seeds := [run.seed for run in runs]) != self.seeds:
                wrong.append(f"runs: expected seeds {self.seeds} of {name}, found {seeds}")
        bins = {
            len(each["calibration"]["bins"]) for run in self.runs for each in run.scores.values()
        }
        if len(bins) > 1:
            wrong.append(f"runs: expected one number of calibration bins, found {sorted(bins)}")
        for number, run in enumerate(self.runs):
            for name in ("scores", "compared"):
                if (tests := list(getattr(run, name))) != self.tests:
                    wrong.append(f"runs.{number}.{name}: expected {self.tests}, found {tests}")
            if (widths := _widths(run)) != (expected := _widths(self.runs[0])):
                wrong.append(f"runs.{number}.beams: expected {expected}, found {widths}")
        others = [name for name in self.methods if name != self.baseline]
        for test, of_methods in self.differences.items():
            allowed = others if len(self.seeds) > 1 else []  # one seed has none
            if test not in self.tests or {*of_methods} not in (set(), {*allowed}):
                wanted = f"those of {allowed} on one of {self.tests}"
                wrong.append(f"differences.{test}: expected {wanted}, found {list(of_methods)}")
        wrong += _wrong_choices(self.search)
        if wrong:
            raise Wrong(*wrong)
        return self


def _widths(run: RunResult) -> dict[str, list[int]]:
    return {test: list(scores) for test, scores in run.beams.items()}


def _wrong_choices(search: SearchResult) -> Iterator[str]:
    """What is wrong with the choices of the search: one of the settings of each method."""
    of = [", ".join(names) for names in (search.methods, search.choices)]
    if search.methods.keys() != search.choices.keys():
        wanted, found = (f"those of {names}" if names else "none" for names in of)
        yield f"search.choices: expected {wanted}, found {found}"
    for name, choice in search.choices.items():
        settings = [dict(each.setting) for each in search.methods.get(name, ())]
        if settings and choice not in settings:
            yield (
                f"search.choices.{name}: expected one of the settings in search.methods, found "
                f"{setting_name(choice)}"
            )


def read_results(path: Path) -> Results:
    """A results.json; UserError with a line for each entry that is not as expected."""
    results: Results | None = read_entries(path, Results)
    if results is None:
        raise UserError(f"{path}: expected a study's results.json, found none")
    if wrong := [f"{path}: {line}" for line in _contradictions(results)]:
        raise UserError("\n".join([*wrong[:-1], f"{wrong[-1]}; restore the file"]))
    return results


def _contradictions(results: Results) -> Iterator[str]:
    """Scores and differences that are others than those that were tested, which are not rounded."""
    for number, run in enumerate(results.runs):
        for test, compared in run.compared.items():
            found = run.scores[test][results.score]["score"]
            if abs(found - compared.score) > ROUNDED:
                place = f"runs.{number}.scores.{test}.{results.score}.score"
                yield f"{place}: expected {compared.score:.2f}, as in compared, found {found}"
    for test, differences in results.differences.items():
        means = {
            name: statistics.fmean(run.compared[test].score for run in runs)
            for name, runs in results.methods.items()
        }
        for name, each in differences.items():
            expected = means[name] - means[results.baseline]
            place = f"differences.{test}.{name}.difference"
            if not each.low <= each.difference <= each.high:
                yield f"{place}: expected {each.low} to {each.high}, found {each.difference}"
            if abs(each.difference - expected) > ROUNDED:
                yield f"{place}: expected {expected:.2f}, as in compared, found {each.difference}"


def mean_with_deviation(values: Sequence[float], digits: int) -> str:
    """``mean ± sample standard deviation (n − 1)``, or the value alone where there is one."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"

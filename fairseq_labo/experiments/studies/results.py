"""The results of a study: everything that the report shows, and all that results.json holds.

`gather` reads what the runs left; `Results` is written to results.json and read from it again.
Neither holds paths.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.evaluation.published import PAPER_TASKS
from fairseq_labo.experiments.studies import runner, search
from fairseq_labo.experiments.studies.beams import BeamScore, beam_scores
from fairseq_labo.experiments.studies.differences import Difference, mean_differences
from fairseq_labo.experiments.studies.run import Run, final_runs, raw_sha256, run_name
from fairseq_labo.experiments.studies.schema import (
    Model,
    Name,
    Number,
    Wrong,
    one_of,
    problems,
    read_entries,
)
from fairseq_labo.experiments.studies.scores import Environment, Scores, Trained
from fairseq_labo.experiments.studies.search import Candidate
from fairseq_labo.experiments.studies.significance import Comparison, compare_systems
from fairseq_labo.experiments.studies.study import Study
from fairseq_labo.experiments.studies.translations import Translation, choose_translations
from fairseq_labo.experiments.training.log import Validation, read_training_log


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
        if wrong:
            raise Wrong(*wrong)
        return self


def _widths(run: RunResult) -> dict[str, list[int]]:
    return {test: list(scores) for test, scores in run.beams.items()}


def read_results(path: Path) -> Results:
    """A results.json; UserError with a line for each entry that is not as expected."""
    results: Results | None = read_entries(path, Results)
    if results is None:
        raise UserError(f"{path}: expected a study's results.json, found none")
    return results


def gather(study: Study, root: Path, corpus: PreparedCorpus) -> Results:
    """Read the runs of a finished study, and test the methods against the baseline.

    Raises UserError naming the runs that are missing.
    """
    choices = search.choose(study, root)
    runs = final_runs(study, root, choices=choices)
    missing = [run.name for run in runs if not runner.is_done(run, [*study.evaluations])]
    missing += [f"the search of {name}" for name in study.searched if name not in choices]
    if missing:
        raise UserError(
            "expected all runs of the study to be done, found these missing: "
            f"{', '.join(missing)}; run labo compare without --report-only"
        )
    compared, signatures = _compare(study, runs, corpus)
    hashes = raw_sha256(corpus)
    among = {name: tuple(search.candidates(study, root, name) or ()) for name in choices}
    searched = SearchResult(
        metric=study.search.metric, seeds=study.search_seeds, methods=among, choices=choices
    )
    return Results(
        study=study.name,
        description=study.description,
        corpus=CorpusResult(name=corpus.name, languages=corpus.languages, raw_sha256=hashes),
        baseline=study.baseline,
        score=study.score,
        significance=Signatures(**signatures),
        search=searched,
        runs=tuple(_result(run, {test: compared[test][run.name] for test in study.tests})
                   for run in runs),
        paper=study.paper,
        translations={test: choose_translations(runs, corpus, test) for test in study.tests},
        differences={test: _differences(study, runs, corpus, test) for test in study.tests},
    )  # fmt: skip


def _result(run: Run, compared: dict[str, Comparison]) -> RunResult:
    log = read_training_log(run.folder / "train.log")
    found = {
        "method": run.method,
        "setting": run.setting,
        "seed": run.seed,
        "train_arguments": tuple(run.train_arguments()),
        "evaluate_arguments": tuple(run.evaluate_arguments()),
        "checkpoint": run.study.evaluate.checkpoint,
        "scores": {test: run.scores(test) or {} for test in run.study.tests},
        "compared": compared,
        "validations": log.validations,
        "stage_switch_updates": log.stage_switch,
        "words_per_second": log.words_per_second,
        "validation_bleu": dict(log.bleu),
        "beams": {test: found for test in run.study.tests if (found := beam_scores(run, test))},
        "trained": read_entries(run.folder / runner.TRAINED, Trained),
        "environment": read_entries(run.folder / "environment.json", Environment) or {},
    }
    try:
        return RunResult.model_validate(found)
    except ValidationError as error:  # a speed of nan in the log
        wrong = "; ".join(problems(error, RunResult))
        raise UserError(f"{run.folder}: {wrong}; remove it and run labo compare again") from error


def _differences(
    study: Study, runs: Sequence[Run], corpus: PreparedCorpus, test: str
) -> dict[str, Difference]:
    """Each method against the baseline on one test set, over seeds and sentences."""
    by_method: dict[str, list[Run]] = {}
    for run in runs:
        by_method.setdefault(run.method, []).append(run)
    name, references = _texts(study, runs[0], corpus, test)
    return mean_differences(
        {
            method: [run.lines(test, name, len(references)) for run in of_method]
            for method, of_method in by_method.items()
        },
        references,
        baseline=study.baseline,
        convention=study.score,
        samples=study.significance.bootstrap,
    )


def _texts(study: Study, run: Run, corpus: PreparedCorpus, test: str) -> tuple[str, Sequence[str]]:
    """The name of the translations that the study's convention scores, and the references."""
    language = corpus.languages[1]
    references: Sequence[str] = corpus.raw(test, language)
    if not CONVENTIONS[study.score].tokens:
        return f"hyp.{language}", references
    return f"hyp.tok.{language}", run.lines(test, f"ref.tok.{language}", len(references))


def _compare(
    study: Study, runs: Sequence[Run], corpus: PreparedCorpus
) -> tuple[dict[str, dict[str, Comparison]], dict[str, str]]:
    """By test set and run's name: the run against the baseline of the same seed."""
    compared: dict[str, dict[str, Comparison]] = {test: {} for test in study.tests}
    settings: Any = {"convention": study.score, "settings": study.significance}
    for test in study.tests:
        for seed in study.seeds:
            of_seed = [run for run in runs if run.seed == seed]
            name, references = _texts(study, of_seed[0], corpus, test)
            systems = {run.method: run.lines(test, name, len(references)) for run in of_seed}
            by_method, signatures = compare_systems(
                systems, references, baseline=study.baseline, **settings
            )
            compared[test] |= {run.name: by_method[run.method] for run in of_seed}
    return compared, signatures


def mean_with_deviation(values: Sequence[float], digits: int) -> str:
    """``mean ± sample standard deviation (n − 1)``, or the value alone where there is one."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"

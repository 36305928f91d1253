"""The results of a study, gathered from its runs: everything that the report shows.

`gather` reads what the runs left, `Results.as_json` writes it down; neither holds paths.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.evaluation.hypotheses import Corpus
from fairseq_labo.experiments.files import read_json, read_lines
from fairseq_labo.experiments.studies import runner, search
from fairseq_labo.experiments.studies.run import Run, final_runs
from fairseq_labo.experiments.studies.search import Candidate
from fairseq_labo.experiments.studies.significance import Compared, compare_systems
from fairseq_labo.experiments.studies.study import Study
from fairseq_labo.experiments.training.log import TrainingLog, read_training_log


@dataclass(frozen=True)
class RunResult:
    """One run: scores.json of each test set, its training, what it ran on."""

    run: Run
    scores: Mapping[str, dict[str, Any]]
    log: TrainingLog
    trained: Mapping[str, Any]
    environment: Mapping[str, Any]
    compared: dict[str, Compared]


@dataclass(frozen=True)
class Results:
    """All runs by method, in the order of the study; the searches; the tests' signatures."""

    study: Study
    corpus: Corpus
    methods: Mapping[str, Sequence[RunResult]]
    searches: Mapping[str, Sequence[Candidate]]
    choices: Mapping[str, Mapping[str, str]]
    signatures: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """All numbers, for results.json."""
        return {
            "study": self.study.name,
            "description": self.study.description,
            "corpus": {
                "name": self.corpus.name,
                "languages": list(self.corpus.languages),
                "raw_sha256": self.corpus.manifest.get("raw_sha256"),
            },
            "baseline": self.study.baseline,
            "score": self.study.score,
            "significance": dict(self.signatures),
            "search": {
                "metric": self.study.search.metric,
                "seeds": list(self.study.search.seeds),
                "methods": {
                    name: [
                        {"setting": dict(each.setting), "values": list(each.values)}
                        for each in found
                    ]
                    for name, found in self.searches.items()
                },
                "choices": {name: dict(setting) for name, setting in self.choices.items()},
            },
            "runs": [_run_json(result) for found in self.methods.values() for result in found],
        }


def _run_json(result: RunResult) -> dict[str, Any]:
    run, log = result.run, result.log
    return {
        "method": run.method.name,
        "setting": dict(run.setting),
        "seed": run.seed,
        "train_arguments": run.train_arguments(),
        "evaluate_arguments": run.evaluate_arguments(),
        "checkpoint": run.study.evaluation.checkpoint,
        "scores": dict(result.scores),
        "compared": {test: found.as_json() for test, found in result.compared.items()},
        "validations": [asdict(each) for each in log.validations],
        "stage_switch_updates": log.stage_switch,
        "words_per_second": log.words_per_second,
        "trained": dict(result.trained),
        "environment": dict(result.environment),
    }


def gather(study: Study, root: Path, corpus: Corpus) -> Results:
    """Read the runs of a finished study, and test the methods against the baseline.

    Raises UserError naming the runs that are missing.
    """
    choices = search.choose(study, root)
    unchosen = [each.name for each in study.methods if each.grid and each.name not in choices]
    runs = final_runs(study, root, choices=choices)
    missing = [run.name for run in runs if not runner.is_done(run, study.tests)]
    if missing or unchosen:
        raise UserError(
            "expected all runs of the study to be done, found these missing: "
            f"{', '.join([*missing, *(f'the search of {name}' for name in unchosen)])}; "
            "run compare.sh without --report-only"
        )
    compared, signatures = _compare(study, runs, corpus)
    methods: dict[str, list[RunResult]] = {method.name: [] for method in study.methods}
    for run in runs:
        methods[run.method.name].append(
            RunResult(
                run=run,
                scores={test: run.scores(test) or {} for test in study.tests},
                log=read_training_log(run.folder / "train.log"),
                trained=runner.read_trained(run),
                environment=read_json(run.folder / "environment.json") or {},
                compared={test: compared[test][run.seed][run.method.name] for test in study.tests},
            )
        )
    searches = {name: search.candidates(study, root, name) or [] for name in choices}
    return Results(study, corpus, methods, searches, choices, signatures)


def _compare(
    study: Study, runs: Sequence[Run], corpus: Corpus
) -> tuple[dict[str, dict[int, dict[str, Compared]]], dict[str, str]]:
    """By test set, seed and method: each against the baseline of the same seed."""
    language = corpus.languages[1]
    tokens = "tok." if CONVENTIONS[study.score].tokens else ""
    compared: dict[str, dict[int, dict[str, Compared]]] = {}
    signatures: dict[str, str] = {}
    for test in study.tests:
        by_seed: dict[int, dict[str, Compared]] = {}
        for seed in study.seeds:
            systems = {
                run.method.name: list(
                    read_lines(run.scores_folder(test) / f"hyp.{tokens}{language}")
                )
                for run in runs
                if run.seed == seed
            }
            if tokens:
                folder = next(run for run in runs if run.seed == seed).scores_folder(test)
                references = list(read_lines(folder / f"ref.tok.{language}"))
            else:
                references = corpus.raw(test, language)
            by_seed[seed], signatures = compare_systems(
                systems,
                references,
                baseline=study.baseline,
                convention=study.score,
                settings=study.significance,
            )
        compared[test] = by_seed
    return compared, signatures


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and the sample standard deviation (n − 1), which one value does not have."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def mean_with_deviation(values: Sequence[float], digits: int) -> str:
    """``mean ± deviation``, or the value alone for one seed."""
    mean, deviation = mean_and_deviation(values)
    return f"{mean:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")

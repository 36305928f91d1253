"""Gather the results of a study from what its runs left."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.evaluation.generation import binarized_references
from fairseq_labo.experiments.studies import runner, search
from fairseq_labo.experiments.studies.beams import beam_scores
from fairseq_labo.experiments.studies.differences import Difference, mean_differences
from fairseq_labo.experiments.studies.records import ENVIRONMENT, TRAINED
from fairseq_labo.experiments.studies.results import (
    CorpusResult,
    Results,
    RunResult,
    SearchResult,
    Signatures,
)
from fairseq_labo.experiments.studies.run import (
    Run,
    check_patterns,
    final_runs,
    named,
    raw_sha256,
)
from fairseq_labo.experiments.studies.schema import problems, read_entries
from fairseq_labo.experiments.studies.scores import Environment, Trained
from fairseq_labo.experiments.studies.significance import Comparison, compare_systems
from fairseq_labo.experiments.studies.study import Study
from fairseq_labo.experiments.studies.translations import choose_translations
from fairseq_labo.experiments.training.log import MAIN_LOG, read_training_log


def gather(
    study: Study, root: Path, corpus: PreparedCorpus, *, only: Sequence[str] = ()
) -> Results:
    """Read the runs of a finished study, and test the methods against the baseline.

    `only`: patterns of names, for a report of a part of the study, which says so. Raises UserError
    naming the runs that are missing, and for a part whose methods cannot be compared.
    """
    choices = chosen = search.choose(study, root, corpus)
    runs = final_runs(study, root, choices=choices)
    searches = [f"the search of {name}" for name in study.searched if name not in choices]
    if only:
        runs, searches = _part(study, runs, only), []
        choices = {run.method: choices[run.method] for run in runs if run.method in choices}
    for run in runs:
        run.check(corpus)
    missing = [run.name for run in runs if not runner.is_done(run, [*study.evaluations])]
    missing += searches
    if missing:
        raise UserError(
            "expected all runs of the study to be done, found these missing: "
            f"{', '.join(missing)}; run labo compare without --report-only, or report a part by "
            "--only"
        )
    compared = {test: _compare(study, runs, corpus, test) for test in study.tests}
    hashes = raw_sha256(corpus)
    among = {
        name: tuple(search.candidates(study, root, name, corpus, choices=chosen) or ())
        for name in choices
    }
    searched = SearchResult(
        metric=study.search.metric, seeds=study.search_seeds, methods=among, choices=choices
    )
    return Results(
        study=study.name,
        description=" ".join(filter(None, [study.description, _left_out(study, runs)])),
        corpus=CorpusResult(name=corpus.name, languages=corpus.languages, raw_sha256=hashes),
        baseline=study.baseline,
        score=study.score,
        significance=Signatures(**compared[study.tests[0]][1]),
        search=searched,
        runs=tuple(_result(run, {test: compared[test][0][run.name] for test in study.tests})
                   for run in runs),
        paper=study.paper,
        translations={test: choose_translations(runs, corpus, test) for test in study.tests},
        differences={test: compared[test][2] for test in study.tests},
    )  # fmt: skip


def _part(study: Study, runs: Sequence[Run], only: Sequence[str]) -> list[Run]:
    """The runs of such names; UserError if they are not some seeds of some methods, all of them."""
    check_patterns(only, [run.name for run in runs])
    found = named(runs, only)
    seeds: dict[str, list[int]] = {}
    for run in found:
        seeds.setdefault(run.method, []).append(run.seed)
    if study.baseline not in seeds or any(each != seeds[study.baseline] for each in seeds.values()):
        raise UserError(
            f"--only: expected, for a report, {study.baseline} and other methods with the same "
            f"seeds, found {', '.join(run.name for run in found)}; e.g. --only '*/seed-1'"
        )
    return found


def _left_out(study: Study, runs: Sequence[Run]) -> str:
    """A sentence on what of the study a report of these runs leaves out; empty if nothing."""
    methods, seeds = {run.method for run in runs}, {run.seed for run in runs}
    without = [name for name in study.methods if name not in methods]
    without += [f"seed {seed}" for seed in study.seeds if seed not in seeds]
    return f"A part of the study, without {', '.join(without)}." if without else ""


def _result(run: Run, compared: dict[str, Comparison]) -> RunResult:
    log = read_training_log(run.folder / MAIN_LOG)
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
        "beams": {test: each for test in run.study.tests if (each := beam_scores(run, test))},
        "trained": read_entries(run.folder / TRAINED, Trained),
        "environment": read_entries(run.folder / ENVIRONMENT, Environment) or {},
    }
    try:
        return RunResult.model_validate(found)
    except ValidationError as error:  # a speed of nan in the log
        wrong = "; ".join(problems(error, RunResult))
        raise UserError(f"{run.folder}: {wrong}; remove it and run labo compare again") from error


def _compare(
    study: Study, runs: Sequence[Run], corpus: PreparedCorpus, test: str
) -> tuple[dict[str, Comparison], dict[str, str], dict[str, Difference]]:
    """On one test set: by run's name, the run against the baseline of its seed; the tests'
    signatures; by method, its mean against the baseline's, over seeds and sentences.
    """
    language = corpus.languages[1]
    name, references = f"hyp.{language}", corpus.raw(test, language)
    if CONVENTIONS[study.score].tokens:
        name = f"hyp.tok.{language}"
        references = binarized_references(corpus, test, len(references))
    systems: dict[int, dict[str, list[str]]] = {}  # by seed and method
    for run in runs:
        lines = run.lines(test, name, len(references))
        systems.setdefault(run.seed, {})[run.method] = lines
    compared: dict[str, Comparison] = {}
    for seed, of_seed in systems.items():
        by_method, signatures = compare_systems(
            of_seed,
            references,
            baseline=study.baseline,
            convention=study.score,
            language=language,
            settings=study.significance,
        )
        compared |= {run.name: by_method[run.method] for run in runs if run.seed == seed}
    differences = mean_differences(
        {
            method: [of[method] for of in systems.values()]
            for method in next(iter(systems.values()))
        },
        references,
        baseline=study.baseline,
        convention=study.score,
        language=language,
        samples=study.significance.bootstrap,
    )
    return compared, signatures, differences

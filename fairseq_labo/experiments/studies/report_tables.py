"""The tables of a study's report."""

from collections.abc import Callable, Sequence

from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS, PaperTask
from fairseq_labo.experiments.studies.document import Block, Table
from fairseq_labo.experiments.studies.results import (
    Results,
    RunResult,
    mean_and_deviation,
    mean_with_deviation,
)
from fairseq_labo.experiments.studies.significance import LEVEL

Value = Callable[[RunResult], float]


def cell(found: Sequence[RunResult], value: Value, digits: int) -> str:
    """`mean_with_deviation` of a value of some runs."""
    return mean_with_deviation([value(each) for each in found], digits)


def measure(test: str, key: str, scale: float = 1.0) -> Value:
    """A value of a run's calibration on `test`, times `scale`."""
    return lambda each: scale * each.scores[test]["calibration"][key]


def trained(key: str) -> Value:
    """A value of a run's train.json."""
    return lambda each: float(each.trained[key])


def headline(results: Results, test: str) -> Table:
    """One row a method: score, difference from the baseline, NLL, ECE."""
    score = results.study.score

    def points(each: RunResult) -> float:
        return float(each.scores[test][score]["score"])

    of_baseline = results.methods[results.study.baseline]
    baseline = mean_and_deviation([points(each) for each in of_baseline])
    rows = []
    for name, found in results.methods.items():
        difference = mean_and_deviation([points(each) for each in found])[0] - baseline[0]
        compared = [f"{difference:+.2f}", significant(found, test)]
        rows.append(
            [
                name,
                cell(found, points, 2),
                *(["–", "–"] if name == results.study.baseline else compared),
                cell(found, measure(test, "nll_bits"), 3),
                cell(found, measure(test, "ece", 100), 2),
            ]
        )
    return Table(["method", "BLEU", "difference", "significant", "NLL", "ECE %"], rows)


def calibration(results: Results, test: str) -> Table:
    """One row a method: accuracy, confidence, calibration errors, Brier score, entropy."""
    columns = {
        "accuracy %": (measure(test, "accuracy", 100), 2),
        "confidence %": (measure(test, "confidence", 100), 2),
        "ECE %": (measure(test, "ece", 100), 2),
        "MCE %": (measure(test, "mce", 100), 1),
        "Brier": (measure(test, "brier"), 4),
        "entropy": (measure(test, "entropy_bits"), 3),
    }
    rows = [
        [name, *(cell(found, value, digits) for value, digits in columns.values())]
        for name, found in results.methods.items()
    ]
    return Table(["method", *columns], rows)


def significant(found: Sequence[RunResult], test: str) -> str:
    """For how many seeds both paired tests find a difference: ``1 of 2``."""
    p_values = [
        (each.compared[test].p_bootstrap, each.compared[test].p_randomization) for each in found
    ]
    both = sum(all(p is not None and p < LEVEL for p in pair) for pair in p_values)
    return f"{both} of {len(found)}"


def significance(results: Results, test: str) -> Table:
    """One row a method and seed: difference from the baseline of that seed, p of both tests."""
    baseline = {each.run.seed: each for each in results.methods[results.study.baseline]}
    rows = []
    for name, found in results.methods.items():
        if name == results.study.baseline:
            continue
        for each in found:
            compared = each.compared[test]
            difference = compared.score - baseline[each.run.seed].compared[test].score
            p_values = [compared.p_bootstrap, compared.p_randomization]
            rows.append([name, str(each.run.seed), f"{difference:+.2f}", *map(p_value, p_values)])
    return Table(["method", "seed", "difference", "p (bootstrap)", "p (randomization)"], rows)


def p_value(value: float | None) -> str:
    """A p to four places, marked if it is below the level."""
    if value is None:
        return "–"
    return f"{value:.4f}{'*' if value < LEVEL else ''}"


def conventions(results: Results, test: str) -> list[Block]:
    """Every convention of BLEU, and chrF, of every method; and their signatures."""
    first = next(iter(results.methods.values()))[0].scores[test]
    keys = [*CONVENTIONS, "chrf", *(["comet"] if "comet" in first else [])]
    rows = []
    for key in keys:

        def points(each: RunResult, key: str = key) -> float:
            return float(each.scores[test][key]["score"])

        cells = [cell(found, points, 2) for found in results.methods.values()]
        rows.append([first[key]["label"], *cells])
    signatures = [[first[key]["label"], first[key]["signature"]] for key in keys]
    return [
        Table(["", *results.methods], rows),
        Table(["score", "signature"], signatures, left_columns=2),
    ]


def published(results: Results, task: PaperTask, test: str) -> Table:
    """One row a published figure: the figure, and each method's score in its convention."""
    rows = []
    for figure in task.figures:

        def points(each: RunResult, convention: str = figure.convention) -> float:
            return float(each.scores[test][convention]["score"])

        assumed = "" if figure.stated else " (assumed)"
        rows.append(
            [
                f"{figure.method}; {figure.source}",
                CONVENTIONS[figure.convention].label + assumed,
                figure.score,
                *(cell(found, points, 2) for found in results.methods.values()),
            ]
        )
    header = ["published by", "convention", "published", *results.methods]
    return Table(header, rows, left_columns=2)


def training(results: Results) -> Table:
    """One row a method: its flags, updates done, speed, memory (the GPU's if all had one)."""
    peaks = {"peak host memory, MiB": "peak_memory_mib"}
    every = [each for found in results.methods.values() for each in found]
    if all("peak_gpu_memory_mib" in each.trained for each in every):
        peaks["peak GPU memory, MiB"] = "peak_gpu_memory_mib"
    rows = []
    for name, found in results.methods.items():
        run = found[0].run
        flags = [f"--{key.replace('_', '-')} {value}" for key, value in run.flags().items()]
        extra = [*run.study.train_extra, *run.method.extra]
        updates = sorted({each.log.validations[-1].updates for each in found})
        rows.append(
            [
                name,
                " ".join([*flags, *(["--", *extra] if extra else [])]),
                "/".join(map(str, updates)),
                cell(found, lambda each: each.log.words_per_second, 0),
                *(cell(found, trained(key), 0) for key in peaks.values()),
            ]
        )
    header = ["method", "scripts/train.sh", "updates", "words/s", *peaks]
    return Table(header, rows, left_columns=2)

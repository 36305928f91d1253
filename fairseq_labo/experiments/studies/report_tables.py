"""The tables of a study's report."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.evaluation.published import PaperTask
from fairseq_labo.experiments.studies.results import Results, RunResult, mean_with_deviation
from fairseq_labo.experiments.studies.search import best
from fairseq_labo.experiments.studies.significance import LEVEL
from fairseq_labo.experiments.studies.study import VALIDATION_SUBSET, setting_name

Value = Callable[[RunResult], float]


@dataclass(frozen=True)
class Table:
    """Cells of text; the first `left_columns` are words, the others numbers (to the right)."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_columns: int = 1


def cell(runs: Sequence[RunResult], value: Value, digits: int) -> str:
    """`mean_with_deviation` of a value of some runs."""
    return mean_with_deviation([value(each) for each in runs], digits)


def measure(test: str, key: str, scale: float = 1.0) -> Value:
    """A value of a run's calibration on `test`, times `scale`."""
    return lambda each: scale * each.scores[test]["calibration"][key]


def score(test: str, key: str) -> Value:
    """A run's score on `test` in a convention."""
    return lambda each: float(each.scores[test][key]["score"])


def headline(results: Results, test: str) -> Table:
    """One row a method: score, difference from the baseline, NLL, ECE."""
    points, nll, ece = (
        score(test, results.score),
        measure(test, "nll_bits"),
        measure(test, "ece", 100),
    )
    means = {name: statistics.fmean(map(points, runs)) for name, runs in results.methods.items()}
    rows = []
    for name, runs in results.methods.items():
        compared = [f"{means[name] - means[results.baseline]:+.2f}", significant(runs, test)]
        compared = ["–", "–"] if name == results.baseline else compared
        rows.append(
            [name, cell(runs, points, 2), *compared, cell(runs, nll, 3), cell(runs, ece, 2)]
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
        [name, *(cell(runs, value, digits) for value, digits in columns.values())]
        for name, runs in results.methods.items()
    ]
    return Table(["method", *columns], rows)


def p_values(run: RunResult, test: str) -> list[float | None]:
    """Of both paired tests; None of the baseline itself."""
    return [run.compared[test].p_bootstrap, run.compared[test].p_randomization]


def significant(runs: Sequence[RunResult], test: str) -> str:
    """For how many seeds both paired tests find a difference: ``1 of 2``."""
    both = [all(p is not None and p < LEVEL for p in p_values(each, test)) for each in runs]
    return f"{sum(both)} of {len(runs)}"


def significance(results: Results, test: str) -> Table:
    """One row a method and seed: difference from the baseline of that seed, p of both tests."""
    baseline = {each.seed: each.compared[test] for each in results.methods[results.baseline]}
    rows = [
        [
            each.method,
            str(each.seed),
            f"{each.compared[test].score - baseline[each.seed].score:+.2f}",
            *map(p_value, p_values(each, test)),
        ]
        for runs in results.methods.values()
        for each in runs
        if each.method != results.baseline
    ]
    return Table(["method", "seed", "difference", "p (bootstrap)", "p (randomization)"], rows)


def p_value(value: float | None) -> str:
    """A p to four places, marked if it is below the level."""
    if value is None:
        return "–"
    return f"{value:.4f}{'*' if value < LEVEL else ''}"


def conventions(results: Results, test: str) -> Table:
    """One row a convention of BLEU, and chrF: each method's score."""
    rows = [
        [label, *(cell(runs, score(test, key), 2) for runs in results.methods.values())]
        for key, label, _ in _labels(results, test)
    ]
    return Table(["", *results.methods], rows)


def signatures(results: Results, test: str) -> Table:
    """One row a convention: its signature."""
    return Table(["score", "signature"], [each[1:] for each in _labels(results, test)], 2)


def _labels(results: Results, test: str) -> list[tuple[str, str, str]]:
    first = results.runs[0].scores[test]
    keys = [*CONVENTIONS, "chrf", *(["comet"] if "comet" in first else [])]
    return [(key, first[key]["label"], first[key]["signature"]) for key in keys]


def published(results: Results, task: PaperTask, test: str) -> Table:
    """One row a published figure: the figure, and each method's score in its convention."""
    rows = [
        [
            f"{figure.method}; {figure.source}",
            CONVENTIONS[figure.convention].label + ("" if figure.stated else " (assumed)"),
            figure.score,
            *(cell(runs, score(test, figure.convention), 2) for runs in results.methods.values()),
        ]
        for figure in task.figures
    ]
    header = ["published by", "convention", "published", *results.methods]
    return Table(header, rows, left_columns=2)


def search(results: Results, method: str) -> Table:
    """One row a setting of the method's grid: its metric on the validation set."""
    metric, among = results.search.metric, results.search.methods[method]
    chosen, digits = best(among, metric), 4 if metric == "nll" else 2
    rows = []
    for each in among:
        mark = " (chosen)" if each is chosen else ""
        values = mean_with_deviation(each.values, digits)
        rows.append([setting_name(each.setting) + mark, values])
    return Table([method, f"{metric} on {VALIDATION_SUBSET}"], rows)


def training(results: Results) -> Table:
    """One row a method: its flags, updates done, speed, memory (the GPU's if all had one)."""
    peaks = {"peak host memory, MiB": "peak_memory_mib"}
    if all("peak_gpu_memory_mib" in each.trained for each in results.runs):
        peaks["peak GPU memory, MiB"] = "peak_gpu_memory_mib"
    rows = []
    for name, runs in results.methods.items():
        words = runs[0].train_arguments
        # But for the seed, which is the one flag in which the runs differ.
        pairs = zip(words, ("", *words), strict=False)
        shared = [word for word, before in pairs if "--seed" not in (word, before)]
        updates = sorted({each.validations[-1].updates for each in runs})
        rows.append(
            [
                name,
                " ".join(shared),
                "/".join(map(str, updates)),
                cell(runs, lambda each: each.words_per_second, 0),
                *(trained(runs, key) for key in peaks.values()),
            ]
        )
    header = ["method", "labo train", "updates", "words/s", *peaks]
    return Table(header, rows, left_columns=2)


def trained(runs: Sequence[RunResult], key: str) -> str:
    """A value of the runs' train.json; a dash if one of them has none."""
    values = [each.trained.get(key) for each in runs]
    return "–" if None in values else mean_with_deviation(values, 0)

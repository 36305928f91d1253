"""The tables of a study's report."""

import re
import shlex
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS, STRAIGHT
from fairseq_labo.experiments.evaluation.published import PaperTask
from fairseq_labo.experiments.studies.beams import length_ratio
from fairseq_labo.experiments.studies.differences import over_seeds
from fairseq_labo.experiments.studies.results import Results, RunResult, mean_with_deviation
from fairseq_labo.experiments.studies.schema import VALIDATION_SUBSET
from fairseq_labo.experiments.studies.significance import LEVEL
from fairseq_labo.experiments.studies.study import setting_name

Cell = Callable[[Sequence[RunResult]], str]  # from the runs of a method


@dataclass(frozen=True)
class Table:
    """Cells of text; the first `left_columns` are words, the others numbers (to the right)."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_columns: int = 1


def of_methods(results: Results, columns: Mapping[str, Cell], *, left_columns: int = 1) -> Table:
    """One row a method."""
    methods = results.methods.items()
    rows = [[name, *(cell(runs) for cell in columns.values())] for name, runs in methods]
    return Table(["method", *columns], rows, left_columns)


def mean(value: Callable[[RunResult], float], digits: int) -> Cell:
    """`mean_with_deviation` of a value of the runs."""
    return lambda runs: mean_with_deviation([value(each) for each in runs], digits)


def measure(test: str, key: str, digits: int, factor: float = 1.0) -> Cell:
    """A value of the runs' calibration on `test`, times `factor`."""
    return mean(lambda each: factor * each.scores[test]["calibration"][key], digits)


def score(test: str, key: str) -> Cell:
    """The runs' score on `test` in a convention."""
    return mean(lambda each: each.scores[test][key]["score"], 2)


def length(test: str, key: str) -> Cell:
    """Length of the runs' translations to that of the references, where all scores tell it."""

    def cell(runs: Sequence[RunResult]) -> str:
        ratios = [length_ratio(each.scores[test][key]) for each in runs]
        known = [each for each in ratios if each is not None]
        return mean_with_deviation(known, 3) if len(known) == len(runs) else "–"

    return cell


def headline(results: Results, test: str) -> Table:
    """One row a method: score, difference from the baseline, length, NLL, ECE."""

    def points(runs: Sequence[RunResult]) -> float:
        return statistics.fmean(each.scores[test][results.score]["score"] for each in runs)

    def difference(runs: Sequence[RunResult]) -> str:
        if known := results.differences.get(test, {}).get(runs[0].method):  # of scores in full
            return f"{known.difference:+.2f}"
        return f"{points(runs) - points(results.methods[results.baseline]):+.2f}"

    def significant(runs: Sequence[RunResult]) -> str:
        both = [all(p is not None and p < LEVEL for p in p_values(each, test)) for each in runs]
        return f"{sum(both)} of {len(runs)}"

    def of_others(cell: Cell) -> Cell:
        return lambda runs: "–" if runs[0].method == results.baseline else cell(runs)

    compared = {"difference": of_others(difference), "significant": of_others(significant)}
    columns = {
        "BLEU": score(test, results.score),
        **(compared if len(results.methods) > 1 else {}),
        "length": length(test, results.score),
        "NLL": measure(test, "nll_bits", 3),
        "ECE %": measure(test, "ece", 2, 100),
    }
    return of_methods(results, columns)


def calibration(results: Results, test: str) -> Table:
    """One row a method: accuracy, confidence, calibration errors, Brier score, entropy."""
    columns = {
        "accuracy %": measure(test, "accuracy", 2, 100),
        "confidence %": measure(test, "confidence", 2, 100),
        "ECE %": measure(test, "ece", 2, 100),
        "MCE %": measure(test, "mce", 1, 100),
        "Brier": measure(test, "brier", 4),
        "entropy": measure(test, "entropy_bits", 3),
    }
    return of_methods(results, columns)


def p_values(run: RunResult, test: str) -> list[float | None]:
    """Of both paired tests; None of the baseline itself."""
    return [run.compared[test].p_bootstrap, run.compared[test].p_randomization]


def p_value(value: float | None) -> str:
    """A p to four places, marked if it is below the level."""
    return "–" if value is None else f"{value:.4f}{'*' if value < LEVEL else ''}"


def significance(results: Results, test: str) -> Table:
    """One row a method and seed: difference from the baseline of that seed, p of both tests."""
    baseline = {each.seed: each.compared[test] for each in results.methods[results.baseline]}
    rows = []
    for each in (run for runs in results.methods.values() for run in runs):
        if each.method != results.baseline:
            difference = each.compared[test].score - baseline[each.seed].score
            bootstrap, randomization = map(p_value, p_values(each, test))
            both = [bootstrap.rstrip("*"), randomization]
            rows.append([each.method, str(each.seed), f"{difference:+.2f}", *both])
    return Table(["method", "seed", "difference", "p (bootstrap)", "p (randomization)"], rows)


def differences(results: Results, test: str) -> Table:
    """One row a method: mean difference in the score, interval, p."""
    rows = [
        [
            name,
            f"{each.difference:+.2f}",
            f"{each.low:+.2f} to {each.high:+.2f}",
            p_value(each.p),
            p_value(each.p_corrected),
        ]
        for name, each in results.differences[test].items()
    ]
    return Table(["method", "difference", "95 % interval", "p", "p (corrected)"], rows)


def detectable(results: Results, test: str) -> str:
    """The difference that could have been seen; files from before have one for each method.

    "100" is for what is above: no score reaches it.
    """
    found = statistics.fmean(each.detectable for each in results.differences[test].values())
    return f"{found:.2g}" if found < 10 else f"{min(found, 100):.0f}"


def nll_and_ece(results: Results, test: str) -> Table:
    """One row a method: mean differences in NLL and ECE, with intervals."""
    baseline = results.methods[results.baseline]
    rows = []
    for name, runs in results.methods.items():
        if name != results.baseline:
            nll = interval(runs, baseline, test, "nll_bits", 3)
            ece = interval(runs, baseline, test, "ece", 2, 100)
            rows.append([name, nll, ece])
    return Table(["method", "NLL", "ECE, points"], rows)


def interval(
    runs: Sequence[RunResult],
    baseline: Sequence[RunResult],
    test: str,
    key: str,
    digits: int,
    factor: float = 1.0,
) -> str:
    """``mean (low to high)`` of a value of the calibration less the baseline's of the same seed."""
    pairs = zip(runs, baseline, strict=True)
    values = [[factor * run.scores[test]["calibration"][key] for run in pair] for pair in pairs]
    found = over_seeds([ours - theirs for ours, theirs in values])
    mean, low, high = (f"{each:+.{digits}f}" for each in found)
    return f"{mean} ({low} to {high})"


def beams(results: Results, test: str) -> Table:
    """Two rows a method: score and length ratio with each width of the search."""
    rows = []
    for name, runs in results.methods.items():
        of_widths = [[run.beams[test][beam] for run in runs] for beam in runs[0].beams[test]]
        scores = [mean_with_deviation([each.score for each in of], 2) for of in of_widths]
        ratios = [mean_with_deviation([each.length_ratio for each in of], 3) for of in of_widths]
        rows += [[name, "BLEU", *scores], ["", "length ratio", *ratios]]
    widths = [f"beam {beam}" for beam in results.runs[0].beams[test]]
    return Table(["method", "", *widths], rows, 2)


def conventions(results: Results, test: str) -> Table:
    """One row a convention of BLEU, and chrF: each method's score."""
    methods = results.methods
    rows = [
        [label, *map(score(test, key), methods.values())]
        for key, label, _ in _labels(results, test)
    ]
    return Table(["", *methods], rows)


def signatures(results: Results, test: str) -> Table:
    """One row a convention: its signature."""
    return Table(["score", "signature"], [each[1:] for each in _labels(results, test)], 2)


def _labels(results: Results, test: str) -> list[tuple[str, str, str]]:
    scores = [run.scores[test] for run in results.runs]
    first = scores[0]
    names = (*CONVENTIONS, *STRAIGHT, "chrf", "comet")
    keys = [key for key in names if all(key in each for each in scores)]
    return [(key, first[key]["label"], first[key]["signature"]) for key in keys]


def published(results: Results, task: PaperTask, test: str) -> Table:
    """One row a published figure: the figure, and each method's score in its convention."""
    methods = results.methods
    rows = [
        [
            f"{figure.method}; {figure.source}",
            CONVENTIONS[figure.convention].label + ("" if figure.stated else " (assumed)"),
            figure.score,
            *map(score(test, figure.convention), methods.values()),
        ]
        for figure in task.figures
    ]
    return Table(["published by", "convention", "published", *methods], rows, 2)


def search(results: Results, method: str) -> Table:
    """One row a setting of the method's grid: its metric on the validation set."""
    metric, among = results.search.metric, results.search.methods[method]
    digits = 4 if metric == "nll" else 2
    rows = []
    for each in among:
        mark = " (chosen)" if each.setting == results.search.choices[method] else ""
        values = mean_with_deviation(each.values, digits)
        rows.append([setting_name(each.setting) + mark, values])
    return Table([method, f"{metric} on {VALIDATION_SUBSET}"], rows)


def training(results: Results) -> Table:
    """One row a method: its flags, updates done, speed, memory (the GPU's if all had one)."""

    def flags(runs: Sequence[RunResult]) -> str:  # but for the seed, in which the runs differ
        words = runs[0].train_arguments
        pairs = zip(words, ("", *words), strict=False)
        kept = shlex.join(word for word, before in pairs if "--seed" not in (word, before))
        # A teacher is the run of the same seed.
        of_study = r"(?<=--teacher-path )('?runs/.+?/)seed-\d+(?=/)"
        return kept if len(runs) == 1 else re.sub(of_study, r"\1seed-*", kept)

    def updates(runs: Sequence[RunResult]) -> str:
        return "/".join(map(str, sorted({each.validations[-1].updates for each in runs})))

    def peak(kind: str) -> Cell:
        key = f"peak_{kind}memory_mib"

        def cell(runs: Sequence[RunResult]) -> str:
            values = [each.trained.get(key) for each in runs]
            return "–" if None in values else mean(lambda each: each.trained[key], 0)(runs)

        return cell

    columns = {
        "labo train": flags,
        "updates": updates,
        "words/s": mean(lambda each: each.words_per_second, 0),
        "peak host memory, MiB": peak(""),
    }
    if all("peak_gpu_memory_mib" in each.trained for each in results.runs):
        columns["peak GPU memory, MiB"] = peak("gpu_")
    return of_methods(results, columns, left_columns=2)

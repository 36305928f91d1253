"""The tables of a study's report."""

from collections.abc import Callable, Sequence

from fairseq_labo.evaluation.conventions import CONVENTIONS
from fairseq_labo.evaluation.document import Block, Table
from fairseq_labo.evaluation.results import Results, RunResult, mean_and_deviation
from fairseq_labo.evaluation.significance import LEVEL

Value = Callable[[RunResult], float]


def cell(found: Sequence[RunResult], value: Value, digits: int) -> str:
    """``mean ± deviation``, or the value alone for one seed."""
    mean, deviation = mean_and_deviation([value(each) for each in found])
    return f"{mean:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")


def headline(results: Results, test: str) -> Table:
    """One row a method: score, difference from the baseline, NLL, calibration."""
    score = results.study.score

    def measure(key: str, scale: float = 1.0) -> Value:
        return lambda each: scale * each.scores[test]["calibration"][key]

    def points(each: RunResult) -> float:
        return float(each.scores[test][score]["score"])

    baseline = mean_and_deviation(
        [points(each) for each in results.methods[results.study.baseline]]
    )
    rows = []
    for name, found in results.methods.items():
        difference = mean_and_deviation([points(each) for each in found])[0] - baseline[0]
        rows.append(
            [
                name,
                cell(found, points, 2),
                "–" if name == results.study.baseline else f"{difference:+.2f}",
                cell(found, measure("nll_bits"), 3),
                cell(found, measure("ece", 100), 2),
                cell(found, measure("mce", 100), 1),
                cell(found, measure("brier"), 4),
                cell(found, measure("entropy_bits"), 3),
            ]
        )
    header = ["method", score, "difference", "NLL", "ECE %", "MCE %", "Brier", "entropy"]
    return Table(header, rows)


def significance(results: Results, test: str) -> Table:
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


def training(results: Results) -> Table:
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
                cell(found, lambda each: each.trained["peak_memory_mib"], 0),
            ]
        )
    header = ["method", "scripts/train.sh", "updates", "words/s", "peak memory, MiB"]
    return Table(header, rows, left_columns=2)

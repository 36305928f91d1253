"""What the sentences on a study are made of: means and differences over seeds."""

import statistics
from collections.abc import Iterable

from fairseq_labo.experiments.studies.results import Results, RunResult


def listed(values: Iterable[float], sign: str = "", digits: int = 1) -> str:
    """``1.0, 2.0 and 3.0``"""
    *others, last = (f"{each:{sign}.{digits}f}" for each in values)
    return f"{', '.join(others)} and {last}"


def gains_of(results: Results, name: str, test: str, key: str = "") -> list[float]:
    """By seed, a method's BLEU (or value of the calibration) less label smoothing's."""

    def value(run: RunResult) -> float:
        return float(run.scores[test]["calibration"][key] if key else run.compared[test].score)

    both = results.methods[name], results.methods["label_smoothing"]
    return [value(ours) - value(theirs) for ours, theirs in zip(*both, strict=True)]


def mean_of(results: Results, name: str, test: str, key: str) -> float:
    """A method's value of the calibration, the mean over its seeds."""
    runs = results.methods[name]
    return statistics.fmean(run.scores[test]["calibration"][key] for run in runs)

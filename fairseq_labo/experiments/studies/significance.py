"""Is a difference more than chance? sacreBLEU's paired tests, and intervals of single systems.

Paired bootstrap resampling (Koehn 2004, EMNLP) and approximate randomization (Riezler and Maxwell
2005) ask about the sentences of the test set: whether other sentences would have said the same.
They know nothing of other seeds; the standard deviation over seeds does.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sacrebleu.significance import PairedTest
from scipy import stats

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.studies.schema import NotNegative, Number, Probability
from fairseq_labo.experiments.studies.study import Significance

LEVEL = 0.05
ROUNDED = 9  # decimals of a difference, above which equal ones are equal
SEED = "SACREBLEU_SEED"


@dataclass(frozen=True)
class Comparison:
    """A system against the baseline on one test set: score, 95 % interval, p of both tests.

    The interval is mean ± half_width of bootstrapped scores. The baseline has no p.
    """

    score: Number
    bootstrap_mean: Number
    half_width: NotNegative
    p_bootstrap: Probability | None
    p_randomization: Probability | None


def compare_systems(
    hypotheses: Mapping[str, Sequence[str]],
    references: Sequence[str],
    *,
    baseline: str,
    convention: str,
    language: str,
    settings: Significance,
) -> tuple[dict[str, Comparison], dict[str, str]]:
    """Every system against `baseline`, and the signatures of both tests.

    `hypotheses` and `references` are text or tokens of `language`, as the convention asks. The seed
    of the resampling is sacreBLEU's, 12345 unless $SACREBLEU_SEED says otherwise.

    Raises UserError if that is no seed.
    """
    check_seed()
    chosen = CONVENTIONS[convention]
    names = dict.fromkeys((baseline, *hypotheses))
    systems: Any = [(name, chosen.prepared(hypotheses[name])) for name in names]
    prepared = [chosen.prepared(references)]
    results: dict[str, dict[Any, Any]] = {}
    signatures = {}
    for test, samples in (("bs", settings.bootstrap), ("ar", settings.randomization)):
        metrics = {"BLEU": chosen.metric(language)}
        paired = PairedTest(systems, metrics, prepared, test_type=test, n_samples=samples)
        signature, scores = paired()
        signatures[test] = str(signature["BLEU"])
        results[test] = dict(zip(scores["System"], scores["BLEU"], strict=True))
    texts = dict(systems)

    def randomized(name: str) -> float | None:
        exact = of_all_swaps(
            (texts[name], texts[baseline]),
            prepared[0],
            metric=chosen.metric(language),
            at_most=settings.randomization,
        )
        sampled = _p(results["ar"][name], baseline=results["ar"][baseline])
        return sampled if exact is None or name == baseline else exact

    compared = {
        str(name): Comparison(
            score=float(bootstrap.score),
            bootstrap_mean=float(bootstrap.mean),
            half_width=float(bootstrap.ci),
            p_bootstrap=_p(bootstrap, baseline=results["bs"][baseline]),
            p_randomization=randomized(name),
        )
        for name, bootstrap in results["bs"].items()
    }
    return compared, signatures


def of_all_swaps(
    pair: tuple[Sequence[str], Sequence[str]],
    references: Sequence[str],
    *,
    metric: Any,
    at_most: int,
) -> float | None:
    """The p of exact randomization: of all ways to swap sentences between two systems, by scipy.

    None where there are more ways than `at_most`. Where few sentences differ, many swaps give the
    same difference, which counts here and does not for sacreBLEU: it asks for a larger one.
    """
    ours, theirs = (
        np.array(metric._extract_corpus_statistics(each, [references]), dtype=np.int64)
        for each in pair
    )
    differing = np.flatnonzero((ours != theirs).any(axis=-1))
    count = len(differing)
    if 2**count > at_most:
        return None
    if count < 2:
        return 1.0
    same = ours.sum(axis=0) - ours[differing].sum(axis=0)
    of_both = np.concatenate([ours[differing], theirs[differing]])

    def difference(*of_systems: Any) -> float:
        scores = [
            metric._compute_score_from_stats(
                (same + of_both[rows.astype(int)].sum(axis=0)).tolist()
            )
            for rows in of_systems
        ]
        return round(float(scores[0].score - scores[1].score), ROUNDED)

    rows = np.arange(2 * count)
    options: Any = {"permutation_type": "samples", "vectorized": False, "n_resamples": np.inf}
    return float(stats.permutation_test((rows[:count], rows[count:]), difference, **options).pvalue)


def check_seed() -> None:
    """Raise UserError unless sacreBLEU takes it: a number, or none for another one each time."""
    seed = os.environ.get(SEED, "none")
    if seed.lower() != "none" and not seed.isdecimal():
        raise UserError(f"${SEED}: expected a number of at least 0, or none, found {seed!r}")


def _p(result: Any, *, baseline: Any) -> float | None:
    if result.p_value is None:
        return None
    # sacreBLEU counts samples that lie strictly above the difference, so it finds a system and
    # its copy different, with p = 1/(n + 1). Nothing is less extreme than no difference: p = 1.
    return 1.0 if result.score == baseline.score else float(result.p_value)

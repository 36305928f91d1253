"""How much a method differs from the baseline when seeds and sentences are both samples.

A two-way bootstrap: every sample draws sentences and, independently, seeds, the same for both
systems (seeds pair: they fix the initial weights and the order of the batches). Of S seeds S − 1
are drawn, with replacement, for drawing S would understate the variance of a mean by (S − 1)/S
(Rao and Wu 1988, JASA 83:231); of N sentences N, as in Koehn 2004.

Its deviation is the standard error. Interval and p are Student's: of few seeds the percentiles are
too narrow (of equal systems whose seeds vary much they find 14 % different with 3 seeds, 9 % with
5; Student's t 6 and 4 %, at a level of 5 %). The degrees of freedom are Satterthwaite's (1946):
S − 1 where the error is that of the seeds alone, more where the sentences have a part. P-values are
corrected for the number of methods as Holm 1979 does it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.studies.significance import LEVEL

POWER = 0.8
RANDOM_SEED = 12345  # sacreBLEU's
Texts = Sequence[Sequence[str]]  # of each seed, the sentences


@dataclass(frozen=True)
class Difference:
    """A method's mean score over seeds less the baseline's, in points.

    low, high: 95 % interval. p: two-sided; p_corrected: for the number of methods. detectable: the
    true difference that such a study finds with a power of 80 %, at the level of 5 % that is
    divided by the number of methods (Holm's first step).
    """

    difference: float
    low: float
    high: float
    standard_error: float
    p: float
    p_corrected: float
    detectable: float


def mean_differences(
    hypotheses: Mapping[str, Texts],
    references: Sequence[str],
    *,
    baseline: str,
    convention: str,
    samples: int,
) -> dict[str, Difference]:
    """Every method but the baseline, in order; nothing where there is only one seed.

    hypotheses: by method, the translations of each seed; text or tokens, as the convention asks.
    """
    seeds = len(hypotheses[baseline])
    if seeds < 2:
        return {}
    chosen = CONVENTIONS[convention]
    metric = chosen.metric()
    prepared = [chosen.prepared(references)]
    # By method: seeds x sentences x sufficient statistics of BLEU.
    counts = {
        name: np.array(
            [metric._extract_corpus_statistics(chosen.prepared(each), prepared) for each in texts],
            dtype=np.float64,
        )
        for name, texts in hypotheses.items()
    }

    def scores(weights: Any) -> dict[str, Any]:
        """By method, the score of each seed with the sentences weighted."""
        summed = {name: np.einsum("n,snk->sk", weights, each) for name, each in counts.items()}
        return {
            name: np.array([metric._compute_score_from_stats(row.tolist()).score for row in each])
            for name, each in summed.items()
        }

    def relative(of: Mapping[str, Any], drawn: Any) -> dict[str, float]:
        base = of[baseline][drawn].mean()
        return {
            name: float(each[drawn].mean() - base) for name, each in of.items() if name != baseline
        }

    sentences = len(references)
    of_seeds = scores(np.ones(sentences))
    found = relative(of_seeds, np.arange(seeds))
    generator = np.random.default_rng(RANDOM_SEED)
    drawn = []
    for _ in range(samples):
        weights = generator.multinomial(sentences, np.full(sentences, 1 / sentences))
        drawn.append(relative(scores(weights), generator.integers(seeds, size=seeds - 1)))
    errors = {name: float(np.std([each[name] for each in drawn], ddof=1)) for name in found}
    freedom = {
        name: _degrees_of_freedom(of_seeds[name] - of_seeds[baseline], errors[name])
        for name in found
    }
    p_values = {
        name: float(2 * stats.t.sf(abs(found[name]) / error, freedom[name]))
        if error
        else float(not found[name])
        for name, error in errors.items()
    }
    corrected = holm(p_values)

    def quantile(name: str, level: float) -> float:
        return float(stats.t.ppf(level, freedom[name])) * errors[name]

    first_step = 1 - LEVEL / 2 / max(1, len(found))
    return {
        name: Difference(
            difference=difference,
            low=difference - quantile(name, 1 - LEVEL / 2),
            high=difference + quantile(name, 1 - LEVEL / 2),
            standard_error=errors[name],
            p=p_values[name],
            p_corrected=corrected[name],
            detectable=quantile(name, first_step) + quantile(name, POWER),
        )
        for name, difference in found.items()
    }


def _degrees_of_freedom(differences: Any, error: float) -> float:
    """Satterthwaite's, of an error whose part from S seeds' differences has S − 1.

    Of two seeds that part is too uncertain to be taken for small: 1.
    """
    seeds = len(differences)
    if seeds == 2:
        return 1.0
    part = float(differences.var(ddof=1)) / seeds / error**2 if error else 1.0
    return float((seeds - 1) / min(1.0, part) ** 2) if part else np.inf


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """The p-values corrected by Holm's step-down method, in the order given."""
    corrected: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}

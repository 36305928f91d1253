"""How much a method differs from the baseline when seeds and sentences are both samples.

Both cross: every seed translates every sentence, for both systems (seeds pair: they fix the initial
weights and the order of the batches). The variance of the mean difference has three parts, of the
seeds, of the sentences, and of what a seed does to one sentence and not to another. Seeds' own
differences hold the first and the last, a bootstrap of the sentences (Koehn 2004) the second and
the last, and what it moves a seed's difference more than another's is the last alone. So the error
is the first sum plus the second less the third; a bootstrap that draws both, seeds and sentences,
counts the last part three times (Owen 2007, Annals of Applied Statistics 1:386).

The two variances have other degrees of freedom: S − 1 that of S seeds' differences, many the rest.
Critical values are the mean of Student's and the normal one, by the variances' shares (Cochran and
Cox 1957, Experimental Designs, of two means with other variances); interval and p follow from them.
Degrees of freedom that are estimated from the same few seeds (Satterthwaite's) would find equal
methods different too often. P-values are corrected for the number of methods as Holm 1979 does it.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from scipy import optimize, stats

from fairseq_labo.experiments.evaluation.bleu import CONVENTIONS
from fairseq_labo.experiments.studies.schema import NotNegative, Number, Probability
from fairseq_labo.experiments.studies.significance import LEVEL

POWER = 0.8
ROUNDING = 1e-9  # points: of scores that are equal but for the order of their sums
SMALLEST_LOG_P = -100.0  # further out scipy finds some quantiles of Student's at -inf
RANDOM_SEED = 12345  # sacreBLEU's
Texts = Sequence[Sequence[str]]  # of each seed, the sentences


@dataclass(frozen=True)
class Difference:
    """A method's mean score over seeds less the baseline's, in points.

    low, high: 95 % interval. p: two-sided; p_corrected: for the number of methods. detectable: the
    true difference that such a study finds with a power of about 80 %, at the level of 5 % that
    is divided by the number of methods (Holm's first step); of the variances' means over the
    methods, since those of one method's few seeds vary by factors, so that all have the same.
    """

    difference: Number
    low: Number
    high: Number
    standard_error: NotNegative
    p: Probability
    p_corrected: Probability
    detectable: NotNegative


def mean_differences(
    hypotheses: Mapping[str, Texts],
    references: Sequence[str],
    *,
    baseline: str,
    convention: str,
    language: str,
    samples: int,
) -> dict[str, Difference]:
    """Every method but the baseline, in order; nothing where there is one seed or one sentence.

    hypotheses: by method, the translations of each seed; text or tokens, as the convention asks.
    """
    others = [name for name in hypotheses if name != baseline]
    if not others or min(len(hypotheses[baseline]), len(references)) < 2:
        return {}
    of_seeds, drawn = _resampled(
        [hypotheses[name] for name in (baseline, *others)],
        references,
        convention=convention,
        language=language,
        samples=samples,
    )
    means, errors = of_seeds.mean(axis=1).tolist(), standard_errors(of_seeds, drawn).tolist()
    quantiles = list(map(Quantiles.of, of_seeds, errors))
    p_values = {
        name: each.p_value(mean / error) if error else float(abs(mean) < ROUNDING)
        for name, each, mean, error in zip(others, quantiles, means, errors, strict=True)
    }
    corrected = holm(p_values)
    pooled = math.sqrt(statistics.fmean(error**2 for error in errors))
    design = Quantiles.of(of_seeds, pooled)
    detectable = design.found_with(POWER, LEVEL / 2 / len(others)) * pooled
    found = {}
    for name, each, mean, error in zip(others, quantiles, means, errors, strict=True):
        half = each.above(LEVEL / 2) * error
        p = p_values[name]
        found[name] = Difference(
            mean, mean - half, mean + half, error, p, corrected[name], detectable
        )
    return found


def _resampled(
    systems: Sequence[Texts],
    references: Sequence[str],
    *,
    convention: str,
    language: str,
    samples: int,
) -> tuple[Any, Any]:
    """Differences from the first system, [others, seeds], and with the sentences resampled.

    The latter: [samples, others, seeds].
    """
    chosen = CONVENTIONS[convention]
    metric, prepared = chosen.metric(language), [chosen.prepared(references)]
    # Sufficient statistics of BLEU: [systems, seeds, sentences, statistics].
    counts = np.array(
        [
            [metric._extract_corpus_statistics(chosen.prepared(each), prepared) for each in texts]
            for texts in systems
        ],
        dtype=np.float64,
    )

    def differences(weights: Any) -> Any:
        """[others, seeds] with the sentences weighted."""
        summed = np.einsum("n,msnk->msk", weights, counts)
        scores = np.array(
            [[metric._compute_score_from_stats(x.tolist()).score for x in of] for of in summed]
        )
        return scores[1:] - scores[0]

    sentences = len(references)
    shares, generator = np.full(sentences, 1 / sentences), np.random.default_rng(RANDOM_SEED)
    drawn = [differences(generator.multinomial(sentences, shares)) for _ in range(samples)]
    return differences(np.ones(sentences)), np.array(drawn)


def standard_errors(of_seeds: Any, drawn: Any) -> Any:
    """The standard error of each mean over seeds, [methods].

    of_seeds: [methods, seeds], the differences; drawn: [samples, methods, seeds], with the
    sentences resampled.
    """
    seeds = of_seeds.shape[-1]
    of_both = of_seeds.var(axis=-1, ddof=1) / seeds
    of_sentences = drawn.mean(axis=-1).var(axis=0, ddof=1)
    shared = (drawn - of_seeds).var(axis=-1, ddof=1).mean(axis=0) / seeds
    # An estimate: where noise makes the sum smaller than one of its parts, that part.
    parts = np.stack([of_both, of_sentences, of_both + of_sentences - shared])
    found = np.sqrt(parts.max(axis=0))
    return np.where(found < ROUNDING, 0.0, found)


class Quantiles(NamedTuple):
    """Of a mean difference over its error; `share`: of the seeds' part in the squared error."""

    seeds: int
    share: float

    @classmethod
    def of(cls, differences: Any, error: float) -> Self:
        """From the differences [..., seeds], and the error of their mean; variances are pooled."""
        seeds = differences.shape[-1]
        part = float(differences.var(axis=-1, ddof=1).mean()) / seeds
        return cls(seeds, min(1.0, part / error**2) if error else 1.0)

    def above(self, tail: float) -> float:
        """What is exceeded with the probability `tail`."""
        student, normal = stats.t.isf(tail, self.seeds - 1), stats.norm.isf(tail)
        return float(self.share * student + (1 - self.share) * normal)

    def found_with(self, power: float, tail: float) -> float:
        """The true difference over its error that exceeds `above(tail)` with that probability."""
        freedom, least = self.seeds - 1, stats.t.isf(tail, self.seeds - 1)

        def missing(true: float) -> float:
            return float(stats.nct.sf(least, freedom, true)) - power

        student = optimize.brentq(missing, 0.0, 4 * least)
        normal = stats.norm.isf(tail) + stats.norm.isf(1 - power)
        return float(self.share * student + (1 - self.share) * normal)

    def p_value(self, ratio: float) -> float:
        """Two-sided: the p of which one half is the tail above the ratio."""

        def excess(log_p: float) -> float:
            return self.above(math.exp(log_p) / 2) - abs(ratio)

        if excess(SMALLEST_LOG_P) < 0:
            return 0.0
        return math.exp(optimize.brentq(excess, SMALLEST_LOG_P, 0.0)) if ratio else 1.0


def over_seeds(differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval of paired differences, one a seed: Student's, of this test set."""
    mean, seeds = statistics.fmean(differences), len(differences)
    error = statistics.stdev(differences) / math.sqrt(seeds)
    half = float(stats.t.isf(LEVEL / 2, seeds - 1)) * error
    return mean, mean - half, mean + half


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """The p-values corrected by Holm's step-down method, in the order given."""
    corrected: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}

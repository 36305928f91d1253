"""Seeds and sentences: each source of variance alone, where the answer is known."""

import math
import random
import statistics

import numpy as np
import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.significance import _bootstrap_resample
from scipy import stats

from fairseq_labo.experiments.studies.differences import (
    Difference,
    Quantiles,
    holm,
    mean_differences,
    standard_errors,
)
from tests.experiments.studies.test_significance import REFERENCES, worse


def compare(samples: int = 400, **hypotheses: list[list[str]]) -> dict[str, Difference]:
    return mean_differences(
        hypotheses, REFERENCES, baseline="base", convention="bleu", language="en", samples=samples
    )


def bleu(lines: list[str], references: list[str] = REFERENCES) -> float:
    return BLEU().corpus_score(lines, [references]).score


def test_the_difference_is_that_of_the_means() -> None:
    base, other = [worse(0.3, 1), worse(0.3, 2)], [worse(0.2, 3), worse(0.25, 4)]
    found = compare(base=base, other=other)["other"]
    expected = statistics.fmean(map(bleu, other)) - statistics.fmean(map(bleu, base))
    assert found.difference == pytest.approx(expected)
    assert found.low < expected < found.high


def test_with_equal_sentences_the_error_is_that_of_the_seeds() -> None:
    """Every sentence alike, so sentences do not vary: the deviation of seeds over √S is left."""
    references = ["a b c d e f g h"] * 30
    base = [["a b c d e f g x"] * 30] * 4
    ends = ["a b c d e f g h", "a b c d e f x y", "a b c d e x y z", "a b c d x x y z"]
    other = [[line] * 30 for line in ends]
    found = mean_differences(
        {"base": base, "other": other},
        references,
        baseline="base",
        convention="bleu",
        language="en",
        samples=4000,
    )["other"]
    seeds = [bleu(each, references) - bleu(base[0], references) for each in other]
    assert found.standard_error == pytest.approx(statistics.stdev(seeds) / 2, rel=0.05)


def test_with_equal_seeds_the_error_is_that_of_the_sentences() -> None:
    """Seeds alike: sacreBLEU's own resampling of the pair says how much sentences vary."""
    base, other = worse(0.4, 1), worse(0.2, 2)
    found = compare(2000, base=[base] * 3, other=[other] * 3)["other"]
    metric = BLEU()
    resampled = [
        [each.score for each in _bootstrap_resample(counts, metric, 2000)[1]]
        for counts in (metric._extract_corpus_statistics(x, [REFERENCES]) for x in (base, other))
    ]
    error = statistics.stdev(b - a for a, b in zip(*resampled, strict=True))
    assert found.standard_error == pytest.approx(error, rel=0.08)


def test_both_sources_add_up() -> None:
    """The seeds' disagreement about the same sentences makes the interval wider."""
    base = worse(0.4, 1)
    alike = compare(base=[base] * 3, other=[worse(0.25, 2)] * 3)["other"]
    unlike = compare(
        base=[base] * 3, other=[worse(0.05, 2), worse(0.25, 3), worse(0.5, 4)]
    )["other"]  # fmt: skip
    assert unlike.standard_error > 1.5 * alike.standard_error


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(
    ("of_seeds", "of_sentences", "of_both"),
    [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (1, 1, 1)],
)
def test_every_part_of_the_variance_is_counted_once(
    of_seeds: float, of_sentences: float, of_both: float, seeds: int
) -> None:
    """Means of numbers, whose parts are known; parts of equal weight in the mean's error."""
    generator = np.random.default_rng(7)
    sentences, studies = 100, 400
    shape = (studies, seeds, sentences)
    numbers = of_seeds**0.5 * generator.normal(size=(studies, seeds, 1)) * seeds**0.5
    numbers = numbers + (of_sentences * sentences) ** 0.5 * generator.normal(size=(studies, 1, 100))
    numbers = numbers + (of_both * sentences * seeds) ** 0.5 * generator.normal(size=shape)
    weights = generator.multinomial(sentences, np.full(sentences, 1 / sentences), size=200)
    drawn = np.einsum("bn,msn->bms", weights / sentences, numbers)
    variance = float((standard_errors(numbers.mean(axis=2), drawn) ** 2).mean())
    # The largest of noisy sums is too large, by a third where there is nothing but the last part.
    assert 0.9 < variance / (of_seeds + of_sentences + of_both) < 1.5


def test_a_copy_differs_by_nothing_and_a_clear_difference_is_found() -> None:
    base = [worse(0.5, seed) for seed in (1, 2, 3)]
    better = [worse(0.05, seed) for seed in (4, 5, 6)]
    found = compare(base=base, copy=base, better=better)
    assert list(found) == ["copy", "better"]
    assert (found["copy"].difference, found["copy"].standard_error, found["copy"].p) == (0, 0, 1)
    assert found["better"].p_corrected == pytest.approx(2 * found["better"].p)
    assert found["better"].p < 0.001 and found["better"].low > 0


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_equal_systems_are_found_different_as_rarely_as_the_level_says(seeds: int) -> None:
    """Seeds of one distribution on both sides, which differ far more than sentences make them."""
    generator = random.Random(1)

    def drawn() -> list[list[str]]:
        shares = [0.3 + generator.uniform(-0.15, 0.15) for _ in range(seeds)]
        return [worse(share, generator.randrange(10**9)) for share in shares]

    found = [compare(60, base=drawn(), other=drawn())["other"] for _ in range(100)]
    assert sum(each.p < 0.05 for each in found) <= 11  # of 5 %, more: in 0.4 % of the cases
    assert all((each.p < 0.05) == (each.low * each.high > 0) for each in found)


def test_quantiles() -> None:
    """Student's of seeds alone, the normal one of sentences alone, between them their mean."""
    differences = np.array([1.0, 2.0, 3.0])  # standard error of the mean: 1/√3
    of_seeds, of_both, of_sentences = (
        Quantiles.of(*each)
        for each in ((differences, 3**-0.5), (differences, 1.5**-0.5), (np.ones(3), 1.0))
    )
    assert of_seeds.above(0.025) == pytest.approx(4.302653, abs=1e-6)  # tables of t, 2 degrees
    assert of_sentences.above(0.025) == pytest.approx(1.959964, abs=1e-6)
    assert of_both.above(0.025) == pytest.approx((4.302653 + 1.959964) / 2, abs=1e-6)
    for each in (of_seeds, of_both, of_sentences):
        for tail in (0.4, 0.025, 1e-9):
            assert each.p_value(-each.above(tail)) == pytest.approx(2 * tail, rel=1e-5)
        assert each.p_value(0.0) == 1.0
    assert of_sentences.p_value(1e9) == 0.0 and of_seeds.p_value(1e9) == pytest.approx(1e-18)


@pytest.mark.parametrize("seeds", range(2, 31))
def test_p_is_the_level_at_the_interval_s_end_for_any_number_of_seeds(seeds: int) -> None:
    """scipy's quantile of Student's distribution is -inf far out, for some degrees of freedom."""
    for share in (0.0, 0.3, 1.0):
        each = Quantiles(seeds, share)
        assert each.p_value(each.above(0.025)) == pytest.approx(0.05)
        assert each.p_value(0.1) > 0.9
    assert Quantiles(seeds, 1.0).p_value(3) == pytest.approx(2 * stats.t.sf(3, seeds - 1))


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "share"), [(3, 0.6), (3, 0.9), (5, 0.9)])
def test_equal_methods_are_found_different_as_rarely_after_holm(seeds: int, share: float) -> None:
    """Four equal methods; `share`: the seeds' part in the variance of a mean over them.

    With Satterthwaite's degrees of freedom, 6 to 15 % of such studies found a difference.
    """
    generator = np.random.default_rng(3)
    studies, methods = 2000, 4
    alone = generator.normal(size=(studies, methods, seeds)) * (share * seeds) ** 0.5
    of_sentences = (1 - share) ** 0.5
    shared = of_sentences * generator.normal(size=(studies, methods, 1))
    found = alone + shared  # the sentences move every seed alike, and their error is known
    errors = np.sqrt(alone.var(axis=-1, ddof=1) / seeds + of_sentences**2)
    ratios = abs(found.mean(axis=-1)) / errors
    critical = [
        [Quantiles.of(*each).above(0.05 / 2 / methods) for each in zip(*of_study, strict=True)]
        for of_study in zip(found, errors, strict=True)
    ]
    wrong = (ratios > np.array(critical)).any(axis=1).sum()  # Holm's first step
    assert wrong / studies < 0.06  # of 5 %, more: in 2 % of the cases


def test_one_seed_says_nothing_of_seeds() -> None:
    assert compare(base=[worse(0.3, 1)], other=[worse(0.2, 2)]) == {}


def test_detectable_difference() -> None:
    """Seeds alike: (1.96 + 0.84) standard errors with one method; 2.24 + 0.84 with two (2.5 %)."""
    base, other = [worse(0.3, 1)] * 3, [worse(0.2, 3)] * 3
    one = compare(base=base, other=other)["other"]
    two = compare(base=base, other=other, third=other)["other"]
    assert one.detectable / one.standard_error == pytest.approx(1.95996 + 0.84162, abs=1e-4)
    assert two.detectable / two.standard_error == pytest.approx(2.24140 + 0.84162, abs=1e-4)


def test_what_is_detectable_is_of_the_design_not_of_a_method_s_luck() -> None:
    """Of two methods, one whose seeds happen to agree: the same for both, of the mean variances."""
    base = [worse(0.4, 1)] * 3
    alike, unlike = [worse(0.25, 2)] * 3, [worse(0.05, 2), worse(0.25, 3), worse(0.5, 4)]
    found = compare(base=base, alike=alike, unlike=unlike)
    both = [found[name] for name in ("alike", "unlike")]
    error = math.sqrt(statistics.fmean(each.standard_error**2 for each in both))
    of_seeds = [statistics.variance(map(bleu, each)) / 3 for each in (alike, unlike)]
    share = statistics.fmean(of_seeds) / error**2
    expected = Quantiles(3, share).found_with(0.8, 0.05 / 2 / 2) * error
    assert [each.detectable for each in both] == pytest.approx([expected, expected])


def test_scores_that_are_equal_but_for_rounding_differ_by_nothing() -> None:
    """Sums in another order: of the mean and of its error nothing is left."""
    of_seeds = np.array([[7e-15, 0.0], [0.3, 0.3]])
    assert standard_errors(of_seeds, np.stack([of_seeds] * 9)).tolist() == [0.0, 0.0]


def test_one_sentence_says_nothing_of_sentences() -> None:
    texts = {"base": [["a b c d e"]] * 2, "other": [["a b c d x"], ["a b c d y"]]}
    found = mean_differences(
        texts, ["a b c d e"], baseline="base", convention="bleu", language="en", samples=9
    )
    assert found == {}


@pytest.mark.parametrize(("seeds", "methods"), [(5, 5), (3, 5), (5, 1), (2, 2)])
def test_a_detectable_difference_is_found_as_often_as_is_said(seeds: int, methods: int) -> None:
    """By t-tests of drawn seeds, where the seeds are all there is."""
    quantiles = Quantiles(seeds, 1.0)
    tail = 0.05 / 2 / methods
    shift = quantiles.found_with(0.8, tail) / math.sqrt(seeds)
    drawn = np.random.default_rng(1).normal(shift, 1.0, (40_000, seeds))
    ratios = drawn.mean(axis=1) / drawn.std(axis=1, ddof=1) * math.sqrt(seeds)
    assert (ratios > quantiles.above(tail)).mean() == pytest.approx(0.8, abs=0.01)


def test_holm_by_hand() -> None:
    assert holm({"a": 0.04, "b": 0.01, "c": 0.03, "d": 0.5}) == pytest.approx(
        {"a": 0.09, "b": 0.04, "c": 0.09, "d": 0.5}
    )
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}

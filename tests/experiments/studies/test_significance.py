"""Paired tests: extremes that are known by hand, and the numbers of sacreBLEU itself."""

import random

import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.studies.significance import (
    check_seed,
    compare_systems,
    of_all_swaps,
)
from fairseq_labo.experiments.studies.study import Significance

GENERATOR = random.Random(3)
WORDS = ["the", "a", "dog", "house", "tree", "child", "red", "small", "old", "sees", "has", "not"]
REFERENCES = [" ".join(GENERATOR.choices(WORDS, k=9)) for _ in range(60)]
SETTINGS = Significance(bootstrap=200, randomization=199)


def worse(share: float, seed: int) -> list[str]:
    """The references with a share of their words replaced."""
    generator = random.Random(seed)
    return [
        " ".join(
            generator.choice(WORDS) if generator.random() < share else word for word in line.split()
        )
        for line in REFERENCES
    ]


def test_equal_systems_and_a_clear_difference() -> None:
    base = worse(0.5, 1)
    compared, signatures = compare_systems(
        {"same": base, "base": base, "better": worse(0.05, 2)},
        REFERENCES,
        baseline="base",
        convention="bleu",
        language="en",
        settings=SETTINGS,
    )
    # sacreBLEU itself says 1 / (n + 1) of a system and its copy.
    assert compared["same"].p_bootstrap == compared["same"].p_randomization == 1.0
    assert compared["same"].score == compared["base"].score
    # No resample and no shuffle comes near the difference: p = (0 + 1) / (n + 1).
    assert compared["better"].p_bootstrap == pytest.approx(1 / 201)
    assert compared["better"].p_randomization == pytest.approx(1 / 200)
    assert compared["base"].p_bootstrap is None and compared["base"].p_randomization is None
    assert "bs:200" in signatures["bs"] and "ar:199" in signatures["ar"]
    assert "tok:13a" in signatures["bs"] and "seed:12345" in signatures["ar"]


@pytest.mark.parametrize(
    ("better", "worse_ones", "p"),
    [(1, 0, 1.0), (2, 0, 0.5), (5, 0, 0.0625), (6, 0, 0.03125), (5, 1, 0.21875), (6, 1, 0.125)],
)
def test_where_few_sentences_differ_all_swaps_are_counted(
    better: int, worse_ones: int, p: float
) -> None:
    """Equal sentences, equally better or worse: by the binomial distribution, ties included.

    Others have another wrong word, which moves no score.
    """
    references = ["a b c d e f"] * 40
    base = ["a b c d e x"] * 40
    ours = ["a b c d e f"] * better + base[better:]
    theirs = [*base[: 40 - worse_ones], *["a b c d e f"] * worse_ones]
    ours[20:29] = ["a b c d e y"] * 9
    compared, _ = compare_systems(
        {"base": theirs, "better": ours},
        references,
        baseline="base",
        convention="bleu",
        language="en",
        settings=Significance(bootstrap=10, randomization=199),
    )
    assert compared["better"].score > compared["base"].score
    assert compared["better"].p_randomization == pytest.approx(p)


def test_of_many_swaps_sacrebleu_takes_a_sample() -> None:
    base, other = worse(0.5, 1), worse(0.5, 2)
    of = {"metric": BLEU(), "at_most": 128}
    assert of_all_swaps((other[:7] + base[7:], base), REFERENCES, **of) is not None
    assert of_all_swaps((other[:8] + base[8:], base), REFERENCES, **of) is None


def test_a_large_test_set() -> None:
    """2 to the number of its sentences is above what a float holds (1,024 bits)."""
    base, other, references = (lines * 20 for lines in (worse(0.5, 1), worse(0.5, 2), REFERENCES))
    assert of_all_swaps((other, base), references, metric=BLEU(), at_most=10_000) is None


def test_numbers_are_sacrebleus() -> None:
    systems = {"base": worse(0.3, 1), "other": worse(0.25, 2)}
    compared, _ = compare_systems(
        systems, REFERENCES, baseline="base", convention="bleu", language="en", settings=SETTINGS
    )
    for kind, samples in (("bs", 200), ("ar", 199)):
        _, theirs = PairedTest(
            list(systems.items()), {"B": BLEU()}, [REFERENCES], test_type=kind, n_samples=samples
        )()
        result = theirs["BLEU"][1]
        ours = compared["other"]
        assert (ours.p_bootstrap if kind == "bs" else ours.p_randomization) == result.p_value
        assert 0.01 < result.p_value < 0.99
        assert ours.score == BLEU().corpus_score(systems["other"], [REFERENCES]).score
    assert 0.5 < compared["other"].half_width < 15


def test_convention_of_the_study_is_used() -> None:
    """With compounds split, a system that only gets compounds' parts right gains."""
    references = [f"{line} well-known" for line in REFERENCES]
    hypotheses = [f"{line} well-paid" for line in REFERENCES]
    scores = {
        convention: compare_systems(
            {"base": hypotheses},
            references,
            baseline="base",
            convention=convention,
            language="en",
            settings=SETTINGS,
        )[0]["base"].score
        for convention in ("bleu_tokenized", "bleu_tokenized_compounds")
    }
    # One wrong token at the end of 10, of 12: unigrams 9/10 and 11/12, and so on.
    plain = 100 * (9 / 10 * 8 / 9 * 7 / 8 * 6 / 7) ** 0.25
    split = 100 * (11 / 12 * 10 / 11 * 9 / 10 * 8 / 9) ** 0.25
    assert scores["bleu_tokenized"] == pytest.approx(plain)
    assert scores["bleu_tokenized_compounds"] == pytest.approx(split)


@pytest.mark.parametrize("seed", ["7", "0", "none", "NONE"])
def test_seeds_that_sacrebleu_takes(seed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SACREBLEU_SEED", seed)
    check_seed()
    compare_systems(
        {"a": worse(0.5, 1)},
        REFERENCES,
        baseline="a",
        convention="bleu",
        language="en",
        settings=SETTINGS,
    )


@pytest.mark.parametrize("seed", ["", "abc", "-1", "1.5", "²"])
def test_a_seed_that_is_none_is_refused(seed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SACREBLEU_SEED", seed)
    with pytest.raises(UserError, match=r"\$SACREBLEU_SEED: expected a number"):
        compare_systems(
            {"a": REFERENCES},
            REFERENCES,
            baseline="a",
            convention="bleu",
            language="en",
            settings=SETTINGS,
        )

"""Which pairs of one text become its validation and test set."""

import random

import pytest

from fairseq_labo.experiments.data import clean
from fairseq_labo.experiments.errors import UserError

PAIRS = [(f"Satz {number}", f"sentence {number}") for number in range(60)]


def chosen(pairs: list[tuple[str, str]], size: int) -> dict[str, set[tuple[str, str]]]:
    drawn = clean.draw_held_out(pairs, size)
    found: dict[str, set[tuple[str, str]]] = {"valid": set(), "test": set()}
    for number, split in drawn.items():
        found[split].add(pairs[number - 1])
    return found


def test_as_many_as_asked_for() -> None:
    found = chosen(PAIRS, 7)
    assert {split: len(pairs) for split, pairs in found.items()} == {"valid": 7, "test": 7}
    assert not found["valid"] & found["test"]


def test_neither_order_nor_direction_matters() -> None:
    shuffled = random.Random(1).sample(PAIRS, len(PAIRS))
    assert chosen(shuffled, 7) == chosen(PAIRS, 7)
    back = [(target, source) for source, target in PAIRS]
    assert clean.draw_held_out(back, 7) == clean.draw_held_out(PAIRS, 7)


def test_sentences_that_occur_again_are_never_held_out() -> None:
    """On either side, with another case or punctuation, or without a letter."""
    repeated = [("Ja.", "Yes."), ("ja", "Right."), ("Gut!", "Good."), ("Schön", "good")]
    repeated += [("...", "Well."), ("Tja", "---")]
    pairs = [*repeated, *PAIRS[:20]]
    assert min(clean.draw_held_out(pairs, 10)) == len(repeated) + 1
    with pytest.raises(UserError, match=r"expected 22 pairs .* found 20 of 26 "):
        clean.draw_held_out(pairs, 11)


def test_a_sentence_decides_by_its_letters_and_digits() -> None:
    for number in range(500):
        first, second = f"Go {number} away!", f"go {number}, AWAY"
        assert clean.split_of(first) == clean.split_of(second)
    splits = [clean.split_of(f"sentence {number}") for number in range(20_000)]
    for split in ("valid", "test"):
        assert 150 < splits.count(split) < 250  # one in a hundred
    assert clean.split_of("Tom is here.") == "train"


def test_untranslated_pairs_are_not_preferred() -> None:
    copies = [(f"x {number}", f"x {number}") for number in range(60)]
    found = chosen([*PAIRS, *copies], 15)
    assert 4 < sum(source == target for source, target in found["valid"] | found["test"]) < 26

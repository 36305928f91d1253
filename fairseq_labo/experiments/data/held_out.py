"""Validation and test pairs out of one text, none of whose sentences is in another split.

Sentences are compared by their letters and digits, without case.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

from fairseq_labo.experiments.errors import UserError


def draw(pairs: Iterable[tuple[str, str]], size: int) -> dict[int, str]:
    """Return the split of the pairs that are held out, `size` each for "test" and "valid".

    Keys are the pairs' numbers in the text, from 1. Candidates are the pairs both of whose
    sentences occur once on their side of the text; those with the smallest hash are taken. So
    neither the order of the text nor the direction of the pair matters. Raises UserError when
    there are fewer candidates than needed.
    """
    found = (_hash(sentence) for pair in pairs for sentence in pair)
    hashes = np.fromiter(found, dtype=np.uint64).reshape(-1, 2)  # [pairs, 2]
    is_candidate = (hashes != _hash("")).all(axis=1)
    for side in hashes.T:
        _, place, counts = np.unique(side, return_inverse=True, return_counts=True)
        is_candidate &= counts[place] == 1
    candidates = np.flatnonzero(is_candidate)
    if len(candidates) < 2 * size:
        raise UserError(
            f"--split: expected {2 * size:,} pairs whose sentences occur once in the text, found "
            f"{len(candidates):,} of {len(hashes):,}; choose a smaller number"
        )
    # Of both sides together (modulo 2**64), so that the direction does not matter.
    order = candidates[np.argsort(hashes[candidates].sum(axis=1), kind="stable")] + 1
    return {
        int(number): split
        for split, chosen in (("test", order[:size]), ("valid", order[size : 2 * size]))
        for number in chosen
    }


def split_of(sentence: str) -> str:
    """Return the split of all pairs with this sentence: one in a hundred each is held out."""
    return {0: "valid", 1: "test"}.get(_hash(sentence) % 100, "train")


def _hash(sentence: str) -> int:
    letters = "".join(filter(str.isalnum, sentence.casefold()))
    return int.from_bytes(hashlib.sha256(letters.encode()).digest()[:8], "big")

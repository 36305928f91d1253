"""Tatoeba German-English (CC BY 2.0), from all.de.gz and all.en.gz.

The release has no split, and one English sentence has several translations, so whole English
sentences go to one side: about one in a hundred each to the validation and the test set, chosen by
a hash of its letters and digits. No English sentence of one set occurs in another, not even with
another punctuation or case.
"""

import argparse
import hashlib

from fairseq_labo.experiments.data.recipe import Corpus, Member, Part, Recipe

TITLE = "Tatoeba (short sentences), German-English"
PAIRS = ("de-en", "en-de")
LINES = 169_197
SHARES = 100  # validation and test set: one of them each


def split_of(english: str) -> str:
    """Return train, valid or test for every pair with this English sentence."""
    letters = "".join(filter(str.isalnum, english.casefold()))
    digest = hashlib.sha256(letters.encode("utf-8")).digest()
    share = int.from_bytes(digest[:8], "big") % SHARES
    return {0: "valid", 1: "test"}.get(share, "train")


def corpus(options: argparse.Namespace) -> Corpus:
    """Return the corpus of `options.pair`."""
    return Corpus(
        name="tatoeba",
        pair=options.pair,
        parts={"all": Part("all", (Member("all.{lang}.gz", expected_lines=LINES),))},
        recipe=Recipe(bpe_size=8_000),
        divide=split_of,
        divide_by="en",
        note="split by English sentence",
    )

"""IWSLT'15 English-Vietnamese, as released by Stanford: Moses tokens, escaped, cased.

The text is used as it is; the references for scoring are detokenized from it.
"""

import argparse

from fairseq_labo.experiments.data.recipe import Corpus, Member, Part, Recipe

TITLE = "IWSLT'15 (TED talks), English-Vietnamese"
PAIRS = ("en-vi", "vi-en")
FILES = {"train": "train", "valid": "tst2012", "test": "tst2013"}


def corpus(options: argparse.Namespace) -> Corpus:
    """Return the corpus of `options.pair`."""
    return Corpus(
        name="iwslt15",
        pair=options.pair,
        parts={split: Part(name, (Member(f"{name}.{{lang}}"),)) for split, name in FILES.items()},
        recipe=Recipe(released_tokens=True, bpe_size=10_000),
        sources="iwslt15.en-vi",
        train_options="--size iwslt",
        note="released as tokens: the references in raw/ are detokenized",
    )

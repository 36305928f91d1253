"""IWSLT'15 English-Vietnamese, as released by Stanford: Moses tokens, escaped, cased.

The text is used as it is; the references for scoring are detokenized from it.
"""

from __future__ import annotations

import argparse

from fairseq_labo.experiments.data.recipe import Corpus, Member, Part, Recipe

TITLE = "IWSLT'15 (TED talks), English-Vietnamese"
PAIRS = ("en-vi", "vi-en")
FILES = {"train": "train", "valid": "tst2012", "test": "tst2013"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""


def corpus(options: argparse.Namespace) -> Corpus:
    """Return the corpus of `options.pair`."""
    source, target = options.pair.split("-")
    return Corpus(
        name="iwslt15",
        source_lang=source,
        target_lang=target,
        parts={split: Part(name, (Member(f"{name}.{{lang}}"),)) for split, name in FILES.items()},
        recipe=Recipe(released_tokens=True, bpe_size=10_000),
        sources="iwslt15.en-vi",
        train_options="--size iwslt",
        note="released as tokens: the references in raw/ are detokenized",
    )

"""The microworld: a small generated corpus, German and English, that needs no download."""

from __future__ import annotations

import argparse
from functools import partial

import microworld

from fairseq_labo.experiments.data.recipe import Corpus, Counts, Part, Recipe

TITLE = "the microworld, a small generated German-English corpus"
PAIRS = ("de-en", "en-de")
SIZES = {"train": 24_000, "valid": 500, "test": 500}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the generator's seed."""
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the generator")


def corpus(options: argparse.Namespace) -> Corpus:
    """Return the corpus of `options.pair`; the generator writes its text."""
    source, target = options.pair.split("-")
    return Corpus(
        name="microworld",
        source_lang=source,
        target_lang=target,
        parts={split: Part(f"seed {options.seed}", ()) for split in SIZES},
        recipe=Recipe(bpe_size=3_000),
        counts=Counts(splits=SIZES),
        generate=partial(microworld.write, **(SIZES | {"seed": options.seed})),
    )

"""Multi30k, task 1: image captions in German, English and French (Elliott et al., 2016).

The corpus is for non-commercial research. Cased, not cleaned.
"""

import argparse

from fairseq_labo.experiments.data.recipe import Corpus, Member, Part, Recipe
from fairseq_labo.experiments.errors import UserError

TITLE = "Multi30k (image captions), German-English and English-French"
PAIRS = ("de-en", "en-de", "en-fr", "fr-en")
LAYOUT = "data/task1/raw"
PARTS = {
    "train": ("train", 29_000),
    "valid": ("val", 1_014),
    "test": ("test_2016_flickr", 1_000),
    "test1": ("test_2017_flickr", 1_000),
    "test2": ("test_2017_mscoco", 461),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the older way to choose the pair."""
    for side in ("source", "target"):
        parser.add_argument(f"--{side}-lang", choices=["de", "en", "fr"], help="instead of --pair")


def corpus(options: argparse.Namespace) -> Corpus:
    """Return the corpus of `options.pair`, or of source_lang and target_lang."""
    source, target = options.pair.split("-")
    if options.source_lang or options.target_lang:
        source, target = options.source_lang or source, options.target_lang or target
        if source == target:
            raise UserError(
                f"expected two languages, found {source} twice; set --source-lang and "
                "--target-lang, or --pair"
            )
    parts = {
        split: Part(name, (Member(f"{LAYOUT}/{name}.{{lang}}.gz", expected_lines=lines),))
        for split, (name, lines) in PARTS.items()
    }
    return Corpus(
        name="multi30k",
        pair=f"{source}-{target}",
        parts=parts,
        recipe=Recipe(bpe_size=8_000),
        sources="multi30k",
        layout=LAYOUT,
    )

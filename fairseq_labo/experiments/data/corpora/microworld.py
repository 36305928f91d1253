"""The microworld: a small German-English corpus that comes with the package.

Its text was generated from a grammar (data-prep/microworld in the repository), with seed 1.
"""

import argparse
from pathlib import Path

from fairseq_labo.experiments.data.recipe import Corpus, Counts, Member, Part, Recipe
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import sha256_of

SEED = 1
SIZES = {"train": 24_000, "valid": 500, "test": 500}  # pairs that are taken: all
FOLDER = Path(__file__).resolve().parent.parent / "microworld"
SHA256 = {
    "train.tsv.gz": "036d0fb3d1213e77b104df98ba5b5b72654d1a65b50067860eecf7f131a6f187",
    "valid.tsv.gz": "5e1cb2f7aed458f983cfe7aac2fd096d7846ba04317e31616f93fc58c96caed3",
    "test.tsv.gz": "5d87172da8220b5be77591c7a1878186d75e379842144069968113921872d7df",
}


def corpus(options: argparse.Namespace) -> Corpus:
    """Return the corpus of `options.pair`; UserError for another seed than the text's."""
    if options.seed != SEED:
        raise UserError(
            f"--seed: expected {SEED}, whose text comes with the package, found {options.seed}; "
            f"in data-prep/microworld of the repository run `python -m microworld --seed "
            f"{options.seed} --destdir DIR`, then `labo prepare own --pair {options.pair} --train "
            "DIR/train --valid DIR/valid --test DIR/test`"
        )
    at_hand = {name: FOLDER / name for name in SHA256}
    for name, path in at_hand.items():
        if not path.is_file() or sha256_of(path) != SHA256[name]:
            raise UserError(
                f"{path}: expected the text that comes with fairseq_labo (SHA-256 "
                f"{SHA256[name][:12]}…), found none or another; install the package again"
            )
    parts = {}
    for split, size in SIZES.items():
        member = Member(f"{split}.tsv.gz", columns=("de", "en"), first_lines=size)
        parts[split] = Part(f"seed {SEED}", (member,))
    recipe, counts = Recipe(bpe_size=3_000), Counts(splits=SIZES)
    return Corpus("microworld", options.pair, parts, recipe, counts, at_hand=at_hand)

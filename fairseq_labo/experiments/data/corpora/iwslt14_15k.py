"""IWSLT14-15k: 14,937 of IWSLT'14's German-English training pairs, its validation and test sets.

They come tokenized and lowercased by fairseq's recipe, with the merges learned on the whole
training text (`bpe_code`), which are applied unless --bpe-size asks for merges learned here. Its
results are never called IWSLT'14.
"""

import argparse

from fairseq_labo.experiments.data.recipe import Corpus, Counts, Member, Part, Recipe

TITLE = "IWSLT14-15k: 14,937 pairs of IWSLT'14 German-English, tokenized"
PAIRS = ("de-en", "en-de")
LINES = {"train": 14_937, "valid": 7_283, "test": 6_750}
FILES = {"train": "train15k", "valid": "valid", "test": "test"}
TOKENS = {"valid.de": 182_592, "test.de": 161_838, "valid.en": 178_622, "test.en": 156_928}


def corpus(options: argparse.Namespace) -> Corpus:
    """Return the corpus of `options.pair`."""
    uses_codes = options.bpe_size is None and options.bpe in (None, "subword-nmt")
    parts = {
        split: Part(name, (Member(f"{name}.{{lang}}.gz", expected_lines=LINES[split]),))
        for split, name in FILES.items()
    }
    return Corpus(
        name="iwslt14-15k",
        pair=options.pair,
        parts=parts,
        recipe=Recipe(
            released_tokens=True,
            lowercase=True,
            bpe_size=10_000,
            codes="bpe_code" if uses_codes else None,
        ),
        counts=Counts(tokens=TOKENS if uses_codes else {}),
        note="released as tokens: the references in raw/ are detokenized",
    )

"""IWSLT'14 (TED talks), German-English and English-French, by fairseq's recipe.

Source of recipe and counts: fairseq's examples/translation/prepare-iwslt14.sh and the logs
published with it. The English-French counts are inferred, not published.
"""

import argparse

from fairseq_labo.experiments.data.recipe import (
    Corpus,
    Counts,
    Limits,
    Member,
    Nested,
    Part,
    Recipe,
)

TITLE = "IWSLT'14 (TED talks), German-English and English-French"
PAIRS = ("de-en", "en-de", "en-fr", "fr-en")
RECIPE = Recipe(
    split_final_period=True,
    straight_apostrophes=True,
    clean_tokens=Limits(max_tokens=175),
    lowercase=True,
    valid_every=23,
    bpe_size=10_000,
    joined_dictionary=False,
)
RELEASE = "2014-01.tgz"

# Test set -> segments, for the pair by its archive's name.
TEST_SETS = {
    "de-en": {
        "TED.dev2010": 887,
        "TEDX.dev2012": 1_165,
        "TED.tst2010": 1_565,
        "TED.tst2011": 1_433,
        "TED.tst2012": 1_700,
    },
    "en-fr": {"TED.dev2010": 887, "TED.tst2010": 1_664, "TED.tst2011": 818, "TED.tst2012": 1_124},
}
TRAINING_LINES = {"de-en": 174_443, "en-fr": None}
COUNTS = {
    "de-en": Counts(
        cleaned=167_522,
        splits={"train": 160_239, "valid": 7_283, "test": 6_750},
        tokens={
            "train.de": 4_035_591, "valid.de": 182_592, "test.de": 161_838,
            "train.en": 3_949_114, "valid.en": 178_622, "test.en": 156_928,
        },
        dictionary={"de": 8_848, "en": 6_632},
    ),
    "en-fr": Counts(inferred={"test": 4_493}),
}  # fmt: skip


def corpus(options: argparse.Namespace) -> Corpus:
    """Return the corpus of `options.pair`; both directions of a pair have the same text."""
    pair = "de-en" if "de" in options.pair else "en-fr"
    archive = f"{pair}.tgz"
    first, second = pair.split("-")
    # Only the German-English sets have published counts, which are checked.
    checked = pair == "de-en"
    tests = tuple(
        Member(
            f"{pair}/IWSLT14.{name}.{pair}.{{lang}}.xml",
            markup="segments",
            archive=archive,
            expected_lines=lines if checked else None,
        )
        for name, lines in TEST_SETS[pair].items()
    )
    training = Member(
        f"{pair}/train.tags.{pair}.{{lang}}",
        markup="tags2014",
        archive=archive,
        expected_lines=TRAINING_LINES[pair],
    )
    return Corpus(
        name="iwslt14",
        pair=options.pair,
        parts={
            "train": Part("train.tags", (training,)),
            "test": Part("+".join(name.removeprefix("TED.") for name in TEST_SETS[pair]), tests),
        },
        recipe=RECIPE,
        counts=COUNTS[pair],
        sources=f"iwslt14.{pair}",
        nested={archive: Nested(RELEASE, f"2014-01/texts/{first}/{second}/{archive}")},
        train_options="--size iwslt",
        note="no hash of the archive is on record"
        + (": its size and the counts of lines were checked" if checked else ", and no counts"),
    )

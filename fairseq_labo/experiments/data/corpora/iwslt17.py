"""IWSLT'17 (TED talks), French-English, by the recipe of IWSLT'14.

No count of the training text by this recipe is published, so none is checked beside the archive's
hash. (The 232,825 pairs often quoted leave out titles and descriptions, which the recipe keeps.)
The releases of 2016 and 2017 test sets hold the source side only: the reference is the source
side of the opposite direction.
"""

import argparse
from dataclasses import replace

from fairseq_labo.experiments.data.corpora.iwslt14 import RECIPE
from fairseq_labo.experiments.data.recipe import Corpus, Member, Nested, Part

TITLE = "IWSLT'17 (TED talks), French-English"
PAIRS = ("fr-en", "en-fr")
SEGMENTS = {
    "dev2010": 890, "tst2010": 1_568, "tst2011": 1_430, "tst2012": 1_704, "tst2013": 1_379,
    "tst2014": 1_306, "tst2015": 1_210, "tst2017": 1_455,
}  # fmt: skip
TEST_SETS = {
    "tst2015": ("tst2015",),
    "tst2010-2015": ("tst2010", "tst2011", "tst2012", "tst2013", "tst2014", "tst2015"),
    "tst2017": ("tst2017",),
}
CARVED = "every-23rd"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the choice of test and validation set."""
    parser.add_argument("--test-set", choices=list(TEST_SETS), default="tst2015")
    parser.add_argument(
        "--valid-set",
        choices=[CARVED, "dev2010"],
        default=CARVED,
        help="every 23rd pair of the training text, as in the recipe (default), or dev2010",
    )


def corpus(options: argparse.Namespace) -> Corpus:
    """Return the corpus of `options.pair` with `options.test_set` and `options.valid_set`."""
    training = Member(
        f"{options.pair}/train.tags.{options.pair}.{{lang}}",
        markup="tags2017",
        archive=f"{options.pair}.tgz",
    )
    parts = {"train": Part("train.tags", (training,))}
    if options.valid_set != CARVED:
        parts["valid"] = Part("dev2010", (_test_member(options.pair, "dev2010"),))
    names = TEST_SETS[options.test_set]
    members = tuple(_test_member(options.pair, name) for name in names)
    parts["test"] = Part(options.test_set, members)
    nested = Nested(
        "2017-01-trnted.tgz",
        f"2017-01-trnted/texts/{options.pair.replace('-', '/')}/{options.pair}.tgz",
    )
    return Corpus(
        name="iwslt17",
        pair=options.pair,
        parts=parts,
        recipe=replace(RECIPE, valid_every=None if "valid" in parts else RECIPE.valid_every),
        sources=f"iwslt17.{options.pair}",
        nested={f"{options.pair}.tgz": nested},
        train_options="--size iwslt",
        note=f"test set: {options.test_set}; validation set: {options.valid_set}",
    )


def _test_member(pair: str, name: str) -> Member:
    if name == "tst2017":
        # Each archive holds its source side only.
        path = f"{{lang}}-{{other}}/IWSLT17.TED.{name}.{{lang}}-{{other}}.{{lang}}.xml"
        archive = "2017-01-ted-test/texts/{lang}/{other}/{lang}-{other}.tgz"
    else:
        path = f"{pair}/IWSLT17.TED.{name}.{pair}.{{lang}}.xml"
        archive = f"{pair}.tgz"
    return Member(path, markup="segments", archive=archive, expected_lines=SEGMENTS[name])

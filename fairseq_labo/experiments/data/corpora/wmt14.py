"""WMT'14 English-German by fairseq's recipe (examples/translation/prepare-wmt14en2de.sh).

Training text: Europarl v7, Common Crawl, News Commentary v9 (WMT'14's own) or v12 (what fairseq's
script takes by default); test set: newstest2014, full.
"""

import argparse

from fairseq_labo.experiments.data.recipe import Corpus, Counts, Limits, Member, Part, Recipe

TITLE = "WMT'14 (news), English-German"
PAIRS = ("en-de", "de-en")
RECIPE = Recipe(
    normalize=True,
    aggressive_hyphens=True,
    split_final_period=True,
    straight_apostrophes=True,
    clean_subwords=Limits(max_tokens=250),
    valid_every=100,
    bpe_size=40_000,
    joined_dictionary=True,
)
COUNTS = {
    "v9": Counts(inferred={"train": 4_520_620}),
    "v12": Counts(splits={"train": 3_961_179, "valid": 40_058}),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the choice of the News Commentary."""
    parser.add_argument(
        "--news-commentary",
        choices=list(COUNTS),
        default="v9",
        help="v9: WMT'14's (default); v12: of fairseq's script",
    )


def corpus(options: argparse.Namespace) -> Corpus:
    """Return the corpus of `options.pair` with `options.news_commentary`."""
    version = options.news_commentary
    training = (
        Member("training/europarl-v7.de-en.{lang}", archive="training-parallel-europarl-v7.tgz"),
        Member("commoncrawl.de-en.{lang}", archive="training-parallel-commoncrawl.tgz"),
        Member(
            f"training/news-commentary-{version}.de-en.{{lang}}",
            archive=f"training-parallel-nc-{version}.tgz",
        ),
    )
    test = Member(
        "test-full/newstest2014-deen-{side}.{lang}.sgm",
        markup="segments",
        archive="test-full.tgz",
        expected_lines=3_003,
    )
    return Corpus(
        name="wmt14",
        pair=options.pair,
        parts={
            "train": Part(f"europarl+commoncrawl+nc-{version}", training),
            "test": Part("newstest2014", (test,)),
        },
        recipe=RECIPE,
        counts=COUNTS[version],
        sources="wmt14.en-de",
        train_options="-- --arch transformer_wmt_en_de --max-tokens 4096 --update-freq 8",
    )

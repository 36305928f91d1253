"""``labo prepare CORPUS``: from a release, or somebody's own text, to fairseq's data."""

import argparse
from dataclasses import replace
from functools import partial

from fairseq_labo.experiments.data.corpora import CORPORA
from fairseq_labo.experiments.data.recipe import Corpus
from fairseq_labo.experiments.files import default_folder

DESCRIPTION = """
Prepare a parallel corpus for fairseq: raw references, tokens, subwords, binarized data.
`labo prepare CORPUS -h` shows the options of one corpus.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add a subcommand for each corpus."""
    commands = parser.add_subparsers(dest="corpus", required=True, metavar="CORPUS")
    for name, corpus in CORPORA.items():
        command = commands.add_parser(
            name, help=corpus.title, description=f"Prepare {corpus.title}, for fairseq."
        )
        corpus.add_options(command)


def run(options: argparse.Namespace) -> None:
    """Prepare the corpus; UserError for what a user can mend."""
    from fairseq_labo.experiments.console import printable
    from fairseq_labo.experiments.data import pipeline
    from fairseq_labo.experiments.data.locate import locate

    corpus = corpus_of(options)
    destdir = options.destdir or default_folder("data", corpus.name)
    # Of a corpus that is released; somebody's own text has neither.
    given = vars(options)
    archives, source_dir = given.get("archive", []), given.get("source_dir")
    find = partial(locate, corpus, destdir, archives=archives, source_dir=source_dir)
    how = {"workers": options.workers, "force": options.force}
    if options.dry_run:
        is_given = bool(archives or source_dir or corpus.at_hand)
        print(printable(pipeline.plan(corpus, find, destdir, is_given=is_given, **how)))
        return
    accept_counts = given.get("accept_counts", False)
    pipeline.prepare_corpus(corpus, find, destdir, accept_counts=accept_counts, **how)


def corpus_of(options: argparse.Namespace) -> Corpus:
    """Return the corpus that `options` name, with the recipe that they ask for."""
    corpus = CORPORA[options.corpus].corpus(options)
    keeps_case = vars(options).get("keep_case") and corpus.recipe.lowercase
    asked = {
        "subwords": options.bpe,
        "bpe_size": options.bpe_size,
        "lowercase": False if keeps_case else None,
    }
    asked = {name: value for name, value in asked.items() if value is not None}
    recipe, counts = replace(corpus.recipe, **asked), corpus.counts
    if options.bpe_size is not None or recipe.subwords != "subword-nmt":
        recipe = replace(recipe, codes=None)
    if asked:
        # The published tokens and types belong to the published subwords.
        splits = {} if recipe.clean_subwords is not None else counts.splits
        counts = replace(counts, tokens={}, dictionary={}, splits=splits)
    if options.joined_dictionary is not None:
        recipe = replace(recipe, joined_dictionary=options.joined_dictionary)
    if recipe.joined_dictionary:
        counts = replace(counts, dictionary={})
    return replace(corpus, recipe=recipe, counts=counts)

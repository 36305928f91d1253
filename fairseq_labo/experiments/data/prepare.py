"""``labo prepare CORPUS``: from a release, or somebody's own text, to fairseq's data."""

import argparse
import errno
from dataclasses import replace
from functools import partial
from pathlib import Path

from fairseq_labo.experiments import cli
from fairseq_labo.experiments.data.corpora import CORPORA
from fairseq_labo.experiments.data.recipe import Corpus
from fairseq_labo.experiments.errors import UserError

DESCRIPTION = """
Prepare a parallel corpus for fairseq: raw references, tokens, subwords, binarized data.
`labo prepare CORPUS -h` shows the options of one corpus.
"""
REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EROFS: "the disk is read-only: choose another --destdir",
    errno.EFBIG: "no larger file may be written here: raise the limit (ulimit -f)",
    errno.EACCES: "no permission there: change it, or choose another --destdir",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add a subcommand for each corpus: its own options, then those of all."""
    commands = parser.add_subparsers(dest="corpus", required=True, metavar="CORPUS")
    for name, (title, pairs, add_own_options, _) in CORPORA.items():
        command = commands.add_parser(
            name, help=title, description=f"Prepare {title}, for fairseq."
        )
        if pairs:
            command.add_argument("--pair", choices=pairs, default=pairs[0], help="source-target")
        add_own_options(command)
        if name != "own":
            _add_release_options(command)
        _add_common_options(command, name)


def _add_release_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    archive = "a file of the release that is at hand, under its own name (may be repeated)"
    add("--archive", type=Path, action="append", default=[], metavar="FILE", help=archive)
    folder = (
        "folder with the release's archives, or with what they unpack to; without --archive and "
        "--source-dir the release is downloaded"
    )
    add("--source-dir", type=Path, metavar="DIR", help=folder)
    add("--keep-case", action="store_true", help="do not lowercase where the recipe does")
    add("--accept-counts", action="store_true", help="go on where counts differ from published")


def _add_common_options(command: argparse.ArgumentParser, name: str) -> None:
    add = command.add_argument
    folder, subwords, size, dictionary = f"data/{name}", *["the recipe's"] * 3
    if name == "own":
        folder, subwords, size, dictionary = "data/NAME", "subword-nmt", "8000", "one"
    add("--destdir", type=Path, metavar="DIR", help=f"folder to prepare (default: {folder})")
    add("--workers", type=int, default=1, metavar="N", help="processes")
    add("--bpe", choices=["subword-nmt", "sentencepiece"], help=f"default: {subwords}")
    size = f"merges of subword-nmt, or pieces of SentencePiece (default: {size})"
    add("--bpe-size", "--bpe-merges", type=int, metavar="N", help=size)
    add(
        "--joined-dictionary",
        action=argparse.BooleanOptionalAction,
        help=f"one dictionary for both sides, or two (default: {dictionary})",
    )
    add("--force", action="store_true", help="prepare again even if up to date")
    add("--dry-run", action="store_true", help="say what would be done, and do nothing")


def run(options: argparse.Namespace) -> None:
    """Prepare the corpus; UserError for what a user can mend, a full disk included."""
    from fairseq_labo.experiments.console import printable
    from fairseq_labo.experiments.data import pipeline
    from fairseq_labo.experiments.data.locate import locate

    corpus = corpus_of(options)
    destdir = options.destdir or cli.default_folder("data", corpus.name)
    # Of a corpus that is released; somebody's own text has neither.
    given = vars(options)
    archives, source_dir = given.get("archive", []), given.get("source_dir")
    find = partial(locate, corpus, destdir, archives=archives, source_dir=source_dir)
    try:
        if options.dry_run:
            is_given = bool(archives or source_dir or corpus.at_hand)
            print(printable(pipeline.plan(corpus, find, destdir, is_given=is_given)))
            return
        pipeline.prepare_corpus(
            corpus,
            find,
            destdir,
            workers=options.workers,
            force=options.force,
            accept_counts=given.get("accept_counts", False),
        )
    except BrokenPipeError:
        raise
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "mend it")
        raise UserError(
            f"{error} (preparing {destdir}); {remedy}, and run the same command again: what is "
            "complete is kept"
        ) from error


def corpus_of(options: argparse.Namespace) -> Corpus:
    """Return the corpus that `options` name, with the recipe that they ask for."""
    corpus = CORPORA[options.corpus].corpus(options)
    asked = {
        "subwords": options.bpe,
        "bpe_size": options.bpe_size,
        "lowercase": False if vars(options).get("keep_case") else None,
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

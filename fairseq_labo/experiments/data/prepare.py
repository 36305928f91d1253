"""The command of every corpus: `prepare CORPUS --destdir DIR [option ...]`."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from fairseq_labo.experiments.data import download, pipeline
from fairseq_labo.experiments.data import dry_run as plan
from fairseq_labo.experiments.data.corpora import CORPORA
from fairseq_labo.experiments.data.locate import Request, locate
from fairseq_labo.experiments.data.recipe import Corpus
from fairseq_labo.experiments.errors import UserError


def main(
    argv: Sequence[str] | None = None,
    *,
    corpus: Corpus | None = None,
    sources: Sequence[download.Source] | None = None,
) -> int:
    """Run the command; return its exit status. `corpus` and `sources` can be replaced in tests."""
    args = parser().parse_args(argv)
    try:
        chosen = with_options(corpus or CORPORA[args.corpus].corpus(args), args)
        request = Request(args.archive, args.source_dir)
        if args.dry_run:
            print(plan.describe(chosen, request, args.destdir, sources=sources))
            return 0
        pipeline.prepare_corpus(
            chosen,
            partial(locate, chosen, request, args.destdir, sources=sources),
            args.destdir,
            options=pipeline.RunOptions(
                workers=args.workers, force=args.force, accept_counts=args.accept_counts
            ),
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {_explain(error, args.destdir)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def with_options(corpus: Corpus, args: argparse.Namespace) -> Corpus:
    """Return `corpus` with the recipe that the common options ask for."""
    recipe = corpus.recipe
    if args.bpe is not None:
        recipe = replace(recipe, subwords=args.bpe)
    if args.bpe_size is not None:
        recipe = replace(recipe, bpe_size=args.bpe_size)
    if args.joined_dictionary is not None:
        recipe = replace(recipe, joined_dictionary=args.joined_dictionary)
    if args.keep_case:
        recipe = replace(recipe, lowercase=False)
    counts = corpus.counts
    if (args.bpe, args.bpe_size, args.keep_case) != (None, None, False):
        # The published tokens and types belong to the published subwords.
        after_bpe = recipe.clean_subwords is not None
        counts = replace(
            counts, tokens={}, dictionary={}, splits={} if after_bpe else counts.splits
        )
    if recipe.joined_dictionary:
        counts = replace(counts, dictionary={})
    return replace(corpus, recipe=recipe, counts=counts)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all corpora: common options, then each corpus's own."""
    whole = argparse.ArgumentParser(
        prog="python -m fairseq_labo.experiments.data.prepare",
        description="Prepare a parallel corpus for fairseq.",
        allow_abbrev=False,
    )
    commands = whole.add_subparsers(dest="corpus", required=True, metavar="CORPUS")
    for name, module in CORPORA.items():
        command = commands.add_parser(
            name,
            help=module.TITLE,
            description=f"Prepare {module.TITLE}, for fairseq.",
            allow_abbrev=False,
        )
        command.add_argument(
            "--pair", choices=module.PAIRS, default=module.PAIRS[0], help="source-target"
        )
        module.add_options(command)
        _add_common_options(command)
    return whole


def _add_common_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--destdir", type=Path, required=True, metavar="DIR", help="folder to prepare")
    add(
        "--archive",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a file of the release that is at hand, under its own name (may be repeated)",
    )
    add(
        "--source-dir",
        type=Path,
        metavar="DIR",
        help="folder with the release's archives, or with what they unpack to; without "
        "--archive and --source-dir the release is downloaded",
    )
    add("--workers", type=int, default=1, metavar="N", help="processes")
    add("--bpe", choices=["subword-nmt", "sentencepiece"], help="default: the recipe's")
    add(
        "--bpe-size",
        "--bpe-merges",
        type=int,
        metavar="N",
        help="merges of subword-nmt, or pieces of SentencePiece (default: the recipe's)",
    )
    add(
        "--joined-dictionary",
        action=argparse.BooleanOptionalAction,
        help="one dictionary for both sides, or two (default: the recipe's)",
    )
    add("--keep-case", action="store_true", help="do not lowercase where the recipe does")
    add("--accept-counts", action="store_true", help="go on where counts differ from published")
    add("--force", action="store_true", help="prepare again even if up to date")
    add("--dry-run", action="store_true", help="say what would be done, and do nothing")


def _explain(error: OSError, destdir: Path) -> str:
    """Return the error with what to do about a full or read-only disk."""
    remedies = {
        errno.ENOSPC: "the disk is full: free some space",
        errno.EDQUOT: "the disk quota is used up: free some space",
        errno.EROFS: "the disk is read-only: choose another --destdir",
        errno.EACCES: "no permission there: change it, or choose another --destdir",
    }
    remedy = remedies.get(error.errno or 0, "see the message above")
    return (
        f"{error} (preparing {destdir}); {remedy}, and run the same command again: what is "
        "complete is kept"
    )


if __name__ == "__main__":
    sys.exit(main())

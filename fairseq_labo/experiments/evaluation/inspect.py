"""``labo inspect``: what a loss teaches at each target token of some sentences."""

import argparse
import re
from functools import partial
from pathlib import Path

from fairseq_labo.defaults import DEFAULT_ALPHA, DEFAULT_BETA
from fairseq_labo.experiments.checkpoints import check_corpus, settings_of
from fairseq_labo.experiments.data.intact import check_intact
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation.evaluate import add_model_options
from fairseq_labo.experiments.training.flags import Flag, add_flags
from fairseq_labo.experiments.training.presets import CRITERION_FLAGS

DESCRIPTION = """
For each target token of some sentence pairs, with the reference given up to there: the smoothing
distribution of label smoothing, its prior (uniform, or by counts of the training data), and that of
LABO, P* = softmax(z / beta + log prior) of the checkpoint's logits z, as a table of its
likeliest tokens, and as a figure.
"""
PRIOR = CRITERION_FLAGS["label_prior"]
SHOWN_FLAGS = {
    "label_smoothing": Flag(
        float, "weight of the smoothing, for the captions", DEFAULT_ALPHA, at_least=0, at_most=1
    ),
    "top": Flag(int, "tokens shown", 5, at_least=1),
}


def numbers(text: str) -> list[int]:
    """``0,5,7`` as numbers."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected numbers like 0,5,7, found {text!r}") from error


def add_options(parser: argparse.ArgumentParser) -> None:
    """The flags of ``labo inspect``."""
    add_model_options(parser)
    add = parser.add_argument
    text = "sentences of the subset, counted from 0 (default: 0)"
    add("--sentences", type=numbers, default=[], metavar="N,N,...", help=text)
    text = "with --target: a sentence pair of your own instead; may be repeated"
    add("--source", action="append", default=[], metavar="TEXT", help=text)
    add("--target", action="append", default=[], metavar="TEXT", help="see --source")
    # "extend" would add to a default, so the default is filled in by `run`.
    text = f"LABO's temperature; several are shown side by side (default: {DEFAULT_BETA:g})"
    beta = partial(Flag(float, above=0).read, "beta")
    add("--beta", type=beta, nargs="+", action="extend", metavar="B", help=text)
    text = f"{', '.join(PRIOR.choices)}: side by side (default: uniform, and the checkpoint's own)"
    add("--prior", choices=PRIOR.choices, nargs="+", action="extend", metavar="PRIOR", help=text)
    add_flags(parser, "what is shown", SHOWN_FLAGS)
    text = "write FILE.png and FILE.svg (numbered if there are several sentences)"
    add("--figure", type=Path, metavar="FILE", help=text)


def run(options: argparse.Namespace) -> None:
    """Print the tables, and draw a figure for each sentence if asked to."""
    if len(options.source) != len(options.target):
        raise UserError(
            f"expected a --target for each --source, found {len(options.source)} and "
            f"{len(options.target)}"
        )
    if options.source and options.sentences:
        raise UserError("expected --sentences or --source with --target, found both")
    if options.figure is not None and not options.figure.name:
        raise UserError(f"--figure: expected the name of a file, found {options.figure}")
    corpus = PreparedCorpus.read(options.data)
    corpus.release_name(options.subset)
    check_intact(corpus.bin_dir, corpus.languages, splits=[options.subset])
    of_training = settings_of(check_corpus(options.checkpoint, corpus), "criterion")
    own = PRIOR.read("label_prior", of_training.get("label_prior") or "uniform")
    priors = list(dict.fromkeys(options.prior or ["uniform", own]))
    if priors != ["uniform"] and own == "uniform":  # else the checkpoint has the counts
        check_intact(corpus.bin_dir, corpus.languages, splits=["train"])
    from fairseq_labo.experiments.evaluation import smoothing
    from fairseq_labo.experiments.evaluation.teacher_forcing import load_model

    loaded = load_model(options.checkpoint, bin_dir=corpus.bin_dir, cpu=options.cpu)
    if options.source:
        pairs = list(zip(options.source, options.target, strict=True))
        batches = smoothing.text_batches(loaded, corpus, pairs)
    else:
        which = options.sentences or [0]
        batches = smoothing.subset_batches(loaded, subset=options.subset, numbers=which)
    betas = options.beta or [DEFAULT_BETA]
    inspected = smoothing.inspect(loaded, batches, betas=betas, top=options.top, priors=priors)
    for number, sentence in enumerate(inspected, start=1):
        print(smoothing.table(sentence, label_smoothing=options.label_smoothing))
        if options.figure is not None:
            from fairseq_labo.experiments.evaluation.smoothing_figure import draw
            from fairseq_labo.experiments.plotting import save

            suffix = f"-{number}" if len(inspected) > 1 else ""
            figure = draw(sentence, label_smoothing=options.label_smoothing)
            name = re.sub(r"\.(png|svg)$", "", options.figure.name)  # beta0.5 has another dot
            path = options.figure.with_name(f"{name}{suffix}")
            print(f"written: {', '.join(map(str, save(figure, path)))}")
        print()

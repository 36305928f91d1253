"""Show the labels of sentence pairs: what scripts/inspect_labels.sh runs."""

from collections.abc import Sequence
from pathlib import Path

from fairseq_labo.experiments.command import Parser
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation import labels
from fairseq_labo.experiments.evaluation.hypotheses import Corpus
from fairseq_labo.experiments.evaluation.label_figure import draw_labels
from fairseq_labo.experiments.evaluation.teacher_forcing import load_model
from fairseq_labo.experiments.plotting import save


def numbers(text: str) -> list[int]:
    """``0,5,7`` as numbers."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"--sentences: expected numbers like 0,5,7, found {text!r}") from error


def make_parser() -> Parser:
    """The flags of scripts/inspect_labels.sh."""
    parser = Parser("scripts/inspect_labels.sh")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--subset", default="test")
    parser.add_argument("--sentences")
    parser.add_argument("--source", action="append", default=[])
    parser.add_argument("--target", action="append", default=[])
    parser.add_argument("--beta", type=float, nargs="+", action="extend")
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--cpu", action="store_true")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Print the tables, and draw a figure for each sentence if asked to."""
    options = make_parser().parse_args(list(arguments))
    if len(options.source) != len(options.target):
        raise UserError(
            f"expected a --target for each --source, found {len(options.source)} and "
            f"{len(options.target)}"
        )
    if options.source and options.sentences:
        raise UserError("expected --sentences or --source with --target, found both")
    corpus = Corpus.read(options.data)
    corpus.release_name(options.subset)
    if not options.checkpoint.is_file():
        raise UserError(f"expected a checkpoint at {options.checkpoint}, found none")
    loaded = load_model(options.checkpoint, data=options.data, cpu=options.cpu)
    if options.source:
        pairs = list(zip(options.source, options.target, strict=True))
        samples, dataset = labels.text_samples(loaded, corpus, pairs)
    else:
        samples, dataset = labels.subset_samples(
            loaded, subset=options.subset, numbers=numbers(options.sentences or "0")
        )
    betas = options.beta or [2.0]
    inspected = labels.inspect(loaded, samples, dataset, betas=betas, top=options.top)
    for number, sentence in enumerate(inspected):
        print("\n".join(labels.table(sentence, label_smoothing=options.label_smoothing)))
        if options.figure is not None:
            stem = options.figure.stem + (f"-{number + 1}" if len(inspected) > 1 else "")
            figure = draw_labels(sentence, label_smoothing=options.label_smoothing)
            written = save(figure, options.figure.with_name(f"{stem}.png"))
            print(f"written: {', '.join(map(str, written))}")
        print()

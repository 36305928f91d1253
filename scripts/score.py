"""Score the output of fairseq-generate that is already there; see scripts/evaluate.sh for the rest.

Usage: python score.py --generated DIR/generate-test.txt --data DATA --subset test \
           --checkpoint CKPT --output DIR [--validation-log FILE] [--beam N --lenpen X]

Writes into DIR the hypotheses (detokenized: hyp.LANG; as Moses tokens: hyp.tok.LANG), in the
order of the references, one a line, and scores.json: BLEU in every convention and chrF with their
signatures, NLL, and what they were obtained with (checkpoint, seed, versions, machine, commit).
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from fairseq_labo.experiments.command import Parser, run_main
from fairseq_labo.experiments.evaluation.bleu import score_text
from fairseq_labo.experiments.evaluation.evaluate import describe, human_table, write_texts
from fairseq_labo.experiments.evaluation.hypotheses import (
    Corpus,
    read_hypotheses,
    read_nll,
    read_texts,
    score,
)
from fairseq_labo.experiments.files import write_json
from fairseq_labo.experiments.provenance import describe_checkpoint, describe_machine

__all__ = ["describe_machine", "read_hypotheses", "read_nll", "score"]


def main(arguments: Sequence[str]) -> None:
    """Read the arguments, write hypotheses and scores.json, print the scores."""
    parser = Parser("score.py")
    parser.add_argument("--generated", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--subset", default="test")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--validation-log", type=Path)
    parser.add_argument("--beam", type=int)
    parser.add_argument("--lenpen", type=float)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--allow-empty", action="store_true")
    parser.add_argument("-h", "--help", action="store_true")
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return
    options = parser.parse_args(list(arguments))
    corpus = Corpus.read(options.data)
    texts = read_texts(
        options.generated, corpus, subset=options.subset, allow_empty=options.allow_empty
    )
    write_texts(texts, options.output, language=corpus.languages[1])
    report = {
        **score_text(texts),
        "nll": None,
        **describe(corpus, options.subset, texts),
        "generation": {
            "beam": options.beam,
            "lenpen": options.lenpen,
            "seconds": options.seconds,
        },
        "checkpoint": describe_checkpoint(options.checkpoint),
        "machine": describe_machine(),
    }
    if options.validation_log is not None:
        bits = read_nll(options.validation_log, subset=options.subset)
        report["nll"] = {"score": bits, "unit": "bits per target token"}
    write_json(options.output / "scores.json", report)
    print("\n".join(human_table(report)))
    print(f"written: {options.output / 'scores.json'}", file=sys.stderr)


if __name__ == "__main__":
    run_main(main)

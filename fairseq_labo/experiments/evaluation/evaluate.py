"""``labo evaluate``: translate a subset with a checkpoint, and score it."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairseq_labo.experiments.console import format_table, say
from fairseq_labo.experiments.data import prepared
from fairseq_labo.experiments.data.prepared import PreparedCorpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation import comet, published
from fairseq_labo.experiments.evaluation.bleu import Texts, score_text
from fairseq_labo.experiments.evaluation.hypotheses import read_texts
from fairseq_labo.experiments.files import read_lines, write_json, write_lines

DESCRIPTION = """
Translate a subset in batches with fairseq-generate, score it against the raw references, and
measure NLL and calibration with the reference given (teacher-forced). Printed, and written to
scores.json in the output folder: BLEU in every convention and chrF, each labelled and with its
signature. Also written: hyp.LANG, hyp.tok.LANG, ref.tok.LANG (one a line, in the test set's
order), and logs. Hypotheses are cut at 1.2 times the source's length + 10 tokens.
"""


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The flags of every command on a checkpoint and a corpus."""
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="prepared corpus")
    text = "any translation checkpoint of fairseq for that corpus"
    add("--checkpoint", type=Path, required=True, metavar="FILE", help=text)
    add("--subset", default="test", metavar="NAME", help="test (default), test1, valid, ...")
    add("--cpu", action="store_true", help="do not use the GPU")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The flags of ``labo evaluate``."""
    add_model_options(parser)
    add = parser.add_argument
    text = "the mean of the newest N numbered checkpoints beside FILE (or in it, if a folder)"
    add("--average", type=int, metavar="N", help=text)
    add("--output", type=Path, metavar="DIR", help="default: SUBSET-scores beside the checkpoint")
    add("--beam", type=int, default=5, metavar="N", help="default: %(default)s")
    add("--lenpen", type=float, default=1.0, metavar="X", help="length penalty (default: 1)")
    text = "source tokens in a batch (default: %(default)s)"
    add("--max-tokens", type=int, default=4000, metavar="N", help=text)
    tasks = list(published.PAPER_TASKS)
    text = f"compare with published figures, in the convention of each: {', '.join(tasks)}"
    add("--paper", choices=tasks, metavar="TASK", help=text)
    text = "also score with COMET (package unbabel-comet, a model's local .ckpt file)"
    add("--comet", type=Path, metavar="FILE", help=text)
    text = "raw sources for --comet, one a line (default: those that labo prepare keeps)"
    add("--sources", type=Path, metavar="FILE", help=text)
    add("--allow-empty", action="store_true", help="score empty hypotheses, otherwise an error")
    prepared.add_corpus_options(parser)


def checkpoint_folder(options: argparse.Namespace) -> Path:
    """--checkpoint, or the folder that it lies in."""
    checkpoint: Path = options.checkpoint
    return checkpoint if checkpoint.is_dir() else checkpoint.parent


def output_folder(options: argparse.Namespace) -> Path:
    """--output, or SUBSET-scores beside the checkpoint (of an average: with its number)."""
    middle = "" if options.average is None else f"average{options.average}-"
    return options.output or checkpoint_folder(options) / f"{options.subset}-{middle}scores"


def run(options: argparse.Namespace) -> None:
    """Evaluate as the flags say; print the table."""
    print("\n".join(human_table(evaluate(options))))
    print(f"written: {output_folder(options) / 'scores.json'}")


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Run the whole evaluation; write hypotheses, references, logs and scores.json; return it.

    Raises UserError for whatever is missing or does not fit, before anything long begins where
    that can be seen.
    """
    from fairseq_labo.experiments import provenance
    from fairseq_labo.experiments.evaluation import calibration, generation
    from fairseq_labo.experiments.evaluation.teacher_forcing import load_model

    corpus = PreparedCorpus.read(options.data, prepared.given_by(options))
    references, sources, task = check(options, corpus)
    checkpoint, output = choose_checkpoint(options), output_folder(options)
    subset, language = options.subset, corpus.languages[1]
    output.mkdir(parents=True, exist_ok=True)
    # If this evaluation fails, no scores of an earlier one stand beside its output.
    (output / "scores.json").unlink(missing_ok=True)
    words = generation.arguments(options, corpus, checkpoint)
    size = len(references)
    generated, seconds = generation.generate(words, output=output, subset=subset, expected=size)
    texts = read_texts(generated, corpus, references, allow_empty=options.allow_empty)
    write_lines(output / f"hyp.tok.{language}", texts.hypothesis_tokens)
    write_lines(output / f"hyp.{language}", texts.hypotheses)
    write_lines(output / f"ref.tok.{language}", texts.reference_tokens)
    loaded = load_model(checkpoint, bin_dir=corpus.bin_dir, cpu=options.cpu)
    measured = calibration.measure_subset(loaded, subset=subset, max_tokens=options.max_tokens)
    scores = score_text(texts)
    if options.comet is not None:
        scores["comet"] = comet.score_comet(options.comet, texts, sources=sources, cpu=options.cpu)
    report = {
        **scores,
        "nll": {"score": round(measured.nll_bits, 4), "unit": "bits per target token"},
        "calibration": measured.as_json(),
        "paper": published.compare_with_paper(task, scores, sentences=size),
        **describe(corpus, subset, texts),
        "generation": {
            **{name: getattr(options, name) for name in ("beam", "lenpen", "max_tokens")},
            "extra": options.passed_on,
            "seconds": round(seconds, 1),
        },
        "checkpoint": provenance.describe_checkpoint(checkpoint),
        "machine": provenance.describe_machine(cpu=options.cpu),
    }
    write_json(output / "scores.json", report)
    return report


def check(
    options: argparse.Namespace, corpus: PreparedCorpus
) -> tuple[Sequence[str], Sequence[str], published.PaperTask | None]:
    """Raw references, raw sources (for COMET), and the task of --paper; errors as `evaluate`."""
    source, target = corpus.languages
    references = corpus.raw(options.subset, target)
    # A flag that they lack is told now, not after the translation.
    _ = corpus.post_process, corpus.tokenizer
    task = options.paper and published.paper_task(
        options.paper, corpus=corpus.name, languages=corpus.languages
    )
    if options.comet is None:
        return references, [], task
    comet.check_comet(options.comet)
    sources = list(read_lines(options.sources)) if options.sources else []
    if corpus.manifest and not options.sources:
        sources = corpus.raw(options.subset, source)
    if len(sources) != len(references):
        raise UserError(
            f"--comet: expected {len(references)} raw sources of {options.subset}, found "
            f"{len(sources)}; give --sources FILE"
        )
    return references, sources, task


def choose_checkpoint(options: argparse.Namespace) -> Path:
    """The checkpoint to evaluate: the file named, or the average of the newest of its folder."""
    named: Path = options.checkpoint
    if options.average is not None:
        from fairseq_labo.experiments.evaluation import averaging

        paths = averaging.newest_checkpoints(checkpoint_folder(options), options.average)
        averaged = output_folder(options) / "averaged.pt"
        say(f"averaging {', '.join(path.name for path in paths)} -> {averaged}")
        averaging.average_checkpoints(paths, averaged)
        return averaged
    if not named.is_file():
        folder = "a folder (name a file in it, or give --average N)"
        raise UserError(
            f"expected a checkpoint at {named}, found {folder if named.is_dir() else 'none'}: "
            "train one with labo train"
        )
    return named


def describe(corpus: PreparedCorpus, subset: str, texts: Texts) -> dict[str, Any]:
    """Which sentences were scored."""
    release_name, sentences = corpus.release_name(subset), len(texts.references)
    return {
        "corpus": corpus.name,
        "subset": {"name": subset, "release_name": release_name, "sentences": sentences},
        "empty_hypotheses": sum(not line.strip() for line in texts.hypotheses),
        "lowercase_output": has_capitals(texts.references) and not has_capitals(texts.hypotheses),
    }


def has_capitals(lines: Sequence[str]) -> bool:
    """Whether a letter of the lines is a capital."""
    return any(line != line.lower() for line in lines)


def human_table(report: dict[str, Any]) -> list[str]:
    """The scores as lines for a terminal: label, score, signature; then the measures."""
    rows = [["score", "", "signature"]]
    for value in report.values():
        if isinstance(value, dict) and "signature" in value:
            rows.append([value["label"], f"{value['score']:.2f}", value["signature"]])
    lines = format_table(rows, left_columns=1).split("\n")
    if report["lowercase_output"]:
        lines.append("The output has no capitals, the references do: cased scores count that.")
    measured = report["calibration"]
    lines += [
        "",
        f"NLL {measured['nll_bits']:.3f} bits per target token, entropy "
        f"{measured['entropy_bits']:.3f} bits, accuracy {100 * measured['accuracy']:.2f} %",
        f"calibration ({measured['tokens']} tokens, {len(measured['bins'])} bins): "
        f"ECE {100 * measured['ece']:.2f} %, MCE {100 * measured['mce']:.2f} %, "
        f"Brier {measured['brier']:.4f}",
    ]
    return [*lines, *([""] if report["paper"] else []), *report["paper"]]

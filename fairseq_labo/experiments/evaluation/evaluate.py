"""``labo evaluate``: translate a subset with a checkpoint, and score it."""

import argparse
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fairseq_labo.experiments import provenance
from fairseq_labo.experiments.checkpoints import check_corpus, fingerprint
from fairseq_labo.experiments.data import prepared
from fairseq_labo.experiments.data.intact import check_intact
from fairseq_labo.experiments.data.prepared import PreparedCorpus, check_no_corpus
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation import averaging, comet, generation, lengths, published
from fairseq_labo.experiments.evaluation.bleu import (
    AS_IT_IS,
    DETOKENIZED,
    Texts,
    ceilings,
    check_tokenizer,
    score_text,
)
from fairseq_labo.experiments.evaluation.identity import (
    AVERAGED,
    PART,
    SCORES,
    check_earlier,
    identity,
)
from fairseq_labo.experiments.evaluation.summary import describe, human_table
from fairseq_labo.experiments.files import locked, read_lines, write_json
from fairseq_labo.experiments.training.flags import Flag, add_flags, value_of

DESCRIPTION = """
Translate a subset in batches with fairseq-generate, score it against the raw references, and
measure NLL and calibration with the reference given (teacher-forced). Printed, and written to
scores.json in the output folder: BLEU in every convention and chrF, each labelled and with its
signature, and with its ceiling, which is the score of the references' own tokens, detokenized.
Also written: hyp.LANG, hyp.tok.LANG, ref.tok.LANG (one a line, in the test set's order), and logs.
Hypotheses are cut at 1.2 times the length of the longest source in their batch + 10 tokens. Scores
of another checkpoint, corpus or setting are never replaced.
"""
# Of fairseq-generate. A length to a higher power than 100 is no number.
SEARCH_FLAGS = {
    "beam": Flag(int, "width of the search", 5, at_least=1, at_most=10_000),
    "lenpen": Flag(float, "length penalty", 1.0, at_least=-100, at_most=100),
    "max_tokens": Flag(int, "source tokens in a batch", 4000, at_least=1),
}


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
    text = "the mean of the newest N checkpoints of epochs beside FILE (or in it, if a folder), or "
    text += "where there are none of updates"
    add("--average", type=partial(Flag(int, at_least=1).read, "average"), metavar="N", help=text)
    add("--output", type=Path, metavar="DIR", help="default: SUBSET-scores beside the checkpoint")
    add_flags(parser, "translation", SEARCH_FLAGS)
    tasks = list(published.PAPER_TASKS)
    text = f"compare with published figures, in the convention of each: {', '.join(tasks)}"
    add("--paper", choices=tasks, metavar="TASK", help=text)
    text = "also score with COMET (package unbabel-comet, a model's local .ckpt file)"
    add("--comet", type=Path, metavar="FILE", help=text)
    text = "raw sources for --comet, one a line (default: those that labo prepare keeps)"
    add("--sources", type=Path, metavar="FILE", help=text)
    add("--allow-empty", action="store_true", help="score empty hypotheses, otherwise an error")
    text = "score without the lines that are too long for learned positions, otherwise an error"
    add("--skip-long", action="store_true", help=text)
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
    print(f"written: {output_folder(options) / SCORES}")


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Run the whole evaluation; write hypotheses, references, logs and scores.json; return it.

    Raises UserError for whatever is missing or does not fit, before anything long begins where
    that can be seen. What an earlier evaluation has left stands until this one is finished.
    """
    generation.check_passed_on(options)
    corpus = PreparedCorpus.read(options.data, prepared.given_by(options))
    references, sources, task = check(options, corpus)
    paths, output = choose_checkpoints(options), output_folder(options)
    of_task = value_of("--task", options.passed_on) or "translation"
    state = check_corpus(paths[-1], corpus, task=of_task)
    fit = lengths.fit(
        state, corpus, options.subset, max_tokens=options.max_tokens, skip=options.skip_long
    )
    del state
    check_no_corpus(output)
    with locked(output):
        report = identity(options, corpus, paths, references)
        earlier = check_earlier(output / SCORES, report, beside=checkpoint_folder(options))
        checkpoint = paths[0] if options.average is None else output / PART / AVERAGED
        with finished_together(output) as work:
            if options.average is not None:
                averaging.average_checkpoints(paths, checkpoint)
                check_unchanged(paths, report)
            report["subset"]["sentences"] = len(references) - len(fit.skipped)
            texts, seconds = translate(options, corpus, checkpoint, fit, references, work=work)
            scores = score(options, corpus, texts, sources=fit.kept(sources))
            if "comet" in earlier and "comet" not in scores and is_of(output, texts, corpus):
                scores["comet"] = earlier["comet"]
            report["generation"]["seconds"] = round(seconds, 1)
            report["checkpoint"] |= provenance.describe_checkpoint(checkpoint)
            report = {
                **scores,
                **measure(options, corpus, checkpoint, fit),
                "paper": published.compare_with_paper(
                    task, scores, sentences=report["subset"]["sentences"]
                ),
                **report,
                **describe(texts),
                "skipped": list(fit.skipped),
                "machine": provenance.describe_machine(cpu=options.cpu),
            }
            if options.average is None:
                check_unchanged(paths, report)
            write_json(work / SCORES, report)
    return report


def translate(
    options: argparse.Namespace, corpus: PreparedCorpus, checkpoint: Path, fit: lengths.Fit,
    references: Sequence[str], *, work: Path,
) -> tuple[Texts, float]:  # fmt: skip
    """The texts of the subset, written to `work` with the log, and the seconds it took."""
    expected = len(references) - len(fit.skipped)
    generated, seconds = generation.generate(
        generation.arguments(options, corpus, checkpoint, fit),
        output=work,
        subset=options.subset,
        expected=expected,
    )
    texts = generation.read_texts(
        generated, corpus, references, allow_empty=options.allow_empty, skipped=fit.skipped
    )
    generation.write_texts(work, texts, language=corpus.languages[1])
    return texts, seconds


def check_unchanged(checkpoints: Sequence[Path], report: Mapping[str, Any]) -> None:
    """Raise UserError if a training has replaced a checkpoint since the report was begun."""
    if fingerprint(checkpoints) != report["checkpoint"]["sha256"]:
        raise UserError(
            f"{checkpoints[-1]}: expected a checkpoint that stays as it is, found that a training "
            "has replaced it meanwhile; evaluate a copy of it, or wait until the training has ended"
        )


@contextmanager
def finished_together(output: Path) -> Iterator[Path]:
    """A folder in `output`, whose files are moved there at the end, the scores last.

    If anything fails they stay where they are, and those of an earlier evaluation as well.
    """
    work = output / PART
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    yield work
    for path in sorted(work.iterdir(), key=lambda path: path.name == SCORES):
        path.replace(output / path.name)
    work.rmdir()


def score(
    options: argparse.Namespace, corpus: PreparedCorpus, texts: Texts, *, sources: Sequence[str]
) -> dict[str, Any]:
    """The scores of the hypotheses, and their ceilings."""
    straight = bool(corpus.manifest.get("settings", {}).get("straight_apostrophes"))
    language = corpus.languages[1]
    scores: dict[str, Any] = score_text(texts, language=language, straight=straight)
    if options.comet is not None:
        scores["comet"] = comet.score_comet(options.comet, texts, sources=sources, cpu=options.cpu)
    if corpus.tokenizer == "none":
        for each in scores.values():
            each["label"] = each["label"].replace(DETOKENIZED, AS_IT_IS)
    detokenize = generation.text_of_tokens(corpus)
    ceiling = ceilings(texts, detokenize=detokenize, language=language, straight=straight)
    return {**scores, "ceiling": ceiling}


def is_of(output: Path, texts: Texts, corpus: PreparedCorpus) -> bool:
    """Whether the hypotheses that lie in the output folder are those of `texts`."""
    path = output / f"hyp.{corpus.languages[1]}"
    return path.exists() and list(read_lines(path)) == list(texts.hypotheses)


def measure(
    options: argparse.Namespace, corpus: PreparedCorpus, checkpoint: Path, fit: lengths.Fit
) -> dict[str, Any]:
    """NLL and calibration of the subset's references."""
    from fairseq_labo.experiments.evaluation.teacher_forcing import load_model, measure_subset

    loaded = load_model(checkpoint, bin_dir=corpus.bin_dir, cpu=options.cpu, limits=fit.limits)
    measured = measure_subset(
        loaded, subset=options.subset, max_tokens=fit.max_tokens, skip_long=bool(fit.skipped)
    )
    return {
        "nll": {"score": round(measured.nll_bits, 4), "unit": "bits per target token"},
        "calibration": measured.as_json(),
    }


def check(
    options: argparse.Namespace, corpus: PreparedCorpus
) -> tuple[Sequence[str], Sequence[str], published.PaperTask | None]:
    """Raw references, raw sources (for COMET), and the task of --paper; errors as `evaluate`."""
    source, target = corpus.languages
    references = corpus.raw(options.subset, target)
    check_intact(corpus.bin_dir, corpus.languages, splits=[options.subset])
    check_tokenizer(target)
    # A flag that they lack is told now, not after the translation.
    _ = corpus.post_process, corpus.tokenizer
    if not corpus.manifest:  # its references are given, and may be of another text
        generation.check_binarized(corpus, options.subset, references)
    task = options.paper and published.paper_task(
        options.paper, corpus=corpus.name, languages=corpus.languages, subset=options.subset
    )
    if options.comet is None:
        if options.sources:
            raise UserError("--sources: expected with --comet, which alone reads it, found without")
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


def choose_checkpoints(options: argparse.Namespace) -> list[Path]:
    """The file named, or those that --average says, oldest first; UserError for a folder."""
    if options.average is not None:
        folder = checkpoint_folder(options)
        if not folder.is_dir():
            raise UserError(
                "--checkpoint: expected, with --average, a folder of checkpoints or a file in one, "
                f"found no folder {folder}; give the folder"
            )
        return averaging.newest_checkpoints(folder, options.average)
    if options.checkpoint.is_dir():
        raise UserError(
            f"expected a checkpoint at {options.checkpoint}, found a folder: name a file in it, or "
            "give --average N"
        )
    return [options.checkpoint]

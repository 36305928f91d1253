"""Translate a subset with a checkpoint and score it: what scripts/evaluate.sh runs."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fairseq_labo.experiments import provenance as machine
from fairseq_labo.experiments.command import Parser, split_passed_on
from fairseq_labo.experiments.data.splits import format_table
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.evaluation import averaging, calibration, comet
from fairseq_labo.experiments.evaluation import bleu as conventions
from fairseq_labo.experiments.evaluation.bleu import PaperTask, Texts, score_text
from fairseq_labo.experiments.evaluation.generation import GenerationSettings, generate
from fairseq_labo.experiments.evaluation.hypotheses import Corpus, read_texts
from fairseq_labo.experiments.evaluation.teacher_forcing import load_model
from fairseq_labo.experiments.files import write_json, write_lines


@dataclass(frozen=True)
class EvaluationSettings:
    """What to evaluate, and how; the flags of scripts/evaluate.sh."""

    data: Path
    checkpoint: Path
    generation: GenerationSettings
    subset: str = "test"
    output: Path | None = None
    average: int | None = None
    allow_empty: bool = False
    paper: str | None = None
    comet: Path | None = None

    @property
    def folder(self) -> Path:
        """Of the checkpoints."""
        return self.checkpoint if self.checkpoint.is_dir() else self.checkpoint.parent

    @property
    def output_folder(self) -> Path:
        """`output`, or SUBSET-scores beside the checkpoint (of an average: with its number)."""
        if self.output is not None:
            return self.output
        middle = "" if self.average is None else f"average{self.average}-"
        return self.folder / f"{self.subset}-{middle}scores"


def evaluate(settings: EvaluationSettings) -> dict[str, Any]:
    """Run the whole evaluation; write hypotheses, references, logs and scores.json; return it.

    Raises UserError for whatever is missing or does not fit, before anything long begins where
    that can be seen.
    """
    corpus = Corpus.read(settings.data)
    task = check(settings, corpus)
    output = settings.output_folder
    checkpoint = choose_checkpoint(settings)
    # A result from before must not stand beside output from now.
    (output / "scores.json").unlink(missing_ok=True)
    generated, seconds = generate(
        checkpoint,
        data=settings.data,
        subset=settings.subset,
        output=output,
        expected=len(corpus.raw(settings.subset, corpus.languages[1])),
        settings=replace(settings.generation, post_process=corpus.subwords.replace("-", "_")),
    )
    texts = read_texts(generated, corpus, subset=settings.subset, allow_empty=settings.allow_empty)
    write_texts(texts, output, language=corpus.languages[1])
    loaded = load_model(checkpoint, data=settings.data, cpu=settings.generation.cpu)
    measured = calibration.measure_subset(
        loaded, subset=settings.subset, max_tokens=settings.generation.max_tokens
    )
    scores = score_all(settings, corpus, texts)
    report = {
        **scores,
        "nll": {"score": round(measured.nll_bits, 4), "unit": "bits per target token"},
        "calibration": measured.as_json(),
        "paper": task_lines(task, scores, texts),
        **describe(corpus, settings.subset, texts),
        "generation": {**settings.generation.as_json(), "seconds": round(seconds, 1)},
        "checkpoint": machine.describe_checkpoint(checkpoint),
        "machine": machine.describe_machine(cpu=settings.generation.cpu),
    }
    write_json(output / "scores.json", report)
    return report


def check(settings: EvaluationSettings, corpus: Corpus) -> PaperTask | None:
    """Check what needs no model; return the task that --paper names, if it does."""
    source_lang, target_lang = corpus.languages
    corpus.raw(settings.subset, target_lang)
    if settings.comet is not None:
        comet.check_comet(settings.comet)
    if settings.paper is None:
        return None
    return conventions.paper_task(
        settings.paper, corpus=corpus.name, source_lang=source_lang, target_lang=target_lang
    )


def task_lines(task: PaperTask | None, scores: dict[str, Any], texts: Texts) -> list[str]:
    """Our scores beside the published figures of a task; nothing without a task."""
    if task is None:
        return []
    return conventions.compare_with_paper(task, scores, sentences=len(texts.references))


def score_all(settings: EvaluationSettings, corpus: Corpus, texts: Texts) -> dict[str, Any]:
    """Every convention of BLEU, chrF, and COMET if it is asked for."""
    scores: dict[str, Any] = score_text(texts)
    if settings.comet is not None:
        scores["comet"] = comet.score_comet(
            settings.comet,
            sources=corpus.raw(settings.subset, corpus.languages[0]),
            hypotheses=texts.hypotheses,
            references=texts.references,
            cpu=settings.generation.cpu,
        )
    return scores


def choose_checkpoint(settings: EvaluationSettings) -> Path:
    """The checkpoint to evaluate: the file named, or the average of the newest of its folder."""
    if settings.average is not None:
        paths = averaging.newest_checkpoints(settings.folder, settings.average)
        settings.output_folder.mkdir(parents=True, exist_ok=True)
        averaged = settings.output_folder / "averaged.pt"
        print(f"averaging {', '.join(path.name for path in paths)} -> {averaged}", file=sys.stderr)
        averaging.average_checkpoints(paths, averaged)
        return averaged
    if not settings.checkpoint.is_file():
        folder = "a folder (name a file in it, or give --average N)"
        raise UserError(
            f"expected a checkpoint at {settings.checkpoint}, found "
            f"{folder if settings.checkpoint.is_dir() else 'none'}: train one with scripts/train.sh"
        )
    settings.output_folder.mkdir(parents=True, exist_ok=True)
    return settings.checkpoint


def write_texts(texts: Texts, output: Path, *, language: str) -> None:
    """Write hypotheses and references, one a line in the test set's order, as text and tokens."""
    write_lines(output / f"hyp.tok.{language}", texts.hypothesis_tokens)
    write_lines(output / f"hyp.{language}", texts.hypotheses)
    write_lines(output / f"ref.tok.{language}", texts.reference_tokens)


def describe(corpus: Corpus, subset: str, texts: Texts) -> dict[str, Any]:
    """Which sentences were scored."""
    return {
        "corpus": corpus.name,
        "subset": {
            "name": subset,
            "release_name": corpus.release_name(subset),
            "sentences": len(texts.references),
        },
        "empty_hypotheses": sum(not line.strip() for line in texts.hypotheses),
        "lowercase_output": not any(map(has_capitals, texts.hypotheses))
        and any(map(has_capitals, texts.references)),
    }


def has_capitals(line: str) -> bool:
    """Whether a letter of the line is a capital."""
    return line != line.lower()


def human_table(report: dict[str, Any]) -> list[str]:
    """The scores as lines for a terminal: label, score, signature; then the measures."""
    rows = [["score", "signature", ""]]
    for value in report.values():
        if isinstance(value, dict) and "signature" in value:
            rows.append([value["label"], value["signature"], f"{value['score']:.2f}"])
    lines = format_table([[row[0], row[2], row[1]] for row in rows], left_columns=1).split("\n")
    lines = [line.rstrip() for line in lines]
    if report.get("lowercase_output"):
        lines.append("The output has no capitals, the references do: cased scores count that.")
    measured = report.get("calibration")
    if measured:
        lines += [
            "",
            f"NLL {measured['nll_bits']:.3f} bits per target token, entropy "
            f"{measured['entropy_bits']:.3f} bits, accuracy {100 * measured['accuracy']:.2f} %",
            f"calibration ({measured['tokens']} tokens, {len(measured['bins'])} bins): "
            f"ECE {100 * measured['ece']:.2f} %, MCE {100 * measured['mce']:.2f} %, "
            f"Brier {measured['brier']:.4f}",
        ]
    return [*lines, *([""] if report.get("paper") else []), *report.get("paper", [])]


def parse(arguments: Sequence[str]) -> EvaluationSettings:
    """Flags to settings; raises UserError for what is wrong with them."""
    own, extra = split_passed_on(arguments)
    parser = Parser("scripts/evaluate.sh")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--subset", default="test")
    parser.add_argument("--average", type=int)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--lenpen", type=float, default=1.0)
    parser.add_argument("--max-tokens", type=int, default=4000)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--allow-empty", action="store_true")
    parser.add_argument("--paper")
    parser.add_argument("--comet", type=Path)
    options = parser.parse_args(own)
    generation = GenerationSettings(
        options.beam, options.lenpen, options.max_tokens, options.cpu, tuple(extra)
    )
    return EvaluationSettings(
        data=options.data,
        checkpoint=options.checkpoint,
        generation=generation,
        subset=options.subset,
        output=options.output,
        average=options.average,
        allow_empty=options.allow_empty,
        paper=options.paper,
        comet=options.comet,
    )


def main(arguments: Sequence[str]) -> None:
    """Evaluate as the flags say; print the table."""
    settings = parse(arguments)
    report = evaluate(settings)
    print("\n".join(human_table(report)))
    print(f"written: {settings.output_folder / 'scores.json'}")

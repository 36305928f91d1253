"""What an evaluation tells its reader beside the scores, and their table for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from fairseq_labo.experiments.console import format_table
from fairseq_labo.experiments.evaluation.bleu import Texts
from fairseq_labo.experiments.languages import UNSPACED, short_code

LOWEST_CEILING = 98.0  # BLEU; Multi30k's test sets have 99.9 and more


def describe(texts: Texts) -> dict[str, Any]:
    """What the reader of the scores should know of the texts."""
    return {
        "empty_hypotheses": sum(not line.strip() for line in texts.hypotheses),
        "lowercase_output": has_capitals(texts.references)
        and not has_capitals(texts.hypotheses)
        and any(line.upper() != line for line in texts.hypotheses),
    }


def cautions(scores: Mapping[str, Any], *, language: str) -> list[str]:
    """What makes BLEU of this target language or these tokens something else than it seems."""
    lines = []
    if unspaced := UNSPACED.get(short_code(language)):
        lines.append(f"{unspaced} has no spaces, at which this BLEU parts words: compare by chrF.")
    best = max(scores.get("ceiling", {}).values(), default=100.0)  # old scores have none
    if best < LOWEST_CEILING:
        lines.append(
            f"The references' own tokens, made text as the translations are, have {best:.2f} BLEU "
            "(ceiling): the rest is lost by detokenizing or in unknown words. chrF does not count "
            "spaces."
        )
    return lines


def has_capitals(lines: Sequence[str]) -> bool:
    """Whether a letter of the lines is a capital."""
    return any(line != line.lower() for line in lines)


def human_table(report: dict[str, Any]) -> list[str]:
    """The scores as lines for a terminal: label, score, signature; then the measures."""
    rows = [["score", "", "ceiling", "signature"]]
    for name, value in report.items():
        if isinstance(value, dict) and "signature" in value:
            best = report["ceiling"].get(name)
            numbers = [f"{value['score']:.2f}", "" if best is None else f"{best:.2f}"]
            rows.append([value["label"], *numbers, value["signature"]])
    lines = format_table(rows, left_columns=1).split("\n")
    if report["skipped"]:
        lines.append(f"NOT scored: {len(report['skipped'])} lines, too long for the model.")
    if empty := report["empty_hypotheses"]:
        lines.append(f"{empty} of {report['subset']['sentences']} hypotheses are empty.")
    lines += cautions(report, language=report["languages"][1])
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

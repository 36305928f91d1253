"""One table of several trained and scored models, and some of their translations.

Usage: python summarize.py --data DATA --runs DIR [--output FILE]

DIR holds a folder for each model, as scripts/train.sh and scripts/evaluate.sh leave it.
"""

import argparse
import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.files import read_lines
from fairseq_labo.experiments.training.progress import parse_report

SAMPLES = 4
FINISHED = re.compile(r"done training in ([\d.]+)")


class Run(NamedTuple):
    """A trained and scored model; speed in target tokens per second, as fairseq counts them."""

    name: str
    scores: dict[str, Any]
    words_per_second: float
    train_seconds: float
    hypotheses: list[str]


def read_run(folder: Path, *, subset: str) -> Run:
    """Collect what training and scoring left in `folder`; UserError if a part is missing."""
    scores_path = folder / f"{subset}-scores" / "scores.json"
    log_path = folder / "train.log"
    for path in (scores_path, log_path):
        if not path.exists():
            raise UserError(
                f"{path}: expected a trained and scored model, found none; run it first"
            )
    log = list(read_lines(log_path))
    reports = [report for report in map(parse_report, log) if report is not None]
    speeds = [float(values["train_wps"]) for kind, values in reports if kind == "train"]
    seconds = [
        float(found[1]) for line in log if (found := re.search(r"done training in ([\d.]+)", line))
    ]
    if not speeds or not seconds:
        raise UserError(f"{log_path}: expected a finished training, found none; train again")
    scores = json.loads(scores_path.read_text(encoding="utf-8"))
    hypotheses = [*scores_path.parent.glob("hyp.[a-z][a-z]")]
    return Run(
        folder.name,
        scores,
        words_per_second=statistics.median(speeds),
        train_seconds=sum(seconds),
        hypotheses=list(read_lines(hypotheses[0])),
    )


def table(runs: list[Run]) -> list[str]:
    """Lines of a Markdown table, one model a line."""
    width = max(len(run.name) for run in runs)
    lines = [
        f"| {'criterion':<{width}} |  BLEU | NLL (bits) | words/s | train seconds |",
        f"|{'-' * (width + 2)}|------:|-----------:|--------:|--------------:|",
    ]
    for run in runs:
        bleu, nll = run.scores["bleu"]["score"], run.scores["nll"]["score"]
        lines.append(
            f"| {run.name:<{width}} | {bleu:5.2f} | {nll:10.3f} | {run.words_per_second:7.0f} |"
            f" {run.train_seconds:13.0f} |"
        )
    return lines


def conditions(run: Run) -> list[str]:
    """Under which conditions the numbers were obtained, in words."""
    scores = run.scores
    machine, subset = scores["machine"], scores["subset"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return [
        f"BLEU: sacreBLEU, detokenized, on {scores['corpus']} {subset['release_name']} "
        f"({subset['sentences']} sentences): {scores['bleu']['signature']}",
        f"NLL: per target token on the same sentences. One seed ({scores['checkpoint']['seed']}), "
        f"so differences of a point may be chance.",
        f"{machine['device']}, {machine['threads']} threads; {versions}; "
        f"commit {machine['commit']}",
    ]


def samples(runs: list[Run], sources: list[str], references: list[str]) -> list[str]:
    """Translations side by side, where the models disagree most (spread over the test set)."""
    part = max(1, len(sources) // SAMPLES)
    lines = []
    for start in range(0, part * SAMPLES, part):
        numbers = range(start, min(start + part, len(sources)))
        if not numbers:
            break
        number = max(numbers, key=lambda n: (len({run.hypotheses[n] for run in runs}), -n))
        width = max(len(run.name) for run in runs)
        lines += ["", f"{'source':<{width}}  {sources[number]}"]
        lines.append(f"{'reference':<{width}}  {references[number]}")
        lines += [f"{run.name:<{width}}  {run.hypotheses[number]}" for run in runs]
    return lines


def main() -> None:
    """Print the summary, and write it to --output if given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--subset", default="test")
    parser.add_argument("--output", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of trained and scored models")
    options = parser.parse_args()
    manifest = json.loads((options.data / "manifest.json").read_text(encoding="utf-8"))
    sources, references = (
        list(read_lines(options.data / "raw" / f"{options.subset}.{manifest[lang]}"))
        for lang in ("source_lang", "target_lang")
    )
    runs = [read_run(folder, subset=options.subset) for folder in options.runs]
    lines = [*table(runs), "", *conditions(runs[0]), *samples(runs, sources, references)]
    print("\n".join(lines))
    if options.output is not None:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")

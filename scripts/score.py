"""Score the output of fairseq-generate: detokenized sacreBLEU against raw references.

Usage: python score.py --generated DIR/generate-test.txt --data DATA --subset test \
           --checkpoint CKPT --output DIR [--validation-log FILE] [--beam N --lenpen X]

Writes into DIR the hypotheses (detokenized: hyp.LANG; as Moses tokens: hyp.tok.LANG), in the
order of the references, one a line, and scores.json: BLEU and chrF with their signatures, NLL,
and what they were obtained with (checkpoint, seed, versions, machine, commit).
"""

import argparse
import importlib.metadata
import json
import logging
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from labo_data.moses import detokenize
from labo_data.text import DataError, read_lines, write_lines
from sacrebleu.metrics import BLEU, CHRF

HYPOTHESIS = re.compile(r"^D-(\d+)\t[^\t]*\t(.*)$")


def read_hypotheses(generated: Path, *, expected: int) -> list[str]:
    """Hypotheses of a generation log, as tokens, in the order of the test set.

    Raises DataError if they are not exactly numbers 0 to `expected` − 1.
    """
    by_number: dict[int, str] = {}
    for line in read_lines(generated):
        found = HYPOTHESIS.match(line)
        if found:
            by_number[int(found[1])] = found[2]
    missing = sorted(set(range(expected)) - by_number.keys())
    if missing or len(by_number) != expected:
        raise DataError(
            f"{generated}: expected hypotheses 0 to {expected - 1}, found {len(by_number)}"
            f"{f', without number {missing[0]}' if missing else ''}; generate again with the "
            f"subset and the data that the references belong to"
        )
    return [by_number[number] for number in range(expected)]


def read_nll(validation_log: Path, *, subset: str) -> float:
    """NLL in bits per target token from the log of fairseq-validate.

    Criterions that smooth report it as nll_loss, plain cross entropy as loss.
    """
    report = re.compile(rf"\| {re.escape(subset)} \| (\{{.*\}})$")
    for line in read_lines(validation_log):
        found = report.search(line)
        values = json.loads(found[1]) if found else {}
        for key in (f"{subset}_nll_loss", f"{subset}_loss"):
            if key in values:
                return float(values[key])
    raise DataError(
        f"{validation_log}: expected fairseq-validate's JSON report of {subset}, found none; "
        f"read the end of that file for its error"
    )


def score(hypotheses: list[str], references: list[str]) -> dict[str, dict[str, Any]]:
    """Corpus BLEU (cased, 13a) and chrF of detokenized text, each with its signature."""
    scores = {}
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        result = metric.corpus_score(hypotheses, [references])
        scores[name] = {
            "score": round(result.score, 2),
            "signature": str(metric.get_signature()),
            "text": str(result),
        }
    return scores


def describe_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint says of its training: criterion and flags, seed, epoch, updates."""
    import torch

    logging.getLogger("fairseq").setLevel(logging.WARNING)  # of optional packages that it misses
    import fairseq_labo  # noqa: F401  (lets the safe loader read fairseq's checkpoints)

    state = torch.load(path, map_location="cpu", weights_only=True)
    history = (state.get("optimizer_history") or [{}])[-1]
    iterator = state.get("extra_state", {}).get("train_iterator", {})
    config = state.get("cfg") or {}
    flags = ("_name", "label_smoothing", "labo_beta", "smoothing_epochs", "smoothing_updates")
    criterion = config.get("criterion") or {}
    return {
        "path": path.name,
        "criterion": {key: criterion[key] for key in flags if key in criterion},
        "seed": (config.get("common") or {}).get("seed"),
        "epoch": iterator.get("epoch"),
        "num_updates": history.get("num_updates"),
    }


def describe_machine() -> dict[str, Any]:
    """Device, processor threads and versions that a number was obtained with."""
    import torch

    gpu = torch.cuda.is_available()
    distributions = ("torch", "fairseq-fixed", "fairseq", "sacrebleu", "sacremoses", "numpy")
    versions = {"python": platform.python_version()}
    for name in distributions:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "device": torch.cuda.get_device_name() if gpu else f"CPU ({platform.machine()})",
        "threads": torch.get_num_threads(),
        "versions": versions,
        "commit": current_commit(),
    }


def current_commit() -> str | None:
    """Commit of the repository, with "+changes" if the work tree differs from it."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short", "HEAD")
    if not commit:
        return None
    return commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")


def main() -> None:
    """Read the arguments, write hypotheses and scores.json, print the scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generated", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--subset", default="test")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--validation-log", type=Path)
    parser.add_argument("--beam", type=int)
    parser.add_argument("--lenpen", type=float)
    parser.add_argument("--seconds", type=float, help="time that generation took")
    options = parser.parse_args()

    manifest = json.loads((options.data / "manifest.json").read_text(encoding="utf-8"))
    language = manifest["target_lang"]
    references = list(read_lines(options.data / "raw" / f"{options.subset}.{language}"))
    tokens = read_hypotheses(options.generated, expected=len(references))
    hypotheses = [detokenize(line, language=language) for line in tokens]
    write_lines(options.output / f"hyp.tok.{language}", tokens)
    write_lines(options.output / f"hyp.{language}", hypotheses)
    scores = {
        **score(hypotheses, references),
        "nll": None,
        "corpus": manifest["corpus"],
        "subset": {
            "name": options.subset,
            "release_name": manifest["splits"][options.subset]["name"],
            "sentences": len(references),
        },
        "empty_hypotheses": sum(not line.strip() for line in hypotheses),
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
        scores["nll"] = {"score": bits, "unit": "bits per target token"}
    target = options.output / "scores.json"
    target.write_text(json.dumps(scores, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for name in ("bleu", "chrf"):
        print(scores[name]["text"], "|", scores[name]["signature"])
    if scores["nll"]:
        print(f"NLL = {scores['nll']['score']} {scores['nll']['unit']}")
    print(f"written: {target}")


if __name__ == "__main__":
    try:
        main()
    except DataError as error:
        sys.exit(f"error: {error}")

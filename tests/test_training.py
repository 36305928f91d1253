"""Through fairseq's real entry points in processes of their own: train, generate, score.

Stopping, resuming and several workers: tests/training.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import fairseq_labo  # noqa: F401  (for torch.load of checkpoints)
from tests.conftest import REPOSITORY, USER_DIR, WORDS, reports

Train = Callable[..., str]
CRITERIONS = {
    "labo_cross_entropy": ("--label-smoothing", "0.2", "--labo-beta", "2"),
    "tsla_cross_entropy": ("--label-smoothing", "0.2"),
}


@pytest.mark.parametrize("criterion", CRITERIONS)
def test_learns_generates_and_scores(
    criterion: str, tmp_path: Path, train: Train, toy_corpus: Path
) -> None:
    """A tiny model learns the toy task, and every step to its BLEU works."""
    flags = ("--criterion", criterion, *CRITERIONS[criterion], "--smoothing-epochs", 4)
    output = train(tmp_path, *flags, "--max-epoch", 10, "--report-accuracy")
    valid = reports(output, "valid")
    assert float(valid[-1]["valid_loss"]) == float(valid[-1]["valid_nll_loss"]) < 0.7
    assert float(valid[-1]["valid_accuracy"]) > 85
    checkpoint = tmp_path / "checkpoint_best.pt"

    done = subprocess.run(
        [REPOSITORY / "scripts" / "evaluate.sh", "--data", toy_corpus, "--checkpoint", checkpoint],
        env={**os.environ, "VENV": sys.prefix},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "test-scores"
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert scores["bleu"]["score"] > 85
    assert re.fullmatch(r"nrefs:1\|case:mixed\|.*\|tok:13a\|.*", scores["bleu"]["signature"])
    assert scores["nll"]["score"] < 0.7
    assert scores["checkpoint"]["criterion"]["_name"] == criterion
    assert scores["checkpoint"]["seed"] == 3
    assert scores["subset"]["sentences"] == 77

    hypotheses = (folder / "hyp.en").read_text(encoding="utf-8").splitlines()
    sources = (toy_corpus / "raw" / "test.de").read_text(encoding="utf-8").splitlines()
    translated = [" ".join(WORDS[word] for word in source.split()) for source in sources]
    right = sum(a == b for a, b in zip(hypotheses, translated, strict=True))
    assert right > 30  # of 77, word for word and in the order of the test set

    interactive = subprocess.run(
        [
            *(sys.executable, "-m", "fairseq_cli.interactive", toy_corpus / "bin", "--cpu"),
            *("--user-dir", USER_DIR, "--path", checkpoint),
        ],
        input="ein Hund hat ein Haus\n",
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert interactive.returncode == 0, interactive.stderr
    assert re.search(r"^H-0\t\S+\t.*dog", interactive.stdout, re.MULTILINE)


def test_eval_bleu_checkpoints_resume(tmp_path: Path, train: Train) -> None:
    """--eval-bleu puts numpy's arrays into the checkpoint."""
    flags = ["--criterion", "labo_cross_entropy", "--eval-bleu", "--eval-bleu-args"]
    flags += ['{"beam": 1, "max_len_b": 12}', "--best-checkpoint-metric", "bleu"]
    flags += ["--maximize-best-checkpoint-metric"]
    train(tmp_path, *flags, "--max-update", 3)
    output = train(tmp_path, *flags, "--max-update", 5)
    assert "Loaded checkpoint" in output and "valid_bleu" in reports(output, "valid")[-1]

"""The whole way on a task that a tiny model can learn: train, evaluate, translate a line."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fairseq_labo.experiments import cli
from tests.conftest import WORDS
from tests.training.runs import Train

pytestmark = pytest.mark.slow  # trainings
CRITERIONS = {
    "labo_cross_entropy": ("--label-smoothing", "0.2", "--labo-beta", "2"),
    "tsla_cross_entropy": ("--label-smoothing", "0.2"),
}


@pytest.mark.parametrize("criterion", CRITERIONS)
def test_learns_generates_and_scores(
    criterion: str, tmp_path: Path, train: Train, toy_corpus: Path, fairseq: Callable[..., str]
) -> None:
    """A tiny model learns the toy task, and every step to its BLEU works."""
    flags = ("--criterion", criterion, *CRITERIONS[criterion], "--smoothing-epochs", 4)
    run = train("run", *flags, "--max-epoch", 10, "--report-accuracy")
    assert run.last("loss") == run.last("nll_loss") < 0.7
    assert run.last("accuracy") > 85
    checkpoint = run.save_dir / "checkpoint_best.pt"

    given = ("--data", toy_corpus, "--checkpoint", checkpoint, "--cpu")
    assert cli.main(["evaluate", *map(str, given)]) == 0
    folder = run.save_dir / "test-scores"
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

    (tmp_path / "input.de").write_text("ein Hund hat ein Haus\n", encoding="utf-8")
    given = (toy_corpus / "bin", "--path", checkpoint, "--input", tmp_path / "input.de")
    assert re.search(r"^H-0\t\S+\t.*dog", fairseq("interactive", *given), re.MULTILINE)


def test_eval_bleu_checkpoints_resume(train: Train) -> None:
    """--eval-bleu puts numpy's arrays into the checkpoint."""
    flags = ["--criterion", "labo_cross_entropy", "--eval-bleu", "--eval-bleu-args"]
    flags += ['{"beam": 1, "max_len_b": 12}', "--best-checkpoint-metric", "bleu"]
    flags += ["--maximize-best-checkpoint-metric"]
    train("run", *flags, "--max-update", 3)
    resumed = train("run", *flags, "--max-update", 5)
    assert "Loaded checkpoint" in resumed.output and resumed.logged("valid_bleu", "valid")

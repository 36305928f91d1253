"""Through fairseq's real entry points: preprocess, train, stop, resume, generate, score."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import fairseq_labo  # noqa: F401  (for torch.load of checkpoints)
from tests.conftest import REPOSITORY, TRAINING, USER_DIR, WORDS, reports

Train = Callable[..., str]
CRITERIONS = {
    "labo_cross_entropy": ("--label-smoothing", "0.2", "--labo-beta", "2"),
    "tsla_cross_entropy": ("--label-smoothing", "0.2"),
}
SWITCH = 15
STOP, END = 10, 30


def parameters(save_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(save_dir / "checkpoint_last.pt")["model"]


def smoothing_of(output: str) -> list[tuple[int, float]]:
    return [
        (int(report["num_updates"]), float(report["smoothing"]))
        for report in reports(output, "train_inner")
    ]


@pytest.mark.parametrize("criterion", CRITERIONS)
def test_stop_and_resume_across_the_switch(criterion: str, tmp_path: Path, train: Train) -> None:
    """Stopped in stage 1 and resumed past the switch: the same bits as without the stop."""
    flags = ("--criterion", criterion, *CRITERIONS[criterion], "--smoothing-updates", SWITCH)
    whole = train(tmp_path / "whole", *flags, "--max-update", END)
    first = train(tmp_path / "parts", *flags, "--max-update", STOP)
    second = train(tmp_path / "parts", *flags, "--max-update", END)

    stages = smoothing_of(whole)
    assert [number for number, _ in stages] == [5, 10, 15, 20, 25, 30]
    assert [round(weight, 1) for _, weight in stages] == [0.2, 0.2, 0.2, 0, 0, 0]
    assert smoothing_of(first) + smoothing_of(second) == stages
    assert f"stage 2 begins: one-hot targets from epoch 1, after {SWITCH} updates" in second
    assert "stage 2 begins" in whole and "stage 2 begins" not in first

    unbroken, resumed = parameters(tmp_path / "whole"), parameters(tmp_path / "parts")
    assert unbroken.keys() == resumed.keys()
    for name, tensor in unbroken.items():
        assert torch.equal(tensor, resumed[name]), name


def test_stage_counted_in_epochs(tmp_path: Path, train: Train) -> None:
    output = train(
        tmp_path,
        *("--criterion", "tsla_cross_entropy", "--smoothing-epochs", 1, "--max-epoch", 2),
        *("--max-tokens", 2000),
    )
    weights = [float(report["train_smoothing"]) for report in reports(output, "train")]
    assert weights == [pytest.approx(0.1, abs=0.01), 0.0]
    assert len(weights) == 2 and weights[0] > 0


@pytest.mark.parametrize("criterion", CRITERIONS)
def test_learns_generates_and_scores(
    criterion: str, tmp_path: Path, train: Train, toy_corpus: Path
) -> None:
    """A tiny model learns the toy task, and every step to its BLEU works."""
    flags = ("--criterion", criterion, *CRITERIONS[criterion], "--smoothing-epochs", 4)
    output = train(tmp_path, *flags, "--max-epoch", 7, "--report-accuracy")
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
    assert scores["bleu"]["score"] > 75
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


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def train_on_two_workers(toy_corpus: Path, save_dir: Path, *options: object) -> list[str]:
    """The same training as two processes over gloo; returns their outputs."""
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    workers = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "fairseq_cli.train", toy_corpus / "bin", *TRAINING),
                *("--user-dir", USER_DIR, "--save-dir", save_dir, "--ddp-backend", "legacy_ddp"),
                *("--distributed-backend", "gloo", "--distributed-no-spawn"),
                *("--distributed-world-size", "2", "--distributed-rank", str(rank)),
                *("--distributed-init-method", f"tcp://127.0.0.1:{port}", *map(str, options)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env=environment | {"OMP_NUM_THREADS": "1"},
        )
        for rank in (0, 1)
    ]
    outputs = [worker.communicate(timeout=300)[0] for worker in workers]
    for worker, output in zip(workers, outputs, strict=True):
        assert worker.returncode == 0, output[-4000:]
    return outputs


def test_two_workers_train_and_resume(tmp_path: Path, toy_corpus: Path, train: Train) -> None:
    """Two workers equal one with --update-freq 2; a resume broadcasts the checkpoint."""
    flags: list[Any] = ["--criterion", "labo_cross_entropy", "--smoothing-updates", 8]
    train_on_two_workers(toy_corpus, tmp_path / "two", *flags, "--max-update", 5)
    output, _ = train_on_two_workers(toy_corpus, tmp_path / "two", *flags, "--max-update", 15)
    assert "Loaded checkpoint" in output
    assert "stage 2 begins: one-hot targets from epoch 1, after 8 updates" in output
    stages = smoothing_of(output)
    assert stages[0] == (10, pytest.approx(0.1 * 3 / 5, abs=0.01))
    assert stages[1] == (15, 0.0)

    alone = train(tmp_path / "one", *flags, "--max-update", 15, "--update-freq", 2)
    for ours, single in zip(
        reports(output, "valid")[-1:], reports(alone, "valid")[-1:], strict=True
    ):
        for key in ("valid_loss", "valid_reg_loss", "valid_label_entropy"):
            assert float(ours[key]) == pytest.approx(float(single[key]), abs=2e-3), key

"""The short form of fairseq's log."""

import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_labo.experiments.training import progress as show_progress

HEAD = "2026-11-21 03:09:31 | INFO | "


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'train_inner | {"epoch": 2, "loss": "4.5", "ppl": "20.1", "smoothing": "0.1", '
            '"wps": "9800.3", "num_updates": "15", "lr": "0.003"}',
            "epoch   2 | train_inner | loss 4.5 | ppl 20.1 | smoothing 0.1 | wps 9800.3 | "
            "num_updates 15",
        ),
        (
            'valid | {"epoch": 10, "valid_loss": "4.4", "valid_ppl": "21.7", "valid_bsz": "2"}',
            "epoch  10 | valid       | valid_loss 4.4 | valid_ppl 21.7",
        ),
        ("fairseq_cli.train | done training in 12.5 seconds", "done training in 12.5 seconds"),
        ("fairseq.trainer | Loaded checkpoint x.pt (epoch 2)", "Loaded checkpoint x.pt (epoch 2)"),
        ("fairseq.trainer | begin training epoch 2", None),
    ],
)
def test_short_form(line: str, expected: str | None) -> None:
    assert show_progress.shorten(HEAD + line) == expected


def test_errors_are_shown() -> None:
    line = "ValueError: expected one of --smoothing-epochs and --smoothing-updates"
    assert show_progress.shorten(line) == line


def test_log_gets_everything(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("from before\n", encoding="utf-8")
    text = f"{HEAD}fairseq.trainer | begin training epoch 1\nRuntimeError: no\n"
    done = subprocess.run(
        [sys.executable, "-m", "fairseq_labo.experiments.training.progress", "--log", log],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "RuntimeError: no\n"
    assert log.read_text(encoding="utf-8") == "from before\n" + text

"""fairseq-train's entry point, called in this process: a start takes a second, not four."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import TRAINING, USER_DIR


@pytest.fixture
def train_here(
    toy_corpus: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[..., str]:
    """`train_here(save_dir, *options)` trains on the toy corpus and returns the log's lines.

    The lines are those that fairseq writes: the logger's name, a bar, the message.
    """
    from fairseq import checkpoint_utils
    from fairseq_cli import train

    def run(save_dir: Path, *options: object) -> str:
        arguments = [toy_corpus / "bin", "--user-dir", USER_DIR, "--save-dir", save_dir]
        command = ["fairseq-train", *arguments, *TRAINING, *options]
        monkeypatch.setattr(sys, "argv", [*map(str, command)])
        # What a new process would not have.
        monkeypatch.delattr(checkpoint_utils.save_checkpoint, "best", raising=False)
        caplog.clear()
        with caplog.at_level("INFO"):
            train.cli_main()
        return "\n".join(f"| {record.name} | {record.getMessage()}" for record in caplog.records)

    return run
